"""A comparison as a table on the terminal, as JSON and as one HTML page.

Knows: the forms. Does not know: how anything was measured.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from model_export.benchmark.measure import Measure
from model_export.comparing.comparison import Comparison, Sides, Weighed
from model_export.figures import PALE, STRONG, framed, plain
from model_export.report import STYLE
from service import scoring

HEADS = ("", "A", "B", "B less A", "95 %", "requests")
CHANGED_HEADS = ("query", "divergence", "first of A", "first of B")
MOST_CHANGED = 25
"""So many requests whose weights differ most are listed one by one."""


class Name(NamedTuple):
    """What a bundle calls itself."""

    name: str
    version: str


def to_json(found: Comparison, a: Name, b: Name) -> str:
    """Everything, without a date: the same bundles and requests give the same text."""
    content = {
        "a": a._asdict(),
        "b": b._asdict(),
        "requests": len(found.weighed),
        "left_out": found.left_out,
        "changes": {name: measure.to_json() for name, measure in found.changes.items()},
        "metrics": {
            name: {"a": sides.a.to_json(), "b": sides.b.to_json(), "b_less_a": sides.less.to_json()}
            for name, sides in found.sides.items()
        },
        "most_changed": [_told(each) for each in _most_changed(found)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _most_changed(found: Comparison) -> list[Weighed]:
    changed = sorted(found.weighed, key=lambda each: -each.divergence)[:MOST_CHANGED]
    return [each for each in changed if each.divergence > 0]


def _told(each: Weighed) -> Mapping[str, object]:
    weights = {
        name: [round(a, 4), round(b, 4)] for name, a, b in zip(each.record.attributes, each.a, each.b, strict=True)
    }
    return {"query": each.record.query, "divergence": round(each.divergence, 5), "weights": weights}


def _rows(found: Comparison) -> list[tuple[str, ...]]:
    alone = [(name, "", "", f"{m.value:.4f}", _interval(m), f"{m.n:,}") for name, m in found.changes.items()]
    return [*alone, *(_row(name, sides) for name, sides in found.sides.items())]


def _row(name: str, sides: Sides) -> tuple[str, ...]:
    less = sides.less
    return name, f"{sides.a.value:.4f}", f"{sides.b.value:.4f}", f"{less.value:+.4f}", _interval(less), f"{less.n:,}"


def _interval(measure: Measure) -> str:
    return f"{measure.low:.4f} to {measure.high:.4f}"


def table(found: Comparison) -> str:
    """A table for the terminal."""
    rows = [HEADS, *_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    left_out = [f"left out: {found.left_out} requests that one of the bundles cannot read"] if found.left_out else []
    return "\n".join([*lines, *left_out])


def page(found: Comparison, a: Name, b: Name) -> str:
    """The page, whole in itself."""
    title = escape(f"A: {a.name} {a.version}, B: {b.name} {b.version}")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    note = (
        f"<p class='note'>{len(found.weighed):,} requests, {found.left_out:,} left out because one of the bundles "
        "cannot read them. Intervals are 95 % percentile bootstraps over requests, of the column B less A.</p>"
    )
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            note,
            _table(HEADS, _rows(found)),
            "<h2>How far apart the weights are</h2>",
            framed(
                divergences(found.weighed),
                "Each request counts once; on the right, a point below the diagonal is "
                "a request of which B is surer than A.",
            ),
            "<h2>Which requests change most</h2>",
            _table(CHANGED_HEADS, [_changed(each) for each in _most_changed(found)]),
        ]
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n</body></html>\n'


def _changed(each: Weighed) -> tuple[str, ...]:
    first, other = each.firsts
    names = each.record.attributes
    return (
        each.record.query,
        f"{each.divergence:.3f}",
        f"{names[first]} {each.a[first]:.2f}",
        f"{names[other]} {each.b[other]:.2f}",
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def divergences(weighed: Sequence[Weighed]) -> Figure:
    """The share of requests up to each divergence; and the entropy of B over that of A."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    plain(left, title="Requests up to a divergence", x="Jensen-Shannon divergence, nats", y="share of requests")
    apart = np.sort([each.divergence for each in weighed])
    left.plot(apart, np.arange(1, len(apart) + 1) / len(apart), color=STRONG, drawstyle="steps-post", marker=".")
    left.set(ylim=(0, 1.03), xlim=(0, None))
    entropies = np.array([(scoring.entropy(each.a), scoring.entropy(each.b)) for each in weighed])
    plain(right, title="Entropy, nats", x="A", y="B")
    most = 1.05 * float(entropies.max(initial=0.1))
    right.plot([0, most], [0, most], color=PALE, linewidth=1)
    right.plot(entropies[:, 0], entropies[:, 1], ".", color=STRONG, alpha=0.4, rasterized=len(weighed) > 2_000)
    right.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    return figure

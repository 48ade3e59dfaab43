"""What was measured, as JSON, as a table on the terminal and as one HTML page.

Knows: the forms. Does not know: how anything was measured.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from model_export.benchmark.measure import Measure, Suite, rounded
from model_export.benchmark.splits import RULE, Split
from model_export.benchmark.suites import Findings
from model_export.figures import PALE, STRONG, framed, plain, reliability_diagram
from model_export.report import STYLE

HEADS = ("", "value", "95 %", "queries", "beside it")
SPLIT_HEADS = ("source", "train", "dev", "hash of", "share of dev")


def to_json(found: Findings, *, name: str, version: str, fp32: Findings | None) -> str:
    """Everything, without a date: the same bundle and data give the same text."""
    content: dict[str, Any] = {
        "bundle": {"name": name, "version": version},
        "data": dict(sorted(found.data.items())),
        "splits": {"rule": RULE, "of": {split.source: split.to_json() for split in found.splits}},
        "left_out": found.left_out,
        "suites": {
            suite: {metric: measure.to_json() for metric, measure in measures.items()}
            for suite, measures in found.suites.items()
        },
    }
    if fp32:
        content["less_fp32"] = {
            suite: {metric: rounded(value) for metric, value in differences(measures, fp32.suites[suite]).items()}
            for suite, measures in found.suites.items()
        }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def differences(ours: Suite, reference: Suite) -> dict[str, float]:
    """By metric, how much larger our value is than the reference's."""
    return {metric: measure.value - reference[metric].value for metric, measure in ours.items()}


def _cells(measure: Measure, difference: float | None) -> tuple[str, str, str, str]:
    beside = [f"{name} {value:.3f}" for name, value in measure.baselines.items()]
    if difference is not None:
        beside.append(f"less fp32 {difference:+.4f}")
    return f"{measure.value:.4f}", f"{measure.low:.3f} to {measure.high:.3f}", f"{measure.n:,}", ", ".join(beside)


def _rows(found: Findings, fp32: Findings | None) -> Mapping[str, list[tuple[str, ...]]]:
    return {
        suite: [
            (metric, *_cells(measure, differences(measures, fp32.suites[suite])[metric] if fp32 else None))
            for metric, measure in measures.items()
        ]
        for suite, measures in found.suites.items()
    }


def table(found: Findings, fp32: Findings | None) -> str:
    """A table for the terminal."""
    rows = _rows(found, fp32)
    widths = [max((len(row[column]) for part in rows.values() for row in part), default=0) for column in range(4)]
    lines = []
    for suite, part in rows.items():
        lines += ["", suite]
        lines += [
            f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}"
            for row in part
        ]
    return "\n".join(line.rstrip() for line in [*lines, *(f"\nleft out: {line}" for line in found.left_out)])


def page(found: Findings, *, name: str, version: str, temperature: float, fp32: Findings | None) -> str:
    """The page, whole in itself."""
    title = escape(f"{name} {version}")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    note = (
        "<p class='note'>Intervals are 95 % percentile bootstraps over queries (titles for values, kinds of product "
        "for fill and spread). What is fitted on the products is cross-validated by query in five folds, and so is T "
        "where that is said, of each source by itself.</p>"
    )
    parts = [_section(suite, rows, found.suites[suite]) for suite, rows in _rows(found, fp32).items()]
    left_out = "".join(f"<li>{escape(line)}</li>" for line in found.left_out)
    rest = f"<h2>Left out</h2><ul>{left_out}</ul>" if left_out else ""
    ends = [_reliability(found, temperature), _splits(found.splits), rest]
    body = "\n".join([f"<h1>{title}</h1>", note, *parts, *ends])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n</body></html>\n'


def _section(suite: str, rows: list[tuple[str, ...]], measures: Suite) -> str:
    caption = "Bars are 95 % intervals, grey points the baselines; what is 1 at best is further right when better."
    drawn = framed(intervals(measures), caption)
    return f"<h2>{escape(suite)}</h2>\n{_table(HEADS, rows)}\n{drawn}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _splits(splits: Sequence[Split]) -> str:
    rows = [(s.source, s.train, s.dev, s.key, f"{s.share:g}" if s.key else "") for s in splits]
    note = f"<p class='note'>{escape(RULE)} Without a key, dev is a file of its own or the whole set.</p>"
    return f"<h2>Splits</h2>\n{note}\n{_table(SPLIT_HEADS, rows)}"


def intervals(measures: Suite) -> Figure:
    """Every metric of a suite with its interval, differences left out."""
    shown = {name: measure for name, measure in measures.items() if "less" not in name and "gain" not in name}
    figure = Figure(figsize=(8, 0.9 + 0.36 * len(shown)), layout="constrained")
    axes, place = figure.subplots(), np.arange(len(shown))[::-1]
    plain(axes, title="", x="")
    values = np.array([(m.value, m.low, m.high) for m in shown.values()])
    axes.hlines(place, values[:, 1], values[:, 2], color=STRONG, linewidth=4, alpha=0.35)
    axes.plot(values[:, 0], place, "o", color=STRONG)
    for at, measure in zip(place, shown.values(), strict=True):
        axes.plot(list(measure.baselines.values()), [at] * len(measure.baselines), "o", color=PALE, markersize=4)
    axes.set_yticks(place, list(shown))
    axes.set_ylim(-0.6, len(shown) - 0.4)
    return figure


def _reliability(found: Findings, temperature: float) -> str:
    if not found.reliability:
        return ""
    caption = (
        "On the diagonal a top weight of 0.6 goes to an attribute with 60 % of the gain; points below it are too sure, "
        "points above it too modest, and a larger point stands for more queries."
    )
    drawn = framed(reliability_diagram(found.reliability, temperature=temperature), caption)
    return f"<h2>Are the weights calibrated?</h2>\n{drawn}"

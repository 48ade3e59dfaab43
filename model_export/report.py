"""Stage 11: what a run gave, as one HTML page.

Knows: the files that the stages left, what of them is worth a table or a figure.
Does not know: how anything was trained or measured, bundles.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from model_export import evaluation, pretrained, records
from model_export.baselines import Embed, baselines, telling
from model_export.config import Config
from model_export.evaluation import Prediction
from model_export.figures import framed, learning_curve, reliability_diagram, type_weights
from model_export.prior import read as read_prior
from model_export.quantise import INT8
from model_export.stage import RECORD
from model_export.verify import METRICS
from service.model import open_graph

PAGE, BASELINES = "report.html", "baselines.json"

COLUMNS = {"ndcg": "nDCG", "map": "MAP", "top1": "top-1", "ece": "ECE ↓", "nll": "NLL ↓", "value_f1": "value F1"}
LOWER_IS_BETTER = frozenset({"ece", "nll"})

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem; text-align: right; border-bottom: 1px solid #e4e7eb; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.group th { padding-top: 1.1rem; } small, p.note, figcaption { color: #57606a; font-weight: normal; }
td.missed { color: #b42318; font-weight: bold; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What the page is made from. `predictions` and `baselines` hold the sources that have dev records."""

    config: Config
    outcome: Mapping[str, Any]
    """Of training."""
    verified: Mapping[str, Any]
    """What `metrics.json` holds."""
    seconds: Mapping[str, float]
    predictions: Mapping[str, Sequence[Prediction]]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]]


def report(
    config: Config,
    examples: Path,
    trained: Path,
    exported: Path,
    quantised: Path,
    verified: Path,
    prior: Path,
    out: Path,
    *,
    embed: Embed = pretrained.embed,
) -> dict[str, Any]:
    """Run the stage: `report.html`, whole in itself, and `baselines.json`, by source, baseline and metric."""
    model, tokenizer = open_graph(quantised / INT8, device="cpu"), pretrained.tokenizer(config)
    predictions, compared, table = {}, {}, read_prior(prior)
    for name in config.sources:
        dev = list(records.read(examples / f"{name}.dev.jsonl"))
        if dev:
            predictions[name] = evaluation.predict(model, tokenizer, dev, threshold=config.value_threshold)
            train = list(records.read(examples / f"{name}.train.jsonl"))
            compared[name] = baselines(config, train, dev, table, embed=embed)
    stamps = {folder.name: _stamp(folder) for folder in (examples, trained, exported, quantised, verified, prior)}
    run = Run(
        config,
        outcome=stamps[trained.name].get("outcome", {}),
        verified=json.loads((verified / METRICS).read_text(encoding="utf-8")),
        seconds={name: stamp["seconds"] for name, stamp in stamps.items() if "seconds" in stamp},
        predictions=predictions,
        baselines=compared,
    )
    (out / BASELINES).write_text(json.dumps(compared, indent=1) + "\n", encoding="utf-8")
    (out / PAGE).write_text(page(run), encoding="utf-8")
    return {"bytes": (out / PAGE).stat().st_size}


def _stamp(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def page(run: Run) -> str:
    """The whole page; what the run does not have is left out."""
    name = escape(run.config.name)
    head = f'<meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><h1>{name}</h1>\n{_body(run)}\n</body></html>\n'
    )


def _body(run: Run) -> str:
    parts = [
        _summary(run),
        _section("How well it ranks", metrics_table(run)),
        _learning_section(run),
        _reliability_section(run),
        _types_section(run),
        _section("What was compared before packaging", checks_table(run.verified)),
        _section("How long it took", seconds_table(run.seconds)),
    ]
    return "\n".join(part for part in parts if part)


def _summary(run: Run) -> str:
    facts = [f"temperature {run.verified['temperature']:.3f}"]
    if "steps" in run.outcome:
        facts.insert(0, f"{run.outcome['steps']} steps of training")
    return f"<p>{', '.join(facts)}.</p>"


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}" if content else ""


def _learning_section(run: Run) -> str:
    told = [name for name, part in run.predictions.items() if "ndcg" in telling([p.record for p in part])]
    losses, dev = run.outcome.get("losses", []), run.outcome.get("dev", []) if told else []
    if not losses and not dev:
        return ""
    caption = (
        "The loss should still fall gently at the end and no source's dev nDCG should turn down while another's rises; "
        "sources on which every order is equally good are left out."
    )
    return _section("Learning curve", framed(learning_curve(losses, dev, told), caption))


def _reliability_section(run: Run) -> str:
    gained = {name: part for name, part in run.predictions.items() if any(p.record.ranks for p in part)}
    caption = (
        "On the diagonal a top weight of 0.6 goes to an attribute with 60 % of the gain; points below it are too sure, "
        "points above it too modest, and a larger point stands for more queries."
    )
    figure = reliability_diagram(gained, temperature=run.verified["temperature"]) if gained else None
    return _section("Are the weights calibrated?", framed(figure, caption)) if figure else ""


def _types_section(run: Run) -> str:
    caption = (
        "A type that the query states should weigh clearly more than the same type where it is not stated; "
        "in brackets, how many dev queries state it."
    )
    named = [name for name in run.predictions if run.config.sources[name].reader == "queryner"]
    figures = (type_weights(run.predictions[name], name, temperature=run.verified["temperature"]) for name in named)
    return _section("Weights by type", "\n".join(framed(figure, caption) for figure in figures))


def metrics_table(run: Run) -> str:
    """Every file and baseline by source, the best of each column in bold; metrics that say nothing are left out."""
    by_source = {name: _rows(run, name) for name in run.predictions}
    used = [key for key in COLUMNS if any(key in row for rows in by_source.values() for row in rows.values())]
    head = "".join(f"<th>{text}</th>" for text in ("", *(COLUMNS[key] for key in used)))
    groups = "\n".join(_group(run, name, rows, used) for name, rows in by_source.items())
    note = (
        "Best in bold. ECE and NLL (in nats) are of the weights, lower is better. The baselines' ties are broken by "
        "chance; a ranking metric is left out where every order of the candidates would reach the same."
    )
    return f'<table><thead><tr>{head}</tr></thead>\n{groups}</table>\n<p class="note">{note}</p>' if used else ""


def _rows(run: Run, source: str) -> dict[str, dict[str, float]]:
    """What is known and says something of a source, by row and metric."""
    measured = {file: by_source[source] for file, by_source in run.verified["metrics"].items() if source in by_source}
    shown = telling([p.record for p in run.predictions[source]]) | {"ece", "nll", "value_f1"}
    rows = {
        label: {key: value for key, value in row.items() if key in shown and not np.isnan(value)}
        for label, row in {**run.baselines[source], **measured}.items()
    }
    return {label: row for label, row in rows.items() if row}


def _group(run: Run, source: str, rows: Mapping[str, Mapping[str, float]], used: Sequence[str]) -> str:
    part = run.predictions[source]
    ordered = sum("ndcg" in telling([p.record]) for p in part)
    about = f"<small>{len(part)} dev records, in {ordered} of them the order matters</small>"
    lines = [f'<tr class="group"><th colspan="{len(used) + 1}">{escape(source)} {about}</th></tr>']
    best = {key: best_of(key, rows.values()) for key in used}
    for label, row in rows.items():
        cells = "".join(_cell(row.get(key), best[key]) for key in used)
        lines.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    return "<tbody>" + "\n".join(lines) + "</tbody>"


def best_of(key: str, rows: Iterable[Mapping[str, float]]) -> float | None:
    """The best value of a metric as it is shown; None where all are alike."""
    values = {round(row[key], 4) for row in rows if key in row}
    choose = min if key in LOWER_IS_BETTER else max
    return choose(values) if len(values) > 1 else None


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "<td></td>"
    return f"<td><b>{value:.4f}</b></td>" if round(value, 4) == best else f"<td>{value:.4f}</td>"


def checks_table(verified: Mapping[str, Any]) -> str:
    """What verify measured beside what it asked; a missed threshold is red."""
    lines = []
    for check, found in verified["checks"].items():
        asked = f"≤ {found['at_most']:g}" if "at_most" in found else f"≥ {found['at_least']:g}"
        missed = any(line.startswith(f"{check} is ") for line in verified.get("missed", ()))
        mark = ' class="missed"' if missed else ""
        lines.append(f"<tr><td>{escape(check)}</td><td{mark}>{found['measured']:.3g}</td><td>{asked}</td></tr>")
    return _table(("", "measured", "asked"), lines)


def seconds_table(seconds: Mapping[str, float]) -> str:
    """How long each stage ran."""
    lines = [f"<tr><td>{escape(name)}</td><td>{value:,.1f}</td></tr>" for name, value in seconds.items()]
    return _table(("stage", "seconds"), lines)


def _table(heads: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(lines)}</tbody></table>" if lines else ""

"""The figures of the report, each as an element that stands in HTML.

Knows: matplotlib, what each figure shows. Does not know: files, tables, the page around them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model_export import evaluation, metrics
from model_export.evaluation import Prediction
from service import scoring

SMOOTHED_STEPS = 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
STRONG, PALE = COLOURS[0], "#b8bec6"


def learning_curve(
    losses: Sequence[tuple[int, float]], dev: Sequence[Mapping[str, float]], sources: Sequence[str]
) -> Figure:
    """Training loss and dev nDCG of the sources over steps; a panel for each of the two that there is."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels: Iterator[Axes] = iter(figure.subplots(1, bool(losses) + bool(dev), squeeze=False)[0])
    if losses:
        _losses(next(panels), np.array(losses))
    if dev:
        _dev_ndcg(next(panels), dev, sources)
    return figure


def _losses(axes: Axes, losses: NDArray[np.float64]) -> None:
    plain(axes, title="Training loss", x="step")
    axes.plot(*losses.T, color=PALE, linewidth=0.5, label="each step")
    axes.plot(losses[:, 0], smoothed(losses[:, 1]), color=STRONG, label=f"mean of {SMOOTHED_STEPS} steps")
    axes.set_ylim(bottom=0, top=1.05 * float(np.percentile(losses[:, 1], 99.5)))
    axes.legend(frameon=False)


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and those before it, at most `SMOOTHED_STEPS` together."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(0, end - SMOOTHED_STEPS)
    return np.asarray((total[end] - total[start]) / (end - start))


def _dev_ndcg(axes: Axes, dev: Sequence[Mapping[str, float]], sources: Sequence[str]) -> None:
    plain(axes, title="Dev nDCG", x="step")
    for index, name in enumerate(sources):
        points = [(row["step"], row[name]) for row in dev if name in row]
        axes.plot(*np.array(points).reshape(-1, 2).T, color=COLOURS[index % len(COLOURS)], marker="o", label=name)
    axes.legend(frameon=False)


def reliability_diagram(predictions: Mapping[str, Sequence[Prediction]], *, temperature: float) -> Figure:
    """A panel for each source: the share of the gain over the top weight, at temperature 1 and at the fitted one."""
    columns = min(3, len(predictions))
    lines = -(-len(predictions) // columns)
    figure = Figure(figsize=(3.3 * columns, 3.9 * lines), layout="constrained")
    panels: list[Axes] = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (name, part) in zip(panels, predictions.items(), strict=False):
        plain(axes, title=name, x="top weight", y="share of the gain")
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        _reliability(axes, part, 1.0, "#8a929c")
        _reliability(axes, part, temperature, STRONG)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.17), fontsize="small")
    for axes in panels[len(predictions) :]:
        axes.remove()
    return figure


def _reliability(axes: Axes, part: Sequence[Prediction], temperature: float, colour: str) -> None:
    confidence, observed = evaluation.reliability_points(part, temperature=temperature)
    x, y, count = np.array(metrics.reliability(confidence, observed)).T
    error = metrics.calibration_error(confidence, observed)
    axes.plot(x, y, color=colour, linewidth=0.7, label=f"T = {temperature:.3g}, ECE {error:.3f}", marker=".")
    axes.scatter(x, y, s=8 + 160 * count / count.sum(), color=colour, alpha=0.6)


def type_weights(part: Sequence[Prediction], title: str, *, temperature: float) -> Figure:
    """The mean weight of each attribute where its gain is positive, the largest on top, and where it is 0."""
    found = weights_by_type(part, temperature=temperature)
    stated, unstated = (np.array([np.mean(pair[i] or [0.0]) for pair in found.values()]) for i in (0, 1))
    order = np.argsort(stated, kind="stable")
    labels = [f"{name} ({len(pair[0])})" for name, pair in found.items()]
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(found)), layout="constrained")
    axes, place = figure.subplots(), np.arange(len(found))
    plain(axes, title=title, x="mean weight")
    axes.barh(place + 0.2, stated[order], height=0.38, color=STRONG, label="stated by the query")
    axes.barh(place - 0.2, unstated[order], height=0.38, color=PALE, label="not stated")
    axes.set_yticks(place, [labels[index] for index in order])
    axes.legend(frameon=False, loc="lower right")
    return figure


def weights_by_type(part: Sequence[Prediction], *, temperature: float) -> dict[str, tuple[list[float], list[float]]]:
    """By attribute name: its weights in the records where its gain is positive, and in those where it is 0."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for prediction in part:
        weights = scoring.softmax(prediction.logits.tolist(), temperature)
        for name, gain, weight in zip(prediction.record.attributes, prediction.record.gains, weights, strict=True):
            found.setdefault(name, ([], []))[gain == 0].append(float(weight))
    return found


def plain(axes: Axes, *, title: str, x: str, y: str = "") -> None:
    """Axes as every figure has them."""
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.set(xlabel=x, ylabel=y, axisbelow=True)
    axes.grid(color="#eceff2")
    axes.spines[["top", "right"]].set_visible(False)


def framed(figure: Figure, caption: str) -> str:
    """A figure with its caption."""
    return f'<figure role="img">{svg(figure)}<figcaption>{escape(caption)}</figcaption></figure>'


def svg(figure: Figure) -> str:
    """A figure as an element that stands in HTML, where SVG needs no namespaces and its groups no names."""
    drawn = StringIO()
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = drawn.getvalue()
    return re.sub(r'\s(?:xmlns(?::xlink)?="[^"]*"|id="\w+_\d+")', "", text[text.index("<svg") :])

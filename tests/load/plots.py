"""The table as a picture: ratios beside their targets, the overload's curves, the soak's memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Row = Mapping[str, Any]
RATIO_ROWS = ("peer", "bare", "memory", "redis", "miss", "overload", "soak")


def draw(rows: Mapping[str, Row], path: Path) -> None:
    """Draw what the rows have to show, and write a PNG."""
    figure, axes = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    for axis, panel in zip(axes.flat, (ratios, goodput, latency, memory), strict=True):
        panel(axis, rows)
        if not axis.has_data():
            axis.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axis.transAxes)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def ratios(axis: Axes, rows: Mapping[str, Row]) -> None:
    """Each row's first ratio over its target: 1 is what was asked; lines show the spread."""
    axis.set_title("measured / asked (right of the line is better; for those marked <=, left)")
    for name in RATIO_ROWS:
        for target in rows.get(name, {}).get("targets", ()):
            _, asked = target["asked"].split()
            if " / " in target["what"] and target["measured"] is not None:
                label = f"{name}: {target['what']} {target['asked']}"
                low, value, high = (n / float(asked) for n in sorted((*target["spread"], target["measured"])))
                errors = [[value - low], [high - value]]
                axis.barh(label, value, xerr=errors, color="tab:green" if target["ok"] else "tab:red", alpha=0.7)
                axis.annotate(f" {target['measured']:g}", (value, label), va="center")
    axis.axvline(1, color="black", linewidth=1)
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=7)


def goodput(axis: Axes, rows: Mapping[str, Row]) -> None:
    """200s in time a second over the rate of arrivals, of every repetition."""
    axis.set(title="overload: goodput", xlabel="arrivals / s", ylabel="200s within 500 ms / s")
    for run in rows.get("overload", {}).get("runs", ()):
        axis.plot([r["rate"] for r in run["rates"]], [r["goodput"] for r in run["rates"]], "o-", alpha=0.7)
        axis.axvline(run["saturation"], color="grey", linestyle=":", linewidth=1)
    axis.set_ylim(bottom=0)


def latency(axis: Axes, rows: Mapping[str, Row]) -> None:
    """Percentiles of the answers' latency over the rate of arrivals, the first repetition's."""
    axis.set(title="overload: latency from the intended time", xlabel="arrivals / s", ylabel="ms", yscale="log")
    for run in rows.get("overload", {}).get("runs", ())[:1]:
        for of, style in (("ok_ms", "-"), ("refused_ms", "--")):
            for which in ("p50", "p90", "p99"):
                points = [(r["rate"], r[of][which]) for r in run["rates"] if r[of]]
                if points:
                    axis.plot(*zip(*points, strict=True), f"o{style}", label=f"{of.removesuffix('_ms')} {which}")
        axis.legend(fontsize=8)


def memory(axis: Axes, rows: Mapping[str, Row]) -> None:
    """Resident memory over requests."""
    axis.set(title="soak: resident memory", xlabel="requests", ylabel="MB")
    for run in rows.get("soak", {}).get("runs", ()):
        axis.plot(*zip(*run["memory_mb"], strict=True))
    axis.set_ylim(bottom=0)

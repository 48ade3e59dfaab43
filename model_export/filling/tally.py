"""What was filled, counted: for each attribute how many were missing, how many were found, and how surely.

Knows: counts, quantiles from a histogram, their JSON and their table. Does not know: products, files.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 1_000
"""Confidences are counted in so many steps, so that a quantile is right to half a thousandth."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_SHOWN = 40


@dataclass(slots=True)
class Counted:
    """One attribute's counts; `steps` is the histogram of the confidences, `total` their sum."""

    missing: int = 0
    filled: int = 0
    total: float = 0.0
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(STEPS, np.int64))

    def fill(self, confidence: float) -> None:
        """Count a value found."""
        self.filled += 1
        self.total += confidence
        self.steps[min(STEPS - 1, int(confidence * STEPS))] += 1

    def quantile(self, share: float) -> float:
        """The confidence that so large a share of the values stay below, to half a step."""
        step = int(np.searchsorted(np.cumsum(self.steps), max(1, share * self.filled)))
        return (step + 0.5) / STEPS

    def to_json(self) -> dict[str, Any]:
        """The counts, and the confidence where there is any."""
        counts: dict[str, Any] = {"missing": self.missing, "filled": self.filled}
        if self.filled:
            quantiles = {str(share): round(self.quantile(share), 4) for share in QUANTILES}
            counts["confidence"] = {"mean": round(self.total / self.filled, 4), "quantiles": quantiles}
        return counts


class Tally:
    """The counts of all attributes, product by product; `pictures` is how many products of the catalogue have one."""

    def __init__(self, *, pictures: int = 0, pictures_read: bool = False) -> None:
        self._pictures = {"pictures": {"products": pictures, "read": pictures_read}} if pictures else {}
        self.products, self.touched = 0, 0
        self._attributes: defaultdict[str, Counted] = defaultdict(Counted)

    def count(self, missing: Sequence[str], found: Mapping[str, float]) -> None:
        """A product: what it missed, and by name the confidence of what was found of that."""
        self.products += 1
        self.touched += bool(found)
        for name in missing:
            self._attributes[name].missing += 1
        for name, confidence in found.items():
            self._attributes[name].fill(confidence)

    def to_json(self) -> dict[str, Any]:
        """All counts; the attributes filled most often first."""
        ordered = sorted(self._attributes.items(), key=lambda each: (-each[1].filled, -each[1].missing, each[0]))
        attributes = {name: counted.to_json() for name, counted in ordered}
        counts = {"products": self.products, "products_filled": self.touched}
        return counts | self._pictures | {"attributes": attributes}


def table(report: Mapping[str, Any]) -> str:
    """What `to_json` says, for people."""
    attributes = report["attributes"]
    lines = [f"{report['products_filled']} of {report['products']} products have something new"]
    if (pictures := report.get("pictures")) and not pictures["read"]:
        lines.append(f"{pictures['products']} have an image_embedding, which this bundle does not read")
    if attributes:
        lines.append(f"{'attribute':32} {'missing':>9} {'filled':>9} {'share':>6}  confidence: mean, 5 %, median")
    for name, counts in list(attributes.items())[:MOST_SHOWN]:
        line = f"{name[:32]:32} {counts['missing']:9} {counts['filled']:9} {counts['filled'] / counts['missing']:6.1%}"
        if told := counts.get("confidence"):
            line += f"  {told['mean']:.3f}, {told['quantiles']['0.05']:.3f}, {told['quantiles']['0.5']:.3f}"
        lines.append(line)
    if len(attributes) > MOST_SHOWN:
        lines.append(f"… and {len(attributes) - MOST_SHOWN} more attributes, in the report")
    return "\n".join(lines)

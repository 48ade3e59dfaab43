"""A measured number with its interval and what it is compared with.

Knows: statistics, intervals, the JSON form. Does not know: what is measured.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from model_export import metrics
from model_export.metrics import Statistic


@dataclass(frozen=True, slots=True)
class Measure:
    """A value, its 95 % bootstrap interval over `n` queries (or titles, or kinds), and the same of each baseline."""

    value: float
    low: float
    high: float
    n: int
    baselines: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it, numbers rounded to five digits; null where a number is none."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        found: dict[str, Any] = {name: rounded(number) for name, number in numbers.items()} | {"n": self.n}
        if self.baselines:
            found["baselines"] = {name: rounded(number) for name, number in self.baselines.items()}
        return found


Suite = Mapping[str, Measure]
"""Measures by the name of their metric."""


def rounded(number: float) -> float | None:
    """A number as JSON may hold it."""
    return round(number, 5) if math.isfinite(number) else None


def measured(statistic: Statistic, size: int, baselines: Mapping[str, float] | None = None) -> Measure:
    """A statistic of `size` queries with its interval."""
    value = float(statistic(np.ones((1, size)))[0])
    return Measure(value, *metrics.bootstrap(statistic, size), size, baselines or {})


def mean(values: ArrayLike, baselines: Mapping[str, float] | None = None) -> Measure:
    """The mean of one value a query."""
    known = np.asarray(values, float)
    return measured(metrics.mean_of(known), len(known), baselines)


def counted(counts: Sequence[tuple[int, int, int]]) -> dict[str, Measure]:
    """Micro precision, recall and F1 of (right, predicted, true) by query."""
    right, predicted, true = np.array(counts, float).reshape(-1, 3).T
    ratios = {
        "precision": metrics.ratio_of(right, predicted),
        "recall": metrics.ratio_of(right, true),
        "F1": metrics.ratio_of(2 * right, predicted + true),
    }
    return {name: measured(ratio, len(right)) for name, ratio in ratios.items()}

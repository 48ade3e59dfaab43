"""How far two bundles' weights are from each other, and which ranks better where requests have gains.

Knows: what is measured of two sets of weights. Does not know: models, files, the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from model_export import metrics
from model_export.benchmark.measure import Measure, Suite, mean
from model_export.records import Record
from service import scoring

DIVERGENCE, CHANGED = "Jensen-Shannon divergence, nats", "changed top-1"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A request with the weights that both bundles give its attributes, in their order."""

    record: Record
    a: Sequence[float]
    b: Sequence[float]

    @property
    def divergence(self) -> float:
        """Jensen-Shannon, in nats."""
        return scoring.jensen_shannon(self.a, self.b)

    @property
    def firsts(self) -> tuple[int, int]:
        """The places of the largest weights."""
        return scoring.order(self.a)[0], scoring.order(self.b)[0]


@dataclass(frozen=True, slots=True)
class Sides:
    """A metric of A, of B, and of B less A by request."""

    a: Measure
    b: Measure
    less: Measure


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured; `left_out` requests hold something that one of the bundles cannot read."""

    weighed: Sequence[Weighed]
    changes: Suite
    sides: dict[str, Sides] = field(default_factory=dict)
    left_out: int = 0


def compared(weighed: Sequence[Weighed], left_out: int = 0) -> Comparison:
    """Everything of at least one request, with 95 % bootstrap intervals over requests.

    Ranking is measured on the requests whose gains tell: top-1 and MAP where some candidates have a gain and some have
    none, nDCG where gains differ.
    """
    changes = {
        DIVERGENCE: mean([each.divergence for each in weighed]),
        CHANGED: mean([float(each.firsts[0] != each.firsts[1]) for each in weighed]),
    }
    sides = {"entropy, nats": _sides([(scoring.entropy(each.a), scoring.entropy(each.b)) for each in weighed])}
    ranked = [each for each in weighed if each.record.ranks]
    graded = [each for each in weighed if len(set(each.record.gains)) > 1]
    for name, metric, part in (
        ("top-1", metrics.first_is_relevant, ranked),
        ("MAP", metrics.average_precision, ranked),
        ("nDCG", metrics.ndcg, graded),
    ):
        if part:
            sides[name] = _sides(_both(metric, part))
    return Comparison(weighed, changes, sides, left_out)


def _both(metric: Callable[[ArrayLike, ArrayLike], float], part: Sequence[Weighed]) -> list[tuple[float, float]]:
    return [(metric(each.a, each.record.gains), metric(each.b, each.record.gains)) for each in part]


def _sides(pairs: Sequence[tuple[float, float]]) -> Sides:
    a, b = np.array(pairs).T
    return Sides(mean(a), mean(b), mean(b - a))

"""How far the queries and answers of today are from those that the bundle was judged on.

Three figures, each beside the bundle's own on its dev data where the manifest has that: the share of word pieces that
the tokenizer does not know; how even the weights are, as entropy over that of equal weights, for the entropy itself
rises with the number of attributes asked for; and the calibration error of the top weight against facet choices.

Knows: the sums, what is forgotten when. Does not know: requests, events, when somebody should be woken.
"""

import math
from collections.abc import Sequence

from service.bundle import Reference
from service.telemetry import Telemetry
from service.text import QueryTokens

BLOCK, HALF_LIFE = 50, 5_000
"""Answers between two settings of the gauges; after so many more an answer counts half."""
BINS, CHOICES_HALF_LIFE, LEAST_CHOICES = 10, 5_000, 500
"""The calibration error of fewer choices would be mostly chance: 50 a bin already give about 0.05 by themselves."""


class Drift:
    """Unknown pieces and entropy of the answers of one bundle; `unknown` is the token of what its tokenizer lacks."""

    def __init__(self, reference: Reference | None, unknown: int, telemetry: Telemetry) -> None:
        self._reference, self._unknown, self._telemetry = reference, unknown, telemetry
        self._block = _Sums()
        self._sums = _Sums()

    def saw(
        self, query: str, attributes: Sequence[str], tokens: QueryTokens, weights: Sequence[float], entropy: float
    ) -> None:
        """An answer by the model alone; `entropy` of its weights in nats."""
        del query, attributes
        block = self._block
        block.answers += 1
        block.pieces += len(tokens.word_of)
        block.unknown += tokens.ids.count(self._unknown)
        if len(weights) > 1:
            block.weighed += 1
            block.evenness += entropy / math.log(len(weights))
        if block.answers >= BLOCK:
            self._sums.take(block, keep=0.5 ** (BLOCK / HALF_LIFE))
            self._block = _Sums()
            self._tell()

    def _tell(self) -> None:
        telemetry, sums = self._telemetry, self._sums
        telemetry.drift_unknown.set(sums.unknown / sums.pieces)
        telemetry.drift_entropy.set(sums.evenness / sums.weighed if sums.weighed else math.nan)
        known = self._reference or Reference(math.nan, math.nan, math.nan)
        telemetry.drift_unknown_reference.set(known.unknown_ratio)
        telemetry.drift_entropy_reference.set(known.entropy_ratio)
        telemetry.drift_calibration_reference.set(known.calibration_error)


class _Sums:
    """Over answers: word pieces, unknown ones; and over those of two attributes or more: entropies over the largest."""

    __slots__ = ("answers", "evenness", "pieces", "unknown", "weighed")

    def __init__(self) -> None:
        self.answers = self.pieces = self.unknown = self.weighed = self.evenness = 0.0

    def take(self, other: "_Sums", *, keep: float) -> None:
        """Add another's after these have lost all but `keep`."""
        for name in self.__slots__:
            setattr(self, name, keep * getattr(self, name) + getattr(other, name))


class Calibration:
    """Expected calibration error of the top weight against facet choices (Guo et al. 2017), ten bins of equal width.

    Of those who chose a facet, a share of 0.6 should have chosen the attribute whose weight was 0.6. Who looks only at
    what stands first chooses it more often than it deserves, so the figure tells of change rather than of truth.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._count, self._gap = [0.0] * BINS, [0.0] * BINS
        self._keep, self._since = 0.5 ** (1 / CHOICES_HALF_LIFE), 0

    def saw(self, top_weight: float, *, chosen: bool) -> None:
        """Somebody chose a facet; `chosen` says that it was the attribute of the largest weight, which is told."""
        place = min(int(top_weight * BINS), BINS - 1)
        for sums in (self._count, self._gap):
            sums[:] = [self._keep * each for each in sums]
        self._count[place] += 1
        self._gap[place] += top_weight - chosen
        self._since += 1
        if self._since >= BLOCK and sum(self._count) >= LEAST_CHOICES:
            self._since = 0
            self._telemetry.drift_calibration.set(sum(map(abs, self._gap)) / sum(self._count))

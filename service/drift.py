"""How far the queries and answers of today are from those that the bundle was judged on.

What is counted adds up over workers, instances and processes that fold: word pieces that the tokenizer does not know;
how even the weights are, as entropy over that of equal weights, for the entropy itself rises with the number of
attributes asked for; and the top weight against facet choices. The ratios over a long window, and their distance from
the bundle's own figures on its dev data, are made of it by the rules in `docker/alerts.yml`.

Knows: what is counted of an answer and of a choice. Does not know: requests, events, when somebody should be woken.
"""

import math
from collections.abc import Sequence

from service.bundle import Reference
from service.telemetry import BINS, PIECES, Telemetry
from service.text import QueryTokens


def tell_reference(reference: Reference | None, telemetry: Telemetry) -> None:
    """Put the figures of the bundle that has taken over beside what is counted; NaN where its manifest has none."""
    known = reference or Reference(math.nan, math.nan, math.nan)
    for figure, value in known._asdict().items():
        telemetry.drift_references[figure].set(value)


class Drift:
    """Unknown pieces and evenness of a bundle's answers; `unknown` is the token of what its tokenizer lacks."""

    def __init__(self, unknown: int, telemetry: Telemetry) -> None:
        self._unknown = unknown
        self._known_pieces, self._unknown_pieces = map(telemetry.drift_pieces.labels, PIECES)
        self._evenness = telemetry.drift_entropy

    def saw(
        self, query: str, attributes: Sequence[str], tokens: QueryTokens, weights: Sequence[float], entropy: float
    ) -> None:
        """An answer by the model alone; `entropy` of its weights in nats."""
        del query, attributes
        unknown = tokens.ids.count(self._unknown)
        self._known_pieces.inc(len(tokens.word_of) - unknown)
        self._unknown_pieces.inc(unknown)
        if len(weights) > 1:
            self._evenness.observe(entropy / math.log(len(weights)))


class Calibration:
    """What the expected calibration error of the top weight against facet choices is made of (Guo et al. 2017).

    Of those who chose a facet, a share of 0.6 should have chosen the attribute whose weight was 0.6. Who looks only at
    what stands first chooses it more often than it deserves, so the figure tells of change rather than of truth.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._bins = [(telemetry.drift_top.labels(each), telemetry.drift_top_chosen.labels(each)) for each in BINS]

    def saw(self, top_weight: float, *, chosen: bool) -> None:
        """Somebody chose a facet; `chosen` says that it was the attribute of the largest weight, which is told."""
        weights, hits = self._bins[min(int(top_weight * len(BINS)), len(BINS) - 1)]
        weights.observe(top_weight)
        hits.inc(chosen)

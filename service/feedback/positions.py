"""How likely a place in a list is to be examined.

Each choice among shown products is counted under its place, and its list under the list's length. A list of n places
shows each of the first n once, so how often a place was shown is the sum over all lists that are at least so long.
Facets stand by weight, so that most choices are at the top whatever is examined: theirs are counted beside what the
weights and the prior expected at each place.

Knows: counts by place, the arithmetic. Does not know: products, where counts are kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from service.evidence import HalfLives, Observed, at_time, observed
from service.feedback.keys import position_field
from service.feedback.shown import MOST_ATTRIBUTES, MOST_PRODUCTS

Propensity = Callable[[int], float]
"""How likely a place, counted from 1, is to be examined, relative to the first: 1 for it, never rising, never 0."""

LEAST = 0.1
"""Lower ones are taken for this, so that no single choice far down outweighs all else."""
PRIOR_CHOICES = 50.0
"""Expected choices at a place at which counts say as much as the prior."""


def prior(position: int) -> float:
    """What holds without any counts: 1 / sqrt(position), at least `LEAST`."""
    return max(LEAST, 1 / math.sqrt(max(1, position)))


class Propensities(NamedTuple):
    """Those of places in a list of products, and among facets."""

    products: Propensity = prior
    facets: Propensity = prior


def counts(position: int, places: int, at: float) -> dict[bytes, Observed]:
    """What a choice at a position of a list of so many places adds: one choice there, one list of that length."""
    return {
        position_field(place): observed(float(place == position), float(place == places), at, str(place))
        for place in {position, places}
    }


def facet_counts(position: int, expected: Sequence[float], at: float) -> dict[bytes, Observed]:
    """What a choice at a position among facets adds: one choice there, and at each place how likely one was to be there
    by the weights and the prior, which sums to 1.
    """
    return {
        position_field(place): observed(float(place == position), share, at, str(place))
        for place, share in enumerate(expected, 1)
    }


def propensity(found: Mapping[bytes, Observed], now: float, half_lives: HalfLives) -> Propensity:
    """Propensities by what was counted: choices over showings, shrunk towards the prior, relative to the first place.

    (C + m) / (E + m) times the prior, with C the choices at a place, E those that the prior expects there and m
    `PRIOR_CHOICES`; then the least so far. This holds good products to be spread evenly over the places: where the
    best stand first, as they should, places further down seem less examined than they are, and choices there count
    for more than they ought to. `LEAST` and the prior bound that error.
    """
    chosen, lists = _counted(found, MOST_PRODUCTS, now, half_lives)
    by_prior = [shown * prior(place) for place, shown in enumerate(_from_the_end(lists), 1)]
    rate = sum(chosen) / sum(by_prior) if sum(by_prior) > 0 else 0.0
    return _shrunk(chosen, [rate * each for each in by_prior])


def facet_propensity(found: Mapping[bytes, Observed], now: float, half_lives: HalfLives) -> Propensity:
    """The same of facets, E being what was counted: where they are chosen as their weights say, the prior holds. What
    stands first because people like it better than the weights say seems more examined than it is.
    """
    return _shrunk(*_counted(found, MOST_ATTRIBUTES, now, half_lives))


def _counted(
    found: Mapping[bytes, Observed], places: int, now: float, half_lives: HalfLives
) -> tuple[list[float], list[float]]:
    """What was chosen and what else was counted at each of the first so many places, as it counts now."""
    fields = map(position_field, range(1, places + 1))
    decayed = [at_time(found[field], now, half_lives) if field in found else None for field in fields]
    chosen = [each.chosen_long if each else 0.0 for each in decayed]
    return chosen, [each.expected_long if each else 0.0 for each in decayed]


def _shrunk(chosen: Sequence[float], expected: Sequence[float]) -> Propensity:
    raw = [
        prior(place) * (choices + PRIOR_CHOICES) / (by_prior + PRIOR_CHOICES)
        for place, (choices, by_prior) in enumerate(zip(chosen, expected, strict=True), 1)
    ]
    return _lookup(_falling([each / raw[0] for each in raw]))


def _from_the_end(lists: list[float]) -> list[float]:
    """Of lists by length: how many are at least so long."""
    sums, total = [], 0.0
    for count in reversed(lists):
        total += count
        sums.append(total)
    return sums[::-1]


def _falling(raw: list[float]) -> list[float]:
    least, falling = 1.0, []
    for each in raw:
        least = max(LEAST, min(least, each))
        falling.append(least)
    return falling


def _lookup(known: list[float]) -> Propensity:
    """Places beyond those known are taken for the last one."""
    return lambda position: known[min(max(1, position), len(known)) - 1]

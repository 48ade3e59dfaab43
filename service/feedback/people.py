"""How far a person bends what holds for all.

Knows: the mixture of weights and its bound, the mixture of tastes. Does not know: where either comes from.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

HALVINGS = 30
"""Of the share, where the bound wants a smaller one: exact to 1e-9."""
LEAST_STRENGTH = 0.02
"""Weaker preferences are none."""


class Personal(NamedTuple):
    """`share` of a person's own weights in the answer, `balance` of a person's own values beside the popular ones (see
    `tastes`), `divergence` the most that the answer's weights may be from the common ones, in nats.
    """

    share: float
    balance: float
    divergence: float


def mixed(common: Sequence[float], own: Sequence[float], personal: Personal) -> list[float]:
    """(1 − α) · common + α · own, with α the share, or the largest below it at which the bound holds.

    Both sum to 1, and so does the mixture. The divergence is convex in α and 0 at 0, so it never falls with α.
    """

    def at(share: float) -> list[float]:
        return [(1 - share) * one + share * other for one, other in zip(common, own, strict=True)]

    most, least = personal.share, 0.0
    found = at(most)
    if divergence(found, common) <= personal.divergence:
        return found
    for _ in range(HALVINGS):
        share = (least + most) / 2
        if divergence(at(share), common) <= personal.divergence:
            least = share
        else:
            most = share
    return at(least)


def divergence(one: Sequence[float], other: Sequence[float]) -> float:
    """Jensen and Shannon's, in nats: 0 for the same weights, log 2 for weights that share nothing (Lin 1991)."""
    total = 0.0
    for p, q in zip(one, other, strict=True):
        middle = (p + q) / 2
        total += (p * math.log(p / middle) if p > 0 else 0.0) + (q * math.log(q / middle) if q > 0 else 0.0)
    return max(0.0, total / 2)


def tastes(popular: Mapping[str, float], own: Mapping[str, float], personal: Personal) -> dict[str, float]:
    """How strongly each value of one attribute is wanted, in [-1, 1].

    A mixture by the balance: what is popular is of this query, what is a person's own of all that the person asked for.
    What is popular counts alike for those of whom nothing is known, so that a first choice takes nothing from it.
    """
    sums = {
        value: personal.balance * own.get(value, 0.0) + (1 - personal.balance) * popular.get(value, 0.0)
        for value in {**popular, **own}
    }
    return {value: strength for value, strength in sums.items() if abs(strength) >= LEAST_STRENGTH}

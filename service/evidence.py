"""What behaviour says of one thing: how much it was chosen, and how much it would have been by expectation.

Both are sums over events, decayed with two half-lives, a short one that follows what is new and a long one that
remembers. Their ratio, shrunk towards a prior by how little was seen, is a lift: what is to be added to a logit.

Knows: the arithmetic, the bytes that are kept. Does not know: events, scopes, where the bytes are kept.
"""

import math
import struct
from typing import NamedTuple

_SUMS = struct.Struct("<5d")


class HalfLives(NamedTuple):
    """After so many seconds a sum is worth half."""

    short: float
    long: float


class Observed(NamedTuple):
    """Sums as they were at the time `at`, in seconds since 1970; each for the short and the long half-life.

    `name` says for people what was observed.
    """

    chosen_short: float
    chosen_long: float
    expected_short: float
    expected_long: float
    at: float
    name: str


class Shrinkage(NamedTuple):
    """How evidence becomes a lift.

    `prior`: the expectation at which evidence counts as much as what is said without it; `short_share`: of the short
    half-life in a lift; `limit`: the largest lift, in nats, either way.
    """

    prior: float
    short_share: float
    limit: float


def observed(chosen: float, expected: float, at: float, name: str) -> Observed:
    """What one event says."""
    return Observed(chosen, chosen, expected, expected, at, name)


def at_time(found: Observed, at: float, half_lives: HalfLives) -> Observed:
    """The same sums as they are at a later time; an earlier one leaves them."""
    passed = max(0.0, at - found.at)
    short, long = 0.5 ** (passed / half_lives.short), 0.5 ** (passed / half_lives.long)
    return Observed(
        found.chosen_short * short,
        found.chosen_long * long,
        found.expected_short * short,
        found.expected_long * long,
        max(found.at, at),
        found.name,
    )


def merged(one: Observed, other: Observed, half_lives: HalfLives) -> Observed:
    """The sums of both, at the later one's time: the order of events does not matter."""
    at = max(one.at, other.at)
    a, b = at_time(one, at, half_lives), at_time(other, at, half_lives)
    return Observed(
        a.chosen_short + b.chosen_short,
        a.chosen_long + b.chosen_long,
        a.expected_short + b.expected_short,
        a.expected_long + b.expected_long,
        at,
        one.name,
    )


def without(found: Observed, part: Observed, half_lives: HalfLives) -> Observed:
    """What is left of sums without a part of them, at the later one's time: what `merged` put together, taken apart.

    No sum is below 0: the two may have been read at different times.
    """
    at = max(found.at, part.at)
    a, b = at_time(found, at, half_lives), at_time(part, at, half_lives)
    return Observed(
        max(0.0, a.chosen_short - b.chosen_short),
        max(0.0, a.chosen_long - b.chosen_long),
        max(0.0, a.expected_short - b.expected_short),
        max(0.0, a.expected_long - b.expected_long),
        at,
        found.name,
    )


def lift(found: Observed, now: float, half_lives: HalfLives, shrinkage: Shrinkage, *, parent: float = 0.0) -> float:
    """Log of the shrunk ratio of chosen to expected, in nats: what is to be added to a logit.

    `parent` is the lift that holds without this evidence; the ratio is (C + m exp(parent)) / (E + m), the posterior
    mean of a Poisson rate with a Gamma prior (DuMouchel 1999), for each half-life, their logs mixed.
    """
    decayed = at_time(found, now, half_lives)
    prior, prior_chosen = shrinkage.prior, shrinkage.prior * math.exp(parent)
    short = math.log((decayed.chosen_short + prior_chosen) / (decayed.expected_short + prior))
    long = math.log((decayed.chosen_long + prior_chosen) / (decayed.expected_long + prior))
    mixed = shrinkage.short_share * short + (1 - shrinkage.short_share) * long
    return max(-shrinkage.limit, min(shrinkage.limit, mixed))


def encode(found: Observed) -> bytes:
    """Five doubles, little-endian, then the name in UTF-8."""
    return _SUMS.pack(*found[:5]) + found.name.encode()


def decode(content: bytes) -> Observed:
    """What `encode` wrote. Raises ValueError for other bytes."""
    if len(content) < _SUMS.size:
        raise ValueError(f"{len(content)} bytes are no evidence")
    chosen_short, chosen_long, expected_short, expected_long, at = sums = _SUMS.unpack_from(content)
    if not all(map(math.isfinite, sums)) or min(sums) < 0:
        raise ValueError("the bytes of evidence hold a number that is none of ours")
    return Observed(chosen_short, chosen_long, expected_short, expected_long, at, content[_SUMS.size :].decode())

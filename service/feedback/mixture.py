"""People of like taste, found in their profiles: a mixture of cohorts, fitted by expectation and maximisation.

People of one cohort choose a value r times as often as the places alone would have it, r being of the cohort and the
value: how often somebody did is Poisson about r times what was expected, and r has a Gamma prior about 1, as in
`service.evidence`. The mixture is fitted (Dempster, Laird and Rubin 1977) from several beginnings by chance, first with
all differences dampened (Ueda and Nakano 1998), the likeliest outcome is kept, and of its cohorts those become one that
are no less likely as one. How well a cohort fits somebody is asked without that person's own choices, or each would fit
themselves best.

What is told of a cohort is of at least `LEAST_MEMBERS` people, more theirs than of all others together, and of no value
that fewer than `LEAST_SHARERS` of these have evidence of.

Knows: the mixture, whom a cohort needs to be told of. Does not know: where profiles are, what answers make of it.
"""

from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.evidence import HalfLives, Shrinkage, at_time
from service.feedback import keys
from service.feedback.cohorts import OBSERVATIONS
from service.feedback.ledger import Fields

LEAST_MEMBERS, LEAST_SHARERS = 3, 2
LEAST_EXPECTED = 1.0
"""Evidence, in orders, with which somebody is counted: of one click on a product of few attributes there is less."""
MOST_VALUES = 1024
"""Those most expected are told of."""
PRIOR = 3.0
"""Expected choices, in orders, at which the evidence of a cohort counts half."""
HEAVY = 4.0
"""Nobody counts for more than so many times the median of all."""
BEGINNINGS, STEPS, CALM = 3, 30, 1e-3
"""Beginnings, steps of each at most, and the largest change of a share at which it has arrived."""
SPARSE = 0.3
"""Concentration of the Dirichlet distribution that beginnings are drawn from: most of a person is in few cohorts."""
WARM_AT_FIRST, WARMER = 0.2, 0.1
"""What log-likelihoods are multiplied by at first, and how much more by each step, up to 1."""
MOST_TRIED = 3
"""Pairs of cohorts, the most alike first, that are tried as one; where none may be, all stay."""

Array = npt.NDArray[np.float64]


class Stopped(Exception):
    """Nobody wants the mixture any more."""


class Found(NamedTuple):
    """What cohorts like: `lifts`, (cohorts, values), in nats, 0 where too few met one; `values` are their fields."""

    values: list[bytes]
    lifts: Array


class Profiles:
    """What several people chose, by value, as it counts `now`; in few bytes, for they may be many."""

    def __init__(self, now: float, half_lives: HalfLives) -> None:
        self._now, self._half_lives = now, half_lives
        self._places: dict[bytes, int] = {}
        self._who, self._what, self._sums = array("q"), array("q"), array("d")
        self.people = 0

    def add(self, fields: Fields) -> None:
        """Another person's evidence of values, who counts if there is enough."""
        known = {each: at_time(fields[each], self._now, self._half_lives) for each in filter(keys.is_value, fields)}
        if sum(found.expected_long for found in known.values()) < LEAST_EXPECTED:
            return
        for field, found in known.items():
            self._who.append(self.people)
            self._what.append(self._places.setdefault(field, len(self._places)))
            self._sums.extend(found[:4])
        self.people += 1

    def mixture(self, shrinkage: Shrinkage, stopped: Callable[[], bool] = lambda: False) -> "Mixture":
        """What is to be fitted, nobody counting for much more than others; `stopped` is asked all the while."""
        who, what = np.array(self._who, np.int64), np.array(self._what, np.int64)
        sums = np.array(self._sums, np.float64).reshape(-1, 4)
        totals = np.bincount(who, sums[:, 3], self.people)
        if self.people:
            sums = sums * np.minimum(1.0, HEAVY * np.median(totals) / totals)[who, None]
        shared = np.bincount(what, minlength=len(self._places)) >= LEAST_SHARERS
        kept, place = shared[what], np.cumsum(shared) - 1
        values = [field for field, several in zip(self._places, shared, strict=True) if several]
        return Mixture(values, self.people, who[kept], place[what[kept]], sums[kept], shrinkage, stopped)


class Mixture:
    """Evidence as a table of few entries: of person `who` and value `what`, (entries,), the `sums`, (entries, 4), as
    `Observed` has them.
    """

    def __init__(
        self,
        values: list[bytes],
        people: int,
        who: npt.NDArray[np.int64],
        what: npt.NDArray[np.int64],
        sums: Array,
        shrinkage: Shrinkage,
        stopped: Callable[[], bool],
    ) -> None:
        self._values, self._people = values, people
        self._who, self._what, self._sums = who, what, sums
        self._shrinkage, self._stopped = shrinkage._replace(prior=PRIOR), stopped

    def cohorts(self, most: int, seed: int = 0) -> Found | None:
        """What at most so many cohorts like; None where people are too few or have nothing in common.

        Raises Stopped.
        """
        if most < 1 or self._people < LEAST_MEMBERS or not len(self._who):
            return None
        chance = np.random.default_rng(seed)
        begun = (chance.dirichlet(np.full(most, SPARSE), self._people) for _ in range(BEGINNINGS))
        shares, likelihood = max((self._fitted(each) for each in begun), key=lambda found: found[1])
        told = [lifts for share in self._merged(shares, likelihood).T if (lifts := self._told(share)) is not None]
        if not told:
            return None
        lifts = np.stack(told)
        expected = np.where((lifts != 0).any(axis=0), self._by_value(self._sums[:, 3]), 0.0)
        best = [place for place in np.argsort(-expected, kind="stable")[:MOST_VALUES] if expected[place] > 0]
        return Found([self._values[place] for place in best], lifts[:, best]) if best else None

    def _fitted(self, shares: Array) -> tuple[Array, float]:
        """The shares, (people, cohorts), that a beginning leads to, and their log-likelihood."""
        for step in range(STEPS):
            fits, warmth, before = self._fits(shares), min(1.0, WARM_AT_FIRST + WARMER * step), shares
            shares = _of_rows(warmth * fits)
            if warmth == 1 and np.abs(shares - before).max() < CALM:
                break
        return shares, _likelihood(fits)

    def _merged(self, shares: Array, likelihood: float) -> Array:
        """The shares with cohorts put together as long as that is no less likely."""
        while shares.shape[1] > 1:
            for one, other in self._alike(shares)[:MOST_TRIED]:
                together = np.delete(shares, other, axis=1)
                together[:, one] += shares[:, other]
                fits = self._fits(together)
                if _likelihood(fits) >= likelihood:
                    shares, likelihood = _of_rows(fits), _likelihood(fits)
                    break
            else:
                break
        return shares

    def _alike(self, shares: Array) -> list[tuple[int, int]]:
        """Pairs of cohorts, the first with the lower number, by how little what they like differs."""
        lifts = np.stack([self._lifts(share) for share in shares.T])
        expected = self._by_value(self._sums[:, 3])
        pairs = [(one, other) for other in range(len(lifts)) for one in range(other)]
        return sorted(pairs, key=lambda pair: float((lifts[pair[0]] - lifts[pair[1]]) ** 2 @ expected))

    def _told(self, share: Array) -> Array | None:
        """The lifts that may be told of a cohort, (values,); None where its own people are too few."""
        own = share > 0.5
        if own.sum() < LEAST_MEMBERS:
            return None
        sharers = self._by_value(own[self._who].astype(np.float64))
        return np.where(sharers >= LEAST_SHARERS, self._lifts(share * own), 0.0)

    def _lifts(self, share: Array) -> Array:
        """As `service.evidence.lift`, (values,), of people who count by their share."""
        weight, prior = share[self._who], self._shrinkage.prior
        sums = [self._by_value(weight * column) + prior for column in self._sums.T]
        short, long = np.log(sums[0] / sums[2]), np.log(sums[1] / sums[3])
        part, limit = self._shrinkage.short_share, self._shrinkage.limit
        lifts: Array = np.clip(part * short + (1 - part) * long, -limit, limit)
        return lifts

    def _fits(self, shares: Array) -> Array:
        """How well each cohort fits each person, by what the others say of it: log-likelihoods (people, cohorts)."""
        if self._stopped():
            raise Stopped
        chosen, expected = self._sums[:, 1], self._sums[:, 3]
        fits = np.empty_like(shares)
        for cohort, share in enumerate(shares.T):
            own_chosen, own_expected = share[self._who] * chosen, share[self._who] * expected
            others_chosen = np.maximum(self._by_value(own_chosen)[self._what] - own_chosen, 0)
            others_expected = np.maximum(self._by_value(own_expected)[self._what] - own_expected, 0)
            rate = (others_chosen + PRIOR) / (others_expected + PRIOR)
            fit = chosen * np.log(rate) - expected * (rate - 1)
            fits[:, cohort] = OBSERVATIONS * np.bincount(self._who, fit, self._people)
        found: Array = fits + np.log(shares.mean(axis=0) + 1e-12)
        return found

    def _by_value(self, of_entries: Array) -> Array:
        return np.bincount(self._what, of_entries, len(self._values)).astype(np.float64)


def _of_rows(logits: Array) -> Array:
    """The softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _likelihood(fits: Array) -> float:
    most = fits.max(axis=1)
    return float((most + np.log(np.exp(fits - most[:, None]).sum(axis=1))).sum())

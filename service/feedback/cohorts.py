"""People of like taste: what they all like says more of one of them than that one's own few choices.

People of one cohort choose a value r times as often as the places alone would have it, r being of the cohort and the
value: how often somebody did is Poisson about r times what was expected, and r has a Gamma prior about 1, as in
`service.evidence`. The mixture of cohorts is fitted by expectation and maximisation (Dempster, Laird and Rubin 1977)
from several beginnings by chance, first with all differences dampened (Ueda and Nakano 1998), and the likeliest outcome
is kept. How well a cohort fits somebody is asked without that person's own choices, or each would fit themselves best.

What is told of a cohort is a sum over several people, and of no value that fewer than `LEAST_SHARERS` of them have
chosen among.

Knows: the mixture, whom a cohort needs to be told of. Does not know: where profiles are, what answers make of it.
"""

import math
from array import array
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from service.evidence import HalfLives, Observed, at_time
from service.feedback import keys
from service.feedback.ledger import FIELDS_LEFT, Fields

LEAST_MEMBERS, LEAST_SHARERS = 3, 2
"""People of a cohort, and of them those with any evidence of a value, that it is told for."""
PRIOR = 3.0
"""Expected choices, in orders, at which the evidence of a cohort counts half."""
OBSERVATIONS = 2.0
"""Choices that evidence worth one order is: clicks count less than one and orders are few (mean over mean square)."""
HEAVY = 4.0
"""Nobody counts for more than so many times the median of all."""
BEGINNINGS, STEPS, CALM = 4, 30, 1e-3
"""Beginnings, steps of each at most, and the largest change of a share at which it has arrived."""
SPARSE = 0.3
"""Concentration of the Dirichlet distribution that beginnings are drawn from: most of a person is in few cohorts."""
WARM_AT_FIRST, WARMER = 0.2, 0.1
"""What log-likelihoods are multiplied by at first, and how much more by each step, up to 1."""

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Profiles:
    """What several people chose, by value, as it counts `now`; in few bytes, for they may be many."""

    def __init__(self, now: float, half_lives: HalfLives) -> None:
        self.now = now
        self.people = 0
        self._half_lives = half_lives
        self._places: dict[bytes, int] = {}
        self._names: list[str] = []
        self._who, self._what, self._sums = array("q"), array("q"), array("d")

    def add(self, fields: Fields) -> None:
        """Another person's evidence; that of attributes is left out."""
        for field, found in fields.items():
            if keys.is_value(field):
                place = self._places.setdefault(field, len(self._places))
                if place == len(self._names):
                    self._names.append(found.name)
                self._who.append(self.people)
                self._what.append(place)
                self._sums.extend(at_time(found, self.now, self._half_lives)[:4])
        self.people += 1

    def shared(self) -> "Shared":
        """What several of them have evidence of, nobody's counting for much more than others'."""
        who, what = np.array(self._who, np.int64), np.array(self._what, np.int64)
        sums = np.array(self._sums, np.float64).reshape(-1, 4)
        totals = np.bincount(who, sums[:, 3], self.people)
        most = HEAVY * float(np.median(totals)) if self.people else 0.0
        sums = sums * np.minimum(1.0, most / np.maximum(totals, 1e-12))[who, None]
        kept = np.bincount(what, minlength=len(self._names))[what] >= LEAST_SHARERS
        return Shared(self, who[kept], what[kept], sums[kept])

    def pooled(self, sums: Array, sharers: Array) -> dict[bytes, Observed]:
        """Evidence by field from sums (fields, 4), of those that enough people share, the most expected first."""
        fields = [*self._places]
        order = [int(place) for place in np.argsort(-sums[:, 3], kind="stable") if sharers[place] >= LEAST_SHARERS]
        return {fields[place]: self._observed(place, sums[place]) for place in order[:FIELDS_LEFT]}

    def _observed(self, place: int, sums: Array) -> Observed:
        chosen_short, chosen_long, expected_short, expected_long = sums.tolist()
        name = self._names[place]
        return Observed(chosen_short, chosen_long, expected_short, expected_long, self.now, name)

    @property
    def values(self) -> int:
        """How many different ones."""
        return len(self._names)


class Shared:
    """Evidence as a table of few entries: of person `who` and value `what`, (entries,), the `sums`, (entries, 4), as
    `Observed` has them.
    """

    def __init__(self, profiles: Profiles, who: Places, what: Places, sums: Array) -> None:
        self._profiles, self._who, self._what, self._sums = profiles, who, what, sums

    def cohorts(self, most: int, seed: int = 0) -> list[dict[bytes, Observed]]:
        """The evidence of each cohort, at most so many; none where people are too few or have nothing in common."""
        people = self._profiles.people
        if most < 2 or people < 2 * LEAST_MEMBERS or not len(self._who):
            return []
        chance = np.random.default_rng(seed)
        begun = (chance.dirichlet(np.full(most, SPARSE), people) for _ in range(BEGINNINGS))
        shares, _ = max((self._fitted(each) for each in begun), key=lambda found: found[1])
        told = (self._pooled(share) for share in shares.T if share.sum() >= LEAST_MEMBERS)
        return [fields for fields in told if fields]

    def _pooled(self, share: Array) -> dict[bytes, Observed]:
        weight = share[self._who]
        sums = [self._by_value(weight * column) for column in self._sums.T]
        return self._profiles.pooled(np.stack(sums, axis=1), self._by_value(weight))

    def _fitted(self, shares: Array) -> tuple[Array, float]:
        """Shares (people, cohorts) and the log-likelihood that a beginning leads to."""
        for step in range(STEPS):
            fits, warmth, before = self._fits(shares), min(1.0, WARM_AT_FIRST + WARMER * step), shares
            shares = softmax(warmth * fits)
            if warmth == 1 and np.abs(shares - before).max() < CALM:
                break
        most = fits.max(axis=1)
        return shares, float((most + np.log(np.exp(fits - most[:, None]).sum(axis=1))).sum())

    def _fits(self, shares: Array) -> Array:
        """How well each cohort fits each person, by what the others say of it: log-likelihoods (people, cohorts)."""
        chosen, expected = self._sums[:, 1], self._sums[:, 3]
        fits = np.empty_like(shares)
        for cohort, share in enumerate(shares.T):
            own_chosen, own_expected = share[self._who] * chosen, share[self._who] * expected
            others_chosen = np.maximum(self._by_value(own_chosen)[self._what] - own_chosen, 0)
            others_expected = np.maximum(self._by_value(own_expected)[self._what] - own_expected, 0)
            rate = (others_chosen + PRIOR) / (others_expected + PRIOR)
            fit = chosen * np.log(rate) - expected * (rate - 1)
            fits[:, cohort] = OBSERVATIONS * np.bincount(self._who, fit, self._profiles.people)
        found: Array = fits + np.log(shares.mean(axis=0) + 1e-12)
        return found

    def _by_value(self, of_entries: Array) -> Array:
        return np.bincount(self._what, of_entries, self._profiles.values).astype(np.float64)


def softmax(logits: Array) -> Array:
    """By row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def nearest(chosen: Mapping[bytes, tuple[float, float]], lifts: Sequence[Mapping[bytes, float]]) -> tuple[int, float]:
    """The cohort that fits a person best, by its place, and how likely it is theirs; each is as likely at first.

    `chosen`: by field what was chosen and what was expected, in orders; `lifts`: of each cohort, in nats.
    """
    fits = []
    for known in lifts:
        common = ((*sums, known[field]) for field, sums in chosen.items() if field in known)
        fits.append(OBSERVATIONS * sum(took * lift - blind * math.expm1(lift) for took, blind, lift in common))
    best = max(fits)
    return fits.index(best), 1 / sum(math.exp(fit - best) for fit in fits)

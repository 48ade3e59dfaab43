"""Which values people like: those who asked the same, one person, and people of like taste.

What a person likes is shrunk towards what their cohort does, by how likely it is theirs; without cohorts towards 0.

Knows: whose liking is shrunk towards whose, what is kept of it. Does not know: scopes, the ledger, how lifts are made.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from service.evidence import Observed
from service.feedback import keys, people
from service.feedback.cohorts import Array, Cohorts
from service.feedback.kept import Kept
from service.feedback.people import Personal
from service.feedback.snapshots import Snapshot

MOST_STRENGTHS = 50_000
"""Of values, kept while what was read of them is the same: about 10 MB."""
LIKE_ONE = 24
"""So many floats of what a cohort likes take as much as one strength."""

Preferences = dict[str, dict[str, float]]
Strengths = Mapping[bytes, Mapping[str, float]]
"""By an attribute's field, how strongly each of its values is liked, in (-1, 1)."""
NO_ONE = np.zeros(0, np.float32)


class Lifting(NamedTuple):
    """How evidence becomes a lift of a field, given that which holds without it, in nats; what was chosen and expected
    by now, in orders; and what multiplies every lift.
    """

    lift: Callable[[bytes, Observed, float], float]
    sums: Callable[[Observed], tuple[float, float]]
    strength: float


class _Own(NamedTuple):
    """What is liked by evidence of one's own, and what one's cohort likes, by the places of `Cohorts`."""

    strengths: Strengths
    alike: Array


class Likings:
    """Likings of one request after another. `cohorts` tells which hold, None for none."""

    def __init__(self, lifting: Lifting, personal: Personal, cohorts: Callable[[], Cohorts | None]) -> None:
        self._lifting, self._personal, self._cohorts = lifting, personal, cohorts
        self._kept: Kept[tuple[int, float], _Own] = Kept(MOST_STRENGTHS)

    def preferences(self, names: Iterable[str], query: Snapshot, person: Snapshot) -> Preferences:
        """By name, how strongly which of its values are wanted, in [-1, 1]."""
        if not query.number and not person.number:
            return {}
        cohorts = self._cohorts() if person.number else None
        popular, own = self._of(query, None).strengths, self._of(person, cohorts)
        alike = own.alike.tolist()
        found: Preferences = {}
        for name in names:
            field = keys.attribute_field(name)
            others, mine = popular.get(field, {}), own.strengths.get(field, {})
            if cohorts and (places := cohorts.by_attribute.get(field)):
                mine = {value: alike[place] for value, place in places.items()} | {**mine}
            if values := people.tastes(others, mine, self._personal):
                found[name] = values
        return found

    def _of(self, snapshot: Snapshot, cohorts: Cohorts | None) -> _Own:
        """Kept while all is as it was read."""
        if not snapshot.number:
            return _Own({}, NO_ONE)
        key = snapshot.number, cohorts.until if cohorts else 0.0
        found = self._kept.get(key)
        if found is None:
            found = self._made(snapshot, cohorts)
            size = sum(map(len, found.strengths.values())) + len(found.alike) // LIKE_ONE
            self._kept.put(key, found, 1 + size)
        return found

    def _made(self, snapshot: Snapshot, cohorts: Cohorts | None) -> _Own:
        values = [field for field in snapshot.fields if keys.is_value(field)]
        lifts, strength = NO_ONE, self._lifting.strength
        if cohorts:
            lifts = cohorts.liked_by({field: self._lifting.sums(snapshot.fields[field]) for field in values})
        found: dict[bytes, dict[str, float]] = {}
        for field in values:
            place = cohorts.place(field) if cohorts else None
            parent = 0.0 if place is None else float(lifts[place])
            _, value = keys.told(field)
            lifted = self._lifting.lift(field, snapshot.fields[field], parent)
            found.setdefault(keys.attribute_of(field), {})[value] = math.tanh(strength * lifted)
        return _Own(found, np.tanh(np.float32(strength) * lifts))

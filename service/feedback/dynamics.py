"""What behaviour adds to an answer: lifts of logits, and the values that people like.

The lift of an attribute is that of the narrowest scope with evidence, shrunk towards the next wider one's: a query's
towards its kind of product's, that towards everything's, that towards 0, which is the model's word. A wider scope
speaks without what is a narrower one's own, so that no choice counts twice. Lifts are nats of the weights: one of log 2
doubles an attribute's weight before all are divided by their sum, so that a weight goes where choices divided by the
model's expectation say. In logits, which the bundle's temperature T divides, it is T · lift.

The lift of a value, shrunk by a prior of its own, is how much it is liked: tanh(lift), of which `liking` is the most
that it adds to a product's score. It is not multiplied by the attribute's weight, for a lift says itself how much a
value matters: in a log-linear model of choice it is the value's utility. In replays with simulated shoppers
(`tests/load/replay.py`) likings multiplied by weights changed next to nothing: most weights are small.

Knows: scopes of a request, the order of shrinking, where chance comes in. Does not know: requests, tokens, the ledger.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest

from service import scoring
from service.evidence import HalfLives, Observed, Shrinkage, at_time, lift, without
from service.feedback import keys, people
from service.feedback.cohorts import Cohorts
from service.feedback.kept import Kept
from service.feedback.likings import Lifting, Likings, Preferences
from service.feedback.people import Personal
from service.feedback.snapshots import FRESH_S, NOTHING, Snapshot, Snapshots, settled

KIND_NAMES = frozenset(
    (
        "product type",
        "type",
        "category",
        "product category",
        "item type",
        "kind",
        "商品类型",
        "产品类型",
        "类型",
        "品类",
    )
)
"""Plain names of attributes whose value is a kind of product."""
SCOPES_KEPT = 2048
MOST_LIFTS = 50_000
"""Of attributes, kept while what was read of them is the same: about 2 MB."""
MOST_FORMS = 2
"""What is said again is kept as written for so many numbers of attributes."""


@dataclass(frozen=True, slots=True)
class Options:
    """How evidence becomes lifts, and what chance and people may do.

    `value_prior` is what `shrinkage` has for attributes, for values; `liking` the most that one adds to a score.
    `strength` multiplies every lift; `explore` is the share of answers that chance moves, by normal noise with the
    standard deviation `explore_scale`, in nats of the weights.
    """

    half_lives: HalfLives
    shrinkage: Shrinkage
    value_prior: float
    strength: float
    liking: float
    explore: float
    explore_scale: float
    personal: Personal


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Attributes by their fields; a list of its own, whatever it holds, as lists come again and again."""

    fields: tuple[bytes, ...]


class Forms(dict[int, bytes]):
    """What was written of weights, by how many of them; a few forms, for callers send the same again."""

    def keep(self, count: int, content: bytes) -> bytes:
        """The content, which is known from now on."""
        if len(self) >= MOST_FORMS:
            self.clear()
        self[count] = content
        return content


@dataclass(frozen=True, slots=True)
class Bent:
    """Weights of one answer, by place in the request: `alone` by the model alone, `calibrated` the same at the bundle's
    own temperature, `base` with what chance added, `common` with what all people did besides, `weights` with the
    person named. The same list where nothing is added.

    `evidence` and `own` are what people's and the person's choices make of each weight, None where nothing; `entropy`,
    in nats, is that of `calibrated`. `shown` and `answered` are for whoever has written it down, by how many were
    answered.
    """

    weights: list[float]
    common: list[float]
    base: list[float]
    alone: list[float]
    calibrated: list[float]
    evidence: list[float] | None
    own: list[float] | None
    entropy: float
    shown: Forms = field(default_factory=Forms)
    answered: Forms = field(default_factory=Forms)

    @property
    def explored(self) -> bool:
        """Whether chance had a part."""
        return self.base is not self.alone


Read = tuple[tuple[str, ...], tuple[int, ...]]
"""Scopes, and which of their states was read, the person's last: what is the same for both says the same."""


class Behaviour:
    """What is known for one request, perhaps still to come: then it `waits`, and `ready` has it come."""

    __slots__ = ("_asked", "_dynamics", "_person", "scopes")

    def __init__(self, dynamics: "Dynamics", scopes: tuple[str, ...], person: str) -> None:
        self.scopes = scopes
        self._dynamics, self._person = dynamics, person
        self._asked = dynamics.snapshots.ask(scopes)
        if person:
            self._asked += dynamics.snapshots.ask((person,), FRESH_S)

    @property
    def named(self) -> bool:
        """Whether a person was named."""
        return bool(self._person)

    @property
    def waits(self) -> bool:
        """Whether anything is still to come."""
        return any([type(each) is not Snapshot for each in self._asked])  # noqa: C419  # no generator for so few

    def of_kind(self, kind: str) -> None:
        """Take the kind of product, which was not known at first, between the query and everything."""
        scope = keys.kind_scope(kind)
        self.scopes = (self.scopes[0], scope, *self.scopes[1:])
        self._asked[1:1] = self._dynamics.snapshots.ask((scope,))

    async def ready(self, within: float) -> None:
        """Wait for what is still to come, no longer than so many seconds."""
        self._asked = [*await settled(self._asked, within)]

    @property
    def read(self) -> Read:
        """What was read, as far as it has come."""
        return self.scopes, tuple([each.number if type(each) is Snapshot else 0 for each in self._asked])

    def noise(self, count: int) -> list[float]:
        """What chance adds to so many attributes, in nats; empty where it adds nothing, as it mostly does."""
        return self._dynamics.noise(count)

    def bend(
        self, logits: Sequence[float], names: Names, noise: Sequence[float], temperature: float, own_temperature: float
    ) -> Bent:
        """The weights of these logits. `temperature` is the request's, `own_temperature` the bundle's."""
        snapshots, person = self._parts()
        return self._dynamics.bent(logits, names, noise, (temperature, own_temperature), snapshots, person)

    @property
    def liking(self) -> float:
        """The most that a value which people chose adds to a product's score."""
        return self._dynamics.liking

    def preferences(self, names: Iterable[str]) -> Preferences:
        """How strongly which values are wanted of attributes: popular for the query, and the person's own."""
        snapshots, person = self._parts()
        return self._dynamics.preferences(names, snapshots[0], person)

    def _parts(self) -> tuple[list[Snapshot], Snapshot]:
        known = [each if isinstance(each, Snapshot) else NOTHING for each in self._asked]
        return (known[:-1], known[-1]) if self._person else (known, NOTHING)


class Dynamics:
    """What behaviour adds to one answer after another. `clock`: seconds since 1970; `cohorts` tells which hold."""

    def __init__(
        self,
        snapshots: Snapshots,
        options: Options,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
        cohorts: Callable[[], Cohorts | None] = lambda: None,
    ) -> None:
        self.snapshots = snapshots
        self._options, self._clock, self._chance = options, clock, chance or random.Random()
        self._scopes = lru_cache(SCOPES_KEPT)(keys.scopes)
        self._lifts: Kept[tuple[Names, tuple[int, ...]], tuple[float, ...]] = Kept(MOST_LIFTS)
        self._likings = Likings(Lifting(self._lift, self.sums, options.strength), options.personal, cohorts)

    def begin(self, query: str, kind: str | None = None, person: str = "") -> Behaviour:
        """Ask for what a request needs; `person` is the key of one. What is not known is read from now on."""
        return Behaviour(self, self._scopes(query, kind or ""), person)

    def lift(self, field: bytes, snapshots: Sequence[Snapshot]) -> float:
        """The lift of an attribute or value, in nats, by scopes from the narrowest to the widest."""
        found, half_lives = 0.0, self._options.half_lives
        for seen, narrower in zip_longest(*_wide_first(field, snapshots)):
            rest = without(seen, narrower, half_lives) if narrower else seen
            found = self._lift(field, rest, found)
        return self._options.strength * found

    def _lift(self, field: bytes, found: Observed, parent: float) -> float:
        """The lift that evidence makes of that which holds without it."""
        options = self._options
        shrinkage = options.shrinkage
        if keys.is_value(field):
            shrinkage = shrinkage._replace(prior=options.value_prior)
        return lift(found, self._clock(), options.half_lives, shrinkage, parent=parent)

    @property
    def liking(self) -> float:
        """The most that a value which people chose adds to a product's score."""
        return self._options.liking

    def sums(self, found: Observed) -> tuple[float, float]:
        """How often something was chosen, and how often by expectation, as it counts now by the long half-life."""
        now = at_time(found, self._clock(), self._options.half_lives)
        return now.chosen_long, now.expected_long

    def noise(self, count: int) -> list[float]:
        """What chance adds to so many attributes, in nats; empty where it adds nothing."""
        options = self._options
        if options.explore and self._chance.random() < options.explore:
            return [self._chance.gauss(0.0, options.explore_scale) for _ in range(count)]
        return []

    def bent(
        self,
        logits: Sequence[float],
        names: Names,
        noise: Sequence[float],
        temperatures: tuple[float, float],
        snapshots: Sequence[Snapshot],
        person: Snapshot,
    ) -> Bent:
        """The weights of these logits with what chance, all people and one person add."""
        temperature, own_temperature = temperatures

        def weights(nats: Sequence[float]) -> list[float]:
            lifted = [logit + own_temperature * each for logit, each in zip(logits, nats, strict=True)]
            return scoring.softmax(lifted, temperature)

        alone = scoring.softmax(logits, temperature)
        nats = [*noise] or [0.0] * len(logits)
        base = weights(nats) if noise else alone
        common = base
        if lifts := self._known_lifts(names, snapshots):
            nats = [a + b for a, b in zip(nats, lifts, strict=True)]
            common = weights(nats)
        final = common
        if self._options.personal.share and (lifts := self._known_lifts(names, [person])):
            nats = [a + b for a, b in zip(nats, lifts, strict=True)]
            final = people.mixed(common, weights(nats), self._options.personal)
        calibrated = alone if temperature == own_temperature else scoring.softmax(logits, own_temperature)
        evidence, own = _less(common, base), _less(final, common)
        return Bent(final, common, base, alone, calibrated, evidence, own, scoring.entropy(calibrated))

    def preferences(self, names: Iterable[str], query: Snapshot, person: Snapshot) -> Preferences:
        """By name, how strongly which of its values are wanted, in [-1, 1]."""
        return self._likings.preferences(names, query, person)

    def _known_lifts(self, names: Names, snapshots: Sequence[Snapshot]) -> tuple[float, ...] | None:
        """The lifts of a list of attributes, None where all are 0; kept while all is as it was read."""
        numbers = tuple([snapshot.number for snapshot in snapshots])
        if not any(numbers):
            return None
        found = self._lifts.get((names, numbers))
        if found is None:
            found = tuple([self.lift(each, snapshots) for each in names.fields])
            self._lifts.put((names, numbers), found, len(found))
        return found if any(found) else None


def _wide_first(field: bytes, snapshots: Sequence[Snapshot]) -> tuple[list[Observed], list[Observed]]:
    """The evidence of a field by scope, from the widest, where there is any, and that of the next narrower one."""
    found = [seen for snapshot in reversed(snapshots) if (seen := snapshot.fields.get(field))]
    return found, found[1:]


def _less(one: list[float], other: list[float]) -> list[float] | None:
    return None if one is other else [a - b for a, b in zip(one, other, strict=True)]

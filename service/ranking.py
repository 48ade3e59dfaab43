"""Products in the order of what they are worth to a query.

The query's weights and stated values come by the way that `/v1/weights` goes, and the texts' vectors from the embedder;
the score is `relevance`'s.

Catalogues name one thing in several ways: what the query states for a name counts for the names that state nothing
themselves and whose vectors are near enough, unless words set the two apart. Preferences come to the products' names in
the same way. Where the model reads the same words for two sides ("output voltage", "input voltage"), they count for the
one that the query is on.

Knows: the order of these steps, what to do when texts cannot be embedded. Does not know: HTTP, of the formula
more than how near names join.
"""

import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.bundle import Formula
from service.errors import DeadlineExceeded, ModelFailed, Overloaded
from service.feedback.keys import attribute_field, plain_value, value_text
from service.matching.opposites import alike_but_for_sides, apart, aside, meaning
from service.matching.parsing import Parser, Value
from service.matching.products import Cosine, Product, Read
from service.matching.sentence import Stated
from service.relevance import Scored, Wishes
from service.telemetry import Telemetry
from service.turns import Turns
from service.weighting import Weigher, Weighting, rescaled, wanted_by

MOST_ATTRIBUTES = 256
"""So many names are weighed, those that most products have first."""

Preferences = Mapping[str, Mapping[str, float]]
"""How strongly each value of an attribute is wanted, in [-1, 1], by the attribute's name."""


Embed = Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]
"""Unit vectors (texts, width) of texts."""


class Embedder(Protocol):
    """What embeds texts."""

    def vectors(self, texts: Sequence[str], *, deadline: float) -> Awaitable[NDArray[np.float32]]:
        """Unit vectors (texts, width); raises Overloaded, DeadlineExceeded, ModelFailed."""
        ...


@dataclass(frozen=True, slots=True)
class RankedProduct:
    """A product by its place in the request, with its score."""

    index: int
    scored: Scored


@dataclass(frozen=True, slots=True)
class Ranking:
    """All products, best first; equal ones keep their order. `weighting` is None where they have no attributes.

    `degraded` says why weights or texts are not the model's, "" where they are.
    """

    products: tuple[RankedProduct, ...]
    weighting: Weighting | None
    degraded: str


class Ranker:
    """Ranks the products of one query after another. `plain` reads a name as words."""

    def __init__(
        self,
        weigher: Weigher,
        embedder: Embedder,
        parser: Parser,
        formula: Formula,
        plain: Callable[[str], str],
        telemetry: Telemetry,
    ) -> None:
        self._weigher, self._embedder, self._plain = weigher, embedder, plain
        self._parser, self._formula, self._telemetry = parser, formula, telemetry

    async def rank(
        self,
        query: str,
        products: Sequence[Product],
        *,
        preferences: Preferences | None = None,
        kind: str | None = None,
        person: str = "",
        deadline: float = math.inf,
        fallback: bool = False,
        while_scoring: AbstractAsyncContextManager[object] | None = None,
    ) -> Ranking:
        """The order of the products; the model is asked inside `while_scoring`.

        Raises BadInput for a query that cannot be read, what weighing and embedding raise, and DeadlineExceeded when
        they took too long. With `fallback` the weights are those that weighing falls back to, and texts that cannot be
        embedded in time have no cosine: of names, those that read the same still mean the same. With
        feedback on, `kind` and `person` are as in weighing, and products with values that people chose gain by it,
        but for attributes that `preferences` name.
        """
        self._weigher.tokens(query)  # which refuses an unreadable query, also where there is nothing to weigh
        wishes, turns = Wishes(query, self._parser, self._formula), Turns(deadline)
        names, weighting, degraded = attributes_of(products), None, ""
        if names:
            weighting = await self._weigher.weigh(
                query,
                names,
                deadline=deadline,
                fallback=fallback,
                kind=kind,
                person=person,
                while_scoring=while_scoring,
            )
            degraded = weighting.degraded
            await self._state(wishes, query, weighting, turns)
        await turns.collect(wishes.measure({name: self._plain(name) for name in names}, products))
        try:
            async with while_scoring or nullcontext():
                by = wanted_by(time.monotonic(), deadline, fallback=fallback)
                await self._join(wishes, names, preferences or {}, partial(self._embedder.vectors, deadline=by), turns)
                read = await _read(wishes, products, weighting, preferences or (), turns)
                texts = [*wishes.own_texts(), *(text for each in read for text in each.texts())]
                cosine = await self._cosine(texts, by)
        except (Overloaded, ModelFailed, DeadlineExceeded) as error:
            if not fallback:
                raise
            await self._join(wishes, names, preferences or {}, _apart, turns)
            read, cosine = await _read(wishes, products, weighting, preferences or (), turns), _no_cosine
            if not degraded:  # else the weigher has counted this answer
                self._telemetry.degraded.labels(error.code).inc()
                degraded = error.code
        scored = await turns.collect(wishes.scored(each, cosine) for each in read)
        if time.monotonic() > deadline:
            raise DeadlineExceeded("the answer was ready too late for the request's time")
        ranked = sorted(map(RankedProduct, range(len(scored)), scored), key=lambda each: -each.scored.score)
        return Ranking(tuple(ranked), weighting, degraded)

    async def _state(self, wishes: Wishes, query: str, weighting: Weighting, turns: Turns) -> None:
        """Want what the query states and names of the attributes that are weighed."""
        wishes.weigh({found.attribute: found.weight for found in weighting.attributes})
        weighed = [*weighting.attributes, *weighting.hidden]  # a hidden one lends what is stated of it
        overruled = {*self._overruled(query, {found.attribute: found.values for found in weighed})}
        for found in weighed:
            wishes.state(found.attribute, () if found.attribute in overruled else found.values)
            wishes.name(found.attribute, self._plain(found.attribute))
            await turns.rest()

    def _overruled(self, query: str, stated: Mapping[str, Sequence[Stated]]) -> Iterator[str]:
        """The names that are aside of the query, where it states their words of a like name that is not."""
        asked, says = meaning(query), {name: meaning(self._plain(name)) for name, values in stated.items() if values}
        meant = [name for name in says if not aside(says[name], asked)]
        for name in says.keys() - set(meant):
            like = (other for other in meant if alike_but_for_sides(says[name], says[other]))
            if any(_overlap(stated[name], stated[other]) for other in like):
                yield name

    async def _join(
        self, wishes: Wishes, names: Sequence[str], preferences: Preferences, embed: Embed, turns: Turns
    ) -> None:
        """Give names of which the query states nothing what it states of their likes, and what is preferred of them.

        A like is near enough and not `apart`.
        """
        stated = [name for name in names if wishes.wanted(name)]
        others = [name for name in names if not wishes.wanted(name)]
        if not others or not (stated or preferences):
            return
        known = {name: self._plain(name).casefold() for name in {*names, *preferences}}
        places = {text: place for place, text in enumerate(sorted(set(known.values())))}
        vectors, meant = await embed(list(places)), cache(meaning)

        def likes(among: Sequence[str]) -> Iterator[tuple[str, str]]:
            """(other, the nearest of its likes) for each of the others that has any among these."""
            if not among:
                return
            own, theirs = (vectors[[places[known[name]] for name in group]] for group in (others, among))
            for name, cosines in zip(others, own @ theirs.T, strict=True):
                nearest_first = np.argsort(-cosines, kind="stable")[: np.count_nonzero(cosines >= self._formula.join)]
                for like in (among[place] for place in nearest_first):
                    if not apart(meant(known[name]), meant(known[like])):
                        yield name, like
                        break

        for name, like in await turns.collect(likes(stated)):
            wishes.borrow(name, like)
        preferred = await turns.collect(likes([*preferences]))
        found = {name: like for name, like in preferred if not wishes.wanted(name)}
        wanted = {like: await turns.collect(wishes.preferring(preferences[like])) for like in set(found.values())}
        for name, like in found.items():
            wishes.prefer(name, wanted[like])

    async def _cosine(self, texts: Iterable[str], by: float) -> Cosine:
        """What tells the cosine of any two of these texts."""
        listed = list(dict.fromkeys(texts))
        vectors = dict(zip(listed, await self._embedder.vectors(listed, deadline=by), strict=True))
        return lambda one, other: float(vectors[one] @ vectors[other])


def _overlap(some: Sequence[Stated], others: Sequence[Stated]) -> bool:
    """Whether any two of these values share words."""
    return any(start < last and first < end for _, start, end, _ in some for _, first, last, _ in others)


def _learn(wishes: Wishes, weighting: Weighting | None, preferred: Iterable[str]) -> None:
    """Like the values that people chose, but of attributes that a rule hides or of which the caller prefers any."""
    if weighting and (behaviour := weighting.behaviour):
        fields = set(map(attribute_field, preferred))
        names = (each.attribute for each in weighting.attributes if not wishes.preferred(each.attribute))
        found = behaviour.preferences([name for name in names if attribute_field(name) not in fields])
        lowered = _lowered(weighting)
        most = {name: behaviour.liking * lowered.get(name, 1.0) for name in found}

        def liking(name: str, value: Value) -> float:
            return most[name] * found[name].get(plain_value(value_text(value)), 0.0) if name in found else 0.0

        wishes.like(liking)


def _lowered(weighting: Weighting) -> dict[str, float]:
    """What rules left of each weight that one multiplies, as a share of it, at most 1: no liking grows by a rule.

    Weights that only make room for one that a rule lifts are not here.
    """
    multiplied = {each.attribute for each in weighting.rules if each.action == "multiply"}
    if not multiplied or not (bent := weighting.bent):
        return {}
    found = (each for each in weighting.attributes if each.attribute in multiplied)
    return {each.attribute: min(1.0, rescaled(each, bent)) for each in found}


def attributes_of(products: Sequence[Product]) -> list[str]:
    """The names of the products' attributes, those that most products have first, `MOST_ATTRIBUTES` at most.

    A name without a letter or digit is none: nothing can be read of it.
    """
    counts = Counter(name for product in products for name in product.attributes if _is_readable(name))
    return [name for name, _ in counts.most_common(MOST_ATTRIBUTES)]


def _is_readable(text: str) -> bool:
    return any(map(str.isalnum, text))


async def _read(
    wishes: Wishes, products: Sequence[Product], weighting: Weighting | None, preferred: Iterable[str], turns: Turns
) -> list[Read]:
    """The products beside what is wanted and liked."""
    _learn(wishes, weighting, preferred)
    read = []
    for product in products:
        compared = await turns.collect(wishes.compared(product))
        told = await turns.collect(wishes.told(product, compared)) if wishes.negates else ()
        read.append(wishes.read(product, compared, told))
        await turns.rest()
    return read


async def _apart(texts: Sequence[str]) -> NDArray[np.float32]:
    """In place of vectors: every text is like itself alone."""
    return np.eye(len(texts), dtype=np.float32)


def _no_cosine(_one: str, _other: str) -> float:
    return 0.0

"""How much each attribute matters for a query: the use case this service exists for.

A request is tokenised, what is known of its pairs is looked up, the rest is packed and scored, and softmax over all
of them gives the weights. What is cached is a pair's logit and value words, never a weight. With feedback on, what
people did lifts the logits before the softmax: what is known of it is asked for together with the pairs.

Knows: the order of these steps, what to do when the model cannot answer. Does not know: HTTP, Redis, ONNX.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from typing import Literal, NamedTuple, Protocol, TypeVar, cast

from service import explaining, scoring
from service.errors import BadInput, DeadlineExceeded, ModelFailed, Overloaded
from service.explaining import Explanation
from service.feedback import keys
from service.feedback.dynamics import KIND_NAMES, Behaviour, Bent, Dynamics, Names, Read
from service.feedback.kept import Kept
from service.inflight import Compute
from service.rules import Applied
from service.scoring import PairScore, RowScores
from service.spans import Value, values
from service.telemetry import Telemetry
from service.text import (
    AttributeTokens,
    QueryTokens,
    Row,
    Tokenizer,
    attribute_key,
    longest_row,
    pack,
    query_key,
)

SPLIT_TOKENS = 16
"""Threads that have nothing to do share a request's candidates, if each gets at least so many tokens of them."""
FALLBACK_SHARE = 0.9
"""A caller who takes a fallback gets it when so much of its time has passed: later would be too late for it, too."""
EVIDENCE_SHARE = 0.5
"""Of the time that is left when all pairs are known: what people did is waited for no longer, for it is not needed."""
_A = TypeVar("_A")
_B = TypeVar("_B")
Degraded = Literal["", "overloaded", "deadline_exceeded", "model_failed"]
QUERIES_KEPT, ATTRIBUTES_KEPT, LISTS_KEPT = 2048, 8192, 256
"""Texts whose tokens are kept, and lists of attributes: callers send the same again."""
LONGEST_KEPT = 1024
"""Characters of a query whose tokens are kept: so many of longer texts would take tens of MB."""


MOST_ANSWERED, ANSWER_SIZE = 50_000, 16
"""Of weights that were answered with feedback on, kept: about 30 MB."""


class Cache(Protocol):
    """Where pair scores are kept; it never raises."""

    def near(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What is known of these attributes without waiting."""
        ...

    async def far(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, PairScore]:
        """What is known of those that were not known near, as far as it can be said within so many seconds."""
        ...

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep these scores."""
        ...


class Scorer(Protocol):
    """What scores packed rows."""

    @property
    def spare_threads(self) -> int:
        """How many rows could begin at once."""
        ...

    def admit(self, tokens: int, *, deadline: float) -> None:
        """Raises Overloaded when so many tokens will not be scored in time."""
        ...

    def score(self, rows: Sequence[Row]) -> Awaitable[list[RowScores]]:
        """One score a row, in order; raises Overloaded, ModelFailed."""
        ...


class Shared(Protocol):
    """What lets callers who want the same pair at once share one computation."""

    async def scores(
        self, query: bytes, attributes: Sequence[bytes], compute: Compute
    ) -> tuple[dict[bytes, PairScore], int]:
        """The scores, and how many of them somebody was waiting for already."""
        ...


class Prior(Protocol):
    """What is said of an attribute when the model cannot be asked."""

    def logit(self, attribute: bytes) -> float:
        """Its logit, whatever the query."""
        ...


class Witness(Protocol):
    """What is told of answers, for the metrics."""

    def saw(
        self, query: str, attributes: Sequence[str], tokens: QueryTokens, weights: Sequence[float], entropy: float
    ) -> None:
        """The model answered these weights, at its own temperature; `entropy` is theirs, in nats."""
        ...


class Rules(Protocol):
    """Who has the last word on an answer."""

    def apply(self, weighting: "Weighting", query: str, product_type: str) -> "Weighting":
        """The answer as the rules for this query and this type of product ("" is unknown) make it."""
        ...


class WeightedAttribute(NamedTuple):
    """A candidate with its weight; `position` is its place in the request. Explained where that was asked for."""

    position: int
    attribute: str
    weight: float
    logit: float
    values: tuple[Value, ...]
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Weighting:
    """All candidates, largest weight first; the weights sum to 1. `entropy` in nats, `hits` and `misses` in pairs.

    `degraded` says why the misses have the prior's logits, "" where they have the model's. Where `rules` were applied
    they may have put the candidates into another order, and `hidden` are those that they took out of it.
    With feedback on, `bent` says by position what the weights are made of before rules, but its parts are those of
    the weights under them, and `behaviour` what is known of people's choices.
    """

    attributes: tuple[WeightedAttribute, ...]
    entropy: float
    hits: int
    misses: int
    degraded: Degraded
    rules: tuple[Applied, ...] = ()
    hidden: tuple[WeightedAttribute, ...] = ()
    bent: Bent | None = None
    behaviour: Behaviour | None = None


class _Candidates(NamedTuple):
    """A list of attributes, as it comes with request after request.

    `tokens` is by key: two attributes that the model cannot tell apart have one. `kind` is the place of the first
    whose value is a kind of product.
    """

    keys: tuple[bytes, ...]
    tokens: dict[bytes, AttributeTokens]
    names: Names
    kind: int | None


_AnswerKey = tuple[str, Names, float, Read]
_Answer = tuple[list[PairScore], tuple[WeightedAttribute, ...], float, Bent]
"""Made of these scores; with its entropy."""


@dataclass(slots=True)
class Weighing:
    """A request under way: its texts as tokens, and what is known of its pairs so far."""

    query: str
    attributes: Sequence[str]
    tokens: QueryTokens
    key: bytes
    candidates: _Candidates
    scores: dict[bytes, PairScore]
    misses: int = 0
    degraded: Degraded = ""
    unknown: list[bytes] = field(default_factory=list)


class Weigher:
    """Weighs the attributes of one query after another.

    `read`; where something is unknown then, `look_up`; where something still is, `complete`; `answer`; `explain` where
    it is asked for. With `rules`, these change what `weigh` answers.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        scorer: Scorer,
        cache: Cache,
        shared: Shared,
        prior: Prior,
        telemetry: Telemetry,
        *,
        temperature: float,
        value_threshold: float,
        dynamics: Dynamics | None = None,
        rules: Rules | None = None,
        witnesses: Sequence[Witness] = (),
    ) -> None:
        self._scorer, self._cache, self._shared, self._dynamics = scorer, cache, shared, dynamics
        self._prior, self._telemetry, self._rules = prior, telemetry, rules
        self._temperature, self._value_threshold = temperature, value_threshold
        self._answers: Kept[_AnswerKey, _Answer] = Kept(MOST_ANSWERED)
        self._witnesses = tuple(witnesses)
        # Not of methods: what is kept would keep the weigher, and with it a bundle that has been replaced.
        self._query = lru_cache(QUERIES_KEPT)(partial(_read_query, tokenizer))
        attribute = lru_cache(ATTRIBUTES_KEPT)(partial(_read_attribute, tokenizer))
        self._candidates = lru_cache(LISTS_KEPT)(partial(_read_candidates, attribute, tokenizer.plain))

    async def weigh(
        self,
        query: str,
        attributes: Sequence[str],
        *,
        temperature: float | None = None,
        deadline: float = math.inf,
        fallback: bool = False,
        explain: int = 0,
        kind: str | None = None,
        person: str = "",
        while_scoring: AbstractAsyncContextManager[object] | None = None,
    ) -> Weighting:
        """All steps that are needed, the model's inside `while_scoring`; what is known in process costs no waiting.

        The first `explain` attributes of the answer are explained. With feedback on, `kind` is the kind of product,
        where it is None one that the query states, and `person` the key of whom the answer is for. Raises what the
        steps raise, and DeadlineExceeded when they took too long.
        """
        behaviour = self._dynamics.begin(query, kind, person) if self._dynamics else None
        weighing = await self.known(
            query, attributes, deadline=deadline, fallback=fallback, while_scoring=while_scoring
        )
        if kind is None and (kind := _stated_kind(weighing)) and behaviour:
            behaviour.of_kind(kind)
        if behaviour and behaviour.waits:
            await behaviour.ready((deadline - time.monotonic()) * EVIDENCE_SHARE)
        if time.monotonic() > deadline:
            raise DeadlineExceeded("the answer was ready too late for the request's time")
        weighting = self.answer(weighing, temperature, behaviour)
        if self._rules:
            weighting = self._rules.apply(weighting, query, kind or "")
        if explain and not weighing.degraded:
            async with while_scoring or nullcontext():
                return await self.explain(weighing, weighting, explain, deadline=deadline, fallback=fallback)
        return weighting

    async def known(
        self,
        query: str,
        attributes: Sequence[str],
        *,
        deadline: float = math.inf,
        fallback: bool = False,
        while_scoring: AbstractAsyncContextManager[object] | None = None,
    ) -> Weighing:
        """The steps up to `complete`, as far as they are needed: the score of every pair."""
        weighing = self.read(query, attributes)
        if weighing.unknown:
            await self.look_up(weighing, deadline=deadline)
        if weighing.unknown:
            async with while_scoring or nullcontext():
                await self.complete(weighing, deadline=deadline, fallback=fallback)
        return weighing

    def tokens(self, query: str) -> tuple[QueryTokens, bytes]:
        """A query's tokens, and what it is known by. Raises BadInput for one with nothing in it that can be read."""
        tokens, key = (self._query if len(query) <= LONGEST_KEPT else self._query.__wrapped__)(query)
        if not tokens.starts:
            raise BadInput("the query holds nothing that can be read", "query")
        return tokens, key

    def read(self, query: str, attributes: Sequence[str]) -> Weighing:
        """Tokenise a request and look up what is known of it in process.

        Raises BadInput for a text with nothing in it that the model can read.
        """
        begun = time.monotonic()
        tokens, key = self.tokens(query)
        candidates = self._candidates(tuple(attributes))
        tokenised = time.monotonic()
        self._telemetry.observe("tokenise", begun, tokenised)
        known = self._cache.near(key, candidates.keys)
        weighing = Weighing(query, attributes, tokens, key, candidates, known)
        if len(known) < len(candidates.tokens):
            weighing.misses = sum([key not in known for key in candidates.keys])
            weighing.unknown = [key for key in candidates.tokens if key not in known]
        else:
            self._telemetry.observe("cache", tokenised, time.monotonic())
        return weighing

    async def look_up(self, weighing: Weighing, *, deadline: float = math.inf) -> None:
        """Find in the cache what was not known in process; `deadline` as `time.monotonic` counts."""
        begun = time.monotonic()
        found = await self._cache.far(weighing.key, weighing.unknown, within=deadline - begun)
        self._telemetry.observe("cache", begun, time.monotonic())
        if found:
            weighing.scores |= found
            weighing.misses -= sum([key in found for key in weighing.candidates.keys])
            weighing.unknown = [key for key in weighing.unknown if key not in found]

    async def complete(self, weighing: Weighing, *, deadline: float = math.inf, fallback: bool = False) -> None:
        """Have the model score what is unknown; `deadline` as `time.monotonic` counts.

        Raises Overloaded at once when it cannot be done in time, DeadlineExceeded, and ModelFailed. With `fallback`
        none of them: the prior answers for what is still unknown then.
        """
        now = time.monotonic()
        by = wanted_by(now, deadline, fallback=fallback)

        def compute(attributes: Sequence[bytes]) -> Awaitable[dict[bytes, PairScore]]:
            return self._score(weighing, attributes, by)

        try:
            async with asyncio.timeout(None if math.isinf(by) else by - now):
                scores, joined = await self._shared.scores(weighing.key, weighing.unknown, compute)
        except (Overloaded, ModelFailed) as error:
            self._fall_back(weighing, error, allowed=fallback)
        except TimeoutError:
            self._fall_back(weighing, DeadlineExceeded("no answer within the request's time"), allowed=fallback)
        else:
            weighing.scores |= scores
            if joined:
                self._telemetry.found["joined"].inc(joined)
            self._telemetry.found["miss"].inc(len(scores) - joined)

    def _fall_back(
        self, weighing: Weighing, error: Overloaded | ModelFailed | DeadlineExceeded, *, allowed: bool
    ) -> None:
        if not allowed:
            raise error
        weighing.degraded = cast(Degraded, error.code)
        self._telemetry.degraded.labels(error.code).inc()
        weighing.scores |= {key: PairScore(self._prior.logit(key), ()) for key in weighing.unknown}

    def _score(
        self, weighing: Weighing, attributes: Sequence[bytes], deadline: float
    ) -> asyncio.Future[dict[bytes, PairScore]]:
        query, names = weighing.tokens, [weighing.candidates.tokens[key] for key in attributes]
        lengths = [len(name) for name in names]
        self._scorer.admit(len(query.ids) + sum(lengths), deadline=deadline)
        rows = pack(query, names, row_tokens=min(longest_row(query), len(query.ids) + self._share(lengths)))

        def read(scores: list[RowScores]) -> dict[bytes, PairScore]:
            found = [
                scoring.pair_scores(
                    row, query.word_of, threshold=self._value_threshold, conjunctions=query.conjunctions
                )
                for row in scores
            ]
            new = dict(zip(attributes, chain.from_iterable(found), strict=True))
            self._cache.put(weighing.key, new)
            return new

        return _then(self._scorer.score(rows), read)

    def _share(self, lengths: Sequence[int]) -> int:
        """How many tokens of candidates a row takes, so that every thread that has nothing to do gets a row."""
        parts = max(1, min(self._scorer.spare_threads, sum(lengths) // SPLIT_TOKENS))
        return -(-sum(lengths) // parts) + max(lengths) - 1

    def answer(
        self, weighing: Weighing, temperature: float | None = None, behaviour: Behaviour | None = None
    ) -> Weighting:
        """Weights `softmax(z / T)` of all attributes, `T` being the bundle's unless `temperature` is given, moved by
        what is known of people's choices.
        """
        scores = [weighing.scores[key] for key in weighing.candidates.keys]
        own = temperature is None
        if temperature is None:
            temperature = self._temperature
        if behaviour:
            weighting, bent = self._moved(weighing, scores, temperature, behaviour)
            weights, entropy = bent.calibrated, bent.entropy
        else:
            weights = scoring.softmax([score.logit for score in scores], temperature)
            weighting = self._weighting(weighing, scores, weights)
            entropy = weighting.entropy
        self._telemetry.entropy.observe(weighting.entropy)
        if own and not weighing.degraded:
            for witness in self._witnesses:  # of what the model alone says
                witness.saw(weighing.query, weighing.attributes, weighing.tokens, weights, entropy)
        return weighting

    def _moved(
        self, weighing: Weighing, scores: list[PairScore], temperature: float, behaviour: Behaviour
    ) -> tuple[Weighting, Bent]:
        """The same with what is known of people's choices; what was answered before is, while all of it is as it was.

        For what comes from the cache comes often, and the arithmetic would be twice that of the model alone.
        """
        names, noise = weighing.candidates.names, behaviour.noise(len(scores))
        key = weighing.query, names, temperature, behaviour.read
        known = None if noise or weighing.misses else self._answers.get(key)
        if known and known[0] == scores:
            _, attributes, entropy, bent = known
            return Weighting(attributes, entropy, len(scores), 0, "", bent=bent, behaviour=behaviour), bent
        logits = [score.logit for score in scores]
        bent = behaviour.bend(logits, names, noise, temperature, self._temperature)
        weighting = self._weighting(weighing, scores, bent.weights)
        if not noise and not weighing.degraded and len(weighing.query) <= LONGEST_KEPT:
            self._answers.put(key, (scores, weighting.attributes, weighting.entropy, bent), len(scores) + ANSWER_SIZE)
        return replace(weighting, bent=bent, behaviour=behaviour), bent

    def _weighting(self, weighing: Weighing, scores: Sequence[PairScore], weights: Sequence[float]) -> Weighting:
        names, stated = weighing.attributes, self.values(weighing)
        ordered = [
            WeightedAttribute(i, names[i], weights[i], scores[i].logit, stated[i]) for i in scoring.order(weights)
        ]
        hits, misses = len(scores) - weighing.misses, weighing.misses
        return Weighting(tuple(ordered), scoring.entropy(weights), hits, misses, weighing.degraded)

    def values(self, weighing: Weighing) -> list[tuple[Value, ...]]:
        """The values that the query states of each attribute, in the request's order."""
        scores = [weighing.scores[key] for key in weighing.candidates.keys]
        return [values(weighing.query, weighing.tokens, score.spans) if score.spans else () for score in scores]

    async def explain(
        self,
        weighing: Weighing,
        weighting: Weighting,
        first: int,
        *,
        deadline: float = math.inf,
        fallback: bool = False,
    ) -> Weighting:
        """The same with its first attributes explained, which the model is asked for; nothing of it is cached.

        Raises as `complete` does. With `fallback` none of them: then nothing is explained.
        """
        now = time.monotonic()
        by = wanted_by(now, deadline, fallback=fallback)
        explained = {weighing.candidates.keys[found.position]: found.logit for found in weighting.attributes[:first]}
        query, names = weighing.tokens, [weighing.candidates.tokens[key] for key in explained]
        parts = explaining.sub_queries(query)
        tokens = sum(len(part.ids) for part in parts) + len(parts) * sum(map(len, names))
        room = longest_row(query)
        try:
            self._scorer.admit(tokens, deadline=by)
            rows = [row for part in parts for row in pack(part, names, row_tokens=room)]
            async with asyncio.timeout(None if math.isinf(by) else by - now):
                scores = await self._scorer.score(rows)
        except (Overloaded, ModelFailed, TimeoutError) as error:
            if fallback:
                return weighting
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("no explanation within the request's time") from error
            raise
        found = explaining.explanations(weighing.query, query, list(explained.values()), scores)
        of_key = dict(zip(explained, found, strict=True))
        keys = [weighing.candidates.keys[each.position] for each in weighting.attributes]
        told = [
            each._replace(explanation=of_key.get(key)) for each, key in zip(weighting.attributes, keys, strict=True)
        ]
        return replace(weighting, attributes=tuple(told))


def rescaled(found: WeightedAttribute, bent: Bent) -> float:
    """The weight that rules made an attribute's, as a multiple of that before them; 0 where it had none."""
    before = bent.weights[found.position]
    return found.weight / before if before else 0.0


def wanted_by(now: float, deadline: float, *, fallback: bool) -> float:
    """When the model's answer is too late for this caller."""
    return now + (deadline - now) * FALLBACK_SHARE if fallback else deadline


def _then(first: Awaitable[_A], step: Callable[[_A], _B]) -> asyncio.Future[_B]:
    """What a step makes of the first result; a task in its place would take the event loop several times as long."""
    before = asyncio.ensure_future(first)
    after: asyncio.Future[_B] = before.get_loop().create_future()

    def go_on(_: object) -> None:
        if after.done():
            return
        try:
            after.set_result(step(before.result()))
        except asyncio.CancelledError:
            after.cancel()
        except Exception as error:  # noqa: BLE001  # whatever it was, it is for whoever waits
            after.set_exception(error)

    def give_up(_: object) -> None:
        if after.cancelled():
            before.cancel()

    before.add_done_callback(go_on)
    after.add_done_callback(give_up)
    return after


def _read_query(tokenizer: Tokenizer, text: str) -> tuple[QueryTokens, bytes]:
    tokens = tokenizer.query(text)
    return tokens, query_key(tokens.ids)


def _read_attribute(tokenizer: Tokenizer, text: str) -> tuple[bytes, AttributeTokens]:
    tokens = tokenizer.attribute(text)
    return attribute_key(tokens), tokens


def _read_candidates(
    attribute: Callable[[str], tuple[bytes, AttributeTokens]], plain: Callable[[str], str], attributes: tuple[str, ...]
) -> _Candidates:
    pairs = [attribute(text) for text in attributes]
    for index, (_, tokens) in enumerate(pairs):
        if len(tokens) == 1:
            raise BadInput("the attribute holds nothing that can be read", f"attributes.{index}")
    kinds = (place for place, text in enumerate(attributes) if plain(text).casefold() in KIND_NAMES)
    names = Names(tuple(map(keys.attribute_field, attributes)))
    return _Candidates(tuple(key for key, _ in pairs), dict(pairs), names, next(kinds, None))


def _stated_kind(weighing: Weighing) -> str:
    """The kind of product that the query states, as surely as it states any; "" where it states none."""
    place = weighing.candidates.kind
    if place is None:
        return ""
    stated = values(weighing.query, weighing.tokens, weighing.scores[weighing.candidates.keys[place]].spans)
    return max(stated, key=lambda value: value.confidence).text if stated else ""

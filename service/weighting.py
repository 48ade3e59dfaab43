"""How much each attribute matters for a query: the use case this service exists for.

A request is tokenised, what is known of its pairs is looked up, the rest is packed and scored, and softmax over all
of them gives the weights. What is cached is a pair's logit and value words, never a weight.

Knows: the order of these steps. Does not know: HTTP, Redis, ONNX.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service import scoring
from service.cache.pairs import attribute_key, query_key
from service.errors import BadInput
from service.scoring import PairScore, RowScores
from service.telemetry import Telemetry
from service.text import AttributeTokens, QueryTokens, Row, Tokenizer, pack

ROW_ATTRIBUTE_TOKENS = 384
"""Candidates longer than this together go into several rows: attention costs the square of a row's length."""


class Cache(Protocol):
    """Where pair scores are kept; it never raises."""

    async def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What is known of these attributes."""
        ...

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep these scores."""
        ...


class Scorer(Protocol):
    """What scores packed rows."""

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        """One score a row, in order; raises Overloaded, ModelFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Value:
    """Words of the query as sent, `query[start:end]` in Unicode code points, and how sure the model is of them."""

    text: str
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class WeightedAttribute:
    """A candidate with its weight; `index` is its place in the request."""

    index: int
    attribute: str
    weight: float
    logit: float
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Weighting:
    """All candidates, largest weight first; the weights sum to 1. `entropy` in nats, `hits` and `misses` in pairs."""

    attributes: tuple[WeightedAttribute, ...]
    entropy: float
    hits: int
    misses: int


class Weigher:
    """Weighs the attributes of one query after another."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        scorer: Scorer,
        cache: Cache,
        telemetry: Telemetry,
        *,
        temperature: float,
        value_threshold: float,
    ) -> None:
        self._tokenizer, self._scorer, self._cache, self._telemetry = tokenizer, scorer, cache, telemetry
        self._temperature, self._value_threshold = temperature, value_threshold

    async def weigh(self, query: str, attributes: Sequence[str], *, temperature: float | None = None) -> Weighting:
        """Weights `softmax(z / T)` of the attributes, `T` being the bundle's unless `temperature` is given.

        Raises BadInput for a text with nothing in it that the model can read, Overloaded and ModelFailed.
        """
        begun = time.perf_counter()
        tokens, names = self._read(query, attributes)
        tokenised = time.perf_counter()
        key, fields = query_key(tokens.ids), [attribute_key(name) for name in names]
        known = await self._cache.get(key, fields)
        looked_up = time.perf_counter()
        self._telemetry.stage.labels("tokenise").observe(tokenised - begun)
        self._telemetry.stage.labels("cache").observe(looked_up - tokenised)
        misses = {field: name for field, name in zip(fields, names, strict=True) if field not in known}
        new = await self._score(tokens, misses) if misses else {}
        if new:
            self._cache.put(key, new)
        scores = [known[field] if field in known else new[field] for field in fields]
        missed = sum(field in misses for field in fields)
        temperature = self._temperature if temperature is None else temperature
        return self._weighting(query, attributes, tokens, scores, temperature, missed)

    def _read(self, query: str, attributes: Sequence[str]) -> tuple[QueryTokens, list[AttributeTokens]]:
        tokens = self._tokenizer.query(query)
        if not tokens.words:
            raise BadInput("the query holds nothing that can be read", "query")
        names = [self._tokenizer.attribute(attribute) for attribute in attributes]
        for index, name in enumerate(names):
            if len(name) == 1:
                raise BadInput("the attribute holds nothing that can be read", f"attributes.{index}")
        return tokens, names

    async def _score(self, query: QueryTokens, wanted: Mapping[bytes, AttributeTokens]) -> dict[bytes, PairScore]:
        rows = pack(query, list(wanted.values()), row_tokens=len(query.ids) + ROW_ATTRIBUTE_TOKENS)
        scores = [
            pair
            for row in await self._scorer.score(rows)
            for pair in scoring.pair_scores(row, query.word_of, threshold=self._value_threshold)
        ]
        return dict(zip(wanted, scores, strict=True))

    def _weighting(
        self,
        query: str,
        attributes: Sequence[str],
        tokens: QueryTokens,
        scores: Sequence[PairScore],
        temperature: float,
        misses: int,
    ) -> Weighting:
        def values(score: PairScore) -> tuple[Value, ...]:
            known = (span for span in score.spans if span.last < len(tokens.words))
            places = [(tokens.words[s.first][0], tokens.words[s.last][1], s.confidence) for s in known]
            return tuple(Value(query[start:end], start, end, confidence) for start, end, confidence in places)

        weights = scoring.softmax([score.logit for score in scores], temperature)
        entropy = scoring.entropy(weights)
        self._telemetry.entropy.observe(entropy)
        ordered = tuple(
            WeightedAttribute(i, attributes[i], float(weights[i]), scores[i].logit, values(scores[i]))
            for i in scoring.order(weights)
        )
        return Weighting(ordered, entropy, len(scores) - misses, misses)

"""The values that a text states, and the entries of a caller's vocabulary that they mean.

A value is what the weights' own path says of the text and an attribute; an entry is the one that reads the same, else
the one that it agrees with most, as values do in `/v1/rank`.

Knows: the order of these steps. Does not know: how values are found or texts embedded, HTTP.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.embedding import Embedder
from service.errors import BadInput, DeadlineExceeded
from service.matching.nearest import most_agreeing
from service.matching.parsing import Parser
from service.matching.wording import normalised
from service.text import Value
from service.weighting import Weigher


class Nearest(NamedTuple):
    """An entry of the vocabulary, and how well the value agrees with it, in [-1, 1]: 1 where both read the same."""

    entry: str
    similarity: float


class StatedValue(NamedTuple):
    """A value, with the nearest entry where the attribute has a vocabulary."""

    value: Value
    nearest: Nearest | None


@dataclass(frozen=True, slots=True)
class Extraction:
    """The values of each attribute asked for, in the order asked. `hits` and `misses` in pairs.

    `truncated` says that the text is longer than what the model reads.
    """

    values: tuple[tuple[StatedValue, ...], ...]
    truncated: bool
    hits: int
    misses: int


class Extractor:
    """Reads the values of one text after another."""

    def __init__(self, weigher: Weigher, embedder: Embedder, parser: Parser) -> None:
        self._weigher, self._embedder, self._parser = weigher, embedder, parser

    async def extract(
        self,
        text: str,
        attributes: Sequence[str],
        vocabulary: Mapping[str, Sequence[str]],
        *,
        deadline: float = math.inf,
        while_scoring: AbstractAsyncContextManager[object] | None = None,
    ) -> Extraction:
        """The values that the text states; the model is asked inside `while_scoring`.

        Raises BadInput for a text with nothing in it that can be read, Overloaded, ModelFailed, and DeadlineExceeded.
        """
        try:
            weighing = await self._weigher.known(text, attributes, deadline=deadline, while_scoring=while_scoring)
        except BadInput as error:
            if error.field != "query":
                raise
            raise BadInput("the text holds nothing that can be read", "text") from error
        stated = self._weigher.values(weighing)
        wanted = {
            (value.text, attribute): vocabulary[attribute]
            for attribute, values in zip(attributes, stated, strict=True)
            if attribute in vocabulary
            for value in values
        }
        async with while_scoring or nullcontext():
            nearest = await self._nearest(wanted, deadline)
        if time.monotonic() > deadline:
            raise DeadlineExceeded("the answer was ready too late for the request's time")
        found = [
            tuple(StatedValue(value, nearest.get((value.text, attribute))) for value in values)
            for attribute, values in zip(attributes, stated, strict=True)
        ]
        return Extraction(tuple(found), weighing.tokens.truncated, len(stated) - weighing.misses, weighing.misses)

    async def _nearest(
        self, wanted: Mapping[tuple[str, str], Sequence[str]], deadline: float
    ) -> dict[tuple[str, str], Nearest]:
        """The nearest entry to each (value, attribute); texts are embedded where no entry reads the same."""
        nearest: dict[tuple[str, str], Nearest] = {}
        for key, entries in wanted.items():
            plain = normalised(key[0])
            if same := next((entry for entry in entries if normalised(entry) == plain), None):
                nearest[key] = Nearest(same, 1.0)
        left = {key: entries for key, entries in wanted.items() if key not in nearest}
        if not left:
            return nearest
        texts = list({normalised(text) for key, entries in left.items() for text in (key[0], *entries)})
        vectors = dict(zip(texts, await self._embedder.vectors(texts, deadline=deadline), strict=True))
        for key, entries in left.items():
            cosines = np.stack([vectors[normalised(entry)] for entry in entries]) @ vectors[normalised(key[0])]
            stored = [self._parser.wanted(normalised(entry)) for entry in entries]
            best, agreed = most_agreeing(self._parser.found(normalised(key[0])), stored, cosines.tolist())
            nearest[key] = Nearest(entries[best], agreed)
        return nearest

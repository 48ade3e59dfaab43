"""The values that a text states, and the entries of a caller's vocabulary that they mean.

A value is what the weights' own path says of the text and an attribute; an entry is the one that reads the same, else
the one that it agrees with most, as values do in `/v1/rank`. With a picture, text and picture choose an entry together.

Knows: the order of these steps. Does not know: how values are found or texts embedded, HTTP.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.denial import Denial, ruled_out, surest
from service.embedding import Embedder
from service.errors import BadInput, DeadlineExceeded, NoVocabulary
from service.matching.nearest import most_agreeing
from service.matching.parsing import Parser
from service.matching.wording import normalised
from service.pictures import FIELD, Evidence, Pictures, Source, Stated, similarities, unit_vector
from service.spans import Value
from service.turns import Turns
from service.weighting import Weigher


class Nearest(NamedTuple):
    """An entry of the vocabulary, and how well the value agrees with it, in [-1, 1]: 1 where both read the same."""

    entry: str
    similarity: float


class StatedValue(NamedTuple):
    """A value, with the nearest entry where the attribute has a vocabulary; `negated` where the text denies it."""

    value: Value
    nearest: Nearest | None
    negated: bool


class Chosen(NamedTuple):
    """The entry of a vocabulary that text and picture mean together, its probability, and which of them told it."""

    entry: str
    confidence: float
    source: Source


@dataclass(frozen=True, slots=True)
class Extraction:
    """The values of each attribute asked for, in the order asked. `hits` and `misses` in pairs.

    `truncated` says that the text is longer than what the model reads. `chosen` has, where a picture was given, what
    was chosen for each attribute with a vocabulary, but for what the text denies.
    """

    values: tuple[tuple[StatedValue, ...], ...]
    truncated: bool
    hits: int
    misses: int
    chosen: Mapping[str, Chosen] = field(default_factory=dict)


class Extractor:
    """Reads the values of one text after another.

    `pictures` is None where the bundle reads none; `plain` makes words of an attribute's name.
    """

    def __init__(
        self,
        weigher: Weigher,
        embedder: Embedder,
        parser: Parser,
        *,
        pictures: Pictures | None = None,
        plain: Callable[[str], str] = str,
    ) -> None:
        self._weigher, self._embedder, self._parser = weigher, embedder, parser
        self._pictures, self._plain = pictures, plain

    async def extract(
        self,
        text: str,
        attributes: Sequence[str],
        vocabulary: Mapping[str, Sequence[str]],
        *,
        image: Sequence[float] | None = None,
        deadline: float = math.inf,
        while_scoring: AbstractAsyncContextManager[object] | None = None,
    ) -> Extraction:
        """The values that the text states; the model is asked inside `while_scoring`. `image` is a picture's vector.

        Raises BadInput for a text with nothing in it that can be read and for a vector that the bundle cannot read,
        NoVocabulary for one without a vocabulary, Overloaded, ModelFailed, and DeadlineExceeded.
        """
        seen = None if image is None else self._seen(image, vocabulary)
        try:
            weighing = await self._weigher.known(text, attributes, deadline=deadline, while_scoring=while_scoring)
        except BadInput as error:
            if error.field != "query":
                raise
            raise BadInput("the text holds nothing that can be read", "text") from error
        turns, denial = Turns(deadline), Denial(text)
        stated = await turns.collect(map(denial.uncued, self._weigher.values(weighing)))
        negated = denial.denied(chain.from_iterable(stated))
        wanted = {
            (value.text, attribute): vocabulary[attribute]
            for attribute, values in zip(attributes, stated, strict=True)
            if attribute in vocabulary
            for value in values
        }
        surest_of = {
            attribute: surest(values, negated)
            for attribute, values in zip(attributes, stated, strict=True)
            if attribute in vocabulary
        }
        async with while_scoring or nullcontext():
            nearest = await self._nearest(wanted, turns, deadline)
            chosen = await self._chosen(*seen, text, surest_of, vocabulary, deadline) if seen else {}
        if time.monotonic() > deadline:
            raise DeadlineExceeded("the answer was ready too late for the request's time")
        found = [
            tuple(StatedValue(value, nearest.get((value.text, attribute)), value in negated) for value in values)
            for attribute, values in zip(attributes, stated, strict=True)
        ]
        for attribute, values in zip(attributes, stated, strict=True):
            if attribute in chosen and normalised(chosen[attribute].entry) in ruled_out(values, negated):
                del chosen[attribute]
        hits = len(stated) - weighing.misses
        return Extraction(tuple(found), weighing.tokens.truncated, hits, weighing.misses, chosen)

    async def _nearest(
        self, wanted: Mapping[tuple[str, str], Sequence[str]], turns: Turns, deadline: float
    ) -> dict[tuple[str, str], Nearest]:
        """The nearest entry to each (value, attribute); texts are embedded where no entry reads the same."""
        nearest: dict[tuple[str, str], Nearest] = {}
        asked = dict.fromkeys(chain((text for text, _ in wanted), *wanted.values()))
        read = dict(zip(asked, await turns.collect(map(normalised, asked)), strict=True))
        for key, entries in wanted.items():
            if same := next((entry for entry in entries if read[entry] == read[key[0]]), None):
                nearest[key] = Nearest(same, 1.0)
        left = {key: entries for key, entries in wanted.items() if key not in nearest}
        if not left:
            return nearest
        texts = list(dict.fromkeys(read[text] for key, entries in left.items() for text in (key[0], *entries)))
        vectors = dict(zip(texts, await self._embedder.vectors(texts, deadline=deadline), strict=True))
        distinct = dict.fromkeys(chain(*left.values()))
        parsed = await turns.collect(self._parser.wanted(read[entry]) for entry in distinct)
        wants = dict(zip(distinct, parsed, strict=True))
        for key, entries in left.items():
            cosines = np.stack([vectors[read[entry]] for entry in entries]) @ vectors[read[key[0]]]
            stored = [wants[entry] for entry in entries]
            best, agreed = most_agreeing(self._parser.found(read[key[0]]), stored, cosines.tolist())
            nearest[key] = Nearest(entries[best], agreed)
            await turns.rest()
        return nearest

    def _seen(
        self, image: Sequence[float], vocabulary: Mapping[str, Sequence[str]]
    ) -> tuple[Pictures, NDArray[np.float32]]:
        """The bundle's pictures, and the vector of one for them. Raises BadInput and NoVocabulary."""
        if self._pictures is None:
            raise BadInput(
                f"this bundle reads no pictures: leave {FIELD} out, or serve one that was trained on some", FIELD
            )
        if not vocabulary:
            raise NoVocabulary(f"a picture says which of a vocabulary's values applies: give one, or leave {FIELD} out")
        return self._pictures, unit_vector(image, self._pictures.width)

    async def _chosen(
        self,
        pictures: Pictures,
        image: NDArray[np.float32],
        text: str,
        surest: Mapping[str, Value | None],
        vocabulary: Mapping[str, Sequence[str]],
        deadline: float,
    ) -> dict[str, Chosen]:
        """The entry of each vocabulary that the text, by its surest value if any, and the picture choose."""
        read = {name: [normalised(entry) for entry in entries] for name, entries in vocabulary.items()}
        names = {name: normalised(self._plain(name)) for name in read}
        stated = {name: normalised(value.text) for name, value in surest.items() if value}
        whole = normalised(text)
        texts = list({whole, *names.values(), *stated.values(), *(entry for each in read.values() for entry in each)})
        vectors = dict(zip(texts, await self._embedder.vectors(texts, deadline=deadline), strict=True))
        evidence = []
        for name, entries in read.items():
            stored = np.stack([vectors[entry] for entry in entries])
            value, near = surest[name], stored @ vectors[whole]
            if value:
                told = Stated(stated[name], vectors[stated[name]], value.confidence)
                near = similarities(told, entries, stored, wanted=self._parser.wanted, found=self._parser.found)
            evidence.append((0, Evidence(vectors[names[name]], stored, near, value.confidence if value else 0.0)))
        choices = pictures.choose(image[None], evidence)
        return {
            name: Chosen(entries[choice.place], choice.confidence, choice.source)
            for (name, entries), choice in zip(vocabulary.items(), choices, strict=True)
        }

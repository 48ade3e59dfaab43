"""Products with pictures as lessons: for each attribute whose value is known, what the text says and what is right.

Knows: which products and values are taken, how they are divided. Does not know: the network, how it is trained.
"""

import hashlib
import heapq
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.config import Pictures
from model_export.filling.filler import Filler
from model_export.filling.reading import Reader
from model_export.filling.seeing import Asked, Witness, checked, parts, text_of
from model_export.filling.stored import stored_values
from model_export.gating import Lesson, Lessons
from model_export.products import Product
from model_export.sources import kept_aside
from model_export.stage import StageFailed
from service.matching.wording import normalised
from service.pictures import Evidence
from service.spans import Value

Seen = tuple[Product, NDArray[np.float32]]
PART = 256
"""Products whose texts are read together."""
GATE_SHARE = 0.25
"""Of the products that are not kept aside, those that the gate learns from."""
LEAST_LESSONS = 10
"""Each of the three parts must have so many."""
MOST_DEV = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A lesson as it is kept: `places` are those of its values among the attribute's."""

    product: int
    name: str
    places: NDArray[np.int64]
    similarities: NDArray[np.float32]
    confidence: float
    truth: int


class Course:
    """All lessons of a catalogue, and how they are divided: what is kept aside is so by the product's id alone."""

    def __init__(self, reader: Reader, catalogue: Path, options: Pictures, seed: int) -> None:
        """Raises BadRecord, StageFailed where there is too little to learn from, and ModelFailed."""
        self._witness = Witness(reader)
        self._vectors = cache(self._read_vectors)
        self._draw, self._options = random.Random(f"{seed}/lessons"), options
        self._stored = stored_values((product for product, _ in checked(catalogue, None)), reader.reads_text)
        self._places = {
            name: {normalised(value): place for place, value in enumerate(values)}
            for name, values in self._stored.items()
            if reader.reads_name(name)
        }
        self._seen = _drawn(checked(catalogue, None), options.products, seed)
        ids = [str(product["id"]) for product, _ in self._seen]
        self._dev = [kept_aside(each, options.keep_aside) for each in ids]
        self.kept: list[Kept] = []
        for first in range(0, len(self._seen), PART):
            self.kept += self._lessons(Filler(reader), range(first, min(first + PART, len(self._seen))))
        self.divided = self._divided(ids)

    @property
    def products(self) -> int:
        """How many products with a picture were read."""
        return len(self._seen)

    @property
    def width(self) -> int:
        """The length of a picture's vector."""
        return len(self._seen[0][1])

    def read(self, number: int) -> Lesson:
        """A lesson by its number."""
        kept = self.kept[number]
        name, entries = self._vectors(kept.name)
        evidence = Evidence(name, entries[kept.places], kept.similarities, kept.confidence)
        return Lesson(self._seen[kept.product][1], evidence, kept.truth)

    def _read_vectors(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._witness.name(name), self._witness.vectors(self._stored[name])

    def _lessons(self, filler: Filler, places: Sequence[int]) -> Iterator[Kept]:
        """Those of some products."""
        products = [self._seen[place][0] for place in places]
        known = [list(self._known(product)) for product in products]
        stated = filler.found(products, [[name for name, _ in names] for names in known])
        asked, taken = [], []
        for place, product, names, found in zip(places, products, known, stated, strict=True):
            for name, right in names:
                among = self._among(name, right, whole=self._dev[place])
                entries = [self._stored[name][each] for each in among]
                asked.append(Asked(text_of(product), name, _value(found.get(name)), entries))
                taken.append((place, name, among, among.index(right)))
        for part in parts(asked):
            for (place, name, among, truth), said in zip(taken[part], self._witness.evidence(asked[part]), strict=True):
                yield Kept(place, name, np.array(among), said.similarities, said.confidence, truth)

    def _known(self, product: Product) -> Iterator[tuple[str, int]]:
        """(name, place of the value among the stored ones) of what is known of a product."""
        for name, value in product["attributes"].items():
            place = self._places.get(name, {}).get(normalised(value)) if isinstance(value, str) else None
            if place is not None:
                yield name, place

    def _among(self, name: str, right: int, *, whole: bool) -> list[int]:
        """The places of the values that the right one is told from: all of them, or a draw."""
        every = range(len(self._stored[name]))
        if whole or len(every) <= self._options.entries:
            return list(every)
        others = self._draw.sample(every, self._options.entries)
        return [right, *(place for place in others if place != right)][: self._options.entries]

    def _divided(self, ids: Sequence[str]) -> Lessons:
        gate = [kept_aside(f"gate/{each}", GATE_SHARE) for each in ids]
        found: dict[str, list[int]] = {"projection": [], "gate": [], "dev": []}
        for number, kept in enumerate(self.kept):
            half = "dev" if self._dev[kept.product] else "gate" if gate[kept.product] else "projection"
            found[half].append(number)
        found["dev"] = self._draw.sample(found["dev"], min(MOST_DEV, len(found["dev"])))
        for half, numbers in found.items():
            if len(numbers) < LEAST_LESSONS:
                raise StageFailed(
                    f"pictures.catalogue has {len(self._seen)} products with a vector, which give {len(numbers)} known "
                    f"values to the part {half}, and it needs {LEAST_LESSONS}: bring more, or leave the option out"
                )
        return Lessons(**found)


def _drawn(products: Iterable[tuple[Product, NDArray[np.float32] | None]], most: int, seed: int) -> list[Seen]:
    """As many products that have a vector as may be read, a draw by the hash of their ids."""

    def ranked() -> Iterator[tuple[bytes, int, Seen]]:
        for place, (product, vector) in enumerate(products):
            if vector is not None:
                yield hashlib.sha256(f"{seed}/{product['id']}".encode()).digest(), place, (product, vector)

    return [seen for _, _, seen in heapq.nsmallest(most, ranked())]


def _value(told: Mapping[str, object] | None) -> Value | None:
    """A value as `fill` tells it."""
    if told is None:
        return None
    text, start, end, confidence = (told[name] for name in ("text", "start", "end", "confidence"))
    assert isinstance(text, str) and isinstance(start, int) and isinstance(end, int) and isinstance(confidence, float)
    return Value(text, start, end, confidence)

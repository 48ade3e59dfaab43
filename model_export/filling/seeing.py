"""What pictures say of products' missing attributes, beside what their texts state.

Knows: how texts become evidence, which choice is sure enough. Does not know: the formula, files, how values are found.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export import products
from model_export.filling.reading import MOST_CHARACTERS, Reader
from model_export.products import FIELDS, Product
from model_export.records import BadRecord
from service.errors import BadInput
from service.matching.parsing import Parser
from service.matching.units import Units
from service.matching.wording import normalised
from service.pictures import FIELD, Choice, Evidence, Pictures, Stated, similarities, unit_vector
from service.spans import Value

PARSED_KEPT = 65_536
"""Stored values that are kept parsed."""
PART_VALUES = 20_000
"""Stored values whose vectors are laid side by side at a time, about: 31 MB where a vector has 384 numbers."""


class Asked(NamedTuple):
    """An attribute of a product: the product's text, the attribute's name, the value that its text states, and
    `entries`, the stored values to choose among.
    """

    text: str
    name: str
    stated: Value | None
    entries: Sequence[str]


def text_of(product: Product) -> str:
    """All that a product says in words."""
    return normalised(" ".join(product.get(field) or "" for field in FIELDS)[:MOST_CHARACTERS])


def vector_of(product: Product, width: int | None) -> NDArray[np.float32] | None:
    """The unit vector of a product's picture, None where it has none; of any length where `width` is None.

    Raises BadRecord for one that cannot be read.
    """
    numbers = product.get(FIELD)
    if numbers is None:
        return None
    if not isinstance(numbers, list) or not numbers or not all(map(_is_number, numbers)):
        raise BadRecord(f"'{FIELD}' must be a list of numbers")
    try:
        return unit_vector(numbers, width or len(numbers))
    except BadInput as error:
        raise BadRecord(str(error)) from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def checked(catalogue: Path, width: int | None) -> Iterator[tuple[Product, NDArray[np.float32] | None]]:
    """Each product of a catalogue with its picture's vector; all have one length. Raises BadRecord."""
    for number, product in products.read(catalogue):
        try:
            vector = vector_of(product, width)
        except BadRecord as error:
            raise BadRecord(
                f"{catalogue}, line {number}: {error}: mend the line or take it out, and run again"
            ) from error
        width = width if vector is None else len(vector)
        yield product, vector


def parts(asked: Sequence[Asked]) -> Iterator[slice]:
    """Places of what may be asked together, in order."""
    first, size = 0, 0
    for place, each in enumerate(asked):
        if size and size + len(each.entries) > PART_VALUES:
            yield slice(first, place)
            first, size = place, 0
        size += len(each.entries)
    if first < len(asked):
        yield slice(first, len(asked))


class Witness:
    """Tells what texts say of stored values. Vectors of names and stored values are made once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        parser = Parser(Units.read())
        self._wanted, self._found = lru_cache(PARSED_KEPT)(parser.wanted), parser.found
        self._known: dict[str, NDArray[np.float32]] = {}

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of names or stored values (texts, width), which are kept. Raises ModelFailed."""
        read = [normalised(text) for text in texts]
        self._known |= self._embedded(set(read) - self._known.keys())
        return np.stack([self._known[text] for text in read])

    def name(self, name: str) -> NDArray[np.float32]:
        """The vector of an attribute's name, read as words. Raises ModelFailed."""
        vector: NDArray[np.float32] = self.vectors([self._reader.tokenizer.plain(name)])[0]
        return vector

    def evidence(self, asked: Sequence[Asked]) -> list[Evidence]:
        """The evidence of each; not of more than one of `parts`, for memory. Raises ModelFailed."""
        self.vectors(list(dict.fromkeys(entry for each in asked for entry in each.entries)) or [""])
        stated = [normalised(each.stated.text) if each.stated else "" for each in asked]
        passing = self._embedded({*(each.text for each in asked), *stated} - {""})
        return [self._evidence(each, told, passing) for each, told in zip(asked, stated, strict=True)]

    def _evidence(self, asked: Asked, told: str, passing: Mapping[str, NDArray[np.float32]]) -> Evidence:
        entries, name = self.vectors(asked.entries), self.name(asked.name)
        if asked.stated and told:
            stated = Stated(told, passing[told], asked.stated.confidence)
            read = [normalised(entry) for entry in asked.entries]
            near = similarities(stated, read, entries, wanted=self._wanted, found=self._found)
            return Evidence(name, entries, near, stated.confidence)
        near = entries @ passing[asked.text] if asked.text else np.zeros(len(entries), np.float32)
        return Evidence(name, entries, near, 0.0)

    def _embedded(self, texts: set[str]) -> dict[str, NDArray[np.float32]]:
        ordered = sorted(texts)
        return dict(zip(ordered, self._reader.vectors(ordered), strict=True)) if ordered else {}


class Seer:
    """Chooses for products that have a picture's vector among the values in `stored`, by attribute."""

    def __init__(self, pictures: Pictures, reader: Reader, stored: Mapping[str, Sequence[str]]) -> None:
        self._pictures, self._stored = pictures, stored
        self._witness = Witness(reader)

    def found(
        self,
        products: Sequence[Product],
        missing: Sequence[Sequence[str]],
        stated: Sequence[Mapping[str, tuple[str, Value]]],
    ) -> list[dict[str, tuple[str, Choice]]]:
        """For each product by name the value chosen, where its picture has part in that and it is sure enough.

        `stated` holds what texts state of what is missing, with the field. Raises BadRecord and ModelFailed.
        """
        places: list[tuple[int, str]] = []
        asked: list[Asked] = []
        vectors = [vector_of(product, self._pictures.width) for product in products]
        for place, (product, names) in enumerate(zip(products, missing, strict=True)):
            for name in names:
                if vectors[place] is not None and name in self._stored:
                    places.append((place, name))
                    _, value = stated[place].get(name, ("", None))
                    asked.append(Asked(text_of(product), name, value, self._stored[name]))
        found: list[dict[str, tuple[str, Choice]]] = [{} for _ in products]
        for part in parts(asked):
            images = np.stack([vector for place, _ in places[part] if (vector := vectors[place]) is not None])
            choices = self._pictures.choose(images, list(enumerate(self._witness.evidence(asked[part]))))
            for (place, name), choice in zip(places[part], choices, strict=True):
                if choice.source != "text" and choice.confidence >= self._pictures.threshold:
                    found[place][name] = self._stored[name][choice.place], choice
        return found

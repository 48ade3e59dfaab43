"""The values that a catalogue's owner stores: a JSON file {attribute: [value, …]}, and what a stated value means there.

What it means is the entry that it agrees with most, as in `/v1/extract`.

Knows: the file, what is kept. Does not know: the rules, how a vector is made, products.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export import products
from model_export.records import BadRecord
from service.matching.nearest import most_agreeing
from service.matching.parsing import Parser, Wanted
from service.matching.units import Units
from service.matching.wording import normalised

Vectors = Callable[[Sequence[str]], NDArray[np.float32]]
VALUES_KEPT = 8_192
"""Stated values whose entries are kept: many products state the same."""


class Nearest(NamedTuple):
    """An entry of the vocabulary, and how well a value agrees with it, in [-1, 1]."""

    entry: str
    agreement: float


def read(path: Path, reads_text: Callable[[str], bool]) -> dict[str, list[str]]:
    """The values of each attribute; `reads_text` says whether a text has anything to read. Raises BadRecord."""
    try:
        content = products.load(path.read_bytes())
    except BadRecord as error:
        raise BadRecord(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise BadRecord(f"{path} must hold a JSON object of lists of values by attribute")
    for attribute, entries in content.items():
        if not isinstance(entries, list) or not entries:
            raise BadRecord(f"{path}, {attribute!r}: it must be a list with a value or more, or be left out")
        for entry in entries:
            if not isinstance(entry, str) or not reads_text(normalised(entry)):
                raise BadRecord(f"{path}, {attribute!r}: the value {entry!r} is no text that can be read: take it out")
    return content


class Vocabulary:
    """Finds the entries that stated values mean; those of an attribute are parsed and embedded when first needed."""

    def __init__(self, entries: Mapping[str, Sequence[str]], vectors: Vectors) -> None:
        self.entries, self._vectors = entries, vectors
        self._parser = Parser(Units.read())
        self._read: dict[str, tuple[list[Wanted], NDArray[np.float32]]] = {}
        self.nearest = lru_cache(VALUES_KEPT)(self._nearest)

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.entries

    def _nearest(self, attribute: str, value: str) -> Nearest:
        """The entry of an attribute that a value means: the one that reads the same, else the one it agrees with most.

        Of entries that it agrees with equally, that of the nearest vector.
        """
        stored, plain = self.entries[attribute], normalised(value)
        if same := next((entry for entry in stored if normalised(entry) == plain), None):
            return Nearest(same, 1.0)
        wanted, vectors = self._of(attribute)
        cosines = (vectors @ self._vectors([plain])[0]).tolist()
        best, agreed = most_agreeing(self._parser.found(plain), wanted, cosines)
        return Nearest(stored[best], agreed)

    def _of(self, attribute: str) -> tuple[list[Wanted], NDArray[np.float32]]:
        """An attribute's entries, parsed, and their vectors (entries, width)."""
        if attribute not in self._read:
            texts = [normalised(entry) for entry in self.entries[attribute]]
            self._read[attribute] = [self._parser.wanted(text) for text in texts], self._vectors(texts)
        return self._read[attribute]

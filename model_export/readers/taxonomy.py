"""Shopify's product taxonomy: kinds of product with the attributes curated for each, in eight languages.

Knows: its files, and how `names.<language>.json.gz` beside them keys its names. Does not know: queries of people.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.config import Source
from model_export.names import MENDED_VALUES, PRODUCT_TYPE
from model_export.readers.lines import Keyed, json_lines
from model_export.records import BadRecord, Record

NO_VALUES = frozenset({"other", "none"})
LONGEST_VALUE = 24


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product: its name in the language of the source and in English, the ids of its attributes."""

    id: str
    name: str
    english: str
    attributes: tuple[str, ...]


class Taxonomy:
    """The taxonomy in one language. Everything is in lower case."""

    def __init__(self, folder: Path, language: str) -> None:
        self._folder = folder
        self._product_type = PRODUCT_TYPE[language].lower()
        self._attributes = {line["id"]: line for line in json_lines(folder / "attributes.jsonl.gz")}
        translated = {} if language == "en" else names_in(folder, language)
        self._english = not translated
        self._kinds = translated.get("categories", {})
        self._names = translated.get("attributes", {})
        values = translated.get("values", {}) | MENDED_VALUES.get(language, {})
        self._values = {_plain(key): value for key, value in values.items()}

    def kinds(self) -> Iterator[Kind]:
        """The kinds that have attributes. One whose name is not translated is left out."""
        for line in json_lines(self._folder / "categories.jsonl.gz"):
            english = line["path"][-1].lower()
            name = english if self._english else self._kinds.get(line["id"], "").lower()
            if name and line["attributes"]:
                yield Kind(line["id"], name, english, tuple(line["attributes"]))

    def name(self, attribute: str, *, english: bool) -> str:
        """The name of an attribute, in English where that is asked for or no other is known."""
        own: str = self._attributes[attribute]["name"]
        return (own if english else self._names.get(attribute, own)).lower()

    def product_type(self, *, english: bool) -> str:
        """How "product type" is called."""
        return PRODUCT_TYPE["en"] if english else self._product_type

    def values(self, attribute: str) -> list[str]:
        """What a query may state. A value that is not translated is left out, unless it is a number."""
        entry = self._attributes[attribute]
        if not entry["values"]:
            entry = self._attributes.get(entry["extends"] or "", entry)
        stated = (self._value(entry["id"], v) for v in entry["values"] if v.lower() not in NO_VALUES)
        return [value.lower() for value in stated if 0 < len(value) <= LONGEST_VALUE]

    def _value(self, attribute: str, value: str) -> str:
        if self._english or not re.search(r"[^\W\d_]", value):
            return value
        return self._values.get(_plain(f"{attribute}__{value}"), "")


def _plain(key: str) -> str:
    """Letters and digits alone: the keys of the names write all else as "_", "/" or not at all."""
    return re.sub(r"[\W_]", "", key.lower())


def names_in(folder: Path, language: str) -> dict[str, dict[str, str]]:
    """The names of kinds ("categories"), "attributes" and "values" in another language than English, by their keys.

    Raises BadRecord.
    """
    path = folder / f"names.{language}.json.gz"
    try:
        content: Any = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, ValueError, EOFError) as error:
        raise BadRecord(f"{path.name} cannot be read beside the taxonomy: {error}") from error
    if not isinstance(content, dict) or not {"attributes", "categories", "values"} <= content.keys():
        raise BadRecord(f"{path.name} must map 'attributes', 'categories' and 'values' to their names")
    found: dict[str, dict[str, str]] = content
    return found


def taxonomy(path: Path, source: Source, seed: int) -> Iterator[Keyed]:
    """A kind's own name is the query, the attributes curated for it have gain 1. The key is the English name."""
    read = Taxonomy(path, source.language)
    for kind in read.kinds():
        english = random.Random(f"{seed}/{source.language}/{kind.id}").random() < source.english_names
        own = tuple(dict.fromkeys(read.name(attribute, english=english) for attribute in kind.attributes))
        yield kind.english, Record(kind.name, own, (1.0,) * len(own), (None,) * len(own))

"""Pairs of one meaning in two languages, from the taxonomy's names of kinds, attributes and values.

Knows: the files of the taxonomy, which kinds are kept aside for dev. Does not know: what the pairs teach.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from model_export.names import MENDED_VALUES
from model_export.sources import kept_aside

Pair = tuple[str, str]
"""A text, and an English text of the same meaning."""


def pairs(folder: Path, language: str, *, keep_aside: float) -> Iterator[Pair]:
    """(name in `language`, English name), in lower case, of everything the taxonomy names but the kinds kept aside.

    Values have no English name of their own in the file: it is read out of their ids ("rug_shape__half_moon").
    """
    english = {
        "categories": {line["id"]: line["path"][-1] for line in _lines(folder / "categories.jsonl.gz")},
        "attributes": {line["id"]: line["name"] for line in _lines(folder / "attributes.jsonl.gz")},
    }
    with gzip.open(folder / f"names.{language}.json.gz", "rt", encoding="utf-8") as content:
        names = json.load(content)
    mended = MENDED_VALUES.get(language, {})
    names["values"] = {key: mended.get(key, name) for key, name in names["values"].items()}
    for part, by_id in names.items():
        for key, name in by_id.items():
            known = key.partition("__")[2].replace("_", " ") if part == "values" else english[part].get(key, "")
            meaning = known.lower()
            if meaning and not (part == "categories" and kept_aside(meaning, keep_aside)):
                yield name.lower(), meaning


def attribute_names(folder: Path, language: str) -> dict[str, str]:
    """What each attribute of the taxonomy is called in `language`, by its English name, both in lower case."""
    with gzip.open(folder / f"names.{language}.json.gz", "rt", encoding="utf-8") as content:
        names = json.load(content)["attributes"]
    found = _lines(folder / "attributes.jsonl.gz")
    return {line["name"].lower(): names[line["id"]].lower() for line in found if line["id"] in names}


def _lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]

"""Pairs of one meaning in two languages, from the taxonomy's names of kinds, attributes and values.

Knows: which names mean the same, which kinds are kept aside for dev. Does not know: the files, what the pairs teach.
"""

from collections.abc import Iterator
from pathlib import Path

from model_export.names import MENDED_VALUES
from model_export.readers.lines import json_lines
from model_export.readers.taxonomy import names_in
from model_export.sources import kept_aside

Pair = tuple[str, str]
"""A text, and an English text of the same meaning."""


def pairs(folder: Path, language: str, *, keep_aside: float) -> Iterator[Pair]:
    """(name in `language`, English name), in lower case, of everything the taxonomy names but the kinds kept aside.

    Values have no English name of their own in the file: it is read out of their ids ("rug_shape__half_moon").
    """
    english = {
        "categories": {line["id"]: line["path"][-1] for line in json_lines(folder / "categories.jsonl.gz")},
        "attributes": {line["id"]: line["name"] for line in json_lines(folder / "attributes.jsonl.gz")},
    }
    mended = MENDED_VALUES.get(language, {})
    for part, by_id in names_in(folder, language).items():
        for key, name in by_id.items():
            known = key.partition("__")[2].replace("_", " ") if part == "values" else english[part].get(key, "")
            meaning = known.lower()
            if meaning and not (part == "categories" and kept_aside(meaning, keep_aside)):
                yield mended.get(key, name).lower(), meaning


def attribute_names(folder: Path, language: str) -> dict[str, str]:
    """What each attribute of the taxonomy is called in `language`, by its English name, both in lower case."""
    names, found = names_in(folder, language)["attributes"], json_lines(folder / "attributes.jsonl.gz")
    return {line["name"].lower(): names[line["id"]].lower() for line in found if line["id"] in names}

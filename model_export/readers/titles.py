"""OA-Mine and AE-110k: product titles with the value of each attribute.

Knows: how the sets write a value that is not there. Does not know: queries; a title stands for one.
"""

from collections.abc import Iterator
from pathlib import Path

from model_export.config import Source
from model_export.readers.lines import Keyed, json_lines
from model_export.records import Record, find_value

NOT_STATED = "n/a"


def titles(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """A stated attribute has gain 1. A value that stands nowhere in the title as words of its own is not known."""
    for line in json_lines(path, "input", "target_scores"):
        title, stated = line["input"], line["target_scores"]
        found = {
            name: [find_value(title, value) for value in values if value != NOT_STATED]
            for name, values in stated.items()
        }
        spans = tuple(None if None in places else tuple(filter(None, places)) for places in found.values())
        if stated:
            yield title, Record(title, tuple(stated), tuple(float(bool(places)) for places in found.values()), spans)

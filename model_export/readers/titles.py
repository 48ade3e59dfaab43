"""OA-Mine and AE-110k: product titles with the value of each attribute.

Knows: how the sets write a value that is not there. Does not know: queries; a title stands for one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_export.config import Source
from model_export.readers.lines import Keyed, parsed_lines
from model_export.records import BadRecord, Record, find_value

NOT_STATED = "n/a"


def titles(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """A stated attribute has gain 1. A value that stands nowhere in the title as words of its own is not known.

    Titles without attributes are left out. Raises BadRecord.
    """
    return (
        (record.query, record) for record in parsed_lines(path, _record, "input", "target_scores") if record.attributes
    )


def _record(line: dict[str, Any]) -> Record:
    title, stated = line["input"], line["target_scores"]
    if not isinstance(title, str) or not title.strip():
        raise BadRecord("'input' must be a title that is not blank")
    if not isinstance(stated, dict) or not all(isinstance(values, dict) for values in stated.values()):
        raise BadRecord("'target_scores' must be an object that holds for each attribute an object of its values")
    found = [[find_value(title, value) for value in values if value != NOT_STATED] for values in stated.values()]
    spans = tuple(None if None in places else tuple(filter(None, places)) for places in found)
    return Record(title, tuple(stated), tuple(float(bool(places)) for places in found), spans)

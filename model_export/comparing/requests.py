"""The requests that two bundles are asked: bodies of `/v1/weights` or training records, a line of JSON each.

Knows: the file's form, which requests a tokenizer can read. Does not know: models.
"""

from collections.abc import Sequence
from pathlib import Path

from model_export import records
from model_export.readers.lines import json_lines
from model_export.records import BadRecord, Record
from service.text import Tokenizer


def read(path: Path, *, most: int) -> list[Record]:
    """At most so many requests, spread evenly over the file. A line is `{"query", "attributes", "gains"?}`, other
    fields of a record may be there; gains of 0 stand where none are. Raises BadRecord.
    """
    try:
        lines = list(json_lines(path, "query", "attributes"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecord(f"{path} cannot be read: give a file with a request on each line") from error
    if not lines:
        raise BadRecord(f"{path} holds no request: give at least one line")
    step = max(1.0, len(lines) / most)
    places = [int(step * index) for index in range(min(most, len(lines)))]
    return [_parsed(path, place + 1, lines[place]) for place in places]


def _parsed(path: Path, number: int, line: dict[str, object]) -> Record:
    attributes = line["attributes"]
    none = [0.0] * len(attributes) if isinstance(attributes, list) else []
    try:
        return records.parse({"query": line["query"], "attributes": attributes, "gains": line.get("gains", none)})
    except BadRecord as error:
        raise BadRecord(f"{path.name}, line {number}: {error}") from error


def readable(tokenizers: Sequence[Tokenizer], record: Record) -> bool:
    """Whether each tokenizer finds something to read in the query and in every attribute, as the service asks for."""
    return all(
        tokenizer.query(record.query).starts and all(len(tokenizer.attribute(name)) > 1 for name in record.attributes)
        for tokenizer in tokenizers
    )

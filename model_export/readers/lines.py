"""JSON lines of a public set, checked as far as every reader needs it.

Knows: how a broken line is named. Does not know: what a line says.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from model_export.records import BadRecord, Record, lines_of

Keyed = tuple[str, Record]
Parsed = TypeVar("Parsed")


def json_lines(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line. Raises BadRecord for a line that is no JSON or lacks what is needed."""
    return parsed_lines(path, lambda content: content, *needed)


def parsed_lines(path: Path, parse: Callable[[dict[str, Any]], Parsed], *needed: str) -> Iterator[Parsed]:
    """What `parse` makes of each object. Raises BadRecord with file and line, also for a line that `parse` refuses."""
    for number, line in enumerate(lines_of(path), start=1):
        try:
            yield parse(_object(line, needed))
        except BadRecord as error:
            raise BadRecord(f"{path.name}, line {number}: {error}") from error


def _object(line: bytes, needed: Iterable[str]) -> dict[str, Any]:
    try:
        content = json.loads(line.decode())
    except ValueError as error:
        raise BadRecord(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadRecord("not a JSON object: is it of another format?")
    if missing := [name for name in needed if name not in content]:
        raise BadRecord(f"there is no {missing[0]!r}: is it of another format?")
    return content

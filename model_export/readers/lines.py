"""JSON lines of a public set, checked as far as every reader needs it.

Knows: plain and gzipped files, how a broken line is named. Does not know: what a line says.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from model_export.records import BadRecord, Record

Keyed = tuple[str, Record]
Parsed = TypeVar("Parsed")


def json_lines(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line. Raises BadRecord for a line that is no JSON or lacks what is needed."""
    return parsed_lines(path, lambda content: content, *needed)


def parsed_lines(path: Path, parse: Callable[[dict[str, Any]], Parsed], *needed: str) -> Iterator[Parsed]:
    """What `parse` makes of each object. Raises BadRecord with file and line, also for a line that `parse` refuses."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(_whole(path, lines), start=1):
            try:
                yield parse(_object(line, needed))
            except BadRecord as error:
                raise BadRecord(f"{path.name}, line {number}: {error}") from error


def _whole(path: Path, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file that may turn out to be no gzip, or only the beginning of one. Raises BadRecord."""
    try:
        yield from lines
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadRecord(f"{path.name} is not a whole gzip file: {error}") from error


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

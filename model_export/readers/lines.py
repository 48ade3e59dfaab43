"""JSON lines of a public set, checked as far as every reader needs it.

Knows: plain and gzipped files, how a broken line is named. Does not know: what a line says.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_export.records import BadRecord, Record

Keyed = tuple[str, Record]


def json_lines(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line. Raises BadRecord for a line that is no JSON or lacks what is needed."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
            except ValueError as error:
                raise BadRecord(f"{path.name}, line {number}: not JSON: {error}") from error
            if not isinstance(content, dict):
                raise BadRecord(f"{path.name}, line {number}: not a JSON object: is it of another format?")
            if missing := [name for name in needed if name not in content]:
                raise BadRecord(f"{path.name}, line {number}: there is no {missing[0]!r}: is it of another format?")
            yield content

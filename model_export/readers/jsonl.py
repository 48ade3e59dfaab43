"""Records in our own form, as `records` documents it.

Knows: that the query is the key. Does not know: the form.
"""

from collections.abc import Iterator
from pathlib import Path

from model_export import records
from model_export.config import Source
from model_export.readers.lines import Keyed


def jsonl(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """The records of a file, in order."""
    return ((record.query, record) for record in records.read(path))

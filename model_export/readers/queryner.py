"""QueryNER: shopping queries whose words people tagged with 17 types (BIO).

Knows: the tags. Does not know: how else a type may be called.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from model_export.config import Source
from model_export.names import QUERYNER_TYPES
from model_export.readers.lines import Keyed, json_lines
from model_export.records import Record, Span


def queryner(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """Every type is a candidate; one that is mentioned has gain 1."""
    for line in json_lines(path, "tokens", "labels"):
        tokens, labels = line["tokens"], line["labels"]
        offsets, query = [], ""
        for token in tokens:
            query += " " if query else ""
            offsets.append((len(query), len(query) + len(token)))
            query += token
        spans: dict[str, list[Span]] = defaultdict(list)
        open_type = None
        for (start, end), label in zip(offsets, labels, strict=True):
            kind = label[2:]
            if label != "O" and label[0] == "I" and kind == open_type:
                spans[kind][-1] = (spans[kind][-1][0], end)
            elif label != "O":
                spans[kind].append((start, end))
            open_type = kind or None
        yield (
            query,
            Record(
                query,
                tuple(QUERYNER_TYPES.values()),
                tuple(float(kind in spans) for kind in QUERYNER_TYPES),
                tuple(tuple(spans[kind]) for kind in QUERYNER_TYPES),
            ),
        )

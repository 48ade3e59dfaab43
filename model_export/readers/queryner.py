"""QueryNER: shopping queries whose words people tagged with 17 types (BIO).

Knows: the tags. Does not know: how else a type may be called.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_export.config import Source
from model_export.names import QUERYNER_TYPES
from model_export.readers.lines import Keyed, parsed_lines
from model_export.records import BadRecord, Record, Span

LABELS = ("O", *(f"{place}-{kind}" for place in "BI" for kind in QUERYNER_TYPES))


def queryner(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """Every type is a candidate; one that is mentioned has gain 1. Raises BadRecord."""
    return parsed_lines(path, _keyed, "tokens", "labels")


def _keyed(line: dict[str, Any]) -> Keyed:
    tokens, labels = line["tokens"], line["labels"]
    if not isinstance(tokens, list) or not tokens or not all(isinstance(each, str) and each.strip() for each in tokens):
        raise BadRecord("'tokens' must be a list of words")
    if not isinstance(labels, list) or len(labels) != len(tokens):
        raise BadRecord("'labels' must hold one label for each token")
    if unknown := [label for label in labels if label not in LABELS]:
        raise BadRecord(
            f"{unknown[0]!r} is no label: it must be O, or B- or I- with one of {', '.join(QUERYNER_TYPES)}"
        )
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
    return (
        query,
        Record(
            query,
            tuple(QUERYNER_TYPES.values()),
            tuple(float(kind in spans) for kind in QUERYNER_TYPES),
            tuple(tuple(spans[kind]) for kind in QUERYNER_TYPES),
        ),
    )

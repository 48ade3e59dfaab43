"""One reader for each kind of data, each giving records.

Every reader yields `(key, record)`: records with one key always end in the same half of a split.

Knows: the file formats of the public sets and of our own JSONL.
Does not know: splits, spellings, what else a record will be compared with.
"""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model_export import records
from model_export.names import QUERYNER_TYPES
from model_export.records import BadRecord, Record, Span, find_value

NOT_STATED = "n/a"
APPLIES = 0.2

Keyed = tuple[str, Record]


def _lines(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
            except ValueError as error:
                raise BadRecord(f"{path.name}, line {number}: not JSON: {error}") from error
            if missing := [name for name in needed if not isinstance(content, dict) or name not in content]:
                raise BadRecord(f"{path.name}, line {number}: there is no {missing[0]!r}: is it of another format?")
            yield content


def queryner(path: Path, _seed: int) -> Iterator[Keyed]:
    """Shopping queries whose words people tagged with 17 types (BIO). A type that is mentioned has gain 1."""
    for line in _lines(path, "tokens", "labels"):
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


def titles(path: Path, _seed: int) -> Iterator[Keyed]:
    """Product titles with the value of each attribute, "n/a" where it has none. A stated attribute has gain 1.

    A value that stands nowhere in the title as words of its own is not known.
    """
    for line in _lines(path, "input", "target_scores"):
        title, stated = line["input"], line["target_scores"]
        found = {
            name: [find_value(title, value) for value in values if value != NOT_STATED]
            for name, values in stated.items()
        }
        spans = tuple(None if None in places else tuple(filter(None, places)) for places in found.values())
        if stated:
            yield title, Record(title, tuple(stated), tuple(float(bool(places)) for places in found.values()), spans)


def taxonomy(path: Path, _seed: int) -> Iterator[Keyed]:
    """Kinds of product with the attributes curated for each, gain 1; the kind's own name is the query."""
    names = {line["id"]: line["name"] for line in _lines(path / "attributes.jsonl.gz")}
    for line in _lines(path / "categories.jsonl.gz"):
        kind = line["path"][-1].lower()
        own = tuple(dict.fromkeys(names[attribute].lower() for attribute in line["attributes"]))
        if own:
            yield kind, Record(kind, own, (1.0,) * len(own), (None,) * len(own))


def taxonomy_values(path: Path, seed: int) -> Iterator[Keyed]:
    """Pseudo-queries: a kind of product with values of one to three of its attributes ("navy cotton joggers").

    Three for each kind. A stated attribute has gain 1, one that only applies to the kind `APPLIES`.
    """
    attributes = {line["id"]: line for line in _lines(path / "attributes.jsonl.gz")}

    def values(attribute: str) -> list[str]:
        entry = attributes[attribute]
        stated = entry["values"] or attributes.get(entry["extends"] or "", entry)["values"]
        return [value.lower() for value in stated if value.lower() not in {"other", "none"} and len(value) <= 24]

    for line in _lines(path / "categories.jsonl.gz"):
        kind = line["path"][-1].lower()
        own = {attributes[name]["name"].lower(): values(name) for name in line["attributes"]}
        usable = [name for name in own if own[name]]
        draw = random.Random(f"{seed}/{line['id']}")
        for _ in range(3 if usable else 0):
            stated = draw.sample(usable, min(len(usable), draw.choice((1, 1, 2, 3))))
            parts = [(name, draw.choice(own[name])) for name in stated]
            parts.insert(draw.choice((len(parts), len(parts), draw.randint(0, len(parts)))), ("product type", kind))
            yield kind, _composed(parts, tuple(own))


def _composed(parts: list[tuple[str, str]], own: tuple[str, ...]) -> Record:
    spans: dict[str, tuple[Span, ...]] = {}
    query = ""
    for name, words in parts:
        query += " " if query else ""
        spans[name] = ((len(query), len(query) + len(words)),)
        query += words
    names = tuple(dict.fromkeys((*own, "product type")))
    return Record(
        query,
        names,
        tuple(1.0 if name in spans else APPLIES for name in names),
        tuple(spans.get(name, ()) for name in names),
    )


def jsonl(path: Path, _seed: int) -> Iterator[Keyed]:
    """Records in our own form, as `records` documents it."""
    return ((record.query, record) for record in records.read(path))


READERS: dict[str, Callable[[Path, int], Iterator[Keyed]]] = {
    "queryner": queryner,
    "titles": titles,
    "taxonomy": taxonomy,
    "taxonomy_values": taxonomy_values,
    "jsonl": jsonl,
}

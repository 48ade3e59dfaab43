"""Another system in place of a bundle: its questions and its answers, one JSON line each.

    {"suite": "mention, queryner", "query": "red rug", "attributes": ["color", "price"], "gains": [1, 0],
     "stated": [[[0, 3]], []]}

`gains` and `stated` are the truth: how much each attribute matters, all 0 where values alone are asked, and where in
the query its value stands, in Unicode code points, `null` where nobody knows. An answer is the same line with `logits`
or `weights`, one number for each attribute, and `values`, which for each lists the words of the query that state it,
the surest first, as text or as [start, end).

Knows: the lines, their checks. Does not know: how anything is measured.
"""

import json
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from model_export import records
from model_export.benchmark.judge import Answer
from model_export.records import BadRecord, Record
from service.scoring import PairScore, ValueSpan
from service.text import QueryTokens

Key = tuple[str, str, tuple[str, ...]]
"""A question by its suite, its query and its attributes."""


class Questions:
    """Is asked as a judge is, keeps every question and knows no answer."""

    temperature = 1.0

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def answers(self, asked: Sequence[Record], what: str) -> list[Answer]:
        """Equal logits and no values."""
        self.lines += [_question(record, what) for record in asked]
        return [_answer(record, [0.0] * len(record.attributes), [()] * len(record.attributes)) for record in asked]

    def write(self, path: Path) -> None:
        """Write the questions. Raises BadRecord where the file cannot be written."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadRecord(f"{path} was not written: {error}") from error


def _question(record: Record, suite: str) -> dict[str, Any]:
    content = records.dump(record)
    asked = {name: content[name] for name in ("query", "attributes", "gains")}
    return {"suite": suite} | asked | {"stated": content["values"]}


class Answers:
    """A judge that reads its answers from a file."""

    temperature = 1.0

    def __init__(self, path: Path) -> None:
        """Read the answers. Raises BadRecord."""
        self._path, self._known = path, dict[Key, Answer]()
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise BadRecord(f"the answers {path} cannot be read: {error.strerror}") from error
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
                answer = _parsed(content)
                self._known[content["suite"], answer.record.query, answer.record.attributes] = answer
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadRecord(f"{path.name}, line {number}: no answer to a question: {error}") from error

    def answers(self, asked: Sequence[Record], what: str) -> list[Answer]:
        """The answers in the records' order. Raises BadRecord for a question without one."""
        return [self._of(record, what) for record in asked]

    def _of(self, record: Record, suite: str) -> Answer:
        found = self._known.get((suite, record.query, record.attributes))
        if found is None:
            told = f"{self._path.name} answers nothing of {suite!r} to {record.query!r} with the attributes as asked"
            raise BadRecord(f"{told}: write the questions anew with this data and config")
        return Answer(record, found.query, found.pairs)


def _parsed(line: dict[str, Any]) -> Answer:
    record = records.parse({name: line.get(name) for name in ("query", "attributes", "gains", "values")})
    logits = _logits(line, len(record.attributes)) if any(record.gains) else [0.0] * len(record.attributes)
    return _answer(record, logits, [stated or () for stated in record.values])


def _logits(line: dict[str, Any], size: int) -> Sequence[float]:
    """The logits, or the weights' logarithms."""
    name = "weights" if line.get("logits") is None else "logits"
    numbers = np.asarray(line.get(name), float)
    if numbers.shape != (size,) or not np.isfinite(numbers).all():
        raise BadRecord("'logits' or 'weights' must hold one number for each attribute")
    if name == "weights":
        if numbers.min() < 0:
            raise BadRecord("'weights' must be numbers of at least 0")
        numbers = np.log(np.maximum(numbers, sys.float_info.min))
    return [float(number) for number in numbers]


def _answer(record: Record, logits: Sequence[float], values: Sequence[Sequence[records.Span]]) -> Answer:
    """As if the query's words were the values themselves, each a word of its own."""
    words = [span for stated in values for span in stated]
    query = QueryTokens((), tuple(start for start, _ in words), tuple(end for _, end in words), ())
    place = count()
    spans = [
        [ValueSpan(at, at, 1 / rank) for rank, at in zip(range(1, len(v) + 1), place, strict=False)] for v in values
    ]
    return Answer(record, query, [PairScore(z, tuple(s)) for z, s in zip(logits, spans, strict=True)])

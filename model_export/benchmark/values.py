"""Attribute values in product titles, measured as ExtractGPT does (Brinkmann, Shraga and Bizer 2024).

For a title and an attribute the truth is one or several values, or `n/a`; the prediction is the words of the most
confident value, or `n/a` where there is none. A prediction is right when it is one of the true values, whatever its
case and the space around it. Precision is right over predicted values, recall right over true ones; a true `n/a` that
is predicted as `n/a` counts in neither, one that got a value costs precision. Accuracy counts every pair, the right
`n/a` among them.

Knows: the sets' lines, this convention. Does not know: the model.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_export import metrics
from model_export.benchmark import measure
from model_export.benchmark.judge import Answer
from model_export.benchmark.measure import Suite
from model_export.config import Config, Source
from model_export.records import BadRecord, Record, Span, find_value
from model_export.sources import kept_aside

NOT_STATED = "n/a"


@dataclass(frozen=True, slots=True)
class Title:
    """A product's title and, by attribute, its true values in lower case; none for `n/a`."""

    text: str
    truth: dict[str, frozenset[str]]

    def record(self) -> Record:
        """The question that the model is asked; a value is known where one of the true ones stands in the title."""
        return Record(self.text, tuple(self.truth), (0.0,) * len(self.truth), tuple(map(self._spans, self.truth)))

    def _spans(self, name: str) -> tuple[Span, ...] | None:
        found = [span for value in sorted(self.truth[name]) if (span := find_value(self.text, value))]
        return tuple(found) if found or not self.truth[name] else None


def dev_titles(config: Config, source: Source) -> list[Title]:
    """The dev half of a source of titles. Raises BadRecord."""
    path = config.data / (source.dev or source.train)
    share = source.keep_aside if source.dev is None else 1.0
    return [title for title in read(path) if title.truth and kept_aside(title.text, share)]


def read(path: Path) -> Iterator[Title]:
    """The titles of a file in ExtractGPT's form. Raises BadRecord."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
                scores = {name: _plain(values) for name, values in content["target_scores"].items()}
                yield Title(content["input"], scores)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadRecord(f"{path.name}, line {number}: not a title with its target_scores") from error


def _plain(values: dict[str, int]) -> frozenset[str]:
    return frozenset(value.strip().casefold() for value in values if value != NOT_STATED)


def predicted(answer: Answer, place: int) -> str | None:
    """The most confident value of the candidate at `place` in lower case, None for `n/a`."""
    stated = answer.stated(place)
    return max(stated, key=lambda value: value.confidence).text.strip().casefold() if stated else None


def values(titles: Sequence[Title], answers: Sequence[Answer]) -> Suite:
    """Precision, recall, F1 and accuracy over pairs, titles drawn for the intervals."""
    counts, exact = [], []
    for title, answer in zip(titles, answers, strict=True):
        pairs = [(predicted(answer, place), truth) for place, truth in enumerate(title.truth.values())]
        right = sum(guess in truth for guess, truth in pairs)
        neither = sum(guess is None and not truth for guess, truth in pairs)
        counts.append((right, sum(guess is not None for guess, _ in pairs), sum(bool(truth) for _, truth in pairs)))
        exact.append((right + neither, len(pairs)))
    hits, pairs_of = np.array(exact).T
    accuracy = measure.measured(metrics.ratio_of(hits, pairs_of), len(titles))
    return measure.counted(counts) | {"accuracy": accuracy}

"""What a query says before any attribute is known: its quantities, what it negates, values of its words made whole.

Of words that a model read as a value:

- a part of one of the query's quantities ("$50" of "$50 to $100") is the whole of it, but not a unit or a side alone;
- words that only negate ("without") are left off, and what is nothing else is no value;
- where a value is several ("size 8 or 9", but not "27 inch or larger") each is one besides.

Knows: quantities, negation, "or". Does not know: attributes, models, products.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from service.matching.negation import (
    CUES,
    affirmed,
    asked_without,
    denied_words,
    is_negated,
    outside,
    without_cue,
)
from service.matching.quantities import DIGIT, Quantity, kinds, read_quantities
from service.matching.units import Units
from service.matching.wording import words

OR_WITHIN = re.compile(r"\bn?or\b|或者?|还是", re.IGNORECASE)
"""Within one value, where "/" may be of a number."""
OR = re.compile(rf"{OR_WITHIN.pattern}|(?<!\bw)/", re.IGNORECASE)

AMONG = re.compile(rf"{OR.pattern}|\band\b|[&,、和与及]", re.IGNORECASE)
"""Between things that are not wanted."""

Stated = tuple[str, int, int, float]
"""A text, its start and its end in the query, and how sure it is."""


class Said(NamedTuple):
    """A value that a query states from `start` to `end`; those of one `choice` are alternatives."""

    text: str
    start: int
    end: int
    sure: float
    negated: bool
    choice: int


class Sentence:
    """A query. `spans` are what it negates, `affirmed` the text without, `quantities` all that it has."""

    def __init__(self, text: str, units: Units) -> None:
        self.text, self._units = text, units.by_spelling
        self.quantities = read_quantities(text, self._units)
        self.spans = [span for span in asked_without(text) if not self._compares(*span)]
        self.affirmed = affirmed(text, self.spans) or text

    def said(self) -> tuple[frozenset[str], frozenset[str]]:
        """The words that it affirms and those that it denies."""
        return frozenset(words(outside(self.text, self.spans))), frozenset(denied_words(self.text, self.spans))

    def unwanted(self) -> list[frozenset[str]]:
        """The words of each thing that it is to be without: two of "without armrests or wheels"."""
        things = (each for start, end in self.spans for each in AMONG.split(self.text[start:end]))
        return [found for each in things if (found := frozenset(words(each)) - CUES)]

    def values(self, stated: Iterable[Stated]) -> Iterator[Said]:
        """What is wanted of an attribute of which a model read these, in order."""
        choice = last = 0
        for text, start, end, sure in self._without_cues(self._whole(stated)):
            negated = is_negated(self.spans, start, end)
            if not choice or not OR.search(self.text, last, start):
                choice += 1
            several = self._things(text) if negated else self._alternatives(text, start, end)
            for each in several:
                yield Said(each, start, end, sure, negated, choice)
            last = end

    @staticmethod
    def _things(text: str) -> list[str]:
        """What is not wanted, each by itself."""
        return [found for each in AMONG.split(text) if (found := each.strip())] or [text]

    def _alternatives(self, text: str, start: int, end: int) -> Iterator[str]:
        yield text
        cuts = [match.span() for match in OR_WITHIN.finditer(self.text, start, end)]
        apart = [(a, b) for a, b in cuts if not any(a < each.end and each.start < b for each in self.quantities)]
        if apart:
            bounds = [start, *(bound for cut in apart for bound in cut), end]
            parts = (self.text[a:b].strip() for a, b in zip(bounds[::2], bounds[1::2], strict=True))
            yield from filter(None, parts)

    def _without_cues(self, values: Iterable[Stated]) -> Iterator[Stated]:
        for text, start, end, sure in values:
            first, last = without_cue(self.text, self.spans, start, end)
            if (first, last) == (start, end):
                yield text, start, end, sure
            elif first < last:
                yield self.text[first:last], first, last, sure

    def _whole(self, values: Iterable[Stated]) -> Iterator[Stated]:
        """The values, each widened by the quantities that it cuts; those that overlap then are one."""
        last: Stated | None = None
        for text, start, end, sure in values:
            cut = [each for each in self.quantities if self._is_cut(each, start, end)]
            if cut:
                start, end = min(start, cut[0].start), max(end, cut[-1].end)
                text = self.text[start:end]
            if last is not None and start < last[2] and last[1] < end:
                start, end, sure = min(start, last[1]), max(end, last[2]), max(sure, last[3])
                text = self.text[start:end]
            elif last is not None:
                yield last
            last = text, start, end, sure
        if last is not None:
            yield last

    def _is_cut(self, quantity: Quantity, start: int, end: int) -> bool:
        """Whether a part of it stands there, with a digit or with words behind it ("year olds" of "3 year olds"), and
        not just one side of several ("8 ft" of "8x10 ft").
        """
        inside = max(start, quantity.start), min(end, quantity.end)
        if inside[0] >= inside[1] or inside == (quantity.start, quantity.end):
            return False
        if not DIGIT.search(self.text, *inside):
            return start > quantity.start and end > quantity.end and "time" in kinds([quantity])
        parts = read_quantities(self.text[start:end], self._units)
        return len(quantity.sides) == 1 or any(len(part.sides) > 1 for part in parts)

    def _compares(self, start: int, end: int) -> bool:
        """Whether it is the comparison of a quantity, as "larger than" of "not larger than 10 inch"."""
        return any(each.start < start and end <= each.end for each in self.quantities)

"""Which of the values that a text states it denies: "red" in "not red", but not "non-slip", whose cue is its own.

Of "colour other than red" the value is "red", since "other than" is the sentence's and no part of a name.

Knows: how a long text is read piece by piece. Does not know: which words negate, how values are found.
"""

from collections.abc import Iterable, Set

from service.matching.negation import Span, negated_spans, without_cue
from service.matching.wording import MOST_CHARACTERS, normalised
from service.spans import Value

STEP = MOST_CHARACTERS // 4
"""Negation reads the beginning of a text alone; so it is given a piece that begins a step or two before the value."""


class Denial:
    """What one text denies; each piece of it is read once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[int, list[Span]] = {}

    def uncued(self, values: Iterable[Value]) -> list[Value]:
        """Values of the text less what of them only negates: "red" of "than red"; not those of nothing else."""
        return [cut for value in values if (cut := self._uncued(value)).text]

    def denied(self, values: Iterable[Value]) -> frozenset[Value]:
        """Those of its values that lie wholly inside what it negates, of which a cue is no part."""
        return frozenset(
            value
            for value in values
            if any(start <= value.start and value.end <= end for start, end in self._negated(_begun(value)))
        )

    def _uncued(self, value: Value) -> Value:
        spans = self._negated(_begun(value))
        start, end = without_cue(self._text, spans, value.start, value.end, apart=True)
        return value._replace(text=self._text[start:end], start=start, end=end)

    def _negated(self, first: int) -> list[Span]:
        """The negated spans of the piece that begins at `first`, or at the next blank: half a word may be a cue."""
        if first not in self._known:
            begin = max(first, self._text.find(" ", first, first + STEP)) if first else 0
            spans = negated_spans(self._text[begin : begin + MOST_CHARACTERS])
            self._known[first] = [(begin + start, begin + end) for start, end in spans]
        return self._known[first]


def surest(values: Iterable[Value], negated: Set[Value]) -> Value | None:
    """The most confident of an attribute's values that are not among those negated, None where there is none."""
    return max((value for value in values if value not in negated), key=lambda value: value.confidence, default=None)


def ruled_out(values: Iterable[Value], negated: Set[Value]) -> frozenset[str]:
    """What an attribute's values say, normalised, where all that say it are negated."""
    texts: dict[bool, set[str]] = {True: set(), False: set()}
    for value in values:
        texts[value in negated].add(normalised(value.text))
    return frozenset(texts[True] - texts[False])


def _begun(value: Value) -> int:
    return max(0, value.start // STEP - 1) * STEP

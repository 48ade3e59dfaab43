"""From spans of words back to the text: the values that a reader would mark.

Knows: which words at a value's ends are not of it. Does not know: the model, how a text becomes words.
"""

from collections.abc import Iterable
from typing import NamedTuple

from service.text import QueryTokens

PARTING = frozenset("-–—,;:|/&，、；：")
"""Words that part others, and neither begin nor end a value."""
BRACKETS = {"(": ")", "[": "]", "{": "}", "（": "）", "［": "］", "【": "】"}
"""What opens, and what closes it."""
_CLOSING = frozenset(BRACKETS.values())


class Value(NamedTuple):
    """Words of a text as sent, `text[start:end]` in Unicode code points, and how sure the model is of them."""

    text: str
    start: int
    end: int
    confidence: float


def values(text: str, query: QueryTokens, spans: Iterable[tuple[int, int, float]]) -> tuple[Value, ...]:
    """The words that spans (first word, last word, confidence) of a tokenised text stand for, without dashes,
    conjunctions and the like around them, and with each bracket's other half or without it.

    A span beyond the words is left out: a cache may hold anything.
    """
    found: list[Value] = []
    for first, last, confidence in spans:
        if last < len(query.ends):
            first, last = _bared(text, query, *_closed(text, query, first, last))
            start, end = query.starts[first], query.ends[last]
            found.append(Value(text[start:end], start, end, confidence))
    return tuple(found)


def _closed(text: str, query: QueryTokens, first: int, last: int) -> tuple[int, int]:
    """The span with the word behind it where that closes a bracket which the span opens after its first word."""
    opened, _ = _halves(text, query, first, last)
    if opened and opened[-1] > first and last + 1 < len(query.ends):
        closing = BRACKETS[_word(text, query, opened[-1])]
        return first, last + (_word(text, query, last + 1) == closing)
    return first, last


def _bared(text: str, query: QueryTokens, first: int, last: int) -> tuple[int, int]:
    """The span without words at its ends that only part others, halves of brackets and brackets around all of it; one
    such word alone stays.
    """
    opened, closed = _halves(text, query, first, last)
    idle = {*opened, *(word for word, other in closed.items() if other is None), *query.conjunctions}

    def parts(word: int) -> bool:
        return word in idle or _word(text, query, word) in PARTING

    while first < last:
        if parts(last):
            last -= 1
        elif parts(first):
            first += 1
        elif closed.get(last) == first and first + 1 < last:
            first, last = first + 1, last - 1
        else:
            break
    return first, last


def _halves(text: str, query: QueryTokens, first: int, last: int) -> tuple[list[int], dict[int, int | None]]:
    """Of the words of a span those that open a bracket which it does not close, and those that close one, each with the
    word that opens it there.
    """
    opened: list[int] = []
    closed: dict[int, int | None] = {}
    for place in range(first, last + 1):
        word = _word(text, query, place)
        if word in BRACKETS:
            opened.append(place)
        elif word in _CLOSING:
            fits = bool(opened) and BRACKETS[_word(text, query, opened[-1])] == word
            closed[place] = opened.pop() if fits else None
    return opened, closed


def _word(text: str, query: QueryTokens, place: int) -> str:
    return text[query.starts[place] : query.ends[place]]

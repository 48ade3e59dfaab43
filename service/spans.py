"""From spans of words back to the text: the values that a reader would mark.

Knows: which words at a value's ends are not of it. Does not know: the model, how a text becomes words.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from service.text import QueryTokens

PARTING = frozenset("-–—,;:|/&，、；：。！？…•·")
"""Words that part others, and neither begin nor end a value, but for the sign of a temperature."""
BELOW_ZERO = re.compile(r"[-–]\.?[0-9][0-9.,]{0,8}\s?(?:[°℃℉]|degrees?\b)", re.IGNORECASE)
"""Before other numbers a dash is seldom a sign: "Fishing lure -5cm"."""
NUMBER = re.compile(
    r"(?<![\w.,])(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}(?:\.[0-9]{1,6})?|[0-9]{1,15}\.[0-9]{1,15})(?![\w]|[.,][0-9])"
)
"""A number of several words."""
LONGEST_NUMBER = 40
"""More characters than one has."""
LOOSE = frozenset("!?*=")
"""Words that part others where white space stands between them and the value: not in "Yahoo!"."""
ABBREVIATIONS = frozenset(
    {"bros", "co", "corp", "ft", "gal", "in", "inc", "jr", "lb", "lbs", "ltd", "oz", "pc", "pcs", "pt", "qt", "sr"}
)
"""Words whose period is theirs."""
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
    conjunctions and the like around them, with each bracket's other half or without it, and with all of a number.

    Marks alone are no value. A span beyond the words is left out: a cache may hold anything.
    """
    found: list[Value] = []
    before = 0
    for first, last, confidence in spans:
        if last < len(query.ends):
            first, last = _bared(text, query, *_closed(text, query, first, last))
            start, end = _with_numbers(text, query.starts[first], query.ends[last])
            if found and start < found[-1].end and query.starts[first] >= before:  # parts of one number
                part = found.pop()
                start, end, confidence = part.start, max(part.end, end), max(part.confidence, confidence)
            before = query.ends[last]
            if any(map(str.isalnum, text[start:end])):
                found.append(Value(text[start:end], start, end, confidence))
    return tuple(found)


def _with_numbers(text: str, start: int, end: int) -> tuple[int, int]:
    """From there to there with all of the numbers that it cuts: "1,299.99" of "299"."""
    near = NUMBER.finditer(text, max(0, start - LONGEST_NUMBER), end + LONGEST_NUMBER)
    cut = [match.span() for match in near if match.start() < end and start < match.end()]
    return min([start, *(first for first, _ in cut)]), max([end, *(last for _, last in cut)])


def _closed(text: str, query: QueryTokens, first: int, last: int) -> tuple[int, int]:
    """The span with the word behind it where that closes a bracket which the span opens after its first word."""
    opened, _ = _halves(text, query, first, last)
    if opened and opened[-1] > first and last + 1 < len(query.ends):
        closing = BRACKETS[_word(text, query, opened[-1])]
        return first, last + (_word(text, query, last + 1) == closing)
    return first, last


def _bared(text: str, query: QueryTokens, first: int, last: int) -> tuple[int, int]:
    """The span without words at its ends that are no part of it, halves of brackets and brackets around all of it; one
    such word alone stays.
    """
    opened, closed = _halves(text, query, first, last)
    idle = {*opened, *(word for word, other in closed.items() if other is None), *query.conjunctions}

    while first < last:
        if last in idle or _parts_behind(text, query, last):
            last -= 1
        elif first in idle or _parts_before(text, query, first):
            first += 1
        elif closed.get(last) == first and first + 1 < last:
            first, last = first + 1, last - 1
        else:
            break
    return first, last


def _parts_before(text: str, query: QueryTokens, place: int) -> bool:
    """Whether no value begins with this word, which others follow: not so in "-20 °C", ".5 inch" and ".NET"."""
    word, start, end = _word(text, query, place), query.starts[place], query.ends[place]
    before, behind = text[max(start - 1, 0) : start], text[end : end + 1]
    if word == ".":
        return before.isalpha() or before == "." or not behind.isalnum()
    if word in PARTING:
        return before.isalnum() or not BELOW_ZERO.match(text, start)
    return word in LOOSE and (before.isalnum() or behind.isspace())


def _parts_behind(text: str, query: QueryTokens, place: int) -> bool:
    """Whether no value ends in this word, which follows others: not so in "U.S.", "8 oz." and "Yahoo!"."""
    word, begun = _word(text, query, place), query.starts[place - 1]
    is_loose = query.starts[place] > query.ends[place - 1]
    if word == ".":
        before = _word(text, query, place - 1)
        is_initial = len(before) == 1 and before.isalpha() and text[max(begun - 1, 0) : begun] == "."
        return is_loose or not (is_initial or before.casefold() in ABBREVIATIONS)
    return word in PARTING or (word in LOOSE and is_loose)


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

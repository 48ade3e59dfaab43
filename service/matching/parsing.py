"""What a query wants and what a product has, parsed once into what can be compared in microseconds.

A wanted value is a text. A found one is a text, a number, a yes or no, or a list of these; a text can be a list as well
("red, blue | green", or a list in JSON).

Knows: the kinds of values and how to tell them apart. Does not know: how well two values agree, attributes, queries.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from service.matching.colors import Color, read_colors
from service.matching.fitting import Fit, read_fits
from service.matching.negation import CUES, Span, denied_words, merged, negated_spans, outside, resisted_spans
from service.matching.quantities import BARE, Quantity, kinds_of, number, read_again, read_quantities
from service.matching.units import Units
from service.matching.wording import MOST_CHARACTERS, listed, telling, words

Scalar = str | float | bool
Value = Scalar | Sequence[Scalar]

MOST_ELEMENTS = 64
"""Of a list; the rest is not read."""
LARGEST_NUMBER = 1e15
MEASURED = re.compile(
    r"[-+]?(?P<money>[$€£¥￥₹])?(?P<number>[0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]+)?)(?P<unit>[^0-9]{2,20})?",
    re.IGNORECASE,
)
"""A number with all that may be its unit: one letter right behind it may as well be of a code ("12E45L")."""
KEPT, KEPT_CHARACTERS = 2_048, 200
"""So many found texts of at most so many characters are kept parsed. Each is ten objects that the garbage collector
looks at while nobody else is heard: 16,384 made a full collection take 66 to 80 ms, these 2 ms."""

YES = listed("yes y true available included with supported ✓ ✔ 是 有 含 支持 包含 带")
NO = listed("no n false none without unavailable unsupported ✗ ✘ 否 无 不含 没有 不支持 不带 不是") | {
    "not available",
    "not included",
    "not supported",
}
UNKNOWN = frozenset(["", "-", "--", "n/a", "na", "nan", "null", "unknown", "?"])

SEPARATOR = re.compile(r"[|;\n、，；&]|,(?![0-9])|(?<![0-9 ])/(?![0-9 ])")
BESIDE_NUMBERS = listed(
    "about approximately around ca costing each eu for in is it number of old only the to uk us wide long tall high"
    " deep thick 码 号 尺"
)
"""Beside these a bare number is still a quantity ("about 8"); beside others it may be a name ("iphone 11")."""
SIZE_WORDS = listed("age aged ages price size sized sz")
"""Beside these it is one, whatever else is said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A wanted value; `phrase` are its telling words in order, without "no" and the like that make it `negated`.

    `again` are its quantities beside what is stated in bytes or litres, where they are others then: "256G", "5L".
    """

    phrase: tuple[str, ...]
    words: frozenset[str]
    negated: bool
    flag: bool | None
    quantities: tuple[Quantity, ...]
    again: tuple[Quantity, ...]
    colors: frozenset[Color]
    fits: frozenset[Fit]


@dataclass(frozen=True, slots=True)
class Found:
    """A product's value: the words that it affirms and denies, and the telling phrase of the whole and of each element.

    `resisted` are those affirmed that it says only that it keeps off: "slip" of "slip-resistant".
    `again` is as that of `Wanted`, `kinds` are the kinds of unit of both.
    `number` is set where the value is a number alone, `flag` where it is a yes or no alone. Not `is_known`: nothing.
    """

    words: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    resisted: frozenset[str] = frozenset()
    phrases: frozenset[tuple[str, ...]] = frozenset()
    flag: bool | None = None
    number: float | None = None
    quantities: tuple[Quantity, ...] = ()
    again: tuple[Quantity, ...] = ()
    kinds: frozenset[str] = frozenset()
    colors: frozenset[Color] = frozenset()
    fits: frozenset[Fit] = frozenset()
    is_known: bool = True


NOTHING = Found(is_known=False)


class Parser:
    """Parses values, with the units that it is given. It keeps short found texts by content, and may be shared."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self._kept = lru_cache(maxsize=KEPT)(self._text)

    def wanted(self, text: str, *, negated: bool = False) -> Wanted:
        """What a text wants; `negated` where the query negates it. So can the text itself: "non slip"."""
        text = text[:MOST_CHARACTERS]
        spans = negated_spans(text)
        if spans and CUES.issuperset(words(outside(text, spans))):
            text, negated = " ".join(text[start:end] for start, end in spans), True
        said = tuple(words(text))
        phrase = telling(said)
        quantities = read_quantities(text, self.units.by_spelling)
        colors, only_colors = read_colors(said)
        return Wanted(
            phrase,
            frozenset(phrase),
            negated,
            _flag(text.strip().casefold()) if said not in (("1",), ("0",)) else said == ("1",),
            tuple(quantities) if _is_quantity(text, quantities) else (),
            tuple(read_again(text, self.units.by_spelling)),
            colors if only_colors else frozenset(),
            read_fits(text),
        )

    def found(self, value: Value) -> Found:
        """What a product has. A number that is none, or is beyond `LARGEST_NUMBER`, is as good as nothing."""
        if isinstance(value, str):
            return self._kept(value) if len(value) <= KEPT_CHARACTERS else self._text(value)
        if isinstance(value, bool):
            return Found(flag=value)
        if isinstance(value, (int, float)):
            return _number(value)
        return self._list(value)

    def _list(self, values: Sequence[object]) -> Found:
        texts = [text for value in values[:MOST_ELEMENTS] if (text := _written(value)).strip()]
        texts = [text for text in texts if not self._is_absurd(text)]
        return self._whole(" | ".join(texts)) if texts else NOTHING

    def _is_absurd(self, text: str) -> bool:
        """Whether it is a number with a unit, beyond `LARGEST_NUMBER`. Without one it is a code."""
        match = MEASURED.fullmatch(text.strip(), 0, MOST_CHARACTERS)
        if not match or float(match["number"]) <= LARGEST_NUMBER:
            return False
        return (match["money"] or (match["unit"] or "").strip(" -").lower()) in self.units.by_spelling

    def _text(self, text: str) -> Found:
        text = text.strip()
        if text.startswith("[") and text.endswith("]"):
            try:
                return self._list(json.loads(text))
            except (ValueError, RecursionError):
                pass
        return self._whole(text)

    def _whole(self, text: str) -> Found:
        text = text[:MOST_CHARACTERS]
        folded = text.casefold()
        flag = _flag(folded)
        if folded in UNKNOWN or self._is_absurd(text):
            return NOTHING
        if flag is not None:
            return Found(flag=flag)
        quantities = tuple(read_quantities(text, self.units.by_spelling))
        again = tuple(read_again(text, self.units.by_spelling))
        spans = negated_spans(text)
        affirmed = words(outside(text, spans)) if spans else words(text)
        elements = [] if spans else SEPARATOR.split(text, MOST_ELEMENTS)
        alone = (
            len(quantities) == 1
            and quantities[0].is_bare
            and (quantities[0].start, quantities[0].end) == (0, len(text))
        )
        return Found(
            words=frozenset(affirmed),
            denied=frozenset(denied_words(text, spans)),
            resisted=_resisted(text, spans),
            phrases=frozenset(telling(words(each)) for each in (text, *elements)),
            number=quantities[0].sides[0].low if alone else None,
            quantities=quantities,
            again=again,
            kinds=kinds_of(quantities, again),
            colors=read_colors(affirmed)[0],
            fits=frozenset() if spans else read_fits(text),
        )


def _resisted(text: str, negated: Sequence[Span]) -> frozenset[str]:
    """The words that the text says only as what it resists."""
    spans = resisted_spans(text)
    if not spans:
        return frozenset()
    said = words(outside(text, merged([*negated, *spans])))
    return frozenset(word for start, end in spans for word in words(text[start:end])).difference(said)


def _flag(folded: str) -> bool | None:
    return True if folded in YES else False if folded in NO else None


def _is_quantity(text: str, quantities: Sequence[Quantity]) -> bool:
    """Whether a text with these wants a quantity, and not something whose name has a number."""
    if not quantities:
        return False
    beside = set(words(outside(text, [(each.start, each.end) for each in quantities])))
    return not all(each.is_bare for each in quantities) or beside <= BESIDE_NUMBERS or bool(beside & SIZE_WORDS)


def _written(value: object) -> str:
    """An element of a list as text; empty for what is no text, number or yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        found = _number(value)
        return _plain(found.number) if found.number is not None else ""
    return value if isinstance(value, str) else ""


def _number(value: float) -> Found:
    try:
        value = float(value)
    except OverflowError:
        return NOTHING
    if not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
        return NOTHING
    phrase = tuple(words(_plain(value)))
    return Found(
        frozenset(phrase),
        phrases=frozenset([phrase]),
        number=value,
        quantities=(number(value),),
        kinds=frozenset({BARE}),
    )


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)

"""The quantities of a query as they stand in it: their kinds of unit and the words beside them, which may name whose
they are ("16gb ram 512gb ssd", 长120cm 宽60cm).

Knows: quantities, words, spellings of a few things that are measured. Does not know: models, attributes' values.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice
from math import isinf
from typing import NamedTuple

from service.matching.quantities import BARE, BARE_G, BARE_L, MOST_QUANTITIES, Interval, Quantity, kinds_of, read_again
from service.matching.units import CURRENCY_KINDS, Unit
from service.matching.wording import UNSPACED, listed, words

COUNT = "count"
MONEY = {BARE, *CURRENCY_KINDS}
SAME = {
    **dict.fromkeys(("ram",), "memory"),
    **dict.fromkeys(("rom", "ssd", "hdd", "disk", "drive"), "storage"),
    **dict.fromkeys(("high", "tall"), "height"),
    "wide": "width",
    "long": "length",
    "deep": "depth",
    "thick": "thickness",
    "heavy": "weight",
    "高": "高度",
    "宽": "宽度",
    "长": "长度",
    "深": "深度",
    "厚": "厚度",
    "重": "重量",
}
PRICES = listed("cost msrp price 价格 售价 单价 价钱 现价 原价")
LINKS = listed("a an and at by for in is least most no number of or than the to under with")
"""Beside a quantity, and in a name, these name nothing."""
SPACELESS = re.compile(f"[{UNSPACED}]")

Names = Mapping[str, Set[str]]
"""By attribute the words by which it can be said."""
Kinds = Mapping[str, Set[str]]
"""By attribute the kinds of unit of its values; none where they have no quantities."""
NONE: frozenset[str] = frozenset()


class Measure(NamedTuple):
    """A quantity of a query: the kinds that its unit may be of, the words before and behind it up to the next ones.

    `limit` where it is open to one side; `size` is its number, or its limit, in the first of its base units.
    """

    text: str
    start: int
    end: int
    kinds: frozenset[str]
    before: tuple[str, ...]
    behind: tuple[str, ...]
    limit: bool
    size: float

    @property
    def right_behind(self) -> frozenset[str]:
        """The word right behind it, without spaces the first character, too; a count's own ("4 ports")."""
        near = {*self.behind[:1], *(word[0] for word in self.behind[:1] if SPACELESS.match(word))}
        return frozenset(near | {*naming(self.text)} if COUNT in self.kinds else near)

    @property
    def right_before(self) -> frozenset[str]:
        """The word right before it."""
        return frozenset(self.before[-1:])

    @property
    def is_bare_limit(self) -> bool:
        """Whether it is a limit without a unit, as money often is ("under 100")."""
        return self.limit and self.kinds == {BARE}

    def overlaps(self, start: int, end: int) -> bool:
        """Whether a part of it stands there."""
        return start < self.end and self.start < end

    def is_inside(self, start: int, end: int) -> bool:
        """Whether all of it stands there."""
        return start <= self.start and self.end <= end


def read(query: str, quantities: Sequence[Quantity], units: Mapping[str, Unit]) -> list[Measure]:
    """The quantities of a query, in order."""
    found = []
    quantities = sorted(
        (*quantities, *islice(_again(query, quantities, units), MOST_QUANTITIES)), key=lambda each: each.start
    )
    for place, each in enumerate(quantities):
        text, side = query[each.start : each.end], each.sides[0]
        begin = quantities[place - 1].end if place else 0
        end = quantities[place + 1].start if place + 1 < len(quantities) else len(query)
        found.append(
            Measure(
                text,
                each.start,
                each.end,
                kinds_of([each], read_again(text, units)),
                naming(query[begin : each.start]),
                naming(query[each.end : end]),
                isinf(side.low) or isinf(side.high),
                _size(side),
            )
        )
    return found


def _size(side: Interval) -> float:
    low, high = side.bases[0][1:] if side.bases else (side.low, side.high)
    return high if isinf(low) else low


def _again(query: str, quantities: Sequence[Quantity], units: Mapping[str, Unit]) -> Iterator[Quantity]:
    """Those with a capital G or L and no more ("16G"), which elsewhere is no unit."""
    for match in (*BARE_G.finditer(query), *BARE_L.finditer(query)):
        if not any(each.start <= match.start() < each.end for each in quantities):
            for each in read_again(match[0], units):
                yield replace(each, start=match.start(), end=match.end())


def naming(text: str) -> tuple[str, ...]:
    """The words that may name something, in order; without spaces each two characters: 机 alone is of many names."""
    found: list[str] = []
    for run in re.findall(f"[{UNSPACED}]+|[^{UNSPACED}]+", text):
        if not SPACELESS.match(run):
            found += words(run)
        else:
            found += [run[place : place + 2] for place in range(max(1, len(run) - 1))]
    return tuple(SAME.get(word, word) for word in found if word not in LINKS)


def name_words(plain: str) -> frozenset[str]:
    """The words by which a name can be said, and its last character where it has no spaces, as 码 of 鞋码."""
    return frozenset((*naming(plain), *(plain[-1:] if SPACELESS.match(plain[-1:]) else ())))


def named(names: Mapping[str, Set[str]], said: Set[str]) -> str:
    """The one name of which most words are said, of several the one with the fewest others; "" for none or a tie."""
    counts = {name: (len(own & said), len(own & said) / len(own)) for name, own in names.items() if own & said}
    most = max(counts.values(), default=None)
    best = [name for name, count in counts.items() if count == most]
    return best[0] if len(best) == 1 else ""


def priced(names: Names, known: Kinds) -> str:
    """The only price, "" where there is none or are several."""
    found = [name for name, own in names.items() if own & PRICES and known.get(name, NONE) & MONEY]
    return found[0] if len(found) == 1 else ""


def sums(found: Iterable[Measure]) -> list[Measure]:
    """Those that a price can be: money, or else limits without a unit."""
    among = list(found)
    return [each for each in among if each.kinds & CURRENCY_KINDS] or [each for each in among if each.is_bare_limit]

r"""Numbers with units, ranges and sides read out of a text, and how well two of them agree.

    "16 GB"  "12-inch"  "1,5 kg"  "3/4 inch"  "6' 2\""  "2 pack"  "pack of 2"  "50元"
    "under 50 dollars"  "$20-$30"  "8 to 10"  "at least 32GB"  "50+"  "100元以下"
    "2x8"  "8 ft x 10 ft"  "32W x 34L"

The agreement of two intervals is 1 where they touch. Else, with g the gap between them, b the larger of the bounds on
either side of it in absolute value, and r = g / b, it is (NEAR² - r²) / (NEAR² + r²): 0 at r = NEAR, towards -1 beyond.

Knows: how people write ranges, limits and sides, the formula. Does not know: attributes, what units are worth.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import inf

from service.matching.amounts import BY, Amount, read_amounts
from service.matching.units import BINARY_BYTES, CURRENCY_KINDS, Unit
from service.matching.wording import MOST_CHARACTERS

NEAR = 0.05
"""The gap, relative to the larger bound, at which two quantities neither agree nor disagree."""

UNSTATED_UNIT = 0.5
"""The share that is left of a disagreement where only one side states its unit: the other's may be another one."""

LARGEST_SIZE, ANOTHER = 60, -0.3
"""Whole numbers up to this one and without a unit are sizes and counts: 43 beside 42 is another, at most so near."""

BARE = ""
"""The kind of numbers without a unit."""

MOST_SIDES = 4
"""Of a thing; more are a list."""

MOST_QUANTITIES = 16
"""Of one text; the rest is not read."""

DIGIT = re.compile(r"[0-9½¼¾⅓⅔⅛⅜⅝⅞]")
LESS = "less|fewer|cheaper|smaller|shorter|narrower|thinner|lighter|lower"
MORE = "more|greater|larger|bigger|longer|taller|wider|thicker|heavier|higher|deeper"
BELOW = f"(?:under|below|(?:{LESS}) than)"
ABOVE = f"(?:over|above|(?:{MORE}) than)"
UNDENIED = r"(?<!\bno )(?<!\bnot )(?<!\bnothing )"
DENIED = "(?:no|not|nothing) "
AT_MOST = re.compile(
    rf"(?<![a-z])(?:{UNDENIED}{BELOW}|{DENIED}{ABOVE}|up to|at most"
    r"|max(?:imum)?(?: of|:)|within|<=?|≤|不超过|(?<!不)(?:低于|小于|少于)|最多|不大于|不高于)[\s:]*$",
    re.IGNORECASE,
)
MAXIMUM = re.compile(r"(?<![a-z])max(?:imum)?\s*$", re.IGNORECASE)
BEFORE_MAXIMUM = re.compile(r"(?:^|[,;:|(/，；：、（])\s*$")
"""Elsewhere it may be a part of a name: "air max 97"."""
AT_LEAST = re.compile(
    rf"(?<![a-z])(?:{UNDENIED}{ABOVE}|{DENIED}{BELOW}|at least"
    r"|min(?:imum)?(?: of)?|>=?|≥|至少|高于|大于|超过|最少|不低于|不少于|不小于)[\s:]*$",
    re.IGNORECASE,
)
OR_LESS = re.compile(rf"\s*(?:(?:or|and) (?:under|below|{LESS})\b|以下|以内|之内)", re.IGNORECASE)
MONEY_AT_MOST = re.compile(r"\s*(?:max(?:imum)?|tops)(?=\s*(?:$|[,;.!?)]))", re.IGNORECASE)
"""Behind another amount it is a part of a name ("20v max"), before a word what is wanted ("$20 tops for women")."""
OR_MORE = re.compile(rf"\s*(?:(?:or|and) (?:over|above|up|{MORE})\b|\+(?!\s?[0-9])|以上|起)", re.IGNORECASE)
PACK_OF = re.compile(r"\b(?:pack|set|box|case|lot|bundle|bag)s? of\s*$", re.IGNORECASE)
BETWEEN = re.compile(r"\bbetween\s*$", re.IGNORECASE)
AND = re.compile(r"\s*(?:,|and|but|, (?:and|but))\s*", re.IGNORECASE)
TO = re.compile(r"\s*(?:[-–—~～]|to|through|至|到)\s*", re.IGNORECASE)
LISTED = re.compile(
    r"(?<![a-z0-9_.,])(?![1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,]))"
    r"[0-9]{1,4}(?:\.[0-9]{1,2})?(?:,[0-9]{1,4}(?:\.[0-9]{1,2})?){2,}(?![.,]?[0-9])",
    re.IGNORECASE,
)
"""Three numbers or more, only commas between them, which are not those of thousands: "6,7,8"."""
SIDE = r"""[0-9½¼¾⅓⅔⅛⅜⅝⅞](?:\s?(?:''|["″”“′’'])|\s?[a-z]{2,11}\.?\s)?\s?"""
LETTERED = re.compile(
    rf"{SIDE}(?P<first>[wlhd])(?![a-wyz0-9])"
    rf"(?:\s?(?:[x×*]|by)\s?[0-9./\s-]{{0,9}}{SIDE}(?!(?P=first))[wlhd](?![a-wyz0-9]))+",
    re.IGNORECASE,
)
"""Sides that each have the first letter of "wide", "long", "high" or "deep" behind them: "32W x 34L"."""
LETTER = re.compile(r"(?<![a-z])[wlhd](?![a-wyz])", re.IGNORECASE)
BARE_G = re.compile(r"(?<![a-z0-9_.,-])(?P<number>[1-9][0-9]{0,3})g(?![a-z0-9])", re.IGNORECASE)
BARE_L = re.compile(r"(?<![A-Za-z0-9_.,-])(?P<number>[1-9][0-9]{0,3})\s?L(?![A-Za-z0-9])")
"""In capitals it may be a size in letters, too."""
BARE_LETTER = re.compile("[0-9] ?[GgL]")
GIGABYTES = frozenset({*(each << n for each in (1, 3) for n in range(11)), 120, 240, 250, 480, 500, 960, 1000})
"""How many of them memories and disks have."""
LONGEST_QUALIFIER = 20


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high` as written, infinite where open, and in base units by kind; none where no unit is stated."""

    low: float
    high: float
    bases: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Quantity:
    """One interval, or one for each side in the order of their size; and where it stands in the text."""

    sides: tuple[Interval, ...]
    start: int = 0
    end: int = 0

    @property
    def is_bare(self) -> bool:
        """Whether it is one number alone, which may as well be part of a name."""
        only = self.sides[0]
        return len(self.sides) == 1 and not only.bases and only.low == only.high


def kinds(quantities: Sequence[Quantity]) -> frozenset[str]:
    """The kinds of all units that these are stated in, bytes being of one."""
    return frozenset(kind for each in quantities for side in each.sides for kind, _, _ in side.bases) - {BINARY_BYTES}


def kinds_of(quantities: Sequence[Quantity], again: Sequence[Quantity]) -> frozenset[str]:
    """The kinds of these and of what they are read as `again`, `BARE` where one is without a unit."""
    bare = {BARE for each in quantities if any(not side.bases for side in each.sides)}
    return kinds(quantities) | kinds(again) | bare


def number(value: float) -> Quantity:
    """A number without a unit."""
    return Quantity((Interval(value, value),))


def read_quantities(text: str, units: Mapping[str, Unit]) -> list[Quantity]:
    """The quantities of a text, in order. Of a long text the beginning is read; nothing that it holds raises."""
    text = text[:MOST_CHARACTERS]
    if not DIGIT.search(text):
        return []
    text = LISTED.sub(lambda match: match[0].replace(",", ";"), text)
    text = LETTERED.sub(lambda match: LETTER.sub(" ", match[0]), text)
    amounts = read_amounts(text, units, 3 * MOST_QUANTITIES + 1)
    found: list[Quantity] = []
    place, end = 0, 0
    while place < len(amounts) and len(found) < MOST_QUANTITIES:
        quantity, taken = _quantity(text, amounts, place, end)
        if quantity is not None and found and (between := _between(text, found[-1], quantity)):
            found[-1] = between
        elif quantity is not None:
            found.append(quantity)
        place += taken
        end = amounts[place - 1].end
    return found


def read_again(text: str, units: Mapping[str, Unit]) -> list[Quantity]:
    """The quantities of a text whose bare Gs are gigabytes ("256G", but not "5G") and whose bare Ls are litres; none
    where it has no such letter.
    """
    text = text[:MOST_CHARACTERS]
    if not BARE_LETTER.search(text):
        return []
    stated = BARE_L.sub(lambda match: f"{match['number']} liter", text)
    stated = BARE_G.sub(lambda match: f"{match[0]}B" if int(match["number"]) in GIGABYTES else match[0], stated)
    return read_quantities(stated, units) if stated != text else []


def agreement(wanted: Quantity, found: Quantity) -> float | None:
    """In [-1, 1], or None where they cannot be compared: other kinds of unit, another number of sides.

    Of sides the worst counts, each against the one of its rank, and where only one states its unit it does not
    disagree: a rug of 2x8 is 24 by 96 inches. Fewer of one than of the other are those that agree best: a width of 8 ft
    is of a rug of 8x10.
    """
    fewer, more = sorted((wanted.sides, found.sides), key=len)
    if len(more) > MOST_SIDES or (1 < len(fewer) < len(more) and fewer is found.sides):
        return None
    choices = permutations(more, len(fewer)) if len(fewer) < len(more) else (more,)
    unstated = UNSTATED_UNIT if len(fewer) == 1 else 0.0
    each = [worst for choice in choices if (worst := _worst(fewer, choice, unstated)) is not None]
    return max(each, default=None)


def _worst(some: Sequence[Interval], others: Sequence[Interval], unstated: float) -> float | None:
    sides = [_agreement(*pair, unstated) for pair in zip(some, others, strict=True)]
    known = [value for value in sides if value is not None]
    return min(known) if len(known) == len(sides) else None


def best(wanted: Sequence[Quantity], found: Sequence[Quantity]) -> float | None:
    """The mean over those wanted of the best agreement among those found; None where nothing can be compared."""
    total, count = 0.0, 0
    for each in wanted:
        values = [value for other in found if (value := agreement(each, other)) is not None]
        if values:
            total += max(values)
            count += 1
    return total / count if count else None


def _agreement(wanted: Interval, found: Interval, unstated: float = UNSTATED_UNIT) -> float | None:
    if not wanted.bases or not found.bases:
        value = _nearness(wanted.low, wanted.high, found.low, found.high)
        if value < 1 and wanted.bases == found.bases and _is_small(wanted) and _is_small(found):
            return min(value, ANOTHER)
        return value if value > 0 or wanted.bases == found.bases else unstated * value
    each = [
        _nearness(low, high, other_low, other_high)
        for kind, low, high in wanted.bases
        for other, other_low, other_high in found.bases
        if kind == other
    ]
    return max(each, default=None)


def _is_small(side: Interval) -> bool:
    return side.low == side.high and side.low.is_integer() and 0 <= side.low <= LARGEST_SIZE


def _nearness(low: float, high: float, other_low: float, other_high: float) -> float:
    below, above = (high, other_low) if high < other_low else (other_high, low)
    if below >= above:
        return 1.0
    ratio = (above - below) / max(abs(above), abs(below))
    if ratio < 1e-9:
        return 1.0
    return (NEAR * NEAR - ratio * ratio) / (NEAR * NEAR + ratio * ratio)


def _quantity(text: str, amounts: Sequence[Amount], place: int, floor: int) -> tuple[Quantity | None, int]:
    """The quantity that begins with the amount at `place`, and how many amounts it takes; none for a part number."""
    first = amounts[place]
    second = amounts[place + 1] if place + 1 < len(amounts) else None
    before = text[max(floor, first.start - LONGEST_QUALIFIER) : first.start]
    if second is None:
        return _single(text, first, before), 1
    if BY.fullmatch(text, first.end, second.start):
        return _sides(text, amounts, place)
    opened = BETWEEN.search(before) if text[first.end : second.start].strip() == "and" else None
    if opened or TO.fullmatch(text, first.end, second.start):
        between = _range(first, second, first.start - len(opened[0]) if opened else first.start)
        is_part_number = between is None and second.start == first.end + 1
        if between is not None or is_part_number:
            return between, 2
        return _single(text, first, before), 1
    return _single(text, first, before), 1


def _interval(low: float, high: float, unit: Unit) -> Interval:
    return Interval(low, high, tuple((kind, low * worth, high * worth) for kind, worth in unit))


def _range(first: Amount, second: Amount, start: int) -> Quantity | None:
    """None where the first is larger or alone has a unit behind it: "85-1", "5w-30", "2 pack - 12 inch"."""
    unit = second.unit or first.unit
    if first.unit and not second.unit and first.unit[0][0] not in CURRENCY_KINDS:
        return None
    own = first.unit or second.lent
    if own != unit:
        low, high = _interval(first.number, first.number, own), _interval(second.number, second.number, unit)
        if not low.bases or low.bases[0][0] != high.bases[0][0] or low.bases[0][1] > high.bases[0][1]:
            return None
        worth = unit[0][1]
        return Quantity((_interval(low.bases[0][1] / worth, second.number, unit),), start, second.end)
    if first.number > second.number:
        return None
    return Quantity((_interval(first.number, second.number, unit),), start, second.end)


def _between(text: str, first: Quantity, second: Quantity) -> Quantity | None:
    """The range of two bounds of one kind: "above $50 and below $100"."""
    if not AND.fullmatch(text, first.end, second.start):
        return None
    lower, upper = sorted((first.sides[0], second.sides[0]), key=lambda side: side.low, reverse=True)
    if lower.high != inf or upper.low != -inf or kinds([first]) != kinds([second]):
        return None
    bases = tuple((kind, low, high) for (kind, low, _), (_, _, high) in zip(lower.bases, upper.bases, strict=True))
    if lower.low > upper.high or any(low > high for _, low, high in bases):
        return None
    return Quantity((Interval(lower.low, upper.high, bases),), first.start, second.end)


def _sides(text: str, amounts: Sequence[Amount], place: int) -> tuple[Quantity, int]:
    last = place
    while last + 1 < len(amounts) and BY.fullmatch(text, amounts[last].end, amounts[last + 1].start):
        last += 1
    taken = amounts[place : last + 1]
    unit = taken[-1].lent
    sides = [_interval(each.number, each.number, each.unit or unit) for each in taken]
    sides.sort(key=lambda side: side.bases[0][1] if side.bases else side.low)
    return Quantity(tuple(sides), taken[0].start, taken[-1].end), len(taken)


def _maximum(text: str, amount: Amount, before: str) -> re.Match[str] | None:
    """Where "max" limits the amount: money, or what it begins with."""
    match = MAXIMUM.search(before)
    begins = match and BEFORE_MAXIMUM.search(text[: amount.start - len(before) + match.start()])
    return match if begins or _is_money(amount) else None


def _is_money(amount: Amount) -> bool:
    return any(kind in CURRENCY_KINDS for kind, _ in amount.unit)


def _single(text: str, amount: Amount, before: str) -> Quantity:
    low = high = amount.number
    unit, start, end = amount.unit, amount.start, amount.end
    if match := AT_MOST.search(before) or _maximum(text, amount, before):
        low, start = -inf, start - len(before) + match.start()
    elif match := AT_LEAST.search(before):
        high, start = inf, start - len(before) + match.start()
    elif match := OR_LESS.match(text, end) or (MONEY_AT_MOST.match(text, end) if _is_money(amount) else None):
        low, end = -inf, match.end()
    elif match := OR_MORE.match(text, end):
        high, end = inf, match.end()
    elif amount.plus:
        high = inf
    elif not unit and (match := PACK_OF.search(before)):
        start -= len(before) - match.start()
        unit = (("count", 1.0),)
    return Quantity((_interval(low, high, unit),), start, end)

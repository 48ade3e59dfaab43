"""Numbers with the unit behind them or the currency before them, read out of a text.

A number that is part of a word ("s9", "802xl", "DDR4-3200") is none, nor is one of more than `MOST_DIGITS` digits.

Knows: how people write a number and its unit. Does not know: ranges, limits, how well two of them agree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.matching.units import Unit

MOST_DIGITS = 15

DENOMINATORS = frozenset({2, 3, 4, 5, 6, 8, 10, 16, 32, 64})
VULGAR = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 0.125, "⅜": 0.375, "⅝": 0.625, "⅞": 0.875}

NUMBER = re.compile(
    r"(?P<currency>us\$|[$€£¥￥₹]|(?<![a-z0-9_])(?:usd|eur|gbp|cny|rmb|jpy|inr))?\s?"
    r"(?P<number>(?:(?<![^\s(,;])-)?(?<![.,0-9])(?<![0-9]/)(?:"
    r"(?P<whole>[0-9]{1,4})[ -](?P<over>[0-9]{1,3})/(?P<under>[0-9]{1,2})(?!/?[0-9])"
    r"|(?P<numerator>[0-9]{1,3})/(?P<denominator>[0-9]{1,2})(?!/?[0-9])"
    r"|(?P<units>[0-9]{1,4})?\s?(?P<vulgar>[½¼¾⅓⅔⅛⅜⅝⅞])"
    r"|(?P<dotted>[1-9][0-9]{0,2}(?:\.[0-9]{3}){1,4},[0-9]{2})(?![.,]?[0-9])"
    r"|(?P<thousands>[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4}(?:\.[0-9]{1,6})?)(?![0-9])"
    rf"|(?P<decimal>[0-9]{{1,{MOST_DIGITS}}}[.,][0-9]{{1,6}}|\.[0-9]{{1,6}}|[0-9]{{1,{MOST_DIGITS}}})(?!/?[0-9])"
    r"))",
    re.IGNORECASE,
)
UNIT = re.compile(
    r"(?P<plus>\+)?\s?-?\s?(?:(?P<mark>''|[\"″”“′’'](?=x\s?[0-9.½¼¾]|(?![a-z]))|[°$€£¥￥₹])"
    r"|(?P<word>[a-zµμ]+?(?=x[0-9.½¼¾])|[a-zµμ]+[23²³]?)(?:[ .-]{1,2}(?P<second>[a-zµμ]+))?"
    r"|(?P<han>[\u3400-\u9fff円]{1,3}))",
    re.IGNORECASE,
)
NO_UNITS = frozenset({"M", "G", "L", "H"})
"""In capitals: a medium and a large, a generation, a cup. There is no clothes size "1.5 L"."""

BY = re.compile(r"\.?\s*(?:[x×*]|by)\s*", re.IGNORECASE)
TIMES = re.compile(r"\s?(?P<han>[千万])|k(?![a-z0-9])", re.IGNORECASE)
WORTH = {"k": 1e3, "千": 1e3, "万": 1e4}
WORD_GOES_ON = re.compile(r"[a-z_]", re.IGNORECASE)
BY_NUMBER = re.compile(r"x\s?[0-9.½¼¾]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Amount:
    r"""A number, its unit where it has one, and where both stand; `plus` where a plus is between them ("50+ inch").

    `lent` is the unit of a number without one before it: feet of "5 x 7'6\"", which itself is in inches.
    """

    number: float
    unit: Unit
    lent: Unit
    start: int
    end: int
    plus: bool


def read_amounts(text: str, units: Mapping[str, Unit], most: int) -> list[Amount]:
    """The first numbers with their units, so many at most."""
    found: list[Amount] = []
    for match in NUMBER.finditer(text):
        previous = found[-1].end if found else -1
        amount = _amount(text, match, previous, units)
        if amount is not None and found and (tall := _feet_and_inches(text, found[-1], amount)):
            found[-1] = tall
        elif amount is not None:
            found.append(amount)
        if len(found) == most:
            break
    return found


def _amount(text: str, match: re.Match[str], previous: int, units: Mapping[str, Unit]) -> Amount | None:
    start, end = match.start("number"), match.end()
    if start < previous or not _begins(text, start, previous, bool(match["currency"])):
        return None
    value = _value(match)
    if value is None:
        return None
    unit: Unit = ()
    if match["currency"] and match.start() >= previous:
        unit, start = units.get(match["currency"].lower(), ()), match.start()
    times, end = _times(text, match, units)
    after = UNIT.match(text, end)
    plus = after is not None and after["plus"] is not None
    if after is not None and not unit:
        unit, length = _unit(after, units, is_whole=match["number"].isdigit())
        end = length if unit else end
    in_word = WORD_GOES_ON.match(text, end) and not BY_NUMBER.match(text, end)
    return Amount(times * value, unit, unit, start, end, plus) if unit or not in_word else None


def _feet_and_inches(text: str, feet: Amount, inches: Amount) -> Amount | None:
    """The two in inches, where only white space and the dot of "ft." are between them; "20 ft 1/4 inch" are two."""
    if not feet.unit or not inches.unit or feet.unit[0][0] != "length" or inches.unit[0][0] != "length":
        return None
    ratio = feet.unit[0][1] / inches.unit[0][1]
    if not 11.9 < ratio < 12.1 or not 1 <= inches.number < 12 or text[feet.end : inches.start].lstrip(".").strip():
        return None
    return Amount(feet.number * ratio + inches.number, inches.unit, feet.unit, feet.start, inches.end, inches.plus)


def _begins(text: str, start: int, previous: int, has_currency: bool) -> bool:
    """Whether a number may begin here: not inside a word, nor after a word and a hyphen ("DDR4-3200")."""
    before = text[start - 1 : start]
    if has_currency or not before or start == previous:
        return True
    if (before.isascii() and before.isalnum()) or before == "_":
        return previous >= 0 and bool(BY.fullmatch(text, previous, start))
    return not (before in "-–" and start > 1 and text[start - 2].isalnum()) or previous == start - 1


def _value(match: re.Match[str]) -> float | None:
    sign = -1.0 if match["number"].startswith("-") else 1.0
    if under := match["under"] or match["denominator"]:
        over = match["over"] or match["numerator"]
        if int(under) not in DENOMINATORS:
            return None
        return sign * (int(match["whole"] or 0) + int(over) / int(under))
    if match["vulgar"]:
        return sign * (int(match["units"] or 0) + VULGAR[match["vulgar"]])
    if match["dotted"]:
        return sign * float(match["dotted"].replace(".", "").replace(",", "."))
    if match["thousands"]:
        return sign * float(match["thousands"].replace(",", ""))
    return sign * float(match["decimal"].replace(",", "."))


def _times(text: str, match: re.Match[str], units: Mapping[str, Unit]) -> tuple[float, int]:
    """What the number is multiplied by, and where it ends: "$1k", "3千元", but not "3千克" nor "4k tv"."""
    times, end = TIMES.match(text, match.end()), match.end()
    after = UNIT.match(text, end)
    if not times or (after and _unit(after, units, is_whole=True)[0]):
        return 1.0, end
    if not times["han"] and not match["currency"]:
        return 1.0, end
    return WORTH[times[0].strip().lower()], times.end()


def _unit(match: re.Match[str], units: Mapping[str, Unit], *, is_whole: bool) -> tuple[Unit, int]:
    """The unit that stands there, the longest that is known, and where it ends; an empty one for none."""
    if match["mark"]:
        return units.get(match["mark"], ()), match.end("mark")
    if han := match["han"]:
        for length in range(len(han), 0, -1):
            if han[:length] in units:
                return units[han[:length]], match.start("han") + length
        return (), match.end()
    word, second = match["word"], match["second"]
    if second and (unit := units.get(f"{word} {second}".lower())):
        return unit, match.end("second")
    is_name = word in NO_UNITS and (is_whole or word != "L")
    if is_name or (word.lower() == "in" and match.string[match.end("word") :].lstrip(" -")[:1].isdigit()):
        return (), match.end()
    return units.get(word.lower(), ()), match.end("word")

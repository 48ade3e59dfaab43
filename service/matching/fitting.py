"""Whom a text says that something fits: a size in letters, or people by their age and sex.

"M", "Medium" and 中号 are one size, "women's", "for women" and "Ladies" the same people. Only a text that says nothing
else is read so: "s" is a size neither in "men's" nor in "s hook".

Knows: names of sizes and people. Does not know: attributes, numbers as sizes, other words, negation.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from service.matching.wording import listed, words

SIZES = {
    "xxs": "xxs, 2xs, xx small, 2x small",
    "xs": "xs, x small, xsmall, extra small",
    "s": "s, small, 小号, 小码",
    "m": "m, medium, med, 中号, 中码",
    "l": "l, large, 大号",
    "xl": "xl, x large, xlarge, extra large, 加大, 加大号",
    "xxl": "xxl, 2xl, xx large, 2x large, extra extra large",
    "xxxl": "xxxl, 3xl, xxx large, 3x large",
    "xxxxl": "xxxxl, 4xl, xxxx large, 4x large",
    "xxxxxl": "xxxxxl, 5xl, 5x large",
}
"""By size its names."""

SIZE, PEOPLE, ADULT = "size", "people", "adult"
WHOM = {
    f"{PEOPLE} female": "female, 女, 女性",
    f"{PEOPLE} male": "male, 男, 男性",
    f"{PEOPLE} female male": "unisex, gender neutral, 男女, 男女通用, 男女皆宜",
    f"{ADULT} female": "women, woman, ladies, lady, female adult, adult female, 女士, 女式, 女款, 女装",
    f"{ADULT} male": "men, man, gentlemen, gents, male adult, adult male, 男士, 男式, 男款, 男装",
    f"{ADULT} female male": "adult, unisex adult, adult unisex, 成人",
    "child female": "girl, 女童, 女孩",
    "child male": "boy, 男童, 男孩",
    "child female male": "kid, child, children, unisex child, unisex kid, 儿童, 小孩",
    "toddler female": "toddler girl",
    "toddler male": "toddler boy",
    "toddler female male": "toddler, unisex toddler, 幼儿",
    "baby female": "baby girl, infant girl, 女婴",
    "baby male": "baby boy, infant boy, 男婴",
    "baby female male": "baby, babies, infant, unisex baby, unisex infant, 婴儿, 宝宝",
}
"""By age and sex the names of the people; those of no age are `PEOPLE`."""

FILLERS = listed("fit fits for size sized sz 号 尺 码")
"""Words that may stand beside these names and say nothing."""
IN_BRACKETS = re.compile(r"\([^()]{0,40}\)")
IN_NUMBERS = re.compile(r"\s*(?:(?:us|uk|eu)\s?)?[0-9]{1,3}(?:\s?[-–]\s?[0-9]{1,3})?\s*", re.IGNORECASE)
"""What may stand beside a size in letters: "M (8-10)", "US 8 / M"."""
RANGE = re.compile(r"\s*([a-z0-9]{1,5})\s*[-–~]\s*([a-z0-9]{1,5})\s*", re.IGNORECASE)
APART = re.compile(r"[|;\n、，；&,/和或]|\b(?:and|or)\b", re.IGNORECASE)


class Fit(NamedTuple):
    """One size, or the people of one sex or both: `of` is `SIZE`, `PEOPLE` where no age is told, or the age."""

    of: str
    members: frozenset[str]


def _table() -> Mapping[tuple[str, ...], Fit]:
    fits = {Fit(SIZE, frozenset([size])): names for size, names in SIZES.items()}
    people = {Fit(whom.split()[0], frozenset(whom.split()[1:])): names for whom, names in WHOM.items()}
    table = {tuple(words(name)): fit for fit, names in (fits | people).items() for name in names.split(", ")}
    return table | {(*name, "s"): fit for name, fit in table.items() if fit.of != SIZE}


ORDER = tuple(Fit(SIZE, frozenset([size])) for size in SIZES)
FITS = _table()
"""By the words of a name, and of its possessive ("women's"), what it means."""


def read_fits(text: str) -> frozenset[Fit]:
    """What the text names, one or several; none where it says anything else, too."""
    fits = set()
    for fit in _elements(text):
        if fit is None:
            return frozenset()
        fits.add(fit)
    return frozenset(fits)


def _elements(text: str) -> Iterator[Fit | None]:
    for element in APART.split(IN_BRACKETS.sub(" ", text)):
        if IN_NUMBERS.fullmatch(element):
            continue
        if (match := RANGE.fullmatch(element)) and (sizes := _range(*match.groups())):
            yield from sizes
        elif found := tuple(words(element)):
            yield FITS.get(found) or FITS.get(tuple(word for word in found if word not in FILLERS))


def _range(first: str, last: str) -> Sequence[Fit]:
    """The sizes from one to another: "S-XL"; none where these are not two in order."""
    ends = [FITS.get(tuple(words(each))) for each in (first, last)]
    places = [ORDER.index(fit) for fit in ends if fit in ORDER]
    return ORDER[places[0] : places[1] + 1] if len(places) == 2 and places[0] < places[1] else ()


def agreement(wanted: Set[Fit], found: Set[Fit]) -> float | None:
    """That of the two that agree best; None where there are none to compare, as for a size beside people."""
    pairs = ((one, other) for one in wanted for other in found if (one.of == SIZE) == (other.of == SIZE))
    return max((_agreement(*pair) for pair in pairs), default=None)


def _agreement(one: Fit, other: Fit) -> float:
    """1 where both may be meant, else -1; 0 where just one tells an age, and not that of adults: "female", "girl"."""
    told = {one.of, other.of} - {PEOPLE}
    if len(told) > 1 or not one.members & other.members:
        return -1.0
    return 1.0 if one.of == other.of or told == {ADULT} else 0.0

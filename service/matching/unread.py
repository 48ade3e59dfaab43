"""Whose the quantities of a query are that no model read as an attribute's value: "16gb" of "laptop 16gb ram".

An attribute can have a quantity that is of a kind of unit that the catalogue's values of it are of. Of those that can,

- it is the one whose name stands beside it: behind all quantities of one kind, or before them, whichever names more;
- a kind's only quantity is the one's that the query names anywhere, or else the only one's that can have it;
- of a kind with as many quantities as attributes the last one left is the last one's;
- a number without a unit is the one's whose name is the very next word ("5 holes", 43码), if its values are bare,
  too; a limit without one ("under 100") is the price's.

A bare g ("5g phone", "16G") may be many things: it is an attribute's only where something names that.

Knows: quantities, words of names. Does not know: models, how well values agree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from math import isinf
from typing import NamedTuple

from service.matching.quantities import BARE_G, Quantity, kinds, read_gigabytes
from service.matching.units import BYTES, CURRENCY_KINDS, Unit
from service.matching.wording import listed, words

BARE = ""
"""The kind of numbers without a unit."""
AMBIGUOUS = re.compile(r"[0-9]\s?g$", re.IGNORECASE)
"""Grams, a generation of networks, gigahertz or gigabytes."""
SAME = {"ram": "memory", "rom": "storage", "ssd": "storage", "hdd": "storage", "disk": "storage", "drive": "storage"}
PRICES = listed("cost msrp price 价")
MONEY = {BARE, *CURRENCY_KINDS}
LINKS = listed("a an and by for in is no number of or the to with")
"""Beside a quantity, and in a name, these name nothing."""


class Unread(NamedTuple):
    """A quantity of a query: the kinds that its unit may be of, what stands before and behind it up to the next ones.

    `taken` where it is stated of an attribute already, `limit` where it is open to one side.
    """

    text: str
    kinds: frozenset[str]
    before: Sequence[str]
    behind: Sequence[str]
    limit: bool
    taken: bool


def measured_kinds(quantities: Iterable[Quantity]) -> frozenset[str]:
    """The kinds of all units that these are stated in, `BARE` where one is without."""
    found = tuple(quantities)
    return kinds(found) | {BARE for each in found if any(not side.bases for side in each.sides)}


def read(
    query: str, quantities: Sequence[Quantity], taken: Sequence[tuple[int, int]], units: Mapping[str, Unit]
) -> list[Unread]:
    """The quantities of a query, in order; `taken` are the parts of it that are not to be asked about."""
    found = []
    quantities = sorted((*quantities, *_gigabytes(query, quantities, units)), key=lambda each: each.start)
    for place, each in enumerate(quantities):
        text = query[each.start : each.end]
        begin = quantities[place - 1].end if place else 0
        end = quantities[place + 1].start if place + 1 < len(quantities) else len(query)
        found.append(
            Unread(
                text,
                measured_kinds([each]) | kinds(read_gigabytes(text, units)),
                _naming(query[begin : each.start]),
                _naming(query[each.end : end]),
                any(isinf(bound) for bound in (each.sides[0].low, each.sides[0].high)),
                any(start < each.end and each.start < last for start, last in taken),
            )
        )
    return found


def _gigabytes(query: str, quantities: Sequence[Quantity], units: Mapping[str, Unit]) -> Iterator[Quantity]:
    """Those with a capital G and no more ("16G"), which elsewhere is no unit."""
    for match in BARE_G.finditer(query):
        if not any(each.start <= match.start() < each.end for each in quantities):
            for each in read_gigabytes(match[0], units):
                yield replace(each, start=match.start(), end=match.end())


def name_words(plain: str) -> frozenset[str]:
    """The words by which a name can be said."""
    return frozenset(_naming(plain))


def is_asked(found: Iterable[Unread], names: Iterable[Set[str]]) -> bool:
    """Whether any of these may be an attribute's, as far as that can be told without a product."""
    loose = [each for each in found if not each.taken]
    named = frozenset[str]().union(*names) if loose else frozenset()
    return any(each.kinds != {BARE} or each.limit or not named.isdisjoint(_nearest(each)) for each in loose)


def owners(
    found: Sequence[Unread], names: Mapping[str, Set[str]], known: Mapping[str, Set[str]], wanted: Set[str]
) -> dict[str, str]:
    """By attribute the quantity that is its own; `names` are the words of each, `known` the kinds of its values.

    Those that are `wanted` already get none.
    """
    owned: dict[str, str] = {}
    measured = frozenset[str]().union(*known.values())
    groups: dict[frozenset[str], list[Unread]] = {}
    for each in found:
        groups.setdefault(frozenset(_meant(each.kinds & measured)), []).append(each)
    for unit, group in groups.items():
        having = {name: own for name, own in names.items() if unit & known.get(name, frozenset())}
        free = {name: own for name, own in having.items() if name not in wanted and name not in owned}
        loose = [each for each in group if not each.taken]
        if unit == {BARE}:
            owned |= _bare(loose, free)
        elif len(group) == 1:
            owned |= _alone(loose, free, found)
        else:
            owned |= _several(loose, free, as_many=len(group) == len(having))
    priced = {name for name in names if names[name] & PRICES and known.get(name, frozenset()) & MONEY}
    limits = [each for each in found if each.limit and each.kinds == {BARE} and not each.taken]
    if len(priced) == len(limits) == 1 and limits[0].text not in owned.values() and not priced & wanted:
        owned.setdefault(priced.pop(), limits[0].text)
    return owned


def _meant(units: Set[str]) -> Set[str]:
    """Of what a bare G may be, bytes where any attribute has these."""
    return {BYTES} if BYTES in units else units


def _alone(loose: Sequence[Unread], free: Mapping[str, Set[str]], found: Sequence[Unread]) -> Iterator[tuple[str, str]]:
    for each in loose:
        name = _named(free, {word for other in found for word in (*other.before, *other.behind)})
        if not name and len(free) == 1 and not AMBIGUOUS.search(each.text):
            (name,) = free
        if name:
            yield name, each.text


def _several(loose: Sequence[Unread], free: Mapping[str, Set[str]], *, as_many: bool) -> Iterator[tuple[str, str]]:
    behind, before = (_beside(loose, free, side) for side in ("behind", "before"))
    named = behind if len(behind) >= len(before) else before
    yield from named.items()
    rest = [each for each in loose if each.text not in named.values()]
    left = free.keys() - named.keys()
    if as_many and len(rest) == len(left) == 1 and (named or not AMBIGUOUS.search(rest[0].text)):
        yield left.pop(), rest[0].text


def _bare(loose: Sequence[Unread], free: Mapping[str, Set[str]]) -> Iterator[tuple[str, str]]:
    for each in loose:
        if name := _named(free, _nearest(each)):
            yield name, each.text


def _beside(loose: Sequence[Unread], free: Mapping[str, Set[str]], side: str) -> dict[str, str]:
    """By attribute the quantity that has its name on this side; none for what two have."""
    found: dict[str, list[str]] = {}
    for each in loose:
        if name := _named(free, {*getattr(each, side)}):
            found.setdefault(name, []).append(each.text)
    return {name: texts[0] for name, texts in found.items() if len(texts) == 1}


def _named(names: Mapping[str, Set[str]], said: Set[str]) -> str:
    """The one name of which most words are said, of several the one with the fewest others; "" for none or a tie."""
    counts = {name: (len(own & said), len(own & said) / len(own)) for name, own in names.items() if own & said}
    best = [name for name, count in counts.items() if count == max(counts.values())]
    return best[0] if len(best) == 1 else ""


def _nearest(each: Unread) -> frozenset[str]:
    return frozenset((*each.before[-1:], *each.behind[:1]))


def _naming(text: str) -> list[str]:
    return [SAME.get(word, word) for word in words(text) if word not in LINKS]

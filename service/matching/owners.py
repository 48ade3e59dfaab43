"""Whose the quantities of a query are that no model read as an attribute's value: "16gb" of "laptop 16gb ram".

An attribute can have a quantity that is of a kind of unit that the catalogue's values of it are of. Of those that can,

- it is the one whose name stands beside it: behind all quantities of one kind, or before them, whichever names more;
- a kind's only quantity is the one's that the query names anywhere, or else the only one's that can have it;
- of a kind with as many quantities as attributes the last one left is the last one's; of two numbers of bytes that
  nothing names the smaller is the memory's, the larger the storage's;
- a number without a unit, or a count, is the one's whose name is the very next word ("5 holes", 43码), if its values
  are bare, too;
- money, and a limit without a unit ("under 100"), is the price's.

A bare g ("5g phone", "16G") may be many things: it is an attribute's only where something names that.

Knows: quantities, words of names, kinds of values. Does not know: models, how well values agree.
"""

import re
from collections.abc import Iterable, Iterator, Sequence, Set

from service.matching.measures import COUNT, NONE, Kinds, Measure, Names, named, priced, sums
from service.matching.quantities import BARE
from service.matching.units import BYTES
from service.matching.wording import listed

AMBIGUOUS = re.compile(r"[0-9]\s?g$", re.IGNORECASE)
"""Grams, a generation of networks, gigahertz or gigabytes."""
MEMORY, STORAGE = listed("memory 内存"), listed("storage capacity 存储 容量 硬盘")


def is_asked(loose: Iterable[Measure], names: Names) -> bool:
    """Whether any of these may be an attribute's, as far as that can be told without a product."""
    said = NONE.union(*names.values())
    return any(
        each.kinds != {BARE} or each.limit or not said.isdisjoint(each.right_behind | each.right_before)
        for each in loose
    )


def owners(
    found: Sequence[Measure], taken: Set[Measure], names: Names, known: Kinds, wanted: Set[str]
) -> dict[str, Measure]:
    """By attribute the quantity that is its own. Those that are `wanted` get none, and what is `taken` is nobody's."""
    owned: dict[str, Measure] = {}
    measured = NONE.union(*known.values())
    groups: dict[frozenset[str], list[Measure]] = {}
    for each in found:
        groups.setdefault(frozenset(_of_catalogue(each.kinds & measured)), []).append(each)
    groups.pop(frozenset({BARE}), None)
    for unit, group in groups.items():
        having = {name: own for name, own in names.items() if unit & known.get(name, NONE)}
        free = {name: own for name, own in having.items() if name not in wanted and name not in owned}
        loose = [each for each in group if each not in taken]
        if len(group) == 1:
            owned |= _alone(loose, free, found)
        else:
            owned |= _several(loose, having, free, as_many=len(group) == len(having), in_bytes=unit == {BYTES})
    loose = [each for each in found if each not in taken and each not in owned.values()]
    bare = {name: own for name, own in names.items() if BARE in known.get(name, NONE) and name not in wanted}
    owned |= _bare(loose, {name: own for name, own in bare.items() if name not in owned})
    price = priced(names, known)
    if price and price not in wanted and price not in owned:
        owned |= _price(price, [each for each in loose if each not in owned.values()])
    return owned


def _of_catalogue(units: Set[str]) -> Set[str]:
    """Of what a bare G may be, bytes where any attribute has these."""
    return {BYTES} if BYTES in units else units


def _alone(loose: Sequence[Measure], free: Names, found: Sequence[Measure]) -> Iterator[tuple[str, Measure]]:
    for each in loose:
        name = named(free, {word for other in found for word in (*other.before, *other.behind)})
        if not name and len(free) == 1 and not AMBIGUOUS.search(each.text):
            (name,) = free
        if name:
            yield name, each


def _several(
    loose: Sequence[Measure], having: Names, free: Names, *, as_many: bool, in_bytes: bool
) -> Iterator[tuple[str, Measure]]:
    behind, before = (_beside(loose, having, side) for side in ("behind", "before"))
    beside = behind if len(behind) >= len(before) else before
    yield from ((name, each) for name, each in beside.items() if name in free)
    rest = [each for each in loose if each not in beside.values()]
    left = free.keys() - beside.keys()
    if as_many and len(rest) == len(left) == 1 and (beside or not AMBIGUOUS.search(rest[0].text)):
        yield left.pop(), rest[0]
    elif in_bytes and not beside and len(loose) == 2:
        memory = [name for name in free if free[name] & MEMORY]
        storage = [name for name in free if free[name] & STORAGE and name not in memory]
        if len(memory) == len(storage) == 1 and loose[0].size != loose[1].size:
            smaller, larger = sorted(loose, key=lambda each: each.size)
            yield from ((memory[0], smaller), (storage[0], larger))


def _bare(loose: Sequence[Measure], free: Names) -> dict[str, Measure]:
    bare = [each for each in loose if each.kinds <= {BARE, COUNT}]
    behind = {name: each for each in bare if (name := named(free, each.right_behind))}
    before = {name: each for each in bare if (name := named(free, each.right_before))}
    return behind if len(behind) >= len(before) else before


def _price(price: str, loose: Sequence[Measure]) -> Iterator[tuple[str, Measure]]:
    found = sums(loose)
    if len(found) == 1:
        yield price, found[0]


def _beside(loose: Sequence[Measure], names: Names, side: str) -> dict[str, Measure]:
    """By attribute the quantity that has its name on this side; none for what two have."""
    found: dict[str, list[Measure]] = {}
    for each in loose:
        if name := named(names, {*getattr(each, side)}):
            found.setdefault(name, []).append(each)
    return {name: only[0] for name, only in found.items() if len(only) == 1}

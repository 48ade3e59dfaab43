"""Values that a model read, beside what the catalogue has: each quantity is wanted of the attributes that it can be of.

A model reads words, and says of "27 inch 144hz" that it is the screen size. Of a value with quantities in it

- those stay whose kind of unit the attribute's values have, of several those that are named beside it, if any are;
- where its values have no quantities, the words beside them stay: "queen" of "10 inch queen";
- what can be of several names is of the one that is named beside it, and not of those that are `apart` from this, or of
  which alone it is stated: "6 ft tall" is a height;
- where all its values are quantities, words alone ("battery" beside "24 hour battery") are nothing;
- a limit without a unit ("under 100") is the price's, and of no attribute with units that the query does not name.

What is left over is nobody's yet. Of alternatives ("size 8 or 9") all stay or none does, and a quantity alone stays
that no other attribute can have.

Knows: quantities, names, kinds of values. Does not know: models, how well values agree.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from service.matching import opposites
from service.matching.measures import LINKS, MONEY, NONE, PRICES, SAME, Kinds, Measure, Names, named, priced, sums
from service.matching.parsing import SIZE_WORDS
from service.matching.quantities import BARE
from service.matching.sentence import Said
from service.matching.units import CURRENCY_KINDS

Statements = Mapping[str, Sequence[Said]]
"""By attribute what is stated of it."""


def is_asked(found: Sequence[Measure], said: Statements) -> bool:
    """Whether the catalogue has a say in any of these: where a quantity is in them."""
    values = [(name, each) for name, stated in said.items() for each in stated]
    return bool(values) and any(_is_open(measure, values) for measure in found)


def _is_open(measure: Measure, values: Sequence[tuple[str, Said]]) -> bool:
    """Not where it is a bare number that is stated of one attribute alone and by itself, or of none."""
    if measure.kinds != {BARE} or measure.limit:
        return True
    of = [(name, each) for name, each in values if measure.overlaps(each.start, each.end)]
    return len(of) > 1 or any((each.start, each.end) != (measure.start, measure.end) for _, each in of)


class Settlement:
    """The statements of one query, beside one catalogue; `plain` is how each name reads."""

    def __init__(
        self,
        found: Sequence[Measure],
        said: Statements,
        plain: Mapping[str, str],
        names: Names,
        known: Kinds,
        worded: Set[str],
    ) -> None:
        self._found, self._statements, self._names, self._known = found, said, names, known
        self._worded = worded
        self._price = priced(names, known)
        self._having = Counter(kind for kinds in known.values() for kind in kinds)
        self._plain = plain
        self._stated = {
            measure: {name for name, values in said.items() if any(measure.is_inside(v.start, v.end) for v in values)}
            for measure in found
        }
        self._holders = {measure: self._can_have(measure) for measure in found}
        self._side = max(("behind", "before"), key=lambda side: sum(bool(self._beside(each, side)) for each in found))
        self._owners = {measure: self._owner(measure) for measure in found}

    def _can_have(self, measure: Measure) -> dict[str, Set[str]]:
        """The names of which it is stated, or whose values are of its kind, with their words."""
        stated = self._stated[measure]
        return {
            name: own
            for name, own in self._names.items()
            if name in stated or measure.kinds & self._known.get(name, NONE) - {BARE}
        }

    def _beside(self, measure: Measure, side: str) -> str:
        return named(self._holders[measure], {*getattr(measure, side)})

    def _owner(self, measure: Measure) -> str:
        """Of the names that can have it the one that stands beside it, first where such names mostly stand."""
        both = {*measure.before, *measure.behind}
        return self._beside(measure, self._side) or named(self._holders[measure], both)

    def _inside(self, value: Said) -> list[Measure]:
        return [each for each in self._found if each.is_inside(value.start, value.end)]

    def settled(self) -> Iterator[tuple[str, list[Said]]]:
        """What is wanted in the end of each attribute of which anything is stated."""
        for name, values in self._statements.items():
            yield name, self._own_first(name, self._kept(name, values)) if name in self._names else [*values]

    def _own_first(self, name: str, values: Iterator[Said]) -> list[Said]:
        """The values without bare numbers, where another is of the attribute's own kind."""
        kept = [(each, self._inside(each)) for each in values]
        kinds = self._known.get(name, NONE) - {BARE}
        if not any(one.kinds & kinds for _, inside in kept for one in inside):
            return [each for each, _ in kept]
        return [each for each, inside in kept if not inside or any(one.kinds != {BARE} for one in inside)]

    def _kept(self, name: str, values: Sequence[Said]) -> Iterator[Said]:
        spans = Counter((each.start, each.end) for each in values)
        for value in values:
            inside = self._inside(value)
            mine = [each for each in inside if not self._is_anothers(each, name)]
            if not inside and self._known.get(name) and name not in self._worded and not value.negated:
                continue
            if not inside or (mine and spans[value.start, value.end] > 1):
                yield value
            else:
                yield from self._parts(name, value, inside, mine)

    def _parts(self, name: str, value: Said, inside: Sequence[Measure], mine: Sequence[Measure]) -> Iterator[Said]:
        own, beside = [each for each in mine if self._can_be(each, name)], _words(value, self._found)
        if len(inside) == 1 and (own or (mine and not beside and not self._can_be_anothers(mine[0], name))):
            yield value
        elif own:
            for each in self._meant(name, own):
                yield value._replace(text=each.text, start=each.start, end=each.end)
        elif mine:
            yield from beside

    def _meant(self, name: str, own: Sequence[Measure]) -> Sequence[Measure]:
        if name == self._price:
            return sums(own) or own
        return [each for each in own if self._names[name] & {*getattr(each, self._side)}] or own

    def _can_be(self, measure: Measure, name: str) -> bool:
        """Whether the attribute's values are of its kind, or bare where no other attribute's are."""
        kinds = self._known.get(name, NONE)
        if measure.kinds & kinds or (kinds and measure.kinds == {BARE}):
            return True
        is_no_price = self._names[name] & PRICES and not measure.kinds & MONEY
        return BARE in kinds and not is_no_price and not self._can_be_anothers(measure, name)

    def _can_be_anothers(self, measure: Measure, name: str) -> bool:
        if measure.kinds & CURRENCY_KINDS and self._price not in ("", name):
            return True
        own = self._known.get(name, NONE)
        return any(self._having[kind] > (kind in own) for kind in measure.kinds - {BARE})

    def _are_apart(self, *names: str) -> bool:
        one, other = (opposites.meaning(self._plain[name]) for name in names)
        return opposites.apart(one, other)

    def _is_anothers(self, measure: Measure, name: str) -> bool:
        beside, owner = {*measure.before, *measure.behind}, self._owners[measure]
        if owner and owner != name and (owner not in self._stated[measure] or self._are_apart(name, owner)):
            return True
        is_sum = measure.is_bare_limit and self._price not in ("", name)
        return is_sum and BARE not in self._known.get(name, {BARE}) and not self._names[name] & beside


def _words(value: Said, measures: Sequence[Measure]) -> list[Said]:
    """What the value says beside the quantities of the query, if that is anything."""
    start, found = value.start, []
    for each in (*(one for one in measures if one.overlaps(value.start, value.end)), None):
        end = each.start if each else value.end
        found.append(_stripped(value, start, max(start, end)))
        start = each.end if each else end
    return [each for each in found if each.start < each.end]


def _stripped(value: Said, start: int, end: int) -> Said:
    """A part of the value, less what says nothing at its ends: "boys" of "boys age"."""
    idle = SIZE_WORDS | LINKS | SAME.keys()
    text = value.text[start - value.start : end - value.start]
    telling = [match.span() for match in re.finditer(r"\S+", text) if match[0].casefold() not in idle]
    if not telling:
        return value._replace(text="", start=start, end=start)
    first, last = telling[0][0], telling[-1][1]
    return value._replace(text=text[first:last], start=start + first, end=start + last)

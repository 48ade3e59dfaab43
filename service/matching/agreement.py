"""How well what a product has agrees with what a query wants, in [-1, 1].

The first of these rules that applies gives x, how surely the product has what is named:

1. Nothing is known of the value, or nothing is wanted: 0.
2. The phrase of the value, or of an element of a list, is the wanted one: 1, but for quantities that can be compared.
3. A yes or no is found: 1 or -1 for words, 0 for a quantity. A yes or no is wanted: so too, a number above zero being a
   yes, and 0 for other values.
4. A quantity is wanted and the value has one that can be compared: as in `quantities`. Beside bytes a bare G ("256G")
   is gigabytes, beside volumes a bare L ("5L") litres.
5. The value is a number alone, and no quantity is wanted: 0, since a number says nothing of words.
6. Colours are wanted and the value names some: the mean over those wanted of the best of those found, as in `colors`.
   Both say a size in letters and nothing else, or both people: the best of any two, as in `fitting`.
7. The value denies the wanted words ("non-slip", "sleeveless") more than it has them: minus the share that it denies.
   To a negated wish it denies what it resists ("slip-resistant"), too.
8. Otherwise the share of the wanted words that it has and the cosine of the two texts, as in `wording`.

Beside other wanted words, and in phrases, "size", "style" and the like do not count.

A negated wish turns x: to -x where x > 0 and where the product says that it does not have it (3 and 7). Elsewhere the
value is merely another one, which is a mild plus: -`MILD` · x.

Knows: which kind of value comes first, the sign. Does not know: attributes, weights, where cosines come from.
"""

from service.matching import colors, fitting, quantities, wording
from service.matching.parsing import Found, Wanted
from service.matching.units import BYTES, VOLUME

MILD = 0.25
"""The share of a disagreement that a negated wish gains from a value that is merely another one."""


def agreement(wanted: Wanted, found: Found, cosine: float) -> float:
    """In [-1, 1]; `cosine` is that of the wanted text, as it is named, and the value's."""
    settled = without_cosine(wanted, found)
    return with_cosine(wanted, found, cosine) if settled is None else settled


def without_cosine(wanted: Wanted, found: Found) -> float | None:
    """The agreement where the cosine plays no part in it; None where the eighth rule is the first that applies."""
    told = _told(wanted, found)
    return None if told is None else _signed(wanted, *told)


def with_cosine(wanted: Wanted, found: Found, cosine: float) -> float:
    """The agreement by the eighth rule."""
    has = wording.agreement(wording.overlap(wanted.words, found.words), cosine)
    return _signed(wanted, has, is_said=False)


def _signed(wanted: Wanted, has: float, is_said: bool) -> float:
    """What a wish makes of how surely the product has it; `is_said` where it says itself that it does or does not."""
    if not wanted.negated:
        return has
    return -has if has > 0 or is_said else -MILD * has


def _told(wanted: Wanted, found: Found) -> tuple[float, bool] | None:
    """How surely the product has it by all rules but the last, and whether it says so; None where only that applies."""
    if not found.is_known or not (wanted.words or wanted.quantities or wanted.flag is not None):
        return 0.0, False
    value = _quantities(wanted, found)
    if wanted.phrase in found.phrases and value is None:
        return 1.0, True
    if found.flag is not None or (wanted.flag is not None and not wanted.quantities):
        return _flags(wanted, found), True
    if value is not None:
        return value, False
    if found.number is not None and not wanted.quantities:
        return 0.0, False
    if wanted.colors and found.colors:
        best = (max(colors.agreement(each, other) for other in found.colors) for each in wanted.colors)
        return sum(best) / len(wanted.colors), False
    if wanted.fits and (value := fitting.agreement(wanted.fits, found.fits)) is not None:
        return value, False
    resisted = found.resisted if wanted.negated else frozenset()
    shared = wording.overlap(wanted.words, found.words - resisted)
    denied = wording.overlap(wanted.words, found.denied | resisted)
    return (-denied, True) if denied > shared else None


def _quantities(wanted: Wanted, found: Found) -> float | None:
    if not ((wanted.quantities or wanted.again) and (found.quantities or found.again)):
        return None
    wants, has = wanted.quantities, found.quantities
    for kind in (BYTES, VOLUME):
        if kind in quantities.kinds((*wants, *has)):
            wants = wanted.again if kind in quantities.kinds(wanted.again) else wants
            has = found.again if kind in quantities.kinds(found.again) else has
    return quantities.best(wants, has)


def _flags(wanted: Wanted, found: Found) -> float:
    if found.flag is None and found.number is None:
        return 0.0
    if wanted.flag is None and wanted.quantities:
        return 0.0
    has = found.flag if found.flag is not None else (found.number or 0) > 0
    return 1.0 if has == (wanted.flag is not False) else -1.0

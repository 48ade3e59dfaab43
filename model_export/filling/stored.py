"""The values that a catalogue itself stores: what a picture's product is given one of, where no vocabulary is given.

Knows: one pass over the products, how many values are kept. Does not know: the model, pictures.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from model_export.products import Product
from service.matching.wording import normalised

LEAST_PRODUCTS = 2
"""A value of one product alone is no name for what others may have: a serial number, a text."""
MOST_VALUES = 1_000
LONGEST_VALUE = 128
MOST_COUNTED = 20_000
"""Of an attribute with more different values those counted once are forgotten, so that memory is bounded."""


def stored_values(products: Iterable[Product], readable: Callable[[str], bool]) -> dict[str, list[str]]:
    """The values of each attribute that has two or more, the most frequent first, each as it is most often spelled.

    Only texts count, `readable` ones of up to 128 characters that two products have.
    """
    spelled: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for product in products:
        for name, value in product["attributes"].items():
            if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_VALUE:
                counted = spelled[name]
                counted[value.strip()] += 1
                if len(counted) > MOST_COUNTED:
                    spelled[name] = Counter({each: count for each, count in counted.items() if count > 1})
    found = {name: _values(counted, readable) for name, counted in spelled.items()}
    return {name: values for name, values in found.items() if len(values) > 1}


def _values(spelled: Counter[str], readable: Callable[[str], bool]) -> list[str]:
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for value, count in spelled.most_common():
        plain = normalised(value)
        shown.setdefault(plain, value)
        counts[plain] += count
    often = [plain for plain, count in counts.most_common() if count >= LEAST_PRODUCTS and readable(plain)]
    return [shown[plain] for plain in often[:MOST_VALUES]]

"""Which attributes apply to a kind of product, told from the products of a catalogue.

Knows: how fill and spread make a gain. Does not know: file formats, what users ask for.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from model_export import catalogues
from model_export.catalogues import CatalogueProduct
from model_export.config import Source
from model_export.readers.lines import Keyed
from model_export.readers.taxonomy_values import APPLIES
from model_export.records import Record

LEAST_PRODUCTS = 10
LEAST_FILL = 0.05
"""An attribute that fewer products of a kind fill neither applies to it nor does not."""

MOST_OWN, MOST_OTHERS = 64, 32

ENOUGH_VALUES = 8
"""So many values, evenly used, tell products apart as well as more would."""


def catalogue(path: Path, _source: Source, seed: int) -> Iterator[Keyed]:
    """One record for each kind with at least `LEAST_PRODUCTS` products: its name is the query, and the key.

    The gain of an attribute is `fill * (APPLIES + (1 - APPLIES) * spread)`: fill is the share of the kind's products
    that have a value, spread how well the values tell them apart, `min(1, H / log(ENOUGH_VALUES))` with H the entropy
    of the values in nats. The `MOST_OWN` attributes of the largest gains are kept. Up to `MOST_OTHERS` names that no
    product of the kind fills are drawn by their frequency in the catalogue, with gain 0.
    """
    products = catalogues.read(path)
    used = Counter(name for product in products for name in product.attributes)
    known = Counter(pair for product in products for pair in _rounded(product))
    for kind, members in sorted(catalogues.by_kind(products).items()):
        if len(members) >= LEAST_PRODUCTS:
            yield kind, _applicable(kind, members, used, known, random.Random(f"{seed}/{kind}"))


def _applicable(
    kind: str,
    members: Sequence[CatalogueProduct],
    used: Mapping[str, int],
    known: Mapping[tuple[str, str], int],
    draw: random.Random,
) -> Record:
    values: dict[str, list[str]] = defaultdict(list)
    for product in members:
        for name, value in _rounded(product):
            values[name].append(value if known[name, value] > 1 else "")
    gains = {
        name: round(len(stated) / len(members) * (APPLIES + (1 - APPLIES) * _spread(stated)), 4)
        for name, stated in values.items()
        if len(stated) >= LEAST_FILL * len(members)
    }
    own = sorted(gains, key=lambda name: -gains[name])[:MOST_OWN]
    others = _drawn({name: count for name, count in used.items() if name not in values}, MOST_OTHERS, draw)
    names = (*own, *others)
    return Record(kind, names, tuple(gains.get(name, 0.0) for name in names), (None,) * len(names))


def _rounded(product: CatalogueProduct) -> Iterator[tuple[str, str]]:
    """Attributes with their values, numbers to two digits, so that near ones count as one.

    A value that no other product of the whole catalogue has then counts as no value of its own: an identifier tells
    products apart, but nobody chooses by it.
    """
    for name, value in product.attributes.items():
        number = re.fullmatch(r"-?\d+(\.\d+)?", value)
        yield name, f"{float(value):.2g}" if number else value.lower()


def _spread(values: Iterable[str]) -> float:
    counts = Counter(values)
    total = sum(counts.values())
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return min(1.0, entropy / math.log(ENOUGH_VALUES))


def _drawn(counts: Mapping[str, int], size: int, draw: random.Random) -> list[str]:
    """Names by frequency, none twice (Efraimidis and Spirakis 2006)."""
    keys = {name: draw.random() ** (1 / count) for name, count in sorted(counts.items())}
    return sorted(keys, key=lambda name: -keys[name])[:size]

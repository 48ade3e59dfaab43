"""Pseudo-queries made of a product's own words, to learn through the ranking of products, without judgements.

Knows: which words of a product a query may be made of. Does not know: what people ask, how products are scored.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model_export import catalogues
from model_export.catalogues import KIND, CatalogueProduct
from model_export.config import Source
from model_export.readers.lines import Keyed
from model_export.readers.ranked import with_products

MOST_RECORDS = 4_000
MOST_ATTRIBUTES = 12
OTHERS, SAME_KIND = 7, 4
LONGEST_VALUE = 20
COLOR_NAMES = ("color", "product colour")

Described = tuple[str, str]
"""The name of an attribute, or "" for the title, and the words that a query may take from it."""


def catalogue_queries(path: Path, _source: Source, seed: int) -> Iterator[Keyed]:
    """Up to `MOST_RECORDS` products drawn by the seed, each asked for with two to four of its own descriptions.

    The product itself has gain 1; `OTHERS` others have gain 0, `SAME_KIND` of them of its kind where there are so many.
    No attribute has a gain, and where the query states their values is not said. Those that the query was made of
    come first. The key is the kind, or the id of a product without one.
    """
    products = catalogues.read(path)
    kinds = catalogues.by_kind(products)
    for product in random.Random(seed).sample(products, min(MOST_RECORDS, len(products))):
        draw = random.Random(f"{seed}/{product.id}")
        described = _described(product, draw)
        if len(described) >= 2:
            parts = draw.sample(described, min(len(described), draw.choice((2, 2, 3, 3, 4))))
            query = " ".join(words for _, words in parts).lower()
            ranked = [(1.0, product), *((0.0, other) for other in _others(product, kinds, products, draw))]
            first = [name for name, _ in parts if name]
            yield product.kind or product.id, with_products(query, {}, ranked, most=MOST_ATTRIBUTES, first=first)


def _described(product: CatalogueProduct, draw: random.Random) -> list[Described]:
    """The title's first words, the kind, brand and color, and one more value that is short and begins with a letter."""
    title = " ".join(product.title.split()[: draw.randint(2, 4)]).strip(" ,;-–")
    named = (KIND, "brand", *COLOR_NAMES)
    known = [(name, value) for name, value in product.described.items() if name in named]
    rest = [(name, value) for name, value in product.attributes.items() if name not in named and _is_word(value)]
    more = [*known, *draw.sample(rest, min(1, len(rest)))]
    return [("", title), *((name, words) for name, words in more if words.lower() not in title.lower())]


def _is_word(value: str) -> bool:
    return len(value) <= LONGEST_VALUE and value[0].isalpha() and value not in {"yes", "no"}


def _others(
    product: CatalogueProduct,
    kinds: Mapping[str, Sequence[CatalogueProduct]],
    products: Sequence[CatalogueProduct],
    draw: random.Random,
) -> list[CatalogueProduct]:
    alike = [other for other in kinds.get(product.kind or "", ()) if other.id != product.id]
    same = draw.sample(alike, min(SAME_KIND, len(alike)))
    barred = {product.id, *(other.id for other in same)}
    drawn = draw.sample(products, min(OTHERS + len(barred), len(products)))
    return [*same, *(other for other in drawn if other.id not in barred)][:OTHERS]

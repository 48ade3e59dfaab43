"""Records whose products come from a catalogue.

Knows: which attributes of the products a record asks about. Does not know: whence gains are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from model_export.catalogues import CatalogueProduct
from model_export.records import Product, Record


def with_products(
    query: str,
    gains: Mapping[str, float],
    products: Sequence[tuple[float, CatalogueProduct]],
    *,
    most: int,
    first: Sequence[str] = (),
) -> Record:
    """A record of up to `most` attributes: `first`, those of the largest gains, those that most products fill.

    `products` are (gain, product). An attribute without a gain that no product fills is no candidate.
    """
    described = [(gain, product.title, product.described) for gain, product in products]
    filled = Counter(name for _, _, values in described for name in values)
    rest = sorted(gains.keys() | filled.keys(), key=lambda name: (-gains.get(name, 0.0), -filled[name], name))
    names = tuple(dict.fromkeys([*first, *rest]))[:most]
    return Record(
        query,
        names,
        tuple(gains.get(name, 0.0) for name in names),
        (None,) * len(names),
        products=tuple(Product(gain, title, tuple(map(values.get, names))) for gain, title, values in described),
    )

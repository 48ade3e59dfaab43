"""Which attributes a catalogue's products should have: the names given, or those that are usual for their kind.

Knows: the counts of one pass over the catalogue. Does not know: the model, files of results.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_export import products
from model_export.products import Product
from service.pictures import FIELD

LEAST_SHARE = 0.1
"""A name is usual where so many of the products of a kind name it, be it with null: that says what is wanted."""


@dataclass(frozen=True, slots=True)
class Survey:
    """How many products there are, and the names of attributes wanted: `given`, or where that is None `usual` by kind.

    Products of no kind are a kind of their own. `pictures` counts those with a picture's vector.
    """

    products: int
    given: Sequence[str] | None
    usual: Mapping[str | None, Sequence[str]]
    pictures: int = 0

    def missing(self, product: Product) -> list[str]:
        """The names wanted that a product does not have."""
        names = self.usual.get(products.kind_of(product), ()) if self.given is None else self.given
        return products.missing(product, names)


def survey(catalogue: Path, given: Sequence[str] | None, readable: Callable[[str], bool]) -> Survey:
    """Read the whole catalogue once; it takes memory by kinds and names, not by products. Raises BadRecord.

    What is not `readable` is no usual name.
    """
    sizes: Counter[str | None] = Counter()
    pictures = 0
    named: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for _, product in products.read(catalogue):
        kind = products.kind_of(product)
        sizes[kind] += 1
        pictures += product.get(FIELD) is not None
        if given is None:
            named[kind].update(product["attributes"].keys())
    usual = {
        kind: tuple(
            name for name, count in names.most_common() if count >= LEAST_SHARE * sizes[kind] and readable(name)
        )
        for kind, names in named.items()
    }
    return Survey(sizes.total(), given, usual, pictures)

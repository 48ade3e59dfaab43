"""Judged products as lists to rank: ESCI and Chorus.

Knows: which queries may be asked, which attributes are candidates. Does not know: the files, scores.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from model_export import catalogues
from model_export.config import Config
from model_export.readers.judgments import judged_queries
from model_export.sources import kept_aside

MOST_ATTRIBUTES = 64


@dataclass(frozen=True, slots=True)
class Product:
    """A title and values by attribute name; what the product does not have is left out."""

    title: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JudgedList:
    """A query with its judged products and the gain of each."""

    query: str
    products: tuple[Product, ...]
    gains: tuple[float, ...]

    def attributes(self) -> list[str]:
        """The names of the products' attributes, at most `MOST_ATTRIBUTES` of them, those filled most often first."""
        filled = Counter(name for product in self.products for name in product.attributes)
        return [name for name, _ in filled.most_common(MOST_ATTRIBUTES)]


def judged(config: Config, folder: str) -> dict[str, dict[str, float]]:
    """The queries of a set below the data folder, each with the gain of each product, by its id. Raises BadRecord.

    Where the config trains on these judgements, only the queries that it keeps aside.
    """
    path = config.data / folder
    trained = [source for source in config.sources.values() if source.reader == "judgments"]
    shares = [source.keep_aside for source in trained if config.data / source.train == path]
    found = judged_queries(path).items()
    return {query: gains for query, gains in found if all(kept_aside(query, share) for share in shares)}


def lists(config: Config, folder: str) -> list[JudgedList]:
    """Those of the queries whose products, as far as the catalogue has them, have two grades or more. Raises
    BadRecord.
    """
    products = {each.id: Product(each.title, each.described) for each in catalogues.read(config.data / folder)}
    found = []
    for query, gains in judged(config, folder).items():
        known = {product: gain for product, gain in gains.items() if product in products}
        if len(set(known.values())) > 1:
            found.append(JudgedList(query, tuple(products[name] for name in known), tuple(known.values())))
    return found

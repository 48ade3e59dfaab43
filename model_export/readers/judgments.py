"""Products judged for a query by people, with the catalogue beside the judgements.

Knows: the files and scales of two public sets, how an attribute's gain is told from judged products.
Does not know: how products are scored.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from model_export import catalogues
from model_export.catalogues import CatalogueProduct
from model_export.config import Source
from model_export.readers.lines import Keyed
from model_export.readers.ranked import with_products
from model_export.records import BadRecord

MOST_ATTRIBUTES = 24

# Column and scale of each set: the gains by the mark that people gave.
ESCI = ("judgments.csv", "label", {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0})
CHORUS = ("ratings.csv", "rating", {str(rating): 2.0**rating - 1 for rating in range(4)})

Judged = Sequence[tuple[float, CatalogueProduct]]


def judgments(path: Path, _source: Source, _seed: int) -> Iterator[Keyed]:
    """One record for each query whose products differ in gain, the query its key.

    The gain of an attribute says how well its value separates the relevant products from the others, by `separation`.
    Products that the catalogue lacks are left out. Raises BadRecord.
    """
    products = {product.id: product for product in catalogues.read(path)}
    for query, judged in judged_queries(path).items():
        known = [(gain, products[product]) for product, gain in judged.items() if product in products]
        if len({gain for gain, _ in known}) > 1:
            names = {name for _, product in known for name in product.described}
            gains = {name: round(separation(query, name, known), 4) for name in names}
            yield query, with_products(query, gains, known, most=MOST_ATTRIBUTES)


def separation(query: str, attribute: str, judged: Judged) -> float:
    """Mean overlap of the attribute's value with the query over the relevant products, less that over the others.

    The overlap is the share of the value's words that stand in the query, 0 without a value. A product counts among
    the relevant ones with its gain over the largest, g, and among the others with 1 - g. At least 0.
    """
    most = max(gain for gain, _ in judged)
    asked = _words(query)
    relevant = [gain / most for gain, _ in judged]
    overlaps = [_overlap(asked, product.described.get(attribute, "")) for _, product in judged]
    total = sum(relevant)
    if not 0 < total < len(relevant):
        return 0.0
    both = list(zip(relevant, overlaps, strict=True))
    matched = sum(g * overlap for g, overlap in both) / total
    missed = sum((1 - g) * overlap for g, overlap in both) / (len(relevant) - total)
    return max(0.0, matched - missed)


def _overlap(asked: frozenset[str], value: str) -> float:
    words = _words(value)
    return len(words & asked) / len(words) if words else 0.0


def _words(text: str) -> frozenset[str]:
    """Words in lower case, without the "s" of a plural."""
    return frozenset(re.sub(r"(?<=[^\Ws])s$", "", word) for word in re.findall(r"\w+", text.lower()))


def judged_queries(folder: Path) -> dict[str, dict[str, float]]:
    """For each query the gain of each product that people judged, by the product's id. Raises BadRecord."""
    name, column, gains = next((form for form in (ESCI, CHORUS) if (folder / form[0]).exists()), (None, "", {}))
    if name is None:
        raise BadRecord(f"{folder.name} holds neither {ESCI[0]} nor {CHORUS[0]}")
    found: dict[str, dict[str, float]] = defaultdict(dict)
    try:
        text = (folder / name).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"{name} is not UTF-8: {error}") from error
    for row in (reader := csv.DictReader(io.StringIO(text, newline=""))):
        query, product, mark = row.get("query"), row.get("product_id"), row.get(column)
        if not query or not product or mark not in gains:
            raise BadRecord(f"{name}, line {reader.line_num}: no query, product_id and {column} ({', '.join(gains)})")
        found[query][product] = gains[mark]
    return found

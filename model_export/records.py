"""The one record that every source is read into, and its JSONL form, which is also how users bring their data.

    {"query": "red wool rug", "attributes": ["color", "material", "price"], "gains": [1, 1, 0],
     "values": [["red"], [[4, 8]], []], "weight": 1.0,
     "products": [{"gain": 1, "title": "Berber runner", "values": ["red", "wool", null]}]}

`gains[i]` says how much `attributes[i]` matters for the query, 0 not at all; what counts is their proportion.
`values[i]` lists the words of the query that state it, as text or as [start, end) in Unicode code points; `[]` says
that the query states none, `null` that nobody knows. `weight` says how much the record counts.

`products` are to be ranked for the query: `gain` says how relevant each is, 0 not at all, and `values[i]` is what it
has for `attributes[i]` as text, `null` where it has nothing. A record whose own `gains` are all 0 says nothing of its
attributes by itself: it teaches through the ranking of its products alone.

`values`, `weight` and `products` may be left out.

Knows: the record, its checks, its file form. Does not know: where records come from.
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

Span = tuple[int, int]

FIELDS = frozenset(("query", "attributes", "gains", "values", "weight", "products"))
PRODUCT_FIELDS = frozenset(("gain", "title", "values"))
MOST_ATTRIBUTES = 256
"""As many as a request may have: dev, verify and label ask for all attributes of a record in one row."""


class BadRecord(ValueError):
    """A line that is not a record; the message names the file, the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Product:
    """How relevant a product is for its record's query, and its value of each of the record's attributes."""

    gain: float
    title: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A query, candidates with their gains, and where in the query each candidate's value stands (None: unknown)."""

    query: str
    attributes: tuple[str, ...]
    gains: tuple[float, ...]
    values: tuple[tuple[Span, ...] | None, ...]
    weight: float = 1.0
    products: tuple[Product, ...] = ()

    @property
    def ranks(self) -> bool:
        """Whether the record asks which candidates matter: some have a gain and some have none."""
        return min(self.gains) == 0 < max(self.gains)


def parse(line: dict[str, Any]) -> Record:
    """A record from its JSON form. Raises BadRecord."""
    query, attributes, gains = line.get("query"), line.get("attributes"), line.get("gains")
    if unknown := sorted(set(line) - FIELDS):
        raise BadRecord(f"{unknown[0]!r} is no field of a record: {', '.join(sorted(FIELDS))}")
    if not _is_text(query):
        raise BadRecord("'query' must be a text that is not blank")
    if not isinstance(attributes, list) or not attributes or not all(_is_text(name) for name in attributes):
        raise BadRecord("'attributes' must be a list of names that are not blank")
    if len(attributes) > MOST_ATTRIBUTES:
        raise BadRecord(f"'attributes' names {len(attributes)}, allowed are {MOST_ATTRIBUTES}: they make one row")
    if len(set(attributes)) < len(attributes):
        raise BadRecord("'attributes' names one attribute twice")
    if not isinstance(gains, list) or len(gains) != len(attributes):
        raise BadRecord("'gains' must hold one number for each attribute")
    if not all(_is_number(gain) and gain >= 0 for gain in gains):
        raise BadRecord("'gains' must be numbers of at least 0")
    values = line.get("values")
    if values is None:
        values = [None] * len(attributes)
    if not isinstance(values, list) or len(values) != len(attributes):
        raise BadRecord("'values' must hold one list or null for each attribute")
    if not all(stated is None or isinstance(stated, list) for stated in values):
        raise BadRecord("'values' must hold lists of words or null")
    weight = line.get("weight", 1.0)
    if not _is_number(weight) or weight < 0:
        raise BadRecord("'weight' must be a number of at least 0")
    spans = tuple(None if stated is None else tuple(_span(query, value) for value in stated) for stated in values)
    products = line.get("products")
    if products is not None and not isinstance(products, list):
        raise BadRecord("'products' must be a list")
    ranked = tuple(_product(product, len(attributes)) for product in products or ())
    return Record(query, tuple(attributes), tuple(map(float, gains)), spans, float(weight), ranked)


def _product(product: Any, attributes: int) -> Product:
    if not isinstance(product, dict):
        raise BadRecord("'products' must hold objects with 'gain', 'title' and 'values'")
    if unknown := sorted(set(product) - PRODUCT_FIELDS):
        raise BadRecord(f"{unknown[0]!r} is no field of a product: {', '.join(sorted(PRODUCT_FIELDS))}")
    gain: Any = product.get("gain")
    title, values = product.get("title"), product.get("values")
    if not _is_number(gain) or gain < 0:
        raise BadRecord("the 'gain' of a product must be a number of at least 0")
    if not _is_text(title):
        raise BadRecord("the 'title' of a product must be a text that is not blank")
    if not isinstance(values, list) or len(values) != attributes:
        raise BadRecord("the 'values' of a product must hold one text or null for each attribute")
    if not all(value is None or isinstance(value, str) for value in values):
        raise BadRecord("the 'values' of a product must be texts or null")
    return Product(float(gain), title, tuple(values))


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _span(query: str, value: Any) -> Span:
    if isinstance(value, str) and value:
        found = find_value(query, value)
        if found is None:
            raise BadRecord(f"the value {value!r} does not stand in the query {query!r}")
        return found
    if isinstance(value, list) and len(value) == 2 and all(isinstance(offset, int) for offset in value):
        start, end = value
        if 0 <= start < end <= len(query):
            return start, end
    raise BadRecord(f"a value must be words of the query or [start, end) within it, not {value!r}")


# Of scripts that put no space between words; and what makes a word longer: letters and digits, but not these.
UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
LETTER = rf"[^\W{UNSPACED}]"


def find_value(text: str, value: str) -> Span | None:
    """Where a value stands in a text, whatever its case: as whole words, or else at the beginning of one, first come.

    Scripts that put no space between words have no borders to go by: there the first occurrence is taken.
    """
    place = re.escape(value)
    borders = (
        rf"(?<!{LETTER}){place}(?!{LETTER})",
        rf"(?<!{LETTER}){place}",
        place if not value.isascii() else r"(?!)",
    )
    found = next(filter(None, (re.search(pattern, text, re.IGNORECASE) for pattern in borders)), None)
    return found.span() if found else None


def dump(record: Record) -> dict[str, Any]:
    """The JSON form of a record; `parse(dump(r)) == r`."""
    content = {
        "query": record.query,
        "attributes": list(record.attributes),
        "gains": list(record.gains),
        "values": [None if spans is None else [list(span) for span in spans] for spans in record.values],
        "weight": record.weight,
    }
    products = [{"gain": p.gain, "title": p.title, "values": list(p.values)} for p in record.products]
    return content | {"products": products} if products else content


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, gzipped where it is named so. Raises BadRecord for no gzip, or only the beginning of one."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        try:
            yield from lines
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadRecord(f"{path.name} is not a whole gzip file: {error}") from error


def read(path: Path) -> Iterator[Record]:
    """The records of a JSONL file, in order; empty lines are skipped. Raises BadRecord."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line.decode())
                if not isinstance(content, dict):
                    raise BadRecord("a record must be a JSON object")
                yield parse(content)
            except ValueError as error:
                raise BadRecord(f"{path.name}, line {number}: {error}") from error


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSONL, all or none, and give their number. Raises BadRecord where the file cannot be written."""
    count, unfinished = 0, path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as lines:
            for record in records:
                lines.write(json.dumps(dump(record), ensure_ascii=False) + "\n")
                count += 1
        unfinished.replace(path)
    except OSError as error:
        raise BadRecord(f"{path} was not written: {error}") from error
    return count

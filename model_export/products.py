"""A line of a catalogue, before and after it is filled.

    {"id": "B00OJHISTK", "title": "Glen Burton GA204BCO-BK Acoustic Electric Cutaway Guitar, Black",
     "kind": "guitar", "attributes": {"brand": "Glen Burton", "color": null}}

An attribute is missing where it is not named, null or a blank text. A longer `text` may stand beside the title, and a
`kind` (or `category`) in words. Filled, the line is the same but for the attributes found, and says which those are:

     "attributes": {"brand": "Glen Burton", "color": "Black"},
     "filled": {"color": {"value": "Black", "text": "Black", "field": "title", "start": 58, "end": 63,
                          "confidence": 0.97, "source": "text"}}

`text` is what `field` states from `start` to `end` (in Unicode code points). `value` is the same, or the entry of a
vocabulary that it means, and then `agreement` says how well they agree.

A product may have an `image_embedding`, the vector of its picture, which bundles read that were trained on such. A
value that it has part in has the `source` "image" or "both", and no `text` where none states the attribute.

Knows: this form, its checks. Does not know: how values are found, which attributes are wanted.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model_export.records import BadRecord

Product = dict[str, Any]
FIELDS = ("title", "text")
"""What is read of a product, in this order."""


def read(path: Path) -> Iterator[tuple[int, Product]]:
    """(number of the line, product) of a catalogue, in order; blank lines are skipped. Raises BadRecord."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, parse(line)
            except BadRecord as error:
                raise BadRecord(
                    f"{path}, line {number}: {error}: mend the line or take it out, and run again"
                ) from error


def whole(path: Path) -> Iterator[tuple[int, Product]]:
    """(place where its line ends, product) of a file of ours, in order, without a last line that was cut off.

    Raises BadRecord.
    """
    end = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield end, parse(line)
            except BadRecord as error:
                raise BadRecord(f"{path}, line {number}: {error}: remove the file, or take another --out") from error


def parse(line: bytes) -> Product:
    """The product that a line holds. Raises BadRecord."""
    product = load(line)
    if not isinstance(product, dict):
        raise BadRecord("a product must be a JSON object")
    name, title, text = product.get("id"), product.get("title"), product.get("text")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise BadRecord("'id' must be a text or a whole number")
    if not isinstance(title, str):
        raise BadRecord("'title' must be a text")
    if text is not None and not isinstance(text, str):
        raise BadRecord("'text' must be a text")
    if not isinstance(product.get("attributes"), dict):
        raise BadRecord("'attributes' must be an object of values by name")
    if not isinstance(product.get("filled", {}), dict):
        raise BadRecord("'filled' is where this command says what it has filled, and it is no object")
    return product


def load(content: bytes) -> Any:
    """What JSON says that can be written again as it was. Raises BadRecord."""
    try:
        found = json.loads(content.decode("utf-8-sig"), parse_constant=_constant, parse_float=_number)
        if b"\\u" in content:  # halves of surrogate pairs are JSON, and no text
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON: {error}") from error
    return found


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:32]} is too large")
    return number


def dump(product: Product) -> bytes:
    """A product as its line."""
    return json.dumps(product, ensure_ascii=False).encode() + b"\n"


def kind_of(product: Product) -> str | None:
    """What kind it is, where that is said in words."""
    kind = product.get("kind") or product.get("category")
    return kind if isinstance(kind, str) else None


def given(product: Product) -> list[str]:
    """The names of the attributes that it has."""
    return [name for name, value in product["attributes"].items() if not _is_missing(value)]


def missing(product: Product, names: Iterable[str]) -> list[str]:
    """Those of the names that it does not have."""
    return [name for name in names if _is_missing(product["attributes"].get(name))]


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def made_of(product: Product, done: Product) -> bool:
    """Whether a filled line says what the product says, but for what was filled of attributes that it does not have."""
    names = missing(product, done.get("filled", {}))
    return _written(product, names) == _written(done, names)


def _written(product: Product, left_out: Sequence[str]) -> str:
    """A product without some of its attributes; as text, in which 1, 1.0 and true are not the same."""
    attributes, marks = (
        {name: value for name, value in product.get(field, {}).items() if name not in left_out}
        for field in ("attributes", "filled")
    )
    return json.dumps(product | {"attributes": attributes, "filled": marks}, sort_keys=True)


def filled(product: Product, found: Mapping[str, Mapping[str, Any]]) -> Product:
    """The product with what was found of attributes that it does not have: by name, as `filled` tells it."""
    if not found:
        return product
    attributes = product["attributes"] | {name: each["value"] for name, each in found.items()}
    return product | {"attributes": attributes, "filled": product.get("filled", {}) | found}


def found_in(product: Product, names: Sequence[str]) -> dict[str, float] | None:
    """By name, how sure the model was of those of the names that were filled; None where we have not filled them."""
    still = set(missing(product, names))
    try:
        return {name: float(product["filled"][name]["confidence"]) for name in names if name not in still}
    except (TypeError, KeyError, ValueError):
        return None

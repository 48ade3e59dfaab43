"""What the missing attributes of products are: first what the titles state, then the texts for what is left.

Knows: the order of these steps, when an entry of a vocabulary is taken. Does not know: files, the command line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_export.filling.products import FIELDS, Product
from model_export.filling.reading import Reader
from model_export.filling.vocabularies import Vocabulary
from service.text import Value

Found = dict[str, dict[str, Any]]
"""By attribute, what `products` calls `filled`."""
DIGITS = 4
"""Of a confidence or an agreement; which texts share a batch moves the seventh."""


@dataclass(frozen=True, slots=True)
class Filler:
    """Finds values; of an attribute with a vocabulary only those that an entry agrees with, at `least` so well."""

    reader: Reader
    vocabulary: Vocabulary | None = None
    least: float = -1

    def found(self, products: Sequence[Product], missing: Sequence[Sequence[str]]) -> list[Found]:
        """For each product what was found of the attributes that it misses. Raises ModelFailed."""
        found: list[Found] = [{} for _ in products]
        for field in FIELDS:
            asked = [
                (place, left)
                for place, (product, names) in enumerate(zip(products, missing, strict=True))
                if product.get(field) and (left := [name for name in names if name not in found[place]])
            ]
            answers = self.reader.values([(products[place][field], names) for place, names in asked])
            for (place, names), values in zip(asked, answers, strict=True):
                for name, value in zip(names, values, strict=True):
                    if value and (told := self._told(name, value, field)):
                        found[place][name] = told
        return found

    def _told(self, name: str, value: Value, field: str) -> dict[str, Any] | None:
        """What is said of a value found, None where no entry agrees with it."""
        told: dict[str, Any] = {"value": value.text, "text": value.text, "field": field}
        told |= {"start": value.start, "end": value.end, "confidence": round(value.confidence, DIGITS)}
        if self.vocabulary is None or name not in self.vocabulary:
            return told
        entry, agreement = self.vocabulary.nearest(name, value.text)
        return told | {"value": entry, "agreement": round(agreement, DIGITS)} if agreement >= self.least else None

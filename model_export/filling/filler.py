"""What the missing attributes of products are: first what the titles state, then the texts for what is left, and then
what pictures say beside that.

Knows: the order of these steps, when an entry of a vocabulary is taken. Does not know: files, the command line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_export.filling.reading import Reader
from model_export.filling.seeing import Seer
from model_export.filling.vocabularies import Vocabulary
from model_export.products import FIELDS, Product
from service.matching.wording import normalised
from service.pictures import Choice
from service.spans import Value

Found = dict[str, dict[str, Any]]
"""By attribute, what `products` calls `filled`."""
DIGITS = 4
"""Of a confidence or an agreement; which texts share a batch moves the seventh."""


@dataclass(frozen=True, slots=True)
class Filler:
    """Finds values; of an attribute with a vocabulary only those that an entry agrees with, at `least` so well.

    With a `seer` pictures have a say where a product has one.
    """

    reader: Reader
    vocabulary: Vocabulary | None = None
    least: float = -1
    seer: Seer | None = None

    def found(self, products: Sequence[Product], missing: Sequence[Sequence[str]]) -> list[Found]:
        """For each product what was found of the attributes that it misses, but for what its texts deny.

        Raises ModelFailed.
        """
        found: list[Found] = [{} for _ in products]
        stated: list[dict[str, tuple[str, Value]]] = [{} for _ in products]
        ruled_out: list[set[tuple[str, str]]] = [set() for _ in products]
        for field in FIELDS:
            asked = [
                (place, left)
                for place, (product, names) in enumerate(zip(products, missing, strict=True))
                if product.get(field) and (left := [name for name in names if name not in found[place]])
            ]
            answers = self.reader.values([(products[place][field], names) for place, names in asked])
            for (place, names), answer in zip(asked, answers, strict=True):
                for name, (value, denied) in zip(names, answer, strict=True):
                    ruled_out[place] |= {(name, text) for text in denied}
                    if value:
                        stated[place].setdefault(name, (field, value))
                    if value and (told := self._told(name, value, field)):
                        found[place][name] = told
        if self.seer:
            for place, seen in enumerate(self.seer.found(products, missing, stated)):
                found[place] |= {
                    name: _seen(entry, choice, stated[place].get(name))
                    for name, (entry, choice) in seen.items()
                    if (name, normalised(entry)) not in ruled_out[place]
                }
        return found

    def _told(self, name: str, value: Value, field: str) -> dict[str, Any] | None:
        """What is said of a value found, None where no entry agrees with it."""
        told: dict[str, Any] = {"value": value.text, "text": value.text, "field": field}
        told |= _place(value) | {"confidence": round(value.confidence, DIGITS), "source": "text"}
        if self.vocabulary is None or name not in self.vocabulary:
            return told
        entry, agreement = self.vocabulary.nearest(name, value.text)
        return told | {"value": entry, "agreement": round(agreement, DIGITS)} if agreement >= self.least else None


def _seen(entry: str, choice: Choice, stated: tuple[str, Value] | None) -> dict[str, Any]:
    """What is said of a value that a picture has part in; `stated` is what the text states, with the field."""
    told: dict[str, Any] = {"value": entry}
    if stated:
        told |= {"text": stated[1].text, "field": stated[0]} | _place(stated[1])
    return told | {"confidence": round(choice.confidence, DIGITS), "source": choice.source}


def _place(value: Value) -> dict[str, int]:
    return {"start": value.start, "end": value.end}

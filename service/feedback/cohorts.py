"""What people of like taste like: one person's choices are few, and those of their cohort say more.

Which cohort somebody is of is not known: each counts by how well it fits that person's choices, and so does none of
them, which fits as the places alone do.

Knows: lifts by cohort and value, their bytes, whom they fit. Does not know: how cohorts are found, where bytes are.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import orjson

from service.feedback import keys

OBSERVATIONS = 2.0
"""Choices that evidence worth one order is: clicks count less than one and orders are few (mean over mean square)."""
_HEAD = struct.Struct("<dII")

Array = npt.NDArray[np.float32]


class Cohorts:
    """`lifts`, (cohorts, values), in nats, of `values` by their fields, which hold `until` then, seconds since 1970."""

    def __init__(self, values: Sequence[bytes], lifts: npt.NDArray[np.floating], until: float) -> None:
        self.lifts: Array = np.asarray(lifts, np.float32)
        self.until = until
        self._values = values
        self._places = {field: place for place, field in enumerate(values)}

    @cached_property
    def by_attribute(self) -> Mapping[bytes, Mapping[str, int]]:
        """By an attribute's field the place of each of its values."""
        found: dict[bytes, dict[str, int]] = {}
        for place, field in enumerate(self._values):
            _, value = keys.told(field)
            found.setdefault(keys.attribute_of(field), {})[value] = place
        return found

    def liked_by(self, chosen: Mapping[bytes, tuple[float, float]]) -> Array:
        """The lift of each value, (values,), for somebody of whom this was chosen and expected, in orders, by field."""
        common = [(self._places[field], *sums) for field, sums in chosen.items() if field in self._places]
        if not common:
            return np.zeros(len(self._values), np.float32)
        places, took, blind = (np.array(column) for column in zip(*common, strict=True))
        lifts = self.lifts[:, places].astype(np.float64)
        fits = np.append(OBSERVATIONS * (lifts @ took - np.expm1(lifts) @ blind), 0.0)  # the last is none of them
        powers = np.exp(fits - fits.max())
        shares: Array = (powers / powers.sum()).astype(np.float32)
        return shares[:-1] @ self.lifts

    def place(self, field: bytes) -> int | None:
        """Where a value stands among the lifts."""
        return self._places.get(field)

    def encode(self) -> bytes:
        """`until`, how many cohorts, the length of the values as JSON, these, then the lifts as floats."""
        values = orjson.dumps([field.decode() for field in self._values])
        return _HEAD.pack(self.until, len(self.lifts), len(values)) + values + self.lifts.astype("<f4").tobytes()

    @classmethod
    def decode(cls, content: bytes) -> "Cohorts":
        """What `encode` wrote. Raises ValueError for other bytes."""
        try:
            until, cohorts, length = _HEAD.unpack_from(content)
            values = [text.encode() for text in orjson.loads(content[_HEAD.size : _HEAD.size + length])]
            lifts = np.frombuffer(content, "<f4", offset=_HEAD.size + length).reshape(cohorts, len(values))
        except (struct.error, AttributeError, TypeError, ValueError) as error:
            raise ValueError("the bytes are no cohorts") from error
        if not (np.isfinite(lifts).all() and math.isfinite(until) and all(map(keys.is_value, values))):
            raise ValueError("the bytes of cohorts hold what is none of ours")
        return cls(values, lifts, until)

"""The vectors of texts of one bundle: in process first, then what all processes share.

Every level keeps a vector as the same bytes, fp16: Python's collector of garbage does not look at them.

Knows: the order of the levels, the form of a vector, the bundle whose vectors these are. Does not know: how a level
keeps its bytes, what a text is.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.cache.memory import MemoryCache
from service.telemetry import Telemetry

FIELD = b"v"
TOGETHER = 32
"""Texts that are asked for in one read: others' pairs wait behind it."""
ROUNDING = 0.01
"""By so much the length of a unit vector in fp16 may be off."""


class SecondLevel(Protocol):
    """A slower cache behind the one in process; it never raises."""

    async def get_each(
        self, keys: Sequence[bytes], fields: Sequence[bytes], *, within: float
    ) -> list[dict[bytes, bytes]]:
        """What it knows of these fields under each of these keys, or what it can say within so many seconds."""
        ...

    def put(self, key: bytes, pairs: Mapping[bytes, bytes]) -> None:
        """Keep these fields, soon."""
        ...


class VectorCache:
    """Unit vectors of `width` numbers by the digests of their texts, from the nearest level that knows them.

    On the second level, which outlives a bundle, the bundle's version is part of the key.
    """

    def __init__(
        self, memory: MemoryCache, second: SecondLevel | None, telemetry: Telemetry, *, version: str, width: int
    ) -> None:
        self._memory, self._second = memory, second
        self._found, self._faults = telemetry.texts_found, telemetry.cache_faults
        self._prefix = f"{version}:text:".encode()
        self._bytes = width * np.dtype(np.float16).itemsize

    def near(self, texts: Sequence[bytes]) -> dict[bytes, bytes]:
        """The vectors that are known in process, by text; it costs no waiting."""
        known = {text: kept[FIELD] for text in texts if (kept := self._memory.get(text, [FIELD]))}
        if known:
            self._found["memory"].inc(len(known))
        return known

    async def far(self, texts: Sequence[bytes], *, within: float) -> dict[bytes, bytes]:
        """The vectors that the second level knows and gives within so many seconds; they are in process from now on."""
        if not self._second:
            return {}
        given: dict[bytes, bytes] = {}
        until = time.monotonic() + within
        for first in range(0, len(texts), TOGETHER):
            part = texts[first : first + TOGETHER]
            keys = [self._prefix + text for text in part]
            replies = await self._second.get_each(keys, [FIELD], within=until - time.monotonic())
            given |= {text: reply[FIELD] for text, reply in zip(part, replies, strict=True) if FIELD in reply}
        known = {text: vector for text, vector in given.items() if self._sound(vector)}
        if len(known) < len(given):
            self._faults.labels("decode").inc(len(given) - len(known))
        for text, vector in known.items():
            self._memory.put(text, {FIELD: vector})
        self._found["redis"].inc(len(known))
        return known

    def put(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep new vectors on every level."""
        for text, vector in vectors.items():
            self._memory.put(text, {FIELD: vector})
            if self._second:
                self._second.put(self._prefix + text, {FIELD: vector})

    def _sound(self, content: bytes) -> bool:
        """Whether bytes that anybody may have written are a unit vector."""
        if len(content) != self._bytes:
            return False
        length = float(np.linalg.norm(decode([content])[0]))
        return abs(length - 1) < ROUNDING


def encode(vectors: NDArray[np.float32]) -> list[bytes]:
    """Vectors (texts, width) as bytes, one for each text."""
    return [vector.tobytes() for vector in vectors.astype("<f2")]


def decode(contents: Sequence[bytes]) -> NDArray[np.float32]:
    """The vectors (texts, width) that `encode` wrote; one text or more."""
    return np.frombuffer(b"".join(contents), "<f2").reshape(len(contents), -1).astype(np.float32)

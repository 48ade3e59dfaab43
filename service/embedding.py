"""Texts to unit vectors, by the model in service: as the query of a row without candidates.

What is known is not embedded again. The rest goes to the model in parts, one after another whoever asks, so that a
request with a thousand new texts keeps no other waiting for longer than a part takes.

Knows: the order of these steps. Does not know: HTTP, Redis, what the texts are.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.cache.vectors import decode, encode
from service.errors import DeadlineExceeded
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import QueryTokens, Row, Tokenizer, row_alone

PART_ROWS = 64
"""Rows of ours that wait for the model at any time, at most."""


class Cache(Protocol):
    """Where vectors are kept as bytes; it never raises."""

    def near(self, texts: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is known of these texts without waiting."""
        ...

    async def far(self, texts: Sequence[bytes], *, within: float) -> dict[bytes, bytes]:
        """What is known of those that were not known near, as far as it can be said within so many seconds."""
        ...

    def put(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep these vectors."""
        ...


class Scorer(Protocol):
    """What scores packed rows."""

    def admit(self, tokens: int, *, deadline: float) -> None:
        """Raises Overloaded when so many tokens will not be scored in time."""
        ...

    def score(self, rows: Sequence[Row]) -> Awaitable[list[RowScores]]:
        """One score a row, in order; raises Overloaded, ModelFailed."""
        ...


class Embedder:
    """Embeds texts. `width` is the length of a vector; a part has about `part_tokens` tokens, or one longer text."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        scorer: Scorer,
        cache: Cache,
        telemetry: Telemetry,
        *,
        width: int,
        part_tokens: int,
    ) -> None:
        self._tokenizer, self._scorer, self._cache, self._telemetry = tokenizer, scorer, cache, telemetry
        self._nothing = bytes(np.zeros(width, "<f2"))
        self._part_tokens = part_tokens
        self._turn = asyncio.Lock()

    async def vectors(self, texts: Sequence[str], *, deadline: float = math.inf) -> NDArray[np.float32]:
        """Unit vectors (texts, width), as exact as fp16 is; zeros for a text with nothing in it that can be read.

        `deadline` is as `time.monotonic` counts. Raises Overloaded as soon as what is left cannot be done in time,
        DeadlineExceeded, and ModelFailed.
        """
        keys = [_key(text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found = self._cache.near(list(wanted))
        unknown = {key: text for key, text in wanted.items() if key not in found}
        if unknown:
            try:
                async with asyncio.timeout(None if math.isinf(deadline) else deadline - time.monotonic()):
                    found |= await self._cache.far(list(unknown), within=deadline - time.monotonic())
                    found |= await self._embed({k: text for k, text in unknown.items() if k not in found}, deadline)
            except TimeoutError as error:
                raise DeadlineExceeded("not all texts could be read within the request's time") from error
        return decode([self._nothing, *(found[key] for key in keys)])[1:]  # the first, for there may be no texts

    async def _embed(self, texts: Mapping[bytes, str], deadline: float) -> dict[bytes, bytes]:
        """The vectors of these texts from the model, one part after another."""
        found: dict[bytes, bytes] = {}
        read: list[tuple[bytes, QueryTokens]] = []
        for key, text in texts.items():
            await asyncio.sleep(0)  # others are heard between two texts: a long one takes milliseconds
            tokens = self._tokenizer.query(text)
            if tokens.starts:
                read.append((key, tokens))
            else:
                found[key] = self._nothing
        left = sum(len(tokens.ids) for _, tokens in read)
        for part in self._parts(read):
            rows = [row_alone(tokens) for _, tokens in part]
            async with self._turn:
                self._scorer.admit(left, deadline=deadline)
                scores = await self._scorer.score(rows)
            left -= sum(len(row.input_ids) for row in rows)
            vectors = encode(np.stack([row.embedding for row in scores]))
            new = dict(zip([key for key, _ in part], vectors, strict=True))
            self._telemetry.texts_found["miss"].inc(len(new))
            self._cache.put(new)
            found |= new
        return found

    def _parts(self, read: Sequence[tuple[bytes, QueryTokens]]) -> Iterator[list[tuple[bytes, QueryTokens]]]:
        """Texts of like length together, so that little is padded."""
        part: list[tuple[bytes, QueryTokens]] = []
        tokens = 0
        for entry in sorted(read, key=lambda entry: len(entry[1].ids)):
            length = len(entry[1].ids)
            if part and (len(part) == PART_ROWS or tokens + length > self._part_tokens):
                yield part
                part, tokens = [], 0
            part.append(entry)
            tokens += length
        if part:
            yield part


def _key(text: str) -> bytes:
    """What a text is known by: a digest of it, 16 bytes. Of its tokens it would cost a known text their making."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

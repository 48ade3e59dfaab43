"""The second level: hashes in Redis, which expire.

    <prefix>:<bundle version>:<digest of the query's tokens>  →  {attribute's tokens: the bytes of a pair}
    <prefix>:<bundle version>:text:<digest of a text>         →  {"v": its vector}

Redis is optional at every moment: whatever it does, a read comes back within the timeout and a write never waits.
Reads that are asked for while one is under way go out together as the next, in one pipeline, those that others than
the caches ask for among them.

Knows: how hashes are read and written, the circuit breaker, expiry. Does not know: where Redis is, the first level,
what the bytes mean.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import Self, TypeVar

from redis.exceptions import RedisError

from service import background
from service.cache.breaker import Breaker
from service.cache.connection import Client, Command
from service.telemetry import Telemetry

logger = logging.getLogger(__name__)

READERS = 2
TOGETHER = 64
"""Reads or writes that go out in one pipeline, at most."""
READS_WAITING, WRITES_WAITING = 1024, 256
FAILURES, PAUSE_S = 3, 1.0
TTL_JITTER = 0.1
WRITE_TIMEOUT_S = 1.0
FAULTS = (RedisError, OSError, TimeoutError, ValueError, TypeError, AttributeError, LookupError, RuntimeError)
"""What a Redis that is away, slow, full or something else altogether makes the library raise."""

_Item = TypeVar("_Item")
_Read = tuple[Sequence[Command], "asyncio.Future[Sequence[object]]"]
"""Commands, and one reply for each."""


class RedisCache:
    """Reads and writes of hashes; an async context manager. `timeout` is for a read, in seconds."""

    def __init__(self, client: Client, telemetry: Telemetry, *, prefix: str, timeout: float, ttl_s: int) -> None:
        self._redis, self._telemetry = client, telemetry
        self._prefix = f"{prefix}:".encode()
        self._timeout, self._ttl_s = timeout, ttl_s
        self._breakers = {
            what: Breaker(failures=FAILURES, pause=PAUSE_S, clock=time.monotonic) for what in ("read", "write")
        }
        self._reads: asyncio.Queue[_Read] = asyncio.Queue(READS_WAITING)
        self._writes: asyncio.Queue[Sequence[Command]] = asyncio.Queue(WRITES_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loops = [self._read_all() for _ in range(READERS)] + [self._write_all()]
        self._tasks = [background.begin(loop, "talking to Redis") for loop in loops]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await background.end(*self._tasks)
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.aclose()
        except FAULTS as problem:
            logger.debug("closing the connections to Redis failed: %s", problem)

    async def get(self, key: bytes, attributes: Sequence[bytes], *, within: float = math.inf) -> dict[bytes, bytes]:
        """What Redis knows of these attributes under this key; nothing when it is away, slow, or talks rubbish.

        It takes no longer than the read timeout, and than `within`, in seconds.
        """
        found = await self.get_each([key], attributes, within=within)
        return found[0]

    async def get_each(
        self, keys: Sequence[bytes], fields: Sequence[bytes], *, within: float = math.inf
    ) -> list[dict[bytes, bytes]]:
        """The same of the same fields under each of several keys, in one pipeline."""
        prefix = self._prefix
        replies = await self.read([("HMGET", prefix + key, *fields) for key in keys], within=within)
        return self._found(fields, replies) if replies else [{} for _ in keys]

    async def read(self, commands: Sequence[Command], *, within: float = math.inf) -> Sequence[object]:
        """One reply for each command, an error or None for one that failed; no replies where they do not come in time.

        They go out with the reads of others in one pipeline. Keys are whole.
        """
        if not self._breakers["read"].allows():
            return []
        replies: asyncio.Future[Sequence[object]] = asyncio.get_running_loop().create_future()
        try:
            self._reads.put_nowait((commands, replies))
            async with asyncio.timeout(min(within, self._timeout)):
                return await replies
        except (TimeoutError, asyncio.QueueFull):
            self._telemetry.cache_faults.labels("read").inc()
            return []

    def put(self, key: bytes, pairs: Mapping[bytes, bytes]) -> None:
        """Have these pairs written soon; dropped and counted when too many writes wait."""
        whole, ttl_s = self._prefix + key, round(self._ttl_s * (1 - random.uniform(0, TTL_JITTER))) or 1
        self.write([("HSET", whole, *chain.from_iterable(pairs.items())), ("EXPIRE", whole, ttl_s)])

    def write(self, commands: Sequence[Command]) -> None:
        """The same with any commands. Keys are whole."""
        try:
            self._writes.put_nowait(commands)
        except asyncio.QueueFull:
            self._telemetry.cache_faults.labels("dropped").inc()

    async def _read_all(self) -> None:
        """Read what is asked for, for ever, and whatever has been asked for meanwhile together."""
        while True:
            reads = [read for read in await _waiting(self._reads) if not read[1].done()]
            if not reads:
                continue
            replies: list[object] = []
            try:
                async with asyncio.timeout(self._timeout):
                    replies = await self._redis.run([command for commands, _ in reads for command in commands])
                if len(replies) != sum(len(commands) for commands, _ in reads):
                    raise ValueError("there is not one reply for each command")
                self._told("read", next((r for r in replies if isinstance(r, Exception)), None), replies)
            except FAULTS as error:
                replies = []
                self._told("read", error)
            left = iter(replies)
            for commands, reply in reads:
                found = list(islice(left, len(commands))) or [None] * len(commands)
                if not reply.done():
                    reply.set_result(found)

    async def _write_all(self) -> None:
        """Write what is queued, for ever. Nobody waits for it, so it may take its time, to connect above all."""
        while True:
            writes = await _waiting(self._writes)
            if not self._breakers["write"].allows():
                self._telemetry.cache_faults.labels("dropped").inc(len(writes))
                continue
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    replies = await self._redis.run([command for commands in writes for command in commands])
                self._told("write", next((r for r in replies if isinstance(r, Exception)), None))
            except FAULTS as error:
                self._told("write", error)

    def _found(self, fields: Sequence[bytes], replies: Sequence[object]) -> list[dict[bytes, bytes]]:
        sound = [reply if isinstance(reply, list) and len(reply) == len(fields) else [] for reply in replies]
        if not all(sound):
            self._telemetry.cache_faults.labels("read").inc()
        return [
            {f: content for f, content in zip(fields, r, strict=False) if isinstance(content, bytes)} for r in sound
        ]

    def _told(self, what: str, error: Exception | None, replies: Sequence[object] = ()) -> None:
        """Tell the breaker how a pipeline went: it failed when a write in it was refused, or no read was answered."""
        breaker, was_open = self._breakers[what], self._breakers[what].open
        if error is None or any(isinstance(reply, list | dict) for reply in replies):
            breaker.succeeded()
        else:
            breaker.failed()
            if what == "write":
                self._telemetry.cache_faults.labels(what).inc()
        self._telemetry.cache_degraded.set(any(breaker.open for breaker in self._breakers.values()))
        if breaker.open and not was_open:
            logger.warning("Redis is left alone until it answers again: %s, %s", what, type(error).__name__)
        elif was_open and not breaker.open:
            logger.info("Redis answers again: %s", what)


async def _waiting(queue: "asyncio.Queue[_Item]") -> list[_Item]:
    """The next item, and with it what else is in the queue."""
    items = [await queue.get()]
    while not queue.empty() and len(items) < TOGETHER:
        items.append(queue.get_nowait())
    return items

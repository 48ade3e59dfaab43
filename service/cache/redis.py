"""The second level: pairs kept in Redis, one hash a query, one field an attribute.

    <prefix>:<bundle version>:<digest of the query's tokens>  →  {attribute's tokens: logit and value words}

Redis is optional at every moment: whatever it does, a read comes back within the timeout and a write never waits.

Knows: redis, timeouts, the circuit breaker, expiry. Does not know: the first level, the model.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.cache import pairs
from service.cache.breaker import Breaker
from service.errors import StartError
from service.scoring import PairScore
from service.telemetry import Telemetry

logger = logging.getLogger(__name__)

WRITES_WAITING = 256
FAILURES, PAUSE_S = 3, 1.0
TTL_JITTER = 0.1
WRITE_TIMEOUT_S = 1.0
FAULTS = (RedisError, OSError, TimeoutError, ValueError, TypeError, AttributeError)
"""What a Redis that is away, slow, full or something else altogether makes the library raise."""

_Write = tuple[bytes, dict[bytes, PairScore]]


class RedisCache:
    """Reads in one round trip, writes from a queue of its own; an async context manager."""

    def __init__(
        self,
        url: str,
        telemetry: Telemetry,
        *,
        version: str,
        prefix: str,
        timeout: float,
        ttl_s: int,
        connections: int,
    ) -> None:
        """`timeout` in seconds, for a read with all it waits for. Raises StartError for a URL of no use."""
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=timeout,
                socket_timeout=max(timeout, WRITE_TIMEOUT_S),
                socket_connect_timeout=WRITE_TIMEOUT_S,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
            )
            pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, RedisError) as error:  # their texts may hold a part of the password
            raise StartError(
                "RANKER_REDIS_URL cannot be used; its form is redis://user:password@host:port/0"
            ) from error
        self._redis = Redis(connection_pool=pool)
        self._telemetry = telemetry
        self._prefix = f"{prefix}:{version}:".encode()
        self._timeout, self._ttl_s = timeout, ttl_s
        self._breakers = {
            what: Breaker(failures=FAILURES, pause=PAUSE_S, clock=time.monotonic) for what in ("read", "write")
        }
        self._writes: asyncio.Queue[_Write] = asyncio.Queue(WRITES_WAITING)
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_all(), name="redis-writer")
        self._writer.add_done_callback(_told_if_failed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.aclose()
                await self._redis.connection_pool.disconnect()
        except FAULTS as problem:
            logger.debug("closing the connections to Redis failed: %s", problem)

    async def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What Redis knows of these attributes for this query; nothing when it is away, slow, or talks rubbish."""
        if not self._breakers["read"].allows():
            return {}
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._redis.hmget(self._prefix + query, list(attributes))
            if not isinstance(found, list) or len(found) != len(attributes):
                raise ValueError("the reply is not one value for each field")
        except FAULTS as error:
            self._failed("read", error)
            return {}
        self._succeeded("read")
        known = {}
        for attribute, content in zip(attributes, found, strict=True):
            if isinstance(content, bytes):
                try:
                    known[attribute] = pairs.decode(content)
                except ValueError:
                    self._telemetry.cache_faults.labels("decode").inc()
        return known

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Have these scores written soon; dropped and counted when too many writes wait."""
        try:
            self._writes.put_nowait((query, dict(scores)))
        except asyncio.QueueFull:
            self._telemetry.cache_faults.labels("dropped").inc()

    async def _write_all(self) -> None:
        """Write what is queued, for ever. Nobody waits for it, so it may take its time, to connect above all."""
        while True:
            query, scores = await self._writes.get()
            if not self._breakers["write"].allows():
                self._telemetry.cache_faults.labels("dropped").inc()
                continue
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self._write(query, scores)
            except FAULTS as error:
                self._failed("write", error)
            else:
                self._succeeded("write")

    async def _write(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        key = self._prefix + query
        life = round(self._ttl_s * (1 - random.uniform(0, TTL_JITTER))) or 1
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(key, mapping={attribute: pairs.encode(score) for attribute, score in scores.items()})
        pipeline.expire(key, life)
        await pipeline.execute()

    def _succeeded(self, what: str) -> None:
        if self._breakers[what].open:
            logger.info("Redis answers again: %s", what)
        self._breakers[what].succeeded()
        self._tell()

    def _failed(self, what: str, error: Exception) -> None:
        was_open = self._breakers[what].open
        self._breakers[what].failed()
        self._telemetry.cache_faults.labels(what).inc()
        self._tell()
        if self._breakers[what].open and not was_open:
            logger.warning("Redis is left alone until it answers again: %s, %s", what, type(error).__name__)

    def _tell(self) -> None:
        self._telemetry.cache_degraded.set(any(breaker.open for breaker in self._breakers.values()))


def _told_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.error("writing to Redis has ended", exc_info=task.exception())

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

from redis.asyncio import ConnectionPool, Redis
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
        """`timeout` in seconds, for connecting and for each read or write. Raises StartError for a URL of no use."""
        try:
            pool = ConnectionPool.from_url(
                url,
                max_connections=connections,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise StartError(f"RANKER_REDIS_URL cannot be used: {error}") from error
        self._redis = Redis(connection_pool=pool)
        self._telemetry = telemetry
        self._prefix = f"{prefix}:{version}:".encode()
        self._timeout, self._ttl_s = timeout, ttl_s
        self._breaker = Breaker(failures=FAILURES, pause=PAUSE_S, clock=time.monotonic)
        self._writes: asyncio.Queue[_Write] = asyncio.Queue(WRITES_WAITING)
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_all(), name="redis-writer")
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
        except (RedisError, OSError, TimeoutError) as problem:
            logger.debug("closing the connections to Redis failed: %s", problem)

    async def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What Redis knows of these attributes for this query; nothing when it is away, slow, or talks rubbish."""
        if not self._breaker.allows():
            return {}
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._redis.hmget(self._prefix + query, list(attributes))
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
            self._failed("read", error)
            return {}
        self._succeeded()
        known = {}
        for attribute, content in zip(attributes, found, strict=False):
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
        while True:
            query, scores = await self._writes.get()
            if not self._breaker.allows():
                self._telemetry.cache_faults.labels("dropped").inc()
                continue
            try:
                async with asyncio.timeout(self._timeout):
                    await self._write(query, scores)
            except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
                self._failed("write", error)
            else:
                self._succeeded()

    async def _write(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        key = self._prefix + query
        life = round(self._ttl_s * (1 - random.uniform(0, TTL_JITTER))) or 1
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(key, mapping={attribute: pairs.encode(score) for attribute, score in scores.items()})
        pipeline.expire(key, life)
        await pipeline.execute()

    def _succeeded(self) -> None:
        if self._breaker.open:
            logger.info("Redis answers again")
        self._breaker.succeeded()
        self._telemetry.cache_degraded.set(0)

    def _failed(self, fault: str, error: Exception) -> None:
        was_open = self._breaker.open
        self._breaker.failed()
        self._telemetry.cache_faults.labels(fault).inc()
        if self._breaker.open:
            self._telemetry.cache_degraded.set(1)
            if not was_open:
                logger.warning("Redis is left alone until it answers again: %s", type(error).__name__)

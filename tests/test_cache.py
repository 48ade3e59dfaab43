"""The pair cache: its bytes, its bound, its order of levels, and Redis at its worst."""

import asyncio
import math
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from fakes import FakeSecondLevel, RedisServer
from hypothesis import given
from hypothesis import strategies as st

from service.cache import pairs
from service.cache.breaker import Breaker
from service.cache.connection import Command, connect
from service.cache.levels import PairCache
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.vectors import FIELD, TOGETHER, VectorCache, encode
from service.errors import StartError
from service.scoring import PairScore, ValueSpan
from service.telemetry import Telemetry

SPANS = st.tuples(st.integers(0, 99), st.integers(100, 300), st.floats(0, 1, width=32)).map(lambda s: ValueSpan(*s))
SCORES = st.builds(PairScore, st.floats(-100, 100, width=32), st.lists(SPANS, max_size=4).map(tuple))
ONE = PairScore(1.5, (ValueSpan(0, 1, 0.5),))
PAIR, OTHER = pairs.encode(ONE), pairs.encode(PairScore(-2.0, ()))


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


def redis_cache(url: str, telemetry: Telemetry | None = None, *, timeout: float = 1.0) -> RedisCache:
    return RedisCache(connect(url), telemetry or Telemetry(), prefix="t", timeout=timeout, ttl_s=60)


async def written(cache: RedisCache) -> None:
    while not cache._writes.empty():
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)


@given(score=SCORES)
def test_a_score_survives_its_bytes(score: PairScore) -> None:
    assert pairs.decode(pairs.encode(score)) == pairs.checked(pairs.encode(score)) == score


@pytest.mark.parametrize("content", [b"", b"abc", b"hello world", b"\xff" * 12, b"\x00" * 5, b"\x00\x00\xc0\x7f"])
def test_bytes_that_are_no_score_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="pair"):
        pairs.checked(content)


def test_memory_gives_back_what_it_was_given() -> None:
    cache = MemoryCache(10, memory=1_000_000)
    cache.put(b"q", {b"a": PAIR})
    assert cache.get(b"q", [b"a", b"b"]) == {b"a": PAIR}


def test_memory_holds_no_more_than_its_bound_and_drops_what_was_used_longest_ago() -> None:
    cache = MemoryCache(4, memory=1_000_000)
    for query in (b"1", b"2"):
        cache.put(query, {b"a": PAIR, b"b": PAIR})
    cache.get(b"1", [b"a"])
    cache.put(b"3", {b"a": PAIR})
    assert (len(cache), cache.get(b"2", [b"a"]), cache.get(b"1", [b"a"])) == (3, {}, {b"a": PAIR})


def test_memory_of_no_pairs_keeps_none() -> None:
    cache = MemoryCache(0, memory=1_000_000)
    cache.put(b"q", {b"a": PAIR})
    cache.put(b"w", {})
    assert not cache._queries
    assert (len(cache), cache.get(b"q", [b"a"])) == (0, {})


@given(puts=st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 9), max_size=6)), max_size=40))
def test_memory_counts_its_pairs_right(puts: list[tuple[int, set[int]]]) -> None:
    cache = MemoryCache(12, memory=1_000_000)
    for query, attributes in puts:
        cache.put(bytes([query]), {bytes([a]): PAIR for a in attributes})
    held = sum(len(cache.get(bytes([q]), [bytes([a]) for a in range(10)])) for q in range(6))
    assert len(cache) == held <= 12


@given(puts=st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 9), max_size=6)), max_size=40))
def test_memory_counts_its_bytes_right(puts: list[tuple[int, set[int]]]) -> None:
    cache = MemoryCache(100, memory=5_000)
    for query, attributes in puts:
        cache.put(bytes([query]), {bytes([a]): PAIR for a in attributes})
    fresh = MemoryCache(100, memory=10**9)
    for query, kept in cache._queries.items():
        fresh.put(query, kept)
    assert cache._bytes == fresh._bytes <= 5_000


@pytest.mark.parametrize("values", [0, 1])
def test_memory_takes_about_the_bytes_it_says(values: int) -> None:
    cache = MemoryCache(10**6, memory=10**9)
    names = [f"attribute {number}".encode() for number in range(20)]
    tracemalloc.start()
    for query in range(500):
        spans = tuple(ValueSpan(i, i, 0.5 + query / 1e4) for i in range(values))
        cache.put(f"query {query:09}".encode(), {name: pairs.encode(PairScore(query * 0.37, spans)) for name in names})
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.7 < taken / cache._bytes < 1.3


def test_what_the_second_level_knows_is_in_process_from_then_on() -> None:
    async def work() -> None:
        second = FakeSecondLevel()
        second.kept = {b"v1:q": {b"b": PAIR}}
        cache = PairCache(MemoryCache(10, memory=10_000), second, Telemetry(), version="v1")
        assert await cache.far(b"q", [b"b", b"c"], within=1) == {b"b": ONE}
        assert cache.near(b"q", [b"b", b"c"]) == {b"b": ONE}

    run(work)


def test_pairs_of_another_bundle_are_never_read() -> None:
    async def work() -> None:
        second = FakeSecondLevel()
        old, new = (PairCache(MemoryCache(10, memory=10_000), second, Telemetry(), version=v) for v in ("v1", "v2"))
        old.put(b"q", {b"a": ONE})
        assert await new.far(b"q", [b"a"], within=1) == {}
        assert await old.far(b"q", [b"a"], within=1) == {b"a": ONE}

    run(work)


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_try_through_a_pause() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, pause=1.0, clock=lambda: now[0])
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    now[0] = 1.0
    assert (breaker.allows(), breaker.allows()) == (True, False)
    breaker.succeeded()
    assert breaker.allows()


def test_redis_gives_back_what_was_written(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with redis_cache(redis_server.url) as cache:
            cache.put(b"q", {b"a": PAIR, b"b": OTHER})
            await written(cache)
            assert await cache.get(b"q", [b"a", b"x", b"b"]) == {b"a": PAIR, b"b": OTHER}

    run(work)


def test_many_reads_at_once_all_find_what_is_there(redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with redis_cache(redis_server.url, telemetry) as cache:
            cache.put(b"q", {b"a": PAIR})
            await written(cache)
            found = await asyncio.gather(*(cache.get(b"q", [b"a"]) for _ in range(64)))
        assert found == [{b"a": PAIR}] * 64
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "read"}) == 0

    run(work)


@pytest.mark.parametrize("reply", [b":5\r\n", b"*0\r\n", b"+OK\r\n", b"rubbish\r\n", b"$-1\r\n"])
def test_a_redis_that_talks_rubbish_is_a_miss(reply: bytes) -> None:
    async def work() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):
                writer.write(reply if b"HMGET" in data else b"+OK\r\n" * data.count(b"CLIENT"))
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        telemetry = Telemetry()
        async with redis_cache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", telemetry) as cache:
            assert await cache.get(b"q", [b"a"]) == {}
        server.close()
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "read"}) == 1

    run(work)


def test_a_redis_that_refuses_writes_alone_is_told(redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        redis_server.client.config_set("maxmemory", "1")
        async with redis_cache(redis_server.url, telemetry) as cache:
            for _ in range(3):
                cache.put(b"q", {b"a": PAIR})
                await written(cache)
                await cache.get(b"q", [b"a"])
        assert telemetry.registry.get_sample_value("ranker_cache_degraded") == 1

    run(work)


def test_redis_entries_expire_within_their_life(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with redis_cache(redis_server.url) as cache:
            cache.put(b"q", {b"a": PAIR})
            await written(cache)
        assert 50 <= redis_server.client.ttl(b"t:q") <= 60

    run(work)


def test_rubbish_in_redis_is_a_miss_and_counted(redis_server: RedisServer) -> None:
    async def work() -> None:
        redis_server.client.hset("t:v1:q", mapping={"a": b"rubbish!", "b": PAIR})
        redis_server.client.set("t:v1:w", b"not a hash")
        telemetry = Telemetry()
        async with redis_cache(redis_server.url, telemetry) as far:
            cache = PairCache(MemoryCache(10, memory=10_000), far, telemetry, version="v1")
            for _ in range(2):
                assert (await cache.far(b"q", [b"a", b"b"], within=1) | cache.near(b"q", [b"a"])) == {b"b": ONE}
            assert await cache.far(b"w", [b"a"], within=1) == {}
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "decode"}) == 2
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "read"}) == 1

    run(work)


def test_a_redis_that_is_gone_is_a_miss_and_one_that_is_back_is_used_again(redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with redis_cache(redis_server.url, telemetry) as cache:
            redis_server.stop()
            for _ in range(4):
                assert await cache.get(b"q", [b"a"]) == {}
            assert telemetry.registry.get_sample_value("ranker_cache_degraded") == 1
            redis_server.start()
            found: dict[bytes, bytes] = {}
            while not found:
                cache.put(b"q", {b"a": PAIR})
                await asyncio.sleep(0.05)
                found = await cache.get(b"q", [b"a"])
            assert telemetry.registry.get_sample_value("ranker_cache_degraded") == 0

    run(work)


def test_a_redis_that_hangs_costs_no_more_than_the_timeout() -> None:
    async def work() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        async with redis_cache(f"redis://127.0.0.1:{port}/0", timeout=0.1) as cache:
            begun = loop.time()
            assert await cache.get(b"q", [b"a"]) == {}
            assert loop.time() - begun < 5
        server.close()

    run(work)


def test_a_full_queue_of_writes_drops_and_counts() -> None:
    async def work() -> None:
        telemetry = Telemetry()
        cache = redis_cache("redis://127.0.0.1:1/0", telemetry)
        for _ in range(300):
            cache.put(b"q", {b"a": PAIR})
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "dropped"}) == 300 - 256

    run(work)


def test_a_url_that_is_none_stops_the_start() -> None:
    for url in ("http://somewhere", "redis://:s3cr/et@somewhere", "redis://somewhere/0?foo=1"):
        with pytest.raises(StartError, match=r"^RANKER_REDIS_URL cannot be used; its form is redis:"):
            connect(url)


def test_a_logit_that_is_not_a_number_is_never_read() -> None:
    with pytest.raises(ValueError, match="pair"):
        pairs.checked(pairs.encode(PairScore(math.nan, ())))


def unit(number: int) -> bytes:
    """The bytes of a unit vector of four numbers."""
    (content,) = encode(np.array([[np.cos(number), np.sin(number), 0, 0]], np.float32))
    return content


def vector_cache(far: RedisCache | None, telemetry: Telemetry | None = None, *, texts: int = 1000) -> VectorCache:
    memory = MemoryCache(texts, memory=10**6)
    return VectorCache(memory, far, telemetry or Telemetry(), version="v1", width=4)


def test_vectors_are_kept_in_process_up_to_their_bound() -> None:
    cache = vector_cache(None, texts=2)
    for number in range(3):
        cache.put({b"%d" % number: unit(number)})
    assert cache.near([b"0", b"1", b"2"]) == {b"1": unit(1), b"2": unit(2)}


def test_vectors_of_more_texts_than_one_read_takes_come_back_from_redis(redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        vectors = {b"%d" % number: unit(number) for number in range(2 * TOGETHER + 1)}
        async with redis_cache(redis_server.url, telemetry) as far:
            vector_cache(far).put(vectors)
            await written(far)
            cache = vector_cache(far, telemetry)
            assert await cache.far([*vectors, b"unknown"], within=5) == vectors
            assert cache.near(list(vectors)) == vectors
        count = telemetry.registry.get_sample_value
        assert [count("ranker_cache_texts_total", {"level": level}) for level in ("redis", "memory")] == [65, 65]
        assert 50 <= redis_server.client.ttl("t:v1:text:0") <= 60

    run(work)


def test_what_is_no_unit_vector_in_redis_is_a_miss_and_counted(redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        wrong = {b"short": b"abc", b"long": unit(1) * 2, b"nan": b"\xff" * 8, b"zero": bytes(8)}
        for text, content in wrong.items():
            redis_server.client.hset(b"t:v1:text:" + text, FIELD, content)
        async with redis_cache(redis_server.url, telemetry) as far:
            assert await vector_cache(far).far(list(wrong), within=5) == {}
            assert await vector_cache(far, telemetry).far(list(wrong), within=5) == {}
        assert telemetry.registry.get_sample_value("ranker_cache_faults_total", {"fault": "decode"}) == len(wrong)

    run(work)


def test_reads_of_many_keys_and_of_one_get_each_their_own_replies(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with redis_cache(redis_server.url) as cache:
            cache.put(b"q", {b"a": PAIR})
            for number in range(8):
                cache.put(b"%d" % number, {FIELD: unit(number)})
            await written(cache)
            many = [cache.get_each([b"%d" % n for n in range(n, 8)], [FIELD]) for n in range(4)]
            *found, pair = await asyncio.gather(*many, cache.get(b"q", [b"a"]))
            assert found == [[{FIELD: unit(n)} for n in range(first, 8)] for first in range(4)]
            assert pair == {b"a": PAIR}

    run(work)


def test_a_redis_with_too_many_replies_is_a_miss_for_every_key_and_is_asked_again() -> None:
    class Chatty:
        replies = 0

        async def run(self, commands: Sequence[Command]) -> list[object]:
            self.replies += 1
            return [[PAIR]] * (len(commands) + (self.replies == 1))

        async def aclose(self) -> None:
            pass

    async def work() -> None:
        async with RedisCache(Chatty(), Telemetry(), prefix="t", timeout=1.0, ttl_s=60) as cache:
            assert await cache.get_each([b"1", b"2"], [b"a"]) == [{}, {}]
            assert await cache.get_each([b"1", b"2"], [b"a"]) == [{b"a": PAIR}] * 2

    run(work)

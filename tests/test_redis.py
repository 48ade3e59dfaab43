"""The second level on every Redis that a deployment may have, whole and at its worst."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from fakes import RedisServer, wait_until
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis_topologies import SLOTS, FaultProxy, Mode, RedisCluster, RedisSentinel, RedisTls

from service.cache.connection import addresses, connect
from service.cache.redis import RedisCache
from service.errors import StartError
from service.telemetry import Telemetry

QUERIES = [b"query %d" % number for number in range(30)]
PAIRS = {query: {b"a": b"pair %d" % number} for number, query in enumerate(QUERIES)}
TIMEOUT_S = 0.1
BACK_S = 5.0
"""Within so many seconds a Redis that is well again is used again."""


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


def cache_on(url: str, telemetry: Telemetry | None = None, *, timeout: float = TIMEOUT_S) -> RedisCache:
    return RedisCache(connect(url), telemetry or Telemetry(), prefix="t", timeout=timeout, ttl_s=600)


async def read(cache: RedisCache) -> set[bytes]:
    """The queries whose score was found; each found is the right one."""
    found = await asyncio.gather(*(cache.get(query, [b"a"]) for query in QUERIES))
    assert all(scores in ({}, PAIRS[query]) for query, scores in zip(QUERIES, found, strict=True))
    return {query for query, scores in zip(QUERIES, found, strict=True) if scores}


async def in_use(cache: RedisCache, seconds: float = BACK_S) -> None:
    """Write and read until all is found, as it must be within the time."""
    async with asyncio.timeout(seconds):
        while await read(cache) != set(QUERIES):
            for query, scores in PAIRS.items():
                cache.put(query, scores)
            await asyncio.sleep(0.05)


async def longest_read_s(cache: RedisCache, times: int) -> float:
    """Of reads one after another, each of which finds nothing."""
    loop, longest = asyncio.get_running_loop(), 0.0
    for _ in range(times):
        begun = loop.time()
        assert await cache.get(QUERIES[0], [b"a"]) == {}
        longest = max(longest, loop.time() - begun)
    return longest


def degraded(telemetry: Telemetry) -> float | None:
    return telemetry.registry.get_sample_value("ranker_cache_degraded")


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


@pytest.mark.parametrize("mode", ["slow", "hang", "garbage", "refuse", "cut"])
def test_on_a_bad_network_reads_are_misses_in_time_and_hits_again_after_it(proxy: FaultProxy, mode: Mode) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with cache_on(proxy.url, telemetry) as cache:
            await in_use(cache)
            proxy.mode = mode
            assert await longest_read_s(cache, 5) < 8 * TIMEOUT_S
            assert degraded(telemetry) == 1
            proxy.mode = "pass"
            await in_use(cache)
            assert degraded(telemetry) == 0

    run(work)


@pytest.mark.parametrize("mode", ["slow", "hang", "garbage", "refuse", "cut"])
def test_a_redis_that_is_bad_from_the_start_is_used_once_it_is_well(proxy: FaultProxy, mode: Mode) -> None:
    async def work() -> None:
        proxy.mode = mode
        async with cache_on(proxy.url) as cache:
            assert await longest_read_s(cache, 5) < 8 * TIMEOUT_S
            proxy.mode = "pass"
            await in_use(cache)

    run(work)


def test_while_redis_is_left_alone_it_gets_one_try_a_pause(proxy: FaultProxy) -> None:
    async def work() -> None:
        proxy.mode = "refuse"
        async with cache_on(proxy.url) as cache:
            await longest_read_s(cache, 3)
            before = proxy.connections
            await longest_read_s(cache, 200)
            assert proxy.connections - before <= 2

    run(work)


def test_after_cancellations_and_timeouts_every_reply_belongs_to_its_command(proxy: FaultProxy) -> None:
    async def work() -> None:
        client, chance, outcomes = connect(proxy.url), random.Random(7), {"right": 0, "given up": 0}
        await client.run([("SET", b"%d" % number, number) for number in range(100)])
        proxy.delay = 0.01

        async def ask(numbers: list[int], patience: float) -> None:
            try:
                async with asyncio.timeout(patience):
                    replies = await client.run([("GET", b"%d" % number) for number in numbers])
            except (TimeoutError, OSError, RedisError):
                outcomes["given up"] += 1
                return
            assert replies == [b"%d" % number for number in numbers]
            outcomes["right"] += 1

        for mode in ("pass", "slow", "hang", "slow", "pass") * 8:
            proxy.mode = mode
            asked = [
                asyncio.create_task(ask(chance.sample(range(100), 8), chance.uniform(0.001, 0.03))) for _ in range(20)
            ]
            await asyncio.sleep(chance.uniform(0, 0.01))
            for task in chance.sample(asked, 5):
                task.cancel()
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(result) for result in results} <= {asyncio.CancelledError, type(None)}
        proxy.mode = "pass"
        await ask(list(range(100)), 5)
        await client.aclose()
        assert min(outcomes.values()) > 0

    run(work)


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds, and needs some to be whole again
def test_a_cluster_is_read_and_written_over_all_nodes_and_loses_one_nodes_keys_with_that_node(tmp_path: Path) -> None:
    async def work(cluster: RedisCluster) -> None:
        telemetry = Telemetry()
        async with cache_on(cluster.url, telemetry) as cache:
            await in_use(cache)
            assert all(node.client.dbsize() for node in cluster.nodes)
            cluster.stop_one()
            assert await read(cache) == {query for query in QUERIES if not on_last_node(query)}
            assert degraded(telemetry) == 0
            await asyncio.to_thread(cluster.start_again)
            await in_use(cache)

    with RedisCluster(tmp_path, require_full_coverage=False) as cluster:
        run(lambda: work(cluster))


def on_last_node(query: bytes) -> bool:
    return bool(key_slot(b"t:" + query) >= SLOTS * 2 // 3)


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds
def test_one_call_goes_to_all_nodes_of_a_cluster_and_answers_in_order(tmp_path: Path) -> None:
    async def work(cluster: RedisCluster) -> None:
        client = connect(cluster.url)
        assert await client.run([("SET", query, query) for query in QUERIES]) == [True] * len(QUERIES)
        assert await client.run([("GET", query) for query in QUERIES]) == QUERIES
        await client.aclose()

    with RedisCluster(tmp_path) as cluster:
        run(lambda: work(cluster))


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds
def test_a_cluster_whose_node_hangs_costs_no_more_than_the_timeout_and_is_used_again_after(tmp_path: Path) -> None:
    async def work(cluster: RedisCluster) -> None:
        async with cache_on(cluster.url) as cache:
            await in_use(cache)
            cluster.nodes[-1].freeze()
            loop = asyncio.get_running_loop()
            for _ in range(5):
                begun = loop.time()
                assert not {query for query in await read(cache) if on_last_node(query)}
                assert loop.time() - begun < 8 * TIMEOUT_S
            cluster.nodes[-1].thaw()
            await in_use(cache)

    with RedisCluster(tmp_path, require_full_coverage=False) as cluster:
        run(lambda: work(cluster))


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds
def test_when_another_node_takes_over_from_one_that_hangs_it_is_found(tmp_path: Path) -> None:
    async def work(cluster: RedisCluster) -> None:
        async with cache_on(cluster.url) as cache:
            await in_use(cache)
            cluster.nodes[-1].freeze()
            await read(cache)
            await asyncio.to_thread(cluster.give_slots_of_last_to_first)
            await in_use(cache)

    with RedisCluster(tmp_path, require_full_coverage=False) as cluster:
        run(lambda: work(cluster))


@pytest.mark.slow  # a sentinel waits a random while before it acts
def test_after_a_sentinels_failover_the_new_master_is_used(tmp_path: Path) -> None:
    async def work(pair: RedisSentinel) -> None:
        async with cache_on(pair.url) as cache:
            await in_use(cache)
            gone = pair.kill_master()
            assert await longest_read_s(cache, 5) < 8 * TIMEOUT_S
            await asyncio.to_thread(wait_until, lambda: pair.master_port() != gone)
            await in_use(cache)

    with RedisSentinel(tmp_path) as pair:
        run(lambda: work(pair))


def test_behind_tls_a_user_with_a_password_reads_and_writes(tmp_path: Path) -> None:
    async def work(server: RedisTls) -> None:
        async with cache_on(server.url, timeout=1.0) as cache:
            await in_use(cache)

    with RedisTls(tmp_path) as server:
        run(lambda: work(server))


@pytest.mark.parametrize(("right", "wrong"), [("secret", "pass-w0rd"), ("app:secret@", "pass-w0rd:pass-w0rd@")])
def test_a_wrong_password_is_a_miss_and_never_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, right: str, wrong: str
) -> None:
    async def work(server: RedisTls) -> None:
        telemetry = Telemetry()
        async with cache_on(server.url.replace(right, wrong), telemetry, timeout=1.0) as cache:
            await longest_read_s(cache, 5)
            cache.put(QUERIES[0], PAIRS[QUERIES[0]])
        assert degraded(telemetry) == 1

    caplog.set_level("DEBUG")
    with RedisTls(tmp_path) as server:
        run(lambda: work(server))
    assert "Redis is left alone" in caplog.text
    assert "pass-w0rd" not in caplog.text


def test_a_certificate_of_an_unknown_authority_is_a_miss(tmp_path: Path) -> None:
    async def work(server: RedisTls) -> None:
        async with cache_on(server.url.partition("?")[0], timeout=1.0) as cache:
            await longest_read_s(cache, 3)

    with RedisTls(tmp_path) as server:
        run(lambda: work(server))


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:1/2",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock",
        "rediss://user:pass%40word@host:6380/0?ssl_ca_certs=/etc/ssl/redis.pem",
        "redis+cluster://a:1,b:2",
        "redis+cluster://a,b",
        "redis+cluster://[::1]:7000,[::2]",
        "rediss+cluster://user:pass%40word@a:1,b:2?ssl_ca_certs=/etc/ssl/redis.pem",
        "redis+sentinel://a:1,b:2/master/0",
        "redis+sentinel://a,[::1]/master",
        "rediss+sentinel://user:pass%40word@a:1/master/3",
    ],
)
def test_a_url_of_each_form_is_taken(url: str) -> None:
    assert connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:6379",
        "http://s3cr",
        "redis://:s3cr/et@host",
        "redis://host:99999/s3cr",
        "redis://[::1/s3cr",
        "redis://host/0?s3cr=1",
        "redis+other://s3cr:1",
        "other+cluster://s3cr:1",
        "unix+cluster://s3cr:1",
        "redis+cluster://",
        "redis+cluster://s3cr,,b",
        "redis+cluster://:s3cr/et@host:1",
        "redis+cluster://:s3cr@host:many",
        "redis+cluster://:s3cr@host:99999",
        "redis+cluster://:s3cr@[::1:7000",
        "redis+cluster://host:1?s3cr=1",
        "redis+sentinel://:s3cr@host:1",
        "redis+sentinel://:s3cr@host:1/",
        "redis+sentinel://:s3cr/et@host:1/master",
        "redis+sentinel://host:1/master/s3cr",
        "redis+sentinel://host:1/master/0/s3cr",
        "redis+sentinel://host:1/master?s3cr=1",
    ],
)
def test_a_url_of_no_use_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(StartError, match=r"^RANKER_REDIS_URL cannot be used; its form is redis:") as raised:
        connect(url)
    assert "s3cr" not in str(raised.value)


def test_several_hosts_each_have_their_port_or_the_usual_one() -> None:
    assert addresses("a,b:7,[::1],[::2]:8", 6379) == [("a", 6379), ("b", 7), ("::1", 6379), ("::2", 8)]

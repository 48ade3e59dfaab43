"""Each stand-in for a deployment's Redis is what it says it is, as plain redis-py sees it."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.cluster
import redis.sentinel
from fakes import RedisServer, wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_topologies import FaultProxy, Mode, RedisCluster, RedisSentinel, RedisTls


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


def impatient(url: str) -> redis.Redis:
    """A client that waits 0.2 s and tries once."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=0.2, socket_connect_timeout=0.2, protocol=2, retry=once)


def is_answered(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds, and notices a loss after another
def test_a_cluster_spreads_keys_over_three_nodes_and_outlives_the_loss_of_one(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, require_full_coverage=False) as cluster:
        with redis.cluster.RedisCluster(host="127.0.0.1", port=cluster.ports[0]) as client:
            for number in range(30):
                client.set(f"key-{number}", number)
            assert [client.get(f"key-{number}") for number in range(30)] == [b"%d" % n for n in range(30)]
        assert all(node.client.dbsize() for node in cluster.nodes)
        assert cluster.stop_one() == cluster.ports[2]
        wait_until(lambda: not cluster.works())
        cluster.start_again()
        assert cluster.works()


def test_a_cluster_url_names_all_nodes(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path)
    assert urlsplit(cluster.url).netloc.split(",") == [f"127.0.0.1:{port}" for port in cluster.ports]


@pytest.mark.slow  # a sentinel asks the replica how it is once a second, and waits a random while before it acts
def test_a_sentinel_names_the_other_server_once_the_master_is_gone(tmp_path: Path) -> None:
    with RedisSentinel(tmp_path) as pair:
        sentinel: Any = redis.sentinel.Sentinel([("127.0.0.1", pair.port)])  # type: ignore[no-untyped-call]
        assert sentinel.discover_master("mymaster") == ("127.0.0.1", pair.master_port())
        gone = pair.kill_master()
        wait_until(lambda: pair.master_port() != gone)
        wait_until(lambda: is_answered(sentinel.master_for("mymaster", retry=Retry(NoBackoff(), 0))))
        assert sentinel.master_for("mymaster").set("a", "b")


def test_a_redis_behind_tls_answers_its_user(tmp_path: Path) -> None:
    with RedisTls(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert (client.ping(), client.acl_whoami()) == (True, "app")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("secret", "other", "invalid username-password"),
        ("app:secret@", "", "Authentication required"),
        ("ssl_ca_certs", "client_name", "CERTIFICATE_VERIFY_FAILED"),
        ("localhost", "0.0.0.0", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_redis_behind_tls_answers_nobody_else(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    with RedisTls(tmp_path) as server, pytest.raises(redis.ConnectionError, match=told):
        impatient(server.url.replace(right, wrong)).ping()


def test_a_proxy_that_passes_shows_the_redis_behind_it(proxy: FaultProxy, redis_server: RedisServer) -> None:
    impatient(proxy.url).set("a", "b" * 100_000)
    assert redis_server.client.get("a") == impatient(proxy.url).get("a") == b"b" * 100_000


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ("slow", redis.TimeoutError),
        ("hang", redis.TimeoutError),
        ("garbage", redis.InvalidResponse),
        ("refuse", redis.ConnectionError),
        ("cut", redis.ConnectionError),
    ],
)
@pytest.mark.parametrize("connected", [True, False])
def test_a_proxys_mode_holds_for_old_and_new_connections(
    proxy: FaultProxy, mode: Mode, fault: type[Exception], connected: bool
) -> None:
    client = impatient(proxy.url)
    if connected:
        client.ping()
    proxy.mode = mode
    with pytest.raises(fault):
        client.ping()
    proxy.mode = "pass"
    assert client.ping()


def test_a_slow_proxy_answers_after_its_delay(proxy: FaultProxy) -> None:
    proxy.mode, proxy.delay = "slow", 0.1
    begun = monotonic()
    assert impatient(proxy.url).ping()
    assert monotonic() - begun >= 0.1


def test_what_hung_comes_late_and_whole(proxy: FaultProxy, redis_server: RedisServer) -> None:
    proxy.mode = "hang"
    with pytest.raises(redis.TimeoutError):
        impatient(proxy.url).ping()
    pool = redis.ConnectionPool.from_url(proxy.url, protocol=2, driver_info=None)
    connection: Any = pool.get_connection()
    connection.send_command("SET", "a", "late")
    assert redis_server.client.get("a") is None
    proxy.mode = "pass"
    assert connection.read_response() == b"OK"
    pool.disconnect()


def test_a_proxy_that_stops_ends_its_connections(redis_server: RedisServer) -> None:
    with FaultProxy(redis_server.socket) as proxy:
        client = impatient(proxy.url)
        client.ping()
    with pytest.raises(redis.ConnectionError):
        client.ping()

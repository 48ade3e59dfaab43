"""A client for whatever Redis a URL names: one server, a cluster, or the master that sentinels know.

    redis://[user:password@]host:port/0           rediss:// with TLS, unix:///path/to/socket
    redis+cluster://[user:password@]host[:port],host              rediss+cluster:// with TLS
    redis+sentinel://[user:password@]host[:port],host/name[/0]    rediss+sentinel:// with TLS

Options of redis-py go behind a question mark: `rediss://host:6380/0?ssl_ca_certs=/etc/ssl/redis.pem`.

Knows: redis-py's clients, their bounds and what they leave to us. Does not know: what is read or written.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.errors import StartError

logger = logging.getLogger(__name__)

CONNECT_S = 1.0
"""For a connection, and for each node of a cluster. Commands of one server are timed by who gives them, as a whole:
redis-py's own timeout would cost a task for what is sent and a timer for each reply."""
REFRESH_PAUSE_S = 0.1
"""Between a fault of a cluster and asking it anew which node has which keys."""
USUAL_PORTS = {"cluster": 6379, "sentinel": 26379}
FORM = (
    "RANKER_REDIS_URL cannot be used; its form is redis://user:password@host:port/0 "
    "(rediss:// with TLS, redis+cluster://host:port,host:port, redis+sentinel://host:port,host:port/name/0)"
)

Command = tuple[Any, ...]
"""Its name, its key, the rest; of EVAL: the script, how many keys, the keys, the rest."""


class Client(Protocol):
    """What answers commands that go out together."""

    async def run(self, commands: Sequence[Command]) -> list[object]:
        """One reply for each, an exception for one that failed; raises where all failed. Retries nothing."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class OneServer:
    """A client for one server, or for whichever sentinels say is the master.

    It asks redis-py's connections themselves: what its pipelines add takes as long as all the rest of a read.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis, self._pool = redis, redis.connection_pool

    async def run(self, commands: Sequence[Command]) -> list[object]:
        """As `Client`: one pipeline."""
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _reply(connection) for _ in commands]
        except BaseException:  # what has not been read would be taken for the next one's
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    async def aclose(self) -> None:
        """As `Client`."""
        await self._redis.aclose()


async def _reply(connection: AbstractConnection) -> object:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _key(command: Command) -> Any:
    """What says which node a command is for."""
    return command[3] if command[0] == "EVAL" else command[1]


class ManyServers:
    """A client for a cluster.

    redis-py would lose the answers of all nodes when one cannot be reached, and would not ask for the new lay of the
    land unless it may retry; so each node gets a pipeline of its own, and after a fault the cluster is asked again.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._refreshing: asyncio.Task[None] | None = None

    async def run(self, commands: Sequence[Command]) -> list[object]:
        """As `Client`: one pipeline for each node, all at once."""
        replies: list[object] = [None] * len(commands)
        try:
            await self._cluster.initialize()
            groups: dict[str, list[int]] = {}
            for index, command in enumerate(commands):
                node = self._cluster.get_node_from_key(_key(command))
                groups.setdefault(node.name if node else "", []).append(index)
        except (RedisError, KeyError):
            self._refresh()
            raise
        try:
            found = await asyncio.gather(
                *(self._run([commands[index] for index in group]) for group in groups.values()), return_exceptions=True
            )
        except asyncio.CancelledError:  # a node hangs; another may have taken over from it
            self._refresh()
            raise
        for group, answered in zip(groups.values(), found, strict=True):
            for place, index in enumerate(group):
                replies[index] = answered if isinstance(answered, BaseException) else answered[place]
        if any(isinstance(reply, (RedisError, OSError)) for reply in replies):
            self._refresh()
        if all(isinstance(reply, BaseException) for reply in replies):
            raise ResponseError("no node of the cluster answered")
        return replies

    async def _run(self, commands: Sequence[Command]) -> list[object]:
        pipeline = self._cluster.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False, allow_redirections=False))

    def _refresh(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._ask_again(), name="redis-cluster")

    async def _ask_again(self) -> None:
        await asyncio.sleep(REFRESH_PAUSE_S)
        with contextlib.suppress(RedisError, OSError):
            await self._cluster.nodes_manager.initialize()

    async def aclose(self) -> None:
        """As `Client`."""
        if self._refreshing:
            self._refreshing.cancel()
        await self._cluster.aclose()


def connect(url: str) -> Client:
    """A client for this URL; it connects when it is first used.

    Raises StartError for a URL of no use; the error never holds a part of it, for that may be the password.
    """
    never = Retry(NoBackoff(), 0)
    bounds: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": CONNECT_S, "protocol": 2}
    try:
        scheme, _, kind = url.partition("://")[0].partition("+")
        if not kind:
            pool = ConnectionPool.from_url(url, retry=never, **bounds)
            pool.make_connection()  # type: ignore[no-untyped-call]
            return OneServer(Redis.from_pool(pool))
        found, path, options = _spread(url, scheme, USUAL_PORTS[kind])
        if kind == "cluster":
            bounds |= {
                "socket_timeout": CONNECT_S,
                "dynamic_startup_nodes": False,
                "reinitialize_steps": 0,
                "require_full_coverage": False,
            }
            nodes = [ClusterNode(*address) for address in found]
            return ManyServers(RedisCluster(startup_nodes=nodes, retry=never, **bounds, **options))
        name, _, database = path.partition("/")
        if not name:
            raise ValueError("no name of a master")
        asked = {"retry": never, "socket_timeout": CONNECT_S / 4}  # so that another is asked when one hangs
        secure = {name: value for name, value in options.items() if name.startswith("ssl")}
        sentinel: Any = Sentinel(found, sentinel_kwargs=bounds | secure | asked)  # type: ignore[no-untyped-call]
        master = sentinel.master_for(name, db=int(database or 0), retry=never, **bounds, **options)
        master.connection_pool.make_connection()
        return OneServer(master)
    except (ValueError, TypeError, LookupError, RedisError) as error:
        raise StartError(FORM) from error


def addresses(hosts: str, usual_port: int) -> list[tuple[str, int]]:
    """Host and port of each in `a:1,b,[::1]:2`. Raises ValueError."""
    parts = [urlsplit(f"//{host}") for host in hosts.split(",")]
    found = [(part.hostname, part.port or usual_port) for part in parts if part.hostname]
    if len(found) < len(parts):
        raise ValueError("a host without a name")
    return found


def _spread(url: str, scheme: str, usual_port: int) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """The addresses, the path and the options of a URL that names several hosts."""
    if scheme not in ("redis", "rediss"):
        raise ValueError("a scheme that is not known")
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    first = urlunsplit((scheme, f"{user}{at}{hosts.split(',')[0]}", "", parts.query, ""))
    options: dict[str, Any] = {**parse_url(first)}
    for name in ("host", "port"):
        options.pop(name, None)
    if options.pop("connection_class", None):
        options["ssl"] = True
    return addresses(hosts, usual_port), parts.path.strip("/"), options

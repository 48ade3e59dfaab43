"""The Redises a deployment may have, each real and of a test's own: a cluster, a sentinel's pair, TLS, a bad network.

Knows: how to start, break and end them, all on 127.0.0.1. Does not know: the service.
"""

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import trustme
from fakes import HOST, RedisProcess, wait_until

SLOTS = 16384
BUS = 10_000
"""A cluster's nodes talk to each other this far above their port."""

Mode = Literal["pass", "slow", "hang", "garbage", "refuse", "cut"]


def free_ports(count: int) -> list[int]:
    """Ports free with the one `BUS` above, both below those the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12_000, 22_000)
        if port not in found and _is_free(port) and _is_free(port + BUS):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True


class RedisCluster:
    """Three masters without replicas, a third of the slots each."""

    def __init__(self, folder: Path, *, require_full_coverage: bool = True) -> None:
        """With `require_full_coverage`, Redis's default, no node answers once one is known to be gone."""
        self.ports = free_ports(3)
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in self.ports)
        coverage = "yes" if require_full_coverage else "no"
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500"]
        options += ["--cluster-require-full-coverage", coverage]
        self.nodes = [RedisProcess(folder / f"node-{port}", port, *options) for port in self.ports]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            wait_until(self.works)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stop_one(self) -> int:
        """Kill the last node that runs; gives its port."""
        node = [node for node in self.nodes if node.runs][-1]
        node.stop()
        return node.port

    def start_again(self) -> None:
        """Start what was stopped, and wait until the cluster is whole."""
        for node in self.nodes:
            if not node.runs:
                node.start()
        wait_until(self.works)

    def give_slots_of_last_to_first(self) -> None:
        """As after a failover: the nodes that are not the last hold the first for the owner of the last one's slots."""
        with self.nodes[0].client as client:
            first = client.execute_command("CLUSTER MYID")
        for node in self.nodes[:-1]:
            with node.client as client, client.pipeline(transaction=False) as commands:
                for slot in range(SLOTS * 2 // 3, SLOTS):
                    commands.execute_command("CLUSTER SETSLOT", slot, "NODE", first)
                commands.execute()

    def works(self) -> bool:
        """Whether each node that runs holds the cluster for whole and knows of all the others."""
        return all(_cluster_info(node) == ("ok", "3", str(SLOTS)) for node in self.nodes if node.runs)

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            own = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
            with node.client as client:
                client.execute_command("CLUSTER ADDSLOTS", *own)
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER MEET", HOST, self.ports[0])


def _cluster_info(node: RedisProcess) -> tuple[str, str, str]:
    with node.client as client:
        info: dict[str, str] = client.execute_command("CLUSTER INFO")
    return info["cluster_state"], info["cluster_known_nodes"], info["cluster_slots_ok"]


class RedisSentinel:
    """A master, its replica, and one sentinel that alone decides when the replica takes over."""

    def __init__(self, folder: Path) -> None:
        first, second, self.port = free_ports(3)
        self.url = f"redis+sentinel://{HOST}:{self.port}/mymaster/0"
        self.pair = [
            RedisProcess(folder / "first", first, "--repl-diskless-sync-delay", "0"),
            RedisProcess(folder / "second", second, "--replicaof", HOST, str(first)),
        ]
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor mymaster {HOST} {first} 1\n"
            "sentinel down-after-milliseconds mymaster 300\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        self.sentinel = RedisProcess(folder, self.port, str(configuration), "--sentinel")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.pair:
                stack.enter_context(server)
            wait_until(self._follows)
            stack.enter_context(self.sentinel)
            wait_until(self._watches)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def master_port(self) -> int:
        """The port of the master as the sentinel has it."""
        with self.sentinel.client as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "mymaster")[1])

    def kill_master(self) -> int:
        """Kill the master, without waiting for the other to take over; gives its port."""
        port = self.master_port()
        next(server for server in self.pair if server.port == port).stop()
        return port

    def _follows(self) -> bool:
        with self.pair[1].client as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    def _watches(self) -> bool:
        with self.sentinel.client as client:
            replicas = client.sentinel_slaves("mymaster")
        return [replica.get("master-link-status") for replica in replicas] == ["ok"]


class FaultProxy:
    """A TCP proxy that does to both ends what a bad network does.

    `mode` holds from the moment it is set, for open connections also:
    pass      nothing
    slow      each chunk of a reply comes `delay` seconds later
    hang      nothing comes through, nor is it lost: it does when the mode is another
    garbage   each chunk of a request is answered with `garbage`
    refuse    connections are accepted and closed at once
    cut       half of each reply comes, then the end
    """

    def __init__(self, upstream: Path | tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
        """`upstream` is a Unix socket, or a host and port; with `tls` the clients' side is encrypted."""
        self.delay = 1.0
        self.garbage = b"\x16\x03\x01 no reply of Redis begins like this\r\n"
        self.connections = 0
        self._upstream, self._tls = upstream, tls
        self._mode: Mode = "pass"
        self._open: set[asyncio.Task[Any]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        asyncio.run_coroutine_threadsafe(self._change(mode), self._loop).result(10)

    async def _run(self) -> None:
        self._loop, self._stopped, self._changed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port: int = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        await self._end_all()

    async def _change(self, mode: Mode) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode == "refuse":
            await self._end_all()

    async def _end_all(self) -> None:
        ended = tuple(self._open)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            if self._mode != "refuse":
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # an end that is gone, or told to go
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side ends."""
        if isinstance(self._upstream, Path):
            replies, requests = await asyncio.open_unix_connection(self._upstream)
        else:
            replies, requests = await asyncio.open_connection(*self._upstream)
        try:
            await _first_of(self._carry_requests(reader, requests, writer), self._carry_replies(replies, writer))
        finally:
            requests.transport.abort()

    async def _carry_requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(65536):
            await self._while_hanging()
            to, content = (client, self.garbage) if self._mode == "garbage" else (upstream, chunk)
            to.write(content)
            await to.drain()

    async def _carry_replies(self, upstream: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while chunk := await upstream.read(65536):
            if self._mode == "slow":
                await asyncio.sleep(self.delay)
            await self._while_hanging()
            cut = self._mode == "cut"
            client.write(chunk[: len(chunk) // 2] if cut else chunk)
            await client.drain()
            if cut:
                return

    async def _while_hanging(self) -> None:
        while self._mode == "hang":
            await self._changed.wait()


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of it until one is done, and raise what that one raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class RedisTls:
    """A Redis behind TLS, for the user `app` with the password `secret` alone.

    The encryption ends in `proxy`, since a redis-server may be built without it; a client cannot tell.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificates = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(certificates))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", HOST).configure_cert(context)
        (port,) = free_ports(1)
        users = ["--user", "default", "off", "--user", "app", "on", ">secret", "~*", "&*", "+@all"]
        self.server = RedisProcess(folder / "server", port, *users)
        self.proxy = FaultProxy((HOST, port), tls=context)
        self._certificates = certificates
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.server)
            stack.enter_context(self.proxy)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        return self.proxy.port

    @property
    def url(self) -> str:
        return f"rediss://app:secret@localhost:{self.port}/0?ssl_ca_certs={self._certificates}"

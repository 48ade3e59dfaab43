"""A light HTTP/1.1 client: keep-alive connections to one server, one request at a time on each.

It reads only what a measurement wants of an answer, and costs a small part of what the server spends on it, for both
share the cores. It reads answers that announce their length, as every answer of the service does, and no others.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
HITS = b'"hits":'
BROKEN = 0


@dataclass(slots=True)
class Exchange:
    """A request and its answer; times are of `time.perf_counter`.

    `status` is 0 where the connection broke, `hits` -1 where the answer does not say how many pairs were cached.
    """

    intended: float
    sent: float = 0.0
    done: float = 0.0
    status: int = BROKEN
    hits: int = -1


class Pool:
    """At most `most` connections to a server, opened as they are needed; `answered` is told of each exchange's end.

    A server may close an idle connection just as a request is sent on it. Such a request, of which no byte of an answer
    came, is sent once more on a new connection and counted in `resent`.
    """

    def __init__(
        self, url: str, *, most: int, answered: Callable[[Exchange], None], timeout_ms: int | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        deadline = "" if timeout_ms is None else f"x-request-timeout-ms: {timeout_ms}\r\n"
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n{deadline}"
        self._head = f"{head}content-length: ".encode()
        self._most, self._answered = most, answered
        self._opening: set[asyncio.Task[None]] = set()
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        self.outstanding = self.resent = 0

    def send(self, body: bytes, exchange: Exchange) -> bool:
        """Send a request, soon on a new connection where all are busy. False when `most` are: nothing was sent."""
        if self.outstanding >= self._most:
            return False
        self.outstanding += 1
        request = self._head + b"%d\r\n\r\n" % len(body) + body
        if self.idle:
            self.idle.pop().send(request, exchange)
        else:
            self.send_anew(request, exchange)
        return True

    def send_anew(self, request: bytes, exchange: Exchange) -> None:
        """Send on a new connection."""
        task = asyncio.get_running_loop().create_task(self._open(request, exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over, well or not."""
        self.outstanding -= 1
        exchange.done = perf_counter()
        self._answered(exchange)

    async def close(self) -> None:
        """Close every connection; what is still outstanding is never told of."""
        self._answered = lambda exchange: None
        for task in tuple(self._opening):
            task.cancel()
        for connection in tuple(self.connections):
            connection.close()
        await asyncio.sleep(0)

    async def _open(self, request: bytes, exchange: Exchange) -> None:
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: Connection(self), self._host, self._port)
        except OSError:
            exchange.sent = perf_counter()
            self.finished(exchange)
        else:
            connection.send(request, exchange)


class Connection(asyncio.Protocol):
    """One connection of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._received, self._end = pool, bytearray(), 0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._request, self._used = b"", False

    def send(self, request: bytes, exchange: Exchange) -> None:
        """Send a request, and take the next answer for its own."""
        self._request, self._exchange = request, exchange
        exchange.sent = exchange.sent or perf_counter()
        if self._transport is None or self._transport.is_closing():
            self.connection_lost(None)
            return
        self._transport.write(request)

    def close(self) -> None:
        """Close it; the answer under way is lost."""
        self._exchange = None
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._pool.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer came: finish the exchange when they are all."""
        self._received += data
        if not self._end:
            head = self._received.find(b"\r\n\r\n")
            length = LENGTH.search(self._received, 0, head + 2) if head >= 0 else None
            if head >= 0 and not length:
                self.close_broken()
            if not length:
                return
            self._end = head + 4 + int(length[1])
        if len(self._received) >= self._end and self._exchange:
            self._finish(self._exchange)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """The server closed it, or it broke."""
        self._pool.connections.discard(self)
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        exchange, self._exchange = self._exchange, None
        if exchange and self._used and not self._received:
            self._pool.resent += 1
            self._pool.send_anew(self._request, exchange)
        elif exchange:
            self._pool.finished(exchange)

    def close_broken(self) -> None:
        """Give up an answer that cannot be read."""
        if self._transport:
            self._transport.abort()

    def _finish(self, exchange: Exchange) -> None:
        received = bytes(self._received[: self._end])
        exchange.status = int(received[9:12])
        found = received.rfind(HITS)
        if found >= 0:
            exchange.hits = int(received[found + len(HITS) :].split(b",", 1)[0])
        closing = CLOSE.search(received, 0, received.index(b"\r\n\r\n") + 2)
        self._received.clear()
        self._exchange, self._end, self._used = None, 0, True
        if closing:
            self.close_broken()
        else:
            self._pool.idle.append(self)
        self._pool.finished(exchange)

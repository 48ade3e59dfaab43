"""HTTP/1.1 as uvicorn speaks it, but an answer leaves in one piece, and a server that stops hears its callers out.

uvicorn writes head and body apart, two calls of the kernel and two wake-ups of the caller; while the model works on
every core, each of them costs as much as a tenth of all that is done for a request.

Knows: uvicorn's protocol, asyncio's transports. Does not know: what is said.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 65_536
"""A longer piece, in bytes, is not kept back."""

LINGER_S = 0.5
"""So long an idle connection is kept when the server stops: a request may be on its way."""


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol on a transport that joins what is written in one turn of the event loop.

    uvicorn closes an idle connection at once when it stops, and with it what the caller has sent but nobody has read.
    """

    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has connected."""
        super().connection_made(cast(asyncio.Transport, _Joined(transport, self.loop)))

    def on_headers_complete(self) -> None:
        """A request begins; while the server stops, the connection ends with its answer."""
        super().on_headers_complete()
        if self._stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: what is being answered is answered, and so is what comes within `LINGER_S`."""
        self._stopping = True
        idle = self.cycle is None or self.cycle.response_complete
        self.loop.call_later(LINGER_S if idle else 0, super().shutdown)


class _Joined:
    """A transport; all but `write` and `close` is that of the one it stands before."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        if len(data) > MOST:  # the transport should know of it, to say when it is too much
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        if data and not self._transport.is_closing():
            self._transport.write(data)

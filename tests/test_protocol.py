"""Answers leave whole: one write for head and body, and nothing lost when a connection ends."""

import asyncio
import socket
from typing import Any

import uvicorn
from fakes import run

from service.protocol import MOST, WholeAnswers, _Joined

BODY = b"x" * 1000


class Recorded(WholeAnswers):
    """Notes what reaches the transport of each connection."""

    written: list[bytes]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        written, write = self.written, transport.write

        class Noted:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                written.append(bytes(data))
                write(data)

        super().connection_made(Noted())  # type: ignore[arg-type]


async def answers(_: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": BODY})


async def talk(request: bytes) -> tuple[bytes, list[bytes]]:
    """All that a server sends to a caller until it closes the connection, and the writes it came in."""
    Recorded.written = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(answers, http=Recorded, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(request)
        received = await reader.read()
        writer.close()
        server.should_exit = True
        await serving
    return received, Recorded.written


def test_head_and_body_are_one_write() -> None:
    async def work() -> None:
        asked = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        received, written = await talk(asked * 2 + asked.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert received.count(b"HTTP/1.1 200 OK") == received.count(BODY) == 3
        assert [answer.endswith(BODY) for answer in written] == [True] * len(written)
        assert len(written) <= 3

    run(work)


def test_what_is_no_http_is_told_so_before_the_connection_ends() -> None:
    async def work() -> None:
        received, written = await talk(b"what is this\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 400 Bad Request")
        assert len(written) == 1

    run(work)


class Ended:
    """A transport that is closed."""

    def is_closing(self) -> bool:
        return True

    def write(self, _: bytes) -> None:
        raise RuntimeError("closed")


def test_an_answer_to_a_caller_who_is_gone_is_dropped() -> None:
    async def work() -> None:
        failed: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context))
        joined = _Joined(Ended(), loop)  # type: ignore[arg-type]
        joined.write(b"answer")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not failed

    run(work)


def test_what_is_long_is_not_kept_back() -> None:
    class Open(Ended):
        written: list[bytes] = []  # noqa: RUF012

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            self.written.append(data)

    async def work() -> None:
        joined = _Joined(Open(), asyncio.get_running_loop())  # type: ignore[arg-type]
        joined.write(b"head ")
        joined.write(b"x" * (MOST + 1))
        assert Open.written == [b"head " + b"x" * (MOST + 1)]

    run(work)


def test_what_a_caller_has_sent_when_the_server_stops_is_answered_and_the_connection_ends() -> None:
    async def work() -> None:
        asked = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(answers, http=WholeAnswers, lifespan="off", log_config=None))
            serving = asyncio.create_task(server.serve([listening]))
            fresh, used, silent = [await asyncio.open_connection(*listening.getsockname()) for _ in range(3)]
            used[1].write(asked)
            assert BODY in await used[0].readuntil(BODY)
            while len(server.server_state.connections) < 3:
                await asyncio.sleep(0.01)
            server.should_exit = True
            while listening.fileno() >= 0:  # from here on, uvicorn has told each connection to end
                await asyncio.sleep(0.01)
            for reader, writer in (fresh, used):
                writer.write(asked)
                answer = await asyncio.wait_for(reader.read(), 5)
                assert answer.endswith(BODY)
                assert b"connection: close" in answer
            assert await asyncio.wait_for(silent[0].read(), 5) == b""
            await asyncio.wait_for(serving, 5)
            for _, writer in (fresh, used, silent):
                writer.close()

    run(work)

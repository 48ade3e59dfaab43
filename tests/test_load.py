"""The load generator itself, against a server on loopback whose answers and stalls are known."""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "load"))

import closed_loop
import traffic
import wrk
from connections import Connection, Exchange, Pool
from measurement import at_least, never
from open_loop import Plan, Result, drive

from service.api.schemas import WeightsRequest

LOAD = Path(__file__).parent / "load"
Answer = Callable[[int], Awaitable[bytes]]
"""What the server says to its so-maniest request; nothing closes the connection."""


def reply(status: int = 200, hits: int = 0) -> bytes:
    body = json.dumps({"cache": {"hits": hits, "misses": 0}}).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


class TinyServer:
    """Answers each request with what `answer` gives for its number, and remembers what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                said = await self._answer(len(self.requests) - 1)
                if not said:
                    return
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def loaded(answer: Answer, plan: Plan) -> tuple[Result, TinyServer]:
    """What a plan's run against such a server found."""

    async def run() -> tuple[Result, TinyServer]:
        server = TinyServer(answer)
        async with server as url:
            return (await drive(url, traffic.new(1), plan)).result(), server

    return asyncio.run(run())


async def at_once(_: int) -> bytes:
    return reply()


async def stalls(_: int) -> bytes:
    """Blocks every connection for the first 300 ms of the loop's life."""
    loop = asyncio.get_running_loop()
    begun = loop.__dict__.setdefault("begun", loop.time())
    await asyncio.sleep(max(0.0, begun + 0.3 - loop.time()))
    return reply()


async def after_100_ms(_: int) -> bytes:
    await asyncio.sleep(0.1)
    return reply()


def test_a_stall_is_charged_to_every_request_that_came_meanwhile() -> None:
    result, _ = loaded(stalls, Plan(100, 0.4, even=True))
    assert result.ok_ms
    assert 60 < result.ok_ms.p50 < 250  # three quarters of them came in the stall and waited 150 ms in the mean
    assert result.ok_ms.most > 250


def test_a_request_sent_late_counts_from_the_time_it_was_intended_for() -> None:
    def slow_to_make() -> Iterator[bytes]:
        for number, body in enumerate(traffic.new(1)):
            if number == 5:
                time.sleep(0.2)  # the generator's own stall: nothing is sent meanwhile
            yield body

    async def run() -> Result:
        async with TinyServer(at_once) as url:
            return (await drive(url, slow_to_make(), Plan(100, 0.3, even=True))).result()

    result = asyncio.run(run())
    assert result.ok_ms
    assert result.lag_ms
    assert result.ok_ms.most > 150
    assert result.lag_ms.most > 150


def test_answers_are_counted_by_status_and_refusals_timed_apart() -> None:
    async def two_in_three_refused(number: int) -> bytes:
        return reply(503 if number % 3 else 200)

    result, _ = loaded(two_in_three_refused, Plan(300, 1, even=True, count=30))
    assert result.statuses == {"200": 10, "503": 20}
    assert (result.ok_ms and result.ok_ms.count, result.refused_ms and result.refused_ms.count) == (10, 20)


def test_what_would_be_too_many_outstanding_is_counted_as_unsent() -> None:
    result, server = loaded(after_100_ms, Plan(200, 1, even=True, count=10, outstanding=4))
    assert (result.arrived, result.sent, result.unsent) == (10, 4, 6)
    assert len(server.requests) == 4


def test_an_answer_after_its_deadline_is_late_and_no_goodput() -> None:
    result, server = loaded(after_100_ms, Plan(50, 0.2, even=True, timeout_ms=50))
    assert result.late == result.statuses["200"] == result.arrived
    assert result.goodput == 0
    assert all(b"\r\nx-request-timeout-ms: 50\r\n" in request for request in server.requests)


def test_goodput_counts_answers_in_time_a_second() -> None:
    result, _ = loaded(at_once, Plan(100, 0.5, even=True, timeout_ms=400))
    assert result.late == 0
    assert 50 <= result.goodput <= 100


def test_what_is_never_answered_is_told() -> None:
    async def never_answers(_: int) -> bytes:
        await asyncio.sleep(5)
        return b""

    result, _ = loaded(never_answers, Plan(100, 0.05, even=True, grace=0.1))
    assert result.unanswered == result.sent > 0


def test_a_request_on_a_connection_that_was_just_closed_is_sent_once_more() -> None:
    async def closes_on_the_second(number: int) -> bytes:
        return b"" if number == 1 else reply()

    result, _ = loaded(closes_on_the_second, Plan(20, 1, even=True, count=3))
    assert result.statuses == {"200": 3}
    assert result.resent == 1


def test_a_connection_that_breaks_in_its_first_request_is_an_error() -> None:
    async def closes(_: int) -> bytes:
        return b""

    result, _ = loaded(closes, Plan(50, 1, count=2))
    assert result.statuses == {"0": 2}


def test_a_server_that_is_not_there_is_an_error() -> None:
    async def run() -> Result:
        return (await drive("http://127.0.0.1:9", traffic.new(1), Plan(50, 1, count=2))).result()

    assert asyncio.run(run()).statuses == {"0": 2}


def test_an_answer_in_pieces_is_one_answer() -> None:
    async def run() -> list[tuple[int, int]]:
        done: list[Exchange] = []
        pool = Pool("http://127.0.0.1/", most=1, answered=done.append)

        class Wire(asyncio.Transport):
            def write(self, data: object) -> None:
                pass

            def is_closing(self) -> bool:
                return False

        connection = Connection(pool)
        connection.connection_made(Wire())
        connection.send(b"", Exchange(0))
        for byte in reply(hits=20):
            connection.data_received(bytes([byte]))
        return [(exchange.status, exchange.hits) for exchange in done]

    assert asyncio.run(run()) == [(200, 20)]


def test_arrivals_are_as_many_as_the_rate_says_and_the_same_for_a_seed() -> None:
    times = list(Plan(500, 10).arrivals())
    assert 4500 < len(times) < 5500
    assert times == list(Plan(500, 10).arrivals()) == sorted(times)
    assert list(Plan(10, 0.45, even=True).arrivals()) == [0.1, 0.2, 0.30000000000000004, 0.4]


def test_a_closed_loop_asks_as_often_as_told() -> None:
    async def run() -> dict[int, int]:
        async with TinyServer(at_once) as url:
            return await closed_loop.hammer(url, traffic.zipf(1), count=50, connections=4)

    assert asyncio.run(run()) == {200: 50}


def test_new_queries_never_repeat() -> None:
    bodies = [*itertools.islice(traffic.new(1), 1000), *itertools.islice(traffic.new(2), 1000)]
    assert len({json.loads(body)["query"] for body in bodies}) == 2000


def test_zipf_asks_the_first_far_more_often_than_the_last() -> None:
    bodies = list(itertools.islice(traffic.zipf(1), 20_000))
    known = traffic.catalogue()
    assert set(bodies) <= set(known)
    assert bodies.count(known[0]) > 10 * max(1, bodies.count(known[-1]))


def test_mixed_requests_are_within_the_service_s_limits() -> None:
    bodies = list(itertools.islice(traffic.mixed(1), 2000))
    asked = [WeightsRequest.model_validate_json(body) for body in bodies]
    assert {2, 59} <= {len(request.attributes) for request in asked} <= set(range(1, 61))
    assert 0.05 < len(set(bodies)) / len(bodies) < 0.2


def test_wrk_is_asked_the_same_as_python_asks() -> None:
    attributes = json.dumps(list(traffic.ATTRIBUTES))
    for name in ("cached.lua", "uncached.lua"):
        assert (LOAD / name).read_text().replace("' ..\n  '", "").count(attributes) == 1
    assert '"washable wool runner rug 1"' in traffic.catalogue()[0].decode()
    assert "\"washable wool runner rug ' .. number" in (LOAD / "cached.lua").read_text()


def test_wrk_s_report_is_read() -> None:
    text = """    Latency Distribution
     50%  980.00us
     75%    1.61ms
     99%    1.20s
  9797 requests in 2.10s, 12.73MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:   4660.80
"""
    assert wrk.read(text) == wrk.Throughput(4660.8, 0.98, 1200.0, 9797, 10)


def test_a_target_is_met_by_the_median_and_never_by_what_is_missing() -> None:
    assert at_least("x", 2, [1.0, 2.0, 3.0]).ok
    assert not at_least("x", 2, [1.0, 1.9, 3.0]).ok
    assert not at_least("x", 2, [3.0, None]).ok
    assert not never("x", [0, 0, 1]).ok

"""A closed loop of ours: so many connections, each sends its next request when its last is answered.

For what wrk cannot do: filling a cache with every request once, and long runs of traffic made in Python. It is no
measure of latency: see open_loop.py.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter

import uvloop
from connections import Exchange, Pool
from traffic import ATTRIBUTES, catalogue

PATH = "/v1/weights"


async def hammer(
    url: str,
    bodies: Iterator[bytes],
    *,
    count: int,
    connections: int = 8,
    seconds: float = 3600,
    answered: Callable[[Exchange], None] = lambda exchange: None,
) -> Counter[int]:
    """Ask `count` requests, within `seconds`. Gives the answers by status; 0 is a broken connection."""
    statuses: Counter[int] = Counter()
    begun, sent = perf_counter(), 0
    pool: Pool

    def send() -> None:
        nonlocal sent
        if sent < count:
            sent += 1
            pool.send(next(bodies), Exchange(perf_counter()))

    def finished(exchange: Exchange) -> None:
        statuses[exchange.status] += 1
        answered(exchange)
        send()

    pool = Pool(url + PATH, most=connections, answered=finished)
    try:
        for _ in range(connections):
            send()
        while statuses.total() < count and perf_counter() - begun < seconds:
            await asyncio.sleep(0.02)
    finally:
        await pool.close()
    return statuses


def fill(url: str, passes: int = 12) -> int:
    """Ask the catalogue until one whole pass of it is answered from the cache. Gives how many passes that took.

    Several processes have a cache each, and a write to Redis may still be on its way when its query comes again.
    Raises RuntimeError when that never happens.
    """
    known = catalogue()
    for number in range(1, passes + 1):
        hits: list[int] = []
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(hammer(url, iter(known), count=len(known), answered=lambda e: hits.append(e.hits)))  # noqa: B023
            if hits == [len(ATTRIBUTES)] * len(known):
                return number
            runner.run(asyncio.sleep(0.3))
    raise RuntimeError(f"after {passes} passes the cache still has not all of the catalogue")

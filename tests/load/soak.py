"""A long run of mixed traffic with the cache on: no errors, and memory that does not grow once the cache is full.

What the process holds is compared with what it held after the first eighth, by when the cache, of the default size, has
had more pairs than it keeps. The 20,000 requests of --quick do not fill it: of them only the errors mean something.
"""

import asyncio
from time import perf_counter
from typing import Any

import closed_loop
import uvloop
from connections import Exchange
from measurement import Bench, Outcome, at_most, never
from servers import Server, service
from traffic import fresh_seed, mixed

REQUESTS, QUICK_REQUESTS = 400_000, 20_000
SAMPLES = 200


def soak(bench: Bench) -> Outcome:
    """400,000 requests of mixed traffic: errors, and resident memory after the last / after the first 50,000."""
    count = QUICK_REQUESTS if bench.quick else REQUESTS
    with service(bench.logs) as ours:
        found = _run(ours, count)
    return Outcome(
        [found],
        [
            never("errors", [count - found["statuses"].get("200", 0)]),
            at_most("resident memory, after the last / after the first eighth", 1.05, [found["memory_ratio"]]),
        ],
    )


def _run(ours: Server, count: int) -> dict[str, Any]:
    begun, done = perf_counter(), 0
    memory: list[tuple[int, float]] = []

    def answered(_: Exchange) -> None:
        nonlocal done
        done += 1
        if done % (count // SAMPLES) == 0:
            memory.append((done, ours.memory_mb()))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        statuses = runner.run(closed_loop.hammer(ours.url, mixed(fresh_seed()), count=count, answered=answered))
    seconds = perf_counter() - begun
    evicting = next((mb for number, mb in memory if number >= count / 8), None)
    return {
        "requests": count,
        "statuses": {str(status): number for status, number in statuses.items()},
        "seconds": round(seconds, 1),
        "requests_per_second": round(count / seconds, 1),
        "memory_mb": memory,
        "memory_ratio": memory[-1][1] / evicting if evicting else None,
    }

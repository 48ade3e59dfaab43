"""What a shadow bundle costs those who are answered: latency with gaps between requests, throughput without any.

    python tests/load/shadow.py [--blocks 10] [--requests 100] [--bundle FOLDER]

Two services, one with a shadow that takes every request, are asked in blocks, in turn, so that a shadow at work meets
only its own service's requests. All queries are new. Prints one line of JSON: medians over the blocks, and of the
ratios with over without.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import closed_loop
import uvloop
from servers import Server, service
from traffic import fresh_seed, new

from service.bundle import default_folder

MEAN_GAP_S = 0.03
OUTCOME = 'ranker_shadow_requests_total{outcome="%s"}'


def latencies(server: Server, bodies: Iterator[bytes], count: int, gaps: random.Random) -> list[float]:
    """Milliseconds of each of `count` requests on one connection, random gaps between them."""
    connection, found = HTTPConnection(urlsplit(server.url).netloc, timeout=20), []
    for _ in range(count):
        time.sleep(gaps.expovariate(1 / MEAN_GAP_S))
        begun = time.perf_counter()
        connection.request("POST", closed_loop.PATH, next(bodies))
        answer = connection.getresponse()
        answer.read()
        found.append(1000 * (time.perf_counter() - begun))
        assert answer.status == 200, answer.status
    connection.close()
    return found


def throughput(server: Server, bodies: Iterator[bytes], count: int) -> float:
    """Requests a second on 8 connections."""
    begun = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        statuses = runner.run(closed_loop.hammer(server.url, bodies, count=count))
    assert set(statuses) == {200}, statuses
    return count / (time.perf_counter() - begun)


def measured(server: Server, bodies: Iterator[bytes], count: int, gaps: random.Random) -> dict[str, float]:
    """One block; what it leaves to the shadow is done before the next begins, or dropped with it."""
    apart = latencies(server, bodies, count, gaps)
    quantiles = statistics.quantiles(apart, n=20)
    rate = throughput(server, bodies, 2 * count)
    time.sleep(1)
    return {"p50_ms": statistics.median(apart), "p95_ms": quantiles[18], "per_second": rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--bundle", type=Path, default=default_folder(), help="the shadow (default: the shipped one)")
    given = parser.parse_args()
    bodies, gaps = new(fresh_seed()), random.Random(7)
    shadow = "--shadow-bundle", str(given.bundle), "--shadow-share", "1"
    with TemporaryDirectory() as logs, service(Path(logs)) as without, service(Path(logs), *shadow) as with_it:
        for server in (without, with_it):
            measured(server, bodies, given.requests, gaps)
        pairs = []
        for block in range(given.blocks):
            order = (without, with_it) if block % 2 else (with_it, without)
            found = {server.pid: measured(server, bodies, given.requests, gaps) for server in order}
            pairs.append((found[without.pid], found[with_it.pid]))
        names = list(pairs[0][0])
        print(
            json.dumps(
                {
                    "without": {name: round(statistics.median(a[name] for a, _ in pairs), 2) for name in names},
                    "with": {name: round(statistics.median(b[name] for _, b in pairs), 2) for name in names},
                    "ratio": {name: round(statistics.median(b[name] / a[name] for a, b in pairs), 3) for name in names},
                    "compared": with_it.metric(OUTCOME % "same_first") + with_it.metric(OUTCOME % "changed_first"),
                    "dropped": with_it.metric(OUTCOME % "dropped"),
                    "memory_mb": [without.memory_mb(), with_it.memory_mb()],
                }
            )
        )


if __name__ == "__main__":
    main()

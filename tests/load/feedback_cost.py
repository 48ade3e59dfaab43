"""What feedback costs an answer from the cache.

    python tests/load/feedback_cost.py [--repeats 7] [--seconds 4] [--redis] [--out feedback_cost.json]

Two servers, one with feedback on and evidence for all 20 attributes under everything, one without, answer the 1,000
queries of the catalogue from the cache of the process, in turn. Compared are requests a second, and processor time a
request, which others on the machine disturb less; the medians of the ratios are what counts. With `--redis` both have
a Redis beside them, in which the one keeps feedback.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import closed_loop
import uvloop
from measurement import Bench, at_least
from ratios import in_turn
from redis_server import Redis
from servers import Server, service
from traffic import ATTRIBUTES, catalogue, fresh_seed

SECRET = "of the measurement"
EVENTS = 40
"""Facets chosen, each by a client of its own."""
ASKED = 0.97


def learn(server: Server) -> None:
    """Have facets chosen until evidence of every attribute has its part in an answer."""
    query = catalogue()[0]
    for number in range(EVENTS):
        shown = _post(server, "/v1/weights", query)
        what = {"object_id": ATTRIBUTES[number % len(ATTRIBUTES)], "object_id_type": "attribute"}
        event = {
            "action_name": "facet_select",
            "timestamp": round(time.time() * 1000),
            "query_id": shown["query_id"],
            "client_id": f"{fresh_seed()} {number}",
            "event_attributes": {"object": what},
        }
        _post(server, "/v1/events", json.dumps(event).encode())
    deadline = time.monotonic() + 30
    while "evidence" not in _post(server, "/v1/weights", catalogue()[1])["weights"][0]:
        if time.monotonic() > deadline:
            raise RuntimeError("events did not become evidence in 30 s")
        time.sleep(0.5)


def _post(server: Server, path: str, body: bytes) -> dict[str, Any]:
    request = urllib.request.Request(server.url + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cached(server: Server, seconds: float) -> dict[str, float]:
    """Requests a second and processor time of one, all from the cache."""
    bodies: Iterator[bytes] = cycle(catalogue())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        begun, used = time.perf_counter(), cpu_seconds(server.pid)
        statuses = runner.run(closed_loop.hammer(server.url, bodies, count=10**9, seconds=seconds))
        took, worked = time.perf_counter() - begun, cpu_seconds(server.pid) - used
    answered = statuses[200]
    if answered < statuses.total():
        raise RuntimeError(f"answers by status: {dict(statuses)}")
    return {"per_second": answered / took, "cpu_us": worked / answered * 1e6}


def measured(bench: Bench, *, redis: bool) -> dict[str, Any]:
    """Each repetition of both, and the medians of their ratios, on over off."""
    with ExitStack() as stack:
        beside: tuple[str, ...] = ()
        if redis:
            beside = "--redis-url", stack.enter_context(Redis(bench.logs)).url, "--feedback-key", SECRET
        on = stack.enter_context(service(bench.logs, "--feedback", *beside))
        off = stack.enter_context(service(bench.logs, *beside[:2]))
        learn(on)
        for server in (on, off):
            closed_loop.fill(server.url)
            cached(server, 1)
        pairs = in_turn(bench, lambda: cached(on, bench.seconds), lambda: cached(off, bench.seconds))
    rates = at_least("requests/s, feedback on / off", ASKED, [a["per_second"] / b["per_second"] for a, b in pairs])
    work = [a["cpu_us"] / b["cpu_us"] for a, b in pairs]
    return {
        "redis": redis,
        "runs": [{"on": mine, "off": other} for mine, other in pairs],
        "requests/s, on / off": rates.measured,
        "spread": rates.spread,
        "ok": rates.ok,
        "processor time, on / off": statistics.median(work),
        "processor time of a request with feedback off, us": statistics.median(other["cpu_us"] for _, other in pairs),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as logs:
        found = measured(Bench(Path(logs), repeats=given.repeats, seconds=given.seconds), redis=given.redis)
    text = json.dumps(found, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

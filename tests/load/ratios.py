"""Throughput, each time as a ratio of two servers measured in turn on the same machine.

Both are up while they are compared, for one that nobody asks costs nothing: so they are equally warm, and what the
machine does meanwhile meets both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, TypeVar

import closed_loop
from measurement import Bench, Outcome, Skipped, at_least, at_most, never
from redis_server import Redis
from servers import ROOT, Server, empty_route, environment, infinity, service
from wrk import Throughput, wrk

A, B = TypeVar("A"), TypeVar("B")
PATH = "/v1/weights"
IDLE_S = 2.0
HITS = 'ranker_cache_pairs_total{level="%s"}'
BARE_SESSION = ROOT / "tests/load/bare_session.py"


def uncached(server: Server, bench: Bench, path: str = PATH, *, times: int = 1) -> Throughput:
    """20 attributes, queries never sent before; a second to warm up is not counted, nor what it left under way."""
    wrk("uncached.lua", server.url + path, seconds=1)
    time.sleep(IDLE_S)
    return wrk("uncached.lua", server.url + path, seconds=times * bench.seconds)


def cached(server: Server, bench: Bench) -> Throughput:
    """Queries of the catalogue, which has been put into the cache."""
    wrk("cached.lua", server.url + PATH, seconds=1)
    return wrk("cached.lua", server.url + PATH, seconds=bench.seconds)


def in_turn(bench: Bench, ours: Callable[[], A], other: Callable[[], B]) -> list[tuple[A, B]]:
    """Both, as often as is wanted, and every other time the other first: so a drift of the machine goes both ways."""
    pairs = []
    for repetition in range(bench.repeats):
        if repetition % 2:
            theirs = other()
            pairs.append((ours(), theirs))
        else:
            pairs.append((ours(), other()))
    return pairs


def peer(bench: Bench) -> Outcome:
    """Uncached, 8 connections: ours / infinity with PyTorch in fp32, a MiniLM cross-encoder of the same size."""
    if not bench.peer:
        raise Skipped("wants --peer-venv and --peer-model, the folders that tests/load/peer_infinity.sh makes")
    with service(bench.logs) as ours, infinity(bench.logs, *bench.peer) as theirs:
        pairs = in_turn(
            bench,
            lambda: uncached(ours, bench),  # the other longer: it answers few, and more is cut off at the end
            lambda: uncached(theirs, bench, "/rerank", times=3),
        )
    return Outcome(
        [{"ours": asdict(mine), "infinity": asdict(other)} for mine, other in pairs],
        [
            at_least("requests/s, ours / infinity", 12, [mine.per_second / other.per_second for mine, other in pairs]),
            at_most("median latency, ours / infinity", 0.1, [mine.p50_ms / other.p50_ms for mine, other in pairs]),
            never("failed requests", [mine.failed + other.failed for mine, other in pairs]),
        ],
    )


def bare(bench: Bench) -> Outcome:
    """Uncached over HTTP, 8 connections: requests/s, ours / the best configuration of the bare session."""
    configurations = bare_session(bench)
    best = "--only", str(configurations["best"])
    with service(bench.logs) as ours:
        pairs = in_turn(bench, lambda: uncached(ours, bench), lambda: bare_session(bench, *best))
    ratios = [mine.per_second / session["requests_per_second"] for mine, session in pairs]
    return Outcome(
        [configurations, *({"bare": session, "ours": asdict(mine)} for mine, session in pairs)],
        [
            at_least("requests/s, ours / bare session", 0.85, ratios),
            never("failed requests", [mine.failed for mine, _ in pairs]),
        ],
    )


def bare_session(bench: Bench, *only: str) -> dict[str, Any]:
    """What bare_session.py prints: all configurations the first time, then the one that was best."""
    seconds = bench.seconds if only else bench.seconds / 4
    command = [sys.executable, str(BARE_SESSION), "--seconds", str(seconds), *only]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"bare_session.py: {done.stderr[-600:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def memory(bench: Bench) -> Outcome:
    """Everything in the cache of the process: requests/s, ours / the empty FastAPI route."""
    return _cached_beside_empty(bench, 0.70, level="memory")


def redis(bench: Bench) -> Outcome:
    """Everything in Redis, no cache in the process: requests/s, ours / the empty FastAPI route."""
    return _cached_beside_empty(bench, 0.50, level="redis")


def _cached_beside_empty(bench: Bench, asked: float, *, level: str) -> Outcome:
    with ExitStack() as stack:
        flags: tuple[str, ...] = ()
        if level == "redis":
            flags = "--cache-pairs", "0", "--redis-url", stack.enter_context(Redis(bench.logs)).url
        ours = stack.enter_context(service(bench.logs, *flags))
        theirs = stack.enter_context(empty_route(bench.logs))
        closed_loop.fill(ours.url)
        before, total = ours.metric(HITS % level), ours.metric(HITS.split("{")[0])
        pairs = in_turn(bench, lambda: cached(ours, bench), lambda: cached(theirs, bench))
        share = (ours.metric(HITS % level) - before) / (ours.metric(HITS.split("{")[0]) - total)
    return Outcome(
        [{"ours": asdict(mine), "empty": asdict(other)} for mine, other in pairs],
        [
            at_least(
                f"requests/s, ours from {level} / empty route",
                asked,
                [mine.per_second / other.per_second for mine, other in pairs],
            ),
            at_most(f"share of pairs not from {level}", 0.001, [round(1 - share, 4)]),
            never("failed requests", [mine.failed + other.failed for mine, other in pairs]),
        ],
    )


def miss(bench: Bench) -> Outcome:
    """Uncached throughput, with Redis, where nothing is found and all is written / without."""

    with (
        Redis(bench.logs) as beside,
        service(bench.logs, "--redis-url", beside.url) as on,
        service(bench.logs) as off,
    ):
        pairs = in_turn(bench, lambda: uncached(on, bench), lambda: uncached(off, bench))
    return Outcome(
        [{"on": asdict(with_it), "off": asdict(without)} for with_it, without in pairs],
        [
            at_least("requests/s, Redis on / off", 0.95, [a.per_second / b.per_second for a, b in pairs]),
            never("failed requests", [a.failed + b.failed for a, b in pairs]),
        ],
    )


def workers(bench: Bench) -> Outcome:
    """Throughput and memory of one process and of two; nothing is asked of it."""
    runs = []
    for _ in range(bench.repeats):
        for count in (1, 2):
            with service(bench.logs, "--workers", str(count)) as ours:
                found = {"uncached": asdict(uncached(ours, bench))}
                wrk("cached.lua", ours.url + PATH, seconds=bench.seconds)  # each process has a cache of its own to fill
                found["cached"] = asdict(cached(ours, bench))
                memory_mb = {what: ours.memory_mb(what) for what in ("Rss", "Pss")}
            runs.append({"workers": count, **found, "memory_mb": memory_mb})
    return Outcome(runs)

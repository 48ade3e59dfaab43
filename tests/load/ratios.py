"""Throughput, each time as a ratio of two servers measured in turn on the same machine, one of them up at a time."""

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


def cached(server: Server, bench: Bench, *, fill: bool) -> Throughput:
    """Queries of the catalogue, after all of it was put into the cache."""
    if fill:
        closed_loop.fill(server.url)
    wrk("cached.lua", server.url + PATH, seconds=1)
    return wrk("cached.lua", server.url + PATH, seconds=bench.seconds)


def in_turn(repetition: int, ours: Callable[[], A], other: Callable[[], B]) -> tuple[A, B]:
    """Both, and in every other repetition the other first: so a drift of the machine goes both ways."""
    if repetition % 2:
        theirs = other()
        return ours(), theirs
    return ours(), other()


def peer(bench: Bench) -> Outcome:
    """Uncached, 8 connections: ours / infinity with PyTorch in fp32, a MiniLM cross-encoder of the same size."""
    if not bench.peer:
        raise Skipped("wants --peer-venv and --peer-model, the folders that tests/load/peer_infinity.sh makes")
    folders = bench.peer

    def theirs() -> Throughput:
        with infinity(bench.logs, *folders) as server:  # longer, for it answers few: what is cut off at the end is more
            return uncached(server, bench, "/rerank", times=3)

    pairs = [in_turn(number, lambda: _uncached(bench), theirs) for number in range(bench.repeats)]
    return Outcome(
        [{"ours": asdict(mine), "infinity": asdict(other)} for mine, other in pairs],
        [
            at_least("requests/s, ours / infinity", 12, [mine.per_second / other.per_second for mine, other in pairs]),
            at_most("median latency, ours / infinity", 0.1, [mine.p50_ms / other.p50_ms for mine, other in pairs]),
            never("failed requests", [mine.failed + other.failed for mine, other in pairs]),
        ],
    )


def _uncached(bench: Bench, *flags: str) -> Throughput:
    with service(bench.logs, *flags) as ours:
        return uncached(ours, bench)


def bare(bench: Bench) -> Outcome:
    """Uncached over HTTP, 8 connections: requests/s, ours / the best configuration of the bare session."""
    configurations = bare_session(bench)
    best = "--only", str(configurations["best"])
    pairs = [
        in_turn(number, lambda: _uncached(bench), lambda: bare_session(bench, *best)) for number in range(bench.repeats)
    ]
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
    def empty() -> Throughput:
        with empty_route(bench.logs) as theirs:
            return cached(theirs, bench, fill=False)

    pairs = [in_turn(number, lambda: _all_from(level, bench), empty) for number in range(bench.repeats)]
    return Outcome(
        [{"ours": asdict(mine), "empty": asdict(other), "missed": missed} for (mine, missed), other in pairs],
        [
            at_least(
                f"requests/s, ours from {level} / empty route",
                asked,
                [mine.per_second / other.per_second for (mine, _), other in pairs],
            ),
            at_most(f"share of pairs not from {level}", 0.001, [missed for (_, missed), _ in pairs]),
            never("failed requests", [mine.failed + other.failed for (mine, _), other in pairs]),
        ],
    )


def _all_from(level: str, bench: Bench) -> tuple[Throughput, float]:
    """With everything on this level of the cache, and the share of pairs that did not come from there."""
    with ExitStack() as stack:
        flags: tuple[str, ...] = ()
        if level == "redis":
            flags = "--cache-pairs", "0", "--redis-url", stack.enter_context(Redis(bench.logs)).url
        ours = stack.enter_context(service(bench.logs, *flags))
        closed_loop.fill(ours.url)
        before, total = ours.metric(HITS % level), ours.metric(HITS.split("{")[0])
        mine = cached(ours, bench, fill=False)
        share = (ours.metric(HITS % level) - before) / (ours.metric(HITS.split("{")[0]) - total)
    return mine, round(1 - share, 4)


def miss(bench: Bench) -> Outcome:
    """Uncached throughput, with Redis, where nothing is found and all is written / without."""

    def beside_redis() -> Throughput:
        with Redis(bench.logs) as beside:
            return _uncached(bench, "--redis-url", beside.url)

    pairs = [in_turn(number, beside_redis, lambda: _uncached(bench)) for number in range(bench.repeats)]
    return Outcome(
        [{"on": asdict(on), "off": asdict(off)} for on, off in pairs],
        [
            at_least("requests/s, Redis on / off", 0.95, [on.per_second / off.per_second for on, off in pairs]),
            never("failed requests", [on.failed + off.failed for on, off in pairs]),
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
                found["cached"] = asdict(cached(ours, bench, fill=False))
                memory_mb = {what: ours.memory_mb(what) for what in ("Rss", "Pss")}
            runs.append({"workers": count, **found, "memory_mb": memory_mb})
    return Outcome(runs)

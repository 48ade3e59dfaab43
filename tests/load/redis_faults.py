"""Redis breaks in five ways under a steady load, and comes back: what do callers notice, and for how long?

The load: three tenths of the requests that the service can score, even without Redis, three new queries to one that
Redis knows, no cache in the process. Redis is well, then broken, then well for `bench.seconds` (8 at most) each. Looked
at: answers that are not 200, the 99th percentile while it is broken less that of before, whether /metrics said so, and
the time from its return until what is known to Redis is found there again, and what is new is written again and found.
A run without any Redis stands beside them: what Redis would have known costs the model's time, fault or no fault.
"""

import asyncio
import importlib
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import closed_loop
import open_loop
import uvloop
from measurement import Bench, Outcome, Target, at_most, never
from open_loop import Plan, Run, drive, percentiles
from ratios import uncached
from redis_server import Redis
from servers import ROOT, Server, service
from traffic import ATTRIBUTES, fresh_seed, new, steady

LOAD = 0.3
MOST_S = 8.0
CACHE_TIMEOUT_MS = 50
PROBE_S = 0.2
DEGRADED = "ranker_cache_degraded"


@dataclass(frozen=True, slots=True)
class Fault:
    """How to break a Redis, and how to mend it; either may block for some milliseconds."""

    name: str
    cause: Callable[[], object]
    mend: Callable[[], object]


def redis_faults(bench: Bench) -> Outcome:
    """Redis killed, stopped, full, talking rubbish and slow, in turn, under a steady load."""
    names = ("killed", "stopped", "full", *(("garbage", "slow") if fault_proxy() else ()))
    rate, control = _without_redis(bench)
    runs = [_run(name, bench, rate) for _ in range(bench.repeats) for name in names]
    targets = [target for name in names for target in _targets(name, [run for run in runs if run["fault"] == name])]
    note = "" if fault_proxy() else "not measured: garbage and slow, which want tests/redis_topologies.py"
    return Outcome([control, *runs], targets, note)


def _targets(name: str, runs: Sequence[dict[str, Any]]) -> list[Target]:
    """What is asked of the repetitions of one fault."""
    return [
        never(f"{name}: errors", [run["errors"] for run in runs]),
        at_most(f"{name}: added 99th percentile, ms", CACHE_TIMEOUT_MS, [run["added_p99_ms"] for run in runs]),
        never(f"{name}: not told as degraded", [float(not run["told"]) for run in runs]),
        at_most(f"{name}: seconds until what is known is found again", 5, [run["found_again_s"] for run in runs]),
        at_most(f"{name}: seconds until what is new is kept again", 5, [run["kept_again_s"] for run in runs]),
    ]


def fault_proxy() -> Any:
    """The proxy that the tests put before Redis, or None in a checkout without it."""
    sys.path.append(str(ROOT / "tests"))
    try:
        return importlib.import_module("redis_topologies").FaultProxy
    except ImportError:
        return None
    finally:
        sys.path.pop()


def _without_redis(bench: Bench) -> tuple[float, dict[str, Any]]:
    """The rate of the load, and what it is like where there is no Redis at all."""
    with service(bench.logs, "--cache-pairs", "0") as ours:
        rate = round(LOAD * uncached(ours, bench).per_second, 1)
        found = open_loop.run(ours.url, steady(fresh_seed()), Plan(rate, min(MOST_S, bench.seconds))).result()
    return rate, {"fault": "no Redis at all", "rate": rate, **asdict(found)}


def _run(name: str, bench: Bench, rate: float) -> dict[str, Any]:
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(bench.logs))
        url, fault = _fault(name, redis, stack)
        ours = stack.enter_context(service(bench.logs, "--cache-pairs", "0", "--redis-url", url))
        closed_loop.fill(ours.url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_under_load(ours, fault, rate, min(MOST_S, bench.seconds)))


def _fault(name: str, redis: Redis, stack: ExitStack) -> tuple[str, Fault]:
    """The URL that the service is given, and the fault."""
    if name in ("garbage", "slow"):
        proxy = stack.enter_context(fault_proxy()(("127.0.0.1", redis.port)))
        proxy.delay = 1.0
        return proxy.url, Fault(name, lambda: setattr(proxy, "mode", name), lambda: setattr(proxy, "mode", "pass"))
    faults = (
        Fault("killed", redis.kill, redis.start),
        Fault("stopped", lambda: redis.signal(signal.SIGSTOP), lambda: redis.signal(signal.SIGCONT)),
        Fault("full", lambda: redis.ask("CONFIG SET maxmemory 1"), lambda: redis.ask("CONFIG SET maxmemory 0")),
    )
    return redis.url, next(fault for fault in faults if fault.name == name)


async def _under_load(ours: Server, fault: Fault, rate: float, seconds: float) -> dict[str, Any]:
    seed = fresh_seed()
    load = asyncio.create_task(drive(ours.url, steady(seed), Plan(rate, 3 * seconds)))
    begun = perf_counter()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(fault.cause)
    told = []
    while perf_counter() < begun + 2 * seconds:
        told.append(await asyncio.to_thread(ours.metric, DEGRADED))
        await asyncio.sleep(PROBE_S)
    await asyncio.to_thread(fault.mend)
    mended = perf_counter()
    kept_again = await asyncio.to_thread(_kept_again, ours, new(seed + 1), mended + seconds + 10)
    found = await load
    return {
        "fault": fault.name,
        "told": any(told),
        "told_at_the_end": bool(await asyncio.to_thread(ours.metric, DEGRADED)),
        "kept_again_s": kept_again and round(kept_again - mended, 2),
        **_phases(found, begun + seconds, begun + 2 * seconds, mended),
    }


def _phases(found: Run, broken: float, mending: float, mended: float) -> dict[str, Any]:
    ok = [exchange for exchange in found.exchanges if exchange.status == 200]
    before = percentiles(e.done - e.intended for e in ok if e.intended < broken)
    during = percentiles(e.done - e.intended for e in ok if broken <= e.intended < mending)
    again = [e.done - mended for e in ok if e.sent >= mended and e.hits == len(ATTRIBUTES)]
    return {
        "statuses": found.result().statuses,
        "errors": found.arrived - len(ok),
        "before_p99_ms": before and before.p99,
        "during_p99_ms": during and during.p99,
        "added_p99_ms": round(during.p99 - before.p99, 1) if before and during else None,
        "found_again_s": round(min(again), 2) if again else None,
    }


def _kept_again(ours: Server, bodies: Iterator[bytes], deadline: float) -> float | None:
    """When a query never sent before was first answered from the cache a moment later; None if not in time."""
    while perf_counter() < deadline:
        body = next(bodies)
        _hits(ours, body)
        time.sleep(PROBE_S)
        if _hits(ours, body) == len(ATTRIBUTES):
            return perf_counter()
    return None


def _hits(ours: Server, body: bytes) -> int:
    request = urllib.request.Request(f"{ours.url}/v1/weights", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(json.load(answer)["cache"]["hits"])
    except (urllib.error.URLError, OSError):
        return -1

"""Twice as many requests as the service can answer: does it go on answering as many as it could, and in time?

Saturation is what wrk gets with 8 connections. Then, in an open loop with a deadline in each request: goodput at rates
below and about saturation, whose best is the peak, and at twice saturation. Each rate is run twice, on the way up and
on the way down: the best of single runs would be the luckiest. Those refused (503) should know it at once.
"""

import statistics
import time
from dataclasses import asdict
from typing import Any

import open_loop
from measurement import Bench, Outcome, at_least, at_most, never
from open_loop import Plan, Result
from ratios import uncached
from servers import Server, service
from traffic import fresh_seed, new

TIMEOUT_MS = 500
SHARES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
TWICE = 2.0


def overload(bench: Bench) -> Outcome:
    """Uncached, open loop, 500 ms: goodput at twice saturation / the best goodput at 0.6 to 1.1 of saturation."""
    runs = [_sweep(bench) for _ in range(bench.repeats)]
    twice = [rate for run in runs for rate in run["rates"] if rate["share"] == TWICE]
    goodput = [run["goodput_ratio"] for run in runs]
    late = [sum(rate["late"] for rate in run["rates"]) for run in runs]
    broken = [sum(rate["unsent"] + rate["unanswered"] + rate["odd"] for rate in run["rates"]) for run in runs]
    return Outcome(
        runs,
        [
            at_least("goodput at twice saturation / peak", 0.90, goodput),
            at_most("99th percentile of refusals, ms", 10, [t["refused_ms"] and t["refused_ms"]["p99"] for t in twice]),
            never("200s after their deadline", late),
            at_most(
                "share that learned too late that there is no answer (504)", 0.05, [_share(t, "504") for t in twice]
            ),
            never("unsent, unanswered, or neither 200, 503 nor 504", broken),
        ],
    )


def _share(rate: dict[str, Any], status: str) -> float:
    return round(rate["statuses"].get(status, 0) / max(1, sum(rate["statuses"].values())), 4)


def _sweep(bench: Bench) -> dict[str, Any]:
    with service(bench.logs) as ours:
        saturation = uncached(ours, bench).per_second
        rates = [_at(ours, share, saturation, bench) for share in (*SHARES, TWICE, TWICE, *reversed(SHARES))]
    each = {share: [rate["goodput"] for rate in rates if rate["share"] == share] for share in (*SHARES, TWICE)}
    goodput = {share: statistics.mean(found) for share, found in each.items()}
    peak = max(goodput[share] for share in SHARES)
    ratio = goodput[TWICE] / peak if peak else None
    return {"saturation": saturation, "peak": peak, "goodput_ratio": ratio, "rates": rates}


def _at(ours: Server, share: float, saturation: float, bench: Bench) -> dict[str, Any]:
    settle = min(1.0, bench.seconds / 4)
    plan = Plan(share * saturation, bench.seconds, timeout_ms=TIMEOUT_MS, outstanding=2000, settle=settle)
    found: Result = open_loop.run(ours.url, new(fresh_seed()), plan).result()
    time.sleep(1)  # whatever is still queued is gone
    odd = sum(found.statuses.values()) - sum(found.statuses.get(status, 0) for status in ("200", "503", "504"))
    return {"share": share, "rate": round(plan.rate, 1), "odd": odd, **asdict(found)}

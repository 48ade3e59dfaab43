"""An open loop: requests arrive at a rate, whether or not the server keeps up, as they do from people.

    python tests/load/open_loop.py http://127.0.0.1:8000 --rate 300 --seconds 10 --timeout-ms 500

Each request has an intended time, drawn before the run begins to wait for anything. Its latency is counted from there,
so a server that stalls is charged for every request that came meanwhile, not only for the one it had in hand. A request
that finds `outstanding` others unanswered is not sent: it is counted as unsent. With a timeout each request carries
`X-Request-Timeout-Ms`. Prints one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
import uvloop
from connections import Exchange, Pool
from traffic import TRAFFIC, fresh_seed

PATH = "/v1/weights"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `rate` a second for `seconds`, `count` at most, no more than `outstanding` unanswered at once.

    `even` spaces arrivals evenly; otherwise they are a Poisson process. After the last, answers are waited for up to
    `grace` seconds. What happens in the first `settle` seconds does not count towards the goodput.
    """

    rate: float
    seconds: float
    timeout_ms: int | None = None
    even: bool = False
    count: int = 1_000_000
    outstanding: int = 512
    grace: float = 10.0
    settle: float = 0.0
    seed: int = 7

    def arrivals(self) -> Iterator[float]:
        """Seconds from the beginning at which requests are due."""
        draw = random.Random(self.seed)
        gaps = itertools.repeat(1 / self.rate) if self.even else iter(lambda: draw.expovariate(self.rate), None)
        return itertools.takewhile(
            lambda due: due < self.seconds, itertools.islice(itertools.accumulate(gaps), self.count)
        )


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of times in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    most: float


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the arrivals. Latencies count from the intended time.

    `statuses`: answers by status, "0" for broken connections. `goodput`: 200s within their timeout, counted from the
    intended time, that came back between `settle` and `seconds`, a second. `late`: 200s answered more than the timeout
    after they were sent, which the server promises never to do. `lag`: how late the generator itself sent.
    """

    arrived: int
    sent: int
    unsent: int
    unanswered: int
    resent: int
    statuses: dict[str, int]
    goodput: float
    late: int
    ok_ms: Percentiles | None
    refused_ms: Percentiles | None
    lag_ms: Percentiles | None


@dataclass(frozen=True, slots=True)
class Run:
    """Every exchange of a run, and what never became one."""

    plan: Plan
    begun: float
    exchanges: list[Exchange]
    arrived: int
    unsent: int
    resent: int

    def result(self) -> Result:
        """The numbers of the whole run."""
        timeout = (self.plan.timeout_ms or 1e9) / 1000
        ok = [exchange for exchange in self.exchanges if exchange.status == 200]
        window = self.begun + self.plan.settle, self.begun + self.plan.seconds
        good = sum(window[0] <= e.done < window[1] and e.done - e.intended <= timeout for e in ok)
        sent = self.arrived - self.unsent
        return Result(
            arrived=self.arrived,
            sent=sent,
            unsent=self.unsent,
            unanswered=sent - len(self.exchanges),
            resent=self.resent,
            statuses=dict(sorted(Counter(str(e.status) for e in self.exchanges).items())),
            goodput=round(good / (window[1] - window[0]), 2),
            late=sum(e.done - e.sent > timeout for e in ok),
            ok_ms=percentiles(e.done - e.intended for e in ok),
            refused_ms=percentiles(e.done - e.intended for e in self.exchanges if e.status == 503),
            lag_ms=percentiles(e.sent - e.intended for e in self.exchanges),
        )


def percentiles(seconds: Iterable[float]) -> Percentiles | None:
    """Of some times in seconds; None of none."""
    times = np.fromiter(seconds, float)
    if not len(times):
        return None
    found = np.quantile(times, (0.5, 0.9, 0.99, 0.999, 1)) * 1000
    return Percentiles(len(times), *(round(float(value), 3) for value in found))


async def drive(url: str, bodies: Iterator[bytes], plan: Plan) -> Run:
    """Send what the plan says to `url`, and wait for the answers."""
    exchanges: list[Exchange] = []
    pool = Pool(url + PATH, most=plan.outstanding, answered=exchanges.append, timeout_ms=plan.timeout_ms)
    begun, arrived, unsent = perf_counter(), 0, 0
    try:
        for due in plan.arrivals():
            arrived += 1
            ahead = begun + due - perf_counter()
            if ahead > 0 or arrived % 16 == 0:  # when behind, answers are still read now and then
                await asyncio.sleep(ahead)
            unsent += not pool.send(next(bodies), Exchange(begun + due))
        end = perf_counter() + plan.grace
        while pool.outstanding and perf_counter() < end:
            await asyncio.sleep(0.005)
    finally:
        await pool.close()
    return Run(plan, begun, exchanges, arrived, unsent, pool.resent)


def run(url: str, bodies: Iterator[bytes], plan: Plan) -> Run:
    """`drive` in a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive(url, bodies, plan))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--timeout-ms", type=int)
    parser.add_argument("--outstanding", type=int, default=512)
    parser.add_argument("--settle", type=float, default=1)
    parser.add_argument("--even", action="store_true", help="even spacing instead of Poisson arrivals")
    parser.add_argument("--traffic", choices=TRAFFIC, default="new")
    parser.add_argument("--seed", type=int, help="of the traffic; by default one never used before")
    given = vars(parser.parse_args(arguments))
    url, traffic, seed = given.pop("url").rstrip("/"), given.pop("traffic"), given.pop("seed")
    plan = Plan(**given)
    print(
        json.dumps(asdict(run(url, TRAFFIC[traffic](fresh_seed() if seed is None else seed), plan).result()), indent=1)
    )


if __name__ == "__main__":
    main()

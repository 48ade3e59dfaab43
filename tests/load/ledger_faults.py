"""Events under fire: is any lost, is any counted twice?

    python tests/load/ledger_faults.py [--events 50000] [--out ledger.json]

A service that takes events and folds none, a Redis that writes everything to disk before it answers, and consumers
(`python -m service fold`) of which 20 are killed at random while they fold; Redis itself is killed and started again in
the middle. Events are sent at 5,000 a second in batches of 100; a batch that is not answered with 202 is sent again.
The sender keeps a ledger of its own. At the end it is held against what Redis has: for each place of a list the choices
counted as evidence, and in the log each event by its id.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import redis
from redis_server import Redis
from servers import ROOT, Server, environment, service

from service.evidence import decode

RATE, TOGETHER = 5_000, 100
KILLS, LIFE_S = 20, (0.05, 0.8)
"""Consumers that are killed, so long after they begin to fold."""
QUERIES, HITS = 50, 10
DRAIN_S = 600
KEY = "{ranker:feedback}:"
FOREVER = ("--feedback-short-s", "1000000000", "--feedback-long-s", "1000000000")
"""Half-lives in which nothing fades, so that sums are counts."""


def batches(events: int) -> list[list[dict[str, Any]]]:
    """Clicks on products that were shown, each by a client of its own and with an id."""
    now = round(time.time() * 1000)
    made = [
        {
            "action_name": "click",
            "timestamp": now,
            "query_id": f"query-{number % QUERIES}",
            "client_id": f"client-{number}",
            "event_attributes": {"object": {"object_id": f"hit-{random.randrange(HITS)}"}},
            "event_id": number,
        }
        for number in range(events)
    ]
    return [made[first : first + TOGETHER] for first in range(0, events, TOGETHER)]


def queries() -> list[dict[str, Any]]:
    """What was shown for the clicks."""
    hits = [f"hit-{number}" for number in range(HITS)]
    return [
        {"user_query": f"rug {n}", "query_id": f"query-{n}", "query_response_hit_ids": hits} for n in range(QUERIES)
    ]


class Sender:
    """Sends batches at a rate, each until it is taken, and counts the answers."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/events"
        self.statuses: Counter[int] = Counter()
        self.accepted = self.duplicate = self.taken = 0

    async def send(self, of: Sequence[list[dict[str, Any]]]) -> float:
        """All of them; how many events a second were taken, from the first sent to the last answered."""
        contents = [json.dumps(batch).encode() for batch in of]
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(timeout=10, limits=limits) as client, asyncio.TaskGroup() as tasks:
            begun = time.perf_counter()
            for number, content in enumerate(contents):
                await asyncio.sleep(max(0.0, begun + number * TOGETHER / RATE - time.perf_counter()))
                tasks.create_task(self._send(client, content))
        return sum(map(len, of)) / (time.perf_counter() - begun)

    async def _send(self, client: httpx.AsyncClient, content: bytes) -> None:
        while True:
            with suppress(httpx.TransportError):
                answer = await client.post(self._url, content=content, headers={"content-type": "application/json"})
                self.statuses[answer.status_code] += 1
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    told = answer.json()
                    self.accepted += told["accepted"]
                    self.duplicate += told["duplicate"]
                    self.taken += 1
                    return
            await asyncio.sleep(0.2)


@contextmanager
def consumer(logs: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """A consumer that has begun to fold, over when the block is."""
    command = [sys.executable, "-m", "service", "fold", "--redis-url", url, *FOREVER, "--feedback-kept", "10000000"]
    path = logs / "fold.log"
    with path.open("a") as sink, path.open() as log:
        log.seek(0, 2)
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=sink, text=True)
        try:
            while "folding events" not in log.read():
                assert process.poll() is None, "the consumer has ended; fold.log may say why"
                time.sleep(0.01)
            yield process
        finally:
            process.kill()
            process.wait(10)


async def under_fire(ours: Server, kept: Redis, logs: Path, sent: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """Send, kill, wait until all is folded; what came of it."""
    sender = Sender(ours.url)
    await sender.send([queries()])
    sending = asyncio.create_task(sender.send(sent))
    killing = asyncio.create_task(asyncio.to_thread(kill_consumers, kept, logs))
    await asyncio.sleep(random.uniform(0.2, 0.8) * sum(map(len, sent)) / RATE)
    await asyncio.to_thread(kept.kill)
    await asyncio.to_thread(kept.start)
    rate = await sending
    killed_with = await killing
    begun = time.perf_counter()
    left = await asyncio.to_thread(drain, kept, logs)
    return {
        "events": sum(map(len, sent)),
        "events a second": round(rate),
        "statuses": dict(sender.statuses),
        "accepted": sender.accepted,
        "duplicate": sender.duplicate,
        "kills": len(killed_with),
        "kills with entries in hand": sum(pending > 0 for pending in killed_with),
        "drained after, s": round(time.perf_counter() - begun, 1),
        "left": left,
        **compared(kept, sent),
    }


def kill_consumers(kept: Redis, logs: Path) -> list[int]:
    """Kill one after the other while they fold; for each how many entries it had in hand."""
    left = []
    for _ in range(KILLS):
        with consumer(logs, kept.url) as process:
            time.sleep(random.uniform(*LIFE_S))
            process.kill()
            process.wait(10)
            left.append(in_hand(kept, process.pid))
    return left


def in_hand(kept: Redis, pid: int) -> int:
    """Entries that wait for a consumer of this process; -1 where Redis is away."""
    try:
        with redis.Redis(port=kept.port, socket_timeout=5) as client:
            told: Any = client.xinfo_consumers(f"{KEY}queue", "fold")
    except redis.RedisError:
        return -1
    return sum(int(each["pending"]) for each in told if f":{pid}:" in each["name"].decode())


def drain(kept: Redis, logs: Path) -> int:
    """Fold what is left, entries of the dead among it; how many are left in the end."""
    deadline = time.monotonic() + DRAIN_S
    with consumer(logs, kept.url), redis.Redis(port=kept.port, socket_timeout=5) as client:
        while client.xlen(f"{KEY}queue") and time.monotonic() < deadline:
            time.sleep(0.2)
        return int(client.xlen(f"{KEY}queue"))


def compared(kept: Redis, sent: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """The sender's ledger against evidence and log."""
    events = [event for batch in sent for event in batch]
    places = Counter(int(event["event_attributes"]["object"]["object_id"].split("-")[1]) + 1 for event in events)
    with redis.Redis(port=kept.port, socket_timeout=30) as client:
        found: Any = client.hgetall(f"{KEY}positions")
        logged: Any = client.xrange(f"{KEY}log")
    counted = {place: decode(found.get(b"p:%d" % place, bytes(40))).chosen_long for place in places}
    ids = Counter(json.loads(entry[b"e"]).get("event_id") for _, entry in logged)
    return {
        "evidence lost": round(sum(max(0.0, places[place] - counted[place]) for place in places), 1),
        "evidence doubled": round(sum(max(0.0, counted[place] - places[place]) for place in places), 1),
        "log lost": sum(event["event_id"] not in ids for event in events),
        "log doubled": sum(max(0, ids[event["event_id"]] - 1) for event in events),
    }


def main() -> None:
    """Read the command line, measure, tell; the exit status says whether any was lost or doubled."""
    parser = argparse.ArgumentParser(description="Events while consumers and Redis are killed: none lost, none twice.")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as folder, Redis(logs := Path(folder), durable=True) as kept:
        flags = ["--feedback", "--no-fold", "--feedback-key", "a key", "--feedback-waiting", "10000000"]
        with service(logs, *flags, "--redis-url", kept.url, "--threads", "1") as ours:
            found = asyncio.run(under_fire(ours, kept, logs, batches(given.events)))
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    wrong = ("left", "evidence lost", "evidence doubled", "log lost", "log doubled")
    sys.exit(any(found[name] for name in wrong))


if __name__ == "__main__":
    main()

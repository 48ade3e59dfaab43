"""Consumers that are killed while they fold, a few of them: `tests/load/ledger_faults.py` does it at full size."""

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import run
from test_ledgers import LIMITS

sys.path.append(str(Path(__file__).parent / "load"))

from ledger_faults import batches, compared, consumer, in_hand, queries
from redis_server import Redis

from service.cache.connection import connect
from service.cache.ledger import RedisLedger
from service.cache.redis import RedisCache
from service.evidence import HalfLives
from service.feedback import shown
from service.feedback.folding import Folder
from service.feedback.intake import Intake
from service.feedback.ledger import Ledger
from service.feedback.ubi import Rules
from service.telemetry import Telemetry

KILLS, MOST_EVENTS, FOREVER = 3, 20_000, HalfLives(1e9, 1e9)
KEPT = LIMITS._replace(half_lives=FOREVER, waiting=MOST_EVENTS, kept=MOST_EVENTS, ttl_s=1e6)
RULES = Rules(b"secret", 60, 60)
Batches = list[list[dict[str, Any]]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Ledger]:
    """The ledger of the consumers, which waits for none that is silent."""
    client, telemetry = connect(url), Telemetry()
    async with RedisCache(client, telemetry, prefix="ranker", timeout=1.0, ttl_s=60) as cache:
        yield RedisLedger(client, cache, KEPT, telemetry, prefix="ranker", silent_s=0)


async def put_down_queries(url: str) -> None:
    async with opened(url) as ledger:
        await Intake(ledger, Telemetry(), RULES).take(queries())
        while None in await ledger.shown([shown.key(each["query_id"], products=True) for each in queries()]):
            continue


async def put_down(url: str, batch: list[dict[str, Any]]) -> None:
    async with opened(url) as ledger:
        assert (await Intake(ledger, Telemetry(), RULES).take(batch)).accepted == len(batch)


async def fold_the_rest(url: str) -> None:
    async with opened(url) as ledger:
        folder = Folder(ledger, Telemetry(), FOREVER, consumer="the last")
        while await folder.fold():
            continue


def killed(kept: Redis, logs: Path, coming: Iterator[list[dict[str, Any]]]) -> Batches:
    """Put down what comes until a consumer has some of it in hand, and kill it then; what was put down."""
    sent: Batches = []
    with consumer(logs, kept.url) as process:
        for batch in coming:
            run(partial(put_down, kept.url, batch))
            sent.append(batch)
            process.send_signal(signal.SIGSTOP)
            if in_hand(kept, process.pid) > 0:
                return sent
            process.send_signal(signal.SIGCONT)
    raise AssertionError("no consumer had an event in hand")


@pytest.mark.slow  # processes start one after the other
def test_of_events_whose_consumers_are_killed_none_is_lost_and_none_counts_twice(tmp_path: Path) -> None:
    coming = iter(batches(MOST_EVENTS))
    with Redis(tmp_path) as kept:
        run(lambda: put_down_queries(kept.url))
        sent = [batch for _ in range(KILLS) for batch in killed(kept, tmp_path, coming)]
        run(lambda: fold_the_rest(kept.url))
        assert set(compared(kept, sent).values()) == {0}

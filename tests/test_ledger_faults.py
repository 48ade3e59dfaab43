"""Consumers that are killed while they fold, a few of them: `tests/load/ledger_faults.py` does it at full size."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import run, wait_until
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

KILLS, FOREVER = 3, HalfLives(1e9, 1e9)
KEPT = LIMITS._replace(half_lives=FOREVER, waiting=1000, kept=1000, ttl_s=1e6)
Batches = list[list[dict[str, Any]]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Ledger]:
    """The ledger of the consumers, which waits for none that is silent."""
    client, telemetry = connect(url), Telemetry()
    async with RedisCache(client, telemetry, prefix="ranker", timeout=1.0, ttl_s=60) as cache:
        yield RedisLedger(client, cache, KEPT, telemetry, prefix="ranker", silent_s=0)


async def put_down(url: str, sent: Batches) -> None:
    async with opened(url) as ledger:
        intake = Intake(ledger, Telemetry(), Rules(b"secret", 60, 60))
        await intake.take(queries())
        while None in await ledger.shown([shown.key(each["query_id"], products=True) for each in queries()]):
            continue
        for batch in sent:
            assert (await intake.take(batch)).accepted == len(batch)


async def fold_the_rest(url: str) -> None:
    async with opened(url) as ledger:
        folder = Folder(ledger, Telemetry(), FOREVER, consumer="the last")
        while await folder.fold():
            continue


def killed(kept: Redis, logs: Path) -> int:
    """How many events a consumer had in hand when it was killed while it folded."""
    with consumer(logs, kept.url) as process:
        wait_until(lambda: in_hand(kept, process.pid) > 0)
        process.kill()
        process.wait(10)
        return in_hand(kept, process.pid)


@pytest.mark.slow  # processes start one after the other
def test_of_events_whose_consumers_are_killed_none_is_lost_and_none_counts_twice(tmp_path: Path) -> None:
    sent = batches(500)
    with Redis(tmp_path) as kept:
        run(lambda: put_down(kept.url, sent))
        left = [killed(kept, tmp_path) for _ in range(KILLS)]
        assert sum(left) > 0
        run(lambda: fold_the_rest(kept.url))
        assert set(compared(kept, sent).values()) == {0}

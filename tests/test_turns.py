"""Long work lets others be heard, and ends with its deadline."""

import asyncio
import math
import time

import pytest
from fakes import Bystander

from service import turns
from service.errors import DeadlineExceeded
from service.turns import Turns


def heard(rests: int) -> int:
    """How often another task goes on while work rests so often."""

    async def run() -> int:
        work = Turns()
        async with Bystander() as other:
            for _ in range(rests):
                await work.rest()
            return other.heard

    return asyncio.run(run())


def test_work_rests_when_its_turn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    assert heard(50) >= 49


def test_work_does_not_rest_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", math.inf)
    assert heard(50) == 0


def test_work_ends_with_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    with pytest.raises(DeadlineExceeded, match="not done within the request's time"):
        asyncio.run(Turns(time.monotonic() - 1).rest())

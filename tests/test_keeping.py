"""What is kept where, by the settings."""

import asyncio

from service.feedback.ledger import Entry, Folded
from service.keeping import ledger_of
from service.settings import Settings
from service.telemetry import Telemetry


def test_in_process_there_is_no_log_for_nobody_could_read_it() -> None:
    async def work() -> None:
        async with ledger_of(None, None, Settings(feedback=True), Telemetry()) as ledger:
            await ledger.append([Entry(b"0" * 16, "client", "", b"{}")])
            (waiting,) = await ledger.waiting("a", 10)
            assert await ledger.fold("a", [Folded(waiting.id, "", "", {}, event=b"noted", query=b"rug")]) == ["folded"]
            assert await ledger.logged("", 10) == []

    asyncio.run(work())

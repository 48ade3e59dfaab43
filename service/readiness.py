"""Whether the service can answer: a forward pass that succeeded lately, or one that succeeds now.

Knows: when the model last answered. Does not know: HTTP; Redis plays no part.
"""

import asyncio
import time

from service.batching import Batcher
from service.errors import NotReady, RankerError
from service.model import probe_row

LATELY_S = 10.0
PROBE_TIMEOUT_S = 2.0


class Readiness:
    """Checks a batcher and what is behind it."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def check(self) -> None:
        """Return when the model answers. Raises NotReady, with the reason, when it does not."""
        if time.monotonic() - self._batcher.last_success < LATELY_S:
            return
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._batcher.score([probe_row()])
        except TimeoutError as error:
            raise NotReady(f"the model gave no answer within {PROBE_TIMEOUT_S:g} s") from error
        except RankerError as error:
            raise NotReady(f"not ready: {error}") from error

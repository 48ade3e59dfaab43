"""Rules that came by call, as all processes share them: one hash in Redis, which does not expire.

    {<prefix>:feedback}:rules  →  {the rule's id: the rule as JSON}

Knows: the commands, their time. Does not know: what a rule is, who reads it when.
"""

import asyncio

from service.cache.connection import Client, Command
from service.cache.redis import FAULTS
from service.errors import LedgerAway

TIMEOUT_S = 1.0


class RedisRules:
    """Reads and writes that hash. Every method raises LedgerAway where Redis does not answer as it should in time."""

    def __init__(self, client: Client, *, prefix: str) -> None:
        self._client, self._key = client, f"{{{prefix}:feedback}}:rules".encode()

    async def read(self) -> dict[str, bytes]:
        """All that is kept, by id."""
        found = await self._answer(("HGETALL", self._key))
        try:
            if isinstance(found, dict):  # as version 3 of the protocol answers
                return {key.decode(): content for key, content in found.items()}
            return {key.decode(): content for key, content in zip(found[::2], found[1::2], strict=True)}  # type: ignore[index]
        except FAULTS as error:
            raise LedgerAway("Redis holds something else where the rules should be") from error

    async def put(self, rule_id: str, content: bytes) -> None:
        """Keep a rule, in place of one with this id."""
        await self._answer(("HSET", self._key, rule_id, content))

    async def drop(self, rule_id: str) -> None:
        """Keep it no longer."""
        await self._answer(("HDEL", self._key, rule_id))

    async def _answer(self, command: Command) -> object:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                (reply,) = await self._client.run([command])
        except FAULTS as error:
            raise LedgerAway(
                "Redis, where rules are kept, gave no answer; a change may be lost, send it again"
            ) from error
        if isinstance(reply, Exception):
            raise LedgerAway("Redis, where rules are kept, could not do it; nothing has changed") from reply
        return reply

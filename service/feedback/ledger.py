"""What feedback needs of the place where it is kept: one in process, one in Redis.

Knows: what can be asked of it and what must hold. Does not know: how it is kept.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from service.evidence import Observed

Fields = Mapping[bytes, Observed]
"""Evidence of one key by field, see `fields.py`."""


class Entry(NamedTuple):
    """An event to be put down. `once` is what it must differ in from all others of the window (16 bytes), `client` and
    `user` are keyed hashes ("" where unknown), `content` is the event itself as JSON, ids hashed.
    """

    once: bytes
    client: str
    user: str
    content: bytes


class Pending(NamedTuple):
    """An entry that waits to be folded, by its id in the queue."""

    id: str
    user: str
    client: str
    content: bytes


class Folded(NamedTuple):
    """What an entry adds: evidence by key and field. `capped` names what its client may add to only so often ("" is
    not capped).
    """

    id: str
    user: str
    capped: str
    additions: Mapping[str, Fields]


class Ledger(Protocol):
    """Where events wait, evidence adds up and what was shown is known for a while.

    Whatever is killed at whatever moment: an entry that was taken is folded once. Methods raise LedgerAway where it
    cannot be reached in time.
    """

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Put entries down; for each whether it is new in its window. Raises Overloaded when too many wait."""
        ...

    async def waiting(self, consumer: str, most: int) -> list[Pending]:
        """Entries for this consumer, those of consumers that are silent for long among them; none if none waits."""
        ...

    async def fold(self, consumer: str, folded: Sequence[Folded]) -> int:
        """Add what the entries say and take them out of the queue, all at once; how many were still this consumer's.

        An entry that is another's by now, or deleted, adds nothing. One whose client has added to `capped` too often
        is taken out and adds nothing.
        """
        ...

    def show(self, query_id: str, content: bytes) -> None:
        """Have it known what was shown for an answer, for a while; dropped and counted when too many wait."""
        ...

    async def shown(self, query_ids: Sequence[str]) -> list[bytes | None]:
        """What was shown for each, where it is still known."""
        ...

    async def evidence(self, keys: Sequence[str]) -> list[Fields]:
        """The evidence under each key, none where there is none."""
        ...

    async def forget(self, key: str) -> bool:
        """Delete the evidence under a key; whether there was any."""
        ...

    async def forget_user(self, user: str) -> bool:
        """Delete a person's evidence and every entry of theirs, waiting or kept; whether there was any."""
        ...

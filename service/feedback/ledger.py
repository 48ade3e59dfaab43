"""What feedback needs of the place where it is kept: one in process, one in Redis.

Knows: what can be asked of it and what must hold. Does not know: how it is kept.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from service.evidence import HalfLives, Observed

Fields = Mapping[bytes, Observed]
"""Evidence of one key by field, see `keys.py`."""
Outcome = Literal["folded", "capped", "gone"]
"""What became of an entry: its evidence was added; its client had added too often; it was another's, or deleted."""

MOST_FIELDS = 512
"""Of one key. Where there are more, those with the least expectation go until `FIELDS_LEFT` are left, so that new ones
have a chance and the keys need not be looked through each time."""
FIELDS_LEFT = 448
LEAST_SUM = 1e-6
"""Where all sums of a field are less after something was taken off them, that is nothing but rounding."""
MOST_PEOPLE = 500
"""People whose profiles cohorts are made of."""
MOST_SEEN = 1_000_000
"""Events that are remembered for de-duplication: past so many within a window, those of the window before are forgotten
early."""
SILENT_S = 30.0
"""After so long without a word from its consumer an entry is given to another."""


class Limits(NamedTuple):
    """How much a ledger keeps, and for how long, in seconds.

    `waiting` and `kept` are entries of the queue and of the log, `cap` choices of one client for one scope in `cap_s`.
    """

    half_lives: HalfLives
    window_s: float
    waiting: int
    kept: int
    cap: int
    cap_s: float
    ttl_s: float
    shown_s: float


class Entry(NamedTuple):
    """An event to be put down. `once` is what it must differ in from all others of the window (16 bytes), `client` and
    `user` are keyed hashes ("" where unknown), `content` is the event itself as JSON, ids hashed.
    """

    once: bytes
    client: str
    user: str
    content: bytes


class Pending(NamedTuple):
    """An entry that waits to be folded, by its id in the queue, or one of the log, by its id there."""

    id: str
    user: str
    client: str
    content: bytes


class Folded(NamedTuple):
    """What an entry adds: evidence by key and field. `capped` names what its client may add to only so often ("" is
    not capped); `capped_keys` the same for single keys of the additions, by key. `scopes` are those of its keys that
    `take_back` may be asked for, the narrowest first, as in the additions; what the widest gets, the others get too.

    The log gets `event` in place of the entry's own content, where there is one, and before it `query`, where there is
    one and no other entry folded at once has brought the same.
    """

    id: str
    user: str
    capped: str
    additions: Mapping[str, Fields]
    capped_keys: Mapping[str, str] = {}
    scopes: Sequence[str] = ()
    event: bytes = b""
    query: bytes = b""


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

    async def fold(self, consumer: str, folded: Sequence[Folded]) -> list[Outcome]:
        """Add what the entries say and move them from the queue to the log, all at once.

        An entry that is another's by now, or deleted, adds nothing. One whose client has added to `capped` too often
        is taken out, adds nothing and is not in the log; to what `capped_keys` names it adds nothing there alone.
        """
        ...

    async def logged(self, after: str, most: int) -> list[Pending]:
        """What the log has behind the entry of this id ("" from its beginning), oldest first; none at its end."""
        ...

    def show(self, key: str, content: bytes) -> None:
        """Have it known for a while what an answer showed, see `shown.key`; dropped and counted when too many wait."""
        ...

    async def shown(self, keys: Sequence[str]) -> list[bytes | None]:
        """What was shown for each, where it is still known."""
        ...

    async def evidence(self, keys: Sequence[str], fields: Sequence[bytes] = ()) -> list[Fields]:
        """The evidence under each key, of these fields alone where some are named; none where there is none.

        It takes no longer than a read of the cache, with whose reads it goes out.
        """
        ...

    async def take_back(self, scope: str) -> set[str]:
        """Delete a scope's evidence and take what of it is in wider scopes off them, all at once, so that they are as
        without it; the scopes that may have changed by this, none where there was nothing.

        Narrower scopes keep their own, but are in this one and in the wider ones no more.
        """
        ...

    def profiles(self) -> AsyncIterator[Fields]:
        """The evidence of people, `MOST_PEOPLE` at most, those first whose choices were folded last."""
        ...

    async def keep_cohorts(self, content: bytes | None, ttl_s: float) -> None:
        """Keep cohorts for so long, in place of others; None for none."""
        ...

    async def cohorts(self) -> bytes | None:
        """The cohorts that are kept, if there are any."""
        ...

    async def claims(self, task: str, for_s: float) -> bool:
        """Whether a task is the caller's alone for so long: it is nobody else's, and was not within that time."""
        ...

    async def forget_user(self, user: str) -> bool:
        """Delete a person's evidence and every entry of theirs, waiting or kept; whether there was any."""
        ...

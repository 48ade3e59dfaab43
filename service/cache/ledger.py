"""The ledger in Redis, which processes share and which outlives them.

    {<prefix>:feedback}:queue           stream with the consumer group "fold": what is not folded yet
    {<prefix>:feedback}:log             stream of what was folded, the last so many
    {<prefix>:feedback}:seen:new, :old  sets of what was seen in this window and in the one before
    {<prefix>:feedback}:cap:<digest>    how often a client has added to something of late
    {<prefix>:feedback}:<key>           hash of evidence by field: `scope:…`, `user:…`, `positions…`
    {<prefix>:feedback}:people          set of the people whose choices were folded last, by when
    {<prefix>:feedback}:cohorts         what people of like taste like
    {<prefix>:feedback}:claim:<task>    there while a task is one process's alone
    {<prefix>:feedback}:parts:<key>     hash of what a scope has in which wider ones, by both and field
    {<prefix>:feedback}:taken           hash of how often scopes were taken back, by key
    <prefix>:shown:<key>                what was shown, each in a slot of its own, for there are many

All in braces is on one node of a cluster, for each step is one script there. What is deleted from a stream no command
but DUMP shows any more; its bytes go when the part of the stream that they are in does.

Knows: keys, scripts, what a fault means. Does not know: where Redis is, what events say.
"""

import asyncio
import logging
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from service.background import Repeated
from service.cache import scripts
from service.cache.breaker import Breaker
from service.cache.connection import Client, Command
from service.cache.redis import FAILURES, FAULTS, PAUSE_S, RedisCache
from service.errors import LedgerAway, Overloaded
from service.evidence import Observed, decode, encode
from service.feedback.keys import parts_key, user_key
from service.feedback.ledger import (
    FIELDS_LEFT,
    LEAST_SUM,
    MOST_FIELDS,
    MOST_PEOPLE,
    MOST_SEEN,
    SILENT_S,
    Entry,
    Fields,
    Folded,
    Limits,
    Outcome,
    Pending,
)
from service.telemetry import Telemetry

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""For one step, connecting included."""
AT_ONCE = 8
"""Steps under way in one process; others wait for them, in the same time."""
PAGE = 500
"""Entries that are looked at in one step for those of one person."""
PROFILES_TOGETHER = 10
"""Read at once: of about 50 kB each, at most."""
TELL_EVERY_S = 2.0
"""How often it is told what waits, for others append and fold."""
TIDY_EVERY_S, GONE_S = 60.0, 600.0
"""How often consumers without a word for so long are removed where nothing waits for them."""

_KEY, _FIELD = struct.Struct("<HHHH"), struct.Struct("<HH")
"""Before the sums of a key, and before each of them: see `scripts.FOLD`."""


class RedisLedger:
    """A `Ledger` in Redis. Evidence and what was shown go through the cache's own pipelines; the rest waits for nothing
    that others do. An async context manager, which tells of what waits while it is open.
    """

    def __init__(
        self,
        client: Client,
        cache: RedisCache,
        limits: Limits,
        telemetry: Telemetry,
        *,
        prefix: str,
        silent_s: float = SILENT_S,
        gone_s: float = GONE_S,
        tell_every_s: float = TELL_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._cache, self._limits, self._telemetry = client, cache, limits, telemetry
        self._prefix, self._shown = f"{{{prefix}:feedback}}:", f"{prefix}:shown:"
        self._queue, self._log, self._taken = self._key("queue"), self._key("log"), self._key("taken")
        self._people, self._cohorts = self._key("people"), self._key("cohorts")
        self._silent_s, self._gone_s = silent_s, gone_s
        self._clock, self._tidied = clock, clock()
        self._breaker = Breaker(failures=FAILURES, pause=PAUSE_S, clock=clock)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._telling = Repeated(self._tell, "telling how many events wait", tell_every_s, away=LedgerAway)

    async def __aenter__(self) -> Self:
        self._telling.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._telling.end()

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """As `Ledger`."""
        if not entries:
            return []
        limits = self._limits
        keys = [self._queue, self._key("seen:new"), self._key("seen:old")]
        bounds = [round(limits.window_s * 1000), MOST_SEEN, limits.waiting, round(limits.ttl_s)]
        events = [part for each in entries for part in (each.once, each.client, each.user, each.content)]
        waiting, new = await self._eval(scripts.APPEND, keys, [*bounds, *events])
        self._telemetry.events_waiting.set(waiting)
        if len(new) < len(entries):
            raise Overloaded(f"{waiting} events wait to be folded already")
        return [bool(each) for each in new]

    async def waiting(self, consumer: str, most: int) -> list[Pending]:
        """As `Ledger`."""
        tidy = self._clock() >= self._tidied + TIDY_EVERY_S
        gone_ms = round(self._gone_s * 1000) if tidy else 0
        silent_ms = round(self._silent_s * 1000)
        waiting, entries = await self._eval(scripts.WAITING, [self._queue], [consumer, most, silent_ms, gone_ms])
        if tidy:
            self._tidied = self._clock()
        self._telemetry.events_waiting.set(waiting)
        return [_pending(entry) for entry in entries]

    async def fold(self, consumer: str, folded: Sequence[Folded]) -> list[Outcome]:
        """As `Ledger`."""
        if not folded:
            return []
        limits, places = self._limits, _Places([self._taken, self._queue, self._log, self._people])
        bounds = [consumer, limits.half_lives.short, limits.half_lives.long, round(limits.ttl_s)]
        bounds += [limits.cap, round(limits.cap_s), limits.kept, MOST_FIELDS, FIELDS_LEFT]
        bounds += [MOST_PEOPLE, self._key(user_key(""))]
        entries: list[Any] = []
        queries = {b"": 0}
        for each in folded:
            entries += [each.id, self._count(each.capped, places), self._sums(each, places)]
            entries += [each.event, queries.setdefault(each.query, len(queries))]
            await asyncio.sleep(0)  # requests that the same loop serves go before the next one
        bounds += [len(queries), *queries]
        waiting, outcomes = await self._eval(scripts.FOLD, places.keys, [*bounds, *entries])
        self._telemetry.events_waiting.set(waiting)
        return [outcome.decode() for outcome in outcomes]

    async def logged(self, after: str, most: int) -> list[Pending]:
        """As `Ledger`."""
        entries = await self._eval(scripts.LOGGED, [self._log], [f"({after}" if after else "-", most])
        return [_pending(entry) for entry in entries]

    def show(self, key: str, content: bytes) -> None:
        """As `Ledger`."""
        self._cache.write([("SET", self._shown + key, content, "EX", round(self._limits.shown_s) or 1)])

    async def shown(self, keys: Sequence[str]) -> list[bytes | None]:
        """As `Ledger`."""
        replies = await self._run([("GET", self._shown + key) for key in keys])
        return [reply if isinstance(reply, bytes) else None for reply in replies]

    async def evidence(self, keys: Sequence[str], fields: Sequence[bytes] = ()) -> list[Fields]:
        """As `Ledger`."""
        wanted: list[Command] = [
            ("HMGET", self._key(key), *fields) if fields else ("HGETALL", self._key(key)) for key in keys
        ]
        replies = await self._cache.read(wanted)
        if len(replies) < len(keys) or any(map(_is_fault, replies)):
            raise LedgerAway("Redis, where evidence is kept, gives no answer now")
        return [self._fields(reply, fields) for reply in replies]

    async def take_back(self, scope: str) -> set[str]:
        """As `Ledger`: the script says first which wider scopes it wants."""
        half_lives = self._limits.half_lives
        bounds = [LEAST_SUM, half_lives.short, half_lives.long, round(self._limits.ttl_s)]
        wider: list[str] = []
        while True:
            changed = [scope, *wider]
            keys = [self._taken, *(self._key(part) for each in changed for part in (each, parts_key(each)))]
            told = await self._eval(scripts.TAKE_BACK, keys, bounds)
            if not isinstance(told, list):
                return {*changed} if told else set()
            wider = [key.decode().removeprefix(self._prefix) for key in told]

    async def forget_user(self, user: str) -> bool:
        """As `Ledger`: the queue first, for what is folded meanwhile goes to the end of the log and to the profile."""
        deleted = 0
        for stream, queue in ((self._queue, 1), (self._log, 0)):
            last = "-"
            while last:
                here, found = await self._eval(scripts.FORGET, [stream], [user, last, PAGE, queue])
                deleted, last = deleted + here, f"({found.decode()}" if found else ""
        profile, _ = await self._run([("DEL", self._key(user_key(user))), ("ZREM", self._people, user)])
        return bool(profile) or deleted > 0

    async def profiles(self) -> AsyncIterator[Fields]:
        """As `Ledger`."""
        (people,) = await self._run([("ZREVRANGE", self._people, 0, MOST_PEOPLE - 1)])
        names = [name.decode() for name in people] if isinstance(people, list) else []
        for first in range(0, len(names), PROFILES_TOGETHER):
            together = names[first : first + PROFILES_TOGETHER]
            for reply in await self._eval(scripts.PROFILES, [self._key(user_key(name)) for name in together], []):
                yield self._fields(reply, ())
                await asyncio.sleep(0)  # requests that the same loop serves go before the next one

    async def keep_cohorts(self, content: bytes | None, ttl_s: float) -> None:
        """As `Ledger`."""
        kept: Command = ("SET", self._cohorts, content, "EX", round(ttl_s) or 1) if content else ("DEL", self._cohorts)
        await self._run([kept])

    async def cohorts(self) -> bytes | None:
        """As `Ledger`."""
        (content,) = await self._run([("GET", self._cohorts)])
        return content if isinstance(content, bytes) else None

    async def claims(self, task: str, for_s: float) -> bool:
        """As `Ledger`."""
        (claimed,) = await self._run([("SET", self._key(f"claim:{task}"), "", "NX", "EX", round(for_s) or 1)])
        return claimed is not None

    async def _tell(self) -> None:
        """Ask how many wait, and since when."""
        waiting, oldest_ms = await self._eval(scripts.OLDEST, [self._queue], [])
        self._telemetry.events_waiting.set(waiting)
        self._telemetry.events_oldest.set(oldest_ms / 1000)

    def _sums(self, folded: Folded, places: "_Places") -> bytes:
        """What an entry adds, as the script reads it. Scopes share their sums: each is encoded once."""
        parts: list[bytes] = []
        contents: dict[int, bytes] = {}
        for key, fields in folded.additions.items():
            count = self._count(folded.capped_keys.get(key, ""), places)
            of_scope = places.of(self._key(parts_key(key))) if key in folded.scopes else 0
            parts.append(_KEY.pack(places.of(self._key(key)), count, of_scope, len(fields)))
            for field, found in fields.items():
                content = contents.get(id(found)) or contents.setdefault(id(found), encode(found))
                parts += (_FIELD.pack(len(field), len(content)), field, content)
        return b"".join(parts)

    def _count(self, capped: str, places: "_Places") -> int:
        """Where the script has the count of what a client may add to only so often; 0 for what is not capped."""
        return places.of(self._key(f"cap:{capped}")) if capped else 0

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _fields(self, reply: object, asked: Sequence[bytes]) -> Fields:
        """What a hash held; a cluster's client makes a dict of it, another a list."""
        pairs: Iterable[tuple[bytes, Any]] = reply.items() if isinstance(reply, dict) else ()
        if isinstance(reply, list):
            pairs = zip(asked or reply[::2], reply if asked else reply[1::2], strict=False)
        found: dict[bytes, Observed] = {}
        for field, content in pairs:
            try:
                if content is not None:
                    found[field] = decode(content)
            except (ValueError, TypeError):
                self._telemetry.cache_faults.labels("decode").inc()
        return found

    async def _eval(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        (reply,) = await self._run([("EVAL", script, len(keys), *keys, *arguments)])
        return reply

    async def _run(self, commands: Sequence[Command]) -> list[object]:
        """The replies. Raises LedgerAway where there are none in time, or one is an error."""
        if not self._breaker.allows():
            raise LedgerAway("Redis, where events and profiles are kept, is left alone until it answers again")
        try:
            async with asyncio.timeout(TIMEOUT_S), self._free:
                replies = await self._redis.run(commands)
            if failed := next((reply for reply in replies if isinstance(reply, Exception)), None):
                raise failed
        except FAULTS as error:
            was_open = self._breaker.open
            self._breaker.failed()
            if self._breaker.open and not was_open:
                logger.warning("events and profiles cannot be kept until Redis answers again: %s", _told(error))
            raise LedgerAway("Redis, where events and profiles are kept, gives no answer now") from error
        self._breaker.succeeded()
        return replies


class _Places:
    """Keys of a script, each once, and where it has them, counted from 1."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._found = {key: place for place, key in enumerate(keys, 1)}

    @property
    def keys(self) -> list[str]:
        """In their order."""
        return [*self._found]

    def of(self, key: str) -> int:
        """The place of a key, a new one at the end."""
        return self._found.setdefault(key, len(self._found) + 1)


def _pending(entry: Any) -> Pending:
    """An entry as it stands in a stream; one that is none of ours has no content, and nobody can read it."""
    number, parts = entry
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    try:
        return Pending(number.decode(), found[b"u"].decode(), found[b"c"].decode(), found[b"e"])
    except (KeyError, UnicodeDecodeError):
        return Pending(number.decode(), "", "", b"")


def _is_fault(reply: object) -> bool:
    """Whether a reply says that nothing can be read; that something else is there says that there is no evidence."""
    return reply is None or (isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE"))


def _told(error: BaseException) -> str:
    """What may be logged of it: its class, and the first word of what Redis said."""
    return " ".join((type(error).__name__, *str(error).split()[:1]))

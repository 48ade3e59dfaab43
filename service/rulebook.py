"""The rules in force: those of a file, read again when it changes, and those that came by call.

A file that cannot be used leaves the rules before it in force; at the start it ends the start, for then there are none.
Rules that came by call are kept in Redis where there is one, and read again from there for the other processes' sake;
else they end with the process. An id that the file has is the file's alone.

Knows: when to look again, what is logged of a change, how rules make an answer another. Does not know: HTTP, Redis,
which of two rules holds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import orjson

from service import rules, scoring
from service.background import Repeated
from service.errors import BadInput, LedgerAway, RuleRefused, StartError
from service.feedback.dynamics import Bent
from service.feedback.keys import EVERYTHING, attribute_field, kind_scope, query_scope
from service.rules import MOST_RULES, Applied, By, Rule
from service.telemetry import Telemetry
from service.weighting import WeightedAttribute, Weighting

logger = logging.getLogger(__name__)

EVERY_S = 2.0
"""A change is in force after so many seconds at the latest, and what reading it takes."""
MOST_FILE_BYTES = 8_000_000
UNUSABLE = (OSError, ValueError, RecursionError, BadInput)
"""What a file can be wrong with."""
FIELDS_KEPT = 8192
"""Names whose fields are kept: callers send the same again."""
Stamp = tuple[int, int, int]
"""When a file was changed, its size, its inode."""


class Store(Protocol):
    """Where rules are kept that came by call; every method raises LedgerAway."""

    async def read(self) -> Mapping[str, bytes]:
        """All of them, by id."""
        ...

    async def put(self, rule_id: str, content: bytes) -> None:
        """Keep one, in place of one with this id."""
        ...

    async def drop(self, rule_id: str) -> None:
        """Keep it no longer."""
        ...


class Rulebook:
    """All rules; an async context manager, which looks for changes while it is open. `clock` gives seconds since 1970.

    Opening it raises StartError for a file that cannot be used.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        file: Path | None = None,
        store: Store | None = None,
        every: float = EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._telemetry, self._file, self._store = telemetry, file, store
        self._clock = clock
        self._field = lru_cache(FIELDS_KEPT)(attribute_field)
        self._stamp: Stamp | None = None
        self._kept: Mapping[str, bytes] | None = None
        self._rules: dict[By, Mapping[str, Rule]] = {"file": {}, "admin": {}}
        self._book: rules.Book = {}
        self._of_queries = False
        self._unreadable = ""
        self._faults: dict[By, str] = {"file": "", "admin": ""}
        self._changing = asyncio.Lock()
        self._watching = Repeated(self.refresh, "looking for changed rules", every, first_s=every)

    async def __aenter__(self) -> Self:
        if self._file:
            try:
                await self._read_file(self._file)
            except UNUSABLE as error:
                raise StartError(f"RANKER_RULES {self._file} cannot be used: {_told(error)}") from error
        if self._store:
            await self._read_store(self._store)
        if self._file or self._store:
            self._watching.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watching.end()

    @property
    def kept_in(self) -> Literal["redis", "process"]:
        """Where rules are kept that come by call."""
        return "redis" if self._store else "process"

    def all(self) -> list[Rule]:
        """Every rule, in the order of ids."""
        return sorted({**self._rules["admin"], **self._rules["file"]}.values(), key=lambda rule: rule.id)

    def apply(self, weighting: Weighting, query: str, product_type: str) -> Weighting:
        """The answer as the rules make it, the very same where none holds."""
        if not self._book:
            return weighting
        scopes = [query_scope(query)] if self._of_queries else []
        scopes += [kind_scope(product_type), EVERYTHING] if product_type else [EVERYTHING]
        if not any(scope in self._book for scope in scopes):
            return weighting
        found, now = weighting.attributes, datetime.fromtimestamp(self._clock(), UTC)
        chosen = rules.chosen(self._book, scopes, [self._field(each.attribute) for each in found], now)
        if not chosen:
            return weighting
        settled = rules.settled([each.weight for each in found], chosen)
        for _, rule in settled.chosen:
            self._telemetry.rules_applied.labels(rule.action).inc()
        shown = set(settled.order)
        return replace(
            weighting,
            attributes=tuple([_weighted(found[place], settled.weights[place]) for place in settled.order]),
            hidden=tuple([_weighted(each, 0.0) for place, each in enumerate(found) if place not in shown]),
            entropy=scoring.entropy(settled.weights),
            rules=tuple(Applied(rule.id, found[place].attribute, rule.action) for place, rule in settled.chosen),
            bent=_bent(weighting, settled.weights, chosen),
        )

    async def put(self, content: Mapping[str, object]) -> Rule:
        """Have a rule in force, in place of one with its id. Raises BadInput, RuleRefused and LedgerAway."""
        rule = rules.read(content, "admin")
        if rule.end and rule.end.timestamp() <= self._clock():
            raise BadInput("end has passed: send a later one, or delete the rule to end it", "end")
        async with self._changing:
            before = self._rules["admin"].get(rule.id)
            self._check_is_ours(rule.id)
            if before is None and len(self._rules["admin"]) >= MOST_RULES:
                raise RuleRefused(f"there are {MOST_RULES} rules by call, and no more may be")
            if self._store:
                await self._store.put(rule.id, orjson.dumps(rules.written(rule)))
                self._kept = None  # what is kept is no more what was read
            self._take("admin", {**self._rules["admin"], rule.id: rule})
        _audit("changed" if before else "added", rule)
        return rule

    async def delete(self, rule_id: str) -> bool:
        """Have it in force no longer; whether there was one. Raises BadInput, RuleRefused and LedgerAway."""
        rules.check_id(rule_id)
        async with self._changing:
            self._check_is_ours(rule_id)
            before = self._rules["admin"].get(rule_id)
            if self._store:
                await self._store.drop(rule_id)
                self._kept = None
            self._take("admin", {name: rule for name, rule in self._rules["admin"].items() if name != rule_id})
        if before:
            _audit("removed", before)
        return before is not None

    async def refresh(self) -> None:
        """Look for changes now; what is wrong goes to the log, and what was in force before stays so."""
        if self._file:
            try:
                await self._read_file(self._file)
            except UNUSABLE as error:
                self._note("file", _told(error))
        if self._store:
            await self._read_store(self._store)

    def _check_is_ours(self, rule_id: str) -> None:
        if rule_id in self._rules["file"]:
            raise RuleRefused(f"the rule {rule_id} is the file's, and only there can it be changed")

    async def _read_file(self, file: Path) -> None:
        """Take the file's rules where it has changed. Raises what is in `UNUSABLE`.

        It is read in a thread, without a time of its own: while one hangs there is never a second.
        """
        before, self._stamp = self._stamp, None
        stamp = await asyncio.to_thread(_stamp, file)
        if stamp == before:
            self._stamp = stamp
            return
        try:
            found = await asyncio.to_thread(_read, file)
        except OSError:
            raise
        except UNUSABLE:
            self._stamp = stamp  # it will be no better until somebody writes to it
            raise
        self._stamp = stamp
        self._note("file", "")
        self._take_from_file(found)

    def _take_from_file(self, found: Mapping[str, Rule]) -> None:
        before = self._rules["file"]
        self._take("file", found)
        for rule_id in sorted(before.keys() | found.keys()):
            old, new = before.get(rule_id), found.get(rule_id)
            if old != new:
                _audit("changed" if old and new else "added" if new else "removed", new or old)

    async def _read_store(self, store: Store) -> None:
        """Take what other processes were told; who was told has logged it. What is gone is logged here, too."""
        try:
            async with self._changing:
                kept = await store.read()
                if kept != self._kept:
                    self._tell_gone(kept)
                    found = _readable(kept)
                    self._kept, self._unreadable = kept, _missing(kept, found)
                    self._take("admin", found)
            self._note("admin", self._unreadable)
        except LedgerAway as error:
            self._note("admin", str(error))

    def _tell_gone(self, kept: Mapping[str, bytes]) -> None:
        """Tell of rules that the store has no more, and that nobody deleted here.

        Where it has none at all it may have lost them, which is a warning. The last one deleted through another process
        looks the same.
        """
        now, level = datetime.fromtimestamp(self._clock(), UTC), logging.INFO if kept else logging.WARNING
        for rule_id, rule in sorted(self._rules["admin"].items()):
            if rule_id not in kept and not (rule.end and rule.end <= now):
                _audit("gone", rule, by="redis", level=level)

    def _note(self, by: By, fault: str) -> None:
        """Tell once what keeps rules from being read; "" is nothing."""
        if fault and fault != self._faults[by]:
            logger.error("rules by %s cannot be read, those read before stay in force: %s", by, fault)
        self._faults[by] = fault
        self._telemetry.rules_stale.labels(by).set(bool(fault))

    def _take(self, by: By, found: Mapping[str, Rule]) -> None:
        self._rules[by] = found
        self._telemetry.rules.labels(by).set(len(found))
        all_of_them = self.all()
        self._of_queries = any(rule.query for rule in all_of_them)
        self._book = rules.book(all_of_them)


def _bent(weighting: Weighting, weights: Sequence[float], chosen: rules.Chosen) -> Bent | None:
    """With the parts that people's and the person's choices make of the weights where the same rules hold without."""
    bent, found = weighting.bent, weighting.attributes
    if not bent or not (bent.evidence or bent.own):
        return bent

    def under_rules(before: Sequence[float]) -> Sequence[float]:
        return rules.settled([before[each.position] for each in found], chosen).weights

    def less(one: Sequence[float], other: Sequence[float]) -> list[float]:
        parts = {each.position: a - b for each, a, b in zip(found, one, other, strict=True)}
        return [parts[position] for position in range(len(found))]

    common = under_rules(bent.common) if bent.own else weights
    evidence = less(common, under_rules(bent.base)) if bent.evidence else None
    return replace(bent, evidence=evidence, own=less(weights, common) if bent.own else None)


def _weighted(found: WeightedAttribute, weight: float) -> WeightedAttribute:
    """The same with this weight; `_replace` would take twice as long."""
    return WeightedAttribute._make((*found[:2], weight, *found[3:]))


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> dict[str, Rule]:
    """The file's rules by id. Raises what is in `UNUSABLE`."""
    with file.open("rb") as opened:
        content = opened.read(MOST_FILE_BYTES + 1)
    if len(content) > MOST_FILE_BYTES:
        raise ValueError(f"it has more than {MOST_FILE_BYTES} bytes")
    return rules.read_all(content)


def _readable(kept: Mapping[str, bytes]) -> dict[str, Rule]:
    """The rules that can be read."""
    found: dict[str, Rule] = {}
    for rule_id, content in kept.items():
        with suppress(BadInput, ValueError, TypeError, AttributeError):
            rule = rules.read(orjson.loads(content), "admin")
            if rule.id == rule_id:
                found[rule_id] = rule
    return found


def _missing(kept: Mapping[str, bytes], found: Mapping[str, Rule]) -> str:
    """What is to be told of those that cannot be read; "" where all can."""
    missing = sorted(kept.keys() - found.keys())
    return f"{len(missing)} are no rules, the first has the id {missing[0]:.64}" if missing else ""


def _audit(happened: str, rule: Rule | None, *, by: str = "", level: int = logging.INFO) -> None:
    """A line of who changed what; the scope's key is told, and no query."""
    if rule:
        fields = {"id": rule.id, "action": rule.action, "by": by or rule.by, "happened": happened, "scope": rule.scope}
        logger.log(level, "rule", extra={"fields": fields})


def _told(error: Exception) -> str:
    """One line, which holds nothing of the file but names."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())

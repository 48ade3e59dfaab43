"""The form of a measurement: what was asked, what each repetition gave, the median, and whether it is enough."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Skipped(Exception):
    """A measurement that cannot be made here; the text says what it wants."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: folder of the servers' logs, repetitions, seconds of one run, the peer's two folders.

    `quick` is for trying the commands out: its numbers mean nothing.
    """

    logs: Path
    repeats: int = 3
    seconds: float = 10.0
    quick: bool = False
    peer: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A number that something was asked of; `values` are of the repetitions, None where one gave none."""

    what: str
    asked: str
    values: tuple[float | None, ...]
    measured: float | None
    spread: tuple[float, float] | None
    ok: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measurement found: every repetition in full, what was asked of them, what was left out and why."""

    runs: list[dict[str, Any]]
    targets: list[Target] = field(default_factory=list)
    note: str = ""


def at_least(what: str, asked: float, values: Sequence[float | None]) -> Target:
    """The median must not be under `asked`."""
    return _target(what, f">= {asked:g}", values, lambda median: median >= asked)


def at_most(what: str, asked: float, values: Sequence[float | None]) -> Target:
    """The median must not be over `asked`."""
    return _target(what, f"<= {asked:g}", values, lambda median: median <= asked)


def never(what: str, values: Sequence[float | None]) -> Target:
    """Every repetition must have none."""
    found = _target(what, "== 0", values, lambda median: median == 0)
    return Target(found.what, found.asked, found.values, found.measured, found.spread, all(v == 0 for v in values))


def _target(what: str, asked: str, values: Sequence[float | None], fits: Callable[[float], bool]) -> Target:
    known = [value for value in values if value is not None]
    rounded = tuple(None if value is None else float(f"{value:.4g}") for value in values)
    if not known:
        return Target(what, asked, rounded, None, None, False)
    median, ends = statistics.median(known), (min(known), max(known))
    whole = len(known) == len(values)
    shown = (float(f"{ends[0]:.4g}"), float(f"{ends[1]:.4g}"))
    return Target(what, asked, rounded, float(f"{median:.4g}"), shown, whole and fits(median))

"""The log of folded events as files: the events and queries that others read, an object a line.

Knows: the files' names, that nobody finds a half of them. Does not know: where the log is, what an event says.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

import orjson

from service.feedback.ledger import Pending

EVENTS, QUERIES = "ubi_events.json", "ubi_queries.json"
PAGE = 500


class Log(Protocol):
    """What is needed of the ledger."""

    async def logged(self, after: str, most: int) -> list[Pending]:
        """What the log has behind the entry of this id, oldest first; none at its end."""
        ...


class Saved(NamedTuple):
    """How many of each were written; `unreadable` entries are no JSON objects and were left out."""

    events: int
    queries: int
    unreadable: int


async def save(log: Log, folder: Path) -> Saved:
    """Write what the log holds, oldest first: what has an action is an event, the rest queries.

    Files that were there are replaced when the whole log is written. Raises LedgerAway and OSError.
    """
    counts: dict[int | None, int] = {0: 0, 1: 0, None: 0}
    after = ""
    with _replaced(folder) as files:
        while page := await log.logged(after, PAGE):
            after = page[-1].id
            for entry in page:
                place = _place(entry)
                counts[place] += 1
                if place is not None:
                    files[place].write(entry.content.replace(b"\n", b" ") + b"\n")
    return Saved(counts[0], counts[1], counts[None])


@contextmanager
def _replaced(folder: Path) -> Iterator[list[BinaryIO]]:
    """The files of events and of queries, which take their places when the block has ended well."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files: list[BinaryIO] = [
            stack.enter_context(_unfinished(folder, name).open("wb")) for name in (EVENTS, QUERIES)
        ]
        yield files
    for name in (EVENTS, QUERIES):
        _unfinished(folder, name).replace(folder / name)


def _unfinished(folder: Path, name: str) -> Path:
    return folder / f".{name}.new"


def _place(entry: Pending) -> Literal[0, 1] | None:
    """0 of an event, 1 of a query."""
    try:
        found = orjson.loads(entry.content)
    except orjson.JSONDecodeError:
        return None
    return (0 if found.get("action_name") else 1) if isinstance(found, dict) else None

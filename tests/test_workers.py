"""Several processes on one port, as an operator meets them: their sum, their swap, their ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import free_port, wait_until
from prometheus_client import generate_latest
from test_start import answers, environment, run, weigh

from service.bundle import MANIFEST, default_folder, version_of
from service.telemetry import over_workers

pytestmark = pytest.mark.slow  # each starts real processes, which import everything and load the model


class Service:
    """`python -m service` with its log, and the processes below it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self.log = folder / "log"
        command = [sys.executable, "-m", "service", "--port", str(self.port), "--device", "cpu", "--threads", "1"]
        given = {name: str(setting) for name, setting in settings.items()}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment(**given), stderr=log, start_new_session=True)

    @property
    def pids(self) -> set[int]:
        """The workers that serve or begin to."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return set()
        return {int(pid) for pid in children.split() if "spawn_main" in _command(int(pid))}

    def metric(self, line: str, port: int | None = None) -> float:
        """The sum of all samples that begin so."""
        text = httpx.get(f"http://127.0.0.1:{port or self.port}/metrics", timeout=10).text
        return sum(float(found.split()[-1]) for found in text.splitlines() if found.startswith(line))

    def versions(self, times: int) -> Counter[str]:
        """Which bundle answered how many requests, each on a connection of its own; each is answered well."""
        found: Counter[str] = Counter()
        for _ in range(times):
            response = weigh(self.port)
            assert response.status_code == 200
            found[response.json()["model"]["version"]] += 1
        return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def runs(pid: int) -> bool:
    return bool(_command(pid))


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Service]:
    """A service of which every worker answers; with the block it is over, and so are its workers."""
    service = Service(folder, **settings)
    try:
        wait_until(lambda: answers(service.port), 90)
        if settings.get("workers", 1) > 1:  # until all serve, one that cannot begin ends the others
            wait_until(lambda: "workers serve" in service.log.read_text(), 60)
        yield service
    finally:
        service.process.terminate()
        try:
            service.process.wait(60)
        finally:
            with suppress(ProcessLookupError):  # of the process and of those below it, none is left
                os.killpg(service.process.pid, signal.SIGKILL)


def another_bundle(root: Path, name: str) -> tuple[str, str]:
    """A copy of the shipped bundle under another name; gives both versions, the shipped one first."""
    shutil.copytree(default_folder(), root / name)
    manifest = json.loads((root / name / MANIFEST).read_text())
    shipped, manifest["name"] = manifest["version"], name
    manifest["version"] = version_of(manifest)
    (root / name / MANIFEST).write_text(json.dumps(manifest))
    return shipped, manifest["version"]


def test_two_workers_both_serve_and_their_metrics_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(tmp_path, workers=2) as service:
        assert len(service.pids) == 2
        counted = 'ranker_requests_total{route="/v1/weights",status="200"}'
        assert service.metric(counted) == 0
        with ThreadPoolExecutor(6) as callers:
            list(callers.map(service.versions, [10] * 6))
        assert service.metric(counted) == 60
        assert service.metric('ranker_stage_seconds_count{stage="total"}') == 60
        assert service.metric("ranker_model_info") == 1
        assert {pid for pid in service.pids if requests_of(pid, tmp_path) > 0} == service.pids


def requests_of(pid: int, folder: Path) -> float:
    """How many requests for weights one process has counted, by what it wrote for the sum below this folder."""
    (counters,) = folder.rglob(f"counter_{pid}.db")
    alone = folder / f"of-{pid}"
    alone.mkdir()
    shutil.copy(counters, alone)
    lines = generate_latest(over_workers(alone)).decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith('ranker_requests_total{route="/v1/weights",')
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_may_be_on_a_port_of_their_own(tmp_path: Path, workers: int) -> None:
    port = free_port()
    with serving(tmp_path, workers=workers, metrics_port=port) as service:
        service.versions(7)
        assert service.metric('ranker_requests_total{route="/v1/weights",status="200"}', port) == 7
        assert httpx.get(f"http://127.0.0.1:{service.port}/metrics").status_code == 404


@pytest.mark.parametrize("workers", [1, 2])
def test_a_metrics_port_that_is_taken_stops_the_start_by_name(workers: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended_with = run("--port", "0", "--device", "cpu", workers=str(workers), metrics_port=port)
    assert ended_with.returncode != 0
    assert f"RANKER_METRICS_PORT {port} cannot be used" in ended_with.stderr
    assert "Traceback" not in ended_with.stderr


@contextmanager
def under_load(service: Service, clients: int = 3) -> Iterator[Callable[[], Counter[str]]]:
    """Requests without end, each on a connection of its own; gives what counts the outcomes so far."""
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                response = weigh(service.port)
                outcomes[response.json()["model"]["version"] if response.status_code == 200 else response.text] += 1
            except httpx.TransportError as error:
                outcomes[repr(error)] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: Counter(outcomes)
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def test_a_bundle_that_one_worker_is_given_reaches_all_and_no_request_fails(tmp_path: Path) -> None:
    shipped, other = another_bundle(tmp_path, "other")
    with serving(tmp_path, workers=2, bundle_root=tmp_path, admin_key="master") as service:
        old = service.pids
        with under_load(service) as outcomes:
            wait_until(lambda: outcomes()[shipped] > 20)
            url = f"http://127.0.0.1:{service.port}/admin/bundle"
            taken = httpx.post(url, json={"path": "other"}, headers={"x-api-key": "master"}, timeout=30)
            assert taken.json() == {"name": "other", "version": other, "replaced": shipped}
            wait_until(lambda: len(service.pids) == 2 and not service.pids & old, 60)
            seen = outcomes()[other]
            wait_until(lambda: outcomes()[other] > seen + 50)
        assert set(outcomes()) == {shipped, other}
        assert set(service.versions(20)) == {other}
        assert service.metric(f'ranker_model_info{{device="cpu",name="other",version="{other}"}}') == 1
        assert service.metric("ranker_model_info") == 1


def test_a_bundle_that_is_none_changes_nothing(tmp_path: Path) -> None:
    shipped, _ = another_bundle(tmp_path, "bad")
    (tmp_path / "bad" / "tokenizer.json").write_text("{}")
    with serving(tmp_path, workers=2, bundle_root=tmp_path, admin_key="master") as service:
        old = service.pids
        url = f"http://127.0.0.1:{service.port}/admin/bundle"
        refused = httpx.post(url, json={"path": "bad"}, headers={"x-api-key": "master"}, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bundle_refused")
        assert set(service.versions(20)) == {shipped}
        assert service.pids == old


def test_at_sighup_every_worker_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service:
        old = service.pids
        with under_load(service) as outcomes:
            wait_until(lambda: outcomes().total() > 20)
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(service.pids) == 2 and not service.pids & old, 60)
        assert len(outcomes()) == 1


def test_a_bundle_that_is_refused_at_sighup_is_counted_and_told(tmp_path: Path) -> None:
    another_bundle(tmp_path, "mine")
    with serving(tmp_path, workers=2, bundle=tmp_path / "mine") as service:
        old, refused = service.pids, 'ranker_bundle_swaps_total{outcome="refused"}'
        assert service.metric(refused) == 0
        (tmp_path / "mine" / "tokenizer.json").write_text("{}")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.metric(refused) == 1, 60)
        told = service.log.read_text()
        assert "tokenizer.json was altered" in told
        assert "the bundle was refused" in told
        assert service.pids == old
        service.versions(10)


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service:
        service.versions(20)
        killed = min(service.pids)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(service.pids) == 2 and killed not in service.pids, 60)
        wait_until(lambda: answers(service.port), 60)
        service.versions(20)
        assert service.metric('ranker_requests_total{route="/v1/weights",status="200"}') == 40
        assert service.metric("ranker_model_info") == 1


def test_a_worker_that_cannot_start_again_is_tried_less_often_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    another_bundle(tmp_path, "mine")
    manifest = tmp_path / "mine" / MANIFEST
    with serving(tmp_path, workers=2, bundle=tmp_path / "mine") as service:
        service.versions(20)
        manifest.rename(tmp_path / "away")
        killed = min(service.pids)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(failed_starts(service)) == 4, 90)
        assert [pause for _, pause in failed_starts(service)] == [2, 4, 8, 16]
        begun = [at for at, _ in failed_starts(service)]
        assert (begun[3] - begun[2]).total_seconds() > 7.9
        counting = {int(file.stem.rpartition("_")[2]) for file in tmp_path.glob("attribute-ranker-*/counter_*.db")}
        assert len(counting - service.pids - {killed, service.process.pid}) <= 1
        (tmp_path / "away").rename(manifest)
        wait_until(lambda: service.log.read_text().count("ready: bundle") == 3, 60)
        assert service.metric('ranker_requests_total{route="/v1/weights",status="200"}') == 20


def failed_starts(service: Service) -> list[tuple[datetime, int]]:
    """When the log told of workers that had ended before they served, and how long the pause is from then on."""
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if "has ended with 3" in line]
    return [(datetime.fromisoformat(line["time"]), line["pause_s"]) for line in lines]


def test_sigterm_ends_all_workers_and_leaves_no_folder(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("TMPDIR", str(tmp_path))
        service = stack.enter_context(serving(tmp_path, workers=2))
        pids = service.pids
        assert list(tmp_path.glob("attribute-ranker-*"))
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        assert not [pid for pid in pids if runs(pid)]
        assert not list(tmp_path.glob("attribute-ranker-*"))


def test_workers_that_cannot_start_end_the_service_with_the_one_sentence(tmp_path: Path) -> None:
    another_bundle(tmp_path, "bad")
    (tmp_path / "bad" / "tokenizer.json").write_text("{}")
    ended_with = run("--port", "0", "--device", "cpu", workers="2", bundle=str(tmp_path / "bad"))
    assert ended_with.returncode != 0
    assert "tokenizer.json was altered: its hash is not the manifest's" in ended_with.stderr
    assert "Traceback" not in ended_with.stderr

"""`python -m service` as an operator meets it: settings, a start that fails by name, a stop that cuts nobody off."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import IO

import httpx
import pytest
from fakes import RedisServer, ended, free_port, link_bundle, wait_until

from service.bundle import default_folder
from service.settings import Settings

TAKEN = 'ranker_stage_seconds_count{stage="queue"}'


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("RANKER_")}
    return kept | {f"RANKER_{name.upper()}": value for name, value in settings.items()}


def run(*flags: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the service where it cannot start, and wait for its end."""
    command = [sys.executable, "-m", "service", *flags]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False)


def serving(port: int, log: IO[str] | None = None, /, **settings: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "service", "--port", str(port), "--device", "cpu"]
    return subprocess.Popen(command, env=environment(**settings), stderr=log or subprocess.DEVNULL, text=True)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def weigh(port: int, query: str = "red wool rug", key: str = "") -> httpx.Response:
    body = {"query": query, "attributes": ["color", "material", "price"]}
    return httpx.post(f"http://127.0.0.1:{port}/v1/weights", json=body, headers={"x-api-key": key}, timeout=20)


def test_help_lists_every_setting_with_its_default() -> None:
    text = " ".join(run("--help").stdout.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"(default: {field.default})" in text


def test_an_unknown_setting_stops_the_start_with_its_nearest_match() -> None:
    ended_with = run(reds_url="redis://x")
    assert ended_with.returncode != 0
    assert "RANKER_REDS_URL is no setting; the nearest is RANKER_REDIS_URL" in ended_with.stderr


def test_a_setting_of_the_wrong_kind_stops_the_start_by_name() -> None:
    assert "RANKER_PORT:" in run(port="many").stderr


def test_an_unknown_flag_stops_the_start() -> None:
    assert run("--prot", "1").returncode != 0


def test_a_flag_goes_before_the_environment() -> None:
    assert "RANKER_PORT" not in run("--port", "1", "--bundle", "/nowhere", port="2").stderr.partition("settings")[0]
    assert '"port": 1' in run("--port", "1", "--bundle", "/nowhere", port="2").stderr


def test_a_password_is_never_logged() -> None:
    log = run("--bundle", "/nowhere", redis_url="redis://user:secret@localhost/0").stderr
    assert "secret" not in log
    assert "**********" in log


def test_feedback_on_redis_needs_a_key_to_hash_ids_with() -> None:
    ended_with = run("--port", "0", feedback="1", redis_url="redis://127.0.0.1:1/0")
    assert ended_with.returncode != 0
    assert "RANKER_FEEDBACK on Redis needs RANKER_FEEDBACK_KEY" in ended_with.stderr


def test_feedback_of_several_workers_needs_redis() -> None:
    ended_with = run("--port", "0", "--workers", "2", feedback="1")
    assert ended_with.returncode != 0
    assert "RANKER_FEEDBACK with several RANKER_WORKERS needs RANKER_REDIS_URL" in ended_with.stderr


def test_feedback_that_nobody_can_fold_stops_the_start() -> None:
    ended_with = run("--port", "0", feedback="1", fold="0")
    assert ended_with.returncode != 0
    assert ended_with.stderr.startswith("RANKER_FEEDBACK without RANKER_FOLD needs RANKER_REDIS_URL, ")


def test_exploring_without_feedback_stops_the_start() -> None:
    ended_with = run("--port", "0", explore="0.1")
    assert ended_with.returncode != 0
    assert ended_with.stderr.startswith("RANKER_EXPLORE needs RANKER_FEEDBACK, ")


def test_feedback_without_redis_says_that_it_does_not_last(tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "log").open("w") as log, ended(serving(port, log, feedback="1")):
        wait_until(lambda: answers(port), 60)
    assert "feedback is kept in process: it is lost with it" in (tmp_path / "log").read_text()


SECRETS = {
    "api_keys": "first-s3cret\nsecond-s3cret\n",
    "admin_key": "master-s3cret\n",
    "redis_url": "redis://user:s3cret@127.0.0.1:1/0\n",
}


def in_files(folder: Path, **secrets: str) -> dict[str, str]:
    """The settings that name files with these secrets."""
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    return {f"{name}_file": str(folder / name) for name in secrets}


@pytest.mark.parametrize("between", ["\n", ",", " ,\n"])
def test_keys_are_read_from_files_and_never_logged(tmp_path: Path, between: str) -> None:
    port, secrets = free_port(), SECRETS | {"api_keys": between.join(["first-s3cret", "second-s3cret"]) + "\n"}
    settings = in_files(tmp_path, **secrets) | {"log_level": "debug"}
    with (tmp_path / "log").open("w") as log, ended(serving(port, log, **settings)):
        wait_until(lambda: answers(port), 60)
        url = f"http://127.0.0.1:{port}"
        opened = [httpx.get(f"{url}/v1/model", headers={"x-api-key": f"{key}-s3cret"}) for key in ("first", "second")]
        refused = [httpx.get(f"{url}/v1/model", headers={"x-api-key": key}) for key in ("", "third-s3cret")]
        admin = httpx.post(f"{url}/admin/bundle", json={"path": "a"}, headers={"x-api-key": "master-s3cret"})
        queries = (f"rug {number}" for number in count())
        wait_until(
            lambda: (
                weigh(port, next(queries), "first-s3cret").status_code == 200
                and "Redis is left alone" in (tmp_path / "log").read_text()
            )
        )
    assert [response.status_code for response in (*opened, *refused, admin)] == [200, 200, 401, 401, 422]
    assert "s3cret" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_its_file_does_not_hold_stops_the_start_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary").write_bytes(b"s3cret\xff")
    (tmp_path / "empty").write_text(" \n")
    for file, told in {
        "missing": "cannot be read: No such file or directory",
        "": "cannot be read: Is a directory",
        "binary": "cannot be read: it is not in UTF-8",
        "empty": "names a file with nothing in it",
    }.items():
        ended_with = run("--port", "0", **{f"{name}_file": str(tmp_path / file)})
        assert ended_with.returncode != 0
        assert ended_with.stderr.startswith(f"RANKER_{name.upper()}_FILE names a file ")
        assert told in ended_with.stderr
        assert "s3cret" not in ended_with.stderr


def test_a_variable_counts_in_any_case(tmp_path: Path) -> None:
    environ = environment(bundle="/nowhere") | {"ranker_api_keys_file": str(tmp_path / "missing")}
    command = [sys.executable, "-m", "service", "--port", "0"]
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert "ranker_api_keys_file names a file that cannot be read" in shown.stderr


@pytest.mark.parametrize("name", ["api_keys", "admin_key"])
def test_a_secret_with_no_key_in_it_stops_the_start_by_name(name: str) -> None:
    ended_with = run("--port", "0", **{name: " , "})
    assert ended_with.returncode != 0
    assert f"RANKER_{name.upper()}" in ended_with.stderr


@pytest.mark.parametrize(
    "url", ["redis://user:s3cret/x@host", "redis+cluster://:s3cret@host:many", "redis+other://:s3cret@host"]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_redis_url_of_no_use_stops_the_start_without_being_told(url: str, workers: str) -> None:
    ended_with = run("--port", "0", "--device", "cpu", redis_url=url, workers=workers, log_level="debug")
    assert ended_with.returncode != 0
    assert "RANKER_REDIS_URL cannot be used" in ended_with.stderr
    assert "s3cret" not in ended_with.stderr
    assert "Traceback" not in ended_with.stderr


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", "model.int8.onnx"])
def test_a_bundle_without_a_file_stops_the_start_with_one_sentence(tmp_path: Path, name: str) -> None:
    shutil.copytree(default_folder(), tmp_path / "b")
    (tmp_path / "b" / name).unlink()
    ended_with = run("--port", "0", "--bundle", str(tmp_path / "b"))
    assert ended_with.returncode != 0
    assert name in ended_with.stderr
    assert "Traceback" not in ended_with.stderr


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU, so asking for it does not fail")
def test_cuda_that_is_not_there_stops_the_start_by_name() -> None:
    ended_with = run("--port", "0", "--device", "cuda")
    assert ended_with.returncode != 0
    assert "CUDA" in ended_with.stderr


def queued(port: int) -> float:
    """How many rows the model has taken from the queue."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(TAKEN))


def test_a_request_that_the_model_is_at_work_on_at_sigterm_is_answered() -> None:
    port = free_port()
    body = {"query": "rug", "attributes": [f"{i} " + "long " * 20 for i in range(256)]}
    with ended(serving(port, request_timeout_ms="60000", threads="1")) as process, ThreadPoolExecutor(1) as caller:
        wait_until(lambda: answers(port), 60)
        before = queued(port)
        response = caller.submit(httpx.post, f"http://127.0.0.1:{port}/v1/weights", json=body, timeout=60)
        wait_until(lambda: queued(port) > before)
        assert not response.done()
        process.send_signal(signal.SIGTERM)
        assert len(response.result(60).json()["weights"]) == 256
        assert process.wait(40) in (0, -signal.SIGTERM)


def whole_answers(port: int, caller: int, began: threading.Event) -> int:
    """How many requests on one connection are answered until the service has gone; an answer that is cut raises."""
    connection, answered = http.client.HTTPConnection("127.0.0.1", port, timeout=60), 0
    while True:
        names = [f"{caller} {answered} {i} long" for i in range(20)]
        try:
            connection.request("POST", "/v1/weights", json.dumps({"query": "rug", "attributes": names}))
            response = connection.getresponse()
        except ConnectionError:  # refused, or closed before a byte of an answer
            return answered
        assert response.status == 200
        assert len(json.loads(response.read())["weights"]) == 20
        answered += 1
        began.set()


def test_under_load_sigterm_cuts_no_answer() -> None:
    port = free_port()
    with ended(serving(port)) as process, ThreadPoolExecutor(6) as pool:
        wait_until(lambda: answers(port), 60)
        began = [threading.Event() for _ in range(6)]
        callers = [pool.submit(whole_answers, port, caller, begins) for caller, begins in enumerate(began)]
        wait_until(lambda: all(begins.is_set() or caller.done() for begins, caller in zip(began, callers, strict=True)))
        process.send_signal(signal.SIGTERM)
        assert all(caller.result(40) for caller in callers)
        assert process.wait(40) in (0, -signal.SIGTERM)


def version(port: int) -> str:
    return str(httpx.get(f"http://127.0.0.1:{port}/v1/model", timeout=20).json()["version"])


def refused(port: int) -> bool:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
    return 'ranker_bundle_swaps_total{outcome="refused"} 1.0' in text


def test_after_sighup_the_bundle_that_lies_in_the_folder_now_answers(tmp_path: Path) -> None:
    port, before = free_port(), link_bundle(default_folder(), tmp_path / "b", name="before")
    with ended(serving(port, bundle=str(tmp_path / "b"))) as process:
        wait_until(lambda: answers(port), 60)
        assert version(port) == before
        after = link_bundle(default_folder(), tmp_path / "b", name="after")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: version(port) == after)
        assert weigh(port).json()["model"] == {"name": "after", "version": after}


def test_after_sighup_a_bad_bundle_changes_nothing(tmp_path: Path) -> None:
    port, before = free_port(), link_bundle(default_folder(), tmp_path / "b", name="before")
    with ended(serving(port, bundle=str(tmp_path / "b"))) as process:
        wait_until(lambda: answers(port), 60)
        (tmp_path / "b" / "manifest.json").write_text("{")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: refused(port))
        assert weigh(port).json()["model"] == {"name": "before", "version": before}
        assert answers(port)


def test_redis_may_die_under_load_and_come_back(redis_server: RedisServer) -> None:
    port = free_port()
    with ended(serving(port, redis_url=redis_server.url, cache_pairs="0")):
        wait_until(lambda: answers(port), 60)
        wait_until(lambda: weigh(port).json()["cache"]["hits"] == 3)
        redis_server.stop()
        assert [weigh(port, f"rug {i}").status_code for i in range(20)] == [200] * 20
        assert answers(port)
        redis_server.start()
        wait_until(lambda: weigh(port).json()["cache"]["hits"] == 3)


def test_two_services_share_what_is_in_redis(redis_server: RedisServer) -> None:
    ports = free_port(), free_port()
    with ended(serving(ports[0], redis_url=redis_server.url)), ended(serving(ports[1], redis_url=redis_server.url)):
        wait_until(lambda: all(answers(port) for port in ports), 60)
        first = weigh(ports[0]).json()
        wait_until(lambda: redis_server.client.dbsize() == 1)
        second = weigh(ports[1]).json()
        assert second["cache"] == {"hits": 3, "misses": 0}
        assert second["weights"] == first["weights"]

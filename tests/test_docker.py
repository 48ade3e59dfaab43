import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from fakes import free_port, redis_server_path
from fastapi import FastAPI
from prometheus_client import generate_latest

from service.__main__ import read_settings
from service.api.routes import add_routes, series
from service.settings import Settings
from service.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_FILE, FEEDBACK_FILE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("docker-compose.yml", "docker/compose.feedback.yml")
)
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)
FEEDBACK: dict[str, Any] = yaml.safe_load(FEEDBACK_FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ADDED = {name: service for name, service in FEEDBACK["services"].items() if name not in SERVICES}
BROUGHT_BY_THE_USER = {"./data", "./runs"}
DASHBOARD = json.loads((ROOT / "docker/grafana/attribute-ranker.json").read_text(encoding="utf-8"))
QUERIES: list[str] = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text(encoding="utf-8"))
ALERTS_FILE = (ROOT / "docker/alerts.yml").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(ALERTS_FILE)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
NAME_OF_RECORDED = r"\w+:\w+:\w+"
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in RULES)]
ALERTS_TEST_FILE = (ROOT / "docker/alerts_test.yml").read_text(encoding="utf-8")
OURS = r"(?<![\w:])ranker_\w+"
ADDED_BY_PROMETHEUS = {"job", "instance", "service"}


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's stages by name, each a list of (instruction, the rest); "" is what stands before the first."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#"))
    for line in filter(None, lines.replace("\\\n", " ").splitlines()):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            found[rest.split()[-1]] = []
        found[list(found)[-1]].append((instruction, rest))
    return found


def given(instruction: str, *, stage: str | None = None) -> list[str]:
    """What every use of an instruction says, in one stage or in all."""
    return [
        rest
        for name, lines in stages().items()
        if stage in (None, name)
        for found, rest in lines
        if found == instruction
    ]


def copied() -> list[str]:
    """The paths of the repository that the images are made of."""
    return [path for rest in given("COPY") if "--from" not in rest for path in rest.split()[:-1]]


def admitted(path: Path) -> bool:
    """Whether .dockerignore lets a file into the build: the last of its lines that fits the file or a folder of it."""
    place, admits = path.relative_to(ROOT), True
    for line in filter(None, (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()):
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, part.as_posix()) for part in (place, *place.parents)):
            admits = line.startswith("!")
    return admits


@cache
def exposition() -> str:
    """What Prometheus reads of a service that has just started, and put a second bundle in the first one's place."""
    telemetry, app = Telemetry(), FastAPI()
    add_routes(app, Settings.model_validate({"admin_key": "key"}))
    for path, status in series(app):
        telemetry.requests.labels(path, status)
    for version in ("1", "2"):
        telemetry.model.labels("en", version, "cpu").set(1)
    telemetry.shadow_model.labels("en", "3", "cpu").set(1)
    return generate_latest(telemetry.registry).decode()


def labels_of(metric: str) -> list[tuple[str, str]]:
    """Each label of a metric's series, with its value."""
    lines = [line for line in exposition().splitlines() if line.startswith(metric + "{")]
    return re.findall(r'(\w+)="(.*?)"', "\n".join(lines))


def mounts() -> list[str]:
    """What compose mounts, from this machine or by a volume's name."""
    services = [*SERVICES.values(), *FEEDBACK["services"].values()]
    found = [mount for service in services for mount in service.get("volumes", ())]
    return [mount.split(":")[0] for mount in found if isinstance(mount, str)]


def environment(name: str) -> dict[str, str]:
    """What compose gives a service by both its files, the one for feedback over the other."""
    return {
        key: value
        for services in (SERVICES, FEEDBACK["services"])
        for key, value in services.get(name, {}).get("environment", {}).items()
    }


@contextmanager
def running(
    command: list[str], *, ready: str, cwd: Path, environment: dict[str, str] | None = None, within_s: float = 60
) -> Iterator[str]:
    """Run a command until the block ends. Gives the line with which it says that it is ready."""
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = threading.Timer(within_s, process.kill)
    deadline.start()
    try:
        printed: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if ready in line:
                break
        else:
            pytest.fail(f"{command} never said {ready!r}:\n{''.join(printed)}")
        deadline.cancel()
        yield line
    finally:
        deadline.cancel()
        process.terminate()
        try:
            process.communicate(timeout=within_s)
        finally:
            process.kill()


@pytest.mark.parametrize("path", copied())
def test_what_the_images_copy_is_there_and_not_ignored(path: str) -> None:
    assert (ROOT / path).exists()
    assert admitted(ROOT / path)


@pytest.mark.parametrize(
    "path", [".git/config", "data/queryner/train.jsonl", "runs/x", "tests/test_docker.py", "service/__pycache__/x.pyc"]
)
def test_what_no_image_needs_is_ignored(path: str) -> None:
    assert not admitted(ROOT / path)


def test_a_stage_copies_only_from_stages_before_it() -> None:
    names = list(stages())
    for name, lines in stages().items():
        for source in re.findall(r"--from=(\S+)", " ".join(rest for _, rest in lines)):
            assert names.index(source) < names.index(name)


@pytest.mark.parametrize("stage", ["serve", "train"])
def test_an_image_runs_as_a_user_with_a_number_other_than_root(stage: str) -> None:
    (user,) = given("USER", stage=stage)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_serve_is_the_image_of_a_plain_build() -> None:
    assert list(stages())[-1] == "serve"


def test_the_extras_that_the_images_install_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {name for rest in given("RUN") for name in re.findall(r'pip install "\.\[(\w+)\]"', rest)}
    named = set(re.findall(r"EXTRAS=\[(\w+)\]", DOCKERFILE))
    assert installed == {"train"}
    assert named == {"gpu"}
    assert installed | named <= set(project["optional-dependencies"])


def test_every_ranker_variable_is_a_setting() -> None:
    names = set(re.findall(r"\bRANKER_(\w+)", DOCKERFILE + COMPOSE_FILE + FEEDBACK_FILE + ALERTS_FILE))
    assert {"HOST", "DEVICE", "REDIS_URL"} <= names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_every_file_that_compose_mounts_is_there() -> None:
    here = {mount for mount in mounts() if mount.startswith(".")}
    assert here >= BROUGHT_BY_THE_USER
    assert all((ROOT / mount).is_file() for mount in here - BROUGHT_BY_THE_USER)


def test_every_volume_that_compose_mounts_is_declared() -> None:
    assert {mount for mount in mounts() if not mount.startswith(".")} == {*COMPOSE["volumes"], *FEEDBACK["volumes"]}


@pytest.mark.parametrize("name", [name for name, service in (SERVICES | ADDED).items() if "build" in service])
def test_a_build_of_compose_names_what_the_dockerfile_has(name: str) -> None:
    build = (SERVICES | ADDED)[name]["build"]
    arguments = {rest.split("=")[0] for rest in given("ARG")}
    assert ROOT / build["context"] == ROOT
    assert build["target"] in stages()
    assert set(build.get("args", {})) <= arguments


@pytest.mark.parametrize("name", ["ranker", "ranker-gpu"])
def test_the_service_runs_locked_down_beside_a_redis_it_can_do_without(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["depends_on"] == ["redis"]
    assert service["environment"]["RANKER_REDIS_URL"] == "redis://redis:6379/0"


def test_the_bundle_to_begin_with_is_that_of_the_package_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment("ranker")["RANKER_BUNDLE"] == "${RANKER_BUNDLE-}"
    monkeypatch.setenv("RANKER_BUNDLE", "")
    assert read_settings([]).bundle is None


@pytest.mark.parametrize("name", ["ranker", "ranker-gpu"])
def test_with_feedback_the_service_takes_events_that_another_process_folds(name: str) -> None:
    unset = {key: re.sub(r"\$\{\w+-\}", "", value) for key, value in environment(name).items()}
    settings = Settings.model_validate(
        {key.removeprefix("RANKER_").lower(): value for key, value in unset.items() if value}
    )
    assert settings.feedback
    assert not settings.fold
    assert {environment(each)["RANKER_REDIS_URL"] for each in (name, "fold", "retrain")} == {"redis://redis:6379/0"}
    assert ADDED["fold"]["command"] == [*json.loads(given("CMD", stage="serve")[0]), "fold"]
    assert "profiles" not in ADDED["fold"]


@pytest.mark.parametrize("name", ["ranker", "ranker-gpu", "fold"])
def test_one_setting_reaches_what_takes_events_and_what_folds_them(name: str) -> None:
    given = environment(name)
    assert FEEDBACK["x-feedback"].items() <= given.items()
    for each in ["SHORT_S", "LONG_S", "SHOWN_S", "WINDOW_S", "CLIENT_CAP", "CLIENT_CAP_S", "WAITING", "KEPT", "TTL_S"]:
        assert given[f"RANKER_FEEDBACK_{each}"] == f"${{RANKER_FEEDBACK_{each}-}}"


def test_with_feedback_nothing_starts_without_a_key() -> None:
    assert environment("ranker")["RANKER_FEEDBACK_KEY"].startswith("${RANKER_FEEDBACK_KEY:?")


def test_with_feedback_redis_writes_to_a_volume_in_place_of_memory() -> None:
    assert {"type": "tmpfs", "target": "/data"} in SERVICES["redis"]["volumes"]
    targets = {mount.split(":")[1]: mount.split(":")[0] for mount in FEEDBACK["services"]["redis"]["volumes"]}
    (file,) = SERVICES["redis"]["command"][1:]
    assert targets == {file: "./docker/redis.feedback.conf", "/data": "redis"}
    assert f"./docker/redis.conf:{file}:ro" in SERVICES["redis"]["volumes"]


@pytest.mark.parametrize("name", ADDED)
def test_what_comes_with_feedback_is_locked_down_like_the_service(name: str) -> None:
    assert COMPOSE["x-locked"].items() <= ADDED[name].items()


def test_what_retraining_leaves_is_where_the_service_finds_bundles() -> None:
    root = SERVICES["ranker"]["environment"]["RANKER_BUNDLE_ROOT"]
    assert f"bundles:{root}:ro" in SERVICES["ranker"]["volumes"]
    assert f"bundles:{root}" in ADDED["retrain"]["volumes"]
    assert any(f" {root}" in rest for rest in given("RUN", stage="base"))


def test_retraining_is_told_what_its_script_reads() -> None:
    script = (ROOT / "docker/retrain.sh").read_text(encoding="utf-8")
    command = ADDED["retrain"]["command"][0]
    told = {name for name in environment("retrain") if name.startswith("RETRAIN_")}
    assert told <= set(re.findall(r"\bRETRAIN_\w+", script + command))
    assert {"RETRAIN_START", "RETRAIN_STEPS", "RETRAIN_CATALOGUE"} <= told


def test_no_port_is_open_to_other_machines() -> None:
    ports = [port for service in (SERVICES | ADDED).values() for port in service.get("ports", ())]
    assert len({port.split(":")[1] for port in ports}) == len(ports)
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_services_of_compose() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) <= set(SERVICES | ADDED)
    assert [f"{found['port']}"] == given("EXPOSE", stage="serve") == [environment("fold")["RANKER_METRICS_PORT"]]


def test_the_alerts_know_what_folds_by_its_name_in_compose() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    assert job["relabel_configs"] == [{"source_labels": ["__meta_dns_name"], "target_label": "service"}]
    assert set(re.findall(r'service!="(\w+)"', ALERTS_FILE)) == {"fold"} <= set(ADDED)


def test_grafana_reads_the_dashboard_from_where_compose_mounts_it() -> None:
    targets = {mount.split(":")[0]: mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}
    (provider,) = yaml.safe_load((ROOT / "docker/grafana/dashboards.yml").read_text(encoding="utf-8"))["providers"]
    mounted = targets["./docker/grafana/attribute-ranker.json"]
    assert Path(mounted).parent == Path(provider["options"]["path"])
    assert mounted == SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]


def test_every_panel_asks_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((ROOT / "docker/grafana/datasource.yml").read_text(encoding="utf-8"))["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    assert all(panel["datasource"] == wanted for panel in DASHBOARD["panels"])


def test_dashboard_and_alerts_ask_for_metrics_that_the_service_has() -> None:
    has = set(re.findall(OURS, exposition()))
    asked = {name for expression in EXPRESSIONS for name in re.findall(OURS, expression)}
    assert asked <= has


def test_alerts_ask_for_what_is_recorded_and_so_does_the_dashboard() -> None:
    assert {name for rule in RULES for name in re.findall(NAME_OF_RECORDED, rule["expr"])} == set(RECORDED)
    assert {name for query in QUERIES for name in re.findall(NAME_OF_RECORDED, query)} <= set(RECORDED)


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    shown = [*QUERIES, *(RECORDED[name] for query in QUERIES for name in re.findall(NAME_OF_RECORDED, query))]
    for family in Telemetry().registry.collect():
        assert any(family.name in expression for expression in shown), family.name


def test_dashboard_and_alerts_group_by_labels_that_their_metrics_have() -> None:
    for expression in EXPRESSIONS:
        has = {label for metric in re.findall(OURS, expression) for label, _ in labels_of(metric)}
        for labels in re.findall(r"\b(?:by|on) \((.*?)\)", expression):
            assert set(labels.split(", ")) <= has | ADDED_BY_PROMETHEUS, expression


def test_dashboard_alerts_and_their_tests_ask_for_labels_that_are_there() -> None:
    for metric, wanted in re.findall(r"(ranker_\w+)\{(.*?)\}", "\n".join([*EXPRESSIONS, ALERTS_TEST_FILE])):
        for label, operator, asked in re.findall(r'(\w+)(=~|!~|!=|=)"(.*?)"', wanted):
            there = [value for name, value in labels_of(metric) if name == label]
            for value in asked.split("|") if label not in ADDED_BY_PROMETHEUS else ():
                pattern = value if "~" in operator else re.escape(value)
                assert any(re.fullmatch(pattern, one) for one in there), f"{metric}: {label}={value}"


def test_alerts_and_prometheus_mean_the_same_job() -> None:
    jobs = {name for rule in RULES for name in re.findall(r'\bjob="(.*?)"', rule["expr"])}
    assert jobs == {job["job_name"] for job in PROMETHEUS["scrape_configs"]}


def test_prometheus_reads_the_rules_from_where_compose_mounts_them() -> None:
    targets = {
        mount.split(":")[0]: Path(mount.split(":")[1]) for mount in SERVICES["prometheus"]["volumes"] if ":ro" in mount
    }
    folder = targets["./docker/prometheus.yml"].parent
    assert [targets[f"./docker/{name}"] for name in PROMETHEUS["rule_files"]] == [folder / "alerts.yml"]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["for"]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"[^\n]+\.", alert["annotations"]["summary"])
    assert alert["annotations"]["description"]


def test_each_alert_fires_in_a_test_of_the_rules() -> None:
    assert set(re.findall(r'alertname="(\w+)"', ALERTS_TEST_FILE)) == set(ALERTS)


def test_the_queues_bound_in_the_alerts_is_the_services() -> None:
    assert f"* {Settings.model_fields['queue_rows'].default}" in ALERTS["RankerQueueNearBound"]["expr"]


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not here; Debian has it in its package prometheus"
)
@pytest.mark.parametrize(
    "arguments",
    [
        "check config docker/prometheus.yml",
        "check rules docker/alerts.yml",
        pytest.param("test rules docker/alerts_test.yml", marks=pytest.mark.slow),  # more than a day, minute by minute
    ],
)
def test_promtool_finds_nothing_wrong(arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments.split()], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "memory", "policy", "appends"),
    [("redis.conf", 256, "allkeys-lfu", "no"), ("redis.feedback.conf", 1024, "noeviction", "yes")],
)
def test_redis_starts_with_our_file_and_keeps_to_it(
    tmp_path: Path, file: str, memory: int, policy: str, appends: str
) -> None:
    port = free_port()
    command = [redis_server_path(), str(ROOT / "docker" / file), "--port", str(port), "--bind", "127.0.0.1"]
    with running(command, ready="Ready to accept connections", cwd=tmp_path), redis.Redis(port=port) as client:
        kept = {name: client.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy", "save", "appendonly")}
    assert kept == {"maxmemory": str(memory * 1024**2), "maxmemory-policy": policy, "save": "", "appendonly": appends}
    assert any(tmp_path.iterdir()) == (appends == "yes")


@pytest.mark.slow  # builds and installs a wheel, then starts the service
def test_the_serving_images_steps_give_a_service_that_gets_ready(tmp_path: Path) -> None:
    source, installed, elsewhere = (tmp_path / name for name in ("source", "installed", "elsewhere"))
    elsewhere.mkdir()
    for path in copied():
        for file in [ROOT / path] if (ROOT / path).is_file() else (ROOT / path).rglob("*"):
            if file.is_file() and admitted(file):
                target = source / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(installed), "."], cwd=source, check=True)
    (start,), (check,) = given("CMD", stage="serve"), given("HEALTHCHECK", stage="serve")
    command = [sys.executable, *json.loads(start)[1:], "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    with running(command, ready="Uvicorn running on", cwd=elsewhere, environment=environment) as line:
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", line)
        code = json.loads(check.split("CMD ", 1)[1])[-1].replace("127.0.0.1:8000/readyz", f"127.0.0.1:{port}/readyz")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=10)
    assert not list(elsewhere.iterdir())

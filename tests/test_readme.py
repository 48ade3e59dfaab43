"""The README and those beside the code hold what the code does: its settings, its examples, its files."""

import itertools
import json
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_export.__main__ import NAMES
from model_export.records import parse
from service.app import create_app
from service.rules import read
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "service", "model_export", "tests/load")
README, *OTHERS = ((ROOT / folder / "README.md").read_text(encoding="utf-8") for folder in FOLDERS)
ALL = "\n".join([README, *OTHERS])
SHOWN = re.findall(r'```json\n({"weights.*?)```', ALL, flags=re.DOTALL)
FEEDBACK = README.partition("\n## Feedback\n")[2].partition("\n## ")[0]
STEPS = re.findall(r"^```\n(.*?)^```\n(?:\n```json\n(.*?)^```)?", FEEDBACK, flags=re.DOTALL | re.MULTILINE)
TELLING = r"""curl() { printf '%s\0' "$@"; [ "${!#}" != @- ] || cat; printf '\x1e'; }"""
FOLDED_S = 60
CURLS = re.findall(r"^(curl .*?)(?=^curl|^for|^```)", ALL, flags=re.DOTALL | re.MULTILINE)
RULES = [c for c in CURLS if ("/admin/rules" in c and "care-last" not in c) or '"query": "Wool rug"' in c]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The service as the README has it where it says so: with an admin key and feedback."""
    settings = Settings.model_validate({"device": "cpu", "admin_key": "secret", "feedback": True})
    with TestClient(create_app(settings)) as client:
        yield client


def sent(commands: str) -> list[list[str]]:
    """What every curl of these commands is given, last its standard input, told by a shell that has another curl."""
    told = subprocess.run(["bash", "-c", f"{TELLING}\n{commands}"], capture_output=True, check=True).stdout
    return [each.split("\0") for each in told.decode().split("\x1e")[:-1]]


def answered(client: TestClient, words: list[str]) -> dict[str, Any]:
    """The answer to a curl that is given these words."""
    given = {flag: value for flag, value in itertools.pairwise(words) if flag in {"-d", "-H", "-X"}}
    path = next(word for word in words if word.startswith("http")).removeprefix("http://127.0.0.1:8000")
    headers = dict([given["-H"].split(": ")]) if "-H" in given else {}
    body = given.get("-d", words[-1])
    response = client.request(given.get("-X", "POST" if body else "GET"), path, content=body, headers=headers)
    assert response.is_success
    if path == "/metrics":
        return {}
    content: dict[str, Any] = response.json()
    return content


def asked(client: TestClient, command: str) -> dict[str, Any]:
    """The answer to a curl line of the README."""
    [words] = sent(command)
    return answered(client, words)


def agrees(shown: Any, real: Any) -> bool:
    """Whether an answer is the one shown, but for the rounding and for what a `…` leaves out of an object."""
    if isinstance(shown, dict) and isinstance(real, dict):
        names = shown.keys() - {"…"}
        kept = names <= real.keys() if "…" in shown else names == real.keys()
        return kept and all(agrees(shown[name], real[name]) for name in names)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(agrees, shown, real))
    return bool(shown == (pytest.approx(real, abs=0.02) if isinstance(real, float) else real))


def says_something(answer: dict[str, Any]) -> bool:
    """Whether every list of an answer has an entry, the first of them with its values where it has such."""
    lists = [each for each in answer.values() if isinstance(each, list)]
    return bool(lists) and all(each and each[0].get("values") != [] for each in lists)


def test_the_settings_table_is_the_codes() -> None:
    rows = dict(re.findall(r"^\| `RANKER_(\w+)` \| `?(.*?)`? \| ", ALL, flags=re.MULTILINE))
    defaults = {
        name.upper(): "" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert rows == defaults


def test_each_setting_is_told_as_help_tells_it() -> None:
    assert all(f"| {field.description} |" in ALL for field in Settings.model_fields.values())


@pytest.mark.parametrize("command", CURLS, ids=range(len(CURLS)))
def test_every_curl_line_works(client: TestClient, command: str) -> None:
    asked(client, command)


def test_the_answer_shown_is_the_real_one(client: TestClient) -> None:
    check_shown(client, SHOWN[0], CURLS[0])


def test_the_ruled_answer_shown_is_the_real_one(client: TestClient) -> None:
    *rules, weights = RULES[:3]
    for command in rules:
        asked(client, command)
    shown, real = check_shown(client, SHOWN[-1], weights)
    assert shown["rules"] == real["rules"]
    for command in RULES[3:]:
        asked(client, command)
    assert "rules" not in asked(client, weights)


def test_every_step_of_the_feedback_example_has_its_answer() -> None:
    [callers] = [commands for commands, text in STEPS if not text]
    assert callers in FEEDBACK.partition("### What each caller gets")[2]


def test_the_feedback_example_answers_as_it_is_shown(client: TestClient) -> None:
    until = 0.0  # what follows events is asked again until they are folded
    for commands, text in STEPS:
        shown = json.loads(text.replace("…", '"…": 0')) if text else None
        for words in sent(commands):
            real = answered(client, words)
            while shown and not agrees(shown, real) and time.monotonic() < until:
                real = answered(client, words)
            assert agrees(shown, real) if shown else says_something(real), (commands, real)
        until = time.monotonic() + FOLDED_S if "/v1/events" in commands else 0.0


def test_the_rules_file_shown_is_one() -> None:
    shown = re.findall(r"```toml\n(\[\[rule\]\].*?)```", ALL, flags=re.DOTALL)[0]
    assert [read(each, "file").id for each in tomllib.loads(shown)["rule"]] == ["care-first", "no-battery"]


def check_shown(client: TestClient, text: str, command: str) -> tuple[dict[str, Any], dict[str, Any]]:
    shown: dict[str, Any] = json.loads(text)
    real: dict[str, Any] = asked(client, command)
    assert [w["attribute"] for w in shown["weights"]] == [w["attribute"] for w in real["weights"]]
    assert shown["model"] == real["model"]
    for told, found in zip(shown["weights"], real["weights"], strict=True):
        assert told["weight"] == pytest.approx(found["weight"], abs=0.02)
        assert [v["text"] for v in told["values"]] == [v["text"] for v in found["values"]]
    return shown, real


def test_the_record_shown_is_one() -> None:
    line = next(line for line in README.splitlines() if line.startswith('{"query": "red wool rug", "attributes"'))
    assert parse(json.loads(line)).values == (((0, 3),), ((4, 8),), ())


def told_files() -> Iterator[Path]:
    """Every path of the file tree, those of one line beside each other."""
    folder = ROOT
    tree = README.partition("## Files")[2].partition("```\n")[2].partition("```")[0]
    for line in tree.splitlines():
        names = line.strip().split("  ")[0].split(", ")
        if not line.startswith(" "):
            folder = ROOT / names[0]
        yield from (folder / name if line.startswith(" ") else ROOT / name for name in names)


def test_what_the_file_tree_names_is_there() -> None:
    assert not [path for path in told_files() if not path.exists()]


def test_the_file_tree_names_every_package() -> None:
    packages = {path.parent for name in ("service", "model_export") for path in (ROOT / name).rglob("__init__.py")}
    assert packages <= set(told_files())


def test_the_stages_are_told_in_their_order() -> None:
    assert " → ".join(NAMES) in ALL


def anchors(text: str) -> set[str]:
    """What a link may point to within a page: its headings as sites write them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_link_leads_somewhere(folder: str) -> None:
    page = ROOT / folder / "README.md"
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link

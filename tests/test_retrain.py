"""docker/retrain.sh: its steps in their order, and what a round that fails leaves behind.

A small `python` on the path stands for the real one: it writes down what it was called with and makes what that makes.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from model_export import config as configuration
from model_export.__main__ import SHIPPED

SCRIPT = Path(__file__).parent.parent / "docker" / "retrain.sh"
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "$FAILS"*) echo "this step failed" >&2; exit 1 ;;
  "-m model_export all"*) mkdir -p "$RETRAIN_RUNS/retrain/stages/package" && echo new > "$RETRAIN_RUNS/retrain/stages/package/manifest.json" ;;
  "-c "*) echo /shipped ;;
esac
"""  # noqa: E501

pytestmark = pytest.mark.skipif(not shutil.which("sh"), reason="there is no sh here")


class Round:
    """What one round was called with, did and left."""

    def __init__(self, folder: Path, *, fails: str = "nothing", **settings: str) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "python").write_text(PYTHON)
        (folder / "bin" / "python").chmod(0o755)
        places = {name: str(folder / name[8:].lower()) for name in ("RETRAIN_RUNS", "RETRAIN_BUNDLES", "RETRAIN_DATA")}
        given = {"CALLS": str(folder / "calls"), "FAILS": fails, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")}
        self.done = subprocess.run(
            ["sh", str(SCRIPT)],
            env=kept | places | given | settings,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.calls = (folder / "calls").read_text().splitlines()

    @property
    def bundles(self) -> list[Path]:
        return [path for path in (self.folder / "bundles").iterdir() if path.name != "comparisons"]


def test_a_round_goes_from_events_to_a_bundle_and_its_comparison(tmp_path: Path) -> None:
    found = Round(tmp_path)
    assert found.done.returncode == 0, found.done.stderr
    steps = [" ".join(call.split()[1:3]) for call in found.calls if call.startswith("-m")]
    assert steps == ["service events", "model_export examples", "model_export all", "model_export compare"]
    (bundle,) = found.bundles
    assert (bundle / "manifest.json").read_text() == "new\n"
    assert f"compare /shipped {tmp_path}/runs/retrain/stages/package" in found.calls[-1]


@pytest.mark.parametrize("step", ["-m service events", "-m model_export examples", "-m model_export all"])
def test_a_round_that_fails_leaves_no_bundle_and_goes_no_further(tmp_path: Path, step: str) -> None:
    found = Round(tmp_path, fails=step)
    assert found.done.returncode != 0
    assert found.calls[-1].startswith(step)
    assert found.bundles == []


def test_training_goes_on_from_a_bundle_where_one_is_named(tmp_path: Path) -> None:
    training = Round(tmp_path, RETRAIN_START="shipped", RETRAIN_STEPS="500").calls[2]
    assert "--set start=shipped" in training
    assert "--set training.steps=500" in training


def test_the_products_of_the_events_are_read_where_a_catalogue_is_named(tmp_path: Path) -> None:
    assert Round(tmp_path, RETRAIN_CATALOGUE="/data/c.jsonl").calls[1].endswith(" --catalogue /data/c.jsonl")


def test_what_is_compared_is_what_training_kept_aside(tmp_path: Path) -> None:
    dev = tmp_path / "runs" / "retrain" / "stages" / "sources" / "log.dev.jsonl"
    dev.parent.mkdir(parents=True)
    dev.write_text("{}\n")
    assert f"--requests {dev}" in Round(tmp_path, RETRAIN_BUNDLE="/served").calls[-1]


def test_the_options_of_the_training_make_a_configuration(tmp_path: Path) -> None:
    words = Round(tmp_path, RETRAIN_START="/bundles/a", RETRAIN_STEPS="500").calls[2].split()
    replaced = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    made = configuration.load(SHIPPED, data=tmp_path, work=tmp_path, replaced=replaced)
    assert (made.sources["log"].reader, made.sources["log"].keep_aside, made.training.steps) == ("jsonl", 0.1, 500)
    assert made.start == Path("/bundles/a")
    assert set(made.sources) == {*tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["sources"], "log"}


def test_the_commands_of_a_round_know_its_options(tmp_path: Path) -> None:
    for call in Round(tmp_path, RETRAIN_CATALOGUE="c.jsonl", RETRAIN_START="shipped").calls:
        command = call.split()
        if command[1] == "model_export":
            told = subprocess.run(
                [sys.executable, *command[:3], *(["--ubi=x"] if command[2] == "examples" else []), "--help"],
                text=True, capture_output=True, check=True, timeout=60,
            ).stdout  # fmt: skip
            assert all(word in told for word in command if word.startswith("--"))

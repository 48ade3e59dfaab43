"""Stages: nothing is done twice, what changed is done again, and a failure costs nothing that was there."""

import ast
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config

from model_export import stage
from model_export.__main__ import NAMES, stages
from model_export.stage import StageFailed


class Work:
    """Writes one file and counts how often it was asked to."""

    def __init__(self, before: Callable[[Path], None] = lambda out: None) -> None:
        self.times = 0
        self.before = before

    def __call__(self, out: Path) -> dict[str, Any]:
        self.times += 1
        self.before(out)
        (out / "made.txt").write_text(f"made {self.times}", encoding="utf-8")
        return {"count": self.times}


def fails(out: Path) -> None:
    (out / "half.txt").write_text("half", encoding="utf-8")
    raise StageFailed("the data is spoilt")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.txt").write_text("data", encoding="utf-8")
    return tmp_path / "raw"


def run(given: Path, work: Work, *, seed: int = 7, resumable: bool = False) -> bool:
    return stage.run(
        "train", given.parent / "train", config={"seed": seed}, inputs=[given], work=work, resumable=resumable
    )


def made(given: Path) -> str:
    return (given.parent / "train" / "made.txt").read_text(encoding="utf-8")


def test_a_stage_runs_when_its_folder_is_not_there(given: Path) -> None:
    assert run(given, Work())


def test_a_stage_is_skipped_when_nothing_has_changed(given: Path) -> None:
    work = Work()
    run(given, work)
    assert not run(given, work)


def test_a_stage_runs_again_when_an_option_has_changed(given: Path) -> None:
    work = Work()
    run(given, work, seed=7)
    assert run(given, work, seed=8)


def test_a_stage_runs_again_when_an_input_has_changed(given: Path) -> None:
    work = Work()
    run(given, work)
    (given / "data.txt").write_text("other", encoding="utf-8")
    assert run(given, work)


def test_a_stage_runs_again_when_an_input_has_come(given: Path) -> None:
    work = Work()
    run(given, work)
    (given / "more.txt").write_text("more", encoding="utf-8")
    assert run(given, work)


def test_a_stage_does_not_look_at_when_and_how_long_the_one_before_it_ran(given: Path) -> None:
    work = Work()
    run(given, work)
    (given / stage.RECORD).write_text('{"seconds": 5}', encoding="utf-8")
    assert not run(given, work)


def test_a_stage_leaves_what_it_was_made_from_and_what_came_of_it(given: Path) -> None:
    run(given, Work())
    record = json.loads((given.parent / "train" / stage.RECORD).read_text(encoding="utf-8"))
    assert (record["config"], list(record["inputs"]), record["outcome"]) == (
        {"seed": 7},
        ["0/raw/data.txt"],
        {"count": 1},
    )


def test_a_stage_is_skipped_when_everything_was_moved(given: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    work = Work()
    run(given, work)
    moved = given.parent.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert not run(moved / "raw", work)


def test_two_inputs_that_change_places_are_not_the_same(given: Path) -> None:
    other = given.parent / "other"
    other.mkdir()
    (other / "data.txt").write_text("other", encoding="utf-8")
    assert stage.hashes([given, other]) != stage.hashes([other, given])


def test_the_code_of_a_stage_is_told_by_the_hash_of_each_module() -> None:
    assert stage.code("stage", "names") == {
        name: stage.sha256(Path(str(files("model_export"))) / f"{name}.py") for name in ("stage", "names")
    }


def test_a_package_counts_with_all_its_modules() -> None:
    assert {"readers/__init__", "readers/lines"} < stage.code("readers").keys()


def test_a_module_of_the_service_is_named_with_it() -> None:
    found = stage.code("stage", "service/text", "service/matching")
    assert found["service/text"] == stage.sha256(Path(str(files("service"))) / "text.py")
    assert {"stage", "service/matching/units"} < found.keys()


def imported(path: Path) -> set[str]:
    """The modules of the service that a module imports, as `stage.code` names them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "service":
            module = str(node.module).replace(".", "/")
            found |= {f"{module}/{name.name}" for name in node.names} if module == "service" else {module}
    return {"service/matching" if module.startswith("service/matching") else module for module in found}


COUNTS_NOTHING = {"service/binding", "service/bundle", "service/cores", "service/errors"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "package"])  # which copies what the others made
def test_a_stage_names_the_service_that_its_modules_count_with(name: str, base: Path) -> None:
    modules = stages(tiny_config(base))[name].modules
    root, found = Path(str(files("model_export"))).parent, set(modules)
    for module in stage.code(*modules):
        found |= imported(root / ("" if module.startswith("service/") else "model_export") / f"{module}.py")
    assert found - COUNTS_NOTHING == set(modules)


def test_a_second_run_leaves_nothing_of_the_first(given: Path) -> None:
    run(given, Work(lambda out: (out / "old.txt").touch()))
    run(given, Work(), seed=8)
    assert not (given.parent / "train" / "old.txt").exists()


def test_failed_work_leaves_the_old_folder(given: Path) -> None:
    run(given, Work())
    with pytest.raises(StageFailed):
        run(given, Work(fails), seed=8)
    assert made(given) == "made 1"


def test_failed_work_is_done_again(given: Path) -> None:
    with pytest.raises(StageFailed):
        run(given, Work(fails))
    assert run(given, Work())


def test_a_stage_begins_in_an_empty_folder_after_a_failure(given: Path) -> None:
    with pytest.raises(StageFailed):
        run(given, Work(fails))
    found: list[str] = []
    run(given, Work(lambda out: found.extend(path.name for path in out.iterdir())))
    assert found == []


def test_a_resumable_stage_finds_what_a_killed_run_left(given: Path) -> None:
    with pytest.raises(StageFailed):
        run(given, Work(fails), resumable=True)
    found: list[str] = []
    run(given, Work(lambda out: found.extend(path.name for path in out.iterdir())), resumable=True)
    assert found == ["half.txt"]


def test_a_resumable_stage_does_not_go_on_from_a_run_with_other_options(given: Path) -> None:
    with pytest.raises(StageFailed):
        run(given, Work(fails), resumable=True)
    found: list[str] = []
    run(given, Work(lambda out: found.extend(path.name for path in out.iterdir())), seed=8, resumable=True)
    assert found == []


def test_a_missing_input_is_named(given: Path) -> None:
    with pytest.raises(StageFailed, match=r"raw/nowhere\.txt is missing"):
        stage.run("train", given.parent / "train", config={}, inputs=[given / "nowhere.txt"], work=Work())

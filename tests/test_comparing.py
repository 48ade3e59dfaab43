"""Two bundles side by side: what is measured, what is written, what is refused in one sentence."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import write_bundle

from model_export.__main__ import main
from model_export.comparing.command import JSON, PAGE, compare
from model_export.comparing.comparison import CHANGED, DIVERGENCE, Weighed, compared
from model_export.comparing.requests import read
from model_export.records import BadRecord, Record
from model_export.stage import StageFailed

NAMES = ["color", "material", "price", "size"]
REQUESTS = [
    {"query": f"{color} {thing}", "attributes": NAMES, "gains": [1, 0.5, 0, 0]}
    for color in ("red", "blue", "green", "navy")
    for thing in ("rug", "shirt", "lamp")
]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / JSON).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return write_bundle(folder / "a"), write_bundle(folder / "b", 1, name="other")


def weighed(a: list[float], b: list[float], gains: tuple[float, ...] = (0.0, 0.0)) -> Weighed:
    return Weighed(Record("red rug", ("color", "price"), gains, (None, None)), a, b)


def test_a_changed_first_attribute_is_counted() -> None:
    found = compared([weighed([0.9, 0.1], [0.6, 0.4]), weighed([0.9, 0.1], [0.2, 0.8])])
    assert found.changes[CHANGED].value == 0.5


def test_requests_without_gains_say_nothing_of_ranking() -> None:
    found = compared([weighed([0.9, 0.1], [0.6, 0.4])])
    assert list(found.sides) == ["entropy, nats"]


def test_the_bundle_that_puts_the_gained_attribute_first_ranks_better() -> None:
    found = compared([weighed([0.9, 0.1], [0.2, 0.8], (0.0, 1.0))] * 3)
    assert {name: found.sides[name].less.value > 0 for name in ("top-1", "MAP", "nDCG")} == dict.fromkeys(
        ("top-1", "MAP", "nDCG"), True
    )


def test_a_bundle_is_no_different_from_itself(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    compare(bundles[0], bundles[0], write(tmp_path / "asked.jsonl", REQUESTS), tmp_path)
    found = content(tmp_path)
    assert [found["changes"][name]["value"] for name in (DIVERGENCE, CHANGED)] == [0, 0]
    assert {metric["b_less_a"]["value"] for metric in found["metrics"].values()} == {0}
    assert found["most_changed"] == []


def test_two_bundles_are_told_apart_by_every_metric(
    bundles: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(*bundles, write(tmp_path / "asked.jsonl", REQUESTS), tmp_path)
    found, page = content(tmp_path), (tmp_path / PAGE).read_text(encoding="utf-8")
    assert found["changes"][DIVERGENCE]["value"] > 0
    assert list(found["metrics"]) == ["entropy, nats", "top-1", "MAP", "nDCG"]
    assert found["requests"] == len(found["most_changed"]) == len(REQUESTS)
    assert (found["a"]["name"], found["b"]["name"]) == ("tiny & new", "other")
    assert "http" not in page
    assert "<h1>A: tiny &amp; new" in page
    assert re.search(r"^nDCG +\d", capsys.readouterr().out, re.MULTILINE)


def test_a_request_that_a_bundle_cannot_read_is_left_out_and_counted(
    bundles: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(*bundles, write(tmp_path / "asked.jsonl", [*REQUESTS, {"query": "\u200b", "attributes": NAMES}]), tmp_path)
    assert content(tmp_path)["left_out"] == 1
    assert "left out: 1" in capsys.readouterr().out


def test_bodies_of_requests_need_no_gains(tmp_path: Path) -> None:
    (found,) = read(write(tmp_path / "asked.jsonl", [{"query": "red rug", "attributes": NAMES, "top_k": 3}]), most=9)
    assert found.gains == (0.0,) * 4


def test_fewer_requests_are_spread_over_the_file(tmp_path: Path) -> None:
    lines = [{"query": f"rug {number}", "attributes": NAMES} for number in range(10)]
    found = read(write(tmp_path / "asked.jsonl", lines), most=5)
    assert [record.query for record in found] == [f"rug {number}" for number in range(0, 10, 2)]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "holds no request"),
        ([{"query": "rug"}], "line 1: there is no 'attributes'"),
        ([*REQUESTS, {"query": " ", "attributes": ["a"]}], "line 13: 'query' must be a text"),
        ([{"query": "rug", "attributes": "color"}], "line 1: 'attributes' must be a list"),
    ],
)
def test_a_file_that_holds_no_requests_is_refused_by_line(
    tmp_path: Path, lines: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(BadRecord, match=says):
        read(write(tmp_path / "asked.jsonl", lines), most=100)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="cannot be read"):
        read(tmp_path / "none.jsonl", most=100)


def test_no_readable_request_is_refused(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="no request that both bundles can read"):
        compare(*bundles, write(tmp_path / "asked.jsonl", [{"query": "\u200b", "attributes": NAMES}]), tmp_path)


def test_results_that_would_go_into_a_file_are_refused_before_the_work(
    bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StageFailed, match=r"out cannot be a folder: File exists; name another"):
        compare(*bundles, tmp_path / "none.jsonl", tmp_path / "out")


def test_a_bundle_that_is_none_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["model_export", "compare", str(tmp_path), str(tmp_path), "--requests", "none"])
    with pytest.raises(SystemExit, match=r"^model_export: the bundle \S+ has no readable manifest\.json: "):
        main()

"""A catalogue's gaps filled with what pictures tell, among the values that it stores."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from seen import COLORS, MATERIALS, made, write

from model_export.filling.command import fill
from model_export.filling.running import Job
from model_export.filling.stored import LEAST_PRODUCTS, MOST_COUNTED, stored_values
from model_export.records import BadRecord

KNOWN, NAMES = made(40, seed=2), ("color", "material", "voltage")
ASKED = [product | {"attributes": {}} for product in made(40, seed=3)]
TRUTHS = [product["attributes"] for product in made(40, seed=3)]


def filled(
    folder: Path, bundle: Path | None, lines: Sequence[dict[str, Any]], **options: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines after those that know all, filled; and the report."""
    write(folder / "in.jsonl", [*KNOWN, *lines])
    job = Job(folder / "in.jsonl", folder / "out.jsonl", **({"attributes": NAMES} | options))
    report = fill(job, bundle, threshold=None, device="cpu")
    return [json.loads(line) for line in job.out.read_bytes().splitlines()][len(KNOWN) :], report


def test_pictures_fill_what_texts_do_not_state(tmp_path: Path, seeing: Path) -> None:
    done, report = filled(tmp_path, seeing, ASKED)
    colors = [(product["attributes"].get("color"), truth["color"]) for product, truth in zip(done, TRUTHS, strict=True)]
    given = [(found, truth) for found, truth in colors if found]
    assert len(given) >= 0.8 * len(done)
    assert np.mean([found == truth for found, truth in given]) >= 0.95
    marks = [product["filled"]["color"] for product in done if "color" in product["filled"]]
    assert all(set(mark) == {"value", "confidence", "source"} and mark["source"] == "image" for mark in marks)
    assert min(mark["confidence"] for mark in marks) >= 0.8
    assert not any("voltage" in product["attributes"] for product in done)
    assert report["pictures"] == {"products": 80, "read": True}


def test_what_texts_state_is_filled_as_without_pictures(tmp_path: Path, seeing: Path) -> None:
    done, _ = filled(tmp_path, seeing, ASKED)
    (tmp_path / "blind").mkdir()
    blind, _ = filled(tmp_path / "blind", None, ASKED)
    for product, other in zip(done, blind, strict=True):
        assert product["filled"]["material"] == other["filled"]["material"]
        assert product["filled"]["material"]["source"] == "text"


def test_pictures_do_not_fill_what_texts_deny(tmp_path: Path, seeing: Path) -> None:
    lines = [p | {"title": f"rug, not {truth['color']}"} for p, truth in zip(ASKED, TRUTHS, strict=True)]
    done, _ = filled(tmp_path, seeing, lines)
    found = [product["attributes"].get("color") for product in done]
    assert not [color for color, truth in zip(found, TRUTHS, strict=True) if color == truth["color"]]


def test_a_bundle_that_reads_no_pictures_leaves_them_and_tells_so(tmp_path: Path) -> None:
    done, report = filled(tmp_path, None, ASKED[:3])
    assert [product["image_embedding"] for product in done] == [product["image_embedding"] for product in ASKED[:3]]
    assert not any("color" in product["attributes"] for product in done)
    assert report["pictures"] == {"products": 43, "read": False}


def test_products_without_a_picture_are_read_by_their_texts(tmp_path: Path, seeing: Path) -> None:
    done, _ = filled(tmp_path, seeing, [product | {"image_embedding": None} for product in ASKED[:5]])
    assert [set(product["filled"]) for product in done] == [{"material"}] * 5


def test_with_a_vocabulary_pictures_choose_among_its_values(tmp_path: Path, seeing: Path) -> None:
    (tmp_path / "stored.json").write_text(json.dumps({"color": [color.upper() for color in COLORS]}), encoding="utf-8")
    done, _ = filled(tmp_path, seeing, ASKED, vocabulary=tmp_path / "stored.json")
    given = [
        (product["attributes"]["color"], truth["color"].upper())
        for product, truth in zip(done, TRUTHS, strict=True)
        if "color" in product["attributes"]
    ]
    assert len(given) >= 0.8 * len(done)
    assert np.mean([found == truth for found, truth in given]) >= 0.95


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, seeing: Path) -> None:
    _, report = filled(tmp_path, seeing, ASKED)
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_bytes(b"".join(lines[:60]) + lines[60][:20])
    _, again = filled(tmp_path, seeing, ASKED)
    assert again["attributes"]["color"]["filled"] == report["attributes"]["color"]["filled"]


@pytest.mark.parametrize(
    ("vector", "what"),
    [([1.0], "image_embedding has 1 numbers, and this bundle reads 24"), ([0.0] * 24, "nothing but zeros")],
)
def test_a_bad_vector_is_named_before_anything_is_written(
    tmp_path: Path, seeing: Path, vector: list[float], what: str
) -> None:
    with pytest.raises(
        BadRecord, match=rf"in\.jsonl, line 41: .*{what}.*: mend the line or take it out, and run again"
    ):
        filled(tmp_path, seeing, [ASKED[0] | {"image_embedding": vector}])
    assert not (tmp_path / "out.jsonl").exists()


# What a catalogue stores


def stored(*values: object) -> dict[str, list[str]]:
    return stored_values([{"attributes": {"color": value}} for value in values], str.isalpha)


def test_values_are_those_of_two_products_or_more_the_most_frequent_first() -> None:
    values = [*MATERIALS[:1] * 2, *MATERIALS[1:3] * 3, "one of a kind"]
    assert LEAST_PRODUCTS == 2
    assert stored(*values) == {"color": ["cotton", "silk", "wool"]}


def test_a_value_is_spelled_as_most_products_do() -> None:
    assert stored("Red", " Red", "RED", "blue", "Blue", "Blue") == {"color": ["Red", "Blue"]}


def test_what_is_no_text_or_cannot_be_read_is_no_value() -> None:
    assert stored(1, 1, None, None, True, True, "🧶", "🧶", "a" * 129, "a" * 129, "red", "red", "blue", "blue") == {
        "color": ["red", "blue"]
    }


def test_an_attribute_with_one_value_leaves_nothing_to_choose() -> None:
    assert stored("red", "red") == {}


def test_of_very_many_values_those_counted_once_are_forgotten() -> None:
    assert stored("red", "red", "blue", "blue", *map(str, range(MOST_COUNTED))) == {"color": ["red", "blue"]}

"""The stage of pictures: what it learns from products whose texts do not tell all, and when it writes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from seen import OPTIONS, made, taught, write
from tiny import tiny_config

from model_export.config import Config
from model_export.filling.reading import Reader
from model_export.pictures import teach, write_pictures
from model_export.records import BadRecord
from model_export.stage import StageFailed
from service.bundle import Bundle
from service.model import Model
from service.text import Tokenizer


@pytest.fixture(scope="module")
def outcome(seeing: Path) -> dict[str, Any]:
    """What training told."""
    told: dict[str, Any] = json.loads((seeing.parent / "stage.json").read_text(encoding="utf-8"))
    return told


def test_a_value_that_only_pictures_tell_is_learned(outcome: dict[str, Any]) -> None:
    color = outcome["metrics"]["attributes"]["color"]
    assert color["text_alone"] <= 0.4
    assert color["with_pictures"] >= 0.95


def test_a_value_that_texts_state_is_told_as_well_as_before(outcome: dict[str, Any]) -> None:
    material = outcome["metrics"]["attributes"]["material"]
    assert material["with_pictures"] == material["text_alone"] == 1.0


def test_a_gate_opens_for_what_pictures_tell_and_stays_shut_for_the_rest(outcome: dict[str, Any]) -> None:
    gates = {name: each["gate"] for name, each in outcome["metrics"]["attributes"].items()}
    assert gates["color"] > 0.9
    assert max(gates["material"], gates["voltage"]) < 0.1


def test_what_is_sure_enough_is_right(outcome: dict[str, Any]) -> None:
    sure = outcome["metrics"]["sure"]
    assert sure["right"] >= 0.95
    assert sure["share"] == pytest.approx(2 / 3, abs=0.1)


def configured(base: Path, folder: Path, products: list[dict[str, Any]] | None) -> Config:
    if products is None:
        return tiny_config(base, data=folder)
    write(folder / "seen.jsonl", products)
    return tiny_config(base, data=folder, pictures=OPTIONS)


def test_nothing_is_written_without_a_catalogue_or_vectors(base: Path, tmp_path: Path) -> None:
    blind = [product | {"image_embedding": None} for product in made(3)]
    (tmp_path / "out").mkdir()
    for products in (None, blind):
        assert write_pictures(configured(base, tmp_path, products), tmp_path, tmp_path / "out") == {"products": 0}
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("vector", "what"),
    [
        ([1.0, 2.0], r"seen\.jsonl, line 2: image_embedding has 2 numbers, and this bundle reads 24"),
        ([0] * 24, r"seen\.jsonl, line 2: image_embedding holds nothing but zeros"),
        ("red", r"seen\.jsonl, line 2: 'image_embedding' must be a list of numbers"),
        ([True] * 24, "must be a list of numbers"),
        ([10**400] * 24, "must be a list of numbers"),
    ],
)
def test_a_bad_vector_is_named_by_its_line(
    tmp_path: Path, model: Model, tokenizer: Tokenizer, bundle: Bundle, vector: object, what: str
) -> None:
    first, second = made(2)
    path = write(tmp_path / "seen.jsonl", [first, second | {"image_embedding": vector}])
    with pytest.raises(BadRecord, match=what):
        teach(Reader(model, tokenizer, bundle.value_threshold, 1), path, OPTIONS, 7, tmp_path)


def test_too_few_products_are_refused(tmp_path: Path, model: Model, tokenizer: Tokenizer, bundle: Bundle) -> None:
    with pytest.raises(StageFailed, match=r"pictures\.catalogue has 8 products with a vector, which give \d+ known"):
        taught(Reader(model, tokenizer, bundle.value_threshold, 1), tmp_path, 8)

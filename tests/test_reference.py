"""What dev data look like to a bundle, as the service later compares its requests with."""

import math
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_tokenizer, write_tokenizer

from model_export.evaluation import Prediction
from model_export.records import Record
from model_export.reference import reference, to_json
from service.bundle import Reference


def prediction(query: str, logits: list[float], gains: tuple[float, ...]) -> Prediction:
    names = tuple(f"attribute {number}" for number in range(len(logits)))
    return Prediction(
        Record(query, names, gains, (None,) * len(logits)), np.array(logits), (frozenset(),) * len(logits)
    )


def test_unknown_pieces_and_evenness_are_those_of_the_dev_records(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    found = reference(
        tiny_tokenizer(tmp_path),
        [prediction("red ⛷", [0.0, 0.0], (1.0, 0.0)), prediction("red rug", [0.0, 0.0], (1.0, 0.0))],
        temperature=1.0,
    )
    assert [*found] == pytest.approx([0.25, 1.0, 0.5])


def test_what_no_record_tells_is_null_in_the_manifest(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    found = reference(tiny_tokenizer(tmp_path), [prediction("red", [1.0], (1.0,))], temperature=1.0)
    assert to_json(found) == {"unknown_ratio": 0.0, "entropy_ratio": None, "calibration_error": None}
    assert math.isnan(found.entropy_ratio)


def test_figures_are_rounded() -> None:
    assert to_json(Reference(1 / 3, 0.5, 0.0))["unknown_ratio"] == 0.33333

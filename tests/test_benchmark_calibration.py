"""Calibration before and after the temperature, and whether entropy tells."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from model_export.benchmark.calibration import calibration
from model_export.evaluation import Prediction
from model_export.records import Record


def predicted(logits: Sequence[float], gains: Sequence[float]) -> Prediction:
    return Prediction(
        Record("red rug", ("color", "size"), tuple(gains), (None, None)), np.array(logits, float), (frozenset(),) * 2
    )


def test_the_error_is_told_at_the_temperature_and_at_one() -> None:
    part = [predicted([math.log(9), 0], [1, 0]), predicted([math.log(9), 0], [0, 1])]
    error = calibration(part, temperature=2.0)["ECE"]
    assert error.value == pytest.approx(0.25)
    assert error.baselines == {"at T = 1": pytest.approx(0.4)}


def test_entropy_tells_when_the_wrong_are_the_unsure() -> None:
    sure, unsure = predicted([5, 0], [1, 0]), predicted([1, 0], [0, 1])
    assert calibration([sure, sure, unsure], temperature=1.0)["entropy tells wrong, AUC"].value == 1


def test_what_ranks_nothing_has_no_say() -> None:
    part = [predicted([5, 0], [1, 0]), predicted([5, 0], [1, 1])]
    assert calibration(part, temperature=1.0)["ECE"].n == 1

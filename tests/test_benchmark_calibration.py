"""Calibration before and after the temperature, at one that other queries gave, and whether entropy tells."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from model_export.benchmark.calibration import CROSS_VALIDATED, calibration
from model_export.evaluation import Prediction
from model_export.records import Record


def predicted(logits: Sequence[float], gains: Sequence[float]) -> Prediction:
    return Prediction(
        Record("red rug", ("color", "size"), tuple(gains), (None, None)), np.array(logits, float), (frozenset(),) * 2
    )


def test_the_error_is_told_at_the_temperature_and_at_one() -> None:
    part = [predicted([math.log(9), 0], [1, 0]), predicted([math.log(9), 0], [0, 1])]
    error = calibration(part, [0, 1], temperature=2.0)["ECE"]
    assert error.value == pytest.approx(0.25)
    assert error.baselines == {"at T = 1": pytest.approx(0.4)}


def test_a_temperature_is_fitted_on_the_other_folds() -> None:
    right, wrong = predicted([math.log(9), 0], [1, 0]), predicted([math.log(9), 0], [0, 1])
    # At the T of its own, 1 and 2, either part would be without error.
    often, less = [right] * 9 + [wrong], [right] * 3 + [wrong]
    error = calibration([*often, *less], [0] * 10 + [3] * 4, temperature=1.0)[CROSS_VALIDATED]
    assert (error.value, error.n) == (pytest.approx(0.15, abs=1e-3), 14)
    assert error.low < error.value < error.high
    alike = calibration(often * 3, [1] * 10 + [4] * 10 + [2] * 10, temperature=3.0)[CROSS_VALIDATED]
    assert alike.value == pytest.approx(0, abs=1e-3)


def test_entropy_tells_when_the_wrong_are_the_unsure() -> None:
    sure, unsure = predicted([5, 0], [1, 0]), predicted([1, 0], [0, 1])
    assert calibration([sure, sure, unsure], [0, 1, 2], temperature=1.0)["entropy tells wrong, AUC"].value == 1


def test_entropy_tells_how_good_the_order_is_when_the_unsure_are_the_worse() -> None:
    sure, unsure = predicted([5, 0], [1, 0]), predicted([1, 0], [0, 1])
    found = calibration([sure, unsure], [0, 1], temperature=1.0)["entropy tells low nDCG, Spearman"]
    assert found.value == pytest.approx(1)


def test_what_ranks_nothing_has_no_say() -> None:
    part = [predicted([5, 0], [1, 0]), predicted([5, 0], [1, 1])]
    found = calibration(part, [0, 1], temperature=1.0)
    assert found["ECE"].n == found[CROSS_VALIDATED].n == 1

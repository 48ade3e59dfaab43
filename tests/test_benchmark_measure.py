"""A measured number, its interval, its JSON form."""

import math

import pytest

from model_export.benchmark import measure


def test_a_mean_lies_in_its_interval_beside_its_baselines() -> None:
    found = measure.mean([0, 1, 1, 0.5], {"chance": 0.25})
    assert found.value == 0.625
    assert found.low < 0.625 < found.high
    assert (found.n, found.baselines) == (4, {"chance": 0.25})


def test_precision_recall_and_f1_are_of_all_counts_together() -> None:
    found = measure.counted([(1, 2, 1), (1, 2, 4)])
    assert [found[name].value for name in ("precision", "recall", "F1")] == pytest.approx([0.5, 0.4, 4 / 9])


def test_what_is_no_number_is_null_in_json() -> None:
    assert measure.Measure(math.nan, 0.1234567, 1, 3).to_json() == {"value": None, "low": 0.12346, "high": 1, "n": 3}

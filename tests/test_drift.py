"""What has changed since the bundle was judged: unknown words, evenness, calibration, each beside the bundle's own."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.bundle import Reference
from service.drift import BLOCK, LEAST_CHOICES, Calibration, Drift
from service.telemetry import Telemetry
from service.text import Tokenizer

NAMES = ["color", "size"]
REFERENCE = Reference(0.01, 0.6, 0.02)


def gauges(telemetry: Telemetry) -> dict[str, float]:
    families = text_string_to_metric_families(telemetry.exposition().decode())
    found = [sample for family in families for sample in family.samples if sample.name.startswith("ranker_drift_")]
    return {sample.name.removeprefix("ranker_drift_"): sample.value for sample in found}


def seen(tokenizer: Tokenizer, query: str, entropy: float, *, count: int = BLOCK, attributes: int = 2) -> Telemetry:
    telemetry = Telemetry()
    drift = Drift(REFERENCE, tokenizer.unknown, telemetry)
    for _ in range(count):
        drift.saw(query, NAMES, tokenizer.query(query), [1 / attributes] * attributes, entropy)
    return telemetry


def test_nothing_is_told_before_there_is_enough(tokenizer: Tokenizer) -> None:
    found = gauges(seen(tokenizer, "red rug", 0.1, count=BLOCK - 1))
    assert len(found) == 6
    assert all(math.isnan(value) for value in found.values())


def test_pieces_that_the_tokenizer_lacks_are_told_as_a_share_of_all(tokenizer: Tokenizer) -> None:
    assert gauges(seen(tokenizer, "red rug", 0.1))["unknown_ratio"] == 0
    assert gauges(seen(tokenizer, "red ⛷", 0.1))["unknown_ratio"] == 0.5


@pytest.mark.parametrize("attributes", [2, 20])
def test_even_weights_are_even_whatever_their_number(tokenizer: Tokenizer, attributes: int) -> None:
    found = gauges(seen(tokenizer, "red rug", math.log(attributes), attributes=attributes))
    assert found["entropy_ratio"] == pytest.approx(1)


def test_the_weight_of_a_single_attribute_says_nothing_of_evenness(tokenizer: Tokenizer) -> None:
    assert math.isnan(gauges(seen(tokenizer, "red rug", 0.0, attributes=1))["entropy_ratio"])


def test_the_bundles_own_figures_stand_beside(tokenizer: Tokenizer) -> None:
    found = gauges(seen(tokenizer, "red rug", 0.1))
    assert {name: found[f"{name}_reference"] for name in ("unknown_ratio", "entropy_ratio", "calibration_error")} == {
        "unknown_ratio": 0.01,
        "entropy_ratio": 0.6,
        "calibration_error": 0.02,
    }


def test_a_bundle_without_a_reference_takes_over_from_one_that_had_it(tokenizer: Tokenizer) -> None:
    telemetry = seen(tokenizer, "red rug", 0.1)
    drift = Drift(None, tokenizer.unknown, telemetry)
    for _ in range(BLOCK):
        drift.saw("red rug", NAMES, tokenizer.query("red rug"), [0.5, 0.5], 0.1)
    assert math.isnan(gauges(telemetry)["unknown_ratio_reference"])


def test_a_change_shows_while_what_was_before_is_forgotten(tokenizer: Tokenizer) -> None:
    telemetry = Telemetry()
    drift = Drift(REFERENCE, tokenizer.unknown, telemetry)
    told = []
    for query in ("red rug", "⛷ ⛷"):
        for _ in range(5_000):
            drift.saw(query, NAMES, tokenizer.query(query), [0.5, 0.5], 0.1)
        told.append(gauges(telemetry)["unknown_ratio"])
    assert told == [0, pytest.approx(2 / 3, abs=0.01)]


def chosen(share: float, *, count: int = LEAST_CHOICES + BLOCK) -> float:
    """What is told where the top weight is always 0.8."""
    telemetry = Telemetry()
    calibration = Calibration(telemetry)
    for number in range(count):
        calibration.saw(0.8, chosen=number % 10 < 10 * share)
    return gauges(telemetry)["calibration_error"]


def test_choices_as_often_as_the_weight_says_are_no_error() -> None:
    assert chosen(0.8) == pytest.approx(0, abs=0.01)


def test_choices_more_seldom_than_the_weight_says_are_an_error_of_the_difference() -> None:
    assert chosen(0.5) == pytest.approx(0.3, abs=0.01)


def test_few_choices_tell_nothing_of_calibration() -> None:
    assert math.isnan(chosen(0.5, count=LEAST_CHOICES // 2))

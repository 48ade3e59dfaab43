"""What is counted of answers and choices, for the rules in docker/ to tell drift by."""

import math

import pytest

from service.bundle import Reference
from service.drift import Calibration, Drift, tell_reference
from service.telemetry import BINS, REFERENCES, Telemetry
from service.text import Tokenizer

NAMES = ["color", "size"]


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    found = telemetry.registry.get_sample_value(f"ranker_drift_{name}", labels)
    assert found is not None
    return found


def seen(tokenizer: Tokenizer, query: str, entropy: float, *, attributes: int = 2) -> Telemetry:
    telemetry = Telemetry()
    drift = Drift(tokenizer.unknown, telemetry)
    for _ in range(2):
        drift.saw(query, NAMES, tokenizer.query(query), [1 / attributes] * attributes, entropy)
    return telemetry


@pytest.mark.parametrize(("query", "known", "unknown"), [("red rug", 4, 0), ("red ⛷", 2, 2)])
def test_pieces_are_counted_by_whether_the_tokenizer_has_them(
    tokenizer: Tokenizer, query: str, known: int, unknown: int
) -> None:
    telemetry = seen(tokenizer, query, 0.1)
    assert value(telemetry, "pieces_total", piece="known") == known
    assert value(telemetry, "pieces_total", piece="unknown") == unknown


@pytest.mark.parametrize("attributes", [2, 20])
def test_even_weights_are_even_whatever_their_number(tokenizer: Tokenizer, attributes: int) -> None:
    telemetry = seen(tokenizer, "red rug", math.log(attributes), attributes=attributes)
    assert value(telemetry, "entropy_ratio_sum") == pytest.approx(2)
    assert value(telemetry, "entropy_ratio_count") == 2


def test_the_weight_of_a_single_attribute_says_nothing_of_evenness(tokenizer: Tokenizer) -> None:
    assert value(seen(tokenizer, "red rug", 0.0, attributes=1), "entropy_ratio_count") == 0


@pytest.mark.parametrize("figure", REFERENCES)
def test_a_figure_of_the_bundle_is_unknown_until_it_is_told_and_with_one_that_lacks_it(figure: str) -> None:
    telemetry, told = Telemetry(), []
    for reference in (None, Reference(0.01, 0.6, 0.02), None):
        tell_reference(reference, telemetry)
        told.append(value(telemetry, f"{figure}_reference"))
    assert told == pytest.approx([math.nan, Reference(0.01, 0.6, 0.02)._asdict()[figure], math.nan], nan_ok=True)


@pytest.mark.parametrize(("weight", "place"), [(0.0, "0.0"), (0.69, "0.6"), (0.7, "0.7"), (1.0, "0.9")])
def test_a_choice_is_counted_in_the_tenth_of_the_top_weight(weight: float, place: str) -> None:
    telemetry = Telemetry()
    calibration = Calibration(telemetry)
    for chosen in (True, False, True):
        calibration.saw(weight, chosen=chosen)
    assert value(telemetry, "top_weight_sum", bin=place) == pytest.approx(3 * weight)
    assert value(telemetry, "top_chosen_total", bin=place) == 2
    assert {each: value(telemetry, "top_weight_count", bin=each) for each in BINS} == dict.fromkeys(BINS, 0) | {
        place: 3
    }

"""Sample weights: the formulas by hand, and that a label the first model doubts counts less."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_export.sample_weights import LARGEST, WEIGHTINGS, likelihood, likelihood_ratio, prior, self_paced

SHARES = arrays.arrays(float, st.integers(1, 20), elements=st.floats(1e-6, 1))


def test_the_likelihood_of_one_gained_attribute_is_its_weight() -> None:
    assert likelihood([[0.75, 0.25]], [[1, 0]]).tolist() == pytest.approx([0.75])


def test_the_likelihood_of_several_is_their_geometric_mean_by_gain() -> None:
    assert likelihood([[0.5, 0.125, 0.375]], [[0.5, 0.5, 0]]).tolist() == pytest.approx([0.25])


def test_a_weight_of_zero_has_a_likelihood_that_is_a_number() -> None:
    assert likelihood([[1.0, 0.0]], [[0, 1]]).tolist() == pytest.approx([1e-12])


def test_records_of_different_lengths_have_a_likelihood_each() -> None:
    assert likelihood([[1.0], [0.5, 0.5]], [[1], [1, 0]]).tolist() == pytest.approx([1, 0.5])


def test_the_prior_is_what_a_name_has_on_the_average() -> None:
    names, weights = [("color", "price")] * 2, [[0.9, 0.1], [0.5, 0.5]]
    # Color has 0.7 on the average, the price 0.3.
    assert prior(names, weights, [[1, 0], [0, 1]]).tolist() == pytest.approx([0.7, 0.3])


def test_the_prior_is_scaled_to_the_candidates_of_the_record() -> None:
    names, weights = [("color", "price"), ("color", "size")], [[0.9, 0.1], [0.5, 0.5]]
    # Color has 0.7 on the average, the price 0.1: among the two 7/8.
    assert prior(names, weights, [[1, 0], [1, 0]]).tolist() == pytest.approx([7 / 8, 7 / 12])


def test_the_ratio_is_scaled_to_mean_one() -> None:
    assert likelihood_ratio(np.array([0.6, 0.2]), np.array([0.4, 0.4])).tolist() == pytest.approx([1.5, 0.5])


def test_no_ratio_counts_more_than_the_largest() -> None:
    found = likelihood_ratio(np.array([0.9, 0.3]), np.array([0.01, 0.3]))
    assert (found[0] / found[1]).item() == pytest.approx(LARGEST)


def test_the_pace_lets_in_what_it_does_not_lose() -> None:
    # Losses 1, 2, 3, 4, 5 and the 80th percentile 4.2.
    losses = np.array([1.0, 2, 3, 4, 5])
    soft = np.maximum(0, 1 - losses / 4.2)
    assert self_paced(np.exp(-losses), losses).tolist() == pytest.approx((soft / soft.mean()).tolist())


def test_records_that_all_lose_as_much_count_alike() -> None:
    assert self_paced(np.full(3, 0.2), np.full(3, 0.5)).tolist() == [1, 1, 1]


def test_records_that_lose_nothing_count_alike() -> None:
    assert self_paced(np.ones(3), np.full(3, 0.5)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
@given(posterior=SHARES)
def test_weights_are_of_mean_one_and_at_least_zero(
    name: str, posterior: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    found = WEIGHTINGS[name](posterior, np.full_like(posterior, 0.5))
    assert math.isclose(found.mean(), 1, rel_tol=1e-9) and found.min() >= 0


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_a_label_that_the_model_doubts_counts_less(name: str) -> None:
    # Nine records that the first model agrees with, more or less, and one that says the other attribute.
    names, weights = [("color", "price")] * 10, [[0.9 + n / 100, 0.1 - n / 100] for n in range(10)]
    gains = [[1, 0]] * 9 + [[0, 1]]
    found = WEIGHTINGS[name](likelihood(weights, gains), prior(names, weights, [[1, 0]] * 10))
    assert found[9] < 0.5 * found[:9].mean()

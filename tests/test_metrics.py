"""Metrics against numbers worked out by hand."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model_export import metrics

SECOND = 1 / math.log2(3)
"""The discount of the second rank."""

RANKINGS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=6).filter(
    lambda pairs: any(gain for _, gain in pairs)
)


def test_ndcg_of_the_ideal_order_is_one() -> None:
    assert metrics.ndcg([3, 2, 1], [2, 1, 0]) == pytest.approx(1)


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert metrics.ndcg([3, 2, 1], [0, 1, 0]) == pytest.approx(SECOND)


def test_ndcg_takes_gains_as_they_are() -> None:
    assert metrics.ndcg([1, 2], [3, 1]) == pytest.approx((1 + 3 * SECOND) / (3 + SECOND))


def test_ndcg_gives_equal_scores_the_mean_of_their_gains() -> None:
    assert metrics.ndcg([5, 5], [1, 0]) == pytest.approx((0.5 + 0.5 * SECOND) / 1)


def test_ndcg_is_not_a_number_when_nothing_has_a_gain() -> None:
    assert math.isnan(metrics.ndcg([1, 2], [0, 0]))


@settings(deadline=None)
@given(pairs=RANKINGS)
def test_ndcg_does_not_depend_on_the_order_that_candidates_come_in(pairs: list[tuple[int, int]]) -> None:
    scores, gains = zip(*pairs, strict=True)
    assert metrics.ndcg(scores, gains) == pytest.approx(metrics.ndcg(scores[::-1], gains[::-1]))


@settings(deadline=None)
@given(pairs=RANKINGS)
def test_ndcg_lies_between_zero_and_one(pairs: list[tuple[int, int]]) -> None:
    scores, gains = zip(*pairs, strict=True)
    assert 0 < metrics.ndcg(scores, gains) <= 1 + 1e-12


def test_average_precision_is_the_mean_of_the_precisions_at_relevant_ranks() -> None:
    assert metrics.average_precision([4, 3, 2, 1], [1, 0, 2, 0]) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_average_precision_of_equal_scores_is_that_of_a_blind_order() -> None:
    assert metrics.average_precision([1, 1], [0, 1]) == metrics.average_precision([1, 1], [1, 0]) == (1 + 1 / 2) / 2


@settings(deadline=None, max_examples=50)
@given(pairs=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=6))
def test_average_precision_is_the_mean_over_all_orders_of_what_is_equal(pairs: list[tuple[int, int]]) -> None:
    assume(any(gain for _, gain in pairs))
    orders = [sorted(order, key=lambda pair: -pair[0]) for order in permutations(pairs)]
    apart = [metrics.average_precision(range(len(order), 0, -1), [gain for _, gain in order]) for order in orders]
    assert metrics.average_precision(*zip(*pairs, strict=True)) == pytest.approx(np.mean(apart))


def test_average_precision_is_not_a_number_when_nothing_is_relevant() -> None:
    assert math.isnan(metrics.average_precision([1, 2], [0, 0]))


@pytest.mark.parametrize(("scores", "expected"), [([2, 1], 1.0), ([1, 2], 0.0), ([1, 1], 0.5)])
def test_the_first_is_relevant_when_it_has_a_gain(scores: list[float], expected: float) -> None:
    assert metrics.first_is_relevant(scores, [0.5, 0]) == expected


def test_the_first_is_not_asked_about_when_nothing_is_relevant() -> None:
    assert math.isnan(metrics.first_is_relevant([1, 2], [0, 0]))


def test_f1_counts_over_all_pairs() -> None:
    pairs: list[tuple[set[str], set[str]]] = [({"a", "b"}, {"a"}), ({"c"}, {"d", "e"}), (set(), set())]
    assert metrics.f1(pairs) == pytest.approx(2 * 1 / (3 + 3))


def test_f1_is_zero_when_nothing_is_right() -> None:
    assert metrics.f1([({"a"}, {"b"})]) == 0.0


def test_f1_of_nothing_is_zero() -> None:
    assert metrics.f1([]) == 0.0


def test_kl_divergence_is_in_nats() -> None:
    found = metrics.kl_divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    assert found == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_kl_divergence_of_a_distribution_to_itself_is_zero() -> None:
    assert metrics.kl_divergence(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0


def test_kl_divergence_stays_finite_where_the_other_says_never() -> None:
    assert math.isfinite(metrics.kl_divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0])))


def test_reliability_leaves_out_empty_bins() -> None:
    assert metrics.reliability([0.25, 0.75, 0.75], [0, 1, 0]) == [(0.25, 0.0, 1), (0.75, 0.5, 2)]


def test_a_confidence_of_one_falls_into_the_last_bin() -> None:
    assert metrics.reliability([1.0], [1.0]) == [(1.0, 1.0, 1)]


def test_calibration_error_weighs_the_gaps_of_the_bins_by_their_counts() -> None:
    error = metrics.calibration_error([0.95, 0.95, 0.95, 0.15], [1, 1, 0, 0])
    assert error == pytest.approx(0.75 * abs(0.95 - 2 / 3) + 0.25 * 0.15)


def test_the_mean_leaves_out_what_is_not_a_number() -> None:
    assert metrics.mean([1.0, math.nan, 2.0]) == 1.5


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_the_mean_of_nothing_is_not_a_number(values: list[float]) -> None:
    assert math.isnan(metrics.mean(values))


def test_ndcg_of_the_first_places_counts_no_others() -> None:
    assert metrics.ndcg([3, 2, 1], [0, 1, 1], top=2) == pytest.approx(SECOND / (1 + SECOND))


def test_an_interval_holds_the_statistic_and_shrinks_with_the_sample() -> None:
    values = np.tile([0.0, 1.0], 200)
    narrow = metrics.bootstrap(metrics.mean_of(values), 400)
    wide = metrics.bootstrap(metrics.mean_of(values[:20]), 20)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(size=500)
    error = values.std() / np.sqrt(500)
    low, high = metrics.bootstrap(metrics.mean_of(values), 500, draws=4_000)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)


def test_an_interval_is_the_same_each_time() -> None:
    statistic = metrics.mean_of([1, 2, 4])
    assert metrics.bootstrap(statistic, 3) == metrics.bootstrap(statistic, 3) != metrics.bootstrap(statistic, 3, seed=8)


def test_resamples_without_a_number_are_left_out_of_an_interval() -> None:
    assert metrics.bootstrap(metrics.auc_of([0, 1], [False, True]), 2) == (1.0, 1.0)
    assert np.isnan(metrics.bootstrap(metrics.auc_of([1, 1], [True, True]), 2)).all()


def test_an_empty_sample_has_no_interval() -> None:
    assert np.isnan(metrics.bootstrap(metrics.mean_of([]), 0)).all()


def of_itself(statistic: metrics.Statistic, size: int) -> float:
    """A statistic of the sample itself."""
    return float(statistic(np.ones((1, size)))[0])


def test_a_ratio_is_of_sums_and_zero_over_nothing() -> None:
    assert of_itself(metrics.ratio_of([1, 3], [2, 8]), 2) == pytest.approx(0.4)
    assert of_itself(metrics.ratio_of([1], [0]), 1) == 0


def test_a_quantile_is_of_all_values_of_all_members() -> None:
    values = [[4.0, 1.0], [], [3.0, 2.0, 5.0]]
    assert [of_itself(metrics.quantile_of(values, share), 3) for share in (0.2, 0.5, 0.9, 1.0)] == [1, 3, 5, 5]
    assert math.isnan(of_itself(metrics.quantile_of([[], []], 0.5), 2))


def test_a_statistic_counts_a_member_as_often_as_it_was_drawn() -> None:
    counts = np.array([[3.0, 1.0]])
    assert metrics.mean_of([0, 1])(counts) == pytest.approx([0.25])
    assert metrics.ratio_of([0, 1], [1, 1])(counts) == pytest.approx([0.25])
    assert metrics.quantile_of([0, 1], 0.75)(counts) == [0]
    assert metrics.quantile_of([0, 1], 0.8)(counts) == [1]


@settings(deadline=None)
@given(points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_calibration_error_of_a_sample_is_the_plain_one(points: list[tuple[float, float]]) -> None:
    confidence, observed = zip(*points, strict=True)
    statistic = metrics.calibration_error_of(confidence, observed)
    assert of_itself(statistic, len(points)) == pytest.approx(metrics.calibration_error(confidence, observed))


def test_the_area_under_the_curve_counts_ties_half() -> None:
    assert of_itself(metrics.auc_of([3, 1, 2, 1], [True, True, False, False]), 4) == pytest.approx((2 + 0 + 0.5) / 4)


@pytest.mark.parametrize(
    ("other", "expected"),
    [([1, 4, 9, 16], 1), ([0, -1, -2, -3], -1), ([1, 2, 3, 3], 0.94868), ([5, 5, 5, 5], float("nan"))],
)
def test_a_rank_correlation_looks_at_the_order_alone(other: list[float], expected: float) -> None:
    found = of_itself(metrics.rank_correlation_of([1, 2, 3, 4], other), 4)
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-5)


def test_a_rank_correlation_counts_members_as_often_as_a_resample_holds_them() -> None:
    once = metrics.rank_correlation_of([1, 2, 3], [1, 3, 2])
    assert float(once(np.array([[2.0, 2.0, 2.0]]))[0]) == pytest.approx(0.5)
    assert float(once(np.array([[1.0, 1.0, 0.0]]))[0]) == pytest.approx(1)

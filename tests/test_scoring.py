"""The arithmetic of an answer, as properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scoring import RowScores, entropy, jensen_shannon, order, pair_scores, softmax

NOWHERE = np.zeros(4, np.float32)

LOGITS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=256)
TEMPERATURES = st.floats(5e-324, 1e6)


@given(logits=LOGITS, temperature=TEMPERATURES)
def test_weights_sum_to_one_whatever_the_logits(logits: list[float], temperature: float) -> None:
    weights = softmax(logits, temperature)
    assert abs(sum(weights) - 1) < 1e-9
    assert min(weights) >= 0


@given(logits=st.lists(st.floats(-20, 20), min_size=2, max_size=50), drop=st.integers(0, 49))
def test_removing_a_candidate_keeps_the_ratios_of_the_others(logits: list[float], drop: int) -> None:
    keep = [i for i in range(len(logits)) if i != drop % len(logits)]
    before = [softmax(logits, 1.3)[i] for i in keep]
    assert softmax([logits[i] for i in keep], 1.3) == pytest.approx([each / sum(before) for each in before], rel=1e-9)


@given(logits=st.lists(st.floats(-20, 20), min_size=1, max_size=50), seed=st.integers(0, 99))
def test_permuting_candidates_permutes_the_weights(logits: list[float], seed: int) -> None:
    places = np.random.default_rng(seed).permutation(len(logits))
    weights = softmax(logits, 1.0)
    assert softmax([logits[i] for i in places], 1.0) == pytest.approx([weights[i] for i in places], rel=1e-9)


def test_a_spread_that_overflows_exp_does_no_harm() -> None:
    assert softmax([-1000.0, 0.0], 1.0) == [0.0, 1.0]


def test_equal_weights_keep_the_order_they_came_in() -> None:
    assert order([0.2, 0.4, 0.2, 0.2]) == [1, 0, 2, 3]


def test_entropy_of_even_weights_is_the_log_of_their_number() -> None:
    assert entropy([1 / 8] * 8) == pytest.approx(math.log(8))


def test_entropy_of_one_sure_weight_is_zero() -> None:
    assert entropy([1.0, 0.0]) == 0.0


@given(logits=st.lists(st.tuples(st.floats(-700, 700), st.floats(-700, 700)), min_size=1, max_size=50))
def test_the_divergence_is_the_same_both_ways_and_at_most_log_two(logits: list[tuple[float, float]]) -> None:
    one, other = (softmax(side, 1.0) for side in zip(*logits, strict=True))
    assert 0 <= jensen_shannon(one, other) <= math.log(2) + 1e-9
    assert jensen_shannon(one, other) == pytest.approx(jensen_shannon(other, one))
    assert jensen_shannon(one, one) == pytest.approx(0, abs=1e-12)


def test_weights_that_share_nothing_are_log_two_apart() -> None:
    assert jensen_shannon([1.0, 0.0], [0.0, 1.0]) == pytest.approx(math.log(2))


def test_a_value_is_a_run_of_words_over_the_threshold() -> None:
    logits = np.array([[4.0, 4.0, -4.0, 2.0]], np.float32)
    (score,) = pair_scores(RowScores(np.zeros(1, np.float32), logits, NOWHERE), (0, 1, 2, 3), threshold=0.5)
    assert [(span.first, span.last) for span in score.spans] == [(0, 1), (3, 3)]


@pytest.mark.parametrize(
    ("logits", "spans"),
    [
        ([4.0, -0.5, 4.0], [(0, 2)]),
        ([4.0, -1.0, 4.0], [(0, 0), (2, 2)]),
        ([4.0, -0.5, -0.5, 4.0], [(0, 0), (3, 3)]),
        ([-0.5, 4.0, -0.5], [(1, 1)]),
        ([4.0, -0.5, 4.0, -0.5, 4.0], [(0, 4)]),
        ([4.0, -0.5], [(0, 0)]),
        ([4.0], [(0, 0)]),
    ],
)
def test_an_unsure_word_between_two_of_a_value_belongs_to_it(logits: list[float], spans: list[tuple[int, int]]) -> None:
    row = RowScores(np.zeros(1, np.float32), np.array([logits], np.float32), NOWHERE)
    (score,) = pair_scores(row, range(len(logits)), threshold=0.65)
    assert [(span.first, span.last) for span in score.spans] == spans
    assert all(0.3 <= span.confidence <= 1 for span in score.spans)


def test_a_word_that_parts_values_joins_none() -> None:
    row = RowScores(np.zeros(1, np.float32), np.array([[4.0, -0.5, 4.0, 0.9, 4.0]], np.float32), NOWHERE)
    (score,) = pair_scores(row, range(5), threshold=0.65, conjunctions={1, 3})
    assert [(span.first, span.last) for span in score.spans] == [(0, 0), (2, 4)]


def test_a_word_is_judged_by_the_mean_of_its_tokens() -> None:
    logits = np.array([[3.0, -1.0, -5.0]], np.float32)
    (score,) = pair_scores(RowScores(np.zeros(1, np.float32), logits, NOWHERE), (0, 0, 1), threshold=0.5)
    assert [(span.first, span.last) for span in score.spans] == [(0, 0)]
    assert score.spans[0].confidence == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_a_query_of_no_words_states_nothing() -> None:
    (score,) = pair_scores(RowScores(np.ones(1, np.float32), np.zeros((1, 0), np.float32), NOWHERE), (), threshold=0.5)
    assert score == (1.0, ())

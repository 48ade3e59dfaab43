"""A person's part in weights and tastes: bounded, and none where nothing is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.feedback.people import Personal, divergence, mixed, tastes
from service.scoring import softmax

LOGITS = st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), min_size=1, max_size=12)
SHARES = st.floats(0, 1)


@given(logits=LOGITS, share=SHARES, bound=st.floats(0, math.log(2)))
def test_a_mixture_sums_to_one_and_keeps_its_bound(
    logits: list[tuple[float, float]], share: float, bound: float
) -> None:
    common, own = (softmax(each, 1.0) for each in zip(*logits, strict=True))
    found = mixed(common, own, Personal(share, 0.5, bound))
    assert math.fsum(found) == pytest.approx(1)
    assert min(found) >= 0
    assert divergence(found, common) <= bound


def test_within_the_bound_the_share_is_whole() -> None:
    assert mixed([0.5, 0.5], [1.0, 0.0], Personal(0.5, 0.5, 0.1)) == [0.75, 0.25]


def test_beyond_the_bound_the_share_is_the_largest_that_keeps_it() -> None:
    found = mixed([0.99, 0.01], [0.0, 1.0], Personal(1.0, 0.5, 0.1))
    assert divergence(found, [0.99, 0.01]) == pytest.approx(0.1)


def test_the_divergence_is_that_of_jensen_and_shannon() -> None:
    assert divergence([0.3, 0.7], [0.3, 0.7]) == 0
    assert divergence([1.0, 0.0], [0.0, 1.0]) == pytest.approx(math.log(2))
    halves = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert divergence([0.5, 0.5], [1.0, 0.0]) == pytest.approx((halves + math.log(1 / 0.75)) / 2)


def test_own_and_popular_values_are_balanced() -> None:
    personal = Personal(0.3, 0.75, 0.1)
    assert tastes({"red": 0.4, "blue": 0.4}, {"blue": 0.4}, personal) == pytest.approx({"blue": 0.4, "red": 0.1})


def test_a_persons_choice_takes_nothing_from_what_is_popular() -> None:
    personal = Personal(0.3, 0.75, 0.1)
    assert tastes({"red": 0.4}, {"blue": 1.0}, personal)["red"] == tastes({"red": 0.4}, {}, personal)["red"]


def test_weak_tastes_are_none() -> None:
    assert tastes({"red": 0.01, "blue": -0.5, "navy": 0.3}, {}, Personal(0, 0, 0)) == {"blue": -0.5, "navy": 0.3}

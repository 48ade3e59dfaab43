"""What people of like taste like is told by how likely they are of one's own kind, and comes back from bytes."""

import math

import numpy as np
import pytest

from service.feedback import keys
from service.feedback.cohorts import OBSERVATIONS, Cohorts

RED, BLUE, PINK = (keys.value_field("color", name) for name in ("red", "blue", "pink"))
VALUES = [RED, BLUE, PINK, keys.value_field("Größe", "42\u00bd")]
LIFTS = np.array([[-1.0, 1.0, 0.0, 0.5], [1.0, -1.0, 2.0, 0.0]])
FOUND = Cohorts(VALUES, LIFTS, 1234.5)


def test_what_fits_better_speaks_louder_the_more_was_chosen() -> None:
    once = {RED: (0.5, 0.25), BLUE: (0.0, 0.25)}
    often = {name: (10 * chosen, 10 * expected) for name, (chosen, expected) in once.items()}
    little, much = FOUND.liked_by(once), FOUND.liked_by(often)
    assert 0 < little[2] < much[2] < LIFTS[1, 2]
    assert much == pytest.approx(LIFTS[1], abs=0.1)


def test_the_shares_are_those_of_the_likelihoods_and_of_none_of_them() -> None:
    chosen, expected = 1.0, 0.5
    fits = [OBSERVATIONS * (chosen * lift - expected * math.expm1(lift)) for lift in LIFTS[:, 0]]
    powers = [math.exp(fit) for fit in fits]
    wanted = np.array(powers) @ LIFTS / (1 + sum(powers))
    assert FOUND.liked_by({RED: (chosen, expected)}) == pytest.approx(wanted, abs=1e-6)


def test_two_cohorts_that_are_the_same_are_as_one() -> None:
    chosen = {RED: (30.0, 15.0)}
    twice = Cohorts(VALUES, np.concatenate([LIFTS, LIFTS]), 0.0)
    assert twice.liked_by(chosen) == pytest.approx(FOUND.liked_by(chosen), abs=1e-3)


def test_whom_no_cohort_fits_none_speaks_for() -> None:
    assert not FOUND.liked_by({}).any()
    assert not FOUND.liked_by({keys.value_field("color", "green"): (9.0, 1.0)}).any()
    averse = FOUND.liked_by({RED: (25.0, 50.0), BLUE: (25.0, 50.0), PINK: (0.0, 50.0)})
    assert averse == pytest.approx(np.zeros(4), abs=1e-3)


@pytest.mark.parametrize("sums", [(0.0, 0.0), (1e300, 1e300), (1e300, 0.0), (0.0, 1e300)])
def test_no_sums_are_too_large(sums: tuple[float, float]) -> None:
    assert np.isfinite(FOUND.liked_by({RED: sums})).all()


def test_values_are_found_by_attribute_and_by_field() -> None:
    assert FOUND.by_attribute[keys.attribute_field("color")] == {"red": 0, "blue": 1, "pink": 2}
    assert (FOUND.place(BLUE), FOUND.place(keys.value_field("color", "green"))) == (1, None)


def test_they_come_back_from_their_bytes() -> None:
    found = Cohorts.decode(FOUND.encode())
    assert found.until == 1234.5
    assert found.by_attribute == FOUND.by_attribute
    assert found.lifts == pytest.approx(LIFTS)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"\xff" * 99,
        FOUND.encode()[:-1],
        FOUND.encode() + b"x",
        FOUND.encode().replace(b'"v:', b'"a:'),
        Cohorts(VALUES, LIFTS * np.nan, 0.0).encode(),
        Cohorts(VALUES, LIFTS, math.inf).encode(),
    ],
    ids=lambda content: str(len(content)),
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="the bytes"):
        Cohorts.decode(content)

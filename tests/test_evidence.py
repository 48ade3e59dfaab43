"""Sums of evidence put together and taken apart."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.evidence import HalfLives, Observed, at_time, merged, observed, without

HALF_LIVES = HalfLives(100.0, 10_000.0)


class Event(NamedTuple):
    chosen: float
    expected: float
    at: float

    def observed(self) -> Observed:
        return observed(self.chosen, self.expected, self.at, "color")


EVENTS = st.builds(Event, *(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1000)))


@given(EVENTS, EVENTS)
def test_what_was_put_together_comes_apart(one: Event, other: Event) -> None:
    both = merged(one.observed(), other.observed(), HALF_LIVES)
    rest = without(both, other.observed(), HALF_LIVES)
    assert rest[:5] == pytest.approx(at_time(one.observed(), both.at, HALF_LIVES)[:5], abs=1e-9)


def test_sums_that_were_read_before_their_part_are_not_below_nothing() -> None:
    assert without(observed(1, 1, 0, ""), observed(2, 2, 0, ""), HALF_LIVES)[:4] == (0, 0, 0, 0)

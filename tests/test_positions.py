"""Propensities from what was counted: the prior without counts, the truth with many, never rising."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.evidence import HalfLives, Observed, merged
from service.feedback.positions import LEAST, Propensity, counts, facet_counts, facet_propensity, prior, propensity

HALF = HalfLives(86_400, 2_592_000)
AT = 1_000.0


def counted(choices: dict[tuple[int, int], int]) -> dict[bytes, Observed]:
    """The evidence after so many choices at (position, length of its list)."""
    found: dict[bytes, Observed] = {}
    for (position, places), times in choices.items():
        for field, seen in counts(position, places, AT).items():
            often = Observed(*(each * times for each in seen[:4]), AT, seen.name)
            found[field] = merged(found[field], often, HALF) if field in found else often
    return found


def test_without_counts_the_prior_holds() -> None:
    told = propensity({}, AT, HALF)
    assert [told(place) for place in (1, 4, 9, 49)] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 7])
    assert told(10_000) == told(50) >= LEAST


def test_a_few_choices_move_little() -> None:
    told = propensity(counted({(1, 4): 1, (2, 4): 2}), AT, HALF)
    assert [told(place) for place in (1, 2)] == pytest.approx([1, prior(2)], abs=0.05)


def test_many_choices_tell_how_places_really_do() -> None:
    told = propensity(counted({(1, 3): 100_000, (2, 3): 50_000, (3, 3): 20_000}), AT, HALF)
    assert [told(place) for place in (1, 2, 3)] == pytest.approx([1, 0.5, 0.2], rel=0.01)


def test_shorter_lists_do_not_make_later_places_seem_unseen() -> None:
    told = propensity(
        counted({(1, 2): 100_000, (2, 2): 50_000, (1, 3): 100_000, (2, 3): 50_000, (3, 3): 20_000}), AT, HALF
    )
    assert told(3) / told(1) == pytest.approx(20 / 100, rel=0.1)


WEIGHTS = (0.4, 0.3, 0.2, 0.1)


def chosen_by_weight(true: Propensity, times: float) -> dict[bytes, Observed]:
    """The evidence after so many choices among facets that stand by weight, of which places are examined so."""
    taken, told = ([weight * seen(place) for place, weight in enumerate(WEIGHTS, 1)] for seen in (true, prior))
    found: dict[bytes, Observed] = {}
    for position, share in enumerate(taken, 1):
        for field, seen in facet_counts(position, [each / sum(told) for each in told], AT).items():
            often = Observed(*(each * times * share / sum(taken) for each in seen[:4]), AT, seen.name)
            found[field] = merged(found[field], often, HALF) if field in found else often
    return found


def test_facets_that_are_chosen_by_their_weights_leave_the_prior() -> None:
    told = facet_propensity(chosen_by_weight(prior, 100_000), AT, HALF)
    assert [told(place) for place in range(1, 33)] == pytest.approx([*map(prior, range(1, 33))])


def test_many_choices_tell_how_places_among_facets_really_do() -> None:
    true = (1.0, 0.6, 0.3, 0.2)
    told = facet_propensity(chosen_by_weight(lambda place: true[place - 1], 1_000_000), AT, HALF)
    assert [told(place) for place in range(1, 5)] == pytest.approx(true, rel=0.01)


def test_a_few_facets_chosen_move_little() -> None:
    told = facet_propensity(chosen_by_weight(lambda _: 1.0, 3), AT, HALF)
    assert told(4) == pytest.approx(prior(4), abs=0.05)


@given(st.dictionaries(st.tuples(st.integers(1, 50), st.integers(1, 50)), st.integers(0, 10_000), max_size=20))
def test_propensities_begin_at_one_and_never_rise(choices: dict[tuple[int, int], int]) -> None:
    told = propensity(counted(choices), AT, HALF)
    found = [told(place) for place in range(1, 60)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)
    assert min(found) >= LEAST

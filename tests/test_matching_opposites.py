"""Which names words set apart; what the shipped bundle then takes for one is in test_names_joined.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.matching.opposites import LONGEST_FIRST, apart, aside, meaning

NAMES = st.lists(st.sampled_from([*LONGEST_FIRST, "usb 2.0", "brand", "产品"]), max_size=5).map(" ".join)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("input voltage", "output voltage"),
        ("voltage", "input voltage"),
        ("weight", "shipping weight"),
        ("weight", "weight capacity"),
        ("women's size", "men's size"),
        ("canopy color", "canopy material"),
        ("usb 2 0 ports", "usb 3 0 ports"),
        ("最大重量", "最小重量"),
        ("表带颜色", "表盘颜色"),
    ],
)
def test_names_of_different_sides_are_apart(one: str, other: str) -> None:
    assert apart(meaning(one), meaning(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("color", "primary color"),
        ("diameter", "outer diameter"),
        ("weight", "net weight"),
        ("maximum speed", "speed"),
        ("quantity", "package quantity"),
        ("usage", "indoor/outdoor usage"),
        ("gender", "for men or women"),
        ("color", "shade"),
        ("color", "color 1"),
        ("lens color", "color of the lenses"),
        ("frame rate", "frames per second"),
        ("重量", "净重"),
    ],
)
def test_a_word_that_is_taken_for_granted_sets_nothing_apart(one: str, other: str) -> None:
    assert not apart(meaning(one), meaning(other))


@pytest.mark.parametrize("name", ["laptop", "desktop", "formaldehyde", "backpack", "endurance", "blackboard", "pinout"])
def test_no_part_of_a_word_is_a_side(name: str) -> None:
    assert meaning(name) == meaning("thing")


@pytest.mark.parametrize(
    ("name", "query", "expected"),
    [
        ("input voltage", "power adapter output voltage 12V", True),
        ("output voltage", "power adapter output voltage 12V", False),
        ("shipping weight", "5 lb dumbbell", True),
        ("weight", "shipping weight 5 lb", False),  # it says no side
        ("front camera", "phone with front and rear camera", True),  # a query that says both sides is on none
    ],
)
def test_a_name_is_aside_where_it_says_a_side_that_the_query_is_not_on(name: str, query: str, expected: bool) -> None:
    assert aside(meaning(name), meaning(query)) is expected


@given(one=NAMES, other=NAMES)
def test_apart_is_mutual_and_nothing_is_apart_from_itself(one: str, other: str) -> None:
    assert apart(meaning(one), meaning(other)) == apart(meaning(other), meaning(one))
    assert not apart(meaning(one), meaning(one))

"""The agreement of a product with a query: its bounds, its signs, its sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.benchmark import matching
from model_export.benchmark.matching import Stated

TEXTS = st.text(max_size=12)
STATED = st.builds(Stated, TEXTS, st.floats(0, 1), st.floats(-1, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Men's Dresses, 2x8!", ["men", "s", "dresse", "2x8"]),
        ("glass lens", ["glass", "len"]),
        ("红色羊毛 rug", ["红", "色", "羊", "毛", "rug"]),
        ("snake_case", ["snake", "case"]),
    ],
)
def test_words_lose_the_s_of_a_plural_and_unspaced_scripts_are_read_by_character(
    text: str, expected: list[str]
) -> None:
    assert matching.words(text) == expected


def test_overlap_is_the_share_of_the_stated_words() -> None:
    assert matching.overlap("navy blue", "Blue/White") == 0.5


def test_nothing_stated_overlaps_with_nothing() -> None:
    assert matching.overlap("!", "red") == 0


def test_the_same_value_agrees_wholly() -> None:
    assert matching.match([Stated("nike", 1.0, 1.0)], "Nike") == pytest.approx(1)


def test_another_value_disagrees() -> None:
    assert matching.match([Stated("nike", 1.0, matching.FLOOR)], "Adidas") == pytest.approx(-matching.LEXICAL)


@pytest.mark.parametrize(("stated", "value"), [([], "red"), ([Stated("red", 1.0, 1.0)], None)])
def test_what_is_unknown_neither_agrees_nor_disagrees(stated: list[Stated], value: str | None) -> None:
    assert matching.match(stated, value) == 0


def test_what_is_less_sure_counts_less() -> None:
    assert matching.match([Stated("red", 0.5, 1.0)], "red") == pytest.approx(0.5)


@given(stated=st.lists(STATED, max_size=3), value=st.none() | TEXTS)
def test_a_match_lies_between_minus_one_and_one(stated: list[Stated], value: str | None) -> None:
    assert -1 - 1e-9 <= matching.match(stated, value) <= 1 + 1e-9


def test_terms_are_in_the_order_of_the_attributes() -> None:
    assert matching.terms([0.75, 0.25], [1.0, -1.0], strength=0.2) == pytest.approx([0.15, -0.05])

"""Which of a text's values it denies, and what is left of them."""

import pytest

from service.denial import Denial, ruled_out, surest
from service.spans import Value


def value(text: str, words: str, confidence: float = 0.9) -> Value:
    """The first of these words in the text."""
    start = text.index(words)
    return Value(words, start, start + len(words), confidence)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Office chair without armrests, not red", "armrests"),
        ("Office chair without armrests, not red", "red"),
        ("wool rug, no red", "red"),
        ("chair without red armrests", "red"),
        ("soap free of parabens or dyes", "dyes"),
        ("不含糖 饮料", "糖"),
    ],
)
def test_what_a_cue_beside_it_negates_is_denied(text: str, words: str) -> None:
    stated = value(text, words)
    assert Denial(text).denied([stated]) == {stated}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("red wool rug without fringe", "red"),
        ("non-slip bath mat", "non-slip"),
        ("sugar free gum", "sugar free"),
        ("gum, no mint", "no mint"),
        ("not red but blue", "blue"),
        ("rug without fringe, red", "fringe, red"),
    ],
)
def test_a_value_that_has_the_cue_in_itself_or_goes_beyond_it_is_not(text: str, words: str) -> None:
    assert Denial(text).denied([value(text, words)]) == set()


@pytest.mark.parametrize(
    ("text", "words", "left"),
    [
        ("Dress in any colour other than red", "colour other than red", "red"),
        ("x " * 2_000 + "dress other than red", "than red", "red"),
        ("dress that isn't red", "isn", None),
    ],
)
def test_a_value_is_denied_whose_cue_is_the_sentences(text: str, words: str, left: str | None) -> None:
    found = Denial(text).uncued([value(text, words)])
    assert [each.text for each in found] == ([left] if left else [])
    assert Denial(text).denied(found) == set(found)


@pytest.mark.parametrize("words", ["non-slip", "sugar free", "no mint", "red"])
def test_a_value_whose_cue_is_its_own_stays_whole(words: str) -> None:
    stated = value("non-slip mat, sugar free gum, no mint, not red", words)
    assert Denial("non-slip mat, sugar free gum, no mint, not red").uncued([stated]) == [stated]


@pytest.mark.parametrize("before", [0, 499, 500, 999, 1_000, 1_495, 1_993, 1_997, 2_000, 2_501, 9_000])
def test_a_long_text_is_read_to_its_end(before: int) -> None:
    text = ("blue piano " * 1_000)[:before] + " not red, piano green and gold"
    red, green = value(text, "red"), value(text, "green")
    assert Denial(text).denied([red, green]) == {red}


def test_no_half_word_is_a_cue_where_a_long_text_is_cut() -> None:
    for shift in range(8):
        text = "x" * shift + " piano red" * 500
        stated = [Value("red", end - 3, end, 0.9) for end in range(shift + 10, len(text) + 1, 10)]
        assert Denial(text).denied(stated) == set()


def test_the_surest_value_is_one_that_is_not_denied() -> None:
    text = "blue chair, not red"
    blue, red = value(text, "blue", 0.6), value(text, "red", 0.9)
    assert surest([blue, red], {red}) == blue
    assert surest([red], {red}) is None


def test_what_is_denied_in_one_place_and_stated_in_another_is_not_ruled_out() -> None:
    red, again, blue = Value("Red", 0, 3, 0.9), Value("red", 20, 23, 0.9), Value("Blue", 30, 34, 0.9)
    assert ruled_out([red, again, blue], {again, blue}) == {"blue"}

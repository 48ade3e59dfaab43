"""Colours in English and Chinese, their families, how well they agree."""

from itertools import product

import pytest

from service.matching.colors import COLORS, agreement, read_colors
from service.matching.wording import words


def names(text: str) -> set[str]:
    return {color.name for color in read_colors(words(text))[0]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Navy", {"navy"}),
        ("Navy Blue", {"navy"}),
        ("Black/White/Red", {"black", "white", "red"}),
        ("Rgb (Red, Green, Blue)", {"red", "green", "blue"}),
        ("Oil-Rubbed Bronze", {"oil rubbed bronze"}),
        ("Light Grey", {"light gray"}),
        ("Carhartt Brown", {"brown"}),
        ("Multi-colored", {"multicolor"}),
        ("酒红色", {"wine"}),
        ("浅蓝色", {"light blue"}),
        ("黑白", {"black", "white"}),
        ("Mermaid", set()),
        ("", set()),
    ],
)
def test_colours_are_read_out_of_values(text: str, expected: set[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("navy blue", True),
        ("black and white", True),
        ("蓝色", True),
        ("red wool", False),
        ("Matte Black", True),
        ("", False),
    ],
)
def test_a_text_of_colours_alone_is_told_apart(text: str, expected: bool) -> None:
    assert read_colors(words(text))[1] is expected


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("grey", "Gray", 1.0),
        ("red", "红色", 1.0),
        ("藏青", "navy blue", 1.0),
        ("blue", "navy", 0.8),
        ("red", "burgundy", 0.8),
        ("blue", "light blue", 0.8),
        ("navy", "sky blue", 0.4),
        ("dark blue", "light blue", 0.4),
        ("green", "teal", 0.8),
        ("blue", "teal", 0.8),
        ("red", "blue", -1.0),
        ("red", "multicolor", 0.0),
        ("multi", "rainbow", 1.0),
    ],
)
def test_the_same_the_same_family_and_another_one(wanted: str, found: str, expected: float) -> None:
    ((one,), _), ((other,), _) = read_colors(words(wanted)), read_colors(words(found))
    assert agreement(one, other) == expected


def test_any_two_colours_agree_with_each_other_alike() -> None:
    colors = set(COLORS.values())
    for one, other in product(colors, colors):
        assert -1 <= agreement(one, other) == agreement(other, one) <= 1
        assert (agreement(one, other) == 1) == (one == other)

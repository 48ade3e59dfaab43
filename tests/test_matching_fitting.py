"""Sizes in letters and people, in English and Chinese: what names them, what does not, how well they agree."""

from itertools import product

import pytest

from service.matching.fitting import FITS, Fit, agreement, read_fits


def fit(text: str) -> Fit:
    (only,) = read_fits(text)
    return only


@pytest.mark.parametrize(
    "texts",
    [
        ("xs", "X-Small", "extra small"),
        ("s", "S", "Small", "size s", "小号", "S码", "Ｓ"),
        ("m", "Medium", "medium size", "Size: M", "medium fit", "中号"),
        ("l", "Large", "sized large", "大号"),
        ("xl", "X-Large", "Extra Large", "xlarge", "加大"),
        ("xxl", "2XL", "XX-Large", "2x-large"),
        ("xxxl", "3xl", "XXX-Large"),
        ("women's", "women", "Womens", "for women", "Ladies", "ladies'", "女士", "women’s size"),
        ("men's", "men", "Mens", "for men", "gents", "男士"),
        ("female", "女"),
        ("male", "男"),
        ("unisex", "男女通用"),
        ("girls", "girl's", "女童"),
        ("boys", "boys'", "男童"),
        ("kids", "children", "children's", "儿童"),
        ("baby", "babies", "infant", "婴儿"),
        ("toddler", "Toddlers", "幼儿"),
    ],
)
def test_other_names_are_of_the_same(texts: tuple[str, ...]) -> None:
    assert len({fit(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("S, M, L", 3),
        ("S/M", 2),
        ("m or l", 2),
        ("Men and Women", 2),
        ("men & women", 2),
        ("Boys | Girls | boys", 2),
        ("S-XL", 4),
        ("M (8-10)", 1),
        ("US 8 / M", 1),
    ],
)
def test_of_a_list_each_is_read(text: str, count: int) -> None:
    assert len(read_fits(text)) == count


@pytest.mark.parametrize(
    "text",
    [
        *("", "size", "fit for", "s hook", "l-shaped", "large print", "9 M US", "size 10", "5 L", "L, R", "M, cotton"),
        *("XL-S", "one size", "baby blue", "man made", "women's shoes", "女鞋", "大码"),
    ],
)
def test_a_text_that_says_anything_else_names_none(text: str) -> None:
    assert read_fits(text) == frozenset()


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("m", "medium", 1.0),
        ("m", "s, m, l", 1.0),
        ("large", "xl", -1.0),
        ("xl", "s, m, l", -1.0),
        ("women's", "female", 1.0),
        ("women's", "men, women", 1.0),
        ("women's", "unisex", 1.0),
        ("unisex", "男", 1.0),
        ("women's", "male", -1.0),
        ("women's", "girls", -1.0),
        ("men", "boys", -1.0),
        ("boys", "girls", -1.0),
        ("kids", "girls", 1.0),
        ("kids", "toddler", -1.0),
        ("toddler", "baby", -1.0),
        ("baby girl", "baby", 1.0),
        ("girls", "female", 0.0),
        ("kids", "unisex", 0.0),
        ("boys", "female", -1.0),
        ("adult", "women", 1.0),
        ("m", "women", None),
        ("m", "", None),
    ],
)
def test_the_same_another_and_what_cannot_be_told(wanted: str, found: str, expected: float | None) -> None:
    assert agreement(read_fits(wanted), read_fits(found)) == expected


def test_any_two_agree_with_each_other_alike() -> None:
    for one, other in product(set(FITS.values()), repeat=2):
        assert agreement({one}, {other}) == agreement({other}, {one}) in (None, -1, 0, 1)
        assert agreement({one}, {one}) == 1

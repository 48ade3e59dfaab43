"""A wanted value against a product's: which kind decides, what a negation turns, and that nothing raises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.matching import wording
from service.matching.agreement import MILD, agreement
from service.matching.parsing import Parser, Value
from service.matching.units import Units

PARSER = Parser(Units.read())
FAR = wording.FLOOR
"""The cosine of texts that have nothing to do with each other."""


def agree(wanted: str, value: Value, *, negated: bool = False, cosine: float = FAR) -> float:
    return agreement(PARSER.wanted(wanted, negated=negated), PARSER.found(value), cosine)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("nike", "Nike"),
        ("16 GB", 16.0),
        ("16gb ram", "DDR4 16 GB 3200MHz"),
        ("under 50 dollars", 49.99),
        ("at least 8 hours", "8h"),
        ("256GB", "256G"),
        ("256GB", "8G+256G"),
        ("256GB", "256G SSD, 8 GB RAM"),
        ("at least 16 GB", "32g"),
        ("256g", "256 GB"),
        ("16G", "16 GB"),
        ("8 GB 256g", "8G/256G"),
        ("at least 128G", "0.5 TB"),
        ("5 liter", "5L"),
        ("30升", "30 L"),
        ("16g", "16 grams"),
        ("size 8-10", "9 M US"),
        ("2x8", "2 ft x 8 ft"),
        ("red", "Red,Silver"),
        ("藏青", "Navy"),
        ("green", "red, blue | green"),
        ("cotton", '["Cotton", "wool"]'),
        ("windows 10", ["Windows 7", "Windows 10"]),
        ("8", [7, 8, 9.5]),
        ("bluetooth", True),
        ("bluetooth", "Yes"),
        ("bluetooth", "含"),
        ("yes", "Available"),
        ("1", True),
        ("yes", 3),
        ("no", "None"),
        ("non slip", "Non-Slip"),
        ("gluten free", "Gluten-Free"),
        ("不含糖", "无糖"),
        ("without sleeves", "Sleeveless"),
        ("without bluetooth", False),
        ("no show", "No Show"),
        ("size m", "M"),
        ("size m", "Medium"),
        ("m", "medium size"),
        ("xl", "Extra Large"),
        ("2xl", "XX-Large"),
        ("加大", "XL"),
        ("medium", ["S", "M", "L"]),
        ("women's", "Female"),
        ("for women", "女士"),
        ("ladies", "Unisex"),
        ("unisex", "Mens"),
        ("king size", "King"),
        ("king", "King-sized"),
        ("mission style", "Mission"),
        ("leather type", "Suede, Leather"),
        ("size", "Size"),
    ],
)
def test_a_value_that_is_the_wanted_one_agrees_wholly(wanted: str, value: Value) -> None:
    assert agree(wanted, value) == pytest.approx(1)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("red", "Black/White"),
        ("bluetooth", False),
        ("bluetooth", "Not included"),
        ("yes", "No"),
        ("no", "Yes"),
        ("yes", 0),
        ("slip", "Non-Slip"),
        ("sleeves", "Sleeveless"),
        ("不含糖", "糖"),
        ("without bluetooth", True),
        ("size m", "Large"),
        ("large", "XL"),
        ("l", "S, M"),
        ("women's", "Male"),
        ("women's", "Girls"),
        ("kids", "男士"),
    ],
)
def test_a_value_that_says_the_opposite_disagrees_wholly(wanted: str, value: Value) -> None:
    assert agree(wanted, value) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("wool", ""),
        ("wool", "n/a"),
        ("wool", []),
        ("wool", math.nan),
        ("wool", math.inf),
        ("wool", 10**400),
        ("wool", [math.nan]),
        ("!", "wool"),
        ("hdmi", 2.0),
        ("1e999 GB", 16.0),
        ("16 GB", True),
        ("yes", "blue"),
        ("red", "Multicolor"),
    ],
)
def test_what_says_nothing_of_the_wanted_value_neither_agrees_nor_disagrees(wanted: str, value: Value) -> None:
    assert agree(wanted, value) == 0


def test_other_text_is_measured_by_its_words_and_its_cosine() -> None:
    assert agree("leather", "Genuine Leather", cosine=1.0) == pytest.approx(1)
    assert agree("leather", "Genuine Leather") == pytest.approx(wording.LEXICAL)
    assert agree("leather", "Silicone") == pytest.approx(-wording.LEXICAL)
    assert agree("soft leather", "Genuine Leather") == pytest.approx(0)


@pytest.mark.parametrize(
    ("wanted", "value", "shared"),
    [
        ("soft leather style", "Leather", 0.5),
        ("king size", "Queen Size", 0),
        ("color", "Full Color", 1),
        ("large", "Large Print", 1),
        ("women's", "Women's Shoes", 1),
        ("s", "S Hook", 1),
        ("m", "Women", 0),
    ],
)
def test_words_of_no_meaning_do_not_count_and_others_make_a_size_a_word(wanted: str, value: str, shared: float) -> None:
    assert agree(wanted, value) == pytest.approx(wording.LEXICAL * (2 * shared - 1))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [("-10 degrees", "10 degrees"), ("1/2 inch", "1.2 inch"), ("1.5 inch", "1/5 inch"), ("3-5 years", "7-9 years")],
)
def test_quantities_of_the_same_digits_are_not_the_same(wanted: str, value: str) -> None:
    assert agree(wanted, value) < 0 < agree(wanted, wanted)


def test_a_negated_size_counts_against_it() -> None:
    assert agree("medium", "M", negated=True) == -1
    assert agree("for kids", "Women", negated=True) == pytest.approx(MILD)


def test_a_number_in_a_name_is_no_quantity() -> None:
    assert agree("iphone 11", "iPhone 11 Pro") == pytest.approx(wording.LEXICAL)


def test_units_that_cannot_be_compared_leave_it_to_the_text() -> None:
    assert agree("16 GB", "16 inch") == pytest.approx(0)


@pytest.mark.parametrize(("wanted", "value"), [("256GB", "16G"), ("16g", "256GB"), ("up to 128G", "1 TB")])
def test_a_bare_g_beside_bytes_is_gigabytes(wanted: str, value: str) -> None:
    assert agree(wanted, value) < -0.9


@pytest.mark.parametrize("value", ["5G", "2.4G", "250 g", "DDR4-16G", "16G5"])
def test_other_networks_and_grams_are_no_gigabytes(value: str) -> None:
    assert PARSER.found(value).again == ()


def test_a_bare_g_alone_is_no_quantity_and_a_small_one_grams() -> None:
    assert agree("4G", True) == 1
    assert agree("size 4", "4G") == pytest.approx(-wording.LEXICAL)
    assert agree("256g", "256 gram") == 1


def test_of_several_colours_each_looks_for_its_best() -> None:
    assert agree("black and white", "Black") == pytest.approx(0)
    assert agree("black and white", "White/Black") == pytest.approx(1)


@pytest.mark.parametrize("value", ["buckle", "Buckle, strap"])
def test_a_negated_wish_counts_against_a_product_that_has_it(value: str) -> None:
    assert agree("buckle", value, negated=True) == -agree("buckle", value) == -1


@pytest.mark.parametrize(
    "value",
    ["1e999 GB", "9" * 1_900 + "GB", "-2.5E+18 gigabytes", "$1e999", ["1e999 GB", " 1e999 TB"], "1E30-inch", "1e30 g"],
)
def test_an_absurd_number_with_a_unit_is_no_value(value: Value) -> None:
    assert agree("16 GB", value, cosine=0.9) == agree("1e999 GB", value) == 0


@pytest.mark.parametrize("value", ["12E450", "12E45L", "12345678901234567890", "12e45 bolt", "1 GB"])
def test_a_code_is_no_absurd_number(value: str) -> None:
    assert agree(value, value) == 1


def test_a_negated_wish_gains_a_little_from_another_value() -> None:
    assert agree("leather", "Silicone", negated=True) == pytest.approx(MILD * wording.LEXICAL)
    assert agree("red", "Blue", negated=True) == pytest.approx(MILD)


@pytest.mark.parametrize(("wanted", "value"), [("slip", "Non-Slip"), ("bluetooth", "No"), ("sleeves", "Sleeveless")])
def test_a_negated_wish_gains_all_where_the_product_says_that_it_does_not_have_it(wanted: str, value: str) -> None:
    assert agree(wanted, value, negated=True) == 1


def test_a_query_and_its_words_may_both_say_the_negation() -> None:
    assert agree("without buckle", "buckle", negated=True) == -1


@pytest.mark.parametrize("cosine", [math.nan, math.inf, -math.inf])
def test_a_cosine_that_is_no_number_counts_nothing(cosine: float) -> None:
    assert agree("leather", "Silicone", cosine=cosine) == pytest.approx(-wording.LEXICAL)


FITS = " m size Medium XL women's for kids 女"
SAID = "red navy 蓝色 16 GB 2x8 under $20 no without free non- 不 无 yes , | / [ ] 1e999 0x nan размер サイズ ٣"
WORDS = st.sampled_from((SAID + FITS).split())
TEXTS = st.lists(WORDS | st.text(max_size=4), max_size=8).map(" ".join) | st.text()
VALUES = TEXTS | st.floats() | st.booleans() | st.integers() | st.lists(TEXTS | st.floats() | st.booleans(), max_size=4)


@given(wanted=TEXTS, value=VALUES, cosine=st.floats(), negated=st.booleans())
def test_an_agreement_lies_between_minus_one_and_one(wanted: str, value: Value, cosine: float, negated: bool) -> None:
    assert -1 - 1e-9 <= agree(wanted, value, cosine=cosine, negated=negated) <= 1 + 1e-9


@given(wanted=TEXTS, value=VALUES, cosine=st.floats(-1, 1))
def test_a_negated_wish_never_likes_what_a_plain_one_likes(wanted: str, value: Value, cosine: float) -> None:
    plain = PARSER.wanted(wanted)
    turned = PARSER.wanted(wanted, negated=True)
    if not plain.negated:
        has, has_not = (agreement(each, PARSER.found(value), cosine) for each in (plain, turned))
        assert has * has_not <= 0


@given(value=VALUES)
def test_a_value_kept_is_the_value_parsed(value: Value) -> None:
    assert PARSER.found(value) == Parser(PARSER.units).found(value)


@pytest.mark.parametrize(
    "part",
    [
        "1",
        "1 ",
        "a1-",
        "not ",
        "不",
        "[",
        "red, ",
        "free ",
        " ",
        "1x",
        "less",
        '["a"',
        "Ⅷ",
        "\x00",
        "e\u0301",
        "m, ",
        "size ",
        "和",
    ],
)
def test_a_value_of_ten_thousand_characters_is_read_up_to_a_bound(part: str) -> None:
    text = (part * 10_000)[:10_000]
    assert -1 <= agree("without 16 GB", text) <= 1
    assert -1 <= agree(text, "16 GB") <= 1

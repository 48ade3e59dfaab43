"""Quantities read out of texts as shops and shoppers write them, and how well they agree."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.matching.quantities import Interval, Quantity, agreement, best, kinds, number, read_quantities
from service.matching.units import Units

UNITS = Units.read().by_spelling
INF = math.inf


def read(text: str) -> list[list[tuple[float, float, str]]]:
    """For each quantity its sides, as (low, high, first kind of unit)."""
    return [
        [(round(side.low, 6), round(side.high, 6), side.bases[0][0] if side.bases else "") for side in each.sides]
        for each in read_quantities(text, UNITS)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16 GB", (16, 16, "information")),
        ("ram stick 16gb", (16, 16, "information")),
        ("at least 32GB", (32, INF, "information")),
        ("at least 8h", (8, INF, "time")),
        ("8 h", (8, 8, "time")),
        ("8 hrs", (8, 8, "time")),
        ("512MB-2GB", (0.512, 2, "information")),
        ("under 50 dollars", (-INF, 50, "dollars")),
        ("prom dresses under 30 dollars", (-INF, 30, "dollars")),
        ("keyboard under $30", (-INF, 30, "dollars")),
        ("USD 100", (100, 100, "dollars")),
        ("usd20", (20, 20, "dollars")),
        ("watch under USD 1,500", (-INF, 1500, "dollars")),
        ("USD 20-30", (20, 30, "dollars")),
        ("USD 20 - USD 30", (20, 30, "dollars")),
        ("EUR 20", (20, 20, "euros")),
        ("20 EUR", (20, 20, "euros")),
        ("100 GBP", (100, 100, "pounds sterling")),
        ("GBP 100 or more", (100, INF, "pounds sterling")),
        ("CNY 50", (50, 50, "yuan")),
        ("1.299,00 €", (1299, 1299, "euros")),
        ("€ 1.299.000,50", (1299000.5, 1299000.5, "euros")),
        ("1,299.00 €", (1299, 1299, "euros")),
        ("1.250,10.500", (1.25, 1.25, "")),
        ("1.299 kg", (1.299, 1.299, "weight")),
        ("$20-$30", (20, 30, "dollars")),
        ("$20-30", (20, 30, "dollars")),
        ("20 to 30 dollars", (20, 30, "dollars")),
        ("between 20 and 30 usd", (20, 30, "dollars")),
        ("above $50 and below $100", (50, 100, "dollars")),
        ("under 100 cm, over 50 cm", (50, 100, "length")),
        ("no more than 50 €", (-INF, 50, "euros")),
        ("100元以下", (-INF, 100, "yuan")),
        ("不超过500毫升", (-INF, 500, "volume")),
        ("售价50元", (50, 50, "yuan")),
        ("size 8-10", (8, 10, "")),
        ("age 11+", (11, INF, "")),
        ("50 or more sheets", (50, INF, "")),
        ("6-12 month boy clothes", (6, 12, "time")),
        ("new iphone charger cable 10 ft", (10, 10, "length")),
        ("6'", (6, 6, "length")),
        ("6' 2\"", (74, 74, "length")),
        ("under 6 ft. 2 in.", (-INF, 74, "length")),
        ("5'10\" to 6'2\"", (70, 74, "length")),
        ("5-6'2\"", (60, 74, "length")),
        ("12 inch", (12, 12, "length")),
        ("1.25-inch", (1.25, 1.25, "length")),
        ("2” thick cutting board", (2, 2, "length")),
        ("3/4 inch", (0.75, 0.75, "length")),
        ("1-1/2” pop up drain", (1.5, 1.5, "length")),
        ("1 5/8 copper sink drain", (1.625, 1.625, "")),
        ("1½ cups", (1.5, 1.5, "volume")),
        ("12 in wide", (12, 12, "length")),
        ("d batteries 8 pack", (8, 8, "count")),
        ("pack of 2", (2, 2, "count")),
        ("2 dozen", (2, 2, "count")),
        ("1,5 kg", (1.5, 1.5, "weight")),
        ("laptop under $1k", (-INF, 1000, "dollars")),
        ("3千元", (3000, 3000, "yuan")),
        ("1万元以下", (-INF, 10000, "yuan")),
        ("2万毫安", (20000, 20000, "charge")),
        ("3千克", (3, 3, "weight")),
        ("1万以内", (-INF, 10000, "")),
        ("1,500,250 lumens", (1500250, 1500250, "light")),
        ("1,500 lumens", (1500, 1500, "light")),
        ("over 5 lbs", (5, INF, "weight")),
        ("no less than 5 lbs", (5, INF, "weight")),
        ("不低于5公斤", (5, INF, "weight")),
        ("not under $50", (50, INF, "dollars")),
        ("not below $50", (50, INF, "dollars")),
        ("not smaller than 5 ft", (5, INF, "length")),
        ("not over $50", (-INF, 50, "dollars")),
        ("not larger than 10 inch", (-INF, 10, "length")),
        ("no wider than 3 feet", (-INF, 3, "length")),
        ("nothing over $50", (-INF, 50, "dollars")),
        ("tv bigger than 50 inches", (50, INF, "length")),
        ("longer than 3 feet", (3, INF, "length")),
        ("smaller than 50 inches", (-INF, 50, "length")),
        ("lighter than 4 pounds", (-INF, 4, "weight")),
        ("3 ft or longer", (3, INF, "length")),
        ("5 mm or thinner", (-INF, 5, "length")),
        ("piano under $500", (-INF, 500, "dollars")),
        ("max 20 kg", (-INF, 20, "weight")),
        ("watch max $50", (-INF, 50, "dollars")),
        ("watch max 50 dollars", (-INF, 50, "dollars")),
        ("watch $50 max", (-INF, 50, "dollars")),
        ("watch 50 dollars tops, black", (-INF, 50, "dollars")),
        ("watch $50 maxi", (50, 50, "dollars")),
        ("$20 tops for women", (20, 20, "dollars")),
        ("$30 max factor mascara", (30, 30, "dollars")),
        ("watch, maximum 200 g", (-INF, 200, "weight")),
        ("load max of 20 kg", (-INF, 20, "weight")),
        ("load max: 20 kg", (-INF, 20, "weight")),
        ("nike air max 97", (97, 97, "")),
        ("iphone pro max 256gb", (256, 256, "information")),
        ("cushion cover 20 inch", (20, 20, "length")),
        ("2 fl. oz", (2, 2, "volume")),
        ("100 - 240 V", (100, 240, "voltage")),
        ("-20 - 50", (-20, 50, "")),
        ("< 21", (-INF, 21, "")),
        ("8 M US", (8, 8, "")),
        ("shirt 2 L", (2, 2, "")),
        ("1.5 L", (1.5, 1.5, "volume")),
        ("bottle 1.5L", (1.5, 1.5, "volume")),
    ],
)
def test_one_quantity_is_read(text: str, expected: tuple[float, float, str]) -> None:
    assert read(text) == [[expected]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2x8", [(2, 2, ""), (8, 8, "")]),
        ("christmas pillow shams 18x18", [(18, 18, ""), (18, 18, "")]),
        ("8 ft x 5 ft rug", [(5, 5, "length"), (8, 8, "length")]),
        ("8 x 10 inch", [(8, 8, "length"), (10, 10, "length")]),
        ("1/2 x 3/8 bushing stainless", [(0.375, 0.375, ""), (0.5, 0.5, "")]),
        ("5'x7'", [(5, 5, "length"), (7, 7, "length")]),
        ('throw 50"x60"', [(50, 50, "length"), (60, 60, "length")]),
        ("50cmx60cm", [(50, 50, "length"), (60, 60, "length")]),
        ("8 in. x 10 in.", [(8, 8, "length"), (10, 10, "length")]),
        ("rug 8 ft. x 10 ft.", [(8, 8, "length"), (10, 10, "length")]),
        ("7'10\" x 10'", [(94, 94, "length"), (10, 10, "length")]),
        ("7'10\"x9'6\"", [(94, 94, "length"), (114, 114, "length")]),
        ("7 ft 10 in x 10 ft", [(94, 94, "length"), (10, 10, "length")]),
        ("5 x 7'6\"", [(5, 5, "length"), (90, 90, "length")]),
        ("10 ft. by 7 ft. 10 in.", [(94, 94, "length"), (10, 10, "length")]),
        ("jeans 32W x 34L", [(32, 32, ""), (34, 34, "")]),
        ("32wx34l", [(32, 32, ""), (34, 34, "")]),
        ('24"W x 18"D x 30"H', [(18, 18, "length"), (24, 24, "length"), (30, 30, "length")]),
        ("24 in. W x 18 1/2 in. D", [(18.5, 18.5, "length"), (24, 24, "length")]),
        ("60W x 80L x 16H cm", [(16, 16, "length"), (60, 60, "length"), (80, 80, "length")]),
        ("1330 x 1095 x 1305", [(1095, 1095, ""), (1305, 1305, ""), (1330, 1330, "")]),
    ],
)
def test_sides_are_read_in_the_order_of_their_size(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert read(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50ml/1.7oz", [(50, 50, "volume"), (1.7, 1.7, "weight")]),
        ('3.8 cm (1.5")', [(3.8, 3.8, "length"), (1.5, 1.5, "length")]),
        ("2 pack - 12 inch", [(2, 2, "count"), (12, 12, "length")]),
        ("3-12x40", [(3, 12, ""), (40, 40, "")]),
        ("dewalt 20v max 5ah", [(20, 20, "voltage"), (5, 5, "charge")]),
        ("6,7,8.5", [(6, 6, ""), (7, 7, ""), (8.5, 8.5, "")]),
        ("sizes 8,10,100.", [(8, 8, ""), (10, 10, ""), (100, 100, "")]),
        ("over 5 lbs and under $50", [(5, INF, "weight"), (-INF, 50, "dollars")]),
        ("20 box 5", [(20, 20, ""), (5, 5, "")]),
        ("20 USD 2 pack", [(20, 20, "dollars"), (2, 2, "count")]),
        ("20€ 30", [(20, 20, "euros"), (30, 30, "")]),
    ],
)
def test_several_quantities_are_read(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert read(text) == [[each] for each in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60W x 2", [(2, 2, ""), (60, 60, "power")]),
        ("100W x 60W", [(60, 60, "power"), (100, 100, "power")]),
        ("2.5L x 6", [(2.5, 2.5, "volume"), (6, 6, "")]),
    ],
)
def test_a_letter_that_not_every_side_has_is_a_unit(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert sorted(side for each in read(text) for side in each) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("uag galaxy s9", "802xl ink", "DDR4-3200", "5w-30", "cap 85-1", "lenovo w541", "x570", "4x women outfits"),
        *("IP67", "1080p", "1e999 GB", "9" * 400 + " GB", "0x", "nan", "inf", "1/0", "24/7", "12/25/2020", "1_000"),
        *("4k tv", "under armour", "bra 36H", "256G"),
    ],
)
def test_what_is_no_quantity_or_an_absurd_one_is_not_read(text: str) -> None:
    assert read(text) == []


def agree(wanted: str, found: str) -> float | None:
    return best(read_quantities(wanted, UNITS), read_quantities(found, UNITS))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("10 ft", "120 inches"),
        ("16 oz", "1 lb"),
        ("24oz", "24 fl oz"),
        ("24oz", "709.8 ml"),
        ("1 TB", "1000gb"),
        ("1tb", "1024GB"),
        ("16 GB", "16384 MB"),
        ("2097152 MB", "2 TB"),
        ("at least 1 TB", "1000 GB"),
        ("up to 1 TB", "1024 GB"),
        ("under 50 dollars", "$49.99"),
        ("under 50 dollars", "50"),
        ("2x8", "8 ft x 2 ft"),
        ("8 ft", "8 ft x 10 ft"),
        ("size 8-10", "9"),
        ("size 8", "6,7,8,9,10"),
        ("size 8-10", "10-12"),
        ("1 dozen", "12 count"),
        ("16 GB", "16"),
        ("2公斤", "4斤"),
        ("8x10", "8 in. x 10 in."),
        ("5'x7'6\"", "5 x 7'6\""),
        ("32x34", "32W x 34L"),
        ("24 x 18 x 30 inch", '24"W x 18"D x 30"H'),
    ],
)
def test_what_is_the_same_or_inside_agrees_wholly(wanted: str, found: str) -> None:
    assert agree(wanted, found) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("100 inch", "95 inch", 0.0),
        ("under 95 dollars", "100 dollars", 0.0),
        ("16 GB", "8 GB", (0.0025 - 0.25) / (0.0025 + 0.25)),
        ("2x8", "2x4", (0.0025 - 0.25) / (0.0025 + 0.25)),
        ("1000 GB", "1100 GB", (0.0025 - (1 / 11) ** 2) / (0.0025 + (1 / 11) ** 2)),
        ("16 GB", "8", 0.5 * (0.0025 - 0.25) / (0.0025 + 0.25)),
    ],
)
def test_beside_it_the_agreement_falls_with_the_relative_gap(wanted: str, found: str, expected: float) -> None:
    assert agree(wanted, found) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("2x8", "24 in x 96 in"), ("24 in x 96 in", "2x8"), ("2x8", "24 in x 8 in"), ("5x7", "5 x 7'6\"")],
)
def test_sides_whose_unit_only_one_states_do_not_disagree(wanted: str, found: str) -> None:
    assert agree(wanted, found) == 0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("16 GB", "16 inch"), ("$20", "20 €"), ("2x8x4", "2x8"), ("12 fl oz", "12 g"), ("16 GB", "large")],
)
def test_other_kinds_of_unit_and_other_numbers_of_sides_cannot_be_compared(wanted: str, found: str) -> None:
    assert agree(wanted, found) is None


def test_bytes_are_of_one_kind_however_they_are_counted() -> None:
    assert kinds(read_quantities("16 GB", UNITS)) == {"information"}


FINITE = st.floats(-1e15, 1e15)
INTERVALS = st.builds(
    lambda a, b, opens, stated: Interval(
        -INF if opens == "low" else min(a, b),
        INF if opens == "high" else max(a, b),
        tuple((kind, -INF if opens == "low" else min(a, b), INF if opens == "high" else max(a, b)) for kind in stated),
    ),
    FINITE,
    FINITE,
    st.sampled_from(["", "low", "high"]),
    st.sampled_from([(), ("length",), ("weight", "volume"), ("volume",)]),
)
QUANTITIES = st.lists(INTERVALS, min_size=1, max_size=3).map(lambda sides: Quantity(tuple(sides)))


@given(QUANTITIES, QUANTITIES)
def test_an_agreement_is_none_or_between_minus_one_and_one(wanted: Quantity, found: Quantity) -> None:
    value = agreement(wanted, found)
    assert value is None or -1 <= value <= 1


@given(INTERVALS, INTERVALS)
def test_two_intervals_agree_with_each_other_alike(one: Interval, other: Interval) -> None:
    assert agreement(Quantity((one,)), Quantity((other,))) == agreement(Quantity((other,)), Quantity((one,)))


@given(QUANTITIES)
def test_a_quantity_agrees_with_itself(quantity: Quantity) -> None:
    assert agreement(quantity, quantity) == 1


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(1, 1e6))
def test_what_is_farther_away_never_agrees_more(start: float, gap: float, more: float) -> None:
    near, far = (agreement(number(start), number(start + each)) for each in (gap, gap + more))
    assert near is not None
    assert far is not None
    assert far <= near + 1e-12


PARTS = st.sampled_from(
    ["1", "0", "9" * 16, "1e9", ".", ",", "/", "-", "x", " ", "GB", "'", '"', "$", "元", "½", "to", "under", "+"]
)


@given(st.lists(PARTS | st.text(max_size=3)).map("".join))
def test_no_text_raises_and_every_bound_is_a_number(text: str) -> None:
    for quantity in read_quantities(text, UNITS):
        assert 0 <= quantity.start < quantity.end <= len(text)
        assert all(side.low <= side.high for side in quantity.sides)
        assert all(math.isfinite(side.low) or math.isfinite(side.high) for side in quantity.sides)


@pytest.mark.parametrize(
    "part", ["1", "1 ", "1x", "1,", "1/", "1-", "$", "½ ", "1 GB ", "under 1 ", "١", "½", "1W x 2L x ", "1'1\"x"]
)
def test_of_a_long_text_the_beginning_is_read(part: str) -> None:
    found = read_quantities((part * 10_000)[:10_000], UNITS)
    assert len(found) <= 16
    assert all(each.end <= 2_000 for each in found)


def against(wanted: str, found: str) -> float:
    value = agree(wanted, found)
    assert value is not None
    return value


def test_a_thing_with_a_side_more_or_a_side_alone_agrees_by_the_sides_that_both_have() -> None:
    assert agree("8x10 ft", "8 ft") == agree("8x10 ft", "10 ft") == 1.0
    assert agree("120x60 cm", "120 x 60 x 75 cm") == 1.0
    assert against("120x60 cm", "180 x 90 x 75 cm") < 0 and against("8x10 ft", "5 ft") < 0


def test_a_whole_number_beside_a_small_one_is_another_size() -> None:
    assert agree("42", "42") == 1.0 and against("42", "42.5") > 0.8
    assert against("42", "43") == against("43", "42") < 0
    assert against("2000", "2001") > 0.9 and against("42 inch", "43 inch") > 0


def test_feet_before_a_fraction_of_an_inch_are_another_quantity() -> None:
    assert len(read_quantities("rope 50 ft 1/2 inch", UNITS)) == 2
    assert len(read_quantities("6 ft 2 inch", UNITS)) == 1

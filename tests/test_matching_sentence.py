"""What a query says before any attribute is known."""

import pytest

from service.matching.sentence import Sentence
from service.matching.units import Units


@pytest.fixture(scope="module")
def units() -> Units:
    return Units.read()


@pytest.mark.parametrize(
    ("query", "things"),
    [
        ("chair without armrests or wheels", [{"armrest"}, {"wheel"}]),
        ("shirt no logo or long sleeves", [{"logo"}, {"long", "sleeve"}]),
        ("rug neither red nor blue", [{"red"}, {"blue"}]),
        ("sugar free gum", [{"sugar"}]),
        ("office chair", []),
        ("umbrella not pink, purple or red", [{"pink"}, {"purple"}, {"red"}]),
        ("umbrella except pink and light blue", [{"pink"}, {"light", "blue"}]),
        ("除了红色和蓝色的雨伞", [{"红", "色"}, {"蓝", "色"}]),
        ("shoes not red, blue", [{"red"}]),
        ("chair without arms, wheels, or headrest", [{"arm"}, {"wheel"}, {"headrest"}]),
        ("不要涤纶或尼龙的外套", [{"涤", "纶"}, {"尼", "龙"}]),
        ("mug without handle and lid", [{"handle"}]),
    ],
)
def test_each_thing_that_a_query_is_to_be_without_is_one_by_itself(
    units: Units, query: str, things: list[set[str]]
) -> None:
    assert Sentence(query, units).unwanted() == things


@pytest.mark.parametrize(
    ("query", "affirmed"),
    [
        ("black not white running shoes", "black running shoes"),
        ("red not blue dress", "red dress"),
        ("not red or blue shirt", "shirt"),
        ("women no wire bra", "women bra"),
        ("mens no iron shirt", "mens shirt"),
        ("dress no sleeves", "dress"),
        ("umbrella not pink, purple or red", "umbrella"),
        ("除了红色和蓝色的雨伞", "雨伞"),
        ("bag no zipper, waterproof", "bag , waterproof"),
        ("jacket without hood black mens xl", "jacket black mens xl"),
        ("jacket without hood, black or navy", "jacket , black or navy"),
        ("dress without polyester, nylon or spandex", "dress"),
        ("boys not girls shoes", "boys shoes"),
    ],
)
def test_what_a_query_asks_for_is_not_negated_with_what_stands_before_it(
    units: Units, query: str, affirmed: str
) -> None:
    assert Sentence(query, units).affirmed == affirmed


def said(units: Units, query: str, text: str) -> list[str]:
    start = query.index(text)
    return [each.text for each in Sentence(query, units).values([(text, start, start + len(text), 1.0)])]


def test_words_behind_a_time_are_wanted_with_it(units: Units) -> None:
    assert said(units, "toys for 3 year olds", "year olds") == ["3 year olds"]
    assert said(units, "vitamins 30 day supply", "day supply") == ["30 day supply"]
    assert said(units, "dresser 4 drawers oak", "drawers oak") == ["drawers oak"]


def test_alternatives_are_of_one_choice(units: Units) -> None:
    found = [*Sentence("red or blue or green rug", units).values([("red", 0, 3, 1.0), ("blue", 7, 11, 0.9)])]
    assert [(each.text, each.choice) for each in found] == [("red", 1), ("blue", 1)]
    assert said(units, "red w/ blue trim rug", "red w/ blue") == ["red w/ blue"]
    apart = Sentence("red w/ blue trim rug", units).values([("red", 0, 3, 1.0), ("blue", 7, 11, 1.0)])
    assert [each.choice for each in apart] == [1, 2]


def test_what_is_not_wanted_is_wanted_apart(units: Units) -> None:
    query = "rug not red and blue"
    assert said(units, query, "red and blue") == ["red", "blue"]

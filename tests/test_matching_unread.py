"""Whose the quantities are that no model read."""

import pytest

from service.matching import unread
from service.matching.parsing import Parser, Value
from service.matching.quantities import read_quantities
from service.matching.units import Units


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Units.read())


def owners(parser: Parser, query: str, *wanted: str, **values: Value) -> dict[str, str]:
    """By attribute its quantity, in a catalogue of one product."""
    units = parser.units.by_spelling
    found = unread.read(query, read_quantities(query, units), (), units)
    names = {name: unread.name_words(name) for name in values}
    known = {name: unread.measured_kinds(parser.found(value).quantities) for name, value in values.items()}
    return unread.owners(found, names, known, {*wanted}) if unread.is_asked(found, names.values()) else {}


@pytest.mark.parametrize(
    "query", ["laptop 16gb ram 512gb ssd", "laptop ram 16gb ssd 512gb", "16gb ddr4 memory and 512gb storage"]
)
def test_of_several_quantities_each_is_the_one_s_whose_name_stands_beside_it(parser: Parser, query: str) -> None:
    values = {"memory": "8 GB", "storage": "256 GB", "weight": "2 kg"}
    assert owners(parser, query, **values) == {"memory": "16gb", "storage": "512gb"}


def test_the_last_one_left_is_the_last_attribute_s(parser: Parser) -> None:
    assert owners(parser, "16gb ram 512gb laptop", ram="8 GB", disk="1 TB") == {"ram": "16gb", "disk": "512gb"}
    assert owners(parser, "16gb 512gb laptop", memory="8 GB", disk="1 TB") == {}
    assert owners(parser, "16gb ram 512gb laptop", ram="8 GB", disk="1 TB", cache="1 MB") == {"ram": "16gb"}


def test_a_bare_g_is_gigabytes_where_the_catalogue_has_bytes(parser: Parser) -> None:
    assert owners(parser, "16G内存 512G", 内存="8GB", 硬盘="1TB") == {"内存": "16G", "硬盘": "512G"}
    assert owners(parser, "手机 4g", 内存="8GB") == {}


def test_what_two_kinds_of_unit_share_is_not_wanted_of_both(parser: Parser) -> None:
    assert owners(parser, "16 oz bottle", weight="300 g", capacity="500 ml") == {}
    assert owners(parser, "bottle of 16 oz capacity", weight="300 g", capacity="500 ml") == {"capacity": "16 oz"}


def test_a_number_without_a_unit_is_the_one_s_that_is_named_right_beside_it(parser: Parser) -> None:
    assert owners(parser, "运动鞋 43码", 鞋码="40", 款式="7") == {"鞋码": "43"}
    assert owners(parser, "5 hole flute", number_of_holes=6) == {"number_of_holes": "5"}
    assert owners(parser, "iphone 13 case", storage="128 GB", case_color="red", rating=4) == {}


def test_a_limit_without_a_unit_is_the_price_s(parser: Parser) -> None:
    assert owners(parser, "headphones under 100", price=79.0, rating=4) == {"price": "under 100"}
    assert owners(parser, "headphones under 100", sale_price="$79") == {"sale_price": "under 100"}
    assert owners(parser, "headphones under 100", "price", price=79.0) == {}
    assert owners(parser, "headphones 100", price=79.0) == {}
    assert owners(parser, "headphones weight under 100", price=79.0, weight=200) == {"weight": "under 100"}
    assert owners(parser, "headphones under 100", price=79.0, unit_price=79.0) == {}


def test_doses_are_in_units_of_what_they_do(parser: Parser) -> None:
    assert owners(parser, "vitamin d 5000 iu", strength="1000 IU", weight="100 g") == {"strength": "5000 iu"}

"""Whose the quantities are that no model read."""

import pytest

from service.matching import measures
from service.matching import owners as owning
from service.matching.parsing import Parser, Value
from service.matching.quantities import read_quantities
from service.matching.units import Units


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Units.read())


def owners(parser: Parser, query: str, *wanted: str, **values: Value) -> dict[str, str]:
    """By attribute its quantity, in a catalogue of one product."""
    units = parser.units.by_spelling
    found = measures.read(query, read_quantities(query, units), units)
    names = {name: measures.name_words(name.replace("_", " ")) for name in values}
    known = {name: parser.found(value).kinds for name, value in values.items()}
    if not owning.is_asked(found, names):
        return {}
    return {name: each.text for name, each in owning.owners(found, set(), names, known, {*wanted}).items()}


@pytest.mark.parametrize(
    "query", ["laptop 16gb ram 512gb ssd", "laptop ram 16gb ssd 512gb", "16gb ddr4 memory and 512gb storage"]
)
def test_of_several_quantities_each_is_the_one_s_whose_name_stands_beside_it(parser: Parser, query: str) -> None:
    values = {"memory": "8 GB", "storage": "256 GB", "weight": "2 kg"}
    assert owners(parser, query, **values) == {"memory": "16gb", "storage": "512gb"}


def test_the_last_one_left_is_the_last_attribute_s(parser: Parser) -> None:
    assert owners(parser, "16gb ram 512gb laptop", ram="8 GB", disk="1 TB") == {"ram": "16gb", "disk": "512gb"}
    assert owners(parser, "16gb 512gb laptop", front="8 GB", back="1 TB") == {}
    assert owners(parser, "16gb ram 512gb laptop", ram="8 GB", disk="1 TB", cache="1 MB") == {"ram": "16gb"}


def test_two_quantities_of_the_same_words_are_two(parser: Parser) -> None:
    assert owners(parser, "desk 60cm 60cm wide", height="1 m", width="1 m") == {"height": "60cm", "width": "60cm"}


def test_of_two_numbers_of_bytes_the_smaller_is_the_memory_s(parser: Parser) -> None:
    assert owners(parser, "512gb 16gb laptop", memory="8 GB", disk="1 TB") == {"memory": "16gb", "disk": "512gb"}
    assert owners(parser, "laptop 16gb under 1tb", memory="8 GB", disk="1 TB") == {
        "memory": "16gb",
        "disk": "under 1tb",
    }
    assert owners(parser, "手机 8G+256G", 运行内存="8GB", 机身存储="1TB") == {"运行内存": "8G", "机身存储": "256G"}


def test_a_bare_l_is_litres_where_the_catalogue_has_these(parser: Parser) -> None:
    assert owners(parser, "rice cooker 5 liter", capacity="5L") == {"capacity": "5 liter"}
    assert owners(parser, "backpack 40L", capacity="20 L", price=3) == {"capacity": "40L"}
    assert owners(parser, "coat 5L", color="red") == {}


def test_a_chinese_name_is_said_by_two_characters_of_it(parser: Parser) -> None:
    assert owners(parser, "手机 256GB", 机身存储="8GB", 手柄容量="1 GB") == {}
    assert owners(parser, "手机 256GB存储", 机身存储="8GB", 手柄容量="1 GB") == {"机身存储": "256GB"}
    assert owners(parser, "电脑桌 长120cm 宽60cm", 长度="1 m", 宽度="1 m") == {"长度": "120cm", "宽度": "60cm"}


def test_money_is_of_a_price_without_a_unit(parser: Parser) -> None:
    assert owners(parser, "手机 2000元以下", 价格=1899, 评分=5) == {"价格": "2000元以下"}
    assert owners(parser, "200到500元 羽绒服", 价格=1899) == {"价格": "200到500元"}
    assert owners(parser, "phone case $20", price="€19", weight="20 g") == {"price": "$20"}


def test_a_count_is_the_one_s_that_its_unit_names(parser: Parser) -> None:
    assert owners(parser, "6 drawer dresser", number_of_drawers=3, rating=4) == {"number_of_drawers": "6 drawer"}
    assert owners(parser, "2 pack phone charger", rating=4) == {}


def test_a_bare_g_is_gigabytes_where_the_catalogue_has_bytes(parser: Parser) -> None:
    assert owners(parser, "16G内存 512G", 内存="8GB", 硬盘="1TB") == {"内存": "16G", "硬盘": "512G"}
    assert owners(parser, "手机 4g", 内存="8GB") == {}


def test_what_two_kinds_of_unit_share_is_not_wanted_of_both(parser: Parser) -> None:
    assert owners(parser, "16 oz bottle", weight="300 g", capacity="500 ml") == {}
    assert owners(parser, "bottle of 16 oz capacity", weight="300 g", capacity="500 ml") == {"capacity": "16 oz"}


def test_a_number_without_a_unit_is_the_one_s_that_is_named_right_beside_it(parser: Parser) -> None:
    assert owners(parser, "运动鞋 43码", 鞋码="40", 款式="7") == {"鞋码": "43"}
    assert owners(parser, "5 hole flute", number_of_holes=6) == {"number_of_holes": "5"}
    assert owners(parser, "jeans waist 32 inseam 30", waist="30", inseam="32") == {"waist": "32", "inseam": "30"}
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

"""Values that a model read, beside what the catalogue has."""

import pytest

from service.matching import measures, settling
from service.matching.parsing import Parser, Value
from service.matching.quantities import read_quantities
from service.matching.sentence import Said, Sentence
from service.matching.units import Units


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Units.read())


def settled(parser: Parser, query: str, stated: dict[str, str], **values: Value) -> dict[str, list[str]]:
    """By attribute what is wanted in the end, where the model read one text of each; values are of one product."""
    sentence = Sentence(query, parser.units)
    said: dict[str, list[Said]] = {}
    for name, text in stated.items():
        start = query.index(text)
        said[name] = [*sentence.values([(text, start, start + len(text), 1.0)])]
    found = measures.read(query, read_quantities(query, parser.units.by_spelling), parser.units.by_spelling)
    plain = {name: name.replace("_", " ") for name in values}
    names = {name: measures.name_words(text) for name, text in plain.items()}
    known = {name: parser.found(value).kinds for name, value in values.items()}
    worded = {name for name, kinds in known.items() if not kinds}
    settlement = settling.Settlement(found, said, plain, names, known, worded)
    return {name: [each.text for each in values] for name, values in settlement.settled()}


def test_of_several_quantities_those_stay_that_are_of_the_attributes_kind(parser: Parser) -> None:
    text = "27 inch 144hz"
    found = settled(
        parser, f"monitor {text}", {"screen": text, "resolution": text}, screen="24 inch", resolution="4K", rate="60 Hz"
    )
    assert found == {"screen": ["27 inch"], "resolution": []}


def test_beside_words_a_quantity_is_not_wanted_of_an_attribute_that_has_words_alone(parser: Parser) -> None:
    assert settled(parser, "mattress 10 inch queen", {"size": "10 inch queen"}, size="King") == {"size": ["queen"]}
    assert settled(parser, "shoes boys age 5-7", {"gender": "boys age 5-7"}, gender="Girls") == {"gender": ["boys"]}
    kept = settled(parser, "ddr4 16gb memory", {"memory": "ddr4 16gb"}, memory="8 GB DDR4")
    assert kept == {"memory": ["ddr4 16gb"]}


def test_a_quantity_alone_is_left_to_another_attribute_of_its_kind(parser: Parser) -> None:
    stated = {"gender": "12 months"}
    assert settled(parser, "dress 12 months", stated, gender="Girl", size="24 months") == {"gender": []}
    assert settled(parser, "dress 12 months", stated, gender="Girl", color="red") == {"gender": ["12 months"]}


def test_what_is_stated_of_names_apart_is_of_the_one_that_stands_beside_it(parser: Parser) -> None:
    text = "6 ft tall"
    values = {"height": "60 in", "width": "30 in"}
    assert settled(parser, f"bookshelf {text}", {"height": text, "width": text}, **values) == {
        "height": [text],
        "width": [],
    }
    both = settled(parser, "desk 60 in", {"height": "60 in", "width": "60 in"}, **values)
    assert both == {"height": ["60 in"], "width": ["60 in"]}


def test_of_two_lengths_each_is_the_one_s_that_is_named_beside_it(parser: Parser) -> None:
    text = "长120cm 宽60cm"
    found = settled(parser, f"电脑桌 {text}", {"长度": text, "宽度": text}, 长度="1 m", 宽度="1 m")
    assert found == {"长度": ["120cm"], "宽度": ["60cm"]}
    unnamed = settled(parser, "rope 50 m 10 mm", {"length": "50 m 10 mm"}, length="1 m", diameter="1 mm")
    assert unnamed == {"length": ["50 m", "10 mm"]}


def test_a_bare_limit_is_of_the_price_and_not_of_a_weight(parser: Parser) -> None:
    stated = {"weight": "under 100"}
    assert settled(parser, "headphones under 100", stated, weight="90 g", price=75.0) == {"weight": []}
    assert settled(parser, "headphones under 100", stated, weight="90 g") == {"weight": ["under 100"]}
    assert settled(parser, "headphones weight under 100", stated, weight="90 g", price=75.0) == stated | {
        "weight": ["under 100"]
    }


def test_words_alone_are_nothing_where_all_values_are_quantities(parser: Parser) -> None:
    query, stated = "earbuds 24 hour battery", {"battery_life": "battery"}
    assert settled(parser, query, stated, battery_life="6 hours") == {"battery_life": []}
    assert settled(parser, query, stated, battery_life="long") == {"battery_life": ["battery"]}


def test_what_another_attribute_is_named_for_is_not_of_the_one_that_it_is_stated_of(parser: Parser) -> None:
    stated = {"memory": "12gb ram and 256gb"}
    found = settled(parser, "phone 12gb ram and 256gb storage", stated, memory="8 GB", storage="128 GB")
    assert found == {"memory": ["12gb"]}
    tall = "72 inches tall 30 inches wide"
    found = settled(parser, f"bookcase {tall}", {"depth": tall, "width": tall}, height="1 m", width="1 m", depth="1 m")
    assert found == {"depth": [], "width": ["30 inches"]}


def test_a_bare_number_is_not_of_an_attribute_that_has_one_with_its_unit(parser: Parser) -> None:
    found = settled(parser, "tree 6ft 300 lights", {"height": "6ft 300"}, height="7 ft", lights=100)
    assert found == {"height": ["6ft"]}


def test_a_price_takes_money_and_leaves_lengths(parser: Parser) -> None:
    text = "at least 55 inches under $800"
    assert settled(parser, f"tv {text}", {"price": text}, price=799.0, screen="65 in") == {"price": ["under $800"]}


def test_alternatives_stay_as_they_are_read(parser: Parser) -> None:
    found = settled(parser, "size 8 or 9 shoes", {"size": "size 8 or 9"}, size="10")
    assert found == {"size": ["size 8 or 9", "size 8", "9"]}

"""What a catalogue alone teaches: which attributes apply to a kind, and queries made of products' own words."""

from pathlib import Path
from typing import Any

import pytest
from test_catalogues import MATTRESS, PAPERWHITE, write_chorus, write_esci, write_own
from test_readers import gains, keyed, read

from model_export.readers.catalogue import LEAST_PRODUCTS, MOST_OTHERS
from model_export.readers.catalogue_queries import MOST_ATTRIBUTES, OTHERS, SAME_KIND
from model_export.readers.taxonomy_values import APPLIES
from model_export.records import Record

SWITCH: dict[str, Any] = {
    "id": "1",
    "title": "D-Link DES-1008D network switch",
    "supplier": "D-Link",
    "attr_t_product_colour": "Black",
    "attr_t_product_type": "Network switch",
    "attr_n_weight": 700.0,
}
TONER: dict[str, Any] = {
    "id": "2",
    "title": "Xerox 006R90321 toner cartridge Original Black 6 pc(s)",
    "supplier": "Xerox",
    "attr_t_product_type": "Toner cartridge",
    "attr_t_printing_colours": "Black",
}


def many(product: dict[str, Any], count: int, **changes: list[Any]) -> list[dict[str, Any]]:
    """`count` products that differ by their id and by the changes, which go round."""
    key = "asin" if "asin" in product else "id"
    return [
        product | {key: f"{product[key]}-{n}"} | {name: values[n % len(values)] for name, values in changes.items()}
        for n in range(count)
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Switches in four colors and of one weight each two, and toner cartridges that are all alike."""
    colors = ["Black", "White", "Grey", "Silver"]
    switches = many(SWITCH, 32, attr_t_product_colour=colors, attr_t_code=[f"code {n}" for n in range(32)])
    return write_chorus(tmp_path, *switches, *many(TONER, 40))


def kinds(shop: Path) -> dict[str, Record]:
    return {record.query: record for record in read("catalogue", shop)}


def test_every_kind_with_enough_products_is_asked_for_by_its_name(shop: Path) -> None:
    assert [key for key, _ in keyed("catalogue", shop)] == ["network switch", "toner cartridge"]


def test_a_kind_of_few_products_is_not_asked_for(tmp_path: Path) -> None:
    few, enough = many(MATTRESS, LEAST_PRODUCTS - 1), many(MATTRESS | {"category": ["Home", "Rugs"]}, LEAST_PRODUCTS)
    assert [key for key, _ in keyed("catalogue", write_esci(tmp_path, *few, *enough))] == ["rugs"]


def test_attributes_that_tell_products_apart_gain_more_than_those_that_only_apply(shop: Path) -> None:
    found = gains(kinds(shop)["network switch"])
    assert found["product colour"] > found["weight"] == APPLIES


def test_four_values_evenly_used_tell_two_thirds_of_what_eight_do(shop: Path) -> None:
    found = gains(kinds(shop)["network switch"])
    assert found["product colour"] == pytest.approx(APPLIES + (1 - APPLIES) * 2 / 3, abs=1e-3)


def test_an_identifier_only_applies(shop: Path) -> None:
    assert gains(kinds(shop)["network switch"])["code"] == APPLIES


def test_attributes_gain_in_proportion_to_the_products_that_fill_them(tmp_path: Path) -> None:
    filled = many(MATTRESS | {"price": None}, 10, brand=["Serta", None])
    (record,) = read("catalogue", write_esci(tmp_path, *filled))
    assert gains(record)["brand"] == APPLIES / 2


def test_attributes_of_other_kinds_alone_have_no_gain(shop: Path) -> None:
    assert gains(kinds(shop)["toner cartridge"])["product colour"] == 0
    assert gains(kinds(shop)["network switch"])["printing colours"] == 0


def test_attributes_of_other_kinds_are_not_too_many(tmp_path: Path) -> None:
    wide = TONER | {f"attr_t_thing_{letter}{other}": "x" for letter in "abcdefgh" for other in "ijklmnop"}
    shop = write_chorus(tmp_path, *many(SWITCH, 30), *many(wide, 30))
    assert list(kinds(shop)["network switch"].gains).count(0.0) == MOST_OTHERS


def test_pseudo_queries_are_made_of_the_words_of_the_product_that_gains(shop: Path) -> None:
    for record in read("catalogue_queries", shop):
        best = record.products[0]
        words = f"{best.title} {' '.join(filter(None, best.values))}".lower().split()
        assert best.gain == 1 and set(record.query.split()) <= set(words)


def test_pseudo_queries_rank_the_product_against_others_of_its_kind_and_of_any(tmp_path: Path) -> None:
    shop = write_chorus(tmp_path, *many(SWITCH, 30), *many(TONER, 900))
    for record in read("catalogue_queries", shop):
        place = record.attributes.index("product type")
        alike = [product for product in record.products if product.values[place] == record.products[0].values[place]]
        assert (len(record.products), len(alike) > SAME_KIND) == (1 + OTHERS, True)
        assert [product.gain for product in record.products[1:]] == [0.0] * OTHERS


def test_pseudo_queries_say_nothing_of_the_attributes_themselves(shop: Path) -> None:
    for record in read("catalogue_queries", shop):
        assert (set(record.gains), set(record.values)) == ({0.0}, {None}) and not record.ranks


def test_pseudo_queries_have_few_attributes(tmp_path: Path) -> None:
    wide = SWITCH | {f"attr_t_thing_{letter}": "x" for letter in "abcdefghijklmnop"}
    found = read("catalogue_queries", write_chorus(tmp_path, *many(wide, 30)))
    assert {len(record.attributes) for record in found} == {MOST_ATTRIBUTES}


def test_an_own_catalogue_teaches_as_the_public_ones_do(tmp_path: Path) -> None:
    lines = many({"id": 1, "title": "Red wool rug", "attributes": {"product type": "Rug", "color": "red"}}, 12)
    file = write_own(tmp_path, *lines)
    assert gains(kinds(file)["rug"]) == {"color": APPLIES}
    assert {key for key, _ in keyed("catalogue_queries", file)} == {"rug"}


def test_pseudo_queries_are_the_same_for_the_same_seed(shop: Path) -> None:
    assert (
        read("catalogue_queries", shop, 3) == read("catalogue_queries", shop, 3) != read("catalogue_queries", shop, 4)
    )


def test_pseudo_queries_are_kept_aside_by_the_kind_or_else_by_the_product(tmp_path: Path) -> None:
    shop = write_esci(tmp_path, PAPERWHITE, MATTRESS)
    assert {key for key, _ in keyed("catalogue_queries", shop)} == {"B07CXG6C9W", "mattresses"}

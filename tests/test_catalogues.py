"""Two public catalogues, in a few products as they really are, become one plain form."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from model_export import catalogues
from model_export.catalogues import CatalogueProduct
from model_export.records import BadRecord

PAPERWHITE: dict[str, Any] = {
    "asin": "B07CXG6C9W",
    "title": "Kindle Paperwhite – Now Waterproof with 2x the Storage – Ad-Supported",
    "brand": "Amazon",
    "color": "Black",
    "category": [],
    "price": None,
    "rating": 4.6,
}
MATTRESS: dict[str, Any] = {
    "asin": "B0777K9RGX",
    "title": 'Signature Design by Ashley Chime 12" Medium Firm Memory Foam Mattress - CertiPUR-US Certified, Queen',
    "brand": "Signature Design by Ashley",
    "color": None,
    "category": ["Home & Kitchen", "Furniture", "Bedroom Furniture", "Mattresses & Box Springs", "Mattresses"],
    "price": 29.97,
    "rating": 4.5,
}
TONER: dict[str, Any] = {
    "id": "3920564",
    "name": "006R90321",
    "title": "Xerox 006R90321 toner cartridge Original Black 6 pc(s)",
    "ean": ["0095205603217"],
    "img_high": "http://images.icecat.biz/img/gallery/img_3920564_high_1472618727_1208_7091.jpg",
    "date_released": "2009-12-10T00:00:00Z",
    "supplier": "Xerox",
    "price": 4995,
    "attr_t_type": "Original",
    "attr_t_printing_colours": "Black",
    "attr_t_compatibility": "CopyCentre C65\\nCopyCentre C75",
    "attr_n_quantity_per_pack": 6.0,
    "attr_b_rohs_compliance": True,
    "attr_t_ean_upc_gtin__packaging_": "8712581345211",
    "attr_t_operating_temperature__t_t_": "10 - 32",
    "attr_n_master__outer__case_width": 273.0,
    "attr_n_package_weight": 1.2,
    "attr_n_depth__imperial_": 15.2,
}
KINDS = frozenset({"toner cartridge", "cartridge", "cable", "printer", "notebook", "notebook case", "computer"})


def write_esci(folder: Path, *products: dict[str, Any]) -> Path:
    lines = "".join(json.dumps(product) + "\n" for product in products)
    (folder / "products.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def write_chorus(folder: Path, *products: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "products-1.json.zip", "w") as archive:
        archive.writestr("1.json", json.dumps(products))
    return folder


def test_esci_products_have_what_is_known_of_them(tmp_path: Path) -> None:
    (product,) = catalogues.read(write_esci(tmp_path, PAPERWHITE))
    assert product == CatalogueProduct("B07CXG6C9W", PAPERWHITE["title"], None, {"brand": "Amazon", "color": "Black"})


def test_esci_kinds_are_the_last_category(tmp_path: Path) -> None:
    (product,) = catalogues.read(write_esci(tmp_path, MATTRESS))
    assert (product.kind, product.attributes["price"]) == ("mattresses", "29.97")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (["Clothing, Shoes & Jewelry", "Women", "Clothing", "Skirts", "Casual"], "skirts"),
        (["Clothing, Shoes & Jewelry", "Women", "Shoes", "Athletic", "Running", "Road Running"], "shoes"),
        (["Clothing, Shoes & Jewelry", "Women"], None),
    ],
)
def test_esci_kinds_are_no_generic_category(tmp_path: Path, path: list[str], kind: str | None) -> None:
    (product,) = catalogues.read(write_esci(tmp_path, MATTRESS | {"category": path}))
    assert product.kind == kind


def test_a_cut_file_of_esci_is_refused_by_name(tmp_path: Path) -> None:
    file = write_esci(tmp_path, MATTRESS) / "products.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BadRecord, match=r"products\.jsonl\.gz is not a whole gzip file"):
        list(catalogues.read(tmp_path))


def test_chorus_attributes_lose_their_prefixes_and_units_and_are_text(tmp_path: Path) -> None:
    (product,) = catalogues.read(write_chorus(tmp_path, TONER))
    assert product.attributes == {
        "brand": "Xerox",
        "type": "Original",
        "printing colours": "Black",
        "compatibility": "CopyCentre C65, CopyCentre C75",
        "quantity per pack": "6",
        "rohs compliance": "yes",
        "operating temperature": "10 - 32",
    }


def test_chorus_kinds_are_what_many_titles_write_in_lower_case(tmp_path: Path) -> None:
    many = [TONER | {"id": str(number)} for number in range(catalogues.LEAST_TITLES)]
    shouted = TONER | {"title": "Xerox Phaser 6360 Yellow High Capacity Toner Cartridge - 106R01220"}
    products = catalogues.read(write_chorus(tmp_path, *many, shouted))
    assert {product.kind for product in products} == {"toner cartridge"}


def test_chorus_kinds_that_are_rare_are_not_known(tmp_path: Path) -> None:
    few = [TONER | {"id": str(number)} for number in range(catalogues.LEAST_TITLES - 1)]
    assert {product.kind for product in catalogues.read(write_chorus(tmp_path, *few))} == {None}


def test_chorus_product_types_are_kinds_where_many_have_them(tmp_path: Path) -> None:
    typed = TONER | {"title": "HP Pavilion dv7-1211ea Silver", "attr_t_product_type": "Notebook"}
    products = catalogues.read(write_chorus(tmp_path, *[typed] * catalogues.LEAST_TITLES))
    assert {product.kind for product in products} == {"notebook"}
    assert catalogues.KIND not in products[0].attributes


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Lexmark 08A0476 toner cartridge Original Black 1 pc(s)", "toner cartridge"),
        ("C2G 10ft Printer Cable 3.04 m White", "cable"),
        ("Case Logic notebook case 16 Black", "notebook case"),
        ("Origin Storage AC Adapter (90W PA-10) for HP notebook", None),
        ("Intel AFCPROCHS computer cooling component Silver", None),
        ("Canon BCI-6Y Original", None),
    ],
)
def test_the_kind_of_a_title_is_its_longest_before_what_it_is_for(title: str, kind: str | None) -> None:
    assert catalogues.kind_of(title, KINDS) == kind


OWN: dict[str, Any] = {
    "id": 7,
    "title": "Red wool rug",
    "attributes": {" Color ": "Red", "material": ["wool", "silk"], "washable": True, "size": None, "care": {"iron": 1}},
}


def write_own(folder: Path, *products: dict[str, Any]) -> Path:
    (folder / "shop.jsonl").write_text("".join(json.dumps(line) + "\n" for line in products), encoding="utf-8")
    return folder / "shop.jsonl"


def test_a_file_of_products_as_fill_reads_them_is_a_catalogue(tmp_path: Path) -> None:
    (product,) = catalogues.read(write_own(tmp_path, OWN, OWN | {"title": " "}))
    values = {"color": "Red", "material": "wool, silk", "washable": "yes"}
    assert product == CatalogueProduct("7", "Red wool rug", None, values)


@pytest.mark.parametrize(
    ("said", "attributes", "kind", "left"),
    [
        ({"kind": "Rug"}, {"category": "Home"}, "rug", {"category": "Home"}),
        ({"category": "Rugs "}, {}, "rugs", {}),
        ({"category": ["Home", "Rugs"]}, {"Product type": "Rug", "category": "Home"}, "rug", {"category": "Home"}),
        ({}, {"Category": "Home"}, "home", {}),
        ({}, {"type": "Original"}, None, {"type": "Original"}),
    ],
)
def test_the_kind_of_an_own_product_is_what_states_it_most_plainly(
    tmp_path: Path, said: dict[str, Any], attributes: dict[str, str], kind: str | None, left: dict[str, str]
) -> None:
    (product,) = catalogues.read(write_own(tmp_path, OWN | said | {"attributes": attributes}))
    assert (product.kind, product.attributes) == (kind, left)


def test_a_line_that_is_no_product_is_refused_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"shop\.jsonl, line 2: 'attributes' must be an object"):
        catalogues.read(write_own(tmp_path, OWN, {"id": 1, "title": "Rug"}))


def test_described_products_name_their_kind_first() -> None:
    product = CatalogueProduct("1", "Lamp", "lamp", {"brand": "Acer"})
    assert list(product.described.items()) == [("product type", "lamp"), ("brand", "Acer")]


def test_a_folder_without_a_catalogue_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    with pytest.raises(BadRecord, match="shop is no catalogue"):
        catalogues.read(tmp_path / "shop")


def test_a_product_that_is_none_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"products\.jsonl\.gz, line 2"):
        catalogues.read(write_esci(tmp_path, MATTRESS, {"asin": "B07"}))


def test_a_product_without_a_title_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"products\.jsonl\.gz, line 1: .*title"):
        catalogues.read(write_esci(tmp_path, MATTRESS | {"title": None}))
    with pytest.raises(BadRecord, match="products as Chorus has them"):
        catalogues.read(write_chorus(tmp_path / "chorus", TONER | {"title": None}))


def test_a_byte_that_is_no_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl.gz").write_bytes(gzip.compress(b'{"asin": "\xff"}\n'))
    with pytest.raises(BadRecord, match=r"products\.jsonl\.gz, line 1"):
        catalogues.read(tmp_path)


def test_ids_that_are_numbers_are_read_as_judgements_write_them(tmp_path: Path) -> None:
    (one,) = catalogues.read(write_esci(tmp_path, MATTRESS | {"asin": 7}))
    (other,) = catalogues.read(write_chorus(tmp_path / "chorus", TONER | {"id": 8}))
    assert (one.id, other.id) == ("7", "8")


def test_a_zip_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "products-1.json.zip").write_bytes(b"PK")
    with pytest.raises(BadRecord, match=r"products-1\.json\.zip"):
        catalogues.read(tmp_path)

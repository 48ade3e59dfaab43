"""What people judged and what they did: graded products of a catalogue, and the attributes that tell them apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_catalogues import write_chorus, write_esci
from test_readers import gains, keyed, read

from model_export.catalogues import CatalogueProduct
from model_export.config import Source
from model_export.readers.judgments import separation
from model_export.readers.ubi import Reading
from model_export.records import BadRecord, Record

PENCIL: dict[str, Any] = {
    "asin": "B01",
    "title": "Kaweko Pencil Special Mechanical Pencil 0.5 Brass, with Eraser",
    "brand": "Kaweco",
    "color": "Gold",
    "category": ["Office Products", "Pencils", "Mechanical Pencils"],
    "price": 35.99,
}
PEN = PENCIL | {
    "asin": "B02",
    "title": "Pilot Metropolitan Fountain Pen",
    "brand": "Pilot",
    "category": ["Office Products", "Pens", "Fountain Pens"],
}
JUDGMENTS = "query,product_id,label\r\nkaweco pencil,B01,E\r\nkaweco pencil,B02,S\r\npencil,B01,I\r\npencil,B02,I\r\n"


def judged(folder: Path, text: str = JUDGMENTS) -> Path:
    (folder / "judgments.csv").write_bytes(text.encode())
    return write_esci(folder, PENCIL, PEN)


def test_judgments_are_one_record_a_query_that_has_two_grades(tmp_path: Path) -> None:
    ((key, record),) = keyed("judgments", judged(tmp_path))
    assert key == record.query == "kaweco pencil"


def test_judgments_grade_the_products_of_the_catalogue(tmp_path: Path) -> None:
    (record,) = read("judgments", judged(tmp_path))
    assert [(product.gain, product.title) for product in record.products] == [
        (1.0, PENCIL["title"]),
        (0.1, PEN["title"]),
    ]


def test_judgments_give_each_product_its_values(tmp_path: Path) -> None:
    (record,) = read("judgments", judged(tmp_path))
    assert dict(zip(record.attributes, record.products[1].values, strict=True)) == {
        "brand": "Pilot",
        "product type": "fountain pens",
        "color": "Gold",
        "price": "35.99",
    }


def test_judgments_give_gain_to_attributes_whose_values_separate(tmp_path: Path) -> None:
    found = gains(read("judgments", judged(tmp_path))[0])
    assert found["brand"] > found["product type"] > found["color"] == found["price"] == 0


def test_judgments_leave_out_products_that_the_catalogue_lacks(tmp_path: Path) -> None:
    text = JUDGMENTS.replace("kaweco pencil,B02,S", "kaweco pencil,B03,S")
    assert read("judgments", judged(tmp_path, text)) == []


def test_judgments_of_chorus_gain_by_two_to_their_rating(tmp_path: Path) -> None:
    products = [{"id": number, "title": f"HP {number} toner", "supplier": "HP"} for number in range(4)]
    rows = "".join(f"toner,{number},{number}\n" for number in range(4))
    (tmp_path / "ratings.csv").write_text("query,product_id,rating\n" + rows, encoding="utf-8")
    (record,) = read("judgments", write_chorus(tmp_path, *products))
    assert [product.gain for product in record.products] == [0.0, 1.0, 3.0, 7.0]


@pytest.mark.parametrize("row", ["kaweco pencil,B01,X", "kaweco pencil,,E", "kaweco pencil"])
def test_judgments_that_are_none_are_refused_by_their_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(BadRecord, match=r"judgments\.csv, line 2"):
        read("judgments", judged(tmp_path, f"query,product_id,label\n{row}\n"))


def test_judgments_that_are_not_utf_8_are_refused_by_their_file(tmp_path: Path) -> None:
    folder = judged(tmp_path)
    (folder / "judgments.csv").write_bytes(b"query,product_id,label\r\n\xff,B01,E\r\n")
    with pytest.raises(BadRecord, match=r"judgments\.csv is not UTF-8"):
        read("judgments", folder)


def test_a_folder_without_judgments_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"holds neither judgments\.csv nor ratings\.csv"):
        read("judgments", write_esci(tmp_path, PENCIL))


def product(**attributes: str) -> CatalogueProduct:
    return CatalogueProduct("1", "Rug", None, attributes)


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        ([(1.0, product(color="Red")), (0.0, product(color="Blue"))], 1.0),
        ([(1.0, product(color="Dark red")), (0.0, product(color="Blue"))], 0.5),
        ([(1.0, product(color="Red")), (0.0, product(color="Red"))], 0.0),
        ([(1.0, product(color="Blue")), (0.0, product(color="Red"))], 0.0),
        ([(1.0, product()), (0.0, product())], 0.0),
        ([(1.0, product(color="Red")), (1.0, product(color="Red"))], 0.0),
        ([(7.0, product(color="Reds")), (0.0, product())], 1.0),
        ([(4.0, product(color="Red")), (1.0, product(color="Red")), (0.0, product())], 1 - 0.75 / 1.75),
    ],
)
def test_values_separate_by_how_much_more_of_them_the_query_names(
    judged: list[tuple[float, CatalogueProduct]], expected: float
) -> None:
    assert separation("red rug", "color", judged) == pytest.approx(expected)


# Events as the senders write them, less the browser, the page and the session.
QUERY: dict[str, Any] = {
    "application": "esci_ubi_sample",
    "query_id": "6610ec99-2271-4fe6-a4ca-d03546b0112d",
    "user_query": "kaweco",
    "query_attributes": {},
    "timestamp": "2024-12-10T00:50:26.457Z",
}
CLICK: dict[str, Any] = {
    "application": "esci_ubi_sample",
    "action_name": "click",
    "query_id": "6610ec99-2271-4fe6-a4ca-d03546b0112d",
    "user_query": "kaweco",
    "message_type": None,
    "message": None,
    "event_attributes": {"object": {"object_id": "B01", "object_id_field": "asin"}, "position": {"ordinal": 0}},
}
FILTER: dict[str, Any] = {
    "action_name": "brand_filter",
    "query_id": "1ceb216e-ccd0-4671-a08c-74b1876ffda9",
    "message_type": "FILTER",
    "message": "Filtering on brand AOC",
    "event_attributes": {
        "object": {
            "object_id_field": "filter_data",
            "internal_id": "OBJECT-6c91da98-387b-45cb-8275-e90d1ea8bc54",
            "object_id": "OBJECT-6c91da98-387b-45cb-8275-e90d1ea8bc54",
            "description": "supplier_name",
            "object_detail": {"filter": "HP"},
        },
        "position": {"ordinal": 11, "x": -35, "y": 765, "page_depth": 10, "scroll_depth": 90},
    },
    "application": "ubi-demo",
}
SEARCH: dict[str, Any] = {
    "action_name": "on_search",
    "query_id": "1ceb216e-ccd0-4671-a08c-74b1876ffda9",
    "message_type": "QUERY",
    "message": "handbag",
    "event_attributes": {"position": {"page_depth": 8}, "result_count": 0},
    "application": "ubi-demo",
}
SORT: dict[str, Any] = {
    "action_name": "product_sort",
    "message_type": "SORT",
    "message": "Sorting on price, asc",
    "event_attributes": {"data": {"object_id": "fake object id"}, "position": {"ordinal": 9}},
    "application": "ubi-demo",
    "query_id": "1ceb216e-ccd0-4671-a08c-74b1876ffda9",
}


def on(event: dict[str, Any], item: str, ordinal: int | None = 0, **changes: Any) -> dict[str, Any]:
    """The event with another product and position."""
    position = {} if ordinal is None else {"ordinal": ordinal}
    return event | {"event_attributes": {"object": {"object_id": item}, "position": position}} | changes


def behaved(folder: Path, *events: Any, first: int = 0) -> list[Record]:
    (folder / "ubi").mkdir()
    (folder / "shop").mkdir()
    (folder / "ubi" / "ubi_queries.json").write_text(json.dumps(QUERY) + "\n", encoding="utf-8")
    (folder / "ubi" / "ubi_events.json").write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
    return read("ubi", folder / "ubi", catalogue=write_esci(folder / "shop", PENCIL, PEN), first_position=first)


def clicked(record: Record) -> dict[str, float]:
    return {product.title: product.gain for product in record.products}


def test_ubi_clicks_gain_more_than_impressions(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", action_name="impression"))
    assert clicked(record) == {PENCIL["title"]: 1.0, PEN["title"]: 0.0}


def test_ubi_purchases_gain_more_than_what_is_put_into_the_cart(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, on(CLICK, "B01", action_name="purchase"), on(CLICK, "B02", action_name="add_to_cart"))
    assert clicked(record) == {PENCIL["title"]: 1.0, PEN["title"]: 0.5}


def test_ubi_clicks_further_down_gain_more(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", 3))
    assert clicked(record) == {PENCIL["title"]: 0.5, PEN["title"]: 1.0}


def test_ubi_clicks_far_down_gain_no_more_than_the_least_propensity_gives(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", 10**6))
    assert clicked(record) == {PENCIL["title"]: 0.1, PEN["title"]: 1.0}


def test_ubi_positions_may_count_from_1_and_do_so_unless_told_otherwise(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, on(CLICK, "B01", 1), on(CLICK, "B02", 4), first=1)
    assert clicked(record) == {PENCIL["title"]: 0.5, PEN["title"]: 1.0}
    assert Source.model_fields["first_position"].default == Reading().first_position == 1


def test_ubi_clicks_at_unknown_positions_count_as_at_the_first(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", None), on(CLICK, "B02", None))
    assert clicked(record) == {PENCIL["title"]: 0.5, PEN["title"]: 1.0}


def test_ubi_products_have_the_values_of_the_catalogue(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", action_name="impression"))
    assert record.products[0].values[record.attributes.index("brand")] == "Kaweco"
    assert not any(record.gains)


def test_ubi_clicks_that_call_themselves_impressions_are_none(tmp_path: Path) -> None:
    events = (on(CLICK, "B01", message_type="IMPRESSION"), on(CLICK, "B02", action_name="impression"))
    assert behaved(tmp_path, *events) == []


def test_ubi_filters_give_their_attribute_a_gain(tmp_path: Path) -> None:
    (record,) = behaved(tmp_path, SEARCH, FILTER)
    assert (record.query, gains(record), record.products) == ("handbag", {"brand": 1.0}, ())


def test_ubi_attributes_gain_in_proportion_to_their_filters(tmp_path: Path) -> None:
    kind = FILTER | {"action_name": "type_filter", "message_type": "INFO", "event_attributes": {}}
    (record,) = behaved(tmp_path, SEARCH, FILTER, FILTER, kind)
    assert gains(record) == {"brand": 1.0, "product type": 0.5}


def test_ubi_searches_for_one_text_are_one_record(tmp_path: Path) -> None:
    again = {"query_id": "1", "user_query": " Kaweco "}
    (record,) = behaved(tmp_path, CLICK, on(CLICK, "B02", action_name="purchase", **again))
    assert (record.query, len(record.products)) == ("kaweco", 2)


@pytest.mark.parametrize(
    "event",
    [SORT, SEARCH, FILTER, CLICK, on(CLICK, "B03"), on(CLICK, ""), CLICK | {"event_attributes": None}],
    ids=["sort", "search", "filter of no query", "lone click", "unknown product", "no product", "no attributes"],
)
def test_ubi_events_that_tell_nothing_are_skipped(tmp_path: Path, event: dict[str, Any]) -> None:
    assert behaved(tmp_path, event) == []


def test_ubi_without_a_catalogue_has_no_products(tmp_path: Path) -> None:
    behaved(tmp_path, CLICK, on(CLICK, "B02", action_name="impression"), SEARCH, FILTER)
    (record,) = read("ubi", tmp_path / "ubi")
    assert (record.query, record.products) == ("handbag", ())


@pytest.mark.parametrize("nobody", [None, ""])
def test_ubi_events_that_name_no_query_are_left_out(tmp_path: Path, nobody: str | None) -> None:
    lost = (event | {"query_id": nobody} for event in (SEARCH, FILTER))
    assert behaved(tmp_path, *lost) == []


@pytest.mark.parametrize("broken", [[], {"query_id": "1"}])
def test_ubi_lines_that_are_no_events_are_refused_by_name(tmp_path: Path, broken: object) -> None:
    with pytest.raises(BadRecord, match=r"ubi_events\.json, line 2"):
        behaved(tmp_path, CLICK, broken)

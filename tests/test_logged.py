"""What people did, as records: position-corrected, orders first, no client in command; and a bundle from them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import write_base

from model_export import records
from model_export.__main__ import main
from model_export.logged import read_products, write_examples
from model_export.readers.ubi import EVENTS, QUERIES, Reading, behaviours
from model_export.records import BadRecord, Record
from model_export.stage import StageFailed

COLORS, THINGS = ("red", "blue", "green", "navy", "black"), ("rug", "shirt", "lamp")
PRODUCTS = [
    {"id": "r", "title": "Red rug", "kind": "Rug", "attributes": {"Color": "red", "material": ["wool", "silk"]}},
    {"id": "b", "title": "Blue rug", "attributes": {"color": "blue", "washable": True, "size": None}},
]


def event(action: str, thing: str, place: int | None = None, *, query: str = "q1", **more: Any) -> dict[str, Any]:
    """An event on an attribute, or on a product where it says so."""
    kind = more.pop("kind", "attribute")
    position = {} if place is None else {"position": {"ordinal": place}}
    attributes = {"object": {"object_id": thing, "object_id_type": kind}} | position
    return {"action_name": action, "query_id": query, "event_attributes": attributes, "timestamp": 1} | more


def bought(thing: str, place: int = 1, action: str = "purchase", **more: Any) -> dict[str, Any]:
    return event(action, thing, place, kind="product", **more)


def logged(folder: Path, *events: dict[str, Any], queries: dict[str, str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    asked = {"q1": "red rug"} if queries is None else queries
    lines = [{"query_id": name, "user_query": text, "timestamp": 1} for name, text in asked.items()]
    (folder / QUERIES).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / EVENTS).write_text("".join(json.dumps(line) + "\n" for line in events), encoding="utf-8")
    return folder


def made(ubi: Path, *, catalogue: Path | None = None, most: int | None = None, cap: float = 10) -> list[Record]:
    write_examples(ubi, ubi / "out" / "made.jsonl", catalogue=catalogue, most=most, reading=Reading(1, cap))
    return list(records.read(ubi / "out" / "made.jsonl"))


def gains(record: Record) -> dict[str, float]:
    return dict(zip(record.attributes, record.gains, strict=True))


def searched(folder: Path, *shown: object) -> Path:
    """Have the log's query know what was shown."""
    lines = [{"query_id": "q1", "user_query": "Red rug", "query_attributes": {"shown": each}} for each in shown]
    (folder / QUERIES).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def noted(given: dict[str, Any], thing: str, propensity: object) -> dict[str, Any]:
    """An event as the service logs it."""
    note = {"object_id": thing, "ordinal": 1, "propensity": propensity, "explored": False}
    return given | {"event_attributes": given["event_attributes"] | {"shown": note}}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.jsonl").write_text("".join(json.dumps(line) + "\n" for line in PRODUCTS), encoding="utf-8")
    return tmp_path / "shop.jsonl"


def test_a_facet_further_down_gains_more_by_its_propensity(tmp_path: Path) -> None:
    (record,) = made(logged(tmp_path, event("facet_select", "Color", 1), event("facet_select", "size", 4)))
    assert gains(record) == {"color": 0.5, "size": 1.0}


@pytest.mark.parametrize("asked", [None, 7, {"text": "red rug"}, ["red rug"]])
def test_a_query_that_is_no_text_is_none(tmp_path: Path, asked: Any) -> None:
    assert not behaviours(logged(tmp_path, event("facet_select", "Color", 1), queries={"q1": asked}))


def test_what_was_only_shown_is_a_candidate_without_a_gain(tmp_path: Path) -> None:
    shown = event("impression", "price", 2), event("facet_deselect", "brand", 3)
    (record,) = made(logged(tmp_path, event("facet_select", "color", 1), *shown))
    assert gains(record) == {"color": 1.0, "brand": 0.0, "price": 0.0}


def test_a_noted_propensity_goes_before_the_place(tmp_path: Path) -> None:
    facets = (("color", 0.5), ("size", 0.25), ("price", 0.01), ("brand", 7), ("style", "none"))
    (record,) = made(logged(tmp_path, *[noted(event("facet_select", name, 4), name, p) for name, p in facets]))
    assert gains(record) == {"price": 1.0, "size": 0.4, "color": 0.2, "style": 0.2, "brand": 0.1}


def test_what_the_log_says_was_shown_and_passed_over_has_no_gain(tmp_path: Path) -> None:
    logged(tmp_path, noted(event("facet_select", "WIDTH"), "Width", 0.5))
    (record,) = made(searched(tmp_path, {"attributes": ["Color", "Width"]}, {"attributes": ["price", "Width"]}))
    assert (record.query, gains(record)) == ("red rug", {"width": 1.0, "color": 0.0, "price": 0.0})


def test_a_search_that_the_log_has_twice_makes_the_same_record(tmp_path: Path) -> None:
    shown = {
        "attributes": ["color", "width"],
        "products": [{"id": "b", "title": "Rug", "values": {}}, {"id": "x", "title": "Lamp", "values": {}}],
    }
    logged(tmp_path, noted(event("facet_select", "width"), "width", 0.5), noted(bought("b"), "b", 1.0))
    assert made(searched(tmp_path, shown, shown)) == made(searched(tmp_path, shown))


def test_products_that_no_catalogue_has_are_as_the_log_has_them(tmp_path: Path, shop: Path) -> None:
    given = {"id": "b", "title": "Navy rug", "values": {"Color": "navy", "pile": " "}}
    others = [{"id": "x", "title": "Jute rug", "values": {"Color": "brown"}}, {"id": "y", "title": " ", "values": {}}]
    logged(tmp_path, noted(bought("of another name", 2), "b", 0.7))
    searched(tmp_path, {"products": [given, *others]})
    (record,), (known,) = made(tmp_path), made(tmp_path, catalogue=shop)
    assert [(p.title, p.gain, p.values) for p in record.products] == [
        ("Navy rug", 1.0, ("navy",)),
        ("Jute rug", 0.0, ("brown",)),
    ]
    assert [p.title for p in known.products] == ["Blue rug", "Jute rug"]


@pytest.mark.parametrize("shown", [{"attributes": 7}, {"attributes": [7]}, {"products": [{"id": "a"}]}])
def test_what_no_service_writes_of_a_search_is_refused(tmp_path: Path, shown: dict[str, Any]) -> None:
    with pytest.raises(BadRecord, match="what a query has shown is not as the service writes it"):
        made(searched(logged(tmp_path), shown))


def test_what_has_no_query_id_is_joined_with_nothing(tmp_path: Path) -> None:
    own = event("facet_select", "size", 1, query="", user_query="Blue rug")
    logged(tmp_path, event("facet_select", "color", 1, query=""), own)
    with (tmp_path / QUERIES).open("a") as lines:
        lines.write('{"user_query": "rug"}\n')
    (record,) = made(tmp_path)
    assert (record.query, record.attributes) == ("blue rug", ("size",))


def test_a_log_without_texts_is_refused_with_what_brings_them(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"names? the query_id of an answer to /v1/weights or /v1/rank .*user_query"):
        made(logged(tmp_path, event("facet_select", "color", 1), queries={}))


def test_queries_that_led_to_orders_come_first(tmp_path: Path, shop: Path) -> None:
    facets = [event("facet_select", "color", 1, query="q2") for _ in range(5)]
    few = [bought("r", query="q3"), bought("b", action="impression", query="q3")]
    queries = {"q2": "blue rug", "q3": "rug"}
    found = made(logged(tmp_path, *facets, *few, queries=queries), catalogue=shop)
    assert [record.query for record in found] == ["rug", "blue rug"]
    assert [record.query for record in made(tmp_path, catalogue=shop, most=1)] == ["rug"]


def test_products_have_the_values_of_the_catalogue_as_text(tmp_path: Path, shop: Path) -> None:
    (record,) = made(logged(tmp_path, bought("r"), bought("b", action="click")), catalogue=shop)
    values = {p.title: dict(zip(record.attributes, p.values, strict=True)) for p in record.products}
    assert values["Red rug"] == {"color": "red", "material": "wool, silk", "product type": "rug"}
    assert [product.gain for product in record.products] == [1.0, 0.2]


def test_a_record_of_few_choices_counts_little(tmp_path: Path) -> None:
    one, *_ = made(logged(tmp_path, event("facet_select", "color")))
    many, *_ = made(logged(tmp_path, *[event("facet_select", "color")] * 27))
    assert (one.weight, many.weight) == (0.25, 0.9)


def test_a_client_counts_only_so_often_for_one_query(tmp_path: Path) -> None:
    liar = [event("facet_select", "price", 1, client_id="liar")] * 50
    others = [event("facet_select", "color", 1, client_id=f"client {number}") for number in range(4)]
    seen = [event("impression", "size", 3, client_id="liar")] * 50
    (record,) = made(logged(tmp_path, *seen, *liar, *others), cap=2)
    assert gains(record) == {"color": 1.0, "price": 0.5, "size": 0.0}


def test_events_without_a_choice_after_a_known_query_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="nothing to train from"):
        made(logged(tmp_path, event("facet_select", "color", query="unknown"), event("impression", "color")))


def test_a_folder_without_events_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"ubi_events\.json is missing: write it with python -m service events"):
        made(tmp_path)


def test_a_catalogue_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="cannot be read"):
        read_products(tmp_path / "none.jsonl")


def test_the_command_writes_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged(tmp_path, event("facet_select", "color", 1))
    out = tmp_path / "made.jsonl"
    monkeypatch.setattr(sys, "argv", ["model_export", "examples", "--ubi", str(tmp_path), "--out", str(out)])
    main()
    assert capsys.readouterr().out.startswith("1 records written: ")
    assert len(list(records.read(out))) == 1


def test_a_cap_that_leaves_nothing_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--ubi", str(tmp_path), "--out", "x", "--client-cap", "0"]
    monkeypatch.setattr(sys, "argv", ["model_export", "examples", *arguments])
    with pytest.raises(SystemExit, match=r"^model_export: --client-cap 0 leaves nothing: give at least 1$"):
        main()


@pytest.mark.slow  # all stages, as in test_pipeline
def test_records_of_what_people_did_give_a_bundle_that_is_served(tmp_path: Path) -> None:
    from test_pipeline import CONFIG, LENIENT, folders, run_all, serves

    (tmp_path / "run").mkdir()
    places = folders(tmp_path / "run")
    write_base(places["base"])
    queries = {f"{color} {thing}": f"{color} {thing}" for color in COLORS for thing in THINGS}
    chosen = [event("facet_select", "color", 1, query=query) for query in queries]
    shown = [event("impression", name, 2, query=query) for query in queries for name in ("material", "price")]
    ubi = logged(tmp_path / "ubi", *chosen, *shown, queries=queries)
    write_examples(ubi, places["data"] / "shop.jsonl", catalogue=None, most=None, reading=Reading(1, 10))
    done = run_all(CONFIG + LENIENT, places)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(serves(places["work"], "red rug", "color", "material").logits) == 2

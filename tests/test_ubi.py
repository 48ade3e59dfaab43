"""Events as senders write them are read; what cannot be taken is refused by name."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import EventRefused
from service.feedback.keys import hashed
from service.feedback.ubi import Accepted, Event, Rules, read, stored
from service.telemetry import EVENTS

NOW = 1_733_795_426.0
"""2024-12-10T01:50:26Z"""
RULES = Rules(b"secret", late_s=86_400, early_s=300)
CLICK: dict[str, Any] = {
    "application": "esci_ubi_sample",
    "action_name": "Click",
    "query_id": "6610ec99",
    "client_id": "127c9afc",
    "session_id": "s1",
    "user_id": None,
    "timestamp": "2024-12-10T00:50:26.457Z",
    "user_query": "kaweco",
    "message_type": None,
    "message": None,
    "event_attributes": {
        "object": {"object_id": "B01", "object_id_field": "asin", "internal_id": 17},
        "position": {"ordinal": 2, "xy": {"x": 248, "y": -3.5}},
        "dwell_time": 49.6,
        "result_count": 3,
    },
}
FILTER: dict[str, Any] = {
    "action_name": "brand_filter",
    "timestamp": 1_733_795_000_000,
    "query_id": "q",
    "message_type": "FILTER",
    "message": "Filtering on brand AOC",
    "event_attributes": {
        "session_id": "318e",
        "ip": "130.8.186.60",
        "object": {"object_id": "OBJECT-6c", "description": "supplier_name", "object_detail": {"filter": "HP"}},
        "position": {"ordinal": 11, "x": -35, "y": 765, "trail": ["/a", "/b"]},
    },
}
QUERY: dict[str, Any] = {"query_id": "q", "user_query": "red rug", "query_response_hit_ids": ["a", 7]}


def taken(item: object) -> Accepted:
    return read(item, NOW, RULES)


def event(**changes: Any) -> dict[str, Any]:
    return {"action_name": "click", "timestamp": int(NOW * 1000)} | changes


def acting(**attributes: Any) -> dict[str, Any]:
    return event(event_attributes=attributes)


def refusal(item: object) -> tuple[str, str]:
    with pytest.raises(EventRefused) as told:
        taken(item)
    assert told.value.reason in EVENTS
    assert told.value.field in str(told.value)
    return told.value.reason, told.value.field


def test_a_click_of_the_specification_is_read() -> None:
    assert taken(CLICK).event == Event(
        action="click",
        at=1_733_791_826.457,
        query_id="6610ec99",
        client=hashed("127c9afc", b"secret"),
        object_id="B01",
        internal_id="17",
        position=2,
        dwell_s=49.6,
        query="kaweco",
    )


def test_a_filter_of_the_plugins_samples_names_its_attribute() -> None:
    found = taken(FILTER).event
    assert (found.object_id, found.of_attribute, found.position) == ("supplier name", True, 11)
    assert found.client == hashed("318e", b"secret")


def test_use_of_a_facet_is_an_object_of_type_attribute() -> None:
    found = taken(acting(object={"object_id": "Heel Height", "object_id_type": "attribute"})).event
    assert (found.object_id, found.of_attribute) == ("Heel Height", True)


def test_a_query_has_its_text_and_the_products_that_it_gave() -> None:
    found = taken(QUERY)
    assert (found.event.action, found.event.query, found.event.at) == ("", "red rug", NOW)
    assert found.hits == ("a", "7")


@pytest.mark.parametrize(
    "given",
    [
        "2024-12-10T00:50:26.457Z",
        "2024-12-10T00:50:26.457",
        "2024-12-10T01:50:26.457+01:00",
        1_733_791_826_457,
        "1733791826457",
    ],
)
def test_a_time_is_iso_8601_or_milliseconds(given: object) -> None:
    found = taken(event(timestamp=given))
    assert found.event.at == 1_733_791_826.457
    assert orjson.loads(found.content)["timestamp"] == 1_733_791_826_457


def test_unknown_fields_are_kept() -> None:
    kept = orjson.loads(taken(CLICK | {"shop": {"floor": [1, None, True]}}).content)
    assert kept["shop"] == {"floor": [1, None, True]}
    assert kept["event_attributes"] == CLICK["event_attributes"]


def test_of_ids_a_keyed_hash_alone_is_kept_wherever_they_stand() -> None:
    content = taken(FILTER | {"client_id": "c-1", "user_id": "anna", "more": [{"user_id": "berta"}]}).content
    assert not any(name in content for name in (b"c-1", b"anna", b"berta", b"318e", b"130.8"))
    assert hashed("anna", b"secret").encode() in content
    assert (
        read(FILTER | {"user_id": "anna"}, NOW, RULES._replace(secret=b"other")).event.user
        != taken(FILTER | {"user_id": "anna"}).event.user
    )


@pytest.mark.parametrize("item", [CLICK, FILTER, QUERY, event(), acting(position={"ordinal": 0})])
def test_what_is_stored_reads_as_the_same_event(item: dict[str, Any]) -> None:
    found = taken(item)
    assert stored(found.content) == found.event


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b'{"timestamp": "x"}', b'{"timestamp": 1, "client_id": []}']
)
def test_other_bytes_are_no_stored_event(content: bytes) -> None:
    with pytest.raises(ValueError, match="no event of ours"):
        stored(content)


def test_without_a_client_the_session_stands_for_it_or_else_the_user() -> None:
    assert taken(event(session_id="s", user_id="u")).event.client == hashed("s", b"secret")
    assert taken(event(user_id="u")).event.client == hashed("u", b"secret")
    assert taken(event()).event.client == ""


def test_the_letters_of_an_escaped_nul_are_none() -> None:
    assert taken(event(note="\\u0000")).event.action == "click"


def test_a_click_that_calls_itself_an_impression_is_one() -> None:
    assert taken(event(message_type="IMPRESSION")).event.action == "impression"


def test_a_text_that_stands_in_the_message_is_the_query() -> None:
    assert taken(event(action_name="on_search", message_type="QUERY", message="handbag")).event.query == "handbag"


def test_a_sender_that_counts_from_0_has_its_first_at_1() -> None:
    assert taken(acting(position={"ordinal": 0})).event.position == 1


def test_an_event_is_the_same_by_client_query_object_and_action() -> None:
    first = taken(CLICK).once
    assert taken(CLICK | {"timestamp": "2024-12-10T00:50:27Z", "message": "again"}).once == first
    others = [
        CLICK | {"client_id": "x"},
        CLICK | {"query_id": "x"},
        CLICK | {"action_name": "order"},
        CLICK | {"event_attributes": {"object": {"object_id": "B02"}}},
    ]
    assert len({first, *(taken(each).once for each in others)}) == 5
    assert taken(QUERY).once != taken(QUERY | {"user_query": "blue rug"}).once


def test_objects_that_are_known_by_their_internal_ids_alone_are_told_apart_by_them() -> None:
    one, same, other = (
        taken(CLICK | {"event_attributes": {"object": {"internal_id": each}}}).once for each in ("A", "A", "B")
    )
    assert one == same != other


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


PLACE = "event_attributes.position.ordinal"
REFUSED: list[tuple[object, str, str]] = [
    (None, "not_object", ""),
    ([event()], "not_object", ""),
    ("click", "not_object", ""),
    ({}, "missing", "action_name"),
    ({"timestamp": 1}, "missing", "action_name"),
    ({"action_name": "click"}, "missing", "timestamp"),
    (event(timestamp=None), "missing", "timestamp"),
    (event(action_name=""), "missing", "action_name"),
    ({"user_query": "rug", "event_attributes": {"a": 1}, "timestamp": 1}, "missing", "action_name"),
    ({"user_query": ""}, "missing", "user_query"),
    (acting(object={"object_id_type": "attribute"}), "missing", "event_attributes.object.object_id"),
    (event(action_name=5), "type", "action_name"),
    (event(action_name="a" * 129), "too_long", "action_name"),
    (event(user_query=5), "type", "user_query"),
    (event(user_query="a" * 1025), "too_long", "user_query"),
    (event(message_type="QUERY", message="a" * 1025), "too_long", "message"),
    (event(query_id="a" * 257), "too_long", "query_id"),
    (event(client_id="a" * 257), "too_long", "client_id"),
    (event(user_id=True), "type", "user_id"),
    (event(more={"session_id": {}}), "type", "more.session_id"),
    (acting(object={"object_id": "a" * 257}), "too_long", "event_attributes.object.object_id"),
    (acting(object={"object_id": 1.5}), "type", "event_attributes.object.object_id"),
    (acting(object=[]), "type", "event_attributes.object"),
    (event(event_attributes="x"), "type", "event_attributes"),
    (acting(position=3), "type", "event_attributes.position"),
    (acting(position={"ordinal": True}), "type", PLACE),
    (acting(position={"ordinal": float("nan")}), "type", PLACE),
    (acting(position={"ordinal": "3"}), "type", PLACE),
    (acting(position={"ordinal": -1}), "range", PLACE),
    (acting(position={"ordinal": 1.5}), "range", PLACE),
    (acting(position={"ordinal": 10**7}), "range", PLACE),
    (acting(position={"x": "left"}), "type", "event_attributes.position.x"),
    (acting(position={"xy": {"y": False}}), "type", "event_attributes.position.xy.y"),
    (acting(dwell_time=float("inf")), "type", "event_attributes.dwell_time"),
    (acting(dwell_time=-1), "range", "event_attributes.dwell_time"),
    (event(timestamp=True), "time", "timestamp"),
    (event(timestamp=float("nan")), "time", "timestamp"),
    (event(timestamp="yesterday"), "time", "timestamp"),
    (event(timestamp="1" * 65), "time", "timestamp"),
    (event(timestamp={}), "time", "timestamp"),
    (event(timestamp="0001-01-01T00:00:00+14:00"), "too_late", "timestamp"),
    (event(timestamp=(NOW - 86_401) * 1000), "too_late", "timestamp"),
    (event(timestamp=NOW), "too_late", "timestamp"),
    (event(timestamp=(NOW + 301) * 1000), "too_early", "timestamp"),
    (event(timestamp="9" * 64), "too_early", "timestamp"),
    (event(note="a" * 16_384), "too_large", ""),
    (event(note=nested(16)), "too_deep", "note" + ".a" * 15),
    (event(note=nested(500)), "too_deep", ""),
    (event(note=["a", "b\0c"]), "nul", "note.1"),
    (event(**{"a\0b": 1}), "nul", ""),
    (QUERY | {"query_response_hit_ids": "a"}, "type", "query_response_hit_ids"),
    (QUERY | {"query_response_hit_ids": ["a", None, []]}, "type", "query_response_hit_ids.2"),
    (QUERY | {"query_response_hit_ids": ["a"] * 1001}, "too_long", "query_response_hit_ids"),
]


@pytest.mark.parametrize(("item", "reason", "field"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_taken_is_refused_by_name(item: object, reason: str, field: str) -> None:
    assert refusal(item) == (reason, field)


@pytest.mark.parametrize("ahead", [-86_399, 299])
def test_times_within_the_bounds_are_taken(ahead: float) -> None:
    assert taken(event(timestamp=(NOW + ahead) * 1000)).event.at == pytest.approx(NOW + ahead)


leaves = st.sampled_from(
    [None, True, -1, 0, 2.5, 10**15, float("nan"), "", "a", "7", "attribute", "QUERY", "FILTER", "x_y"]
)
names = st.sampled_from([*CLICK, "object", "object_id", "object_id_type", "description", "position", "ordinal", "xy"])
shapes = leaves
for _ in range(3):
    shapes |= st.dictionaries(names, shapes, max_size=3) | st.lists(shapes, max_size=1)


@given(st.dictionaries(names, shapes, max_size=5))
def test_whatever_is_sent_is_taken_or_refused(changes: dict[str, Any]) -> None:
    try:
        found = taken(event() | changes)
    except EventRefused as error:
        assert error.reason in EVENTS
    else:
        assert stored(found.content) == found.event


def test_what_only_the_log_may_note_is_left_out() -> None:
    told = {"shown": {"propensity": 0.001}, "other": 1}
    found = [taken(event(event_attributes=told)), taken(QUERY | {"query_attributes": told})]
    contents = [orjson.loads(each.content) for each in found]
    assert (contents[0]["event_attributes"], contents[1]["query_attributes"]) == ({"other": 1}, {"other": 1})

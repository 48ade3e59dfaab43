"""What the log notes of a choice: the event with its place, the search with what was shown."""

import json

from service.feedback.choices import Chosen
from service.feedback.noting import noted_event, noted_query
from service.feedback.shown import Shown, ShownProduct
from service.feedback.ubi import Event

PRODUCTS = [ShownProduct(str(n), {"color": ("red", 0.5)}, f"Rug {n}") for n in range(3)]
SEARCH = Shown(("scope",), {"size": 0.1, "color": 0.9}, PRODUCTS, explored=True, query="Red rug")


def test_an_event_has_its_place_and_propensity_beside_all_that_was_sent() -> None:
    sent = {"action_name": "click", "event_attributes": {"object": {"object_id": "x"}, "dwell_time": 2}}
    noted = json.loads(noted_event(json.dumps(sent).encode(), Chosen("b", 2, 3, 0.70711), SEARCH))
    note = noted["event_attributes"].pop("shown")
    assert note == {"object_id": "b", "ordinal": 2, "propensity": 0.7071, "explored": True}
    assert noted == sent


def test_an_event_without_attributes_gets_them() -> None:
    noted = json.loads(noted_event(b'{"event_attributes": null}', Chosen("b", 1, 1, 1.0), SEARCH))
    assert noted["event_attributes"]["shown"]["object_id"] == "b"


def test_a_search_has_the_attributes_of_a_facet_in_their_order() -> None:
    event = Event("facet_select", 1.5, "q", of_attribute=True)
    assert json.loads(noted_query(event, Chosen("color", 2, 2, 0.7), SEARCH)) == {
        "query_id": "q",
        "user_query": "Red rug",
        "timestamp": 1500,
        "query_attributes": {"shown": {"attributes": ["size", "color"]}},
    }


def test_a_search_has_the_products_that_one_was_compared_with_and_whose_it_is() -> None:
    query = json.loads(noted_query(Event("click", 1.5, "q", user="hash"), Chosen("0", 1, 2, 1.0), SEARCH))
    assert (query["user_id"], query["query_response_hit_ids"]) == ("hash", ["0", "1"])
    assert query["query_attributes"]["shown"]["products"] == [
        {"id": "0", "title": "Rug 0", "values": {"color": "red"}},
        {"id": "1", "title": "Rug 1", "values": {"color": "red"}},
    ]

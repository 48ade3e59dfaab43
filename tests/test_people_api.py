"""What feedback adds over HTTP: ids for events, parts of a weight, what is known of users and scopes, deletion."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from fakes import fold_in, wait_until
from starlette.testclient import TestClient

from service.app import create_app
from service.evidence import observed
from service.feedback import keys, shown
from service.feedback.cohorts import Cohorts
from service.feedback.dynamics import Dynamics
from service.settings import Settings
from service.telemetry import FOLDED

ADMIN = {"x-api-key": "master"}
RUG: dict[str, Any] = {"query": "red wool rug", "attributes": ["color", "material", "size", "price"]}
RUGS: dict[str, Any] = {
    "query": "wool rug",
    "products": [
        {"id": "a", "title": "Rug", "attributes": {"color": "red", "material": ["wool", "silk"], "height": 3}},
        {"id": "b", "title": "Rug", "attributes": {"color": "blue", "material": "jute", "height": None}},
    ],
}


@pytest.fixture(scope="module")
def service() -> Iterator[TestClient]:
    """The service with feedback and an admin key."""
    settings = Settings.model_validate({"device": "cpu", "feedback": True, "admin_key": "master"})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def opened(service: TestClient) -> Iterator[TestClient]:
    """The same, nothing of which is left for the next test."""
    yield service
    service.delete("/admin/dynamics", params={"scope": "all"}, headers=ADMIN)
    service.delete("/v1/users/anna")


def learn(client: TestClient, key: str, *fields: bytes, wider: Sequence[str] = ()) -> None:
    """Fold evidence that these were chosen ten times as often as expected."""
    ledger, dynamics = client.app_state["ledger"], client.app_state["dynamics"]
    assert isinstance(dynamics, Dynamics)
    seen = {field: observed(1000, 100, 2e9, "name") for field in fields}
    assert client.portal
    client.portal.call(fold_in, ledger, key, seen, *wider)  # in its loop the service takes no entry in between
    for each in (key, *wider):
        dynamics.snapshots.forget(each)


def user(client: TestClient, name: str) -> str:
    return keys.user_key(keys.hashed(name, client.app_state["feedback_key"]))


def known(client: TestClient, query_id: str, *, products: bool = False) -> shown.Shown:
    (content,) = asyncio.run(client.app_state["ledger"].shown([shown.key(query_id, products=products)]))
    return shown.decode(content)


def post(client: TestClient, body: object, path: str = "/v1/weights") -> Any:
    return client.post(path, json=body).json()


def test_every_answer_has_an_id_of_its_own(opened: TestClient) -> None:
    batch = post(opened, {"requests": [RUG, RUG]}, "/v1/weights/batch")["results"]
    answers = [post(opened, RUG), post(opened, RUG), *batch, post(opened, RUGS, "/v1/rank")]
    ids = {answer["query_id"] for answer in answers}
    assert len(ids) == 5
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in ids)


@pytest.mark.parametrize(("path", "body"), [("/v1/weights", RUG), ("/v1/rank", RUGS)])
def test_an_id_of_the_callers_own_is_kept(opened: TestClient, path: str, body: dict[str, Any]) -> None:
    assert opened.post(path, json=body | {"query_id": "search 7"}).json()["query_id"] == "search 7"
    assert "material" in known(opened, "search 7", products=path == "/v1/rank").attributes


def test_a_user_is_answered_by_what_people_of_like_taste_like() -> None:
    settings = {"device": "cpu", "feedback": True, "personal_cohorts": 0, "personal_cohorts_s": 1}
    red, blue = (keys.value_field("color", name) for name in ("red", "blue"))
    cohorts = Cohorts([red, blue], np.array([[1.0, -1.0], [-1.0, 1.0]]), 4e9)
    with TestClient(create_app(Settings.model_validate(settings))) as client:
        assert client.portal
        client.portal.call(client.app_state["ledger"].keep_cohorts, cohorts.encode(), 60.0)
        learn(client, user(client, "anna"), red)

        def liked(of: str) -> dict[str, float]:
            answer = post(client, RUGS | {"user_id": of, "explain": True}, "/v1/rank")
            terms = [term for each in answer["results"] for term in each["terms"] if term["term"] == "liked"]
            return {term["found"]: term["value"] for term in terms}

        wait_until(lambda: "blue" in liked("anna"))
        assert liked("anna")["blue"] < 0 < liked("anna")["red"]
        assert liked("nobody") == {}


def test_of_weights_it_is_known_what_was_shown_and_in_which_order(opened: TestClient) -> None:
    first = post(opened, RUG)
    learn(opened, keys.EVERYTHING, keys.attribute_field("price"))
    answer = post(opened, RUG | {"top_k": 3})
    found = known(opened, answer["query_id"])
    assert found.scopes == (keys.query_scope(RUG["query"]), keys.EVERYTHING)
    model = {each["attribute"]: each["weight"] for each in first["weights"]}
    assert [*found.attributes.items()] == [(each["attribute"], model[each["attribute"]]) for each in answer["weights"]]
    assert (len(found.attributes), found.products, found.explored) == (3, (), False)


def test_what_rules_put_first_was_shown_first(opened: TestClient) -> None:
    before = opened.post("/v1/weights", json=RUG).json()
    last = before["weights"][-1]["attribute"]
    pin = {"attribute": last, "action": "pin", "position": 1}
    assert opened.put("/admin/rules/first", json=pin, headers=ADMIN).status_code == 200
    ruled = opened.post("/v1/weights", json=RUG).json()
    opened.delete("/admin/rules/first", headers=ADMIN)
    assert next(iter(known(opened, ruled["query_id"]).attributes)) == last


def test_of_a_ranking_the_products_are_known_with_values_and_matches(opened: TestClient) -> None:
    answer = post(opened, RUGS | {"explain": True, "product_type": "rug"}, "/v1/rank")
    found = known(opened, answer["query_id"], products=True)
    assert found.scopes[1] == keys.kind_scope("rug")
    assert [each.id for each in found.products] == [each["id"] for each in answer["results"]]
    values = {each.id: each.values for each in found.products}
    assert {name: text for name, (text, _) in values["a"].items()} == {
        "color": "red",
        "material": "wool, silk",
        "height": "3",
    }
    (term,) = [t for r in answer["results"] if r["id"] == "a" for t in r["terms"] if t.get("attribute") == "material"]
    assert values["a"]["material"][1] == pytest.approx(term["match"])
    assert values["a"]["color"][1] == 0


def test_weights_and_products_of_one_page_are_known_under_one_id(opened: TestClient) -> None:
    post(opened, RUG | {"query_id": "page", "user_id": "anna"})
    post(opened, RUGS | {"query_id": "page"}, "/v1/rank")
    attributes, products = known(opened, "page"), known(opened, "page", products=True)
    assert ({*attributes.attributes}, attributes.products) == ({*RUG["attributes"]}, ())
    assert (attributes.query, attributes.named) == (RUG["query"], True)
    assert (products.query, products.named) == (RUGS["query"], False)
    assert {each.title for each in products.products} == {"Rug"}


TITLES: dict[str, Any] = {
    "query": "wool rug",
    "products": [{"id": "a", "title": "Jute rug"}, {"id": "b", "title": "Wool rug"}, {"id": "c", "title": "Lamp"}],
}


def test_of_titles_alone_the_products_are_known_with_the_querys_scopes(opened: TestClient) -> None:
    answer = post(opened, TITLES | {"product_type": "rug", "user_id": "anna", "top_k": 2}, "/v1/rank")
    found = known(opened, answer["query_id"], products=True)
    assert found.scopes == (keys.query_scope("wool rug"), keys.kind_scope("rug"), keys.EVERYTHING)
    assert [each.id for each in found.products] == [each["id"] for each in answer["results"]]
    assert [each.title for each in found.products] == ["Wool rug", "Jute rug"]
    assert (found.attributes, found.explored, found.query, found.named) == ({}, False, "wool rug", True)


def test_of_titles_alone_no_kind_and_no_person_are_known_where_none_is_named(opened: TestClient) -> None:
    found = known(opened, post(opened, TITLES, "/v1/rank")["query_id"], products=True)
    assert (found.scopes, found.named) == ((keys.query_scope("wool rug"), keys.EVERYTHING), False)


def test_a_purchase_on_titles_alone_is_folded(opened: TestClient) -> None:
    before = folded(opened)
    query_id = post(opened, TITLES, "/v1/rank")["query_id"]
    what = {"object": {"object_id": "a"}}
    event = {"action_name": "purchase", "timestamp": round(time.time() * 1000), "query_id": query_id, "client_id": "c"}
    assert post(opened, event | {"event_attributes": what}, "/v1/events")["accepted"] == 1
    wait_until(lambda: folded(opened) != before)
    assert folded(opened) == before | {"folded": before["folded"] + 1}


def folded(client: TestClient) -> dict[str, float]:
    """The events folded so far, by what became of them."""
    value = client.app_state["telemetry"].registry.get_sample_value
    return {each: value("ranker_events_folded_total", {"outcome": each}) for each in FOLDED}


def test_an_answer_says_how_much_of_a_weight_is_evidence(opened: TestClient) -> None:
    before = {each["attribute"]: each["weight"] for each in post(opened, RUG)["weights"]}
    learn(opened, keys.EVERYTHING, keys.attribute_field("Price"))
    for each in post(opened, RUG)["weights"]:
        assert each["weight"] - each["evidence"] == pytest.approx(before[each["attribute"]])
        assert (each["evidence"] > 0) == (each["attribute"] == "price")
    assert not any("evidence" in each for each in post(opened, RUGS, "/v1/rank")["weights"])


@contextmanager
def ruled(client: TestClient, **rule: Any) -> Iterator[None]:
    """With this rule in force."""
    assert client.put("/admin/rules/ruled", json=rule, headers=ADMIN).status_code == 200
    try:
        yield
    finally:
        client.delete("/admin/rules/ruled", headers=ADMIN)


def rest(answer: Any) -> dict[str, float]:
    """Each weight without what people's and the user's choices make of it."""
    return {
        each["attribute"]: each["weight"] - each.get("evidence", 0) - each.get("personal", 0)
        for each in answer["weights"]
    }


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "multiply", "factor": 0.01},
        {"action": "multiply", "factor": 1000},
        {"action": "floor", "weight": 0.6},
    ],
)
@pytest.mark.parametrize("attribute", ["price", "material"])
@pytest.mark.parametrize(("path", "body"), [("/v1/weights", RUG), ("/v1/rank", RUGS)])
def test_under_a_rule_what_is_no_part_is_the_weight_that_the_same_rule_makes_without_choices(
    opened: TestClient, path: str, body: dict[str, Any], attribute: str, rule: dict[str, Any]
) -> None:
    with ruled(opened, attribute=attribute, **rule):
        before = post(opened, body, path)
    learn(opened, keys.EVERYTHING, keys.attribute_field("price"), keys.attribute_field("height"))
    learn(opened, user(opened, "anna"), keys.attribute_field("price"), keys.attribute_field("height"))
    with ruled(opened, attribute=attribute, **rule):
        after = post(opened, body | {"user_id": "anna"}, path)
    assert rest(after) == pytest.approx(rest(before), abs=1e-9)


def test_a_user_has_weights_and_an_order_of_their_own(opened: TestClient) -> None:
    learn(opened, user(opened, "anna"), keys.attribute_field("size"), keys.value_field("color", "blue"))
    answer = post(opened, RUG | {"user_id": "anna"})
    assert answer["personal"] is True
    own = {each["attribute"]: each["personal"] for each in answer["weights"]}
    assert own["size"] > 0 > own["material"]
    orders = {
        each["user_id"]: [found["id"] for found in post(opened, RUGS | {"query": "rug"} | each, "/v1/rank")["results"]]
        for each in ({"user_id": "anna"}, {"user_id": "somebody"})
    }
    assert orders == {"anna": ["b", "a"], "somebody": ["a", "b"]}
    assert "personal" not in post(opened, RUG | {"user_id": "somebody"})


def likings(client: TestClient) -> dict[tuple[str, str], float]:
    """What each product's attributes that anna likes add to its score."""
    body = RUGS | {"user_id": "anna", "explain": True}
    return {
        (found["id"], term["attribute"]): term["value"]
        for found in post(client, body, "/v1/rank")["results"]
        for term in found["terms"]
        if term["term"] == "liked"
    }


def test_what_a_user_likes_of_an_attribute_counts_as_little_as_a_rule_leaves_of_its_weight(opened: TestClient) -> None:
    learn(opened, user(opened, "anna"), keys.value_field("color", "blue"), keys.value_field("height", "3"))
    before = likings(opened)
    assert min(before["b", "color"], before["a", "height"]) > 0.05
    with ruled(opened, attribute="color", action="multiply", factor=0.001):
        after = likings(opened)
    assert after["b", "color"] == pytest.approx(0, abs=0.001)
    assert after["a", "height"] == before["a", "height"]


@pytest.mark.parametrize(
    "rule",
    [
        {"attribute": "color", "action": "multiply", "factor": 100},
        {"attribute": "material", "action": "multiply", "factor": 100},
        {"attribute": "color", "action": "floor", "weight": 0.9},
        {"attribute": "color", "action": "pin", "position": 3},
    ],
)
def test_a_rule_that_makes_no_weight_smaller_by_itself_leaves_likings_as_they_are(
    opened: TestClient, rule: dict[str, Any]
) -> None:
    learn(opened, user(opened, "anna"), keys.value_field("color", "blue"), keys.value_field("height", "3"))
    before = likings(opened)
    with ruled(opened, **rule):
        assert likings(opened) == before


def test_what_the_caller_prefers_goes_before_what_a_user_chose(opened: TestClient) -> None:
    learn(opened, user(opened, "anna"), keys.value_field("color", "blue"))
    body = RUGS | {"query": "rug", "user_id": "anna", "preferences": {"color": {"red": 1}}}
    assert post(opened, body, "/v1/rank")["results"][0]["id"] == "a"


def test_a_user_can_be_looked_at_and_deleted(opened: TestClient) -> None:
    learn(opened, user(opened, "a/n n"), keys.attribute_field("Size"), keys.value_field("Color", "Blue"))
    found = opened.get("/v1/users/a%2Fn%20n").json()
    ((size,), (blue,)) = found["attributes"], found["values"]
    assert (size["attribute"], blue["attribute"], blue["value"]) == ("size", "color", "blue")
    assert size["lift"] == pytest.approx(1.386, abs=0.7)
    assert opened.delete("/v1/users/a%2Fn%20n").json() == {"deleted": True}
    assert opened.get("/v1/users/a%2Fn%20n").json() == {"attributes": [], "values": []}
    assert opened.delete("/v1/users/a%2Fn%20n").json() == {"deleted": False}
    assert "personal" not in post(opened, RUG | {"user_id": "a/n n"})


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("all", keys.EVERYTHING),
        ("query:Red  wool rug", keys.query_scope("red wool rug")),
        ("kind:Rug", keys.kind_scope("rug")),
    ],
)
def test_a_scope_can_be_looked_at_and_rolled_back(opened: TestClient, scope: str, key: str) -> None:
    learn(opened, key, keys.attribute_field("price"))
    asked: dict[str, Any] = {"params": {"scope": scope}, "headers": ADMIN}
    (price,) = opened.get("/admin/dynamics", **asked).json()["attributes"]
    assert (price["attribute"], price["lift"] > 0, price["chosen"] > price["expected"]) == ("price", True, True)
    assert opened.delete("/admin/dynamics", **asked).json() == {"deleted": True}
    assert opened.get("/admin/dynamics", **asked).json() == {"attributes": [], "values": []}
    assert "evidence" not in post(opened, RUG | {"product_type": "rug"})["weights"][0]


def test_a_query_that_is_rolled_back_says_nothing_of_others_from_then_on(opened: TestClient) -> None:
    wider = [keys.kind_scope("rug"), keys.EVERYTHING]
    learn(opened, keys.query_scope("jute rug"), keys.attribute_field("price"), wider=wider)
    asked = RUG | {"product_type": "rug"}
    assert "evidence" in post(opened, asked)["weights"][0]
    assert opened.delete("/admin/dynamics", params={"scope": "query:jute rug"}, headers=ADMIN).json()["deleted"]
    assert "evidence" not in post(opened, asked)["weights"][0]


@pytest.mark.parametrize("scope", ["", "query", "query:", "kind: ", "everything", "user:anna", "query:" + "x" * 2000])
def test_what_is_no_scope_is_refused_by_name(opened: TestClient, scope: str) -> None:
    answer = opened.get("/admin/dynamics", params={"scope": scope}, headers=ADMIN)
    assert (answer.status_code, "scope" in answer.json()["error"]["field"]) == (422, True)


def test_scopes_want_the_admin_key(opened: TestClient) -> None:
    for method in ("GET", "DELETE"):
        assert opened.request(method, "/admin/dynamics", params={"scope": "all"}).status_code == 401


@pytest.mark.parametrize("path", ["/v1/weights", "/v1/rank"])
def test_without_feedback_a_user_is_refused_in_a_sentence(client: TestClient, path: str) -> None:
    answer = client.post(path, json=(RUG if path == "/v1/weights" else RUGS) | {"user_id": "anna"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "user_id"
    assert "RANKER_FEEDBACK" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("path", "body"), [("/v1/weights", RUG), ("/v1/rank", RUGS)])
def test_without_feedback_an_id_is_refused_in_a_sentence(client: TestClient, path: str, body: dict[str, Any]) -> None:
    error = client.post(path, json=body | {"query_id": "search 7"}).json()["error"]
    assert (error["field"], "RANKER_FEEDBACK" in error["message"]) == ("query_id", True)


def test_without_feedback_there_is_no_id_and_no_such_route(client: TestClient) -> None:
    assert "query_id" not in post(client, RUG | {"product_type": "rug"})
    assert client.get("/v1/users/anna").status_code == 404
    assert client.get("/admin/dynamics", params={"scope": "all"}).status_code == 404


@pytest.mark.parametrize("field", ["user_id", "product_type"])
@pytest.mark.parametrize("value", ["", "x" * 257, 7])
def test_a_user_and_a_kind_have_limits(opened: TestClient, field: str, value: object) -> None:
    assert post(opened, RUG | {field: value})["error"]["field"] == field


def test_answers_that_chance_moved_say_so_and_a_sample_is_known() -> None:
    settings = Settings.model_validate({"device": "cpu", "feedback": True, "explore": 1, "feedback_sample": 0})
    with TestClient(create_app(settings)) as service:
        answer = post(service, RUG)
        assert answer["explored"] is True
        assert asyncio.run(service.app_state["ledger"].shown([shown.key(answer["query_id"], products=False)])) == [None]
        titles = post(service, TITLES, "/v1/rank")
        assert asyncio.run(service.app_state["ledger"].shown([shown.key(titles["query_id"], products=True)])) == [None]


def test_of_titles_that_words_alone_put_in_order_the_products_are_known_too() -> None:
    many = [{"id": str(number), "title": f"Wool rug {number} " * 20} for number in range(200)]
    settings = Settings.model_validate({"device": "cpu", "feedback": True, "queue_rows": 1})
    with TestClient(create_app(settings)) as service:
        answer = post(service, TITLES | {"products": many, "fallback": True}, "/v1/rank")
        assert answer["degraded_reason"] == "overloaded"
        assert len(known(service, answer["query_id"], products=True).products) == shown.MOST_PRODUCTS

"""Rules over HTTP: who may change them, and every answer that they are in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

FILE = """
[[rule]]
id = "price-hidden"
kind = "rug"
attribute = "Price"
action = "hide"
"""
BODY: dict[str, Any] = {"query": "red wool rug", "attributes": ["price", "color", "material", "battery life"]}
PIN: dict[str, Any] = {"query": "Red Wool Rug", "attribute": "battery life", "action": "pin", "position": 1}
RANKED: dict[str, Any] = {
    "query": "red rug",
    "products": [
        {"id": "red", "title": "Rug", "attributes": {"color": "red", "material": "wool"}},
        {"id": "blue", "title": "Rug", "attributes": {"color": "blue", "material": "wool"}},
    ],
}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with a rule in a file, and a key for calls, which this client shows."""
    file: Path = tmp_path_factory.mktemp("rules") / "rules.toml"
    file.write_text(FILE, encoding="utf-8")
    settings = Settings.model_validate({"device": "cpu", "admin_key": "master", "rules": file})
    with TestClient(create_app(settings), headers={"x-api-key": "master"}) as client:
        yield client


@pytest.fixture
def put(ruled: TestClient) -> Iterator[Any]:
    """Puts rules, which are gone after the test."""
    ids: list[str] = []

    def _put(rule_id: str, content: dict[str, Any]) -> Any:
        ids.append(rule_id)
        return ruled.put(f"/admin/rules/{rule_id}", json=content)

    yield _put
    for rule_id in ids:
        assert ruled.delete(f"/admin/rules/{rule_id}").status_code == 200


def weights(client: TestClient, **more: Any) -> Any:
    return client.post("/v1/weights", json=BODY | more).json()


def names(answer: Any) -> list[str]:
    return [each["attribute"] for each in answer["weights"]]


def test_a_pin_by_call_moves_the_attribute_and_is_shown(ruled: TestClient, put: Any) -> None:
    before = weights(ruled)
    answer = put("battery-first", PIN)
    assert answer.json() == {"by": "admin", "rule": PIN | {"id": "battery-first"}, "kept": "process"}
    after = weights(ruled)
    assert names(after) == ["battery life", *(name for name in names(before) if name != "battery life")]
    assert after["rules"] == [{"id": "battery-first", "attribute": "battery life", "action": "pin"}]
    assert "rules" not in before
    assert {each["attribute"]: each["weight"] for each in after["weights"]} == pytest.approx(
        {each["attribute"]: each["weight"] for each in before["weights"]}
    )


def test_a_hidden_attribute_is_not_answered_and_the_others_sum_to_one(ruled: TestClient) -> None:
    answer = weights(ruled, product_type="RUG")
    assert sorted(names(answer)) == ["battery life", "color", "material"]
    assert sum(each["weight"] for each in answer["weights"]) == pytest.approx(1)
    assert answer["rules"] == [{"id": "price-hidden", "attribute": "price", "action": "hide"}]


def test_a_hidden_attribute_is_no_boost_either(ruled: TestClient) -> None:
    boosts = weights(ruled, product_type="rug", format="elasticsearch", boost_floor=0.5)["boosts"]["fields"]
    assert sorted(boost.partition("^")[0] for boost in boosts) == ["battery life", "color", "material"]


def test_boosts_follow_the_ruled_weights(ruled: TestClient, put: Any) -> None:
    put("some-price", {"attribute": "price", "action": "floor", "weight": 0.5})
    boosts = dict(each.split("^") for each in weights(ruled, format="opensearch")["boosts"]["fields"])
    assert float(boosts["price"]) == pytest.approx(2)


def test_top_k_counts_what_is_answered(ruled: TestClient, put: Any) -> None:
    put("battery-first", PIN)
    assert names(weights(ruled, top_k=1)) == ["battery life"]


def test_what_is_pinned_is_explained(ruled: TestClient, put: Any) -> None:
    put("battery-first", PIN)
    (found,) = weights(ruled, top_k=1, explain=True)["weights"]
    assert found["explanation"] is not None


def test_each_of_a_batch_has_its_own_rules(ruled: TestClient, put: Any) -> None:
    put("battery-first", PIN)
    bodies = [BODY, BODY | {"query": "lamp"}]
    results = ruled.post("/v1/weights/batch", json={"requests": bodies}).json()["results"]
    assert ["rules" in result for result in results] == [True, False]


def test_products_are_ranked_by_the_ruled_weights(ruled: TestClient, put: Any) -> None:
    def terms() -> dict[str, float]:
        answer = ruled.post("/v1/rank", json=RANKED | {"explain": True}).json()
        return {each["attribute"]: each["weight"] for each in answer["results"][0]["terms"] if "attribute" in each}

    assert terms()["color"] > 0.5
    put("color-down", {"attribute": "color", "action": "multiply", "factor": 0.01})
    answer = ruled.post("/v1/rank", json=RANKED).json()
    assert answer["rules"] == [{"id": "color-down", "attribute": "color", "action": "multiply"}]
    shown = {each["attribute"]: each["weight"] for each in answer["weights"]}
    assert terms()["color"] == pytest.approx(shown["color"])
    assert shown["color"] < 0.5


def test_a_hidden_attribute_adds_nothing_to_a_score(ruled: TestClient, put: Any) -> None:
    put("no-color", {"query": "red rug", "attribute": "color", "action": "hide"})
    answer = ruled.post("/v1/rank", json=RANKED | {"explain": True}).json()
    assert [each["attribute"] for each in answer["weights"]] == ["material"]
    terms = [term for each in answer["results"] for term in each["terms"] if term.get("attribute") == "color"]
    assert all(term["value"] == 0 for term in terms)


def test_rules_are_listed_with_who_made_them(ruled: TestClient, put: Any) -> None:
    put("battery-first", PIN)
    answer = ruled.get("/admin/rules").json()
    assert answer["kept"] == "process"
    assert [(each["rule"]["id"], each["by"]) for each in answer["rules"]] == [
        ("battery-first", "admin"),
        ("price-hidden", "file"),
    ]


def test_a_deleted_rule_holds_no_longer(ruled: TestClient, put: Any) -> None:
    put("battery-first", PIN)
    assert ruled.delete("/admin/rules/battery-first").json() == {
        "id": "battery-first",
        "deleted": True,
        "kept": "process",
    }
    assert "rules" not in weights(ruled)
    assert ruled.delete("/admin/rules/battery-first").json()["deleted"] is False


def test_a_rule_of_the_file_is_refused(ruled: TestClient) -> None:
    path = "/admin/rules/price-hidden"
    for response in (ruled.put(path, json=PIN), ruled.delete(path)):
        assert (response.status_code, response.json()["error"]["code"]) == (422, "rule_refused")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"position": 0}, "position"),
        ({"action": "hide"}, "position"),
        ({"start": "tomorrow"}, "start"),
        ({"end": "2020-01-01T00:00:00Z"}, "end"),
        ({"extra": 1}, "extra"),
        ({"query": " "}, "query"),
        ({"kind": "rug"}, "kind"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_by_the_field(ruled: TestClient, change: Any, field: str) -> None:
    response = ruled.put("/admin/rules/a", json=PIN | change)
    assert (response.status_code, response.json()["error"]["field"]) == (422, field)


def test_an_id_that_no_rule_can_have_is_refused(ruled: TestClient) -> None:
    for response in (ruled.put("/admin/rules/two words", json=PIN), ruled.delete("/admin/rules/two words")):
        assert (response.status_code, response.json()["error"]["field"]) == (422, "id")


def test_without_the_admin_key_rules_are_closed(ruled: TestClient, client: TestClient) -> None:
    assert ruled.get("/admin/rules", headers={"x-api-key": "other"}).status_code == 401
    assert ruled.put("/admin/rules/a", json=PIN, headers={"x-api-key": ""}).status_code == 401
    assert client.get("/admin/rules").status_code == 404


def test_several_processes_without_redis_take_no_rules_by_call() -> None:
    settings = Settings.model_validate({"device": "cpu", "admin_key": "master", "workers": 2})
    with TestClient(create_app(settings), headers={"x-api-key": "master"}) as client:
        response = client.put("/admin/rules/a", json=PIN)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "rule_refused")
    assert "RANKER_REDIS_URL" in response.json()["error"]["message"]

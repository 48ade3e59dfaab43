"""Products in order over HTTP, as a caller sees them: answers, limits, and every kind of bad input."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

PATH = "/v1/rank"
RUGS: dict[str, Any] = {
    "query": "red wool rug",
    "products": [
        {"id": "blue", "title": "Wool rug", "attributes": {"product_colour": "blue", "material": "wool"}},
        {"id": "red", "title": "Wool rug", "attributes": {"product_colour": "red", "material": "wool"}},
        {
            "id": "lamp",
            "title": "Desk lamp",
            "attributes": {"wattage": 8, "dimmable": True, "colours": ["white", "red"]},
        },
    ],
}


def post(client: TestClient, body: object) -> Any:
    return client.post(PATH, json=body).json()


def test_products_are_answered_best_first_with_their_ids_and_places(client: TestClient) -> None:
    answer = post(client, RUGS)
    assert [(found["id"], found["index"]) for found in answer["results"]] == [("red", 1), ("blue", 0), ("lamp", 2)]
    scores = [found["score"] for found in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert set(answer) == {"results", "weights", "model", "degraded"}
    assert answer["degraded"] is False


def test_the_weights_are_those_of_the_products_attributes(client: TestClient) -> None:
    names = ["material", "product_colour", "wattage", "dimmable", "colours"]
    weights = client.post("/v1/weights", json={"query": RUGS["query"], "attributes": names}).json()["weights"]
    found = {each["attribute"]: each["weight"] for each in post(client, RUGS)["weights"]}
    assert found == pytest.approx({each["attribute"]: each["weight"] for each in weights}, abs=1e-6)
    assert sum(found.values()) == pytest.approx(1)


def test_terms_add_up_to_the_score(client: TestClient) -> None:
    for found in post(client, RUGS | {"explain": True})["results"]:
        assert sum(term["value"] for term in found["terms"]) == pytest.approx(found["score"], abs=1e-6)


def test_terms_name_what_is_wanted_and_what_was_found(client: TestClient) -> None:
    red = post(client, RUGS | {"explain": True})["results"][0]
    text, *attributes = red["terms"]
    assert text["term"] == "text"
    assert set(text) == {"term", "cosine", "overlap", "exact", "excluded", "value"}
    (color,) = [term for term in attributes if term["attribute"] == "product_colour"]
    assert (color["wanted"], color["found"]) == (["red"], "red")
    assert color["match"] > 0.5


def test_without_explain_there_are_no_terms(client: TestClient) -> None:
    assert all(set(found) == {"id", "index", "score"} for found in post(client, RUGS)["results"])


def test_top_k_answers_only_the_first(client: TestClient) -> None:
    assert [found["id"] for found in post(client, RUGS | {"top_k": 1})["results"]] == ["red"]


def test_a_preference_decides_where_the_query_states_nothing(client: TestClient) -> None:
    def first(preferences: object) -> str:
        body = RUGS | {"query": "wool rug", "preferences": preferences}
        return str(post(client, body)["results"][0]["id"])

    assert first({"product_colour": {"blue": 1}}) == "blue"
    assert first({"product_colour": {"red": 1}}) == "red"
    assert first({"product_colour": {"red": -1}}) == "blue"


def test_a_preference_does_not_step_in_where_the_query_states_a_value(client: TestClient) -> None:
    assert post(client, RUGS | {"preferences": {"product_colour": {"blue": 1}}})["results"][0]["id"] == "red"


def test_without_turns_the_order(client: TestClient) -> None:
    products = [{"id": "with", "title": "Office chair with wheels"}, {"id": "plain", "title": "Office chair"}]
    answer = post(client, {"query": "office chair without wheels", "products": products})
    assert [found["id"] for found in answer["results"]] == ["plain", "with"]


def test_products_without_attributes_have_no_weights(client: TestClient) -> None:
    answer = post(client, {"query": "rug", "products": [{"id": "a", "title": "Rug"}]})
    assert answer["weights"] == []
    assert len(answer["results"]) == 1


def test_equal_products_keep_their_order(client: TestClient) -> None:
    products = [{"id": str(number), "title": "Wool rug"} for number in range(5)]
    assert [found["id"] for found in post(client, {"query": "rug", "products": products})["results"]] == [*"01234"]


def test_a_thousand_products_are_ranked(patient: TestClient) -> None:
    products = [{"id": str(n), "title": f"Rug {n % 7}", "attributes": {"size": f"{n % 5} ft"}} for n in range(1000)]
    assert len(post(patient, {"query": "rug 3 ft", "products": products})["results"]) == 1000


def test_a_thousand_products_of_two_hundred_attributes_are_one_request(patient: TestClient) -> None:
    named = {f"attribute {n:03}": f"value {n % 9}" for n in range(200)}
    products = [{"id": str(n), "title": f"Rug {n % 7}", "attributes": named} for n in range(1000)]
    content = json.dumps({"query": "rug value 3", "products": products})
    assert len(content) > 5_500_000
    answer = patient.post(PATH, content=content).json()
    assert (len(answer["results"]), len(answer["weights"])) == (1000, 200)


def test_of_more_than_256_names_those_that_most_products_have_are_weighed(patient: TestClient) -> None:
    products = [
        {"id": str(p), "title": "Rug", "attributes": {"color": "red"} | {f"name {p} {n}": 1 for n in range(150)}}
        for p in range(2)
    ]
    weights = post(patient, {"query": "rug", "products": products})["weights"]
    assert len(weights) == 256
    assert "color" in [each["attribute"] for each in weights]


@pytest.mark.parametrize(
    ("null", "absent"),
    [
        ({"title": None, "attributes": None}, {}),
        (
            {"title": "Rug", "attributes": {"product_colour": ["red", None]}},
            {"attributes": {"product_colour": ["red"]}},
        ),
    ],
)
def test_what_is_null_is_as_good_as_absent(client: TestClient, null: dict[str, Any], absent: dict[str, Any]) -> None:
    body = {"query": "red rug", "products": [{"id": "a", "title": null.get("title") or ""} | absent], "explain": True}
    nulls = body | {"products": [{"id": "a"} | null], "preferences": None}
    assert post(client, nulls)["results"] == post(client, body)["results"]


@pytest.mark.parametrize("strength", ["NaN", "Infinity", "-1e999"])
def test_a_strength_that_is_no_number_is_told(client: TestClient, strength: str) -> None:
    body = json.dumps({"query": "rug", "products": [{"id": "a"}], "preferences": {"color": {"red": "STRENGTH"}}})
    error = client.post(PATH, content=body.replace('"STRENGTH"', strength)).json()["error"]
    assert (error["code"], error["field"]) == ("finite_number", "preferences.color.red")


@pytest.mark.parametrize(
    "value", ["1e999 GB", "9" * 400, "ラグ red ковёр 地毯 🧶", "", "-", [], ["red", 1, True], None, 10**400, -0.0]
)
def test_odd_values_are_ranked(client: TestClient, value: object) -> None:
    products = [{"id": "a", "title": "Rug", "attributes": {"size": value, "color": value, "???": value}}]
    answer = post(client, {"query": "red rug 8 GB", "products": products, "explain": True})
    assert len(answer["results"]) == 1


@pytest.mark.parametrize("odd", ["\0", "\x01", "\x85", "\u202e", "\uffff", '["\\ud800"]'])
def test_products_of_odd_characters_are_ranked(client: TestClient, odd: str) -> None:
    named = f"color {odd}"
    products = [{"id": odd, "title": odd, "attributes": {odd: odd, named: f"red {odd}", "size": [odd, "8 ft"]}}]
    preferences = {odd: {odd: 1.0}, named: {f"blue {odd}": 1.0}, "size": {odd: -1.0}}
    answer = post(client, {"query": "red rug", "products": products, "preferences": preferences, "explain": True})
    assert [found["id"] for found in answer["results"]] == [odd]


@pytest.mark.parametrize("query", ["!!!", "🧶🧶", "?"])
def test_a_query_without_words_is_answered_as_it_is_for_weights(client: TestClient, query: str) -> None:
    weights = client.post("/v1/weights", json={"query": query, "attributes": ["color"]})
    ranked = client.post(PATH, json={"query": query, "products": RUGS["products"]})
    assert (weights.status_code, ranked.status_code) == (200, 200)
    assert len(ranked.json()["results"]) == 3


ONE: dict[str, Any] = {"id": "a", "title": "Rug"}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"products": [ONE]}, "missing", "query"),
        ({"query": "rug"}, "missing", "products"),
        ({"query": "rug", "products": []}, "too_short", "products"),
        ({"query": "rug", "products": [ONE | {"id": str(n)} for n in range(1001)]}, "too_long", "products"),
        ({"query": "rug", "products": [ONE, ONE]}, "duplicate", "products.1.id"),
        ({"query": "rug", "products": [{"title": "Rug"}]}, "missing", "products.0.id"),
        ({"query": "rug", "products": [ONE | {"id": 7}]}, "string_type", "products.0.id"),
        ({"query": "rug", "products": [ONE | {"price": 7}]}, "extra_forbidden", "products.0.price"),
        ({"query": "rug", "products": [ONE | {"title": "x" * 2001}]}, "string_too_long", "products.0.title"),
        (
            {"query": "rug", "products": [ONE | {"attributes": {str(n): "x" for n in range(201)}}]},
            "too_long",
            "products.0.attributes",
        ),
        (
            {
                "query": "rug",
                "products": [
                    ONE | {"id": str(p), "attributes": {f"{p}/{n}": "x" for n in range(200)}} for p in range(25)
                ],
            },
            "too_long",
            "products",
        ),
        ({"query": "rug", "products": [ONE], "top_k": 0}, "greater_than_equal", "top_k"),
        ({"query": "rug", "products": [ONE], "preferences": {"color": {"red": 2}}}, "less_than_equal", None),
        (
            {"query": "rug", "products": [ONE], "preferences": {"color": {str(n): 0.1 for n in range(65)}}},
            "too_long",
            "preferences.color",
        ),
        ({"query": "\u200b", "products": [ONE]}, "unreadable", "query"),
        ({"query": "a\0b", "products": [ONE]}, "nul", "query"),
        ({"query": "rug", "products": [ONE], "image": 1}, "extra_forbidden", "image"),
    ],
)
def test_bad_input_is_refused_with_the_place_where_it_is(
    client: TestClient, body: object, code: str, field: str | None
) -> None:
    answer = client.post(PATH, json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == code
    assert field is None or error["field"] == field


@pytest.mark.parametrize(
    "value", [json.dumps("x" * 10_000), "NaN", "Infinity", "-Infinity", "1e999", "{}", "[[]]", json.dumps([1] * 65)]
)
def test_a_value_of_no_known_shape_is_refused_by_its_place(client: TestClient, value: str) -> None:
    body = json.dumps({"query": "rug", "products": [ONE | {"attributes": {"color": "VALUE"}}]})
    answer = client.post(PATH, content=body.replace('"VALUE"', value))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("value_type", "products.0.attributes.color")
    assert "a text of up to 2,000 characters, a finite number" in error["message"]


@pytest.mark.parametrize("place", ["query", "id", "title", "name", "value", "preferred"])
def test_a_lone_surrogate_is_refused_wherever_it_stands(client: TestClient, place: str) -> None:
    texts = dict.fromkeys(["query", "id", "title", "name", "value", "preferred"], "a") | {place: "a LONE"}
    product = {"id": texts["id"], "title": texts["title"], "attributes": {texts["name"]: texts["value"]}}
    body = {"query": texts["query"], "products": [product], "preferences": {"color": {texts["preferred"]: 1}}}
    answer = client.post(PATH, content=json.dumps(body).replace("LONE", "\\ud800"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "json_invalid")

"""Values over HTTP, as a caller sees them: answers, limits, and every kind of bad input with its one error body."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

PATH, BATCH = "/v1/extract", "/v1/extract/batch"
GOOD: dict[str, Any] = {"text": "red wool runner rug 2x8", "attributes": ["washing care", "color", "size"]}


def post(client: TestClient, body: object, path: str = PATH) -> Any:
    return client.post(path, json=body).json()


def test_each_attribute_is_answered_in_the_order_asked_with_its_values_or_none(client: TestClient) -> None:
    answer = post(client, GOOD)
    assert [found["attribute"] for found in answer["attributes"]] == GOOD["attributes"]
    assert [[v["text"] for v in found["values"]] for found in answer["attributes"]] == [[], ["red"], ["2x8"]]
    assert set(answer) == {"attributes", "truncated", "model", "cache"}
    assert set(answer["attributes"][1]["values"][0]) == {"text", "start", "end", "confidence"}
    assert answer["truncated"] is False


def test_values_are_those_of_the_weights(client: TestClient) -> None:
    weights = client.post("/v1/weights", json={"query": GOOD["text"], "attributes": GOOD["attributes"]}).json()
    values = {found["attribute"]: found["values"] for found in post(client, GOOD)["attributes"]}
    assert values == {found["attribute"]: found["values"] for found in weights["weights"]}


def test_what_weights_have_scored_is_known_here(client: TestClient) -> None:
    body = {"text": "a text that no other test sends", "attributes": ["color", "size"]}
    client.post("/v1/weights", json={"query": body["text"], "attributes": ["color"]})
    assert post(client, body)["cache"] == {"hits": 1, "misses": 1}


@pytest.mark.parametrize("before", ["🧶🧶 ", "地毯 ", "👩‍👩‍👧 crème  ", "\t\u3000"])
def test_offsets_are_those_of_the_callers_own_text(client: TestClient, before: str) -> None:
    text = f"{before}RED wool rug"
    (value,) = post(client, {"text": text, "attributes": ["color"]})["attributes"][0]["values"]
    assert text[value["start"] : value["end"]] == value["text"] == "RED"


def test_a_value_comes_with_the_nearest_entry_of_its_attributes_vocabulary(client: TestClient) -> None:
    body = GOOD | {"vocabulary": {"color": ["Blue", " RED"], "washing care": ["hand wash"]}}
    care, color, size = post(client, body)["attributes"]
    assert color["values"][0]["nearest"] == {"entry": " RED", "similarity": 1.0}
    assert care["values"] == []
    assert "nearest" not in size["values"][0]


@pytest.mark.parametrize("color", ["navy blue", "navy"])
def test_an_entry_that_reads_otherwise_is_one_of_the_values_kind(client: TestClient, color: str) -> None:
    body = {
        "text": f"{color} wool rug",
        "attributes": ["color"],
        "vocabulary": {"color": ["red", "beige", "blue", "green"]},
    }
    nearest = post(client, body)["attributes"][0]["values"][0]["nearest"]
    assert nearest["entry"] == "blue"
    assert 0 < nearest["similarity"] <= 1


NEGATED: dict[str, Any] = {"text": "Blue office chair without armrests, not red", "attributes": ["color", "feature"]}


def marked(answer: Any) -> dict[str, bool]:
    """By their words whether values are marked as negated."""
    values = [value for found in answer["attributes"] for value in found["values"]]
    assert all(value.get("negated", True) is True for value in values)
    return {value["text"]: "negated" in value for value in values}


def test_a_value_that_the_text_denies_is_marked(client: TestClient) -> None:
    found = marked(post(client, NEGATED))
    assert found == {"Blue": False, "armrests": True, "red": True}


def test_a_value_that_holds_its_own_cue_is_a_plain_one(client: TestClient) -> None:
    found = marked(post(client, {"text": "non-slip bath mat", "attributes": ["feature"]}))
    assert found == {"non-slip": False}


def test_a_denied_value_beyond_what_negation_reads_at_once_is_marked(client: TestClient) -> None:
    text = "Blue office chair," + " " * 2_500 + "not red"
    assert marked(post(client, {"text": text, "attributes": ["color"]})) == {"Blue": False, "red": True}


def test_a_batch_marks_what_texts_deny(client: TestClient) -> None:
    (answer,) = post(client, {"requests": [NEGATED]}, BATCH)["results"]
    assert answer["attributes"] == post(client, NEGATED)["attributes"]
    assert marked(answer)["red"] is True


def test_a_text_that_goes_on_where_the_model_stops_reading_is_told(patient: TestClient) -> None:
    asked = [{"text": "red wool rug " * times, "attributes": ["color"]} for times in (127, 128)]
    assert [post(patient, body)["truncated"] for body in asked] == [False, True]


@pytest.mark.parametrize("text", ["a" * 10_000, "色" * 10_000, "🧶" * 10_000, "红 " * 5_000])
def test_the_longest_text_is_answered(patient: TestClient, text: str) -> None:
    assert patient.post(PATH, json={"text": text, "attributes": ["color"]}).status_code == 200


BAD: dict[str, tuple[object, str, str | None]] = {
    "empty text": (GOOD | {"text": ""}, "string_too_short", "text"),
    "blank text": (GOOD | {"text": " \t\u3000"}, "unreadable", "text"),
    "long text": (GOOD | {"text": "a" * 10_001}, "string_too_long", "text"),
    "no attributes": (GOOD | {"attributes": []}, "too_short", "attributes"),
    "257 attributes": (GOOD | {"attributes": [str(i) for i in range(257)]}, "too_long", "attributes"),
    "blank attribute": (GOOD | {"attributes": ["color", " "]}, "unreadable", "attributes.1"),
    "duplicate attribute": (GOOD | {"attributes": ["color", "color "]}, "duplicate", "attributes.1"),
    "NUL": (GOOD | {"text": "rug\x00"}, "nul", "text"),
    "no text": ({"attributes": ["color"]}, "missing", "text"),
    "a query": (GOOD | {"query": "rug"}, "extra_forbidden", "query"),
    "vocabulary a list": (GOOD | {"vocabulary": ["red"]}, "dict_type", "vocabulary"),
    "vocabulary of what is not asked": (GOOD | {"vocabulary": {"brand": ["a"]}}, "not_asked", "vocabulary.brand"),
    "no entries": (GOOD | {"vocabulary": {"color": []}}, "too_short", "vocabulary.color"),
    "empty entry": (GOOD | {"vocabulary": {"color": [""]}}, "string_too_short", "vocabulary.color.0"),
    "blank entry": (GOOD | {"vocabulary": {"color": [" "]}}, "unreadable", "vocabulary.color"),
    "long entry": (GOOD | {"vocabulary": {"color": ["a" * 129]}}, "string_too_long", "vocabulary.color.0"),
    "NUL in an entry": (GOOD | {"vocabulary": {"color": ["r\x00"]}}, "nul", "vocabulary.color.0"),
    "duplicate entry": (GOOD | {"vocabulary": {"color": ["red", "red "]}}, "duplicate", "vocabulary.color.1"),
    "1,001 entries": (
        GOOD | {"vocabulary": {name: [str(i) for i in range(501)] for name in ("color", "size")}},
        "too_long",
        "vocabulary",
    ),
    "lone surrogate": (b'{"text": "rug \\ud800", "attributes": ["color"]}', "json_invalid", None),
    "not JSON": (b"text=rug", "json_invalid", None),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_code_and_field(client: TestClient, name: str) -> None:
    body, code, field = BAD[name]
    response = client.post(PATH, content=body if isinstance(body, bytes) else json.dumps(body))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (422, code, field)
    assert error["message"]


def test_a_batch_answers_each_request_for_itself(client: TestClient) -> None:
    results = post(client, {"requests": [GOOD, GOOD | {"text": ""}, "text", GOOD]}, BATCH)["results"]
    assert ["error" in result for result in results] == [False, True, True, False]
    assert results[1]["error"]["field"] == "text"
    assert results[2]["error"]["message"] == "body: it must be an object"
    assert results[0]["attributes"] == results[3]["attributes"] == post(client, GOOD)["attributes"]


@pytest.mark.parametrize("requests", [[], [GOOD] * 65, None])
def test_a_batch_of_none_or_too_many_is_refused(client: TestClient, requests: object) -> None:
    assert client.post(BATCH, json={"requests": requests}).status_code == 422


MANY: dict[str, Any] = {"text": "rug", "attributes": [f"{i} " + "long " * 20 for i in range(256)]}


def test_a_deadline_that_passes_is_told(client: TestClient) -> None:
    response = client.post(PATH, json=MANY, headers={"x-request-timeout-ms": "1"})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")


def test_a_full_queue_is_told_with_when_to_come_back_and_counted() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        response = client.post(PATH, json=MANY)
        metrics = client.get("/metrics").text
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert 'ranker_rejected_total{reason="overloaded"} 1.0' in metrics
    assert f'ranker_requests_total{{route="{PATH}",status="503"}} 1.0' in metrics


def test_vectors_are_counted_where_they_were_found() -> None:
    with TestClient(create_app(Settings(device="cpu"))) as client:
        body = {"text": "navy rug", "attributes": ["color"], "vocabulary": {"color": ["blue", "red"]}}
        for _ in range(2):
            assert post(client, body)["attributes"][0]["values"]
        metrics = client.get("/metrics").text
    assert 'ranker_cache_texts_total{level="miss"} 3.0' in metrics
    assert 'ranker_cache_texts_total{level="memory"} 3.0' in metrics


def test_errors_are_documented(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert all(
        set(paths[path]["post"]["responses"]) == {"200", "401", "413", "422", "429", "500", "503", "504"}
        for path in (PATH, BATCH)
    )

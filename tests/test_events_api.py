"""Events over HTTP, as a sender sees it: bodies of every form, counts by reason, limits."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.events import EXAMPLES, SEARCH
from service.app import create_app
from service.settings import Settings

PATH = "/v1/events"


@pytest.fixture(scope="module")
def door() -> Iterator[TestClient]:
    """The service with feedback, kept in process, where the events of the examples are never too late."""
    settings = Settings(device="cpu", feedback=True, feedback_late_s=10**9, feedback_early_s=10**9)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def event(client: str, **changes: Any) -> dict[str, Any]:
    """An event that no other test sends."""
    return {"action_name": "click", "timestamp": round(time.time() * 1000), "client_id": client} | changes


def sent(door: TestClient, body: object, kind: str = "application/json") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return door.post(PATH, content=content, headers={"content-type": kind})


def lines(*items: object) -> bytes:
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items)


def test_one_event_is_taken(door: TestClient) -> None:
    answer = sent(door, event("one"))
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicate": 0, "refused": {}, "errors": []}


def test_of_a_list_each_is_taken_known_or_refused_for_itself(door: TestClient) -> None:
    answer = sent(door, [event("list"), event("list"), {"action_name": "click"}, 5]).json()
    assert (answer["accepted"], answer["duplicate"]) == (1, 1)
    assert answer["refused"] == {"missing": 1, "not_object": 1}
    assert answer["errors"] == [
        {"index": 2, "reason": "missing", "message": "timestamp is missing", "field": "timestamp"},
        {"index": 3, "reason": "not_object", "message": "an event or a query is a JSON object"},
    ]


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "text/plain", ""])
def test_an_event_a_line_is_taken_whatever_it_is_called(door: TestClient, kind: str) -> None:
    body = lines(event(f"{kind} 1"), b"", b"{", event(f"{kind} 2"))
    answer = sent(door, body, kind).json()
    assert (answer["accepted"], answer["refused"]) == (2, {"not_json": 1})
    assert answer["errors"][0]["index"] == 1


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json"])
def test_a_byte_order_mark_before_a_body_is_passed_over(door: TestClient, kind: str) -> None:
    body = b"\xef\xbb\xbf" + lines(event(f"{kind} marked 1"), event(f"{kind} marked 2"))
    answer = sent(door, body, kind).json()
    assert (answer["accepted"], answer["refused"]) == (2, {})


def test_json_over_several_lines_is_one_event(door: TestClient) -> None:
    assert sent(door, json.dumps(event("pretty"), indent=2).encode()).json()["accepted"] == 1


def test_sent_again_all_are_known(door: TestClient) -> None:
    events = [event("again", query_id=str(number)) for number in range(3)]
    assert sent(door, events).json()["accepted"] == 3
    assert sent(door, events).json() == {"accepted": 0, "duplicate": 3, "refused": {}, "errors": []}


def test_only_the_first_errors_are_told_and_all_are_counted(door: TestClient) -> None:
    answer = sent(door, [{}] * 30).json()
    assert (answer["refused"], len(answer["errors"])) == ({"missing": 30}, 20)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"{\n}}\n", b'{"a": "\\ud800"}'])
def test_what_is_no_json_is_refused_as_a_whole(door: TestClient, body: bytes) -> None:
    answer = sent(door, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "json_invalid")


@pytest.mark.parametrize("body", [json.dumps([{}] * 1001).encode(), lines(*[{}] * 1001)], ids=["list", "lines"])
def test_a_request_with_too_many_events_is_refused_as_a_whole(door: TestClient, body: bytes) -> None:
    answer = sent(door, body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "body"


def test_a_thousand_events_are_taken(door: TestClient) -> None:
    assert sent(door, [event("thousand", query_id=str(number)) for number in range(1000)]).json()["accepted"] == 1000


def test_what_became_of_events_is_counted(door: TestClient) -> None:
    sent(door, [event("counted"), event("counted", timestamp="never")])
    metrics = door.get("/metrics").text.splitlines()
    counts = {line.split()[0]: float(line.split()[1]) for line in metrics if line.startswith("ranker_events_total")}
    assert counts['ranker_events_total{outcome="accepted"}'] >= 1
    assert counts['ranker_events_total{outcome="time"}'] == 1
    assert 'ranker_requests_total{route="/v1/events",status="202"}' in door.get("/metrics").text


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_documented_examples_work(door: TestClient, name: str) -> None:
    shown = door.get("/openapi.json").json()["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    answer = sent(door, shown["examples"][name]["value"])
    assert (answer.status_code, answer.json()["refused"]) == (202, {})


def test_a_query_is_taken_beside_events(door: TestClient) -> None:
    assert sent(door, SEARCH | {"query_id": "mine"}).json()["accepted"] == 1


def test_past_the_bound_of_waiting_events_a_sender_is_told_to_come_back() -> None:
    settings = Settings(device="cpu", feedback=True, feedback_waiting=1)
    with TestClient(create_app(settings)) as client:
        answer = sent(client, [event("a"), event("b")])
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) >= 1
        assert sent(client, event("a")).status_code == 202


def test_without_feedback_there_is_no_such_route(client: TestClient) -> None:
    assert sent(client, event("nobody")).status_code == 404

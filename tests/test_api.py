"""The service over HTTP, as a caller sees it: answers, and every kind of bad input with its one error body."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import link_bundle, run
from starlette.testclient import TestClient
from starlette.types import Message

from service.app import create_app
from service.bundle import default_folder, open_bundle
from service.settings import Settings

GOOD: dict[str, Any] = {"query": "red wool runner rug 2x8", "attributes": ["washing care", "color", "material", "size"]}


def post(client: TestClient, body: object, path: str = "/v1/weights") -> Any:
    return client.post(path, content=body if isinstance(body, bytes) else json.dumps(body)).json()


def test_weights_sum_to_one_and_come_sorted(client: TestClient) -> None:
    answer = post(client, GOOD)
    weights = [found["weight"] for found in answer["weights"]]
    assert abs(sum(weights) - 1) < 1e-6
    assert weights == sorted(weights, reverse=True)


def test_the_answer_has_the_documented_fields_and_no_others(client: TestClient) -> None:
    answer = post(client, GOOD)
    assert set(answer) == {"weights", "entropy", "model", "cache", "degraded"}
    assert set(answer["weights"][0]) == {"index", "attribute", "weight", "values"}
    assert set(answer["model"]) == {"name", "version"}
    assert answer["degraded"] is False


def test_index_is_the_place_in_the_request(client: TestClient) -> None:
    assert all(GOOD["attributes"][w["index"]] == w["attribute"] for w in post(client, GOOD)["weights"])


def test_values_are_the_words_of_the_query_with_their_offsets(client: TestClient) -> None:
    values = {w["attribute"]: w["values"] for w in post(client, GOOD | {"query": "🧶 RED wool rug"})["weights"]}
    assert [(v["text"], v["start"], v["end"]) for v in values["color"]] == [("RED", 2, 5)]
    assert values["washing care"] == []


def test_explain_adds_the_logits(client: TestClient) -> None:
    logits = [found["logit"] for found in post(client, GOOD | {"explain": True})["weights"]]
    assert logits == sorted(logits, reverse=True)


def test_top_k_cuts_the_list_and_rescales_nothing(client: TestClient) -> None:
    assert post(client, GOOD | {"top_k": 2})["weights"] == post(client, GOOD)["weights"][:2]


def test_top_k_beyond_the_list_gives_all(client: TestClient) -> None:
    assert len(post(client, GOOD | {"top_k": 999})["weights"]) == 4


def test_a_high_temperature_evens_the_weights_out(client: TestClient) -> None:
    weights = [found["weight"] for found in post(client, GOOD | {"temperature": 1e9})["weights"]]
    assert weights == pytest.approx([0.25] * 4)


def test_the_least_temperature_gives_all_to_the_first(client: TestClient) -> None:
    assert post(client, GOOD | {"temperature": 5e-324})["weights"][0]["weight"] == 1.0


def test_a_request_asked_twice_is_answered_from_the_cache(client: TestClient) -> None:
    body = GOOD | {"query": "a query that no other test sends"}
    assert (post(client, body)["cache"], post(client, body)["cache"]) == (
        {"hits": 0, "misses": 4},
        {"hits": 4, "misses": 0},
    )


def test_a_product_title_may_be_the_query(client: TestClient) -> None:
    title = "Ellie Shoes Women's 8400, Red Patent, 14 M US"
    values = {
        w["attribute"]: w["values"] for w in post(client, {"query": title, "attributes": ["color", "brand"]})["weights"]
    }
    assert "Red" in values["color"][0]["text"]


@pytest.mark.parametrize(
    "query", ["红色 羊毛 地毯", "красный ковёр", "سجادة حمراء", "🧶🧶", "ワイン 赤", "a" * 1024, "色" * 1024]
)
def test_any_script_is_answered(client: TestClient, query: str) -> None:
    answer = post(client, {"query": query, "attributes": ["颜色", "материал", "color", "色" * 128]})
    assert abs(sum(found["weight"] for found in answer["weights"]) - 1) < 1e-6


def test_256_long_attributes_are_answered() -> None:
    names = [f"{i} " + "色" * 120 for i in range(256)]
    with TestClient(create_app(Settings(device="cpu", request_timeout_ms=120_000))) as client:
        assert len(post(client, {"query": "rug", "attributes": names})["weights"]) == 256


def test_a_body_is_read_as_json_whatever_curl_calls_it(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/v1/weights", content=json.dumps(GOOD), headers=form).status_code == 200


BAD: dict[str, tuple[object, str, str | None]] = {
    "empty query": (GOOD | {"query": ""}, "string_too_short", "query"),
    "blank query": (GOOD | {"query": " \t\u3000"}, "unreadable", "query"),
    "invisible query": (GOOD | {"query": "\u200b"}, "unreadable", "query"),
    "long query": (GOOD | {"query": "a" * 1025}, "string_too_long", "query"),
    "no attributes": (GOOD | {"attributes": []}, "too_short", "attributes"),
    "257 attributes": (GOOD | {"attributes": [str(i) for i in range(257)]}, "too_long", "attributes"),
    "blank attribute": (GOOD | {"attributes": ["color", " "]}, "unreadable", "attributes.1"),
    "duplicate attribute": (GOOD | {"attributes": ["color", "size", "color "]}, "duplicate", "attributes.2"),
    "long attribute": (GOOD | {"attributes": ["a" * 129]}, "string_too_long", "attributes.0"),
    "not JSON": (b"query=rug", "json_invalid", None),
    "not UTF-8": (b'{"query": "\xff\xfe"}', "json_invalid", None),
    "cut JSON": (b'{"query": "rug"', "json_invalid", None),
    "deep JSON": (b"[" * 100_000, "json_invalid", None),
    "huge number": (b'{"top_k": ' + b"9" * 10_000 + b"}", "json_invalid", None),
    "a list": ([GOOD], "model_type", "body"),
    "nothing": (b"", "json_invalid", None),
    "no query": ({"attributes": ["color"]}, "missing", "query"),
    "query a number": (GOOD | {"query": 5}, "string_type", "query"),
    "query NaN": (GOOD | {"query": float("nan")}, "string_type", "query"),
    "attributes a text": (GOOD | {"attributes": "color"}, "list_type", "attributes"),
    "attribute null": (GOOD | {"attributes": [None]}, "string_type", "attributes.0"),
    "top_k a text": (GOOD | {"top_k": "2"}, "int_type", "top_k"),
    "top_k zero": (GOOD | {"top_k": 0}, "greater_than_equal", "top_k"),
    "temperature zero": (GOOD | {"temperature": 0}, "greater_than", "temperature"),
    "temperature below zero": (GOOD | {"temperature": -1}, "greater_than", "temperature"),
    "temperature NaN": (GOOD | {"temperature": float("nan")}, "finite_number", "temperature"),
    "temperature infinite": (GOOD | {"temperature": float("inf")}, "finite_number", "temperature"),
    "lone surrogate": (b'{"query": "rug \\ud800", "attributes": ["color"]}', "json_invalid", None),
    "NUL": (GOOD | {"query": "rug\x00"}, "nul", "query"),
    "NUL in an attribute": (GOOD | {"attributes": ["size", "co\x00lor"]}, "nul", "attributes.1"),
    "unknown field": (GOOD | {"topk": 3}, "extra_forbidden", "topk"),
    "unknown field of a lone surrogate": (
        b'{"\\ud800": 1, "query": "a", "attributes": ["b"]}',
        "json_invalid",
        None,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_code_and_field(client: TestClient, name: str) -> None:
    body, code, field = BAD[name]
    response = client.post("/v1/weights", content=body if isinstance(body, bytes) else json.dumps(body))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (422, code, field)
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    response = client.post("/v1/weights", content=b" " * 8_000_001)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(("announced", "status"), [("9" * 5000, 413), ("1" + "0" * 18, 413), ("-5", 422)])
def test_a_length_that_none_can_be_does_no_harm(client: TestClient, announced: str, status: int) -> None:
    response = client.post("/v1/weights", content=b"{}", headers={"content-length": announced})
    assert response.status_code == status


def test_a_body_over_the_limit_is_not_read_to_its_end(client: TestClient) -> None:
    chunks, statuses = [], []

    async def receive() -> Message:
        chunks.append(b" " * 100_000)
        return {"type": "http.request", "body": chunks[-1], "more_body": len(chunks) < 1000}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/v1/weights", "headers": [], "query_string": b""}
    scope["state"] = dict(client.app_state)
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert (statuses[0], len(chunks)) == (413, 81)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/weight", 404, "not_found"),
        ("POST", "/", 404, "not_found"),
        ("POST", "/v1/weights/", 404, "not_found"),
        ("GET", "/v1/weights", 405, "method_not_allowed"),
        ("DELETE", "/v1/model", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_path_or_method_is_refused(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_the_callers_request_id_is_kept(client: TestClient) -> None:
    assert client.get("/nowhere", headers={"x-request-id": "abc-1"}).json()["error"]["request_id"] == "abc-1"


def test_a_request_id_that_no_log_should_hold_is_replaced(client: TestClient) -> None:
    assert client.get("/livez", headers={"x-request-id": "a b" * 100}).headers["x-request-id"] != "a b" * 100


def test_a_batch_answers_each_request_for_itself(client: TestClient) -> None:
    body = {"requests": [GOOD, GOOD | {"query": ""}, {"query": 1}, "text", GOOD | {"top_k": 1}]}
    results = post(client, body, "/v1/weights/batch")["results"]
    assert ["error" in result for result in results] == [False, True, True, True, False]
    assert results[1]["error"]["code"] == "string_too_short"
    assert results[3]["error"]["message"] == "body: it must be an object"
    assert len(results[4]["weights"]) == 1


def test_a_batch_gives_what_the_single_route_gives(client: TestClient) -> None:
    (result,) = post(client, {"requests": [GOOD]}, "/v1/weights/batch")["results"]
    assert result["weights"] == post(client, GOOD)["weights"]


@pytest.mark.parametrize("requests", [[], [GOOD] * 65, None, {}])
def test_a_batch_of_none_or_too_many_is_refused(client: TestClient, requests: object) -> None:
    assert client.post("/v1/weights/batch", json={"requests": requests}).status_code == 422


def test_a_batch_of_64_is_answered(client: TestClient) -> None:
    body = {"requests": [{"query": f"rug {i}", "attributes": ["color", "size"]} for i in range(64)]}
    assert all("weights" in result for result in post(client, body, "/v1/weights/batch")["results"])


def test_health_is_ok(client: TestClient) -> None:
    assert client.get("/livez").json() == client.get("/readyz").json() == {"status": "ok"}


def test_the_model_says_what_it_was_made_from(client: TestClient) -> None:
    model = client.get("/v1/model").json()
    assert model["device"] == "cpu"
    assert model["limits"]["max_query_tokens"] == 384
    assert len(model["training_data"]) >= 3


def test_metrics_count_each_request_once() -> None:
    with TestClient(create_app(Settings(device="cpu"))) as client:
        for body in (GOOD, GOOD, GOOD | {"query": ""}):
            client.post("/v1/weights", json=body)
        text = client.get("/metrics").text
    assert 'ranker_requests_total{route="/v1/weights",status="200"} 2.0' in text
    assert 'ranker_requests_total{route="/v1/weights",status="422"} 1.0' in text
    assert 'ranker_cache_pairs_total{level="memory"} 4.0' in text
    assert 'ranker_stage_seconds_count{stage="model"} 1.0' in text


def test_a_deadline_that_passes_is_told() -> None:
    with TestClient(create_app(Settings(device="cpu", request_timeout_ms=1))) as client:
        names = [f"{i} " + "long " * 20 for i in range(256)]
        response = client.post("/v1/weights", json={"query": "rug", "attributes": names})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")


def test_a_full_queue_is_told_with_when_to_come_back() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        names = [f"{i} " + "long " * 20 for i in range(256)]
        response = client.post("/v1/weights", json={"query": "rug", "attributes": names})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_every_example_in_the_openapi_document_works(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "post" in operations:
            schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
            for example in document["components"]["schemas"][schema]["examples"]:
                assert client.post(path, json=example).status_code == 200


def test_errors_are_documented(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/v1/weights"]["post"]["responses"]
    assert set(responses) == {"200", "401", "413", "422", "429", "500", "503", "504"}


LONG: dict[str, Any] = {"query": "rug", "attributes": [f"{i} " + "long " * 20 for i in range(256)]}
LONG_ROWS = 52
TIMEOUT = "x-request-timeout-ms"


def test_a_caller_may_shorten_its_time(client: TestClient) -> None:
    response = client.post("/v1/weights", json=LONG, headers={TIMEOUT: "1"})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")


def test_a_caller_may_not_lengthen_its_time() -> None:
    with TestClient(create_app(Settings(device="cpu", request_timeout_ms=1))) as client:
        assert client.post("/v1/weights", json=LONG, headers={TIMEOUT: "600000"}).status_code == 504


def test_a_time_that_suffices_changes_nothing(client: TestClient) -> None:
    assert client.post("/v1/weights", json=GOOD, headers={TIMEOUT: "4000"}).status_code == 200


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "1e3", "soon", "5 s", "0x10", "9" * 10, "9" * 5000, "\xb2"])
@pytest.mark.parametrize("path", ["/v1/weights", "/v1/weights/batch"])
def test_a_time_that_is_no_number_of_milliseconds_is_refused(client: TestClient, value: str, path: str) -> None:
    response = client.post(path, json=GOOD, headers={TIMEOUT: value.encode("latin-1")})
    assert (response.status_code, response.json()["error"]["field"]) == (422, TIMEOUT)


def test_a_full_queue_is_answered_by_a_fallback_where_the_caller_takes_one() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        answer = post(client, LONG | {"fallback": True})
        assert (answer["degraded"], answer["degraded_reason"]) == (True, "overloaded")
        assert answer["cache"] == {"hits": 0, "misses": 256}
        assert abs(sum(found["weight"] for found in answer["weights"]) - 1) < 1e-6
        assert 'ranker_degraded_total{reason="overloaded"} 1.0' in client.get("/metrics").text


def test_a_full_queue_is_counted() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        client.post("/v1/weights", json=LONG)
        assert 'ranker_rejected_total{reason="overloaded"} 1.0' in client.get("/metrics").text


class Caller:
    """A caller whose every message is told beforehand: the parts of a body, then silence or its end."""

    def __init__(self, *parts: bytes, more: bool = False, hangs_up: bool = False) -> None:
        self._messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": more or index < len(parts) - 1}
            for index, part in enumerate(parts)
        ]
        if hangs_up:
            self._messages.append({"type": "http.disconnect"})
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def ask(self, settings: Settings, path: str, *, then: "tuple[Caller, str] | None" = None) -> tuple[int, str]:
        """The status, and the metrics when it and another caller have been answered."""
        metrics = b""

        async def work() -> None:
            nonlocal metrics
            app = create_app(settings)
            async with app.router.lifespan_context(app) as state:
                scope = {"type": "http", "method": "POST", "headers": [], "query_string": b""}
                for caller, to in [(self, path), *([then] if then else [])]:
                    await app(scope | {"path": to, "state": dict(state)}, caller.receive, caller.send)
                await asyncio.sleep(0)
                assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"connected"})
                metrics = state["telemetry"].exposition()

        run(work)
        return self.sent[0]["status"], metrics.decode()


TEXT: dict[str, Any] = {"text": "rug", "attributes": LONG["attributes"]}
PRODUCTS = [
    {"id": str(first), "attributes": dict.fromkeys(LONG["attributes"][first : first + 128], 1)} for first in (0, 128)
]
PATHS = {
    "/v1/weights": LONG,
    "/v1/weights/batch": {"requests": [LONG]},
    "/v1/extract": TEXT,
    "/v1/extract/batch": {"requests": [TEXT]},
    "/v1/rank": {"query": "rug", "products": PRODUCTS},
    "/rerank": {"query": "rug", "documents": [{"attributes": each["attributes"]} for each in PRODUCTS]},
}


@pytest.mark.parametrize("path", PATHS)
def test_the_rows_of_a_caller_who_hangs_up_soon_reach_the_model_no_more(path: str) -> None:
    gone, after = Caller(json.dumps(PATHS[path]).encode(), hangs_up=True), Caller(json.dumps(GOOD).encode())
    settings = Settings(device="cpu", threads=1, batch_tokens=1)
    _, metrics = gone.ask(settings, path, then=(after, "/v1/weights"))
    (rows,) = re.findall(r"ranker_batch_rows_sum (.*)", metrics)
    assert after.sent[0]["status"] == 200
    assert float(rows) < LONG_ROWS / 2


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_does_not_come_in_time_is_told(path: str) -> None:
    caller = Caller(b'{"query', more=True)
    assert caller.ask(Settings(device="cpu", request_timeout_ms=50), path)[0] == 504


ADMIN = {"x-api-key": "secret"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the shipped bundle under another name, beside one that may not be reached."""
    link_bundle(default_folder(), tmp_path / "root" / "next", name="next")
    link_bundle(default_folder(), tmp_path / "outside", name="outside")
    return tmp_path / "root"


@pytest.fixture
def admin(root: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(device="cpu", bundle_root=root, admin_key="secret"))) as client:
        yield client


def swap(client: TestClient, path: str) -> Any:
    return client.post("/admin/bundle", json={"path": path}, headers=ADMIN)


def test_a_bundle_takes_over(admin: TestClient, root: Path) -> None:
    before, version = open_bundle(default_folder()).version, open_bundle(root / "next").version
    assert swap(admin, "next").json() == {"name": "next", "version": version, "replaced": before}
    assert admin.get("/v1/model").json()["version"] == version
    assert post(admin, GOOD)["model"] == {"name": "next", "version": version}
    assert admin.get("/readyz").status_code == 200
    metrics = admin.get("/metrics").text
    assert f'ranker_model_info{{device="cpu",name="next",version="{version}"}} 1.0' in metrics
    assert 'ranker_bundle_swaps_total{outcome="taken"} 1.0' in metrics


def test_what_was_cached_of_the_old_bundle_is_not_the_new_ones(admin: TestClient) -> None:
    post(admin, GOOD)
    swap(admin, "next")
    assert post(admin, GOOD)["cache"] == {"hits": 0, "misses": 4}


def test_the_bundle_in_service_may_be_asked_for_again(admin: TestClient) -> None:
    swap(admin, "next")
    again = swap(admin, "next").json()
    assert again["version"] == again["replaced"]


BAD_PATHS = (
    "../outside",
    "next/../../outside",
    "link",
    "nowhere",
    ".",
    "/",
    "next/manifest.json",
    "\0",
    "a" * 5000,
    "",
)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_bundle_that_is_not_there_or_not_below_the_root_is_refused(admin: TestClient, root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    (root / "loop").symlink_to(root / "loop")
    before = admin.get("/v1/model").json()["version"]
    assert swap(admin, path).status_code == 422
    assert admin.get("/v1/model").json()["version"] == before


def test_an_absolute_path_outside_the_root_is_refused(admin: TestClient, root: Path) -> None:
    refused = swap(admin, str(root.parent / "outside")).json()["error"]
    assert refused["code"] == "bundle_refused"


def test_no_bundle_takes_over_without_the_admin_key(admin: TestClient) -> None:
    assert admin.post("/admin/bundle", json={"path": "next"}).status_code == 401
    assert admin.post("/admin/bundle", json={"path": "next"}, headers={"x-api-key": "other"}).status_code == 401


def test_without_an_admin_key_there_is_no_such_path(client: TestClient) -> None:
    assert swap(client, "next").status_code == 404


def test_without_a_root_every_bundle_is_refused() -> None:
    with TestClient(create_app(Settings(device="cpu", admin_key="secret"))) as client:
        refused = swap(client, "next")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bundle_refused")


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_who_hangs_up_is_noticed_and_counted(path: str) -> None:
    begun = time.monotonic()
    status, metrics = Caller(json.dumps(PATHS[path]).encode(), hangs_up=True).ask(Settings(device="cpu"), path)
    assert status == 499
    assert time.monotonic() - begun < 4
    assert 'ranker_rejected_total{reason="client_gone"} 1.0' in metrics


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_who_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(path: str) -> None:
    status, metrics = Caller(b'{"query', more=True, hangs_up=True).ask(Settings(device="cpu"), path)
    assert status == 499
    assert 'ranker_rejected_total{reason="client_gone"} 1.0' in metrics

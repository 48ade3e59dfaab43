"""Who may ask and how often: keys, rates, names of the host, pages of other origins, and how refusals are counted."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from service.api.access import CALLERS_KNOWN, Access, Keys, Rate
from service.app import create_app
from service.errors import RateLimited
from service.settings import Settings
from service.telemetry import Telemetry

BODY: dict[str, Any] = {"query": "red rug", "attributes": ["color", "price"]}
OPEN = ["/livez", "/readyz", "/docs", "/openapi.json"]


def opened(**settings: Any) -> TestClient:
    return TestClient(create_app(Settings.model_validate({"device": "cpu"} | settings)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def keyed() -> Iterator[TestClient]:
    """A service with three keys, one of them not in ASCII, and another for /admin."""
    with opened(api_keys="first, second,\nschlüssel", admin_key="master") as client:
        yield client


def bare(*, keys: list[str], rate: Rate | None = None, hosts: list[str] = [], address: str = "") -> TestClient:  # noqa: B006
    """Nothing but the access, before an application that answers everything."""
    app = Access(PlainTextResponse("in"), Telemetry(), keys=Keys(keys), admin=Keys([]), rate=rate, hosts=hosts)
    return TestClient(app, client=(address, 1))


def shown(key: str) -> dict[str, str]:
    return {"x-api-key": key}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first"},
        {"authorization": "bearer second"},
        {"authorization": "BEARER  second"},
        {"x-api-key": "first"},
        {"x-api-key": "second"},
        {"x-api-key": "schlüssel".encode()},
    ],
)
def test_each_key_opens_in_either_header(keyed: TestClient, headers: dict[str, Any]) -> None:
    assert keyed.post("/v1/weights", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "third"},
        {"x-api-key": "first,second"},
        {"x-api-key": "FIRST"},
        {"x-api-key": "firs"},
        {"x-api-key": "master"},
        {"x-api-key": b"\xff\xfe\x80"},
        {"x-api-key": "f" * 60_000},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic first"},
        {"authorization": "first"},
        {"authorization": "Bearer first, Bearer second"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/weights", "/v1/model", "/metrics", "/nowhere"])
def test_no_key_or_a_wrong_one_is_told_to_show_one(keyed: TestClient, path: str, headers: dict[str, Any]) -> None:
    response = keyed.post(path, json=BODY, headers=headers | {"x-request-id": "mine"})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert (response.json()["error"]["code"], response.json()["error"]["request_id"]) == ("unauthorized", "mine")
    assert response.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("path", OPEN)
def test_health_and_documents_want_no_key(keyed: TestClient, path: str) -> None:
    assert keyed.get(path).status_code == 200


def test_metrics_are_shown_to_who_has_a_key(keyed: TestClient) -> None:
    assert keyed.get("/metrics", headers=shown("second")).status_code == 200


def test_the_admin_key_alone_opens_admin(keyed: TestClient) -> None:
    found = [
        keyed.post("/admin/bundle", json={"path": "x"}, headers=shown(key)).status_code for key in ("master", "first")
    ]
    assert found == [422, 401]  # 422, since no folder was named in which bundles may be looked for


def test_without_an_admin_key_there_is_no_admin() -> None:
    with opened(api_keys="first") as client:
        assert client.post("/admin/bundle", json={"path": "x"}, headers=shown("first")).status_code == 404
        assert "/admin/bundle" not in client.get("/openapi.json").json()["paths"]


def test_an_admin_key_alone_leaves_the_rest_open() -> None:
    with opened(admin_key="master") as client:
        assert client.post("/v1/weights", json=BODY).status_code == 200
        assert client.post("/admin/bundle", json={"path": "x"}).status_code == 401


@pytest.mark.parametrize("name", ["api_keys", "admin_key"])
@pytest.mark.parametrize("blank", ["", " ", ",", " ,\n,"])
def test_a_list_of_keys_with_none_in_it_opens_nothing(name: str, blank: str) -> None:
    with pytest.raises(ValidationError, match="holds no key"):
        Settings.model_validate({name: blank})


def allowed(rate: Rate, caller: str) -> float:
    """0 where a request may come, else the seconds after which the next may."""
    try:
        rate.take(caller)
    except RateLimited as error:
        return error.retry_after_s
    return 0


@given(
    per_second=st.floats(0.001, 1000),
    start=st.floats(0, 1e7),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
@bounds(deadline=None)
def test_who_waits_as_long_as_it_was_told_gets_in(per_second: float, start: float, pauses: list[float]) -> None:
    now = [start]
    rate = Rate(per_second, lambda: now[0])
    for pause in pauses:
        now[0] += pause
        if wait := allowed(rate, "a"):
            now[0] += wait
            assert allowed(rate, "a") == 0


@given(per_second=st.floats(0.1, 100), pauses=st.lists(st.floats(0, 0.5), min_size=10, max_size=200))
def test_no_more_gets_in_than_the_rate_and_one_seconds_worth(per_second: float, pauses: list[float]) -> None:
    now = [0.0]
    rate, taken = Rate(per_second, lambda: now[0]), 0
    for pause in pauses:
        now[0] += pause
        taken += allowed(rate, "a") == 0
    assert taken <= per_second * now[0] + max(1, per_second) + 1e-6


def test_over_its_rate_a_key_is_told_when_to_come_back() -> None:
    now = [0.0]
    client = bare(keys=["a", "b"], rate=Rate(0.25, lambda: now[0]))
    assert client.get("/v1/weights", headers=shown("a")).status_code == 200
    response = client.get("/v1/weights", headers=shown("a"))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limited")
    now[0] += int(response.headers["retry-after"])
    assert client.get("/v1/weights", headers=shown("a")).status_code == 200


def test_a_second_earlier_than_it_was_told_it_gets_nothing() -> None:
    now = [0.0]
    client = bare(keys=["a"], rate=Rate(0.25, lambda: now[0]))
    client.get("/v1/weights", headers=shown("a"))
    now[0] += int(client.get("/v1/weights", headers=shown("a")).headers["retry-after"]) - 1
    assert client.get("/v1/weights", headers=shown("a")).status_code == 429


def test_every_route_that_asks_the_model_counts() -> None:
    with opened(rate_limit=0.001) as client:
        paths = [path for path, found in client.get("/openapi.json").json()["paths"].items() if "post" in found]
        client.post("/v1/weights", json=BODY)
        assert {path: client.post(path).status_code for path in paths} == dict.fromkeys(paths, 429)


def test_one_keys_rate_does_not_touch_anothers() -> None:
    client = bare(keys=["a", "b"], rate=Rate(0.25, lambda: 0.0))
    assert [client.get("/v1/weights", headers=shown(key)).status_code for key in "aabb"] == [200, 429, 200, 429]


def test_the_same_key_counts_once_for_both_headers() -> None:
    client = bare(keys=["a"], rate=Rate(0.25, lambda: 0.0))
    headers = ({"x-api-key": "a"}, {"authorization": "Bearer a"})
    assert [client.get("/v1/weights", headers=shown).status_code for shown in headers] == [200, 429]


def test_a_wrong_key_uses_up_nobodys_rate() -> None:
    client = bare(keys=["a"], rate=Rate(0.25, lambda: 0.0))
    assert [client.get("/v1/weights", headers=shown(key)).status_code for key in "xxa"] == [401, 401, 200]


def test_without_keys_the_rate_is_each_addresses() -> None:
    rate = Rate(0.25, lambda: 0.0)
    one, other = (bare(keys=[], rate=rate, address=address) for address in ("10.0.0.1", "10.0.0.2"))
    assert [one.get("/v1/weights").status_code for _ in range(2)] == [200, 429]
    assert other.get("/v1/weights", headers=shown("made up")).status_code == 200
    assert other.get("/v1/weights", headers=shown("another")).status_code == 429


def test_the_rate_leaves_health_and_metrics_alone() -> None:
    client = bare(keys=[], rate=Rate(0.25, lambda: 0.0))
    assert {client.get(path).status_code for path in [*OPEN, "/metrics"] for _ in range(3)} == {200}


def test_callers_are_remembered_up_to_a_bound_those_seen_last() -> None:
    rate = Rate(0.001, lambda: 0.0)
    allowed(rate, "seen again")
    for number in range(CALLERS_KNOWN + 10):
        allowed(rate, f"10.{number}")
        assert allowed(rate, "seen again")
    assert allowed(rate, "10.11")
    assert not allowed(rate, "10.10")


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("example.com", "example.com", 200),
        ("example.com", "example.com:8000", 200),
        ("example.com", "EXAMPLE.com", 200),
        ("Example.com", "example.com", 200),
        ("example.com", "example.com.evil.org", 421),
        ("example.com", "a.example.com", 421),
        ("example.com", "evil-example.com", 421),
        ("example.com", "example.com:8000:9000", 421),
        ("example.com", "example.com:80a", 421),
        ("example.com", "", 421),
        ("*.example.com", "a.example.com", 200),
        ("*.example.com", "a.b.example.com:1", 200),
        ("*.example.com", "example.com", 421),
        ("*.example.com", ".example.com", 421),
        ("*.example.com", "evilexample.com", 421),
        ("10.0.0.1", "10.0.0.1:8000", 200),
        ("[::1]", "[::1]", 200),
        ("[::1]", "[::1]:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("[::1]", "[::2]:8000", 421),
    ],
)
def test_only_the_names_that_are_allowed_are_answered(allowed: str, host: str, status: int) -> None:
    response = bare(keys=[], hosts=[allowed]).get("/v1/weights", headers={"host": host})
    assert response.status_code == status


def test_a_host_that_is_not_allowed_gets_the_one_error_body_but_health_is_open() -> None:
    with opened(allowed_hosts="example.com, *.example.org") as client:
        response = client.get("/v1/model", headers={"host": "evil.org"})
        assert (response.status_code, response.json()["error"]["code"]) == (421, "host_unknown")
        assert client.get("/livez", headers={"host": "10.1.2.3:8000"}).status_code == 200
        assert client.get("/v1/model", headers={"host": "a.example.org"}).status_code == 200


PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "POST"}


def test_pages_of_other_origins_may_not_call_by_default(keyed: TestClient) -> None:
    response = keyed.get("/livez", headers=PREFLIGHT)
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert keyed.options("/v1/weights", headers=PREFLIGHT).status_code == 401


def test_pages_of_an_allowed_origin_may_call_and_ask_first_without_a_key() -> None:
    with opened(api_keys="first", cors_origins="https://shop.example,https://b.example") as client:
        asked = client.options("/v1/weights", headers=PREFLIGHT | {"access-control-request-headers": "x-api-key"})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        refused = client.post("/v1/weights", json=BODY, headers={"origin": "https://b.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://b.example")
        other = client.get("/livez", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def sample(client: TestClient, key: str, line: str) -> float:
    lines = client.get("/metrics", headers=shown(key)).text.splitlines()
    return sum(float(found.split()[-1]) for found in lines if found.startswith(line))


def test_what_is_refused_is_counted_by_reason_and_under_its_route_once() -> None:
    with opened(api_keys="first", rate_limit=0.001) as client:
        statuses = [client.post("/v1/weights", json=BODY, headers=shown(key)).status_code for key in "xxx"]
        statuses += [client.post("/v1/weights", json=BODY, headers=shown("first")).status_code for _ in range(3)]
        assert statuses == [401] * 3 + [200, 429, 429]
        assert sample(client, "first", 'ranker_rejected_total{reason="unauthorized"}') == 3
        assert sample(client, "first", 'ranker_rejected_total{reason="rate_limited"}') == 2
        for status, number in (("401", 3), ("429", 2), ("200", 1)):
            line = f'ranker_requests_total{{route="/v1/weights",status="{status}"}}'
            assert sample(client, "first", line) == number
        assert sample(client, "first", 'ranker_requests_total{route="/v1/weights"') == 6


def test_paths_that_nobody_made_are_counted_together() -> None:
    with opened(api_keys="first") as client:
        for number in range(5):
            client.get(f"/made/up/{number}")
        assert sample(client, "first", 'ranker_requests_total{route="unknown",status="401"}') == 5

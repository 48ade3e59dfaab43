"""The OpenAPI document against the service: whatever is sent, only what is documented comes back."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

ADMIN_KEY = "master"


def no_failure_of_ours(
    _: schemathesis.CheckContext, response: schemathesis.Response, __: schemathesis.Case[Any]
) -> None:
    """503 and 504 are documented and may come: a caller can ask for less time than any answer takes."""
    assert response.status_code not in (500, 501, 502)


CHECKS: list[Callable[..., Any]] = [
    no_failure_of_ours,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
"""Not among them: that all data which fits the schema is taken. A text of blanks, a candidate listed twice in other
spaces and a bundle that is not there fit it, and are refused with 422 all the same; JSON Schema cannot say so."""
EXCLUDED: dict[str, list[Callable[..., Any]]] = {
    "/v1/weights/batch": [negative_data_rejection],
    "/v1/extract/batch": [negative_data_rejection],
    "/v1/events": [negative_data_rejection],
}
"""A batch answers each of its requests for itself: one that does not fit gets an error among the results."""

SETTINGS = {"device": "cpu", "admin_key": ADMIN_KEY, "max_body_bytes": 100_000_000, "feedback": True}
app = create_app(Settings.model_validate(SETTINGS))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module", autouse=True)
def opened() -> Iterator[None]:
    """The application's lifespan, around all tests."""
    with TestClient(app):
        yield


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_what_comes_back_is_documented_whatever_is_sent(case: schemathesis.Case[Any]) -> None:
    headers = {"x-api-key": ADMIN_KEY}
    response = case.call(headers=headers)
    case.validate_response(response, checks=CHECKS, excluded_checks=EXCLUDED.get(case.path, []), headers=headers)


def test_no_parameter_is_documented_but_the_requests_time_and_what_addresses_name() -> None:
    paths: dict[str, Any] = TestClient(app).get("/openapi.json").json()["paths"]
    parameters = [
        named for methods in paths.values() for method in methods.values() for named in method.get("parameters", [])
    ]
    assert {parameter["name"] for parameter in parameters} == {"X-Request-Timeout-Ms", "rule_id", "scope", "user_id"}

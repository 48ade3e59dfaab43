"""Events over HTTP: what a body may be, the route.

Knows: JSON and NDJSON, the shape of the answer, examples. Does not know: what an event must be, what becomes of it.
"""

import codecs
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NotRequired

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from typing_extensions import TypedDict

from service.api.direct import TIMEOUT_PARAMETER, counted, time_allowed, whole_body
from service.api.errors import documented
from service.api.state import State, state
from service.errors import BadInput, EventRefused
from service.feedback.intake import Intake, Taken
from service.feedback.ubi import Rules

PATH = "/v1/events"
MOST_EVENTS, MOST_ERRORS = 1_000, 20
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

FACET: dict[str, Any] = {
    "action_name": "facet_select",
    "timestamp": "2026-11-22T18:00:00.000Z",
    "query_id": "1ceb216eccd04671a08c74b1876ffda9",
    "client_id": "browser-17",
    "event_attributes": {"object": {"object_id": "color", "object_id_type": "attribute"}},
}
ORDER: dict[str, Any] = {
    "action_name": "purchase",
    "timestamp": 1_795_370_400_000,
    "query_id": "1ceb216eccd04671a08c74b1876ffda9",
    "client_id": "browser-17",
    "user_id": "anna",
    "event_attributes": {
        "object": {"object_id": "c", "object_id_type": "product"},
        "position": {"ordinal": 3, "xy": {"x": 20, "y": 480}},
    },
}
SEARCH: dict[str, Any] = {
    "query_id": "a-query-of-your-own",
    "user_query": "red wool rug",
    "client_id": "browser-17",
    "query_response_hit_ids": ["a", "b", "c"],
}
EXAMPLES: dict[str, Any] = {
    "one": {"summary": "One event: a facet was used.", "value": FACET},
    "list": {"summary": "A list: an order, and a query that was answered elsewhere.", "value": [ORDER, SEARCH]},
}
TEXT, OBJECT = {"type": "string"}, {"type": "object"}
ITEM: dict[str, Any] = {
    "type": "object",
    "description": "An event has `action_name` and `timestamp` (ISO 8601, UTC where no zone is named, or milliseconds "
    "since 1970), a query has `user_query`; other fields are kept. `query_id` is that of an answer of /v1/weights or "
    "/v1/rank, or of a query sent here. The object is a product by its id, or an attribute by its name where "
    '`object_id_type` is "attribute".',
    "properties": {
        **dict.fromkeys(["action_name", "user_query", "query_id", "client_id", "session_id", "user_id"], TEXT),
        "timestamp": {"type": ["string", "number"]},
        "query_response_hit_ids": {"type": "array", "items": TEXT},
        "event_attributes": OBJECT,
    },
}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [ITEM, {"type": "array", "items": ITEM, "maxItems": MOST_EVENTS}]},
            "examples": EXAMPLES,
        },
        NDJSON[0]: {"schema": {"type": "string", "description": "An event or a query a line."}},
    },
}


class RefusedAnswer(TypedDict):
    """An event that was refused: its place in the request, why in one word and in one sentence, and the field."""

    index: int
    reason: str
    message: str
    field: NotRequired[str]


class EventsAnswer(TypedDict):
    """How many events are new, how many were known already, and how many were refused for each reason.

    `errors` are the first 20 that were refused.
    """

    accepted: int
    duplicate: int
    refused: dict[str, int]
    errors: list[RefusedAnswer]


async def events(request: Request) -> Response:
    """Take events and queries of User Behavior Insights 1.3.0: one, a list, or one a line; up to 1,000.

    Each is taken or refused for itself. Sent again, an event counts once.
    """
    opened = state(request)
    with counted(opened["telemetry"]):
        deadline = opened["begun"] + time_allowed(request, opened["settings"])
        content = await whole_body(request, deadline)
        read = time.monotonic()
        items = _items(content, request.headers.get("content-type", "").partition(";")[0].strip().lower())
        opened["telemetry"].observe("parse", read, time.monotonic())
        taken = await _intake(opened).take(items)
    return Response(orjson.dumps(_answer(taken)), 202, media_type="application/json")


def _intake(opened: State) -> Intake:
    assert opened["ledger"], "the route is there with feedback alone"  # noqa: S101
    settings = opened["settings"]
    rules = Rules(opened["feedback_key"], settings.feedback_late_s, settings.feedback_early_s)
    return Intake(opened["ledger"], opened["telemetry"], rules)


def _items(content: bytes, kind: str) -> Sequence[object]:
    """What a body holds, an EventRefused for each line that is no JSON.

    Lines are told by the content type, or by a first line that is JSON where the whole is none. A byte order mark, as
    some tools write it before a file, is passed over.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = [line for line in content.split(b"\n") if line.strip()]
    try:
        if kind in NDJSON:
            return _bounded([_line(line) for line in _bounded(lines)])
        whole = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if len(lines) < 2 or isinstance(_line(lines[0]), EventRefused):
            told = {"type": "json_invalid", "loc": ("body",), "msg": "the body is not JSON in UTF-8"}
            raise RequestValidationError([told]) from error
        return [_line(line) for line in _bounded(lines)]
    return _bounded(whole) if isinstance(whole, list) else [whole]


def _bounded(items: list[Any]) -> list[Any]:
    if len(items) > MOST_EVENTS:
        raise BadInput(f"a request has at most {MOST_EVENTS} events; send the others in another one", "body")
    return items


def _line(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return EventRefused("not_json", "the line is not JSON in UTF-8")


def _answer(taken: Taken) -> EventsAnswer:
    return {
        "accepted": taken.accepted,
        "duplicate": taken.duplicate,
        "refused": dict(Counter(error.reason for _, error in taken.refused)),
        "errors": [_refused(index, error) for index, error in taken.refused[:MOST_ERRORS]],
    }


def _refused(index: int, error: EventRefused) -> RefusedAnswer:
    told: RefusedAnswer = {"index": index, "reason": error.reason, "message": str(error)}
    return {**told, "field": error.field} if error.field else told


def add_events(app: FastAPI) -> None:
    """Put the route into an app."""
    app.router.add_api_route(
        PATH,
        events,
        methods=["POST"],
        status_code=202,
        response_model=EventsAnswer,
        responses=documented(401, 413, 422, 429, 500, 503, 504),
        openapi_extra={"requestBody": BODY, "parameters": [TIMEOUT_PARAMETER]},
        tags=["feedback"],
    )

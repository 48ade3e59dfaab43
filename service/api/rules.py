"""A merchandiser's rules, over HTTP: shapes with their limits, the routes.

Knows: pydantic, the shape of requests and answers. Does not know: where rules are kept, what they do.
"""

from typing import Any, Literal

from fastapi import FastAPI, Request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from service.api.direct import DirectRoute
from service.api.errors import documented
from service.api.schemas import Wire
from service.api.state import state
from service.errors import RuleRefused
from service.rules import AMOUNTS, TEXTS, USABLE_ID, Rule, written

ID_PARAMETER: dict[str, Any] = {
    "name": "rule_id",
    "in": "path",
    "required": True,
    "description": "The rule's id.",
    "schema": {"type": "string", "pattern": f"^{USABLE_ID.pattern}$"},
}
PIN: dict[str, Any] = {"query": "wool rug", "attribute": "material", "action": "pin", "position": 1}
HIDE: dict[str, Any] = {"attribute": "price", "action": "hide", "end": "2030-01-01T00:00:00Z", "note": "until the sale"}
LIMITS = {name: (least, most) for name, least, most in AMOUNTS.values()}


def _amount(name: str, description: str) -> Any:
    least, most = LIMITS[name]
    return Field(None, ge=least, le=most, description=description)


def _text(name: str, description: str) -> Any:
    return Field(None, min_length=1, max_length=TEXTS[name], description=description)


class RuleRequest(Wire):
    """What a rule is to do, and where; for everything, if there is neither a query nor a kind."""

    model_config = ConfigDict(json_schema_extra={"examples": [PIN, HIDE]})

    attribute: str = Field(
        min_length=1, max_length=TEXTS["attribute"], description="Its name; case, width and blanks do not count."
    )
    action: Literal["hide", "multiply", "floor", "pin"]
    factor: float | None = _amount("factor", "With multiply: what the weight is multiplied by.")
    weight: float | None = _amount("weight", "With floor: the least weight.")
    position: int | None = _amount("position", "With pin: the place, counted from 1.")
    query: str | None = _text("query", "The query that it is for; case, width and blanks do not count.")
    kind: str | None = _text("kind", "The product type that it is for, as requests name it.")
    start: str | None = Field(None, description="From when, an ISO 8601 time with its zone.")
    end: str | None = Field(None, description="Until when.")
    note: str | None = _text("note", "What people are to know of it.")


class RuleAnswer(TypedDict):
    """A rule and who made it: `rule` is as it was sent, with its id."""

    by: Literal["file", "admin"]
    rule: dict[str, Any]


class RulesAnswer(TypedDict):
    """Every rule, in the order of ids; `kept` says where those are kept that come by call."""

    rules: list[RuleAnswer]
    kept: Literal["redis", "process"]


class PutAnswer(RuleAnswer):
    """A rule that is in force now; in other processes within some seconds."""

    kept: Literal["redis", "process"]


class DeletedAnswer(TypedDict):
    """Whether there was a rule with this id."""

    id: str
    deleted: bool
    kept: Literal["redis", "process"]


async def listed(request: Request) -> RulesAnswer:
    """Every rule, whether its time is now or not."""
    book = state(request)["rulebook"]
    return {"rules": [_answer(rule) for rule in book.all()], "kept": book.kept_in}


async def put(body: RuleRequest, request: Request, deadline: float) -> PutAnswer:  # noqa: ARG001
    """Have a rule in force, in place of one with this id; the file's rules cannot be changed."""
    book = state(request)["rulebook"]
    _check_is_for_all(request)
    rule = await book.put({"id": request.path_params["rule_id"], **body.model_dump(exclude_none=True)})
    return {**_answer(rule), "kept": book.kept_in}


async def delete(request: Request) -> DeletedAnswer:
    """Have a rule in force no longer; the file's rules cannot be deleted."""
    book, rule_id = state(request)["rulebook"], request.path_params["rule_id"]
    _check_is_for_all(request)
    return {"id": rule_id, "deleted": await book.delete(rule_id), "kept": book.kept_in}


def _check_is_for_all(request: Request) -> None:
    """Raises RuleRefused where only one of several processes would know of a rule."""
    opened = state(request)
    if opened["settings"].workers > 1 and opened["rulebook"].kept_in == "process":
        raise RuleRefused("with several RANKER_WORKERS rules by call want RANKER_REDIS_URL, so that all know of them")


def _answer(rule: Rule) -> RuleAnswer:
    return {"by": rule.by, "rule": written(rule)}


def add_routes(app: FastAPI) -> None:
    """Put them into an app."""
    one, parameters = "/admin/rules/{rule_id}", {"parameters": [ID_PARAMETER]}
    app.router.add_api_route("/admin/rules", listed, responses=documented(401), tags=["admin"])
    app.router.add_api_route(
        one,
        put,
        methods=["PUT"],
        route_class_override=DirectRoute,
        responses=documented(401, 404, 413, 422, 503, 504),
        openapi_extra=parameters,
        tags=["admin"],
    )
    app.router.add_api_route(
        one,
        delete,
        methods=["DELETE"],
        responses=documented(401, 404, 422, 503),
        openapi_extra=parameters,
        tags=["admin"],
    )

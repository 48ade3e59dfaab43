"""What is known of a person and of a scope, over HTTP: shapes, routes.

Knows: pydantic, the shape of answers, how a scope is written. Does not know: how evidence comes about.
"""

from typing import Annotated

from fastapi import Path, Query, Request
from typing_extensions import TypedDict

from service.api.schemas import MAX_QUERY_CHARACTERS, MAX_USER_CHARACTERS
from service.api.showing import OFF, person_of
from service.api.state import state
from service.errors import BadInput
from service.feedback import keys
from service.feedback.dynamics import Dynamics
from service.feedback.ledger import Ledger
from service.feedback.snapshots import Snapshot

MAX_SCOPE_CHARACTERS = 6 + MAX_QUERY_CHARACTERS

UserId = Annotated[str, Path(min_length=1, max_length=MAX_USER_CHARACTERS, description="As in requests and events.")]
ScopeText = Annotated[
    str,
    Query(
        min_length=1,
        max_length=MAX_SCOPE_CHARACTERS,
        description="`query:` and a query, `kind:` and a kind of product, or `all`.",
        examples=["query:red rug"],
    ),
]


class AttributeEvidence(TypedDict):
    """An attribute: how much it was chosen and how much by expectation, as it counts now, and its lift in nats."""

    attribute: str
    chosen: float
    expected: float
    lift: float


class ValueEvidence(AttributeEvidence):
    """The same of an attribute's value."""

    value: str


class EvidenceAnswer(TypedDict):
    """What is known, largest lift first. The sums are those of the long half-life."""

    attributes: list[AttributeEvidence]
    values: list[ValueEvidence]


class DeletedAnswer(TypedDict):
    """Whether there was anything to delete."""

    deleted: bool


async def user(user_id: UserId, request: Request) -> EvidenceAnswer:
    """What is known of a user: attributes and values that their choices speak for (above 0) or against."""
    return await _evidence(request, person_of(request, user_id))


async def forget_user(user_id: UserId, request: Request) -> DeletedAnswer:
    """Delete what is known of a user, every event of theirs included. Other processes forget within two minutes."""
    ledger, dynamics = _opened(request)
    hashed = keys.hashed(user_id, state(request)["feedback_key"])
    try:
        return {"deleted": await ledger.forget_user(hashed)}
    finally:
        dynamics.snapshots.forget(keys.user_key(hashed))


async def dynamics(scope: ScopeText, request: Request) -> EvidenceAnswer:
    """What choices say in a scope. A lift is that of this scope alone; an answer's is shrunk towards those of the wider
    scopes.
    """
    return await _evidence(request, _scope_key(scope))


async def forget_dynamics(scope: ScopeText, request: Request) -> DeletedAnswer:
    """Take back what choices said in a scope, in the wider scopes, too, as if they had not been made there.

    A query's are taken off its kinds of product and off everything, a kind's off everything; narrower scopes keep
    their own, and so do users.
    """
    ledger, dynamics = _opened(request)
    changed = await ledger.take_back(_scope_key(scope))
    for key in changed:
        dynamics.snapshots.forget(key)
    return {"deleted": bool(changed)}


def _opened(request: Request) -> tuple[Ledger, Dynamics]:
    """What these routes are there with."""
    opened = state(request)
    ledger, dynamics = opened["ledger"], opened["dynamics"]
    if not ledger or not dynamics:
        raise BadInput(OFF, "path")
    return ledger, dynamics


def _scope_key(scope: str) -> str:
    """Raises BadInput for what names no scope."""
    what, _, text = scope.partition(":")
    if scope == "all":
        return keys.EVERYTHING
    if not text.strip() or what not in ("query", "kind"):
        raise BadInput("it is query: and a query, kind: and a kind of product, or all", "scope")
    return keys.query_scope(text) if what == "query" else keys.kind_scope(text)


async def _evidence(request: Request, key: str) -> EvidenceAnswer:
    ledger, dynamics = _opened(request)
    (fields,) = await ledger.evidence([key])
    snapshot = Snapshot(fields, 0, 0.0)
    answer: EvidenceAnswer = {"attributes": [], "values": []}
    for field in fields:
        attribute, value = keys.told(field)
        chosen, expected = dynamics.sums(fields[field])
        found: AttributeEvidence = {
            "attribute": attribute,
            "chosen": chosen,
            "expected": expected,
            "lift": dynamics.lift(field, [snapshot]),
        }
        if keys.is_value(field):
            answer["values"].append({**found, "value": value})
        else:
            answer["attributes"].append(found)
    answer["attributes"].sort(key=lambda each: -each["lift"])
    answer["values"].sort(key=lambda each: -each["lift"])
    return answer

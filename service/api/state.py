"""What the lifespan opened, for the routes.

Knows: which parts there are. Does not know: who uses which.
"""

from typing import TypedDict, cast

from fastapi import Request

from service.deployment import Deployments
from service.feedback.dynamics import Dynamics
from service.feedback.ledger import Ledger
from service.rulebook import Rulebook
from service.settings import Settings
from service.telemetry import Telemetry


class State(TypedDict):
    """What the lifespan opened, and when the request began (`time.monotonic`).

    `ledger` and `dynamics` are None without feedback; ids are hashed with `feedback_key`.
    """

    settings: Settings
    telemetry: Telemetry
    deployments: Deployments
    ledger: Ledger | None
    dynamics: Dynamics | None
    feedback_key: bytes
    rulebook: Rulebook
    begun: float


def state(request: Request) -> State:
    """That of the application which a request is for."""
    return cast(State, request.scope["state"])

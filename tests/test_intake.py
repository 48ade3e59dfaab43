"""What becomes of events that come in: counted, put down with hashed ids, queries known by what they showed."""

from typing import Any

import pytest
from fakes import FakeLedger, run

from service.errors import EventRefused, LedgerAway
from service.feedback.intake import Intake, Taken
from service.feedback.keys import EVERYTHING, hashed, query_scope
from service.feedback.shown import Shown, ShownProduct, decode, key
from service.feedback.ubi import Rules
from service.telemetry import Telemetry

NOW = 1_733_795_426.0
KEY = key("q", products=True)
QUERY: dict[str, Any] = {"query_id": "q", "user_query": "Red rug", "query_response_hit_ids": ["a", "b"]}


def event(**changes: Any) -> dict[str, Any]:
    return {"action_name": "click", "timestamp": NOW * 1000, "client_id": "c", "user_id": "anna"} | changes


class Door:
    """An intake with what stands behind it."""

    def __init__(self) -> None:
        self.ledger, self.telemetry = FakeLedger(), Telemetry()
        self.intake = Intake(self.ledger, self.telemetry, Rules(b"secret", 86_400, 300), clock=lambda: NOW)

    def take(self, *items: object) -> Taken:
        found: list[Taken] = []

        async def work() -> None:
            found.append(await self.intake.take(items))

        run(work)
        return found[0]

    def counted(self, outcome: str) -> float:
        return self.telemetry.registry.get_sample_value("ranker_events_total", {"outcome": outcome}) or 0.0


def test_each_event_is_taken_known_or_refused_for_itself() -> None:
    door = Door()
    unread = EventRefused("not_json", "the line is not JSON in UTF-8")
    taken = door.take(event(), event(), {}, event(action_name="order"), unread)
    assert (taken.accepted, taken.duplicate) == (2, 1)
    assert [(index, error.reason) for index, error in taken.refused] == [(2, "missing"), (4, "not_json")]
    counted = [door.counted(outcome) for outcome in ("accepted", "duplicate", "missing", "not_json", "too_late")]
    assert counted == [2, 1, 1, 1, 0]


def test_what_is_put_down_names_client_and_user_by_their_hashes() -> None:
    door = Door()
    door.take(event())
    (entry,) = door.ledger.entries
    assert (entry.client, entry.user) == (hashed("c", b"secret"), hashed("anna", b"secret"))
    assert b"anna" not in entry.content


def test_a_query_is_known_by_the_products_that_it_showed() -> None:
    door = Door()
    door.take(QUERY)
    scopes = (query_scope("red rug"), EVERYTHING)
    products = (ShownProduct("a", {}), ShownProduct("b", {}))
    assert decode(door.ledger.known[KEY]) == Shown(scopes, {}, products)
    assert len(door.ledger.entries) == 1


def test_a_query_does_not_replace_what_an_answer_of_ours_showed() -> None:
    door = Door()
    door.ledger.known[KEY] = b"better"
    door.take(QUERY)
    assert door.ledger.known[KEY] == b"better"


def test_a_query_tells_the_products_of_a_page_of_which_we_answered_the_attributes() -> None:
    door = Door()
    ours = key("q", products=False)
    door.ledger.known[ours] = b"ours"
    door.take(QUERY)
    assert [each.id for each in decode(door.ledger.known[KEY]).products] == ["a", "b"]
    assert door.ledger.known[ours] == b"ours"


@pytest.mark.parametrize("query", [{"user_query": "rug"}, {"user_query": "rug", "query_id": "q"}])
def test_a_query_without_an_id_or_products_is_put_down_alone(query: dict[str, Any]) -> None:
    door = Door()
    assert door.take(query).accepted == 1
    assert door.ledger.known == {}


def test_nothing_is_counted_as_taken_that_could_not_be_put_down() -> None:
    door = Door()
    door.ledger.failure = LedgerAway("not now")
    with pytest.raises(LedgerAway):
        door.take(event())
    assert door.counted("accepted") == 0

"""Events and queries in the form of User Behavior Insights 1.3.0, as senders really write them.

An event must have `action_name` and `timestamp`, a query `user_query`; whatever else they carry is kept. Times are
ISO 8601 (UTC where no zone is named) or milliseconds since 1970, as a number or as text. Coordinates stand in
`position.xy.x`, as the specification has it, or in `position.x`, as the OpenSearch plugin has it. Use of a facet, for
which the specification has no event, is `object_id_type: "attribute"` with the attribute's name as `object_id`.

Knows: names, shapes and limits of what is sent. Does not know: what follows from it, HTTP, where it is kept.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, TypeGuard

import orjson

from service.errors import EventRefused
from service.feedback.actions import FACET_WORDS, IMPRESSION, words_of
from service.feedback.keys import hashed

MOST_ID, MOST_ACTION, MOST_QUERY, MOST_TIME = 256, 128, 1_024, 64
"""Characters."""
MOST_BYTES, MOST_DEPTH, MOST_HITS, MOST_ORDINAL, MOST_FIELD = 16_384, 16, 1_000, 1_000_000, 200
IDENTIFYING = frozenset({"client_id", "ip", "session_id", "user_id"})
"""Fields of which a keyed hash alone is kept, at whatever depth they stand."""
ATTRIBUTES, QUERY_ATTRIBUTES = "event_attributes", "query_attributes"
SHOWN = "shown"
"""What the log notes of an answer of ours among these, see `service.feedback.noting`; a sender's own is left out."""


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did. `at` is in seconds since 1970; `client` and `user` are keyed hashes, "" where unknown, and a
    client that does not say who it is goes by its session or else its user. `of_attribute` says that `object_id` is an
    attribute's name; `internal_id` is another name of the object. `position` counts from 1; a sender's 0 is 1, too.

    A query has no action. `query` is the text ("" where unknown).
    """

    action: str
    at: float
    query_id: str = ""
    client: str = ""
    user: str = ""
    object_id: str = ""
    internal_id: str = ""
    of_attribute: bool = False
    position: int | None = None
    dwell_s: float | None = None
    query: str = ""


class Rules(NamedTuple):
    """What ids are hashed with, and by how much an event may be older than now or ahead of it, in seconds."""

    secret: bytes
    late_s: float
    early_s: float


class Accepted(NamedTuple):
    """An event that may be put down: `content` is its JSON with ids hashed and the time in milliseconds, `once` what it
    must differ in from others (16 bytes). `hits` are the products that a query gave, best first.
    """

    event: Event
    content: bytes
    once: bytes
    hits: tuple[str, ...] = ()


def read(item: object, now: float, rules: Rules) -> Accepted:
    """An event or a query as `orjson` reads it. Raises EventRefused."""
    if not isinstance(item, dict):
        raise EventRefused("not_object", "an event or a query is a JSON object")
    _check_size(item)
    is_query = item.get("action_name") is None and item.get("user_query") is not None and not item.get(ATTRIBUTES)
    for name in ("user_query",) if is_query else ("action_name", "timestamp"):
        if item.get(name) is None or item[name] == "":
            raise EventRefused("missing", f"{name} is missing", name)
    at = _time(item["timestamp"], now, rules) if item.get("timestamp") is not None else now
    kept = _kept(item, rules.secret) | {"timestamp": round(at * 1000)}
    for name in (ATTRIBUTES, QUERY_ATTRIBUTES):
        if isinstance(kept.get(name), dict):
            kept[name].pop(SHOWN, None)
    event, hits = _event(kept), tuple(_hits(kept)) if is_query else ()
    content = orjson.dumps(kept)
    if b"\\u0000" in content:
        _check_nuls(kept)
    return Accepted(event, content, _once(event), hits)


def _check_size(item: dict[str, Any]) -> None:
    """First of all, so that no other check takes long."""
    try:
        size = len(orjson.dumps(item))
    except orjson.JSONEncodeError as error:  # of what was read from JSON it is the depth alone that it cannot write
        raise _refused_at("too_deep", "stands too deep", "") from error
    if size > MOST_BYTES:
        raise EventRefused("too_large", f"an event has at most {MOST_BYTES} bytes")


def stored(content: bytes) -> Event:
    """The event whose content `read` gave. Raises ValueError for other bytes."""
    try:
        return _event(orjson.loads(content))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, EventRefused) as error:
        raise ValueError("the bytes are no event of ours") from error


def _once(event: Event) -> bytes:
    """Of client, query, object and action; of a query without an action its text.

    The object goes by its other name where it has no id.
    """
    what = [event.client, event.query_id, event.object_id or event.internal_id, event.action or f"query {event.query}"]
    return blake2b(orjson.dumps(what), digest_size=16).digest()


def _event(kept: Mapping[str, Any]) -> Event:
    place = f"{ATTRIBUTES}."
    attributes = _object(kept, ATTRIBUTES)
    item = _object(attributes, "object", place)
    action = _text(kept, "action_name", MOST_ACTION).lower()
    facet = facet_name(kept, action)
    object_id = _identifier(item, "object_id", f"{place}object.")
    if item.get("object_id_type") == "attribute" and not object_id:
        raise EventRefused("missing", f"{place}object.object_id is missing", f"{place}object.object_id")
    user = _identifier(kept, "user_id")
    sessions = [_identifier(kept, "session_id"), _identifier(attributes, "session_id", place)]
    dwell = _number(attributes, "dwell_time", place)
    return Event(
        IMPRESSION if kept.get("message_type") == "IMPRESSION" else action,
        kept["timestamp"] / 1000,
        _identifier(kept, "query_id"),
        _identifier(kept, "client_id") or sessions[0] or sessions[1] or user,
        user,
        facet or object_id,
        _identifier(item, "internal_id", f"{place}object."),
        bool(facet),
        _position(_object(attributes, "position", place), f"{place}position."),
        _at_least_0(dwell, f"{place}dwell_time"),
        _query(kept),
    )


def _query(kept: Mapping[str, Any]) -> str:
    name = "message" if kept.get("message_type") == "QUERY" and not kept.get("user_query") else "user_query"
    return _text(kept, name, MOST_QUERY)


def facet_name(event: Mapping[str, Any], action: str) -> str:
    """The attribute that an event filtered by, or "" for another event; `action` is in small letters.

    It is the object of type "attribute". Senders that know nothing of this name it in the object's description
    ("supplier_name") or else in the action ("brand_filter").
    """
    item = part(event, "object")
    if item.get("object_id_type") == "attribute":
        return str(item.get("object_id") or "")
    words = words_of(action)
    if not FACET_WORDS & set(words) and event.get("message_type") != "FILTER":
        return ""
    described = item.get("description")
    told = described.split("_") if isinstance(described, str) and " " not in described.strip() else words
    return " ".join(word for word in told if word not in {*FACET_WORDS, "on", "select", ""}).lower()[:MOST_ID]


def part(item: Mapping[str, Any], name: str, of: str = ATTRIBUTES) -> Mapping[str, Any]:
    """A part of an event's `event_attributes`, or of a query's, empty where there is none."""
    attributes = item.get(of)
    found = attributes.get(name) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else {}


def _position(given: Mapping[str, Any], place: str) -> int | None:
    inner = _object(given, "xy", place)
    for where, of in ((given, place), (inner, f"{place}xy.")):
        _number(where, "x", of), _number(where, "y", of)
    ordinal = _at_least_0(_number(given, "ordinal", place), f"{place}ordinal")
    if ordinal is None:
        return None
    if ordinal > MOST_ORDINAL or ordinal != int(ordinal):
        raise EventRefused("range", f"{place}ordinal is a whole number up to {MOST_ORDINAL}", f"{place}ordinal")
    return max(1, int(ordinal))


def _hits(query: Mapping[str, Any]) -> Iterator[str]:
    name = "query_response_hit_ids"
    given = query.get(name) or []
    if not isinstance(given, list):
        raise EventRefused("type", f"{name} is a list", name)
    if len(given) > MOST_HITS:
        raise EventRefused("too_long", f"{name} has at most {MOST_HITS} ids", name)
    for place, each in enumerate(given):
        yield _identifier({str(place): each}, str(place), f"{name}.")


def _time(given: object, now: float, rules: Rules) -> float:
    """Seconds since 1970."""
    at = _seconds(given)
    if at is None:
        raise EventRefused("time", "timestamp is ISO 8601 or milliseconds since 1970", "timestamp")
    if at < now - rules.late_s:
        raise EventRefused("too_late", f"timestamp is more than {rules.late_s:g} s ago", "timestamp")
    if at > now + rules.early_s:
        raise EventRefused("too_early", f"timestamp is more than {rules.early_s:g} s ahead of the clock", "timestamp")
    return at


def _seconds(given: object) -> float | None:
    if is_number(given):
        return given / 1000
    if not isinstance(given, str) or len(given) > MOST_TIME:
        return None
    if given.isascii() and given.isdigit():
        return int(given) / 1000
    try:
        told = datetime.fromisoformat(given.strip())
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _kept(item: Mapping[str, Any], secret: bytes, place: str = "", depth: int = 1) -> dict[str, Any]:
    """A copy with ids hashed, checked for depth."""
    if depth > MOST_DEPTH:
        raise _refused_at("too_deep", "stands too deep", place[:-1])
    kept = dict(item)
    for name, value in item.items():
        if name in IDENTIFYING:
            kept[name] = hashed(_identifier(item, name, place), secret)
        elif isinstance(value, dict):
            kept[name] = _kept(value, secret, f"{place}{name}.", depth + 1)
        elif isinstance(value, list):
            kept[name] = [*_kept(_numbered(value), secret, f"{place}{name}.", depth + 1).values()]
    return kept


def _check_nuls(item: Mapping[str, Any], place: str = "") -> None:
    for name, value in item.items():
        if "\0" in name:
            raise _refused_at("nul", "holds a NUL character in a name", place[:-1])
        if isinstance(value, str) and "\0" in value:
            raise _refused_at("nul", "holds a NUL character", f"{place}{name}")
        if isinstance(value, dict | list):
            _check_nuls(value if isinstance(value, dict) else _numbered(value), f"{place}{name}.")


def _numbered(items: list[Any]) -> dict[str, Any]:
    return {str(number): each for number, each in enumerate(items)}


def _refused_at(reason: str, told: str, place: str) -> EventRefused:
    """A refusal of something at a place that a sender chose, and that may be long."""
    return EventRefused(reason, f"{place[:MOST_FIELD] or 'the event'} {told}", place[:MOST_FIELD])


def _object(given: Mapping[str, Any], name: str, place: str = "") -> Mapping[str, Any]:
    found = given.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise EventRefused("type", f"{place}{name} is an object", place + name)
    return found


def _text(given: Mapping[str, Any], name: str, most: int, place: str = "") -> str:
    found = given.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise EventRefused("type", f"{place}{name} is a text", place + name)
    if len(found) > most:
        raise EventRefused("too_long", f"{place}{name} has at most {most} characters", place + name)
    return found


def _identifier(given: Mapping[str, Any], name: str, place: str = "") -> str:
    """A text, or a whole number as one."""
    found = given.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _text(given, name, MOST_ID, place[:MOST_FIELD])


def _number(given: Mapping[str, Any], name: str, place: str) -> float | None:
    found = given.get(name)
    if found is not None and not is_number(found):
        raise EventRefused("type", f"{place}{name} is a number", place + name)
    return found


def _at_least_0(found: float | None, place: str) -> float | None:
    if found is not None and found < 0:
        raise EventRefused("range", f"{place} is at least 0", place)
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number; a yes or no is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

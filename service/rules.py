"""A merchandiser's rules: what one is, which of several holds, what it makes of weights.

A rule is for one attribute, by its plain name (case, width and blanks do not count), and for one query, one kind of
product, or everything. It hides the attribute, multiplies its weight, sets a least weight, or pins its place.

Where rules conflict:
1. Of several rules for one attribute with one action, that of the narrowest scope holds: the query's, then the kind's,
   then everything's. Within a scope a call's goes before the file's, then the first by id.
2. Hiding goes with no other action on the same attribute: the narrower scope holds, within one scope hiding does.
3. What is left works together, in this order: hide, multiply, floor, pin.
4. Hides that would leave no attribute all do not hold. Floors that add up to more than 1 are scaled to 1.
5. Of pins to one place the first holds, by scope and so on as in 1; the others get the next free place behind it, or
   the last free one. A place beyond the end is the last. Pins change no weight.

Knows: the parts of a rule and their bounds, this order, the arithmetic. Does not know: where rules are kept, who asks.
"""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Literal, NamedTuple, get_args

from service.errors import BadInput
from service.feedback.keys import EVERYTHING, attribute_field, kind_scope, query_scope

Action = Literal["hide", "multiply", "floor", "pin"]
By = Literal["file", "admin"]
ACTIONS: tuple[Action, ...] = get_args(Action)
AMOUNTS: Mapping[Action, tuple[str, float, float]] = {
    "multiply": ("factor", 0.001, 1000),
    "floor": ("weight", 0.000001, 1),
    "pin": ("position", 1, 256),
}
"""What an action wants to know, with its bounds."""
TEXTS = {"attribute": 128, "query": 1024, "kind": 256, "note": 500}
"""The most characters of each."""
MOST_RULES = 10_000
"""Of one file, and by call."""
USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
FIELDS = {"id", "action", "start", "end", *TEXTS, *(name for name, _, _ in AMOUNTS.values())}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, in force from `start` (included) to `end`. `amount` is its factor, least weight or place; 0 of a hide.

    It is for a query, for a kind of product, or for everything, where both are "".
    """

    id: str
    by: By
    attribute: str
    action: Action
    amount: float
    query: str = ""
    kind: str = ""
    start: datetime | None = None
    end: datetime | None = None
    note: str = ""

    @property
    def scope(self) -> str:
        """The key of its scope, which does not tell the query's text."""
        return query_scope(self.query) if self.query else kind_scope(self.kind) if self.kind else EVERYTHING

    @property
    def precedence(self) -> tuple[int, bool, bool, str]:
        """Of two rules the lesser holds."""
        return 0 if self.query else 1 if self.kind else 2, self.action != "hide", self.by != "admin", self.id

    def in_force(self, now: datetime) -> bool:
        """Whether this is its time."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)


Book = Mapping[str, Mapping[bytes, Sequence[Rule]]]
"""Rules by scope and by the attribute's field, in the order of precedence."""
Chosen = Sequence[tuple[int, Rule]]
"""Rules that hold, each with the place of the candidate that it is for."""


class Applied(NamedTuple):
    """A rule that had its say in an answer, and of which attribute, as the request names it."""

    id: str
    attribute: str
    action: Action


class Settled(NamedTuple):
    """`weights` (candidates,) sum to 1, those of hidden ones are 0; `order` are the places of the others, first to
    last; `chosen` are the rules that made them so.
    """

    weights: Sequence[float]
    order: Sequence[int]
    chosen: Chosen


def read(content: Mapping[str, object], by: By) -> Rule:
    """A rule from what a file or a call says. Raises BadInput with the field that cannot be."""
    for name in content:
        if name not in FIELDS:
            raise BadInput(f"{name} is nothing that a rule has; it has {', '.join(sorted(FIELDS))}", name)
    identity = check_id(content.get("id"))
    texts = {name: _text(content, name, most) for name, most in TEXTS.items()}
    if not texts["attribute"]:
        raise BadInput("attribute names what the rule is for", "attribute")
    if texts["query"] and texts["kind"]:
        raise BadInput("query and kind: a rule is for one of them, or for everything without both", "kind")
    action = content.get("action")
    if action not in ACTIONS:
        raise BadInput(f"action is one of {', '.join(ACTIONS)}", "action")
    start, end = _time(content, "start"), _time(content, "end")
    if start and end and end <= start:
        raise BadInput("end comes after start", "end")
    return Rule(identity, by, action=action, amount=_amount(content, action), start=start, end=end, **texts)


def read_all(content: bytes) -> dict[str, Rule]:
    """The rules of a TOML file, `[[rule]]` before each, by id. Raises BadInput, ValueError, RecursionError."""
    tables = tomllib.loads(content.decode())
    listed = tables.pop("rule", [])
    if tables or not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError("a rule begins with a line [[rule]], and there is nothing else in the file")
    if len(listed) > MOST_RULES:
        raise ValueError(f"it has more than {MOST_RULES} rules")
    found: dict[str, Rule] = {}
    for number, each in enumerate(listed, start=1):
        try:
            rule = read(each, "file")
        except BadInput as error:
            raise BadInput(f"rule {number}: {error}", error.field) from error
        if rule.id in found:
            raise ValueError(f"two rules have the id {rule.id}")
        found[rule.id] = rule
    return found


def check_id(identity: object) -> str:
    """The same, if it can be a rule's. Raises BadInput."""
    if not isinstance(identity, str) or not USABLE_ID.fullmatch(identity):
        raise BadInput("the id of a rule is of 1 to 64 letters, digits, dots, dashes and underscores", "id")
    return identity


def _text(content: Mapping[str, object], name: str, most: int) -> str:
    text = content.get(name, "")
    if not isinstance(text, str) or len(text) > most or "\0" in text or (name in content and not text.strip()):
        raise BadInput(f"{name} is a text of 1 to {most} characters, without NUL", name)
    return text


def _amount(content: Mapping[str, object], action: Action) -> float:
    wanted = AMOUNTS[action][0] if action in AMOUNTS else ""
    for name, least, most in AMOUNTS.values():
        if name != wanted:
            if name in content:
                raise BadInput(f"{name} is nothing that {action} takes", name)
            continue
        amount = content.get(name)
        whole = name == "position"
        number = isinstance(amount, int if whole else (int, float)) and not isinstance(amount, bool)
        if not number or not least <= amount <= most:  # type: ignore[operator]
            kind = "whole number" if whole else "number"
            raise BadInput(f"{name} is a {kind} from {least:g} to {most:g}, and {action} needs one", name)
        return amount  # type: ignore[return-value]
    return 0


def _time(content: Mapping[str, object], name: str) -> datetime | None:
    given = content.get(name)
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        at = ""
    if at is not None and not (isinstance(at, datetime) and at.tzinfo):
        raise BadInput(f"{name} is an ISO 8601 time with its zone, such as 2026-11-27T00:00:00Z", name)
    return at


def written(rule: Rule) -> dict[str, Any]:
    """What `read` reads, as JSON has it."""
    content: dict[str, Any] = {"id": rule.id, "attribute": rule.attribute, "action": rule.action}
    if rule.action in AMOUNTS:
        content[AMOUNTS[rule.action][0]] = rule.amount
    content |= {name: text for name in ("query", "kind", "note") if (text := getattr(rule, name))}
    times = {"start": rule.start, "end": rule.end}
    return content | {name: time.isoformat() for name, time in times.items() if time}


def book(rules: Iterable[Rule]) -> Book:
    """The rules as `chosen` looks them up."""
    found: dict[str, dict[bytes, list[Rule]]] = {}
    for rule in sorted(rules, key=lambda each: each.precedence):
        found.setdefault(rule.scope, {}).setdefault(attribute_field(rule.attribute), []).append(rule)
    return found


def chosen(rules: Book, scopes: Sequence[str], fields: Sequence[bytes], now: datetime) -> Chosen:
    """The rules that hold for these candidates, 1 and 2 of the order; `scopes` come narrowest first."""
    tables = [table for scope in scopes if (table := rules.get(scope)) and not table.keys().isdisjoint(fields)]
    found: list[tuple[int, Rule]] = []
    for place, field in enumerate(fields) if tables else ():
        taken: dict[Action, Rule] = {}
        for rule in chain.from_iterable([table[field] for table in tables if field in table]):
            goes_with = "hide" not in taken and (rule.action != "hide" or not taken)
            if goes_with and rule.action not in taken and rule.in_force(now):
                taken[rule.action] = rule
        found += [(place, rule) for rule in taken.values()]
    return found


def settled(weights: Sequence[float], rules: Chosen) -> Settled:
    """Weights and order by the rules that hold, 3 to 5 of the order; `weights` (candidates,) sum to 1."""
    hidden = {place for place, rule in rules if rule.action == "hide"}
    if len(hidden) == len(weights):
        rules, hidden = [(place, rule) for place, rule in rules if rule.action != "hide"], set()
    rules = sorted(rules, key=lambda each: ACTIONS.index(each[1].action))
    seen = [place for place in range(len(weights)) if place not in hidden]
    factors, floors = (
        {place: rule.amount for place, rule in rules if rule.action == action} for action in ("multiply", "floor")
    )
    scaled = _shares({place: weights[place] * factors.get(place, 1.0) for place in seen})
    shares = _lifted(scaled, floors) if floors else scaled
    order = _placed(
        sorted(seen, key=shares.__getitem__, reverse=True), [each for each in rules if each[1].action == "pin"]
    )
    return Settled([shares.get(place, 0.0) for place in range(len(weights))], order, rules)


def _shares(weights: Mapping[int, float]) -> dict[int, float]:
    """The same in proportion, summing to 1; where nothing has any weight, all have the same."""
    total = math.fsum(weights.values())
    if not total:
        return dict.fromkeys(weights, 1 / len(weights))
    return {place: weight / total for place, weight in weights.items()}


def _lifted(shares: Mapping[int, float], floors: Mapping[int, float]) -> dict[int, float]:
    """The shares with none below its floor: what is below is lifted to it, at the cost of all others in proportion."""
    excess = max(1.0, math.fsum(floors.values()))
    lifted: dict[int, float] = {}
    low = {place: floor / excess for place, floor in floors.items() if shares[place] < floor / excess}
    scale = 1.0
    while low:
        lifted |= low
        rest = math.fsum(share for place, share in shares.items() if place not in lifted)
        scale = max(0.0, 1 - math.fsum(lifted.values())) / rest if rest else 0.0
        others = ((place, floor / excess) for place, floor in floors.items() if place not in lifted)
        low = {place: floor for place, floor in others if shares[place] * scale < floor}
    return _shares({place: lifted.get(place, share * scale) for place, share in shares.items()})


def _placed(order: Sequence[int], pins: Chosen) -> list[int]:
    """The order with pinned candidates at their places."""
    places: list[int | None] = [None] * len(order)
    late: list[tuple[int, int]] = []
    for candidate, rule in sorted(pins, key=lambda each: each[1].precedence):
        place = min(int(rule.amount), len(order)) - 1
        if places[place] is None:
            places[place] = candidate
        else:
            late.append((place, candidate))
    for place, candidate in late:
        free = [number for number, taken in enumerate(places) if taken is None]
        places[next((number for number in free if number > place), free[-1])] = candidate
    pinned = set(places)
    others = iter([candidate for candidate in order if candidate not in pinned])
    return [next(others) if candidate is None else candidate for candidate in places]

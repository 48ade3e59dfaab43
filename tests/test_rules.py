"""What a rule may say, which of several holds, and what becomes of weights and their order."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadInput
from service.feedback.keys import EVERYTHING, attribute_field, kind_scope, query_scope
from service.rules import ACTIONS, AMOUNTS, Rule, book, chosen, read, settled, written

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = ("color", "material", "size", "price", "brand")
FIELDS = [attribute_field(name) for name in NAMES]
SCOPES = (query_scope("wool rug"), kind_scope("rug"), EVERYTHING)
HIDE: dict[str, Any] = {"id": "a", "attribute": "color", "action": "hide"}
PIN: dict[str, Any] = {"id": "a", "attribute": "color", "action": "pin", "position": 2}
SCOPED: list[dict[str, Any]] = [{"query": "wool rug"}, {"kind": "rug"}, {}]

amounts = {
    "hide": st.just({}),
    "multiply": st.builds(lambda amount: {"factor": amount}, st.floats(0.001, 1000)),
    "floor": st.builds(lambda amount: {"weight": amount}, st.floats(0.000001, 1)),
    "pin": st.builds(lambda amount: {"position": amount}, st.integers(1, 7)),
}


def contents(actions: Sequence[str] = ACTIONS) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(actions).flatmap(
        lambda action: st.builds(
            lambda amount, scope, name, identity: (
                {"id": identity, "action": action, "attribute": name} | amount | scope
            ),
            amounts[action],
            st.sampled_from(SCOPED),
            st.sampled_from(NAMES),
            st.text("abcdef", min_size=1, max_size=3),
        )
    )


def rules_of(actions: Sequence[str] = ACTIONS) -> st.SearchStrategy[list[Rule]]:
    made = st.builds(read, contents(actions), st.sampled_from(["file", "admin"]))
    return st.lists(made, max_size=8, unique_by=lambda rule: rule.id)


weights = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(
    lambda found: [each / (math.fsum(found) or 1) for each in found] if math.fsum(found) else [0.2] * 5
)


def held(rules: Sequence[Rule], names: Sequence[str] = NAMES, now: datetime = NOW) -> dict[str, set[str]]:
    """The ids of the rules that hold, by attribute."""
    found: dict[str, set[str]] = {}
    for place, rule in chosen(book(rules), SCOPES, [*map(attribute_field, names)], now):
        found.setdefault(names[place], set()).add(rule.id)
    return found


def rule(identity: str, action: str, amount: float = 0, attribute: str = "color", **more: Any) -> Rule:
    by = more.pop("by", "file")
    given = {AMOUNTS[action][0]: amount} if action in AMOUNTS else {}  # type: ignore[index]
    return read({"id": identity, "attribute": attribute, "action": action} | given | more, by)


@given(weights, rules_of())
def test_weights_sum_to_one_whatever_the_rules(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    assert math.fsum(result.weights) == pytest.approx(1)
    assert min(result.weights) >= 0


@given(weights, rules_of())
def test_every_candidate_is_in_the_order_once_unless_a_rule_hides_it(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    hidden = {place for place, each in result.chosen if each.action == "hide"}
    assert sorted(result.order) == [place for place in range(5) if place not in hidden]
    assert all(result.weights[place] == 0 for place in hidden)
    assert len(hidden) < 5


@given(weights, rules_of())
def test_floors_hold_or_are_scaled_to_one(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    floors = {place: each.amount for place, each in result.chosen if each.action == "floor"}
    excess = max(1.0, math.fsum(floors.values()))
    assert all(result.weights[place] >= floor / excess - 1e-9 for place, floor in floors.items())


@given(weights, rules_of())
def test_pins_to_places_of_their_own_hold(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    pins = [(min(int(each.amount), len(result.order)), place) for place, each in result.chosen if each.action == "pin"]
    for position, place in pins:
        if [wanted for wanted, _ in pins].count(position) == 1:
            clash = result.order[position - 1] in {other for _, other in pins} - {place}
            assert result.order[position - 1] == place and not clash


@given(weights, rules_of(("multiply", "floor", "hide")))
def test_without_pins_the_largest_weight_comes_first(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    ordered = [result.weights[place] for place in result.order]
    assert ordered == sorted(ordered, reverse=True)


@given(weights, rules_of(("pin",)))
def test_pins_change_no_weight_and_leave_the_others_in_their_order(found: list[float], rules: list[Rule]) -> None:
    result = settled(found, chosen(book(rules), SCOPES, FIELDS, NOW))
    assert result.weights == pytest.approx(found)
    pinned = {place for place, _ in result.chosen}
    others = [result.weights[place] for place in result.order if place not in pinned]
    assert others == sorted(others, reverse=True)


@given(rules_of(), st.randoms())
def test_the_order_in_which_rules_are_written_does_not_matter(rules: list[Rule], chance: Any) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)
    assert held(shuffled) == held(rules)


@given(rules_of())
def test_of_each_attribute_at_most_one_rule_of_an_action_holds_and_a_hide_alone(rules: list[Rule]) -> None:
    by_id = {each.id: each for each in rules}
    for identities in held(rules).values():
        actions = [by_id[identity].action for identity in identities]
        assert len(set(actions)) == len(actions)
        assert "hide" not in actions or len(actions) == 1


def test_multiplying_keeps_the_ratios_of_the_others() -> None:
    result = settled([0.5, 0.3, 0.2], [(2, rule("a", "multiply", 5))])
    assert result.weights == pytest.approx([0.5 / 1.8, 0.3 / 1.8, 1 / 1.8])


def test_a_floor_is_paid_for_by_the_others_in_proportion() -> None:
    result = settled([0.6, 0.3, 0.1], [(2, rule("a", "floor", 0.4))])
    assert result.weights == pytest.approx([0.4, 0.2, 0.4])


def test_a_floor_that_is_reached_anyway_changes_nothing() -> None:
    assert settled([0.6, 0.4], [(0, rule("a", "floor", 0.5))]).weights == pytest.approx([0.6, 0.4])


def test_a_floor_that_paying_for_another_breaks_is_lifted_too() -> None:
    result = settled([0.5, 0.35, 0.15], [(2, rule("a", "floor", 0.5)), (1, rule("b", "floor", 0.3))])
    assert result.weights == pytest.approx([0.2, 0.3, 0.5])


def test_floors_of_more_than_one_are_scaled() -> None:
    result = settled([0.5, 0.3, 0.2], [(0, rule("a", "floor", 1)), (1, rule("b", "floor", 0.6))])
    assert result.weights == pytest.approx([1 / 1.6, 0.6 / 1.6, 0])


def test_what_multiplying_makes_of_a_weight_is_what_its_floor_lifts() -> None:
    result = settled([0.5, 0.5], [(0, rule("a", "multiply", 0.001)), (0, rule("b", "floor", 0.25))])
    assert result.weights == pytest.approx([0.25, 0.75])


def test_what_is_left_when_all_weight_is_hidden_is_shared() -> None:
    assert settled([1.0, 0.0, 0.0], [(0, rule("a", "hide"))]).weights == pytest.approx([0, 0.5, 0.5])


def test_hides_that_would_leave_nothing_do_not_hold() -> None:
    result = settled([0.6, 0.4], [(0, rule("a", "hide")), (1, rule("b", "hide"))])
    assert (list(result.weights), list(result.order), list(result.chosen)) == ([0.6, 0.4], [0, 1], [])


def test_two_pins_to_one_place_go_by_scope_and_the_other_comes_next() -> None:
    narrow, wide = rule("z", "pin", 1, query="wool rug"), rule("a", "pin", 1)
    assert list(settled([0.5, 0.3, 0.2], [(1, wide), (2, narrow)]).order) == [2, 1, 0]


def test_who_comes_too_late_for_a_place_takes_none_that_another_is_pinned_to() -> None:
    pins = [(1, rule("a", "pin", 1)), (2, rule("b", "pin", 1)), (3, rule("c", "pin", 2))]
    assert list(settled([0.4, 0.3, 0.2, 0.1], pins).order) == [1, 3, 2, 0]


def test_a_pin_beyond_the_end_is_last() -> None:
    assert list(settled([0.5, 0.3, 0.2], [(0, rule("a", "pin", 9))]).order) == [1, 2, 0]


@pytest.mark.parametrize("action", ACTIONS)
def test_the_narrower_scope_holds(action: str) -> None:
    query, kind, wide = (rule(name, action, 1, **scope) for name, scope in zip("zya", SCOPED, strict=True))
    assert held([wide, kind, query]) == {"color": {"z"}}
    assert held([wide, kind]) == {"color": {"y"}}


def test_within_a_scope_a_call_goes_before_the_file_and_then_the_first_id() -> None:
    rules = [rule("a", "pin", 1), rule("c", "pin", 3, by="admin"), rule("b", "pin", 2, by="admin")]
    assert held(rules) == {"color": {"b"}}
    assert held(rules[:2]) == {"color": {"c"}}


def test_within_a_scope_hiding_goes_before_everything() -> None:
    assert held([rule("a", "pin", 1, by="admin"), rule("b", "hide")]) == {"color": {"b"}}


def test_a_narrower_rule_shows_what_a_wider_one_hides() -> None:
    assert held([rule("a", "pin", 1, query="wool rug"), rule("b", "hide")]) == {"color": {"a"}}


def test_different_actions_of_different_scopes_work_together() -> None:
    rules = [rule("a", "pin", 1, query="wool rug"), rule("b", "floor", 0.1, kind="rug"), rule("c", "multiply", 2)]
    assert held(rules) == {"color": {"a", "b", "c"}}


def test_other_queries_and_kinds_have_other_rules() -> None:
    rules = [rule("a", "hide", query="silk rug"), rule("b", "hide", kind="lamp")]
    assert held(rules) == {}


def test_case_width_and_blanks_do_not_count() -> None:
    rules = [rule("a", "hide", attribute=" COLOR ", query="  Wool ＲＵＧ")]
    assert held(rules) == {"color": {"a"}}
    assert held([rule("a", "hide")], ("Color", "size")) == {"Color": {"a"}}


def test_a_rule_holds_from_its_start_to_its_end() -> None:
    timed = [rule("a", "hide", start=NOW.isoformat(), end=(NOW + timedelta(hours=1)).isoformat())]
    moments = [NOW + timedelta(minutes=minutes) for minutes in (-1, 0, 59, 60)]
    assert [bool(held(timed, now=moment)) for moment in moments] == [False, True, True, False]


def test_a_rule_whose_time_is_over_gives_way_to_the_next() -> None:
    over = rule("a", "hide", query="wool rug", end=NOW.isoformat())
    assert held([over, rule("b", "pin", 1)]) == {"color": {"b"}}


@given(contents())
def test_what_is_written_reads_as_the_same_rule(content: dict[str, Any]) -> None:
    more = {"start": "2026-11-27T00:00:00+08:00", "end": "2026-12-01T00:00:00Z", "note": "Black Friday"}
    found = read(content | more, "file")
    assert read(written(found), "file") == found


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (HIDE | {"id": ""}, "id"),
        (HIDE | {"id": "two words"}, "id"),
        (HIDE | {"id": 7}, "id"),
        ({"attribute": "color", "action": "hide"}, "id"),
        (HIDE | {"attribute": " "}, "attribute"),
        (HIDE | {"attribute": "a" * 129}, "attribute"),
        (HIDE | {"attribute": 3}, "attribute"),
        ({"id": "a", "action": "hide"}, "attribute"),
        (HIDE | {"action": "boost"}, "action"),
        (HIDE | {"action": ["hide"]}, "action"),
        (HIDE | {"query": ""}, "query"),
        (HIDE | {"query": "a\0"}, "query"),
        (HIDE | {"query": "wool rug", "kind": "rug"}, "kind"),
        (HIDE | {"color": 1}, "color"),
        (HIDE | {"position": 1}, "position"),
        (PIN | {"factor": 2.0}, "factor"),
        (PIN | {"position": 0}, "position"),
        (PIN | {"position": 257}, "position"),
        (PIN | {"position": 1.0}, "position"),
        (PIN | {"position": True}, "position"),
        (HIDE | {"action": "pin"}, "position"),
        (HIDE | {"action": "multiply", "factor": 0}, "factor"),
        (HIDE | {"action": "multiply", "factor": math.nan}, "factor"),
        (HIDE | {"action": "multiply", "factor": "2"}, "factor"),
        (HIDE | {"action": "floor", "weight": 1.1}, "weight"),
        (HIDE | {"start": "soon"}, "start"),
        (HIDE | {"start": "2026-11-27T00:00:00"}, "start"),
        (HIDE | {"end": 5}, "end"),
        (HIDE | {"start": "2026-11-27T00:00:00Z", "end": "2026-11-27T00:00:00Z"}, "end"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_by_the_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as told:
        read(content, "file")
    assert told.value.field == field
    assert field in str(told.value)

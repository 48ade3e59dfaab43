"""Cohorts: people of like taste are found and told of together, and nobody is told of alone."""

import random
from collections.abc import Mapping, Sequence

import pytest

from service.evidence import HalfLives, Observed, observed
from service.feedback import keys
from service.feedback.cohorts import LEAST_MEMBERS, Profiles, nearest
from service.feedback.ledger import FIELDS_LEFT

NOW = 1000.0
COLOURS = tuple(f"colour {number}" for number in range(12))


def field(name: str, attribute: str = "color") -> bytes:
    return keys.value_field(attribute, name)


def person(chance: random.Random, liked: Sequence[str], choices: int = 40) -> dict[bytes, Observed]:
    """Somebody who chooses what is liked five times as often as the rest, among two colours each time."""
    found = {field(name): observed(0, 0, NOW, name) for name in COLOURS}
    for _ in range(choices):
        pair = chance.sample(COLOURS, 2)
        (chosen,) = chance.choices(pair, [5 if name in liked else 1 for name in pair])
        for name in pair:
            old = found[field(name)]
            found[field(name)] = observed(old.chosen_long + 0.5 * (name == chosen), old.expected_long + 0.25, NOW, name)
    return found


def profiles(people: Sequence[Mapping[bytes, Observed]], now: float = NOW) -> Profiles:
    found = Profiles(now, HalfLives(1e9, 1e9))
    for each in people:
        found.add(each)
    return found


def ratio(cohort: Mapping[bytes, Observed], names: Sequence[str]) -> float:
    found = [cohort[field(name)] for name in names]
    return sum(each.chosen_long for each in found) / sum(each.expected_long for each in found)


def expected(cohorts: Sequence[Mapping[bytes, Observed]]) -> float:
    return sum(each.expected_long for cohort in cohorts for each in cohort.values())


@pytest.mark.parametrize("most", [2, 8])
def test_two_tastes_make_two_cohorts_however_many_there_may_be(most: int) -> None:
    chance = random.Random(7)
    tastes = COLOURS[::2], COLOURS[1::2]
    people = [person(chance, tastes[number % 2]) for number in range(20)]
    found = profiles(people).shared().cohorts(most)
    assert len(found) == 2
    likings = sorted(((ratio(each, tastes[0]), ratio(each, tastes[1])) for each in found), key=lambda pair: pair[0])
    assert likings[0][1] > 1.3 > 0.7 > likings[0][0]
    assert likings[1][0] > 1.3 > 0.7 > likings[1][1]
    total = sum(each.chosen_long for cohort in found for each in cohort.values())
    assert total == pytest.approx(sum(each.chosen_long for one in people for each in one.values()), rel=0.05)


def test_of_people_of_one_taste_every_cohort_has_it() -> None:
    chance = random.Random(7)
    found = profiles([person(chance, COLOURS[:6]) for _ in range(20)]).shared().cohorts(8)
    assert 1 <= len(found) <= 3
    assert all(ratio(each, COLOURS[:6]) > 1.3 for each in found)


def test_few_people_are_no_cohort() -> None:
    chance = random.Random(7)
    people = [person(chance, COLOURS[:6]) for _ in range(2 * LEAST_MEMBERS)]
    assert profiles(people).shared().cohorts(8)
    assert not profiles(people[:-1]).shared().cohorts(8)
    assert not profiles([]).shared().cohorts(8)


def test_what_a_single_person_chose_is_told_of_nobody() -> None:
    chance = random.Random(7)
    people = [person(chance, COLOURS[:6]) for _ in range(20)]
    people[3][field("a name sewn on")] = observed(9, 1, NOW, "a name sewn on")
    found = profiles(people).shared().cohorts(8)
    assert found and all(field("a name sewn on") not in each for each in found)


def test_attributes_are_no_tastes_and_people_without_values_are_no_trouble() -> None:
    attributes = {keys.attribute_field("color"): observed(5, 1, NOW, "color")}
    assert not profiles([attributes] * 20).shared().cohorts(8)
    chance = random.Random(7)
    people = [person(chance, COLOURS[:6]) | attributes for _ in range(20)]
    (found,) = profiles([*people, attributes, {}]).shared().cohorts(8)
    assert all(map(keys.is_value, found))


def test_nobody_counts_for_much_more_than_others() -> None:
    chance = random.Random(7)
    people = [person(chance, COLOURS[:6]) for _ in range(19)]
    before = profiles(people).shared().cohorts(2)
    loud = {name: Observed(*[100 * part for part in each[:4]], NOW, "") for name, each in people[0].items()}
    found = profiles([*people, loud]).shared().cohorts(2)
    assert expected(found) < expected(before) * 24 / 19


def test_a_cohort_has_so_many_values_and_keeps_those_most_expected() -> None:
    values = {field(str(number)): observed(1, 1 + number, NOW, str(number)) for number in range(FIELDS_LEFT + 9)}
    (found,) = profiles([values] * 6).shared().cohorts(2)
    assert len(found) == FIELDS_LEFT
    assert field("8") not in found and found[field("9")].name == "9"


def test_old_choices_count_less() -> None:
    chance = random.Random(7)
    people = [person(chance, COLOURS[:6]) for _ in range(20)]
    later = Profiles(NOW + 100, HalfLives(50, 100))
    for each in people:
        later.add(each)
    new, old = profiles(people).shared().cohorts(2), later.shared().cohorts(2)
    assert expected(old) == pytest.approx(expected(new) / 2, rel=0.02)
    assert {each.at for cohort in old for each in cohort.values()} == {NOW + 100}
    shares = [each.expected_short / each.expected_long for cohort in old for each in cohort.values()]
    assert shares == pytest.approx([0.5] * len(shares))


def test_the_same_people_make_the_same_cohorts() -> None:
    chance = random.Random(7)
    people = [person(chance, COLOURS[number % 2 :: 2]) for number in range(20)]
    assert profiles(people).shared().cohorts(4) == profiles(people).shared().cohorts(4)


def test_the_nearest_cohort_is_the_more_likely_the_more_was_chosen() -> None:
    lifts = [{field("red"): -1.0, field("blue"): 1.0}, {field("red"): 1.0, field("blue"): -1.0, field("pink"): 2.0}]
    once = {field("red"): (0.5, 0.25), field("blue"): (0.0, 0.25)}
    often = {name: (10 * chosen, 10 * expected) for name, (chosen, expected) in once.items()}
    (place, sure), (same, surer) = nearest(once, lifts), nearest(often, lifts)
    assert (place, same) == (1, 1)
    assert 0.5 < sure < surer < 1
    assert nearest({}, lifts) == (0, 0.5)
    assert nearest({field("green"): (1, 1)}, lifts)[1] == 0.5

"""The mixture: people of like taste are found and told of together, and nobody is told of alone."""

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from service.evidence import HalfLives, Observed, Shrinkage, observed
from service.feedback import keys
from service.feedback.mixture import LEAST_MEMBERS, MOST_VALUES, Found, Profiles, Stopped

NOW = 1000.0
SHRINKAGE = Shrinkage(prior=20, short_share=0.2, limit=2)
COLOURS = tuple(f"colour {number}" for number in range(12))
FIRST = COLOURS[:6]


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


def people(count: int, tastes: int = 1, seed: int = 7) -> list[dict[bytes, Observed]]:
    """So many people in turn of so many tastes."""
    chance = random.Random(seed)
    liked = [COLOURS[taste::tastes] for taste in range(tastes)] if tastes > 1 else [FIRST]
    return [person(chance, liked[number % tastes]) for number in range(count)]


def profiles(of: Sequence[Mapping[bytes, Observed]], now: float = NOW, half_lives: float = 1e9) -> Profiles:
    found = Profiles(now, HalfLives(half_lives, half_lives))
    for each in of:
        found.add(each)
    return found


def cohorts(of: Sequence[Mapping[bytes, Observed]], most: int = 8) -> Found | None:
    return profiles(of).mixture(SHRINKAGE).cohorts(most)


def liking(found: Found, cohort: int, names: Sequence[str]) -> float:
    return float(np.mean([found.lifts[cohort, found.values.index(field(name))] for name in names]))


@pytest.mark.parametrize(("count", "tastes"), [(20, 1), (200, 1), (20, 2), (200, 2), (200, 4)])
def test_as_many_tastes_as_there_are_make_as_many_cohorts(count: int, tastes: int) -> None:
    found = cohorts(people(count, tastes))
    assert found and len(found.lifts) == tastes
    groups = [COLOURS[taste::tastes] for taste in range(tastes)] if tastes > 1 else [FIRST]
    for names in groups:
        likings = sorted(liking(found, cohort, names) for cohort in range(tastes))
        assert likings[-1] > 0.15
        assert all(each < 0.05 for each in likings[:-1])


def test_there_are_no_more_cohorts_than_there_may_be() -> None:
    found = cohorts(people(40, 4), 2)
    assert found and len(found.lifts) == 2
    assert cohorts(people(40, 4), 0) is None


def test_few_people_are_no_cohort() -> None:
    assert cohorts(people(LEAST_MEMBERS)) is not None
    assert cohorts(people(LEAST_MEMBERS - 1)) is None
    assert cohorts([]) is None


def test_a_handful_whose_taste_is_their_own_is_told_of_only_where_it_is_three() -> None:
    many = people(40, 2)
    for few in (2, 3):
        loners = [{field("gold"): observed(20, 4, NOW, ""), field("pearl"): observed(0, 16, NOW, "")}] * few
        found = cohorts([*many, *loners])
        assert found
        golden = [
            row for row in range(len(found.lifts)) if field("gold") in found.values and liking(found, row, ["gold"])
        ]
        assert len(golden) == (few == LEAST_MEMBERS)


def test_what_a_single_person_chose_is_told_of_nobody() -> None:
    many = people(20)
    many[3][field("a name sewn on")] = observed(9, 1, NOW, "a name sewn on")
    found = cohorts(many)
    assert found and field("a name sewn on") not in found.values


def test_attributes_are_no_tastes_and_people_without_values_are_none() -> None:
    attributes = {keys.attribute_field("color"): observed(5, 9, NOW, "color")}
    assert cohorts([attributes] * 20) is None
    many = [each | attributes for each in people(20)]
    found, alone = cohorts([*many, *[attributes, {}] * 30]), cohorts(many)
    assert found and alone and found.values == alone.values
    assert found.lifts == pytest.approx(alone.lifts)


def test_nobody_counts_for_much_more_than_others() -> None:
    many = people(19)
    loud = {
        name: Observed(*[100 * part for part in each[:4]], NOW, "")
        for name, each in person(random.Random(1), COLOURS[6:]).items()
    }
    found = cohorts([*many, loud], 1)
    assert found and liking(found, 0, FIRST) > 0.1


def test_of_many_values_the_most_expected_are_told() -> None:
    values = {field(str(number)): observed(2 + number, 1 + number, NOW, "") for number in range(MOST_VALUES + 9)}
    found = cohorts([values] * 6)
    assert found and len(found.values) == MOST_VALUES
    assert field("8") not in found.values and field("9") in found.values


def test_old_choices_count_less() -> None:
    now = profiles(people(20)).mixture(SHRINKAGE).cohorts(1)
    later = profiles(people(20), NOW + 300, half_lives=100).mixture(SHRINKAGE).cohorts(1)
    assert now and later and 0 < liking(later, 0, FIRST) < 0.8 * liking(now, 0, FIRST)


@pytest.mark.parametrize("sums", [0.0, 5e-324, 1e300])
def test_no_evidence_is_too_little_or_too_much(sums: float) -> None:
    strange = [{field("red"): observed(sums, sums, NOW, ""), field("blue"): observed(0, sums, NOW, "")}] * 4
    found = cohorts([*people(20), *strange])
    assert found and np.isfinite(found.lifts).all()


def test_the_same_people_make_the_same_cohorts() -> None:
    one, other = cohorts(people(20, 2)), cohorts(people(20, 2))
    assert one and other and one.values == other.values
    assert (one.lifts == other.lifts).all()


def test_it_stops_when_nobody_waits_any_more() -> None:
    asked: list[int] = []

    def after(times: int) -> Callable[[], bool]:
        return lambda: asked.append(0) or len(asked) > times

    with pytest.raises(Stopped):
        profiles(people(20, 2)).mixture(SHRINKAGE, after(3)).cohorts(8)
    assert len(asked) == 4

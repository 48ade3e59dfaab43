"""What behaviour adds to an answer: lifts by scope, chance, one person, and values that are wanted."""

import math
import random
from typing import Any

import numpy as np
import pytest
from fakes import EvidenceLedger, run
from hypothesis import given
from hypothesis import strategies as st

from service import scoring
from service.evidence import HalfLives, Observed, Shrinkage, observed
from service.feedback import keys
from service.feedback.cohorts import Cohorts
from service.feedback.dynamics import Behaviour, Bent, Dynamics, Names, Options
from service.feedback.people import Personal, divergence
from service.feedback.snapshots import Snapshots

LISTED = ("color", "size", "brand")
NAMES = Names(tuple(map(keys.attribute_field, LISTED)))
LOGITS = [2.0, 1.0, 0.0]
ANNA = keys.user_key("anna")
T = 1.5


def options(**changes: Any) -> Options:
    given: dict[str, Any] = {
        "half_lives": HalfLives(1e9, 1e9),
        "shrinkage": Shrinkage(prior=1e-6, short_share=0.5, limit=5),
        "value_prior": 1e-6,
        "strength": 1.0,
        "liking": 0.1,
        "explore": 0.0,
        "explore_scale": 0.3,
        "personal": Personal(0.5, 0.75, 1.0),
    }
    return Options(**(given | changes))


async def settled(
    ledger: EvidenceLedger,
    cohorts: Cohorts | None = None,
    *,
    kind: str | None = None,
    person: str = "",
    **changes: Any,
) -> Behaviour:
    dynamics = Dynamics(Snapshots(ledger), options(**changes), chance=random.Random(7), cohorts=lambda: cohorts)
    found = dynamics.begin("red rug", kind, person)
    await found.ready(10)
    return found


def bend(behaviour: Behaviour, temperature: float = T, logits: list[float] = LOGITS) -> Bent:
    return behaviour.bend(logits, NAMES, behaviour.noise(len(logits)), temperature, T)


def value(name: str, ratio: float) -> dict[bytes, Observed]:
    return {keys.value_field("color", name): observed(1000 * ratio, 1000, 1.0, name)}


def test_without_evidence_the_weights_are_the_models() -> None:
    async def work() -> None:
        found = bend(await settled(EvidenceLedger()))
        assert found.weights == found.alone == scoring.softmax(LOGITS, T)
        assert (found.evidence, found.own, found.explored) == (None, None, False)

    run(work)


def test_a_weight_goes_where_choices_by_expectation_say() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        wanted, model = [0.2, 0.5, 0.3], scoring.softmax(LOGITS, T)
        await ledger.say(keys.EVERYTHING, **{n: w / m for n, w, m in zip(LISTED, wanted, model, strict=True)})
        found = bend(await settled(ledger))
        assert found.weights == pytest.approx(wanted, abs=1e-6)
        assert found.evidence == pytest.approx([w - m for w, m in zip(wanted, model, strict=True)], abs=1e-6)

    run(work)


def test_a_sharper_temperature_sharpens_model_and_evidence_alike() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.EVERYTHING, brand=9)
        behaviour = await settled(ledger)
        squares = [weight**2 for weight in bend(behaviour).weights]
        assert bend(behaviour, T / 2).weights == pytest.approx([each / sum(squares) for each in squares])
        assert sum(bend(behaviour, 5e-324).weights) == 1

    run(work)


def test_the_narrowest_scope_with_evidence_has_the_word() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.EVERYTHING, color=4, size=4, brand=4)
        await ledger.say(keys.kind_scope("Rug"), color=1, size=0.5)
        await ledger.say(keys.query_scope("red RUG"), color=2)
        weights = bend(await settled(ledger, kind="rug")).weights
        raw = [weight * ratio for weight, ratio in zip(scoring.softmax(LOGITS, T), [2, 0.5, 4], strict=True)]
        assert weights == pytest.approx([each / sum(raw) for each in raw], abs=1e-6)

    run(work)


def test_a_query_seen_once_moves_by_next_to_nothing() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.add(keys.query_scope("red rug"), {NAMES.fields[2]: observed(1, 0.1, 1.0, "brand")})
        found = bend(await settled(ledger, shrinkage=Shrinkage(20, 0.5, 2)))
        assert found.evidence is not None
        assert 0 < max(found.evidence) < 0.01

    run(work)


def test_strength_0_collects_and_moves_nothing() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.EVERYTHING, color=4)
        found = bend(await settled(ledger, strength=0.0))
        assert (found.weights, found.evidence) == (scoring.softmax(LOGITS, T), None)

    run(work)


def test_a_person_moves_the_weights_within_the_bound() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.EVERYTHING, size=2)
        await ledger.say(ANNA, brand=20)
        common = bend(await settled(ledger)).weights
        found = bend(await settled(ledger, person=ANNA, personal=Personal(1.0, 0.7, 0.05)))
        assert found.common == common
        assert found.own is not None
        assert found.own[2] > 0
        assert divergence(found.weights, common) == pytest.approx(0.05)

    run(work)


def test_a_person_unknown_has_the_common_weights() -> None:
    async def work() -> None:
        found = bend(await settled(EvidenceLedger(), person=ANNA))
        assert found.own is None

    run(work)


def test_chance_moves_a_share_of_answers_and_says_so() -> None:
    async def work() -> None:
        behaviour = await settled(EvidenceLedger(), explore=0.25)
        found = [bend(behaviour) for _ in range(2000)]
        assert 0.2 < sum(each.explored for each in found) / 2000 < 0.3
        assert all(each.alone == scoring.softmax(LOGITS, T) for each in found)
        assert all((each.weights != each.alone) == each.explored for each in found)

    run(work)


def test_noise_has_its_standard_deviation_in_nats_of_the_weights() -> None:
    async def work() -> None:
        behaviour = await settled(EvidenceLedger(), explore=1.0, explore_scale=0.5)
        ratios = [math.log(each.weights[0] / each.weights[1]) for each in (bend(behaviour) for _ in range(4000))]
        mean = sum(ratios) / 4000
        assert mean == pytest.approx(1 / T, abs=0.05)
        assert sum((each - mean) ** 2 for each in ratios) / 4000 == pytest.approx(2 * 0.25, rel=0.1)

    run(work)


@given(
    logits=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    ratios=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
)
def test_whatever_is_seen_weights_sum_to_one_and_parts_to_nothing(logits: list[float], ratios: list[float]) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.EVERYTHING, **dict(zip(LISTED, ratios, strict=True)))
        await ledger.say(ANNA, **dict(zip(LISTED, reversed(ratios), strict=True)))
        found = bend(await settled(ledger, person=ANNA), logits=logits)
        assert math.fsum(found.weights) == pytest.approx(1)
        for part in (found.evidence, found.own):
            assert math.fsum(part or []) == pytest.approx(0, abs=1e-9)

    run(work)


def test_popular_values_of_the_query_are_preferred_and_unpopular_ones_are_not() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.add(keys.query_scope("red rug"), value("Navy", 3) | value("beige", 0.5))
        await ledger.add(keys.EVERYTHING, value("pink", 9))
        found = (await settled(ledger)).preferences(["Color", "size"])
        wanted = {"navy": 0.25 * math.tanh(math.log(3)), "beige": 0.25 * math.tanh(math.log(0.5))}
        assert found == {"Color": pytest.approx(wanted, abs=1e-6)}

    run(work)


def test_a_persons_values_are_balanced_with_popular_ones() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.add(keys.query_scope("red rug"), value("navy", 3))
        await ledger.add(ANNA, value("green", 3))
        (found,) = (await settled(ledger, person=ANNA)).preferences(["color"]).values()
        strength = math.tanh(math.log(3))
        assert found == pytest.approx({"green": 0.75 * strength, "navy": 0.25 * strength}, abs=1e-6)

    run(work)


COHORTS = Cohorts(
    [*value("green", 1), *value("navy", 1), *value("olive", 1)],
    np.log([[0.2, 4.0, 1.0], [5.0, 0.5, 2.0]]),
    until=math.inf,
)


def test_a_person_likes_what_people_of_like_taste_do() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.add(ANNA, value("green", 3))
        found = (await settled(ledger, COHORTS, person=ANNA)).preferences(["Color", "size"])
        wanted = {"green": math.log(3), "navy": math.log(0.5), "olive": math.log(2)}
        strengths = {name: 0.75 * math.tanh(lift) for name, lift in wanted.items()}
        assert found == {"Color": pytest.approx(strengths, abs=1e-3)}
        alone = (await settled(ledger, person=ANNA)).preferences(["Color"])
        assert alone == {"Color": pytest.approx({"green": strengths["green"]})}

    run(work)


def test_the_less_a_person_chose_the_more_is_what_others_like() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.add(ANNA, value("green", 3) | {keys.value_field("color", "navy"): observed(1, 1, 2e9, "")})
        found = (await settled(ledger, COHORTS, person=ANNA, value_prior=1.0)).preferences(["color"])["color"]
        between = math.log((1 + 0.5) / (1 + 1))
        assert found["navy"] == pytest.approx(0.75 * math.tanh(between), abs=1e-3)

    run(work)


def test_cohorts_say_nothing_of_whom_nothing_is_known_and_of_queries() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        assert (await settled(ledger, COHORTS, person=ANNA)).preferences(["color"]) == {}
        await ledger.add(keys.query_scope("red rug"), value("beige", 3))
        for person in ("", ANNA):
            found = (await settled(ledger, COHORTS, person=person)).preferences(["color"])["color"]
            assert [*found] == ["beige"]
        await ledger.add(ANNA, {keys.attribute_field("color"): observed(5, 1, 1.0, "color")})
        assert [*(await settled(ledger, COHORTS, person=ANNA)).preferences(["color"])["color"]] == ["beige"]

    run(work)


def test_other_cohorts_are_heard_as_soon_as_they_hold() -> None:
    async def work() -> None:
        ledger, hold = EvidenceLedger(), [COHORTS]
        await ledger.add(ANNA, value("green", 3))
        dynamics = Dynamics(Snapshots(ledger), options(), cohorts=lambda: hold[0])
        behaviour = dynamics.begin("red rug", None, ANNA)
        await behaviour.ready(10)
        before = behaviour.preferences(["color"])["color"]["navy"]
        hold[0] = Cohorts([*value("green", 1), *value("navy", 1)], np.log([[3.0, 3.0]]), until=1e9)
        assert before < 0 < behaviour.preferences(["color"])["color"]["navy"]

    run(work)


def test_a_choice_that_is_part_of_every_scope_counts_once() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        for scope in (keys.query_scope("red rug"), keys.kind_scope("rug"), keys.EVERYTHING):
            await ledger.say(scope, brand=3)
        shrinkage = Shrinkage(prior=1000, short_share=0.5, limit=5)
        found = await settled(ledger, kind="rug", shrinkage=shrinkage)
        alone = EvidenceLedger()
        await alone.say(keys.query_scope("red rug"), brand=3)
        once = await settled(alone, kind="rug", shrinkage=shrinkage)
        assert bend(found).weights == pytest.approx(bend(once).weights)

    run(work)


def test_a_choice_counts_once_also_where_the_scope_between_knows_nothing_of_it() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        for scope in (keys.query_scope("red rug"), keys.EVERYTHING):
            await ledger.say(scope, brand=3)
        shrinkage = Shrinkage(prior=1000, short_share=0.5, limit=5)
        without, beside = [await settled(ledger, kind=kind, shrinkage=shrinkage) for kind in (None, "rug")]
        assert bend(without).weights == pytest.approx(bend(beside).weights)

    run(work)


def test_what_was_shown_are_the_bundles_weights_whatever_temperature_was_asked_for() -> None:
    async def work() -> None:
        found = bend(await settled(EvidenceLedger()), temperature=5 * T)
        assert found.calibrated == scoring.softmax(LOGITS, T) != found.alone

    run(work)


def test_a_kind_that_is_known_late_counts_all_the_same() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.kind_scope("rug"), brand=9)
        behaviour = await settled(ledger)
        behaviour.of_kind("Rug")
        assert behaviour.waits
        await behaviour.ready(10)
        assert behaviour.scopes == (keys.query_scope("red rug"), keys.kind_scope("rug"), keys.EVERYTHING)
        assert bend(behaviour).evidence

    run(work)

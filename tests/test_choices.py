"""What a choice adds: exactly what was to be expected where nothing is preferred, more for what is."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.evidence import Observed
from service.feedback.choices import Additions, additions
from service.feedback.keys import (
    EVERYTHING,
    FACET_POSITIONS,
    POSITIONS,
    attribute_field,
    query_scope,
    user_key,
    value_field,
)
from service.feedback.positions import Propensities, prior
from service.feedback.shown import Shown, ShownProduct
from service.feedback.ubi import Event

PLACES = Propensities()
QUERY = query_scope("red wool rug")
NAMES = ("color", "material", "brand", "pile")
Values = Mapping[str, tuple[str, float]]


def listed(*products: Values, attributes: Mapping[str, float] | None = None) -> Shown:
    weights = attributes or dict.fromkeys(NAMES, 0.25)
    return Shown((QUERY, EVERYTHING), weights, [ShownProduct(str(n), each) for n, each in enumerate(products)])


def chose(
    product: int, action: str = "purchase", user: str = "", client: str = "c", dwell: float | None = None
) -> Event:
    return Event(action, 1_000.0, "q", client, user, str(product), dwell_s=dwell)


def facet(name: str, action: str = "facet_select") -> Event:
    return Event(action, 1_000.0, "q", "c", object_id=name, of_attribute=True)


def masses(found: Additions, key: str = EVERYTHING, kind: bytes = b"a:") -> dict[bytes, tuple[float, float]]:
    fields: Mapping[bytes, Observed] = found.evidence.get(key, {})
    return {field: (seen.chosen_long, seen.expected_long) for field, seen in fields.items() if field.startswith(kind)}


def added(all_of: list[tuple[float, dict[bytes, tuple[float, float]]]]) -> dict[bytes, tuple[float, float]]:
    """The sums of what many choices add, each as often as it says."""
    sums: dict[bytes, tuple[float, float]] = {}
    for times, each in all_of:
        for field, (chosen, expected) in each.items():
            before = sums.get(field, (0.0, 0.0))
            sums[field] = (before[0] + times * chosen, before[1] + times * expected)
    return sums


value = st.tuples(st.sampled_from(["red", "blue", "wool", "Acme"]), st.sampled_from([-1.0, 0.0, 0.0, 0.5, 1.0]))
product = st.dictionaries(st.sampled_from(NAMES), value, max_size=4)
products = st.lists(product, min_size=2, max_size=12)


def test_what_was_chosen_is_told_as_the_answer_called_it_with_its_place() -> None:
    shown = listed(*[{"color": ("red", 0.0)}, {"color": ("blue", 0.0)}] * 13, attributes={"Size": 0.5, "Color": 0.5})
    assert additions(facet("color"), shown, PLACES).chosen == ("Color", 2, 2, prior(2))
    assert additions(chose(1), shown, PLACES).chosen == ("1", 2, 20, prior(2))
    assert additions(chose(23), shown, PLACES).chosen == ("23", 24, 25, prior(24))
    assert additions(chose(30), shown, PLACES).chosen is None


@given(products)
def test_a_blind_chooser_gives_each_attribute_as_much_as_was_expected(each: list[Values]) -> None:
    shown = listed(*each)
    sums = added([(prior(n + 1), masses(additions(chose(n), shown, PLACES))) for n in range(len(each))])
    assert all(chosen == pytest.approx(expected) for chosen, expected in sums.values())


@given(products)
def test_a_blind_chooser_gives_each_value_as_much_as_was_expected(each: list[Values]) -> None:
    shown = listed(*each)
    sums = added([(prior(n + 1), masses(additions(chose(n), shown, PLACES), QUERY, b"v:")) for n in range(len(each))])
    assert all(chosen == pytest.approx(expected) for chosen, expected in sums.values())


@given(products, st.integers(0, 11))
def test_chosen_and_expected_each_sum_to_the_worth_of_the_action(each: list[Values], place: int) -> None:
    found = masses(additions(chose(place, "add_to_cart"), listed(*each), PLACES))
    for sums in zip(*found.values(), strict=True):
        assert sum(sums) == pytest.approx(0.5)


@given(products, st.integers(0, 11), st.permutations(NAMES))
def test_the_order_of_attributes_says_nothing_of_a_product(each: list[Values], place: int, names: list[str]) -> None:
    one = masses(additions(chose(place), listed(*each), PLACES))
    turned = listed(*each, attributes=dict.fromkeys(names, 0.25))
    other = masses(additions(chose(place), turned, PLACES))
    assert one.keys() == other.keys()
    assert all(one[field] == pytest.approx(other[field]) for field in one)


RUGS: list[Values] = [
    {"color": ("red", 0.0), "material": ("cotton", 0.0), "brand": ("Acme", 0.0)},
    {"color": ("red", 0.0), "material": ("wool", 1.0), "brand": ("Bolt", 0.0)},
    {"color": ("red", 0.0), "material": ("jute", 0.0), "brand": ("Acme", 0.0)},
    {"color": ("red", 0.0), "material": ("wool", 1.0), "brand": ("Acme", 0.0)},
]


@pytest.mark.parametrize("place", [1, 3])
def test_who_takes_what_the_query_states_speaks_for_that_attribute(place: int) -> None:
    chosen, expected = masses(additions(chose(place), listed(*RUGS), PLACES))[attribute_field("material")]
    assert chosen > expected


def test_what_all_products_share_says_nothing() -> None:
    assert attribute_field("color") not in masses(additions(chose(1), listed(*RUGS), PLACES))


def test_a_value_that_is_chosen_more_than_expected_is_told_from_those_passed_over() -> None:
    found = masses(additions(chose(1), listed(*RUGS), PLACES), QUERY, b"v:")
    wool, jute = found[value_field("material", "wool")], found[value_field("material", "jute")]
    assert wool[0] == 0.5 > wool[1], "what was chosen may as well have been the brand"
    assert jute[0] == 0.0 < jute[1]


def test_values_are_kept_for_the_query_and_the_person_and_attributes_for_all() -> None:
    found = additions(chose(1, user="u"), listed(*RUGS), PLACES)
    assert masses(found, QUERY) == masses(found, EVERYTHING) == masses(found, user_key("u")) != {}
    assert masses(found, QUERY, b"v:").keys() == masses(found, user_key("u"), b"v:").keys() != set()
    assert masses(found, EVERYTHING, b"v:") == {}


@given(products, st.integers(0, 11))
def test_a_choice_counts_once_for_the_query_and_for_a_person_once_for_each_attribute(
    each: list[Values], place: int
) -> None:
    found = additions(chose(place, "add_to_cart", user="u"), listed(*each), PLACES)
    own = masses(found, user_key("u"), b"v:")
    attributes = {field.partition(b"\0")[0] for field in own}
    for sums in zip(*masses(found, QUERY, b"v:").values(), strict=True):
        assert sum(sums) == pytest.approx(0.5)
    for sums in zip(*own.values(), strict=True):
        assert sum(sums) == pytest.approx(0.5 * len(attributes))


def test_values_are_counted_though_nearly_every_product_has_one_of_its_own() -> None:
    shown = listed(*({"brand": (f"b{n}", 0.0)} for n in range(12)))
    found = masses(additions(chose(1), shown, PLACES), QUERY, b"v:")
    assert len(found) == 12
    assert sum(expected for _, expected in found.values()) == pytest.approx(1)


def test_an_order_says_more_than_a_cart_than_a_long_stay_than_a_click_than_the_rest() -> None:
    actions = [("purchase", None), ("add_to_cart", None), ("click", 60.0), ("click", 1.0), ("watch", None)]
    found = [
        sum(seen for seen, _ in masses(additions(chose(1, act, dwell=dwell), listed(*RUGS), PLACES)).values())
        for act, dwell in actions
    ]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 5


@pytest.mark.parametrize("action", ["impression", "remove_from_cart", "scroll", ""])
def test_actions_that_speak_for_nothing_add_nothing(action: str) -> None:
    assert additions(chose(1, action), listed(*RUGS), PLACES) == Additions()


def test_a_choice_counts_for_its_place_and_its_list_for_its_length() -> None:
    found = masses(additions(chose(1), listed(*RUGS), PLACES), POSITIONS, b"p:")
    assert found == {b"p:2": (1.0, 0.0), b"p:4": (0.0, 1.0)}


def test_a_facet_counts_for_its_place_among_facets_against_what_the_prior_expected_there() -> None:
    shown = listed(*RUGS, attributes={"color": 0.5, "size": 0.5})
    found = additions(facet("size"), shown, PLACES._replace(facets=lambda _: 1.0))
    counted = masses(found, FACET_POSITIONS, b"p:")
    assert counted[b"p:1"] == pytest.approx((0.0, 1 / (1 + prior(2))))
    assert counted[b"p:2"] == pytest.approx((1.0, prior(2) / (1 + prior(2))))
    assert POSITIONS not in found.evidence


def test_facets_and_products_are_corrected_each_by_their_own_places() -> None:
    places = PLACES._replace(facets=lambda _: 0.3)
    found = [additions(event, listed(*RUGS), places).chosen for event in (facet("material"), chose(1))]
    assert found == [("material", 2, 4, 0.3), ("1", 2, 4, prior(2))]


def test_a_product_goes_by_either_of_its_names() -> None:
    event = Event("purchase", 1_000.0, "q", "c", object_id="ean", internal_id="1")
    assert additions(event, listed(*RUGS), PLACES) == additions(chose(1), listed(*RUGS), PLACES)


@pytest.mark.parametrize("shown", [None, listed(), listed(RUGS[0]), listed({}, {})], ids=str)
def test_without_anything_to_compare_with_no_attribute_gains(shown: Shown | None) -> None:
    assert masses(additions(chose(0), shown, PLACES)) == {}


def test_a_product_that_was_not_shown_adds_nothing() -> None:
    assert additions(chose(9), listed(*RUGS), PLACES) == Additions()


def test_a_facet_is_chosen_against_what_the_model_and_the_places_expected() -> None:
    shown = listed(attributes={"color": 0.6, "size": 0.3, "brand": 0.1})
    found = masses(additions(facet(" Size"), shown, PLACES._replace(facets=lambda _: 1.0)))
    assert found[b"a:size"] == pytest.approx((0.5, 0.15))
    assert found[b"a:color"] == pytest.approx((0.0, 0.3))
    assert found[b"a:brand"] == pytest.approx((0.0, 0.05))


@given(
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_facets_chosen_by_taste_move_the_logits_to_that_taste(model: list[float], taste: list[float]) -> None:
    shown = listed(attributes=dict(zip(NAMES, model, strict=True)))
    times = [likes * prior(place) for place, likes in enumerate(taste, 1)]
    sums = added([(n, masses(additions(facet(name), shown, PLACES))) for n, name in zip(times, NAMES, strict=True)])
    moved = [
        math.log(weight * sums[attribute_field(name)][0] / sums[attribute_field(name)][1] / likes)
        for name, weight, likes in zip(NAMES, model, taste, strict=True)
    ]
    assert moved == pytest.approx([moved[0]] * 4)


@pytest.mark.parametrize("event", [facet("unknown"), facet("color", "facet_remove"), facet("color", "impression")])
def test_facets_that_were_not_shown_or_not_chosen_add_nothing(event: Event) -> None:
    assert additions(event, listed(), PLACES) == Additions()


def test_one_attribute_alone_says_nothing() -> None:
    assert additions(facet("color"), listed(attributes={"color": 1.0}), PLACES) == Additions()


def test_the_cap_is_for_a_client_and_the_narrowest_scope() -> None:
    def capped(client: str, scope: str) -> str:
        return additions(chose(1, client=client), Shown((scope, EVERYTHING), *_parts()), PLACES).capped

    assert capped("a", QUERY) == capped("a", QUERY)
    assert len({capped("a", QUERY), capped("b", QUERY), capped("a", EVERYTHING), capped("", QUERY)}) == 4


def test_wider_scopes_are_capped_by_themselves() -> None:
    def wider(client: str, query: str) -> Mapping[str, str]:
        return additions(
            chose(1, client=client), Shown((query, "scope:kind", EVERYTHING), *_parts()), PLACES
        ).capped_keys

    found = wider("a", QUERY)
    assert found == wider("a", "scope:other query")
    assert [*found] == ["scope:kind", EVERYTHING]
    assert len({*found.values(), *wider("b", QUERY).values()}) == 4


def _parts() -> tuple[Mapping[str, float], tuple[ShownProduct, ...]]:
    shown = listed(*RUGS)
    return shown.attributes, tuple(shown.products)

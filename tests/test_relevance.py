"""A product's score: what each part of a query adds to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle import Formula
from service.matching.parsing import Parser, Value
from service.matching.products import Product
from service.matching.units import Units
from service.relevance import Scored, Wishes

FORMULA = Formula(overlap=0.1, exclusion=0.2, strength=0.5, join=0.8)


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Units.read())


def cosine(one: str, other: str) -> float:
    """Texts are alike that begin alike."""
    return 0.5 if one[:1] == other[:1] else 0.1


def scored(parser: Parser, query: str, product: Product, **stated: str) -> Scored:
    """The score where each attribute weighs a half and the query states these values for sure."""
    wishes = Wishes(query, parser, FORMULA)
    wishes.weigh(dict.fromkeys(product.attributes, 0.5))
    for name, text in stated.items():
        wishes.state(name, [(text, query.index(text), query.index(text) + len(text), 1.0)])
    return wishes.scored(wishes.read(product), cosine)


def test_the_text_counts_by_its_cosine_and_its_words(parser: Parser) -> None:
    found = scored(parser, "red rug", Product("Red wool rugs", {}))
    assert (found.text.cosine, found.text.overlap, found.text.excluded) == (0.1, 1.0, 0.0)
    assert found.score == pytest.approx(0.1 + 0.1)


def test_words_with_digits_count_to_the_letter(parser: Parser) -> None:
    same, other = (scored(parser, "drill dcd771c2", Product(t, {})) for t in ("Drill DCD771C2", "Drill DCD777C2"))
    assert (same.text.exact, other.text.exact) == (1.0, 0.0)
    assert same.score - other.score == pytest.approx(0.15 + 0.1 / 2)
    assert scored(parser, "drill 20", Product("drill 20", {})).text.exact == 0.0


def test_a_product_without_a_title_is_read_by_its_values(parser: Parser) -> None:
    assert scored(parser, "red rug", Product("", {"kind": "rug", "color": "red"})).text.overlap == 1.0


def test_what_a_query_is_to_be_without_is_taken_out_of_its_text_and_counts_against_a_title(parser: Parser) -> None:
    has, lacks = (scored(parser, "chair without wheels", Product(t, {})) for t in ("Chair with wheels", "Chair"))
    assert (has.text.overlap, has.text.excluded) == (1.0, 1.0)
    assert (lacks.text.overlap, lacks.text.excluded) == (1.0, 0.0)
    assert has.score == pytest.approx(lacks.score - 0.2)


def test_of_what_a_query_is_to_be_without_each_counts_whole(parser: Parser) -> None:
    titles = ("Chair with wheels", "Chair with armrests", "Chair")
    found = [scored(parser, "chair without armrests or wheels", Product(t, {})).text.excluded for t in titles]
    assert found == [1.0, 1.0, 0.0]


def test_a_value_that_nothing_is_wanted_of_tells_what_a_product_has_as_its_title_does(parser: Parser) -> None:
    values: list[Value] = ["armrests, wheels", ["wheels", "padded"], "no wheels", "anti-wheel", "padded", 4]
    found = [scored(parser, "chair without wheels", Product("Chair", {"with": v})).text.excluded for v in values]
    assert found == [1.0, 1.0, -1.0, -1.0, 0.0, 0.0]
    both = Product("Chair without wheels", {"parts": "wheels"})
    assert scored(parser, "chair without wheels", both).text.excluded == 1.0


def test_values_of_what_a_product_is_free_of_deny(parser: Parser) -> None:
    names = ("allergen free", "free_from", "不含成分", "allergens")
    found = [scored(parser, "gluten free bread", Product("Bread", {n: "gluten"})).text.excluded for n in names]
    assert found == [-1.0, -1.0, -1.0, 1.0]


def test_a_value_of_an_attribute_with_other_wishes_tells_what_the_product_has(parser: Parser) -> None:
    product = Product("Dress", {"material": "spandex"})
    found = scored(parser, "dress without polyester, nylon or spandex", product, material="nylon")
    assert found.text.excluded == 1.0
    named = scored(parser, "dress without spandex", product, material="spandex")
    assert named.text.excluded == 0.0 and named.terms[0].match == -1.0


def test_a_number_beside_its_attributes_name_is_that_number(parser: Parser) -> None:
    right, wrong = matched(parser, "spf 50 sunscreen", 50, 30, name="spf", texts=("spf 50",))
    assert right == 1.0 and wrong < 0


def test_a_title_that_denies_what_the_query_negates_is_better_than_one_that_says_nothing(parser: Parser) -> None:
    denies, silent = (scored(parser, "non slip mat", Product(t, {})) for t in ("Non-slip mat", "mat"))
    assert denies.text.excluded == -1.0
    assert denies.score > silent.score


@pytest.mark.parametrize("title", ["Anti-Slip Bath Mat", "Slip-resistant mat", "Non-slip mat"])
def test_a_title_that_keeps_off_what_the_query_negates_denies_it(parser: Parser, title: str) -> None:
    assert scored(parser, "non slip mat", Product(title, {})).text.excluded == -1.0


def test_a_title_that_says_elsewhere_what_it_keeps_off_has_it(parser: Parser) -> None:
    assert scored(parser, "non slip mat", Product("Slip mat, slip-resistant", {})).text.excluded == 0.0


def test_what_is_waterproof_is_not_without_water(parser: Parser) -> None:
    boots = scored(
        parser, "waterproof boots", Product("Waterproof boots", {"feature": "waterproof"}), feature="waterproof"
    )
    assert (boots.text.excluded, boots.terms[0].match) == (0.0, 1.0)
    resistant = Product("boots", {"feature": "highly water resistant"})
    assert scored(parser, "water resistant boots", resistant, feature="water resistant").terms[0].match > 0


def test_a_value_that_is_stated_counts_for_a_product_that_has_it_and_against_another(parser: Parser) -> None:
    same, other = (
        scored(parser, "red rug", Product("rug", {"color": value}), color="red") for value in ("red", "blue")
    )
    assert [(t.attribute, t.weight, t.wanted, t.found, t.match) for t in same.terms] == [
        ("color", 0.5, ("red",), "red", 1.0)
    ]
    assert same.terms[0].value == pytest.approx(0.5 * 0.5)
    assert other.terms[0].match == -1.0
    assert same.score - other.score == pytest.approx(2 * 0.5 * 0.5)


def test_a_value_that_the_query_negates_counts_against_a_product_that_has_it(parser: Parser) -> None:
    product = Product("bag", {"material": "leather"})
    assert scored(parser, "bag not leather", product, material="leather").terms[0].match == -1.0


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("bag anything but leather", "but leather"),
        ("bag other than leather", "than leather"),
        ("bag that isn't leather", "isn't leather"),
        ("bag of any material except leather", "material except leather"),
    ],
)
def test_a_part_of_the_cue_in_a_stated_value_does_not_make_it_wanted(parser: Parser, query: str, text: str) -> None:
    has, other = matched(parser, query, "leather", "wool", name="material", texts=(text,))
    assert has == -1.0 and other > 0


def matched(parser: Parser, query: str, *values: Value, name: str, texts: tuple[str, ...] = ()) -> list[float]:
    """The match of each value of an attribute of which the query states these texts; 0 where there is no term."""
    wishes = Wishes(query, parser, FORMULA)
    wishes.weigh({name: 0.5})
    wishes.state(name, [(text, query.index(text), query.index(text) + len(text), 1.0) for text in texts])
    wishes.name(name, name)
    products = [Product("", {name: value}) for value in values]
    for _ in wishes.measure({name: name}, products):
        pass
    found = [wishes.scored(wishes.read(product), cosine).terms for product in products]
    return [terms[0].match if terms else 0.0 for terms in found]


@pytest.mark.parametrize(
    ("query", "name", "yes"),
    [
        ("non slip mat", "non-slip", True),
        ("mat with slip", "non-slip", False),
        ("bpa free bottle", "BPA free", True),
        ("sugar-free sweets", "is sugar free", True),
        ("sweets no sugar", "sugar", False),
        ("chair without wheels", "wheels", False),
        ("chair with wheels", "has wheels", True),
        ("nonstick pan", "non stick", True),
        ("waterproof boots", "waterproof", True),
        ("desk no assembly required", "assembly_required", False),
        ("armless chair", "arms", False),
        ("无糖饼干", "无糖", True),
        ("防水手表", "是否防水", True),
    ],
)
def test_a_yes_or_no_answers_a_query_that_has_its_attributes_name(
    parser: Parser, query: str, name: str, yes: bool
) -> None:
    sign = 1.0 if yes else -1.0
    assert matched(parser, query, True, "yes", 1, False, "no", "0", name=name) == [sign] * 3 + [-sign] * 3


def test_a_number_answers_whether_there_are_any_and_not_how_many(parser: Parser) -> None:
    assert matched(parser, "desk without drawers", 0, 1, 3, name="drawers") == [1.0, -1.0, -1.0]
    assert matched(parser, "desk with drawers", 0, 1, 3, name="drawers") == [-1.0, 1.0, 0.0]
    one, four = matched(parser, "hub with 4 ports", 1, 4, name="ports")
    assert one < 0 and four == 1.0


def test_a_yes_or_no_of_what_the_query_does_not_name_says_nothing(parser: Parser) -> None:
    assert matched(parser, "red office chair", True, False, name="wheels") == [0.0, 0.0]
    assert matched(parser, "warm boots", True, False, name="has") == [0.0, 0.0]


def test_what_is_no_yes_or_no_is_compared_with_what_the_query_states(parser: Parser) -> None:
    assert matched(parser, "waterproof boots", "waterproof", 7, name="waterproof", texts=("waterproof",)) == [1.0, 0.0]


@pytest.mark.parametrize("value", ["Anti-Slip", "slip resistant sole", "slip-proof", "Non-slip"])
def test_a_value_that_keeps_off_what_is_negated_agrees(parser: Parser, value: str) -> None:
    assert matched(parser, "non-slip mat", value, name="feature", texts=("non-slip",)) == [1.0]


@pytest.mark.parametrize(
    ("query", "stated", "best"),
    [
        ("red or blue shirt", "red or blue", {"red", "blue"}),
        ("size 8 or 9 shoes", "size 8 or 9", {"8", "9"}),
        ("红色或者蓝色地毯", "红色或者蓝色", {"红色", "蓝色"}),
        ("trick or treat bag", "trick or treat", {"trick or treat", "trick", "treat"}),
        ("tv 27 inch or larger", "27 inch or larger", {"27 inch", "32 inch"}),
    ],
)
def test_of_alternatives_that_are_read_as_one_value_the_best_counts(
    parser: Parser, query: str, stated: str, best: set[str]
) -> None:
    values = sorted(best | {"7", "green", "24 inch"})
    found = [scored(parser, query, Product("", {"a": value}), a=stated) for value in values]
    matches = [sum(term.match for term in one.terms) for one in found]
    assert {value for value, match in zip(values, matches, strict=True) if match == max(matches)} == best
    assert max(matches) == 1


@pytest.mark.parametrize("query", ["red or blue rug", "red/blue rug", "rug in red or in blue"])
def test_of_alternatives_the_best_counts(parser: Parser, query: str) -> None:
    red, blue, green = matched(parser, query, "red", "blue", "green", name="color", texts=("red", "blue"))
    assert (red, blue) == (1.0, 1.0) and green < 0


def test_of_what_is_wanted_together_the_mean_counts(parser: Parser) -> None:
    both, one = matched(parser, "red and blue rug", "red, blue", "red", name="color", texts=("red", "blue"))
    assert both == 1.0 and one == pytest.approx(0.0)


def test_of_what_is_not_wanted_the_worst_counts(parser: Parser) -> None:
    red, blue, green = matched(
        parser, "rug not red or blue", "red", "blue", "green", name="color", texts=("red", "blue")
    )
    assert (red, blue) == (-1.0, -1.0) and green > 0


def test_a_quantity_that_nobody_read_is_wanted_of_the_attribute_that_has_such(parser: Parser) -> None:
    right, wrong = matched(parser, "laptop 16gb", "16 GB", "8 GB", name="memory")
    assert right == 1.0 and wrong < 0


@pytest.mark.parametrize(
    ("query", "texts", "good", "bad"),
    [
        ("watch between $50 and $100", ("$50",), "$75", "$150"),
        ("watch $50 to $100", ("$50", "$100"), "$75", "$150"),
        ("watch $50-$100", ("$100",), "$75", "$40"),
        ("watch above $50", ("$50",), "$80", "$40"),
        ("watch above $50 and below $100", ("$50", "$100"), "$75", "$150"),
        ("monitor 27 inch or larger", ("27",), "32 inch", "24 inch"),
        ("tv 50+ inch", ("50",), "65 inch", "43 inch"),
        ("cloth 50x60 cm", ("50x60",), "50cm x 60cm", "50in x 60in"),
        ("shelf not smaller than 5 ft", ("smaller than 5 ft",), "6 ft", "3 ft"),
    ],
)
def test_a_part_of_a_quantity_that_is_stated_is_the_whole_of_it(
    parser: Parser, query: str, texts: tuple[str, ...], good: str, bad: str
) -> None:
    right, wrong = matched(parser, query, good, bad, name="x", texts=texts)
    assert right == 1.0 and wrong < -0.5


@pytest.mark.parametrize(
    ("query", "text", "same"),
    [("rug 8 ft x 10 ft", "8 ft", "8 feet"), ("4 drawers dresser", "drawers dresser", "drawers dresser")],
)
def test_one_side_or_a_unit_alone_stays_as_it_is_stated(parser: Parser, query: str, text: str, same: str) -> None:
    assert matched(parser, query, same, name="x", texts=(text,)) == [1.0]


def test_a_comparison_is_no_negation(parser: Parser) -> None:
    assert Wishes("shelf not larger than 10 inch", parser, FORMULA).affirmed == "shelf not larger than 10 inch"


def measured(parser: Parser, query: str, **values: str) -> list[str]:
    """The attributes of which something is wanted."""
    wishes, product = Wishes(query, parser, FORMULA), Product("", values)
    for _ in wishes.measure({name: name for name in values}, [product]):
        pass
    return [name for name in values if wishes.wanted(name)]


def test_where_several_attributes_have_such_quantities_the_one_that_the_query_names_is_meant(parser: Parser) -> None:
    values = {"memory": "16 GB", "disk": "512 GB", "screen": "15 inch"}
    assert measured(parser, "laptop 16gb", **values) == []
    assert measured(parser, "laptop 16gb memory", **values) == ["memory"]
    assert measured(parser, "laptop 16gb memory 512gb", **values) == ["memory", "disk"]


@pytest.mark.parametrize("query", ["unlocked 5g phone", "2.4g wireless mouse", "手机 16g内存"])
def test_what_may_be_no_grams_is_wanted_of_a_weight_only_where_the_query_names_it(parser: Parser, query: str) -> None:
    assert measured(parser, query, weight="180 g", 重量="180克") == []
    assert measured(parser, f"{query} weight", weight="180 g", price="5 dollars") == ["weight"]
    assert measured(parser, "180 grams phone", weight="180 g", price="5 dollars") == ["weight"]


def test_a_chinese_size_is_no_length(parser: Parser) -> None:
    assert measured(parser, "女鞋 38码", 跟高="5厘米") == []


def test_a_quantity_that_is_stated_or_negated_is_not_wanted_again(parser: Parser) -> None:
    assert matched(parser, "laptop 16gb", "8 GB", name="memory", texts=("16gb",))[0] < 0
    wishes, product = Wishes("laptop 16gb", parser, FORMULA), Product("", {"memory": "16 GB", "disk": "16 GB"})
    wishes.state("memory", [("16gb", 7, 11, 1.0)])
    for _ in wishes.measure({"memory": "memory", "disk": "disk"}, [product]):
        pass
    assert not wishes.wanted("disk")
    assert measured(parser, "laptop without 16gb", memory="16 GB") == []


def test_a_query_that_only_says_what_it_does_not_want_asks_for_its_last_word(parser: Parser) -> None:
    assert Wishes("not red or blue shirt", parser, FORMULA).affirmed == "shirt"
    assert Wishes("I don't want red shoes", parser, FORMULA).affirmed == "shoes"
    assert Wishes("without wheels", parser, FORMULA).affirmed == "without wheels"


def test_words_of_other_forms_are_the_same_words(parser: Parser) -> None:
    assert scored(parser, "ｒｅｄ rug", Product("Red rug", {})).text.overlap == 1.0


def test_a_blank_title_is_none(parser: Parser) -> None:
    assert scored(parser, "red rug", Product("  ", {"kind": "rug", "color": "red"})).text.overlap == 1.0


def test_an_attribute_that_is_not_stated_adds_nothing(parser: Parser) -> None:
    assert scored(parser, "red rug", Product("rug", {"material": "wool"})).terms == ()


def test_what_is_wanted_is_told_also_where_the_value_has_nothing_to_do_with_it(parser: Parser) -> None:
    found = scored(parser, "waterproof boots", Product("boots", {"rating": 4, "sole": "n/a"}), rating="waterproof")
    assert [(term.attribute, term.match, term.value) for term in found.terms] == [("rating", 0.0, 0.0)]


def test_a_list_is_near_to_what_is_wanted_as_a_text_is(parser: Parser) -> None:
    values: list[Value] = ["warm, soft", ["warm", "soft"]]
    products = [Product("rug", {"feel": value}) for value in values]
    text, listed = (scored(parser, "woolly rug", product, feel="woolly").terms for product in products)
    assert text[0].match == listed[0].match < 0


def test_who_prefers_other_values_gains_little_by_any_one_of_these(parser: Parser) -> None:
    wishes = Wishes("rug", parser, FORMULA)
    wishes.prefer("color", wishes.preferring({"red": -1.0}))
    wishes.prefer("finish", wishes.preferring({"non slip": -1.0}))
    products = [Product("rug", {"color": color}) for color in ("red", "blue")]
    products += [Product("rug", {"finish": finish}) for finish in ("non-slip", "slip")]
    matches = [wishes.scored(wishes.read(each), cosine).terms[0].match for each in products]
    assert matches == [-1.0, 0.25, -1.0, 1.0]


def test_preferences_step_in_with_their_strength_and_sign(parser: Parser) -> None:
    wishes = Wishes("rug", parser, FORMULA)
    wishes.weigh({"color": 0.5})
    wishes.prefer("color", wishes.preferring({"red": 0.5, "blue": -1.0}))
    products = [wishes.read(Product("rug", {"color": color})) for color in ("red", "blue")]
    matches = [wishes.scored(product, cosine).terms[0].match for product in products]
    assert matches == pytest.approx([(0.5 + 0.25) / 2, (-0.5 - 1.0) / 2])


def test_of_several_preferred_values_the_best_counts(parser: Parser) -> None:
    wishes = Wishes("rug", parser, FORMULA)
    wishes.weigh({"color": 0.5})
    wishes.prefer("color", wishes.preferring({"red": 1.0, "blue": 1.0, "black": 1.0, "pink": 0.0}))
    products = [wishes.read(Product("rug", {"color": color})) for color in ("red", "black", "green")]
    assert [wishes.scored(product, cosine).terms[0].match for product in products] == [1.0, 1.0, -1.0]


def test_a_liked_value_adds_to_the_score_whatever_its_attributes_weight(parser: Parser) -> None:
    wishes = Wishes("rug", parser, FORMULA)
    wishes.like(lambda name, value: 0.07 if (name, value) == ("color", "Navy  blue") else 0.0)
    liked, other = (wishes.scored(wishes.read(Product("rug", {"color": c})), cosine) for c in ("Navy  blue", "red"))
    assert liked.score - other.score == pytest.approx(0.07)
    assert liked.liked == (("color", "Navy  blue", 0.07),)


def test_what_is_stated_for_one_name_can_be_wanted_of_another(parser: Parser) -> None:
    wishes = Wishes("red rug", parser, FORMULA)
    wishes.weigh({"product_colour": 1.0})
    wishes.state("color", [("red", 0, 3, 1.0)])
    wishes.borrow("product_colour", "color")
    (term,) = wishes.scored(wishes.read(Product("rug", {"product_colour": "crimson"})), cosine).terms
    assert term.match > 0


def test_a_text_is_embedded_only_where_the_score_needs_it(parser: Parser) -> None:
    wishes = Wishes("red wool rug 8 ft", parser, FORMULA)
    for name, text in {"color": "red", "length": "8 ft", "feature": "wool"}.items():
        wishes.state(name, [(text, 0, 1, 1.0)])
    values: dict[str, Value] = {"color": "blue", "length": "10 ft", "feature": "made of silk", "care": "hand wash"}
    assert [*wishes.read(Product("Rug", values)).texts()] == ["Rug", "made of silk"]
    assert [*wishes.own_texts()] == ["red wool rug 8 ft", "red", "8 ft", "wool"]


VALUES = st.recursive(
    st.text(max_size=30) | st.booleans() | st.floats() | st.integers(),
    lambda each: st.lists(each, max_size=4),
    max_leaves=4,
).filter(lambda value: not isinstance(value, list) or not any(isinstance(each, list) for each in value))


@settings(deadline=None, max_examples=200)
@given(
    query=st.text(min_size=1, max_size=40),
    values=st.dictionaries(st.text(max_size=8), VALUES, max_size=4),
    wanted=st.text(min_size=1, max_size=20),
)
def test_terms_add_up_and_are_bounded_whatever_is_said(
    parser: Parser, query: str, values: dict[str, Value], wanted: str
) -> None:
    wishes = Wishes(query, parser, FORMULA)
    wishes.weigh(dict.fromkeys(values, 1 / max(1, len(values))))
    for name in values:
        wishes.state(name, [(wanted, 0, len(query), 0.9)])
    found = wishes.scored(wishes.read(Product("", values)), cosine)
    assert found.score == pytest.approx(found.text.value + sum(term.value for term in found.terms), abs=1e-9)
    assert all(-1 <= term.match <= 1 for term in found.terms)

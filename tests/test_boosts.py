"""Boosts for search engines: each string is read back by a small grammar written after the engine's documentation."""

import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.api.boosts import GRAMMARS, Engine, boosts

ENGINES: tuple[Engine, ...] = get_args(Engine)
NUMBER = r"\d+(?:\.\d+)?"
LABEL = r"""(?P<plain>[A-Za-z0-9_@][A-Za-z0-9_@$]*)|'(?P<tick>[^']*)'|"(?P<double>[^"]*)\""""
CELL = re.compile(rf"(?:{LABEL}):(?P<value>{NUMBER})")


def read_multi_match(fields: list[str]) -> dict[str, float]:
    """As the `fields` of `multi_match` are read: up to the first `^` the name, the rest a float."""
    found: dict[str, float] = {}
    for text in fields:
        name, _, boost = text.partition("^")
        assert all(part.strip() for part in name.split(".")), "a path with an empty part"
        assert re.fullmatch(NUMBER, boost)
        assert name not in found, "of two entries for one field only the last would count"
        found[name] = float(boost)
    return found


def read_qf(qf: str) -> dict[str, float]:
    """As eDisMax reads `qf`: parted by white space, then by `^`."""
    found: dict[str, float] = {}
    for text in qf.split():
        name, boost = text.split("^")
        assert re.fullmatch(NUMBER, boost)
        assert name not in found
        found[name] = float(boost)
    return found


def read_tensor(tensor: str) -> dict[str, float]:
    """The mapped short form of a tensor: `label = integer | identifier | 'string' | "string"`, no escapes."""
    assert tensor.startswith("{") and tensor.endswith("}")
    found: dict[str, float] = {}
    position = 1
    while position < len(tensor):
        cell = CELL.match(tensor, position)
        assert cell, f"no cell at {position}"
        label = cell["plain"] or cell["tick"] or cell["double"]
        assert label not in found
        found[label] = float(cell["value"])
        assert tensor[cell.end()] == ("}" if cell.end() == len(tensor) - 1 else ",")
        position = cell.end() + 1
    return found


def read(engine: Engine, answered: dict[str, Any]) -> dict[str, float]:
    """Field and boost, by the engine's own grammar."""
    if engine == "solr":
        return read_qf(answered["qf"])
    if engine == "vespa":
        return read_tensor(answered["input.query(weights)"])
    return read_multi_match(answered["fields"])


NAMES = st.one_of(
    st.text(min_size=1, max_size=128), st.text("^*. '\"\\{}:,~-_@$3a½ंr\u3000", min_size=1, max_size=12)
).filter(lambda name: name.strip())
WEIGHTS = st.lists(st.tuples(NAMES, st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda pair: pair[0])


@pytest.mark.parametrize("engine", ENGINES)
@given(weights=WEIGHTS, scale=st.floats(1e-3, 1e6), floor=st.floats(0, 1e6))
@settings(deadline=None)
def test_any_attribute_name_gives_what_the_engine_can_read(
    engine: Engine, weights: list[tuple[str, float]], scale: float, floor: float
) -> None:
    found = read(engine, boosts(engine, weights, attributes=256, fields={}, scale=scale, floor=floor))
    assert set(found) == {GRAMMARS[engine].own_name(name) for name, _ in weights}
    assert all(boost >= floor - 5e-7 for boost in found.values())


@pytest.mark.parametrize("engine", ENGINES)
@given(name=NAMES)
@settings(deadline=None)
def test_an_own_name_is_one_that_a_caller_may_give_and_stays_as_it_is(engine: Engine, name: str) -> None:
    own = GRAMMARS[engine].own_name(name)
    assert GRAMMARS[engine].is_legal(own)
    assert GRAMMARS[engine].own_name(own) == own


@pytest.mark.parametrize("engine", ENGINES)
@given(name=NAMES, boost=st.floats(0, 1e6))
@settings(deadline=None)
def test_any_legal_field_name_comes_back_as_it_was_given(engine: Engine, name: str, boost: float) -> None:
    field = name if GRAMMARS[engine].is_legal(name) else "colour"
    found = read(engine, boosts(engine, [("color", boost)], attributes=1, fields={"color": [field]}))
    assert found == {field: pytest.approx(boost, abs=1e-6)}


@given(name=NAMES)
@settings(deadline=None)
def test_solrs_own_names_are_those_it_recommends(name: str) -> None:
    own = GRAMMARS["solr"].own_name(name)
    assert not own[0].isdigit()
    assert not re.search(r"[\s^~.:*-]", own)


@pytest.mark.parametrize(
    ("attribute", "multi_match", "solr", "vespa"),
    [
        ("color", "color", "color", "color"),
        ("heel height", "heel height", "heel_height", "heel height"),
        ("T-shirt size", "T-shirt size", "T_shirt_size", "T-shirt size"),
        ("attributes.color", "attributes.color", "attributes_color", "attributes.color"),
        ("No.", "No_", "No", "No."),
        ("3.5 mm jack", "3.5 mm jack", "_3_5_mm_jack", "3.5 mm jack"),
        ("10^6*", "10_6_", "_10_6", "10^6*"),
        ("%", "%", "u0025", "%"),
        ("रंग", "रंग", "रंग", "रंग"),
        ("颜色", "颜色", "颜色", "颜色"),
        ("size\t", "size", "size", "size"),
        ("men's 6\"", "men's 6\"", "men_s_6", "men's 6_"),
    ],
)
def test_an_attribute_keeps_its_name_as_far_as_the_engine_takes_it(
    attribute: str, multi_match: str, solr: str, vespa: str
) -> None:
    assert [GRAMMARS[engine].own_name(attribute) for engine in ENGINES] == [multi_match, multi_match, solr, vespa]


def test_strings_are_those_of_the_documentation() -> None:
    weights = [("color", 0.6), ("heel height", 0.275), ("key's", 0.125)]
    made = {engine: boosts(engine, weights, attributes=4, fields={}) for engine in ENGINES}
    assert made["elasticsearch"] == made["opensearch"] == {"fields": ["color^2.4", "heel height^1.1", "key's^0.5"]}
    assert made["solr"] == {"qf": "color^2.4 heel_height^1.1 key_s^0.5"}
    assert made["vespa"] == {"input.query(weights)": "{color:2.4,'heel height':1.1,\"key's\":0.5}"}


def test_equal_weights_are_neutral() -> None:
    assert boosts("solr", [("a", 0.2), ("b", 0.2)], attributes=5, fields={}) == {"qf": "a^1 b^1"}


def test_each_field_of_an_attribute_has_its_whole_boost_once() -> None:
    fields = {"color": ["colour", "colour.en", "colour"]}
    made = boosts("opensearch", [("color", 0.5)], attributes=4, fields=fields)
    assert made == {"fields": ["colour^2", "colour.en^2"]}


def test_a_field_of_several_attributes_has_their_sum_and_its_place_by_it() -> None:
    fields = {"color": ["look"], "pattern": ["look"]}
    made = boosts("solr", [("size", 0.5), ("color", 0.3), ("pattern", 0.3)], attributes=1, fields=fields)
    assert made == {"qf": "look^0.6 size^0.5"}


def test_a_floor_lifts_a_fields_sum_and_leaves_nothing_out() -> None:
    weights = [("a", 0.9), ("b", 0.06), ("c", 0.04)]
    made = boosts("solr", weights, attributes=1, fields={"b": ["d"], "c": ["d"]}, scale=2, floor=0.5)
    assert made == {"qf": "a^1.8 d^0.5"}


@pytest.mark.parametrize(
    ("weight", "scale", "text"),
    [(1e-9, 1, "0"), (1e-6, 1, "0.000256"), (0.4375, 0.01, "1.12"), (1.0, 1, "256"), (1.0, 1e6, "256000000")],
)
def test_no_number_has_an_exponent_or_idle_zeros(weight: float, scale: float, text: str) -> None:
    assert boosts("solr", [("a", weight)], attributes=256, fields={}, scale=scale) == {"qf": f"a^{text}"}


BODY: dict[str, Any] = {
    "query": "red wool runner rug 2x8",
    "attributes": ["washing care", "color", "material", "size"],
}


def post(client: TestClient, body: object, path: str = "/v1/weights") -> Any:
    return client.post(path, content=json.dumps(body)).json()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_answers_boosts_are_its_weights_times_their_number(client: TestClient, engine: Engine) -> None:
    answer = post(client, BODY | {"format": engine, "boost_scale": 2.5})
    wanted = {GRAMMARS[engine].own_name(each["attribute"]): 2.5 * each["weight"] * 4 for each in answer["weights"]}
    assert read(engine, answer["boosts"]) == pytest.approx(wanted, abs=1e-6)


def test_a_format_changes_nothing_else(client: TestClient) -> None:
    post(client, BODY)
    plain, answer = post(client, BODY), post(client, BODY | {"format": "solr"})
    assert {key: value for key, value in answer.items() if key != "boosts"} == plain


def test_top_k_comes_before_the_boosts_and_rescales_nothing(client: TestClient) -> None:
    first, *_ = post(client, BODY | {"format": "elasticsearch"})["boosts"]["fields"]
    assert post(client, BODY | {"format": "elasticsearch", "top_k": 1})["boosts"] == {"fields": [first]}


def test_fields_are_mapped_and_floors_are_kept(client: TestClient) -> None:
    fields = {"color": ["color", "color.*"], "washing care": "care"}
    answer = post(client, BODY | {"format": "opensearch", "fields": fields, "boost_floor": 0.1})
    found = read_multi_match(answer["boosts"]["fields"])
    assert set(found) == {"color", "color.*", "care", "material", "size"}
    assert found["color"] == found["color.*"] > 1
    assert found["care"] == 0.1


def test_a_batch_gives_each_request_its_own_boosts(client: TestClient) -> None:
    requests = [BODY | {"format": engine} for engine in ENGINES] + [BODY, BODY | {"format": "lucene"}]
    *results, plain, bad = post(client, {"requests": requests}, "/v1/weights/batch")["results"]
    assert [read(engine, result["boosts"]) for engine, result in zip(ENGINES, results, strict=True)]
    assert "boosts" not in plain
    assert bad["error"]["field"] == "format"


def test_options_that_are_null_are_not_there(client: TestClient) -> None:
    nothing = {"format": None, "fields": None, "boost_scale": None, "boost_floor": None}
    assert "boosts" not in post(client, BODY | nothing)
    assert "boosts" in post(client, BODY | nothing | {"format": "solr"})


NAN, INFINITE = float("nan"), float("inf")
SOLR, ELASTIC = {"format": "solr"}, {"format": "elasticsearch"}
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown format": ({"format": "lucene"}, "literal_error", "format"),
    "unknown format with fields": ({"format": "lucene", "fields": {"color": "c"}}, "literal_error", "format"),
    "format a number": ({"format": 1}, "literal_error", "format"),
    "fields without format": ({"fields": {"color": "colour"}}, "without_format", "fields"),
    "no fields without format": ({"fields": {}}, "without_format", "fields"),
    "scale without format": ({"boost_scale": 1}, "without_format", "boost_scale"),
    "floor without format": ({"boost_floor": 0, "format": None}, "without_format", "boost_floor"),
    "attribute not asked for": (SOLR | {"fields": {"colour": "c"}}, "attribute_unknown", "fields"),
    "field with a boost": (ELASTIC | {"fields": {"color": "color^2"}}, "field_illegal", "fields"),
    "field with an end of a dot": (ELASTIC | {"fields": {"color": ["color", "color."]}}, "field_illegal", "fields"),
    "blank field": (ELASTIC | {"fields": {"color": " "}}, "field_illegal", "fields"),
    "two fields in one": (SOLR | {"fields": {"color": "color name"}}, "field_illegal", "fields"),
    "field of a digit": (SOLR | {"fields": {"color": "3color"}}, "field_illegal", "fields"),
    "pattern for Solr": (SOLR | {"fields": {"color": "color*"}}, "field_illegal", "fields"),
    "both quotes": ({"format": "vespa", "fields": {"color": "'\""}}, "field_illegal", "fields"),
    "NUL": ({"format": "vespa", "fields": {"color": "a\0"}}, "field_illegal", "fields"),
    "fields a list": (SOLR | {"fields": ["color"]}, "dict_type", "fields"),
    "too many fields": (SOLR | {"fields": {"color": ["c"] * 17}}, "too_long", "fields.color"),
    "no field": (SOLR | {"fields": {"color": []}}, "too_short", "fields.color"),
    "empty field": (SOLR | {"fields": {"color": ""}}, "string_too_short", "fields.color.0"),
    "long field": (SOLR | {"fields": {"color": ["c", "c" * 257]}}, "string_too_long", "fields.color.1"),
    "field a number": (SOLR | {"fields": {"color": 1}}, "list_type", "fields.color"),
    "257 attributes": (SOLR | {"fields": {str(i): "c" for i in range(257)}}, "too_long", "fields"),
    "scale zero": (SOLR | {"boost_scale": 0}, "greater_than_equal", "boost_scale"),
    "scale below zero": (SOLR | {"boost_scale": -1}, "greater_than_equal", "boost_scale"),
    "scale NaN": (SOLR | {"boost_scale": NAN}, "finite_number", "boost_scale"),
    "scale infinite": (SOLR | {"boost_scale": INFINITE}, "finite_number", "boost_scale"),
    "scale out of all bounds": (SOLR | {"boost_scale": 1e7}, "less_than_equal", "boost_scale"),
    "scale a text": (SOLR | {"boost_scale": "2"}, "float_type", "boost_scale"),
    "floor below zero": (SOLR | {"boost_floor": -0.1}, "greater_than_equal", "boost_floor"),
    "floor NaN": (SOLR | {"boost_floor": NAN}, "finite_number", "boost_floor"),
    "floor infinite": (SOLR | {"boost_floor": INFINITE}, "finite_number", "boost_floor"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_refused_with_their_code_and_field(client: TestClient, name: str) -> None:
    options, code, field = BAD[name]
    response = client.post("/v1/weights", content=json.dumps(BODY | options))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, code, field)
    assert error["message"].startswith(f"{field}: ")


def test_a_refused_field_is_told_with_its_attribute_and_the_rule(client: TestClient) -> None:
    message = post(client, BODY | SOLR | {"fields": {"color": "a b"}})["error"]["message"]
    assert "color" in message
    assert GRAMMARS["solr"].rule in message


def test_the_openapi_document_shows_boosts_and_a_request_for_them(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert any("format" in example for example in schemas["WeightsRequest"]["examples"])
    shown = schemas["WeightsAnswer"]["properties"]["boosts"]["examples"]
    assert [read(engine, example) for engine, example in zip(ENGINES[1:], shown, strict=True)]

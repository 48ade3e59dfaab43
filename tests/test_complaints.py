"""What does not fit is told in one sentence, by a place that can be found in the body."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from service.api.complaints import Complaint, complaint
from service.api.ranking import RankRequest
from service.api.reranking import CohereRequest
from service.api.schemas import WeightsRequest


def told(schema: type[BaseModel], body: object) -> Complaint:
    """What is said of a body first."""
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(body)
    return complaint(caught.value.errors()[0])


def rank(**options: Any) -> dict[str, Any]:
    return {"query": "rug", "products": [{"id": "a"}]} | options


def product(**fields: Any) -> dict[str, Any]:
    return rank(products=[{"id": "a"}, {"id": "b"} | fields])


LONG = "x" * 2_001
NAN = float("nan")


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        (rank(preferences={"": {"red": 1}}), "preferences", "a name is empty; give it one, or take it out"),
        (
            rank(preferences={LONG: {"red": 1}}),
            "preferences",
            f"a name must have at most 128 characters, and this one has more: {'x' * 32}…",
        ),
        (
            rank(preferences={"color": {LONG: 1}}),
            "preferences.color",
            f"a name must have at most 2,000 characters, and this one has more: {'x' * 32}…",
        ),
        (rank(preferences={"color": {"red": 5}}), "preferences.color.red", "it must be 1 or less"),
        (rank(preferences={"color": {"red": -5}}), "preferences.color.red", "it must be -1 or more"),
        (rank(preferences={"color": {"red": "x"}}), "preferences.color.red", "it must be a number"),
        (rank(preferences={"color": {"red": NAN}}), "preferences.color.red", "it must be a finite number"),
        (rank(preferences={"color": 3}), "preferences.color", "it must be an object of values by name"),
        (rank(preferences={"[key]": 3}), "preferences.[key]", "it must be an object of values by name"),
        (rank(explain=None), "explain", "it must be true or false, or be left out"),
        (rank(top_k=0), "top_k", "it must be 1 or more"),
        (rank(top_k=1.5), "top_k", "it must be a whole number"),
        (rank(products=None), "products", "it must be a list"),
        (rank(products=[]), "products", "it must have 1 or more elements"),
        (rank(products=[{}]), "products.0.id", "it is missing; add it"),
        (rank(products=[{"id": str(n)} for n in range(1_001)]), "products", "it must have at most 1,000 elements"),
        (product(id=3), "products.1.id", "it must be a text"),
        (product(id=""), "products.1.id", "it must have 1 or more characters"),
        (product(title=LONG), "products.1.title", "it must have at most 2,000 characters"),
        (product(attributes={"": "x"}), "products.1.attributes", "a name is empty; give it one, or take it out"),
        (rank(query=None), "query", "it must be a text"),
        ([], "body", "it must be an object"),
    ],
)
def test_what_does_not_fit_is_told_in_our_words(body: object, field: str, sentence: str) -> None:
    assert told(RankRequest, body) == (field, sentence)


def test_fields_that_there_are_not_are_told_with_the_way_out() -> None:
    field, sentence = told(RankRequest, product(titel="x"))
    assert field == "products.1.titel"
    assert sentence.startswith("there is no such field; take it out")


def test_too_many_names_are_counted() -> None:
    products = [{"id": str(n), "attributes": {f"{n}/{m}": 1 for m in range(199)}} for n in range(11)]
    sentence = "their attributes must have at most 2,000 names together, not 2,189"
    assert told(RankRequest, rank(products=products)) == ("products", sentence)


def test_what_is_there_twice_is_named_with_both_places() -> None:
    ids = ["b {first}", "a", "c", "a", "a"]
    sentence = '"a" stands at products.1.id, too; each may be there once'
    assert told(RankRequest, rank(products=[{"id": name} for name in ids])) == ("products.3.id", sentence)
    sentence = '"color" stands at attributes.0, too; each may be there once'
    body = {"query": "rug", "attributes": ["color", "size", " color"]}
    assert told(WeightsRequest, body) == ("attributes.2", sentence)


def test_an_attribute_called_body_keeps_its_place() -> None:
    field, _ = told(RankRequest, product(attributes={"body": {}}))
    assert field == "products.1.attributes.body"


def test_the_shape_of_a_document_is_no_part_of_its_place() -> None:
    body = {"query": "rug", "documents": ["a", {"attributes": {"": 1}}]}
    assert told(CohereRequest, body).field == "documents.1.attributes"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"temperature": 0}, "it must be above 0"),
        ({"format": "solr", "boost_scale": 1e9}, "it must be 1,000,000 or less"),
        ({"format": "x"}, "it must be 'opensearch', 'elasticsearch', 'solr' or 'vespa'"),
    ],
)
def test_limits_are_told(option: dict[str, Any], sentence: str) -> None:
    assert told(WeightsRequest, {"query": "rug", "attributes": ["a"]} | option).sentence == sentence


def test_what_pydantic_may_say_beside_that_is_told_in_its_words() -> None:
    (error,) = RequestValidationError([{"type": "another", "loc": ("body", "path"), "msg": "No."}]).errors()
    assert complaint(error) == ("path", "No.")


def test_places_are_cut() -> None:
    assert len(told(RankRequest, rank(**{LONG: 1})).field) == 200

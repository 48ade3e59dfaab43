"""Products in order, over HTTP: shapes with their limits, the route.

Knows: pydantic, the shape of requests and answers. Does not know: how products are scored.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal, NotRequired, Self

from fastapi import Request
from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints, model_validator
from pydantic_core import CoreSchema, PydanticCustomError
from typing_extensions import TypedDict

from service.api.direct import WhileConnected, counted
from service.api.schemas import (
    PRODUCT_TYPE,
    QUERY_ID,
    USER_ID,
    AppliedAnswer,
    Attribute,
    ModelName,
    ProductType,
    Query,
    QueryId,
    UserId,
    Wire,
    applied_answer,
    check_nul,
    check_once,
    model_name,
    tell_parts,
)
from service.api.showing import check_query_id, person_of, query_id_of
from service.api.state import state
from service.bundle import Bundle
from service.feedback.shown import MOST_PRODUCTS
from service.matching.parsing import Value
from service.matching.products import Product
from service.ranking import RankedProduct, Ranking

MAX_PRODUCTS, MAX_PRODUCT_ATTRIBUTES = 1_000, 200
MAX_NAMES = 2_000
MAX_TITLE_CHARACTERS = MAX_VALUE_CHARACTERS = 2_000
MAX_ELEMENTS = 64
MAX_PREFERENCES = 256

RUGS: dict[str, Any] = {
    "query": "red wool runner rug without fringe",
    "products": [
        {"id": "a", "title": "Wool runner rug, 2x8", "attributes": {"product_colour": "blue", "material": "wool"}},
        {"id": "b", "title": "Runner rug with fringe", "attributes": {"product_colour": "red", "material": "wool"}},
        {"id": "c", "title": "Runner rug", "attributes": {"product_colour": "crimson", "material": "wool"}},
    ],
}


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise PydanticCustomError("finite_number", "a number is not finite")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ValueText = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARACTERS)]
Number = Annotated[float, AfterValidator(_finite)]
Strength = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Strengths = Annotated[dict[ValueText, Strength], Field(max_length=MAX_ELEMENTS)]
ScalarValue = bool | int | Number | ValueText


class ValueShapes:
    """Annotates the union of shapes that a value may have: what is none of them is told once, not as a bad boolean."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        shapes: Any = handler(source)
        return {
            **shapes,
            "custom_error_type": "value_type",
            "custom_error_message": f"a value is a text of up to {MAX_VALUE_CHARACTERS:,} characters, a finite number, "
            f"true, false, null, or a list of up to {MAX_ELEMENTS} of these",
        }


Elements = Annotated[list[ScalarValue | None], Field(max_length=MAX_ELEMENTS)]
AnyValue = Annotated[ScalarValue | Elements, ValueShapes()] | None


class ProductRequest(Wire):
    """A product; without a title it is read by its values. What is null is as good as absent."""

    id: Id
    title: str | None = Field(None, max_length=MAX_TITLE_CHARACTERS)
    attributes: dict[Attribute, AnyValue] | None = Field(None, max_length=MAX_PRODUCT_ATTRIBUTES)


class RankRequest(Wire):
    """A query and the products to put in order.

    Their attributes may have 2,000 names together. Of more than 256 those that most products have are weighed; the
    others are read only as words of a product that has no title.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [RUGS, RUGS | {"explain": True, "preferences": {"material": {"wool": 0.5}}}]}
    )

    query: Query
    products: list[ProductRequest] = Field(
        description="Each with an id of its own. A value is a text, a number, a yes or no, or a list of these.",
        min_length=1,
        max_length=MAX_PRODUCTS,
    )
    top_k: int | None = Field(None, ge=1, description="Answer only the first so many.")
    explain: bool = Field(False, description="Also answer each score's `terms`: their values add up to it.")
    preferences: dict[Attribute, Strengths] | None = Field(
        None,
        description="How strongly values of attributes are wanted (below 0: not wanted) where the query states none.",
        max_length=MAX_PREFERENCES,
    )
    product_type: ProductType | None = Field(None, description=PRODUCT_TYPE)
    user_id: UserId | None = Field(
        None, description=f"{USER_ID} Values that they chose are preferred where `preferences` names none."
    )
    query_id: QueryId | None = Field(None, description=QUERY_ID)
    fallback: bool = Field(
        False,
        description="When the model cannot answer in time, rank by what is known and by words alone; `degraded` and "
        "`degraded_reason` then say so.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_once((product.id for product in self.products), "products", ".id")
        names = {name for product in self.products for name in product.attributes or ()}
        if len(names) > MAX_NAMES:
            told = {"field": "products", "count": f"{len(names):,}"}
            raise PydanticCustomError(
                "too_long", f"their attributes must have at most {MAX_NAMES:,} names together, not {{count}}", told
            )
        check_nul(self.query, "query")
        return self


class TextTermAnswer(TypedDict):
    """What the text adds: the cosine of the query (less what it negates) and the title, and by constants the share of
    its words that the title has, that of its words with letters and digits, and, taken off, that of the negated ones.
    """

    term: Literal["text"]
    cosine: float
    overlap: float
    exact: float
    excluded: float
    value: float


class AttributeTermAnswer(TypedDict):
    """What an attribute adds: `value` is its weight times the match, in [-1, 1], times a constant of the bundle."""

    term: Literal["attribute"]
    attribute: str
    weight: float
    wanted: list[str]
    found: Any
    match: float
    value: float


class LikedTermAnswer(TypedDict):
    """What a value adds that people choose more often than others, or less; `value` is below 0 where less.

    Where a rule multiplies the attribute's weight and makes it smaller, this is smaller by as much; never larger.
    """

    term: Literal["liked"]
    attribute: str
    found: Any
    value: float


class ResultAnswer(TypedDict):
    """A product; `index` is its place in the request. Its terms' values add up to the score."""

    id: str
    index: int
    score: float
    terms: NotRequired[list[TextTermAnswer | AttributeTermAnswer | LikedTermAnswer]]


class RankWeightAnswer(TypedDict):
    """The weight of an attribute of the products; `evidence` and `personal` are as in /v1/weights."""

    attribute: str
    weight: float
    evidence: NotRequired[float]
    personal: NotRequired[float]


class RankAnswer(TypedDict):
    """The products, best first, and the weights of their attributes, largest first, which sum to one.

    `rules`, where any was applied, are a merchandiser's; an attribute that one hides counts nothing in any score and is
    not among `weights`. `degraded` says whether anything was answered without the model, and `degraded_reason` why.
    `query_id`, `explored` and `personal` are as in /v1/weights.
    """

    results: list[ResultAnswer]
    weights: list[RankWeightAnswer]
    model: ModelName
    degraded: bool
    degraded_reason: NotRequired[str]
    rules: NotRequired[list[AppliedAnswer]]
    query_id: NotRequired[str]
    explored: NotRequired[Literal[True]]
    personal: NotRequired[Literal[True]]


async def rank(body: RankRequest, request: Request, deadline: float) -> RankAnswer:
    """Put products in the order of what they are worth to a query."""
    with state(request)["deployments"].current.used() as deployment, counted(state(request)["telemetry"]):
        check_query_id(request, body.query_id)
        person = person_of(request, body.user_id)
        products = [Product(each.title or "", known_values(each.attributes or {})) for each in body.products]
        ranking = await deployment.ranker.rank(
            body.query,
            products,
            preferences=body.preferences,
            kind=body.product_type,
            person=person,
            deadline=deadline,
            fallback=body.fallback,
            while_scoring=WhileConnected(request),
        )
    answer = _answer(ranking, body, deployment.bundle)
    answered = ((body.products[each.index].id, products[each.index], each) for each in ranking.products[: body.top_k])
    first = islice(answered, MOST_PRODUCTS)
    query_id = query_id_of(
        request, body.query_id, body.query, ranking.weighting, None, first, kind=body.product_type, named=bool(person)
    )
    if query_id:
        answer["query_id"] = query_id
    return answer


def known_values(attributes: Mapping[str, ScalarValue | list[ScalarValue | None] | None]) -> dict[str, Value]:
    """What is not null, of lists, too."""
    return {name: _without_null(value) for name, value in attributes.items() if value is not None}


def _without_null(value: ScalarValue | list[ScalarValue | None]) -> Value:
    return [each for each in value if each is not None] if isinstance(value, list) else value


def _answer(ranking: Ranking, body: RankRequest, bundle: Bundle) -> RankAnswer:
    weights = ranking.weighting.attributes if ranking.weighting else ()
    answer: RankAnswer = {
        "results": [_result(found, body) for found in ranking.products[: body.top_k]],
        "weights": [{"attribute": found.attribute, "weight": found.weight} for found in weights],
        "model": model_name(bundle),
        "degraded": bool(ranking.degraded),
    }
    if ranking.degraded:
        answer["degraded_reason"] = ranking.degraded
    if ranking.weighting and ranking.weighting.rules:
        answer["rules"] = applied_answer(ranking.weighting)
    if ranking.weighting and ranking.weighting.bent:
        tell_parts(answer, ranking.weighting.bent, weights)
    return answer


def _result(found: RankedProduct, body: RankRequest) -> ResultAnswer:
    result: ResultAnswer = {
        "id": body.products[found.index].id,
        "index": found.index,
        "score": found.scored.score,
    }
    if body.explain:
        result["terms"] = [*_terms(found)]
    return result


def _terms(found: RankedProduct) -> Iterator[TextTermAnswer | AttributeTermAnswer | LikedTermAnswer]:
    cosine, overlap, exact, excluded, value = found.scored.text
    yield {
        "term": "text",
        "cosine": cosine,
        "overlap": overlap,
        "exact": exact,
        "excluded": excluded,
        "value": value,
    }
    for term in found.scored.terms:
        yield {
            "term": "attribute",
            "attribute": term.attribute,
            "weight": term.weight,
            "wanted": [*term.wanted],
            "found": term.found,
            "match": term.match,
            "value": term.value,
        }
    for liked in found.scored.liked:
        yield {"term": "liked", "attribute": liked.attribute, "found": liked.found, "value": liked.value}

"""What goes over the wire, with its limits.

Knows: pydantic, the shape of requests and answers. Does not know: how an answer is found.
"""

from collections.abc import Iterable, Sequence, Set
from typing import Annotated, Any, Literal, NotRequired, Self, TypeVar, cast

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from service.api.boosts import GRAMMARS, Engine, boosts
from service.bundle import Bundle
from service.explaining import Explanation
from service.feedback.dynamics import Bent
from service.weighting import WeightedAttribute, Weighting

MAX_QUERY_CHARACTERS = 1024
MAX_ATTRIBUTES = 256
MAX_ATTRIBUTE_CHARACTERS = 128
MAX_PRODUCT_TYPE_CHARACTERS = 256
MAX_QUERY_ID_CHARACTERS = 128
MAX_BATCH = 64
MAX_FIELDS = 16
"""Of one attribute."""
MAX_FIELD_CHARACTERS = 256
MAX_USER_CHARACTERS = 256
LEAST_SCALE, MAX_BOOST = 0.001, 1_000_000

RUG: dict[str, Any] = {
    "query": "red wool runner rug 2x8",
    "attributes": ["washing care", "color", "material", "battery life", "size"],
}
BOOSTED: dict[str, Any] = RUG | {
    "format": "elasticsearch",
    "fields": {"color": ["color", "color.en"], "washing care": "care"},
    "boost_floor": 0.1,
}
BOOSTS: list[Any] = [
    {"fields": ["size^2.05", "color^1.92", "heel height^0.1"]},
    {"qf": "size^2.05 color^1.92 heel_height^0.1"},
    {"input.query(weights)": "{size:2.05,color:1.92,'heel height':0.1}"},
]


def _as_list(names: object) -> object:
    """One field name may stand for a list of one."""
    return [names] if isinstance(names, str) else names


Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARACTERS)]
Attribute = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ATTRIBUTE_CHARACTERS)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_FIELD_CHARACTERS)]
FieldNames = Annotated[list[FieldName], Field(min_length=1, max_length=MAX_FIELDS)]
OneOrMoreFields = Annotated[FieldNames, BeforeValidator(_as_list, json_schema_input_type=FieldName | FieldNames)]
FieldsByAttribute = dict[Attribute, OneOrMoreFields]
_Option = TypeVar("_Option")


class Wire(BaseModel):
    """A body: nothing in it is unknown, nothing of another kind is taken."""

    model_config = ConfigDict(extra="forbid", strict=True)


ProductType = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PRODUCT_TYPE_CHARACTERS)]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_USER_CHARACTERS)]
PRODUCT_TYPE = (
    "The kind of product, where the caller knows it; else the one that the query states, where an attribute "
    "is called so. Rules for that kind hold, and with feedback on, choices made for it count."
)
QueryId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_ID_CHARACTERS)]
QUERY_ID = (
    "With feedback on: your own id of this search, which events name; without it the answer has a new one. Weights and "
    "products of one page may share it; of two answers of one kind the later one is what events refer to."
)
USER_ID = "With feedback on: for whom the answer is; what they chose has a bounded part in it. A keyed hash is kept."


class WeightsRequest(Wire):
    """A query (or a product title) and the attributes to weigh."""

    model_config = ConfigDict(json_schema_extra={"examples": [RUG, RUG | {"top_k": 2, "explain": True}, BOOSTED]})

    query: Query = Field(description="What the shopper typed, or a product title.")
    attributes: list[Attribute] = Field(
        description="The candidates, each once.", min_length=1, max_length=MAX_ATTRIBUTES
    )
    top_k: int | None = Field(
        None, ge=1, description="Answer only the first so many. Weights are not rescaled: they sum to one over all."
    )
    temperature: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="T in softmax(logit / T), in place of the bundle's calibrated one; smaller is sharper.",
    )
    explain: bool = Field(
        False,
        description="Also answer each attribute's `logit`, its `base` (the logit of an empty query), and as its "
        "`explanation` how much each word of the query adds: the effects add up to `logit - base`. The model is asked "
        "about twice as many times as the query has words (24 at most; neighbours are taken together in a longer one), "
        "within the same time and queue; `top_k` keeps that small.",
    )
    fallback: bool = Field(
        False,
        description="When the model cannot answer in time, answer from the cache, and from how much each attribute "
        "matters on the whole where it knows nothing. `degraded` and `degraded_reason` then say so.",
    )
    product_type: ProductType | None = Field(None, description=PRODUCT_TYPE)
    user_id: UserId | None = Field(None, description=USER_ID)
    query_id: QueryId | None = Field(None, description=QUERY_ID)
    format: Engine | None = Field(
        None,
        description="Also answer the weights as this search engine's boosts: `fields` of `multi_match` (OpenSearch, "
        "Elasticsearch), `qf` of eDisMax (Solr), or a tensor for `input.query(weights)` (Vespa; the rank profile "
        "declares it with one mapped dimension). Those of the first `top_k` attributes, where that is given.",
    )
    fields: FieldsByAttribute | None = Field(
        None,
        max_length=MAX_ATTRIBUTES,
        description="With `format`: the field name of an attribute, or several. Each has the attribute's whole boost; "
        "a field of several attributes has the sum of their boosts. An attribute that is not here keeps its own name, "
        "with `_` for what the engine's field names cannot hold.",
    )
    boost_scale: float | None = Field(
        None,
        ge=LEAST_SCALE,
        le=MAX_BOOST,
        allow_inf_nan=False,
        description="With `format`: a boost is boost_scale × weight × number of attributes in the request. At 1, the "
        "default, an attribute of average weight has the boost 1, which is neutral.",
    )
    boost_floor: float | None = Field(
        None,
        ge=0,
        le=MAX_BOOST,
        allow_inf_nan=False,
        description="With `format`: smaller boosts are lifted to this one, so that a field is still searched; 0 by "
        "default. To leave fields out, use `top_k`.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_attributes(self.attributes)
        check_nul(self.query, "query")
        return self

    @field_validator("fields", "boost_scale", "boost_floor")
    @classmethod
    def _with_format(cls, option: _Option, info: ValidationInfo) -> _Option:
        if option is not None and "format" in info.data and info.data["format"] is None:
            raise PydanticCustomError("without_format", "it says how boosts are made; ask for a format, too")
        return option

    @field_validator("fields")
    @classmethod
    def _fields_of_the_engine(cls, fields: FieldsByAttribute | None, info: ValidationInfo) -> FieldsByAttribute | None:
        if fields and {"format", "attributes"} <= info.data.keys():
            _check_fields(info.data["format"], fields, set(info.data["attributes"]))
        return fields


def _check_fields(engine: Engine, fields: FieldsByAttribute, attributes: Set[str]) -> None:
    """Every attribute must be in the request and every field name legal for the engine."""
    rule = GRAMMARS[engine].rule
    for attribute, names in fields.items():
        if attribute not in attributes:
            raise PydanticCustomError(
                "attribute_unknown", "{attribute} is not among the request's attributes", {"attribute": attribute}
            )
        if not all(map(GRAMMARS[engine].is_legal, names)):
            told = {"attribute": attribute, "engine": engine, "rule": rule}
            raise PydanticCustomError("field_illegal", "of {attribute}: a field name for {engine} is {rule}", told)


def check_attributes(attributes: Sequence[str]) -> None:
    """Raises PydanticCustomError for an attribute listed twice and for a NUL."""
    check_once((attribute.strip() for attribute in attributes), "attributes")
    check_nuls(attributes, "attributes")


def check_once(texts: Iterable[str], field: str, part: str = "") -> None:
    """Raises PydanticCustomError for the first of a field's texts, or of such a part of its elements, that was there
    before.
    """
    places: dict[str, int] = {}
    for again, text in enumerate(texts):
        if (first := places.setdefault(text, again)) < again:
            told = {"text": text, "first": f"{field}.{first}{part}", "field": f"{field}.{again}{part}"}
            raise PydanticCustomError("duplicate", '"{text}" stands at {first}, too; each may be there once', told)


def check_nul(text: str, field: str) -> None:
    """Raises PydanticCustomError where the text of a field holds a NUL."""
    if "\0" in text:
        raise PydanticCustomError("nul", "it holds a NUL character; take that out", {"field": field})


def check_nuls(texts: Sequence[str], field: str) -> None:
    """The same for a field that lists texts."""
    for place, text in enumerate(texts):
        if "\0" in text:
            check_nul(text, f"{field}.{place}")


class BatchRequest(Wire):
    """Up to 64 requests for weights, each answered for itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [RUG, {"query": "laptop 16gb ram", "attributes": ["memory"]}]}]}
    )

    requests: list[SkipValidation[WeightsRequest]] = Field(min_length=1, max_length=MAX_BATCH)


class BundleRequest(Wire):
    """A bundle that is to take over."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"path": "2026-11-22"}]})

    path: str = Field(description="Its folder, below the one that the service was told to look in.", min_length=1)


class ValueAnswer(TypedDict):
    """Words of the query that state an attribute: `query[start:end]`, counted in Unicode code points."""

    text: str
    start: int
    end: int
    confidence: float


class EffectAnswer(TypedDict):
    """A word of the query, `query[start:end]`, and the change of the attribute's logit that it makes."""

    text: str
    start: int
    end: int
    effect: float


class WeightAnswer(TypedDict):
    """One attribute; `index` is its place in the request.

    `logit`, `base` and `explanation` are there when the request asked to explain. `base` is the logit of an empty
    query; the effects of all words, in their order, add up to `logit - base`. Both are null where the model could not
    be asked in time and the request took a fallback. `evidence` is the part of the weight that people's choices make:
    without them it would be so much less; `personal` is the user's own part. They are there where any is not 0.
    Rules hold for what it would be, too; with `explored` the rest holds what chance added.
    """

    index: int
    attribute: str
    weight: float
    values: list[ValueAnswer]
    logit: NotRequired[float]
    base: NotRequired[float | None]
    explanation: NotRequired[list[EffectAnswer] | None]
    evidence: NotRequired[float]
    personal: NotRequired[float]


class AppliedAnswer(TypedDict):
    """A merchandiser's rule that was applied, and of which attribute, as the request names it."""

    id: str
    attribute: str
    action: Literal["hide", "multiply", "floor", "pin"]


class ModelName(TypedDict):
    """Which bundle answered."""

    name: str
    version: str


class CacheUse(TypedDict):
    """How many of the request's pairs were known, and how many were not."""

    hits: int
    misses: int


class WeightsAnswer(TypedDict):
    """Weights, largest first; over all attributes of the request they sum to one.

    `entropy` is that of all weights, in nats: 0 is sure, log(number of attributes) knows nothing. `degraded` says
    whether the misses were answered without the model, and `degraded_reason` why. `boosts`, where the request named a
    format, is the engine's parameter with its value.

    With feedback on, events refer to the answer by its `query_id`; `explored` is there where chance had a part in the
    weights, `personal` where the user's choices had one.

    `rules`, where any was applied, are those of a merchandiser. An attribute that one hides is neither in `weights` nor
    in `boosts`; one that is pinned may stand before one of larger weight.
    """

    weights: list[WeightAnswer]
    entropy: float
    model: ModelName
    cache: CacheUse
    degraded: bool
    degraded_reason: NotRequired[Literal["overloaded", "deadline_exceeded", "model_failed"]]
    query_id: NotRequired[str]
    explored: NotRequired[Literal[True]]
    personal: NotRequired[Literal[True]]
    boosts: NotRequired[Annotated[dict[str, list[str] | str], Field(examples=BOOSTS)]]
    rules: NotRequired[list[AppliedAnswer]]


class ErrorDetail(TypedDict):
    """What went wrong, for programs (`code`, `field`) and for people (`message`)."""

    code: str
    message: str
    field: NotRequired[str]
    request_id: str


class ErrorAnswer(TypedDict):
    """The body of every error."""

    error: ErrorDetail


class BatchAnswer(TypedDict):
    """One result for each request, in their order: the weights, or the error of this one request."""

    results: list[WeightsAnswer | ErrorAnswer]


class ModelAnswer(BaseModel):
    """The bundle in service."""

    name: str
    version: str
    device: str
    temperature: float
    value_threshold: float
    limits: dict[str, int]
    base: dict[str, Any]
    training_data: list[dict[str, Any]]
    metrics: dict[str, Any]
    pictures: dict[str, Any] | None


class BundleAnswer(TypedDict):
    """The bundle that is in service now, and the version it replaced; the same when there was nothing to replace."""

    name: str
    version: str
    replaced: str


class HealthAnswer(BaseModel):
    """A health check that went well."""

    status: Literal["ok"] = "ok"


def model_name(bundle: Bundle) -> ModelName:
    """Which bundle it is."""
    return {"name": bundle.name, "version": bundle.version}


def weights_answer(weighting: Weighting, request: WeightsRequest, bundle: Bundle) -> WeightsAnswer:
    """The answer to a request in the form it asked for."""
    answer: WeightsAnswer = {
        "weights": _weights(weighting, request),
        "entropy": weighting.entropy,
        "model": model_name(bundle),
        "cache": {"hits": weighting.hits, "misses": weighting.misses},
        "degraded": bool(weighting.degraded),
    }
    if weighting.degraded:
        answer["degraded_reason"] = weighting.degraded
    if weighting.bent:
        _tell_causes(answer, weighting.bent)
    if request.format is not None:
        answer["boosts"] = _boosts(request.format, weighting.attributes, request)
    if weighting.rules:
        answer["rules"] = applied_answer(weighting)
    return answer


def _weights(weighting: Weighting, request: WeightsRequest) -> list[WeightAnswer]:
    """The weights of an answer; with feedback on they are written once while all that they are made of is the same."""
    bent, first = weighting.bent, weighting.attributes[: request.top_k]
    again = bent is not None and not weighting.rules and not request.explain
    if bent and again and (written := bent.answered.get(len(first))):
        return cast(list[WeightAnswer], orjson.Fragment(written))
    weights = [_weight_answer(found, explain=request.explain) for found in first]
    if bent:
        _tell_parts(weights, bent, first)
        if again:
            bent.answered.keep(len(first), orjson.dumps(weights))
    return weights


def applied_answer(weighting: Weighting) -> list[AppliedAnswer]:
    """The rules that were applied."""
    return [{"id": each.id, "attribute": each.attribute, "action": each.action} for each in weighting.rules]


class _WeightParts(TypedDict):
    evidence: NotRequired[float]
    personal: NotRequired[float]


class _AnswerParts(TypedDict):
    weights: list[Any]
    explored: NotRequired[Literal[True]]
    personal: NotRequired[Literal[True]]


def tell_parts(answer: _AnswerParts, bent: Bent, attributes: Sequence[WeightedAttribute]) -> None:
    """Say of an answer and its weights, those of the first attributes, what chance, people and the user are of it."""
    _tell_parts(answer["weights"], bent, attributes)
    _tell_causes(answer, bent)


def _tell_parts(weights: Sequence[_WeightParts], bent: Bent, attributes: Sequence[WeightedAttribute]) -> None:
    if bent.evidence:
        for each, found in zip(weights, attributes, strict=False):
            each["evidence"] = bent.evidence[found.position]
    if bent.own:
        for each, found in zip(weights, attributes, strict=False):
            each["personal"] = bent.own[found.position]


def _tell_causes(answer: _AnswerParts, bent: Bent) -> None:
    if bent.own:
        answer["personal"] = True
    if bent.explored:
        answer["explored"] = True


def _boosts(engine: Engine, found: Sequence[WeightedAttribute], request: WeightsRequest) -> dict[str, list[str] | str]:
    return boosts(
        engine,
        [(each.attribute, each.weight) for each in found[: request.top_k]],
        attributes=len(found),
        fields=request.fields or {},
        scale=1.0 if request.boost_scale is None else request.boost_scale,
        floor=request.boost_floor or 0.0,
    )


def _weight_answer(found: WeightedAttribute, *, explain: bool) -> WeightAnswer:
    answer: WeightAnswer = {
        "index": found.position,
        "attribute": found.attribute,
        "weight": found.weight,
        "values": [
            {"text": value.text, "start": value.start, "end": value.end, "confidence": value.confidence}
            for value in found.values
        ],
    }
    if explain:
        answer["logit"] = found.logit
        answer["base"] = found.explanation.base if found.explanation else None
        answer["explanation"] = _effects(found.explanation) if found.explanation else None
    return answer


def _effects(explanation: Explanation) -> list[EffectAnswer]:
    return [
        {"text": word.text, "start": word.start, "end": word.end, "effect": word.effect} for word in explanation.words
    ]

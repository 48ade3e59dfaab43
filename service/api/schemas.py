"""What goes over the wire, with its limits.

Knows: pydantic, the shape of requests and answers. Does not know: how an answer is found.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from service.weighting import WeightedAttribute, Weighting

MAX_QUERY_CHARACTERS = 1024
MAX_ATTRIBUTES = 256
MAX_ATTRIBUTE_CHARACTERS = 128
MAX_BATCH = 64

RUG: dict[str, Any] = {
    "query": "red wool runner rug 2x8",
    "attributes": ["washing care", "color", "material", "battery life", "size"],
}


def _readable(text: str) -> str:
    """Raises when the text is blank, or holds a character that no text holds."""
    if "\x00" in text:
        raise PydanticCustomError("nul", "the text holds a NUL character")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise PydanticCustomError("blank", "the text is blank")
    return text


Query = Annotated[str, StringConstraints(max_length=MAX_QUERY_CHARACTERS), AfterValidator(_readable)]
Attribute = Annotated[str, StringConstraints(max_length=MAX_ATTRIBUTE_CHARACTERS), AfterValidator(_readable)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WeightsRequest(_Wire):
    """A query (or a product title) and the attributes to weigh."""

    model_config = ConfigDict(json_schema_extra={"examples": [RUG, RUG | {"top_k": 2, "explain": True}]})

    query: Query = Field(description="What the shopper typed, or a product title.", min_length=1)
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
    explain: bool = Field(False, description="Also answer each attribute's logit.")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen = set()
        for attribute in self.attributes:
            if attribute.strip() in seen:
                raise PydanticCustomError("duplicate", "an attribute is listed twice", {"field": "attributes"})
            seen.add(attribute.strip())
        return self


class BatchRequest(_Wire):
    """Up to 64 requests for weights, each answered for itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [RUG, {"query": "laptop 16gb ram", "attributes": ["memory"]}]}]}
    )

    requests: list[SkipValidation[WeightsRequest]] = Field(min_length=1, max_length=MAX_BATCH)


class ValueAnswer(BaseModel):
    """Words of the query that state an attribute: `query[start:end]`, counted in Unicode code points."""

    text: str
    start: int
    end: int
    confidence: float


class WeightAnswer(BaseModel):
    """One attribute; `index` is its place in the request."""

    index: int
    attribute: str
    weight: float
    values: list[ValueAnswer]
    logit: float | None = None


class ModelName(BaseModel):
    """Which bundle answered."""

    name: str
    version: str


class CacheUse(BaseModel):
    """How many of the request's pairs were known, and how many the model had to score."""

    hits: int
    misses: int


class WeightsAnswer(BaseModel):
    """Weights, largest first; over all attributes of the request they sum to one."""

    weights: list[WeightAnswer]
    entropy: float = Field(description="Of all weights, in nats: 0 is sure, log(number of attributes) knows nothing.")
    model: ModelName
    cache: CacheUse
    degraded: bool = Field(False, description="Whether the answer is less than the model could give.")


class ErrorDetail(BaseModel):
    """What went wrong, for programs (`code`, `field`) and for people (`message`)."""

    code: str
    message: str
    field: str | None = None
    request_id: str


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class BatchAnswer(BaseModel):
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


class HealthAnswer(BaseModel):
    """A health check that went well."""

    status: Literal["ok"] = "ok"


def weights_answer(weighting: Weighting, request: WeightsRequest, model: ModelName) -> WeightsAnswer:
    """The answer to a request in the form it asked for."""
    return WeightsAnswer.model_construct(
        weights=[_weight_answer(found, request) for found in weighting.attributes[: request.top_k]],
        entropy=weighting.entropy,
        model=model,
        cache=CacheUse(hits=weighting.hits, misses=weighting.misses),
        degraded=False,
    )


def _weight_answer(found: WeightedAttribute, request: WeightsRequest) -> WeightAnswer:
    answer = WeightAnswer.model_construct(
        index=found.index,
        attribute=found.attribute,
        weight=found.weight,
        values=[
            ValueAnswer.model_construct(text=v.text, start=v.start, end=v.end, confidence=v.confidence)
            for v in found.values
        ],
    )
    if request.explain:
        answer.logit = found.logit
    return answer

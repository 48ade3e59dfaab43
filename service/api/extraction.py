"""The values that texts state, over HTTP: shapes with their limits, routes.

Knows: pydantic, the shape of requests and answers. Does not know: how values are found.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, Self

from fastapi import Request
from pydantic import ConfigDict, Field, SkipValidation, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from service.api.batches import each_for_itself
from service.api.direct import WhileConnected, counted
from service.api.schemas import (
    MAX_ATTRIBUTES,
    MAX_BATCH,
    Attribute,
    CacheUse,
    ErrorAnswer,
    ModelName,
    ValueAnswer,
    Wire,
    check_attributes,
    check_nul,
    check_nuls,
    check_once,
    model_name,
)
from service.api.state import state
from service.bundle import Bundle
from service.deployment import Deployment
from service.extracting import Chosen, Extraction, StatedValue
from service.pictures import Source

MAX_TEXT_CHARACTERS = 10_000
MAX_ENTRIES = 1_000
MAX_ENTRY_CHARACTERS = 128
MAX_IMAGE_NUMBERS = 8_192

TITLE: dict[str, Any] = {
    "text": "Ellie Shoes Women's 8400, Red Patent, 14 M US",
    "attributes": ["brand", "color", "battery life"],
}

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
Entry = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ENTRY_CHARACTERS)]


class ExtractRequest(Wire):
    """A text and the attributes whose values are wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [TITLE, TITLE | {"vocabulary": {"color": ["red", "blue"]}}]}
    )

    text: Text = Field(
        description="A product title or description, or a query. The model reads its beginning: so many tokens as "
        "`max_query_tokens` in /v1/model says (384 in the shipped bundle, about 250 English words), less two. "
        "`truncated` in the answer says where that was not all."
    )
    attributes: list[Attribute] = Field(
        description="The attributes, each once.", min_length=1, max_length=MAX_ATTRIBUTES
    )
    vocabulary: dict[Attribute, Annotated[list[Entry], Field(min_length=1, max_length=MAX_ENTRIES)]] | None = Field(
        None,
        description="The values that you store, for any of the attributes: each value found then comes with the "
        f"nearest of them. At most {MAX_ENTRIES} in all.",
    )

    image_embedding: list[float] | None = Field(
        None,
        description="The vector of the product's picture, for a bundle that was trained on such vectors: of the same "
        "model and length. Each attribute with a vocabulary then comes with the entry that text and picture mean "
        "together. A bundle that was not refuses it.",
        max_length=MAX_IMAGE_NUMBERS,
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_attributes(self.attributes)
        check_nul(self.text, "text")
        asked = set(self.attributes)
        for attribute, entries in (self.vocabulary or {}).items():
            field = f"vocabulary.{attribute}"
            where = {"field": field}
            if attribute not in asked:
                raise PydanticCustomError("not_asked", "it is not among the attributes", where)
            check_nuls(entries, field)
            plain = [entry.strip() for entry in entries]
            if "" in plain:
                raise PydanticCustomError("unreadable", "an entry holds nothing that can be read", where)
            check_once(plain, field)
        if sum(map(len, (self.vocabulary or {}).values())) > MAX_ENTRIES:
            raise PydanticCustomError("too_long", f"it has more than {MAX_ENTRIES} entries", {"field": "vocabulary"})
        return self


class ExtractBatchRequest(Wire):
    """Up to 64 requests for values, each answered for itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [TITLE, {"text": "wool rug 2x8", "attributes": ["size"]}]}]}
    )

    requests: list[SkipValidation[ExtractRequest]] = Field(min_length=1, max_length=MAX_BATCH)


class NearestAnswer(TypedDict):
    """The nearest entry of the vocabulary.

    `similarity`, in [-1, 1], says how well the value agrees with it by the rules of /v1/rank ("navy" is a blue); it is
    1 where both read the same whatever the case and the white space.
    """

    entry: str
    similarity: float


class StatedValueAnswer(ValueAnswer):
    """Words of the text that state an attribute; `nearest` is there where the attribute has a vocabulary.

    `negated` is there where the text denies them: "red" in "not red", but not "non-slip", which is a kind of its own.
    """

    nearest: NotRequired[NearestAnswer]
    negated: NotRequired[Literal[True]]


class ChosenAnswer(TypedDict):
    """The entry of the vocabulary that text and picture mean together.

    `confidence` is its probability, if one of the entries is right; `source` says which of the two told it.
    """

    entry: str
    confidence: float
    source: Source


class ExtractedAnswer(TypedDict):
    """One attribute, with no values where the text states none; `chosen` where it has a vocabulary and there is a
    picture, and the text does not deny what they would choose.
    """

    attribute: str
    values: list[StatedValueAnswer]
    chosen: NotRequired[ChosenAnswer]


class ExtractAnswer(TypedDict):
    """The attributes, in the order asked. `truncated` says that the text goes on where the model stopped reading."""

    attributes: list[ExtractedAnswer]
    truncated: bool
    model: ModelName
    cache: CacheUse


class ExtractBatchAnswer(TypedDict):
    """One result for each request, in their order: the values, or the error of this one request."""

    results: list[ExtractAnswer | ErrorAnswer]


async def extract(body: ExtractRequest, request: Request, deadline: float) -> ExtractAnswer:
    """The values that a text states of each attribute, and what they are called in a vocabulary."""
    with state(request)["deployments"].current.used() as deployment:
        return await _extract(request, deployment, body, deadline, WhileConnected(request))


async def extract_batch(body: ExtractBatchRequest, request: Request, deadline: float) -> ExtractBatchAnswer:
    """The values that up to 64 texts state; one that fails does not fail the others."""
    with state(request)["deployments"].current.used() as deployment:

        async def answer(item: object) -> ExtractAnswer:
            return await _extract(request, deployment, ExtractRequest.model_validate(item), deadline)

        return {"results": await each_for_itself(request, body.requests, answer)}


async def _extract(
    request: Request,
    deployment: Deployment,
    wanted: ExtractRequest,
    deadline: float,
    while_scoring: WhileConnected | None = None,
) -> ExtractAnswer:
    """The answer to one request."""
    with counted(state(request)["telemetry"]):
        extraction = await deployment.extractor.extract(
            wanted.text,
            wanted.attributes,
            wanted.vocabulary or {},
            image=wanted.image_embedding,
            deadline=deadline,
            while_scoring=while_scoring,
        )
    return _answer(extraction, wanted, deployment.bundle)


def _answer(extraction: Extraction, wanted: ExtractRequest, bundle: Bundle) -> ExtractAnswer:
    return {
        "attributes": [
            _attribute_answer(attribute, values, extraction.chosen.get(attribute))
            for attribute, values in zip(wanted.attributes, extraction.values, strict=True)
        ],
        "truncated": extraction.truncated,
        "model": model_name(bundle),
        "cache": {"hits": extraction.hits, "misses": extraction.misses},
    }


def _attribute_answer(attribute: str, values: Sequence[StatedValue], chosen: Chosen | None) -> ExtractedAnswer:
    answer: ExtractedAnswer = {"attribute": attribute, "values": [_value_answer(value) for value in values]}
    if chosen:
        answer["chosen"] = {"entry": chosen.entry, "confidence": chosen.confidence, "source": chosen.source}
    return answer


def _value_answer(found: StatedValue) -> StatedValueAnswer:
    text, start, end, confidence = found.value
    answer: StatedValueAnswer = {"text": text, "start": start, "end": end, "confidence": confidence}
    if found.nearest:
        answer["nearest"] = {"entry": found.nearest.entry, "similarity": found.nearest.similarity}
    if found.negated:
        answer["negated"] = True
    return answer

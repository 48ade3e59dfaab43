"""The same order in the shapes of other services, so that a client of theirs works by changing the address.

- `POST /v2/rerank`: Cohere's, version 2.
- `POST /rerank`, and `/v1/rerank` as Jina has it: with `documents` Jina's, with `texts` that of Hugging Face's
  text-embeddings-inference. Jina's `usage` is not answered: a text whose vector is kept is not made tokens again.

Scores are ours put between 0 and 1 by a logistic function; they are no ratios and no probabilities.

Knows: those services' requests and answers. Does not know: how products are scored.
"""

import math
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, Self

from fastapi import Request
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from service.api.complaints import OBJECT, TEXT
from service.api.direct import WhileConnected, counted
from service.api.ranking import MAX_PRODUCT_ATTRIBUTES, MAX_PRODUCTS, AnyValue, known_values
from service.api.schemas import Attribute, Query, Wire, check_nul
from service.api.state import state
from service.matching.products import MOST_TEXT, Product
from service.ranking import Ranking

STEEPNESS, MIDDLE = 6.0, 0.5
"""Of the logistic function: a score of `MIDDLE` becomes a half."""


class DocumentRequest(Wire):
    """A document with attributes. What is null is as good as absent."""

    title: str | None = None
    text: str | None = None
    attributes: dict[Attribute, AnyValue] | None = Field(None, max_length=MAX_PRODUCT_ATTRIBUTES)


def _shape(document: object) -> str | None:
    return TEXT if isinstance(document, str) else OBJECT if isinstance(document, dict) else None


Document = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[DocumentRequest, Tag(OBJECT)],
    Discriminator(
        _shape,
        custom_error_type="document_type",
        custom_error_message="a document is a text, or an object of title, text and attributes",
    ),
]
Documents = Annotated[list[Document], Field(min_length=1, max_length=MAX_PRODUCTS)]


class CohereRequest(Wire):
    """What Cohere's clients send. `model` and `max_tokens_per_doc` change nothing: the bundle in service answers, and
    reads a document up to its limit.
    """

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"model": "any", "query": "red rug", "documents": ["blue rug", "red rug"]}]},
    )

    model: str | None = None
    query: Query
    documents: Documents
    top_n: int | None = Field(None, ge=1)
    max_tokens_per_doc: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _without_nul(self) -> Self:
        check_nul(self.query, "query")
        return self


class RerankRequest(Wire):
    """What clients of Jina (`documents`) and of text-embeddings-inference (`texts`) send."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {"query": "red rug", "texts": ["blue rug", "red rug"]},
                {"query": "red rug", "documents": [{"title": "rug", "attributes": {"color": "red"}}], "top_n": 1},
            ]
        },
    )

    query: Query
    documents: Documents | None = None
    texts: Documents | None = None
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = Field(None, description="Answer each of the `documents`, too; so unless false.")
    return_text: bool | None = Field(None, description="Answer each of the `texts`, too; not so unless true.")
    raw_scores: bool | None = Field(None, description="Answer our own scores, which are not between 0 and 1.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        check_nul(self.query, "query")
        if (self.documents is None) == (self.texts is None):
            raise PydanticCustomError("one_of_two", "give documents or texts, and not both", {"field": "documents"})
        return self


class CohereResult(TypedDict):
    """A document by its place in the request."""

    index: int
    relevance_score: float


class JinaResult(CohereResult):
    """The same with the document, an object as it was sent, a text as the `text` of one."""

    document: NotRequired[dict[str, Any]]


class TeiResult(TypedDict):
    """A text by its place in the request."""

    index: int
    score: float
    text: NotRequired[str]


class CohereAnswer(TypedDict):
    """Documents, best first."""

    id: str
    results: list[CohereResult]
    meta: dict[str, Any]


class JinaAnswer(TypedDict):
    """Documents, best first."""

    object: Literal["list"]
    model: str
    results: list[JinaResult]


async def cohere(body: CohereRequest, request: Request, deadline: float) -> CohereAnswer:
    """Documents in the order of what they are worth to a query, as Cohere answers."""
    ranking, _ = await _ranked(request, body.query, body.documents, deadline)
    return {
        "id": str(uuid.uuid4()),
        "results": [
            {"index": found.index, "relevance_score": between_0_and_1(found.scored.score)}
            for found in ranking.products[: body.top_n]
        ],
        "meta": {"api_version": {"version": "2"}},
    }


async def rerank(body: RerankRequest, request: Request, deadline: float) -> JinaAnswer | list[TeiResult]:
    """The same as Jina or text-embeddings-inference answer."""
    documents = body.documents or body.texts or []
    ranking, model = await _ranked(request, body.query, documents, deadline)
    found = [
        (each.index, each.scored.score if body.raw_scores else between_0_and_1(each.scored.score))
        for each in ranking.products[: body.top_n]
    ]
    if body.texts is not None:
        return [_tei(index, score, documents[index] if body.return_text else None) for index, score in found]
    return {
        "object": "list",
        "model": model,
        "results": [
            _jina(index, score, None if body.return_documents is False else documents[index]) for index, score in found
        ],
    }


def between_0_and_1(score: float) -> float:
    """The logistic function of a score; larger scores give larger numbers."""
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, STEEPNESS * (score - MIDDLE)))))


async def _ranked(request: Request, query: str, documents: Sequence[Document], deadline: float) -> tuple[Ranking, str]:
    """The ranking, and the name of the bundle that made it."""
    with state(request)["deployments"].current.used() as deployment, counted(state(request)["telemetry"]):
        products = [_product(document) for document in documents]
        ranking = await deployment.ranker.rank(
            query, products, deadline=deadline, while_scoring=WhileConnected(request)
        )
        return ranking, deployment.bundle.name


def _product(document: Document) -> Product:
    if isinstance(document, str):
        return Product(document[:MOST_TEXT], {})
    text = " ".join(filter(None, (document.title, document.text)))
    return Product(text[:MOST_TEXT], known_values(document.attributes or {}))


def _jina(index: int, score: float, document: Document | None) -> JinaResult:
    result: JinaResult = {"index": index, "relevance_score": score}
    if document is not None:
        result["document"] = (
            {"text": document} if isinstance(document, str) else document.model_dump(exclude_unset=True)
        )
    return result


def _tei(index: int, score: float, document: Document | None) -> TeiResult:
    result: TeiResult = {"index": index, "score": score}
    if document is not None:
        result["text"] = document if isinstance(document, str) else _product(document).text
    return result

"""Other services' clients: they get the answers that they know, by changing the address."""

from typing import Any

import cohere
import httpx
import pytest
from starlette.testclient import TestClient

from service.api.reranking import between_0_and_1

DOCUMENTS = ["Desk lamp", "Red wool rug", "Blue wool rug"]
QUERY = "red wool rug"


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(path, json={"query": QUERY} | body).json()


def test_coheres_own_client_is_answered(client: TestClient) -> None:
    theirs = cohere.ClientV2("a key", base_url="http://testserver", httpx_client=client)
    found = theirs.rerank(model="any", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [each.index for each in found.results] == [1, 2]
    assert 1 >= found.results[0].relevance_score > found.results[1].relevance_score >= 0


def test_coheres_own_client_is_told_of_bad_input(client: TestClient) -> None:
    theirs = cohere.ClientV2("a key", base_url="http://testserver", httpx_client=client)
    with pytest.raises(cohere.UnprocessableEntityError):
        theirs.rerank(model="any", query=QUERY, documents=[])


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_documents_are_answered_as_jina_does(client: TestClient, path: str) -> None:
    answer = post(client, path, model="any", documents=DOCUMENTS, top_n=1)
    assert set(answer) == {"object", "model", "results"}
    (first,) = answer["results"]
    assert (first["index"], first["document"]) == (1, {"text": "Red wool rug"})


@pytest.mark.parametrize(("wanted", "there"), [(True, True), (None, True), (False, False)])
def test_documents_come_back_unless_they_are_not_wanted(client: TestClient, wanted: object, there: bool) -> None:
    (found,) = post(client, "/rerank", documents=["a rug"], return_documents=wanted)["results"]
    assert ("document" in found) is there


@pytest.mark.parametrize(
    "document",
    [
        {"title": "Rug"},
        {"text": "a rug", "attributes": {"color": ["red", None], "pile": None, "price": 7}},
        {"title": None, "text": None, "attributes": None},
        {},
        {"text": "rug " * 6_000},
    ],
)
def test_an_object_comes_back_as_it_was_sent(patient: TestClient, document: object) -> None:
    (found,) = post(patient, "/rerank", documents=[document])["results"]
    assert found["document"] == document


@pytest.mark.parametrize("path", ["/rerank", "/v2/rerank"])
def test_a_longer_document_is_read_up_to_the_limit(patient: TestClient, path: str) -> None:
    within = "rug " * 4_999 + "end "
    beyond = [within + "red wool", {"title": within + "red wool"}]
    first, *others = post(patient, path, documents=[within, *beyond])["results"]
    assert [each["relevance_score"] for each in others] == [first["relevance_score"]] * 2


def test_what_is_null_is_as_good_as_absent(client: TestClient) -> None:
    nulls = dict.fromkeys(["model", "top_n", "return_text", "return_documents", "raw_scores"])
    assert post(client, "/rerank", texts=DOCUMENTS, **nulls) == post(client, "/rerank", texts=DOCUMENTS)
    assert len(post(client, "/v2/rerank", documents=DOCUMENTS, model=None, top_n=None)["results"]) == 3
    documents = [{"title": None, "text": "red rug", "attributes": None}, {"text": "red rug"}]
    first, second = post(client, "/rerank", documents=documents)["results"]
    assert first["relevance_score"] == second["relevance_score"]


def test_texts_are_answered_as_text_embeddings_inference_does(client: TestClient) -> None:
    answer = post(client, "/rerank", texts=DOCUMENTS, return_text=True)
    assert [found["index"] for found in answer] == [1, 2, 0]
    assert [found["text"] for found in answer] == [DOCUMENTS[1], DOCUMENTS[2], DOCUMENTS[0]]
    assert all(0 <= found["score"] <= 1 for found in answer)


def test_raw_scores_are_those_of_rank(client: TestClient) -> None:
    products = [{"id": str(place), "title": title} for place, title in enumerate(DOCUMENTS)]
    scores = [found["score"] for found in post(client, "/v1/rank", products=products)["results"]]
    assert [found["score"] for found in post(client, "/rerank", texts=DOCUMENTS, raw_scores=True)] == scores


def test_objects_are_ranked_by_their_attributes_too(client: TestClient) -> None:
    documents = [{"title": "rug", "attributes": {"color": color}} for color in ("blue", "red")]
    answer = post(client, "/v2/rerank", documents=documents)
    assert [found["index"] for found in answer["results"]] == [1, 0]


def test_what_they_send_beside_that_is_ignored(client: TestClient) -> None:
    assert len(post(client, "/rerank", texts=DOCUMENTS, truncate=True, truncation_direction="right")) == 3
    assert len(post(client, "/v2/rerank", documents=DOCUMENTS, priority=1, max_tokens_per_doc=9)["results"]) == 3


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("/rerank", {}, "one_of_two", "documents"),
        ("/rerank", {"texts": ["a"], "documents": ["a"]}, "one_of_two", "documents"),
        ("/rerank", {"texts": []}, "too_short", "texts"),
        ("/rerank", {"texts": ["a"] * 1001}, "too_long", "texts"),
        ("/rerank", {"texts": ["a"], "query": "a\0b"}, "nul", "query"),
        ("/v2/rerank", {"documents": ["a"], "query": "a\0b"}, "nul", "query"),
        ("/rerank", {"texts": ["a"], "top_n": 0}, "greater_than_equal", "top_n"),
        ("/v2/rerank", {}, "missing", "documents"),
        ("/rerank", {"texts": ["a", 1]}, "document_type", "texts.1"),
        ("/v2/rerank", {"documents": [{"title": 1}]}, "string_type", "documents.0.title"),
        ("/v2/rerank", {"documents": ["a"], "query": "\u200b"}, "unreadable", "query"),
    ],
)
def test_bad_input_has_our_one_error(client: TestClient, path: str, body: Any, code: str, field: str) -> None:
    response: httpx.Response = client.post(path, json={"query": QUERY} | body)
    assert response.status_code == 422
    assert (response.json()["error"]["code"], response.json()["error"]["field"]) == (code, field)


@pytest.mark.parametrize("odd", ["\0", "\x01", "\x85", "\u202e", "\uffff", '["\\ud800"]'])
def test_documents_of_odd_characters_are_answered(client: TestClient, odd: str) -> None:
    documents = [odd, {"title": odd, "attributes": {f"color {odd}": f"red {odd}"}}]
    assert len(post(client, "/rerank", documents=documents, return_documents=True)["results"]) == 2
    assert len(post(client, "/v2/rerank", documents=documents)["results"]) == 2


def test_scores_between_0_and_1_keep_the_order() -> None:
    scores = [-1e9, -1.0, 0.0, 0.5, 1.0, 1e9]
    found = [between_0_and_1(score) for score in scores]
    assert found == sorted(found)
    assert found[3] == 0.5
    assert all(0 <= each <= 1 for each in found)

"""Values of texts with pictures over HTTP: what is chosen, by what, and which vectors are refused."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from seen import COLORS, MATERIALS, VOLTAGES, WIDTH, made
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

PATH, BATCH = "/v1/extract", "/v1/extract/batch"
VOCABULARY = {"color": list(COLORS), "material": list(MATERIALS), "voltage": list(VOLTAGES)}
NEW = made(60, seed=1)


@pytest.fixture(scope="module")
def sees(seeing: Path) -> Iterator[TestClient]:
    """The service with a bundle that reads pictures."""
    with TestClient(create_app(Settings(device="cpu", bundle=seeing, request_timeout_ms=60_000))) as client:
        yield client


def body(product: dict[str, Any], **changes: Any) -> dict[str, Any]:
    whole = {
        "text": product["title"],
        "attributes": list(VOCABULARY),
        "vocabulary": VOCABULARY,
        "image_embedding": product["image_embedding"],
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def chosen(client: TestClient, product: dict[str, Any], **changes: Any) -> dict[str, dict[str, Any]]:
    answer = client.post(PATH, json=body(product, **changes)).json()
    return {found["attribute"]: found["chosen"] for found in answer["attributes"]}


@pytest.fixture(scope="module")
def answers(sees: TestClient) -> list[dict[str, dict[str, Any]]]:
    """What is chosen for products that training has not seen."""
    return [chosen(sees, product) for product in NEW]


def right(answers: list[dict[str, dict[str, Any]]], name: str) -> float:
    return float(np.mean([each[name]["entry"] == p["attributes"][name] for each, p in zip(answers, NEW, strict=True)]))


def test_what_the_picture_alone_tells_is_chosen_by_the_picture(answers: list[dict[str, dict[str, Any]]]) -> None:
    assert right(answers, "color") >= 0.95
    assert {each["color"]["source"] for each in answers} == {"image"}


def test_what_the_text_alone_tells_is_chosen_by_the_text(answers: list[dict[str, dict[str, Any]]]) -> None:
    assert right(answers, "material") == 1.0
    assert {each["material"]["source"] for each in answers} == {"text"}


def test_what_neither_tells_is_not_sure(answers: list[dict[str, dict[str, Any]]]) -> None:
    assert right(answers, "voltage") <= 0.5
    assert max(each["voltage"]["confidence"] for each in answers) < 0.6
    assert min(each["color"]["confidence"] for each in answers if each["color"]["source"] == "image") > 0.6


def test_the_picture_tells_the_same_under_a_name_that_training_has_not_seen(sees: TestClient) -> None:
    vocabulary = {"colour": [*COLORS[::-1]]}
    found = [chosen(sees, p, attributes=["colour"], vocabulary=vocabulary)["colour"]["entry"] for p in NEW[:20]]
    assert np.mean([each == p["attributes"]["color"] for each, p in zip(found, NEW, strict=False)]) >= 0.9


def test_what_the_text_states_is_told_as_without_a_picture(sees: TestClient) -> None:
    with_picture, without = (
        sees.post(PATH, json=body(NEW[0], image_embedding=image)).json() for image in (NEW[0]["image_embedding"], None)
    )
    plain = [{key: value for key, value in each.items() if key != "chosen"} for each in with_picture["attributes"]]
    assert plain == without["attributes"]
    assert all("chosen" not in each for each in without["attributes"])


def test_attributes_without_a_vocabulary_are_not_chosen_for(sees: TestClient) -> None:
    answer = sees.post(PATH, json=body(NEW[0], vocabulary={"color": COLORS})).json()
    assert [each["attribute"] for each in answer["attributes"] if "chosen" in each] == ["color"]


def test_a_vectors_length_does_not_matter(sees: TestClient) -> None:
    product = NEW[0]
    longer = chosen(sees, product, image_embedding=[1000 * number for number in product["image_embedding"]])
    assert longer["color"]["entry"] == product["attributes"]["color"]


def test_the_model_tells_the_length_of_a_vector(sees: TestClient, client: TestClient) -> None:
    assert sees.get("/v1/model").json()["pictures"]["width"] == WIDTH
    assert client.get("/v1/model").json()["pictures"] is None


BAD: dict[str, tuple[object, str, str]] = {
    "too short": ([1.0], "unreadable", "image_embedding"),
    "too long": ([1.0] * (WIDTH + 1), "unreadable", "image_embedding"),
    "far too long": ([1.0] * 8_193, "too_long", "image_embedding"),
    "empty": ([], "unreadable", "image_embedding"),
    "zeros": ([0] * WIDTH, "unreadable", "image_embedding"),
    "NaN": ([float("nan")] * WIDTH, "unreadable", "image_embedding"),
    "infinite": ([float("inf")] * WIDTH, "unreadable", "image_embedding"),
    "texts": (["1"] * WIDTH, "float_type", "image_embedding.0"),
    "yes": ([True] * WIDTH, "float_type", "image_embedding.0"),
    "a text": ("1", "list_type", "image_embedding"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vector_is_refused_with_its_field(sees: TestClient, name: str) -> None:
    vector, code, field = BAD[name]
    response = sees.post(PATH, content=json.dumps(body(NEW[0], image_embedding=vector)))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, code, field)


def test_a_number_beyond_all_is_refused(sees: TestClient) -> None:
    content = json.dumps(body(NEW[0], image_embedding=[7.5] * WIDTH)).replace("7.5", "1e999")
    assert sees.post(PATH, content=content).json()["error"]["field"] == "image_embedding"


def test_a_picture_without_a_vocabulary_is_refused(sees: TestClient) -> None:
    error = sees.post(PATH, json=body(NEW[0], vocabulary=None)).json()["error"]
    assert (error["code"], error["field"]) == ("no_vocabulary", "vocabulary")


def test_what_the_text_denies_is_not_taken_as_what_it_states(sees: TestClient) -> None:
    asked = {"attributes": ["material"], "vocabulary": {"material": MATERIALS}}
    for stated, denied in pairwise(MATERIALS):
        found = chosen(sees, NEW[0], text=f"{stated} rug, not {denied}", **asked)
        assert (found["material"]["entry"], found["material"]["source"]) == (stated, "text")


def test_what_the_text_denies_is_not_chosen_with_the_picture(sees: TestClient) -> None:
    product = NEW[0]
    color = product["attributes"]["color"]
    asked = body(product, text=f"rug, not {color}", attributes=["color"], vocabulary={"color": COLORS})
    (found,) = sees.post(PATH, json=asked).json()["attributes"]
    assert [(value["text"], value["negated"]) for value in found["values"]] == [(color, True)]
    assert found.get("chosen", {}).get("entry") != color


@pytest.mark.parametrize("vocabulary", [VOCABULARY, None])
def test_a_bundle_that_reads_no_pictures_says_so(client: TestClient, vocabulary: object) -> None:
    response = client.post(PATH, json=body(NEW[0], vocabulary=vocabulary))
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (422, "image_embedding")
    assert error["message"].startswith("this bundle reads no pictures: leave image_embedding out")


def test_a_batch_answers_each_for_itself(sees: TestClient) -> None:
    asked = [body(NEW[0]), body(NEW[0], image_embedding=[1.0]), body(NEW[0], image_embedding=None)]
    seen, refused, read = sees.post(BATCH, json={"requests": asked}).json()["results"]
    assert seen["attributes"][0]["chosen"]["entry"] == NEW[0]["attributes"]["color"]
    assert refused["error"]["field"] == "image_embedding"
    assert "chosen" not in read["attributes"][0]


def test_another_bundle_may_begin_to_read_pictures(seeing: Path) -> None:
    settings = Settings.model_validate({"device": "cpu", "admin_key": "k", "bundle_root": seeing.parent})
    with TestClient(create_app(settings)) as client:
        assert client.post(PATH, json=body(NEW[0])).status_code == 422
        client.post("/admin/bundle", json={"path": seeing.name}, headers={"x-api-key": "k"}).raise_for_status()
        assert client.post(PATH, json=body(NEW[0])).status_code == 200

"""What many tests start from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import RedisServer
from starlette.testclient import TestClient

from service.app import create_app
from service.bundle import Bundle, default_folder, open_bundle
from service.model import Model, open_model
from service.settings import Settings
from service.text import Tokenizer


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle in the package."""
    return open_bundle(default_folder())


@pytest.fixture(scope="session")
def model(bundle: Bundle) -> Model:
    """The shipped graph on the CPU."""
    return open_model(bundle, device="cpu")


@pytest.fixture(scope="session")
def tokenizer(bundle: Bundle) -> Tokenizer:
    """The shipped tokenizer."""
    return Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The whole service as it starts by default, on the CPU."""
    with TestClient(create_app(Settings(device="cpu")), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def patient() -> Iterator[TestClient]:
    """The service where a request may take its time, for texts as long as they may be."""
    with TestClient(create_app(Settings(device="cpu", request_timeout_ms=120_000))) as client:
        yield client


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis of this test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def seeing(model: Model, tokenizer: Tokenizer, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle with a graph for pictures, trained on made ones; its `stage.json` is what training told."""
    from seen import reader, taught, write_seeing_bundle  # as below

    folder = tmp_path_factory.mktemp("seen")
    outcome = taught(reader(model, tokenizer, bundle), folder)
    (folder / "stage.json").write_text(json.dumps(outcome), encoding="utf-8")
    return write_seeing_bundle(folder, folder / "bundle")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT."""
    from tiny import write_base  # torch takes a second, which tests of the service need not wait

    return write_base(tmp_path_factory.mktemp("base"))

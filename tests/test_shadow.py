"""The second bundle: it scores what it is given in idle moments, drops what is too much, and nobody waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import FakeModel, link_bundle, wait_until
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.app import create_app
from service.bundle import default_folder
from service.errors import ModelFailed, StartError
from service.settings import Settings
from service.shadow import MOST_WAITING, Shadow
from service.telemetry import SHADOWED, Telemetry
from service.text import Tokenizer

NAMES = ["color", "material", "price"]
EVEN = [1 / 3] * 3


def counted(exposition: str) -> dict[str, float]:
    """The requests of each outcome, and how many divergences there were with their sum."""
    samples = [s for family in text_string_to_metric_families(exposition) for s in family.samples]
    found = {s.labels["outcome"]: s.value for s in samples if s.name == "ranker_shadow_requests_total"}
    divergence = "ranker_shadow_divergence_nats"
    return found | {
        s.name[len(divergence) :]: s.value for s in samples if s.name in {f"{divergence}_count", f"{divergence}_sum"}
    }


class Case:
    """A shadow around a fake model, and what it has counted."""

    def __init__(self, tokenizer: Tokenizer, model: FakeModel, chance: Callable[[], float] = lambda: 0.0) -> None:
        self.telemetry = Telemetry()
        self.shadow = Shadow(model, tokenizer, self.telemetry, temperature=1000.0, share=0.5, chance=chance)

    def offer(self, query: str = "red rug", idle: Callable[[], bool] = lambda: True) -> None:
        self.shadow.offer(query, NAMES, EVEN, idle)

    def count(self, outcome: str) -> float:
        return counted(self.telemetry.exposition().decode())[outcome]


@contextmanager
def case(tokenizer: Tokenizer, model: FakeModel, chance: Callable[[], float] = lambda: 0.0) -> Iterator[Case]:
    made = Case(tokenizer, model, chance)
    with made.shadow:
        yield made


def test_every_outcome_is_there_from_the_start() -> None:
    found = counted(Telemetry().exposition().decode())
    assert {outcome: found[outcome] for outcome in SHADOWED} == dict.fromkeys(SHADOWED, 0)


def test_the_divergence_of_a_request_is_measured(tokenizer: Tokenizer) -> None:
    with case(tokenizer, FakeModel()) as made:
        made.offer()
        wait_until(lambda: made.count("_count") == 1)
        assert made.count("_sum") > 0
        assert made.count("same_first") + made.count("changed_first") == 1


def test_what_chance_does_not_choose_costs_the_model_nothing(tokenizer: Tokenizer) -> None:
    model, chances = FakeModel(), iter([0.5, 0.7, 0.1])
    with case(tokenizer, model, lambda: next(chances)) as made:
        for _ in range(3):
            made.offer()
        wait_until(lambda: made.count("_count") == 1)
    assert model.begun == 1


def test_no_row_begins_while_the_model_in_service_works(tokenizer: Tokenizer) -> None:
    model, busy, asked = FakeModel(), threading.Event(), threading.Semaphore(0)
    busy.set()

    def idle() -> bool:
        asked.release()
        return not busy.is_set()

    with case(tokenizer, model) as made:
        made.offer(idle=idle)
        assert asked.acquire(timeout=10)
        assert asked.acquire(timeout=10)
        assert model.begun == 0
        busy.clear()
        wait_until(lambda: made.count("_count") == 1)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(tokenizer: Tokenizer) -> None:
    with case(tokenizer, FakeModel()) as made:
        made.offer(idle=lambda: False)
        for _ in range(MOST_WAITING + 3):
            made.offer(idle=lambda: False)
        assert made.count("dropped") in {3, 4}  # one may have been taken out of the queue


def test_it_ends_while_requests_wait(tokenizer: Tokenizer) -> None:
    with case(tokenizer, FakeModel()) as made:
        made.offer(idle=lambda: False)
    made.offer()
    assert (made.count("_count"), made.count("dropped")) == (0, 1)


def test_a_row_on_which_the_model_fails_is_counted_and_the_next_one_scored(tokenizer: Tokenizer) -> None:
    failures: list[Exception | None] = [ModelFailed("no"), None]
    with case(tokenizer, FakeModel(lambda rows: failures.pop(0))) as made:
        made.offer()
        made.offer()
        wait_until(lambda: made.count("failed") == made.count("_count") == 1)


def test_a_query_that_its_tokenizer_cannot_read_is_counted_as_failed(tokenizer: Tokenizer) -> None:
    with case(tokenizer, FakeModel()) as made:
        made.offer("\u200b")
        wait_until(lambda: made.count("failed") == 1)


def test_a_long_list_is_scored_in_rows_of_the_usual_length(tokenizer: Tokenizer) -> None:
    model, names = FakeModel(), [f"attribute number {n}" for n in range(100)]
    with case(tokenizer, model) as made:
        made.shadow.offer("red rug", names, [0.01] * 100, lambda: True)
        wait_until(lambda: made.count("_count") == 1)
    assert len(model.batches) > 2
    assert {len(rows) for rows in model.batches} == {1}


def test_the_service_measures_a_shadow_of_the_same_bundle_as_no_different(tmp_path: Path) -> None:
    version = link_bundle(default_folder(), tmp_path / "shadow", name="shadow")
    settings = Settings.model_validate({"device": "cpu", "shadow_bundle": tmp_path / "shadow", "shadow_share": 1.0})
    with TestClient(create_app(settings)) as client:
        client.post("/v1/weights", json={"query": "red wool rug", "attributes": NAMES})
        client.post("/v1/weights", json={"query": "red wool rug", "attributes": NAMES, "temperature": 3.0})
        wait_until(lambda: counted(client.get("/metrics").text)["_count"] == 1)
        found = client.get("/metrics").text
    assert counted(found)["_sum"] == pytest.approx(0, abs=1e-6)
    assert counted(found)["same_first"] == 1
    assert f'version="{version}"' in found


def test_a_shadow_that_is_no_bundle_stops_the_start_by_name(tmp_path: Path) -> None:
    app = create_app(Settings.model_validate({"device": "cpu", "shadow_bundle": tmp_path}))
    with pytest.raises(StartError, match=r"has no readable manifest"), TestClient(app):
        pass

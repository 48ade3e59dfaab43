"""Swapping bundles: no request fails, each is answered by one bundle, and a bad one changes nothing."""

import asyncio
import gc
import logging
import threading
import weakref
from pathlib import Path

import pytest
from fakes import FakeModel, FakeSecondLevel, FakeVectors, link_bundle, run, until, wait_until
from starlette.testclient import TestClient

from service.app import create_app
from service.batching import Batcher
from service.bundle import Bundle, Formula, Reference, default_folder
from service.deployment import Deployment, Deployments, Parts
from service.embedding import Embedder
from service.errors import BundleError, Overloaded, SwapRefused
from service.extracting import Extractor
from service.inflight import InFlight
from service.matching.parsing import Parser
from service.matching.units import Units
from service.model import Model, probe_row
from service.prior import Prior
from service.ranking import Ranker
from service.scoring import RowScores
from service.settings import Settings
from service.telemetry import Telemetry
from service.text import Row, Tokenizer
from service.weighting import Weigher, Weighting

NAMES = [f"attribute number {i}" for i in range(100)]


class Numbered(FakeModel):
    """A model that can be told from others by its logits: all are its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def run(self, rows: list[Row]) -> list[RowScores]:
        return [s._replace(logits=s.logits * 0 + self.number) for s in super().run(rows)]


class Builder:
    """Builds the bundle that a folder's name says: its number is its version; "bad" is none."""

    def __init__(self, model: Model, tokenizer: Tokenizer, telemetry: Telemetry) -> None:
        self._model, self._tokenizer, self._telemetry = model, tokenizer, telemetry
        self.gate = threading.Event()
        self.gate.set()
        self.models: dict[str, Numbered] = {}
        self.batchers: dict[str, Batcher] = {}

    def __call__(self, folder: Path) -> Parts:
        assert self.gate.wait(10)
        if folder.name == "bad":
            raise BundleError("the bundle has no\n  manifest")
        reference = Reference(0.01, int(folder.name) / 10, 0.02)
        bundle = Bundle("fake", folder.name, 1.0, 0.5, Formula(0, 0, 0, 1), 64, 16, {}, {}, reference=reference)
        model = self.models[folder.name] = Numbered(int(folder.name))
        batcher = self.batchers[folder.name] = Batcher(
            model, self._telemetry, threads=2, batch_tokens=64, queue_rows=1000
        )
        weigher = Weigher(
            self._tokenizer, batcher, FakeSecondLevel(), InFlight(), Prior({}, 0.0), self._telemetry,
            temperature=1.0, value_threshold=0.5,
        )  # fmt: skip
        embedder = Embedder(self._tokenizer, batcher, FakeVectors(), self._telemetry, width=4, part_tokens=64)
        parser = Parser(Units({}))
        ranker = Ranker(weigher, embedder, parser, bundle.formula, self._tokenizer.plain, self._telemetry)
        extractor = Extractor(weigher, embedder, parser)
        return Parts(bundle, self._model, batcher, weigher, extractor, ranker)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def builder(model: Model, tokenizer: Tokenizer, telemetry: Telemetry) -> Builder:
    return Builder(model, tokenizer, telemetry)


@pytest.fixture
def deployments(builder: Builder, telemetry: Telemetry) -> Deployments:
    """Begun with bundle 1."""
    return Deployments(builder, Path("1"), telemetry)


def outcomes(telemetry: Telemetry) -> list[float | None]:
    """Swaps so far: taken, unchanged, refused."""
    count = telemetry.registry.get_sample_value
    return [count("ranker_bundle_swaps_total", {"outcome": name}) for name in ("taken", "unchanged", "refused")]


def in_service(telemetry: Telemetry) -> list[str]:
    """The versions for which the gauge says 1."""
    (metric,) = telemetry.model.collect()
    return [sample.labels["version"] for sample in metric.samples if sample.value == 1]


async def weigh(deployments: Deployments, query: str) -> tuple[Deployment, Weighting]:
    """As a route does it."""
    with deployments.current.used() as deployment:
        return deployment, await deployment.weigher.weigh(query, NAMES)


def test_under_load_no_request_fails_and_each_is_answered_by_one_bundle(deployments: Deployments) -> None:
    async def work() -> None:
        answered: list[set[str]] = []
        stop = asyncio.Event()

        async def load(caller: int) -> None:
            while not stop.is_set():
                deployment, weighting = await weigh(deployments, f"rug {caller} {len(answered)}")
                logits = {str(round(found.logit)) for found in weighting.attributes}
                assert logits == {deployment.bundle.version}
                answered.append(logits)

        async with deployments:
            callers = [asyncio.create_task(load(caller)) for caller in range(8)]
            for version in "2345":
                await deployments.swap(Path(version))
                await until(lambda: {deployments.current.bundle.version} in answered)
            stop.set()
            await asyncio.gather(*callers)

    run(work)


def test_a_request_in_flight_finishes_on_the_bundle_it_began_with(deployments: Deployments, builder: Builder) -> None:
    async def work() -> None:
        async with deployments:
            old = builder.models["1"]
            old.gate.clear()
            asked = asyncio.create_task(weigh(deployments, "rug"))
            await until(lambda: old.begun)
            await deployments.swap(Path("2"))
            old.gate.set()
            deployment, weighting = await asked
            assert (deployment.bundle.version, weighting.attributes[0].logit) == ("1", 1.0)

    run(work)


async def answers(batcher: Batcher) -> bool:
    try:
        return len(await batcher.score([probe_row()])) == 1
    except Overloaded:
        return False


def test_the_old_bundle_is_closed_after_its_last_request_and_no_sooner(
    deployments: Deployments, builder: Builder
) -> None:
    async def work() -> None:
        async with deployments:
            first, last = deployments.current.used(), deployments.current.used()
            with last:
                with first:
                    await deployments.swap(Path("2"))
                for _ in range(10):
                    assert await answers(builder.batchers["1"])
            while await answers(builder.batchers["1"]):
                await asyncio.sleep(0)
            assert await answers(builder.batchers["2"])

    run(work)


def test_on_exit_all_bundles_are_closed(deployments: Deployments, builder: Builder) -> None:
    async def work() -> None:
        async with deployments:
            await deployments.swap(Path("2"))
        assert [await answers(builder.batchers[version]) for version in "12"] == [False, False]

    run(work)


def test_a_bad_bundle_changes_nothing_and_says_why(deployments: Deployments, telemetry: Telemetry) -> None:
    async def work() -> None:
        async with deployments:
            before = deployments.current
            with pytest.raises(SwapRefused, match="the bundle has no manifest; the bundle in service stays"):
                await deployments.swap(Path("bad"))
            assert deployments.current is before
            assert (await weigh(deployments, "rug"))[1].attributes[0].logit == 1.0
        assert outcomes(telemetry) == [0, 0, 1]
        assert in_service(telemetry) == ["1"]

    run(work)


def test_the_same_bundle_again_is_left_in_service(deployments: Deployments, telemetry: Telemetry) -> None:
    async def work() -> None:
        async with deployments:
            before = deployments.current
            assert await deployments.swap() is before
            assert await deployments.swap(Path("elsewhere/1")) is before
        assert outcomes(telemetry) == [0, 2, 0]

    run(work)


def test_a_swap_to_no_folder_reads_the_one_that_was_taken_last(deployments: Deployments) -> None:
    async def work() -> None:
        async with deployments:
            await deployments.swap(Path("2"))
            with pytest.raises(SwapRefused):
                await deployments.swap(Path("bad"))
            await deployments.swap()
            assert deployments.current.bundle.version == "2"

    run(work)


def test_two_swaps_at_once_come_one_after_another(
    deployments: Deployments, builder: Builder, telemetry: Telemetry
) -> None:
    async def work() -> None:
        async with deployments:
            builder.gate.clear()
            swaps = [asyncio.create_task(deployments.swap(Path(version))) for version in "23"]
            await asyncio.sleep(0)
            assert deployments.current.bundle.version == "1"
            builder.gate.set()
            assert [(await swap).bundle.version for swap in swaps] == ["2", "3"]
            assert deployments.current.bundle.version == "3"
        assert outcomes(telemetry) == [2, 0, 0]

    run(work)


def test_while_a_bundle_is_built_the_old_one_answers(deployments: Deployments, builder: Builder) -> None:
    async def work() -> None:
        async with deployments:
            builder.gate.clear()
            swap = asyncio.create_task(deployments.swap(Path("2")))
            assert (await weigh(deployments, "rug"))[1].attributes[0].logit == 1.0
            assert not swap.done()
            builder.gate.set()
            await swap

    run(work)


def test_the_gauge_names_one_bundle_however_often_they_change(deployments: Deployments, telemetry: Telemetry) -> None:
    async def work() -> None:
        async with deployments:
            for version in ("2", "1", "3", "1"):
                await deployments.swap(Path(version))
                assert in_service(telemetry) == [version]

    run(work)


def test_what_drift_is_told_by_is_the_figures_of_the_bundle_in_service(
    deployments: Deployments, telemetry: Telemetry
) -> None:
    def told() -> float | None:
        return telemetry.registry.get_sample_value("ranker_drift_entropy_ratio_reference")

    async def work() -> None:
        async with deployments:
            assert told() == 0.1
            with pytest.raises(SwapRefused):
                await deployments.swap(Path("bad"))
            assert told() == 0.1
            await deployments.swap(Path("2"))
            assert told() == 0.2

    run(work)


def test_what_took_over_is_told_once_and_what_did_not_is_not(builder: Builder, telemetry: Telemetry) -> None:
    async def work() -> None:
        told: list[Path] = []
        async with Deployments(builder, Path("1"), telemetry, announce=told.append) as deployments:
            await deployments.swap(Path("1"))
            with pytest.raises(SwapRefused):
                await deployments.swap(Path("bad"))
            await deployments.swap(Path("2"))
        assert told == [Path("2")]

    run(work)


def test_the_log_says_what_the_next_start_will_not_know_of(
    builder: Builder, telemetry: Telemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        first = tmp_path / "1"
        async with Deployments(builder, first, telemetry) as deployments:
            await deployments.swap(tmp_path / "2")
            await deployments.swap(first)

    with caplog.at_level(logging.INFO, "service.deployment"):
        run(work)
    assert [record.getMessage() for record in caplog.records] == [
        f"bundle 2 has taken over from 1 until the next start; set RANKER_BUNDLE to {tmp_path / '2'} to keep it",
        "bundle 1 has taken over from 2",
    ]


def test_the_bundle_that_took_over_is_ready(deployments: Deployments) -> None:
    async def work() -> None:
        async with deployments:
            await deployments.swap(Path("2"))
            await deployments.current.check()

    run(work)


def test_a_check_of_readiness_is_not_failed_by_a_swap(deployments: Deployments, builder: Builder) -> None:
    async def work() -> None:
        async with deployments:
            old = builder.models["1"]
            old.gate.clear()
            check = asyncio.create_task(deployments.current.check())
            await until(lambda: old.begun)
            await deployments.swap(Path("2"))
            await asyncio.sleep(0)
            old.gate.set()
            await check

    run(work)


def test_what_a_replaced_bundle_took_is_free_without_the_collector(tmp_path: Path) -> None:
    link_bundle(default_folder(), tmp_path / "next", name="next")
    with TestClient(create_app(Settings(device="cpu"))) as client:
        deployments: Deployments = client.app_state["deployments"]
        client.post("/v1/weights", json={"query": "red rug", "attributes": ["color"]})
        parts = [weakref.ref(part) for part in (deployments.current, deployments.current.weigher)]
        gc.disable()
        try:
            assert client.portal
            client.portal.call(deployments.swap, tmp_path / "next")
            wait_until(lambda: not any(part() for part in parts))
        finally:
            gc.enable()

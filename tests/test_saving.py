"""The log as files, and from there to training records."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fakes import FakeClock, RedisServer, run, wait_until
from starlette.testclient import TestClient
from test_folding import SHOWN, facet
from test_ledgers import LIMITS, memory
from test_start import environment

from model_export import records
from model_export.logged import write_examples
from model_export.readers.ubi import Reading
from service.app import create_app
from service.feedback.folding import Folder
from service.feedback.ledger import Entry
from service.feedback.memory import MemoryLedger
from service.feedback.saving import EVENTS, PAGE, QUERIES, Saved, save
from service.feedback.shown import key
from service.settings import Settings
from service.telemetry import Telemetry

QUERY = Entry(b"q" * 16, "c", "", b'{"query_id": "q", "user_query": "red rug", "timestamp": 900000}')
FEEDBACK_KEY = "a secret"


async def folded(ledger: MemoryLedger, *entries: Entry) -> None:
    ledger.show(key("q", products=False), SHOWN)
    await ledger.append(entries)
    folder = Folder(ledger, Telemetry(), LIMITS.half_lives, consumer="a", clock=FakeClock())
    while await folder.fold():
        pass


def test_events_and_queries_come_into_a_file_each_in_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        ledger, _ = memory()
        await folded(ledger, facet(1), QUERY, facet(2))
        assert await save(ledger, tmp_path / "new") == Saved(2, 1, 0)

    run(work)
    events = (tmp_path / "new" / EVENTS).read_text().splitlines()
    assert [json.loads(line)["client_id"] for line in events] == ["c1", "c2"]
    assert json.loads((tmp_path / "new" / QUERIES).read_text())["user_query"] == "red rug"
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_log_of_many_pages_is_written_whole_and_an_entry_that_is_no_json_left_out(tmp_path: Path) -> None:
    async def work() -> None:
        ledger, _ = memory()
        for first in range(0, PAGE + 10, 10):
            await folded(ledger, *[facet(first + number) for number in range(10)])
        await folded(ledger, Entry(b"x" * 16, "", "", b"\xff"), Entry(b"y" * 16, "", "", b"[]"))
        saved = await save(ledger, tmp_path)
        assert saved.events == len(json.loads("[" + (tmp_path / EVENTS).read_text().strip().replace("\n", ",") + "]"))
        assert saved == Saved(min(PAGE + 10, LIMITS.kept - 2), 0, 2)

    run(work)


def test_what_the_service_took_comes_out_as_training_records(tmp_path: Path, redis_server: RedisServer) -> None:
    given = {"redis_url": redis_server.url, "feedback": True, "feedback_key": FEEDBACK_KEY, "fold": True}
    app = create_app(Settings.model_validate({"device": "cpu", **given}))
    asked: list[dict[str, Any]] = [
        {"user_query": "red rug", "query_id": "q", "query_response_hit_ids": ["r", "b"]},
        *({"action_name": "facet_select", "query_id": "q", "client_id": f"c{n}", "event_attributes": of}
          for n, of in enumerate([{"object": {"object_id": "color", "object_id_type": "attribute"}}] * 3)),
    ]  # fmt: skip
    with TestClient(app) as client:
        at = int(time.time() * 1000)
        answer = client.post("/v1/events", json=[each | {"timestamp": at} for each in asked])
        assert answer.json()["accepted"] == 4, answer.text
        wait_until(lambda: "ranker_events_waiting 0.0" in client.get("/metrics").text)
    command = [sys.executable, "-m", "service", "events", "--out", str(tmp_path / "ubi")]
    settings = {name: str(value) for name, value in given.items()}
    done = subprocess.run(command, env=environment(**settings), text=True, capture_output=True, check=False, timeout=60)
    assert done.stdout.startswith("3 events and 1 queries written"), done.stderr
    write_examples(tmp_path / "ubi", tmp_path / "made.jsonl", catalogue=None, most=None, reading=Reading(1, 10))
    (record,) = records.read(tmp_path / "made.jsonl")
    assert (record.query, record.attributes, record.gains, record.weight) == ("red rug", ("color",), (1.0,), 0.5)


def test_a_page_of_attributes_and_products_comes_out_as_one_record(tmp_path: Path, redis_server: RedisServer) -> None:
    given = {"redis_url": redis_server.url, "feedback": True, "feedback_key": FEEDBACK_KEY, "fold": True}
    page = {"query": "Wool rug", "query_id": "page", "user_id": "anna"}
    colors = {"a": "red", "b": "beige", "c": "blue"}
    products = [{"id": name, "title": f"Rug {name}", "attributes": {"color": color}} for name, color in colors.items()]
    with TestClient(create_app(Settings.model_validate({"device": "cpu", **given}))) as client:
        weights = client.post("/v1/weights", json=page | {"attributes": ["Material", "color", "washing care"]}).json()
        ranked = client.post("/v1/rank", json=page | {"products": products}).json()
        facet, bought = weights["weights"][1]["attribute"], ranked["results"][2]["id"]
        made = {"query_id": "page", "user_id": "anna", "timestamp": int(time.time() * 1000)}
        things = [("facet_select", facet, "attribute"), ("purchase", bought, "product")]
        events = [
            made | {"action_name": action, "event_attributes": {"object": {"object_id": thing, "object_id_type": kind}}}
            for action, thing, kind in things
        ]
        wait_until(lambda: len(redis_server.client.keys("*:shown:*")) == 2)
        assert client.post("/v1/events", json=events).json()["accepted"] == 2
        wait_until(lambda: "ranker_events_waiting 0.0" in client.get("/metrics").text)
        settings = {name: str(value) for name, value in given.items()}
        command = [sys.executable, "-m", "service", "events", "--out", str(tmp_path / "ubi")]
        subprocess.run(command, env=environment(**settings), check=True, timeout=120)
        assert client.delete("/v1/users/anna").json() == {"deleted": True}
        assert redis_server.client.xlen("{ranker:feedback}:log") == 0
    write_examples(tmp_path / "ubi", tmp_path / "made.jsonl", catalogue=None, most=None, reading=Reading(1, 10))
    (record,) = records.read(tmp_path / "made.jsonl")
    named = {"Material": "material"}.get(facet, facet)
    passed = {"material", "color", "washing care"} - {named}
    assert (record.query, dict(zip(record.attributes, record.gains, strict=True))) == (
        "wool rug",
        {named: 1.0} | dict.fromkeys(passed, 0.0),
    )
    place = record.attributes.index("color")
    assert [(product.title, product.gain, product.values[place]) for product in record.products] == [
        (f"Rug {each['id']}", float(each["id"] == bought), colors[each["id"]]) for each in ranked["results"]
    ]


def test_without_redis_there_is_no_log_to_write(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "events", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment(), text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "RANKER_REDIS_URL is needed: what is kept in process no other process can read"

"""Traces as a collector gets them: one server span a request, its stages below it, and no text of the request."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

WORD = "quetzal"
BODY: dict[str, Any] = {"query": f"red {WORD} rug", "attributes": [f"{WORD} color", "size"]}
SETTINGS = Settings.model_validate({"device": "cpu", "traces": True})
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = {"parse", "tokenise", "cache", "queue", "model"}

WITHOUT_EXTRA = """
import sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
import service.__main__
sys.argv[1:] = ["--traces", "--port", "0", "--device", "cpu"]
service.__main__.main()
"""


class Collector:
    """An OTLP receiver on the loopback; keeps every span that it was sent."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[Any]:
        """In the order of their beginnings."""
        found = [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: int(span.start_time_unix_nano))

    @contextmanager
    def open(self) -> Iterator[str]:
        """Gives the URL."""
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                received.append(ExportTraceServiceRequest.FromString(content))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join(10)


def traced(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], *requests: Any) -> Collector:
    """The collector, after a service has answered these requests and ended."""
    collector = Collector()
    with collector.open() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with TestClient(create_app(SETTINGS)) as client:
            for request in requests:
                client.post("/v1/weights?" + WORD[:3], json=request, headers=headers)
    return collector


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """What one request that no cache knows sends."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield traced(monkeypatch, {}, BODY)


def test_a_request_is_one_trace_of_a_server_span_with_its_stages_below(collector: Collector) -> None:
    (server,) = [span for span in collector.spans if not span.parent_span_id]
    stages = [span for span in collector.spans if span.parent_span_id]
    assert server.kind == 2  # SPAN_KIND_SERVER
    assert {span.name for span in stages} == STAGES
    assert {span.parent_span_id for span in stages} == {server.span_id}
    assert len({span.trace_id for span in collector.spans}) == 1


def test_a_stages_times_lie_within_the_request_in_the_order_of_the_work(collector: Collector) -> None:
    (server,) = [span for span in collector.spans if not span.parent_span_id]
    stages = [span for span in collector.spans if span.parent_span_id]
    slack = 50_000_000  # ns: clocks are read one after another
    for span in stages:
        assert server.start_time_unix_nano - slack <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= server.end_time_unix_nano + slack
    assert [span.name for span in stages] == ["parse", "tokenise", "cache", "queue", "model"]


def test_no_span_holds_a_text_of_the_request(collector: Collector) -> None:
    assert WORD not in str(collector.received)


def test_the_service_is_named(collector: Collector) -> None:
    assert "attribute-ranker" in str(collector.received[0].resource_spans[0].resource)


def test_the_callers_trace_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(monkeypatch, {"traceparent": f"00-{TRACE}-{PARENT}-01"}, BODY).spans
    assert {span.trace_id.hex() for span in found} == {TRACE}
    assert [span.kind for span in found if span.parent_span_id.hex() == PARENT] == [2]


def test_what_the_caller_does_not_sample_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not traced(monkeypatch, {"traceparent": f"00-{TRACE}-{PARENT}-00"}, BODY).spans


def test_each_request_is_a_trace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(monkeypatch, {}, BODY, BODY, {"query": "", "attributes": [WORD]})
    assert len({span.trace_id for span in found.spans}) == 3
    assert WORD not in str(found.received)


def test_a_collector_that_is_gone_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with TestClient(create_app(SETTINGS)) as client:
        assert client.post("/v1/weights", json=BODY).status_code == 200


def test_without_the_extra_the_start_fails_by_its_name() -> None:
    ended_with = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended_with.returncode == 1
    assert ended_with.stderr.splitlines()[-1].endswith("pip install 'attribute-ranker[otel]'")
    assert "Traceback" not in ended_with.stderr

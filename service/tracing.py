"""OpenTelemetry traces, for those who install the extra `otel`.

Knows: OpenTelemetry's SDK, which reads its own OTEL_* variables. Does not know: what a span is about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.errors import StartError

SERVICE = "attribute-ranker"


@contextmanager
def tracing() -> Iterator[Any]:
    """A provider of tracers that sends spans in the background by OTLP; what is left is sent at the end.

    Raises StartError where the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StartError("RANKER_TRACES wants OpenTelemetry: pip install 'attribute-ranker[otel]'") from error
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider
    finally:
        provider.shutdown()

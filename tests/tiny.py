"""A BERT so small that every test can afford it, its tokenizer, and the configuration of a run that starts from it."""

import gzip
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel

from model_export.config import Config
from model_export.export import to_onnx
from model_export.network import PackedRanker
from model_export.records import Record, Span
from service.bundle import FORMAT, MANIFEST, version_of
from service.text import Row, Tokenizer, pack

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = [
    "red",
    "blue",
    "green",
    "navy",
    "black",
    "white",
    "wool",
    "cotton",
    "silk",
    "leather",
    "linen",
    "rug",
    "shirt",
    "shoes",
    "lamp",
    "table",
    "laptop",
    "socks",
    "type",
    "color",
    "colour",
    "material",
    "size",
    "brand",
    "price",
    "shape",
    "pattern",
    "product",
    "name",
    "style",
    "season",
    "gender",
    "memory",
    "sport",
    "room",
    "care",
    "men",
    "women",
    "kids",
    "large",
    "small",
    "long",
    "short",
    "made",
    "in",
    "of",
    "for",
    "and",
    "with",
    "the",
    "new",
    "cheap",
    "warm",
    "round",
    "##s",
    "##ed",
    "##ing",
]
CHINESE = "红蓝绿黑白色羊毛棉丝皮革地毯衬衫鞋灯桌电脑袜材质颜尺寸品牌价格形状大小号男女儿童长短新款圆方"


def vocabulary(words: Sequence[str] = WORDS) -> dict[str, int]:
    """Words, single Chinese characters, and every letter and digit, so that nothing plain is unknown."""
    pieces = (*SPECIAL, *words, *CHINESE, *CHARACTERS, *(f"##{character}" for character in CHARACTERS))
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def write_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """A WordPiece tokenizer.json as a BERT's is."""
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary(words), unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(list(SPECIAL))
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def tiny_tokenizer(folder: Path, **limits: int) -> Tokenizer:
    """The tokenizer of a folder that `write_base` or `write_tokenizer` filled."""
    return Tokenizer(folder / "tokenizer.json", **({"max_query_tokens": 64, "max_attribute_tokens": 16} | limits))


def tiny_bert(seed: int = 0, words: Sequence[str] = WORDS) -> BertModel:
    """Random weights, large enough that what a token sees shows in its vector."""
    torch.set_num_threads(1)  # so little work is only slowed down by sharing it
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary(words)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    config._attn_implementation = "sdpa"
    bert = BertModel(config, add_pooling_layer=False)
    for parameter in bert.parameters():
        if parameter.dim() == 1:  # all ones or zeros at first, which the exporter would write once for all layers
            parameter.data += 0.02 * torch.randn(len(parameter))
    return bert


def tiny_ranker(seed: int = 0) -> PackedRanker:
    """The whole network, ready to be asked, with logits as far apart as trained ones."""
    ranker = PackedRanker(tiny_bert(seed)).eval()
    last = ranker.importance[2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight)
    return ranker


def write_base(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """A base model's folder: `config.json`, weights, `tokenizer.json`."""
    tiny_bert(words=words).save_pretrained(folder)
    write_tokenizer(folder, words)
    return folder


KINDS = {"rug": "地毯", "shirt": "衬衫", "trousers": "裤子", "scarf": "围巾", "bag": "包", "lamp": "灯", "hat": "帽子"}
"""Kinds of a small taxonomy with their Chinese names, some in characters that the tiny base lacks.

Of these, "hat" is kept aside where a tenth is.
"""


def write_taxonomy(folder: Path) -> Path:
    """A small taxonomy in the form of the public one, with the Chinese names of all it has."""
    folder.mkdir(parents=True, exist_ok=True)
    attributes = [
        {"id": "color", "name": "Color", "values": ["Red", "Orange"], "extends": None},
        {"id": "fabric", "name": "Fabric", "values": ["Wool", "Linen"], "extends": None},
        {"id": "heel_height", "name": "Heel height", "values": [], "extends": None},
    ]
    categories = [
        {"id": f"k-{place}", "path": ["Everything", kind.capitalize()], "attributes": ["color", "fabric"]}
        for place, kind in enumerate(KINDS)
    ]
    names = {
        "categories": {f"k-{place}": name for place, name in enumerate(KINDS.values())},
        "attributes": {"color": "颜色", "fabric": "面料", "heel_height": "鞋跟高度"},
        "values": {"color__red": "红色", "color__orange": "橙色", "fabric__wool": "羊毛", "fabric__linen": "亚麻"},
    }
    return write_kinds(folder, attributes, categories, {"zh-CN": names})


def write_kinds(
    folder: Path, attributes: Sequence[Mapping[str, Any]], kinds: Sequence[Mapping[str, Any]], names: Mapping[str, Any]
) -> Path:
    """A taxonomy in the form of the reader's files, with names by language, into a folder that is there."""
    for name, lines in {"attributes": attributes, "categories": kinds}.items():
        _write_gzip(folder / f"{name}.jsonl.gz", "".join(json.dumps(line) + "\n" for line in lines))
    for language, content in names.items():
        _write_gzip(folder / f"names.{language}.json.gz", json.dumps(content, ensure_ascii=False))
    return folder


def _write_gzip(path: Path, content: str) -> None:
    path.write_bytes(gzip.compress(content.encode()))


def write_judged(folder: Path, *queries: str) -> Path:
    """Judgements in the form of ESCI, one of a product for each query, without the catalogue."""
    folder.mkdir(parents=True)
    lines = ["query,product_id,label", *(f'"{query}",1,E' for query in queries)]
    (folder / "judgments.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def tiny_config(base: Path | str, shop: Mapping[str, Any] | None = None, **options: Any) -> Config:
    """The configuration of a run over one source called `shop`, in our own form; `shop` are options of that source."""
    source = {"reader": "jsonl", "train": "shop.jsonl", "licence": "CC0-1.0", "rate": 1, "others": 0}
    content = {
        "name": "tiny",
        "base": str(base),
        "base_licence": "CC0-1.0",
        "max_query_tokens": 64,
        "max_attribute_tokens": 16,
        "gpu_file": False,
        "sources": {"shop": source | dict(shop or {})},
    }
    return Config.model_validate(content | options)


def shop_records() -> list[Record]:
    """Twelve queries that state a color and a material, with the price as what does not matter."""
    colors, materials, things = ("red", "blue", "green"), ("wool", "cotton"), ("rug", "shirt")
    return [
        Record(
            f"{color} {material} {thing}",
            ("color", "material", "price"),
            (1.0, 1.0, 0.0),
            (
                ((0, len(color)),),
                ((len(color) + 1, len(color) + 1 + len(material)),),
                (),
            ),
        )
        for color in colors
        for material in materials
        for thing in things
    ]


# None of these is known under another spelling.
NAMES = ("voltage", "thread count", "lens colour", "page count")


def valued(query: str, *values: tuple[Span, ...] | None) -> Record:
    """A record of as many attributes as there are values, each with a gain of 1."""
    return Record(query, NAMES[: len(values)], (1.0,) * len(values), values)


def row(tokenizer: Tokenizer, query: str, *attributes: str) -> Row:
    """A query and its candidates as one packed row."""
    return pack(tokenizer.query(query), [tokenizer.attribute(name) for name in attributes], row_tokens=10_000)[0]


@lru_cache
def tiny_graph(seed: int = 0) -> bytes:
    """`tiny_ranker` as the exporter writes it in fp32, made once for all tests."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        to_onnx(tiny_ranker(seed), tiny_config(write_base(folder)), folder / "tiny.onnx")
        return (folder / "tiny.onnx").read_bytes()


def write_bundle(folder: Path, seed: int = 0, *, gpu: bytes = b"", **changes: Any) -> Path:
    """A bundle around the tiny graph, with a graph for GPUs if one is given, and changes to its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    (folder / "model.onnx").write_bytes(tiny_graph(seed))
    (folder / "prior.json").write_text('{"default": 0.0, "logits": {"color": 1.0}}')
    paths = {"tokenizer": "tokenizer.json", "cpu": "model.onnx", "prior": "prior.json"}
    if gpu:
        paths["gpu"] = "model.fp16.onnx"
        (folder / paths["gpu"]).write_bytes(gpu)
    contents = {role: (folder / path).read_bytes() for role, path in paths.items()}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": "tiny & new",
        "files": {
            role: {"path": paths[role], "sha256": sha256(content).hexdigest(), "bytes": len(content)}
            for role, content in contents.items()
        },
        "temperature": 1.5,
        "value_threshold": 0.5,
        "ranking": {"overlap": 0.1, "exclusion": 0.2, "strength": 0.3, "join": 0.8},
        "limits": {"max_query_tokens": 64, "max_attribute_tokens": 16},
        "base": {},
        "training_data": [],
        "metrics": {},
    } | changes
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": version_of(manifest)}))
    return folder

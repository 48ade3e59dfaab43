"""The start: the base grown by the characters it lacks, and texts in line with their meanings."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tiny import KINDS, shop_records, tiny_config, write_taxonomy
from torch import Tensor

from model_export import base as stage
from model_export import pretrained, records
from model_export.base import MEANINGS, TEXTS, first_guess, new_characters
from model_export.config import Config
from model_export.losses import embedding_loss
from model_export.records import Product, Record
from service.text import Tokenizer

NEW = set("裤子围巾包橙面料跟高度亚麻")
"""The characters of the taxonomy's names that the tiny base lacks, without those of the kind that is kept aside."""


class Grown(NamedTuple):
    """The stage, run once: its configuration, its folder and what it tells."""

    config: Config
    out: Path
    outcome: dict[str, Any]


def configured(base: Path, folder: Path, **languages: Any) -> Config:
    source = {"train": "unread", "licence": "CC0-1.0", "rate": 1}
    sources = {
        "shop": source | {"reader": "jsonl"},
        "kinds": source | {"reader": "jsonl", "language": "zh-CN"},
    }
    options = {"taxonomy": "taxonomy", "names": ["zh-CN"], "steps": 60, "batch": 8, "rate": 0.03} | languages
    return tiny_config(base, sources=sources, data=folder, work=folder / "work", languages=options)


SOLD = Record("red rug", ("color",), (1.0,), (None,), products=(Product(1.0, "round wool rug", (None,)),))


def sources_in(folder: Path) -> Path:
    out = folder / "sources"
    out.mkdir()
    records.write(out / "shop.train.jsonl", [SOLD])
    records.write(out / "shop.dev.jsonl", shop_records()[-1:])
    records.write(out / "kinds.train.jsonl", [Record("红色圆地毯", ("颜色",), (1.0,), (None,))])
    records.write(out / "kinds.dev.jsonl", [])
    return out


def grow(base: Path, folder: Path, **languages: Any) -> Grown:
    write_taxonomy(folder / "taxonomy")
    config = configured(base, folder, **languages)
    out = pretrained.start_folder(config)
    out.mkdir(parents=True)
    outcome = stage.write_base(config, sources_in(folder), out)
    return Grown(config, out, outcome)


@pytest.fixture(scope="module")
def grown(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return grow(base, tmp_path_factory.mktemp("grown"))


def table(folder: Path) -> Tensor:
    weight: Tensor = pretrained.load_bert(folder).embeddings.word_embeddings.weight.detach()
    return weight


def vocabulary(folder: Path) -> dict[str, int]:
    content: dict[str, int] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return content


def texts(folder: Path) -> list[str]:
    return [json.loads(line) for line in (folder / TEXTS).read_text(encoding="utf-8").splitlines()]


def reader(grown: Grown) -> Tokenizer:
    return pretrained.tokenizer(grown.config)


def test_the_characters_that_a_vocabulary_lacks_are_found_in_order(base: Path) -> None:
    assert new_characters(base / "tokenizer.json", ["橙色 abc", "麻é橙"]) == sorted("橙麻")


def test_each_new_character_gets_a_token_behind_the_old_ones(base: Path, grown: Grown) -> None:
    before, after = vocabulary(base), vocabulary(grown.out)
    added = {piece: place for piece, place in after.items() if piece not in before}
    assert set(added) == NEW
    assert sorted(added.values()) == list(range(len(before), len(before) + len(NEW)))
    assert {piece: after[piece] for piece in before} == before


def test_each_new_token_has_a_vector(base: Path, grown: Grown) -> None:
    new = table(grown.out)[len(vocabulary(base)) :]
    assert len(new) == len(NEW) and bool((new.norm(dim=-1) > 0).all())


def test_old_vectors_stay_as_they_are(base: Path, grown: Grown) -> None:
    before = table(base)
    assert torch.equal(table(grown.out)[: len(before)], before)


def test_everything_but_the_table_stays_as_it_is(base: Path, grown: Grown) -> None:
    one, other = (pretrained.load_bert(folder).state_dict() for folder in (base, grown.out))
    assert all(torch.equal(one[name], other[name]) for name in one if "word_embeddings" not in name)


def test_names_of_kinds_that_are_kept_aside_teach_nothing(grown: Grown) -> None:
    assert not {"hat", KINDS["hat"]} & set(texts(grown.out))
    assert "帽" not in vocabulary(grown.out)


def test_texts_and_meanings_line_up(base: Path, grown: Grown) -> None:
    found, meanings = texts(grown.out), np.load(grown.out / MEANINGS)
    assert (len(found), meanings.dtype) == (len(meanings), np.float16)
    expected = pretrained.embed(grown.config, ["rug", "heel height", "rug", "red rug"], folder=base)
    places = [found.index(text) for text in ("地毯", "鞋跟高度", "rug", "red rug")]
    np.testing.assert_allclose(meanings[places], expected, atol=1e-3)


def test_texts_are_names_in_both_languages_and_what_english_sources_say(grown: Grown) -> None:
    found = texts(grown.out)
    assert {"地毯", "rug", "橙色", "orange", SOLD.query, SOLD.products[0].title} <= set(found)
    # Queries of other languages have no meaning that the base knows, and those of the dev half are not shown.
    assert not {"红色圆地毯", shop_records()[-1].query} & set(found)
    assert len(found) == len(set(found)) == grown.outcome["texts"]


def test_the_grown_tokenizer_reads_chinese_a_character_a_token(grown: Grown) -> None:
    query = "橙色亚麻裤子"
    found = reader(grown).query(query)
    assert found.ids[1:-1] == tuple(vocabulary(grown.out)[character] for character in query)
    assert found.words == [(place, place + 1) for place in range(len(query))]


def test_the_grown_tokenizer_reads_english_as_the_base_does(base: Path, grown: Grown) -> None:
    for text in ("red wool rug", "Größe 2x8", "颜色 of rugs"):
        assert reader(grown).query(text) == pretrained.tokenizer(grown.config, base).query(text)


def farness(grown: Grown) -> float:
    """What it costs to find the meanings of names that are written in new characters."""
    names = ["裤子", "围巾", "包", "橙色", "亚麻", "面料"]
    meanings = ["trousers", "scarf", "bag", "orange", "linen", "fabric"]
    own = torch.from_numpy(pretrained.embed(grown.config, names, folder=grown.out))
    return embedding_loss(own, torch.from_numpy(pretrained.embed(grown.config, meanings))).item()


def test_learning_brings_names_nearer_to_their_meaning_than_the_first_guess(
    base: Path, grown: Grown, tmp_path: Path
) -> None:
    guessed = grow(base, tmp_path, steps=1, rate=1e-9)
    assert farness(grown) < 0.7 * farness(guessed)


def test_the_first_guess_is_the_mean_of_the_meanings_by_share(base: Path, grown: Grown) -> None:
    tokenizer, vectors = reader(grown), table(grown.out)
    first = len(vocabulary(base))
    place = vocabulary(grown.out)["麻"] - first
    found = first_guess(vectors, tokenizer, [("麻", "wool"), ("红麻", "silk rug")], first)
    wool, silk, rug = (vectors[vocabulary(base)[word]] for word in ("wool", "silk", "rug"))
    # Alone in the first name, half of the second.
    torch.testing.assert_close(found[place], (wool + 0.5 * (silk + rug) / 2) / 1.5)


def test_a_token_that_no_name_has_is_guessed_as_nothing(base: Path, grown: Grown) -> None:
    found = first_guess(table(grown.out), reader(grown), [("红色", "red")], len(vocabulary(base)))
    assert torch.equal(found, torch.zeros_like(found))


def test_a_start_is_the_same_every_time(base: Path, grown: Grown, tmp_path: Path) -> None:
    assert torch.equal(table(grow(base, tmp_path).out), table(grown.out))


def test_without_other_languages_the_base_goes_through_as_it_is(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    config = tiny_config(base, sources=configured(base, tmp_path).sources)
    outcome = stage.write_base(config, sources_in(tmp_path), out)
    assert outcome == {"characters": 0, "translations": 0, "texts": 2}
    assert (out / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_without_english_there_are_no_texts(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kinds = configured(base, tmp_path).sources["kinds"]
    outcome = stage.write_base(tiny_config(base, sources={"kinds": kinds}), sources_in(tmp_path), out)
    assert (outcome["texts"], texts(out), len(np.load(out / MEANINGS))) == (0, [], 0)

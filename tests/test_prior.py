"""The prior: every attribute has a logit, known by its tokens, and a bad file is refused by name."""

import json
from pathlib import Path

import pytest

from service.errors import BundleError
from service.prior import Prior, open_prior
from service.text import Tokenizer, attribute_key


def written(folder: Path, content: object) -> Path:
    (folder / "prior.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "prior.json"


def logit(prior: Prior, tokenizer: Tokenizer, name: str) -> float:
    return prior.logit(attribute_key(tokenizer.attribute(name)))


@pytest.mark.parametrize("name", ["washing care", "Washing  CARE", " washing care"])
def test_an_attribute_is_known_however_it_is_written(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    prior = open_prior(written(tmp_path, {"default": -1, "logits": {"washing care": 2.5}}), tokenizer)
    assert logit(prior, tokenizer, name) == 2.5


@pytest.mark.parametrize("name", ["attr_t_heel_height", "heelHeight", "heelheight"])
def test_an_attribute_is_known_by_its_plain_name(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    prior = open_prior(written(tmp_path, {"default": -1, "logits": {"heel height": 2.5}}), tokenizer)
    assert logit(prior, tokenizer, name) == 2.5


@pytest.mark.parametrize("names", [("uom", "unit of measure"), ("unit of measure", "uom")])
def test_of_two_spellings_in_the_table_the_plain_ones_logit_holds(
    tmp_path: Path, tokenizer: Tokenizer, names: tuple[str, str]
) -> None:
    logits = {name: float(name == "unit of measure") for name in names}
    prior = open_prior(written(tmp_path, {"default": -1, "logits": logits}), tokenizer)
    assert [logit(prior, tokenizer, name) for name in names] == [1.0, 1.0]


def test_an_attribute_that_training_never_saw_has_the_default(tmp_path: Path, tokenizer: Tokenizer) -> None:
    prior = open_prior(written(tmp_path, {"default": -1.25, "logits": {"color": 2}}), tokenizer)
    assert logit(prior, tokenizer, "heel height") == -1.25


BAD = {
    "nothing": "",
    "no JSON": "{",
    "a list": [],
    "no default": {"logits": {}},
    "no logits": {"default": 0},
    "logits a list": {"default": 0, "logits": [1]},
    "a logit that is a text": {"default": 0, "logits": {"color": "much"}},
    "a logit that is null": {"default": 0, "logits": {"color": None}},
    "NaN": {"default": 0, "logits": {"color": float("nan")}},
    "infinity": {"default": float("-inf"), "logits": {}},
    "too large a number": {"default": 10**400, "logits": {}},
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_prior_is_refused_by_its_name(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    with pytest.raises(BundleError, match=r"prior\.json"):
        open_prior(written(tmp_path, BAD[name]), tokenizer)


def test_a_file_that_is_not_utf_8_is_refused_by_its_name(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "prior.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match=r"prior\.json"):
        open_prior(tmp_path / "prior.json", tokenizer)


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(BundleError, match=r"prior\.json"):
        open_prior(tmp_path / "prior.json", tokenizer)

"""Pictures' vectors, what texts say of stored values, and the graph that weighs them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import link_bundle
from hypothesis import given
from hypothesis import strategies as st

from service.bundle import Bundle, open_bundle
from service.errors import BadInput, BundleError
from service.matching.parsing import Parser
from service.matching.units import Units
from service.pictures import Stated, open_pictures, similarities, unit_vector

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(NUMBERS, min_size=1, max_size=20).filter(any))
def test_a_vector_has_length_one_however_large_or_small_its_numbers(numbers: list[float]) -> None:
    assert np.linalg.norm(unit_vector(numbers, len(numbers)).astype(np.float64)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ([1.0, 2.0], "image_embedding has 2 numbers, and this bundle reads 3"),
        ([], "has 0 numbers"),
        ([1.0, float("nan"), 2.0], "holds a number that is not finite"),
        ([1.0, float("-inf"), 2.0], "holds a number that is not finite"),
        ([0.0, 0.0, -0.0], "holds nothing but zeros"),
    ],
)
def test_a_vector_that_is_none_is_refused_with_its_field(numbers: list[float], what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        unit_vector(numbers, 3)
    assert caught.value.field == "image_embedding"


def near(text: str, entries: list[str], cosines: list[float]) -> list[float]:
    """How near a stated value is to others of these cosines."""
    parser = Parser(Units({}))
    vectors = np.array([[cosine, np.sqrt(1 - cosine**2)] for cosine in cosines], np.float32)
    stated = Stated(text, np.array([1, 0], np.float32), 0.9)
    found: list[float] = similarities(stated, entries, vectors, wanted=parser.wanted, found=parser.found).tolist()
    return found


def test_the_nearest_value_is_the_one_that_agrees_most_whatever_the_cosines() -> None:
    navy = near("navy", ["beige", "blue", "red"], [0.9, 0.5, 0.5])
    assert max(navy) == navy[1]


def test_values_that_agree_equally_are_told_apart_by_their_cosines() -> None:
    red, crimson = near("burgundy", ["red", "red"], [0.2, 0.8])
    assert red < crimson


def test_what_reads_the_same_is_nearest() -> None:
    assert near("navy", ["navy", "blue"], [1.0, 0.9])[0] == pytest.approx(1.01)


def test_the_shipped_bundle_reads_no_pictures(bundle: Bundle) -> None:
    assert bundle.image_width is None
    assert open_pictures(bundle, 384) is None


def test_a_bundle_says_what_its_pictures_are(seeing: Path) -> None:
    bundle = open_bundle(seeing)
    pictures = open_pictures(bundle, 384)
    assert pictures
    assert (pictures.width, pictures.threshold) == (bundle.image_width, bundle.image_threshold) == (24, 0.8)


def test_a_graph_of_other_lengths_than_its_bundle_says_is_refused(seeing: Path) -> None:
    bundle = open_bundle(seeing)
    with pytest.raises(BundleError, match=r"pictures\.onnx does not take pictures of 25 and texts of 384 numbers"):
        open_pictures(replace(bundle, image_width=25), 384)
    with pytest.raises(BundleError, match="does not take pictures of 24 and texts of 32 numbers"):
        open_pictures(bundle, 32)


def test_what_is_no_such_graph_is_refused(seeing: Path, bundle: Bundle, tmp_path: Path) -> None:
    seen = open_bundle(seeing)
    with pytest.raises(BundleError, match="has no input 'confidences': train the pictures again"):
        open_pictures(replace(seen, paths=seen.paths | {"pictures": bundle.paths["cpu"]}), 384)
    (tmp_path / "pictures.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"onnxruntime cannot load \S+pictures\.onnx"):
        open_pictures(replace(seen, paths=seen.paths | {"pictures": tmp_path / "pictures.onnx"}), 384)


def test_a_bundle_that_does_not_describe_its_pictures_is_refused(seeing: Path, tmp_path: Path) -> None:
    manifest = json.loads((seeing / "manifest.json").read_text(encoding="utf-8"))
    link_bundle(seeing, tmp_path / "other", pictures={"width": manifest["pictures"]["width"]})
    with pytest.raises(BundleError, match="no entry 'threshold'"):
        open_bundle(tmp_path / "other")

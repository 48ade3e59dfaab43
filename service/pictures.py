"""Pictures as a second source of values: which of an attribute's stored values a text and a picture mean together.

    score(value) = (1 - gate) · text scale · similarity + gate · image scale · cosine(P · picture, value)

`similarity` is how well the value agrees with the one that the text states, or, where it states none, the cosine of the
text and the value. P brings a picture's vector, of whatever model made it, to the space of texts. The gate, in [0, 1],
is of the attribute's name and of how sure the text is: near 0 where pictures do not tell. P, gate and scales are in the
bundle's graph; a softmax of the scores over the stored values is the probability of each, calibrated by the scales.

Knows: this formula, the graph that holds it. Does not know: how texts are embedded, HTTP, how the graph is trained.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.bundle import Bundle
from service.errors import BadInput, BundleError, ModelFailed
from service.matching.agreement import agreement
from service.matching.parsing import Found, Wanted

FIELD = "image_embedding"
INPUTS = ("images", "names", "confidences", "of_image", "entries", "similarities", "of_name")
OUTPUTS = ("text_terms", "image_terms", "gates")
TIE = 0.01
"""So much of its cosine is added to an agreement: values that agree equally are told apart by it."""
LEAST_SHARE = 0.2
"""A source is named where it gives so large a share of what lifts the chosen value above the mean of all."""

Source = Literal["text", "image", "both"]
Array = NDArray[np.float32]


class Stated(NamedTuple):
    """A value that a text states, normalised, its vector (width,), and how sure the model is of it."""

    text: str
    vector: Array
    confidence: float


class Evidence(NamedTuple):
    """What the text says of one attribute: the vector of its name (width,), those of the stored values (values, width),
    how near the text is to each (values,), and the confidence of the value stated, 0 where none is.
    """

    name: Array
    entries: Array
    similarities: Array
    confidence: float


class Choice(NamedTuple):
    """The place of the value chosen among those stored, its probability, and what told it."""

    place: int
    confidence: float
    source: Source


def unit_vector(numbers: Sequence[float], width: int) -> Array:
    """A picture's vector at length 1. Raises BadInput for another number of numbers than `width`, for one that is not
    finite, and for zeros alone.
    """
    if len(numbers) != width:
        raise BadInput(f"{FIELD} has {len(numbers)} numbers, and this bundle reads {width}", FIELD)
    vector = np.array(numbers, np.float64)
    if not np.isfinite(vector).all():
        raise BadInput(f"{FIELD} holds a number that is not finite", FIELD)
    largest = np.abs(vector).max()
    if largest == 0:
        raise BadInput(f"{FIELD} holds nothing but zeros", FIELD)
    vector /= largest  # first, for the squares of very large or small numbers would be none
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def similarities(
    stated: Stated,
    entries: Sequence[str],
    vectors: Array,
    *,
    wanted: Callable[[str], Wanted],
    found: Callable[[str], Found],
) -> Array:
    """How near a stated value is to each of the stored ones, all normalised: (values,).

    `vectors` (values, width) are those of the stored; `wanted` and `found` parse.
    """
    read, cosines = found(stated.text), (vectors @ stated.vector).tolist()
    agreed = [
        1.0 if entry == stated.text else agreement(wanted(entry), read, cosine)
        for entry, cosine in zip(entries, cosines, strict=True)
    ]
    return np.array(agreed, np.float32) + TIE * np.array(cosines, np.float32)


class Pictures:
    """The graph, loaded and run once; may be asked from several threads at once. Raises BundleError.

    `width` is the length of a picture's vector, `text_width` that of a text's; what is chosen with `threshold` or more
    is sure enough to be stored.
    """

    def __init__(self, path: Path, *, width: int, text_width: int, threshold: float) -> None:
        self.width, self.threshold = width, threshold
        self._session = _session(path)
        for kind, nodes, needed in (
            ("input", self._session.get_inputs(), INPUTS),
            ("output", self._session.get_outputs(), OUTPUTS),
        ):
            if missing := set(needed) - {node.name for node in nodes}:
                raise BundleError(f"the graph {path} has no {kind} {min(missing)!r}: train the pictures again")
        name, entries, near = (np.ones(shape, np.float32) for shape in ((text_width,), (2, text_width), (2,)))
        probe = Evidence(name, entries, near, 0.5)
        try:
            self.choose(np.ones((1, width), np.float32), [(0, probe)])
        except ModelFailed as error:
            raise BundleError(
                f"the graph {path} does not take pictures of {width} and texts of {text_width} numbers: "
                f"{error.__cause__ or error}"
            ) from error

    def choose(self, images: Array, asked: Sequence[tuple[int, Evidence]]) -> list[Choice]:
        """The value chosen for each (place of its product's picture, evidence). Raises ModelFailed."""
        if not asked:
            return []
        text, image, _ = self.terms(images, asked)
        ends = np.cumsum([len(evidence.entries) for _, evidence in asked])[:-1]
        return [_choice(*each) for each in zip(np.split(text, ends), np.split(image, ends), strict=True)]

    def terms(self, images: Array, asked: Sequence[tuple[int, Evidence]]) -> tuple[Array, Array, Array]:
        """The text's and the picture's part of each value's score, one attribute's values after another's, and each
        attribute's gate. `images` are unit vectors (products, width). Raises ModelFailed.
        """
        try:
            text, image, gates = self._session.run(list(OUTPUTS), feed(images, asked))
        except Exception as error:  # onnxruntime's exceptions share no narrower root
            raise ModelFailed(f"the graph of pictures failed on {len(asked)} attributes") from error
        if not all(np.isfinite(found).all() for found in (text, image, gates)):
            raise ModelFailed("the graph of pictures gave a score that is not a finite number")
        return text, image, gates


def feed(images: Array, asked: Sequence[tuple[int, Evidence]]) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """What the graph takes, by the names of its inputs: the attributes one after another, and so their values."""
    evidence = [each for _, each in asked]
    sizes = [len(each.entries) for each in evidence]
    return {
        "images": images,
        "names": np.stack([each.name for each in evidence]),
        "confidences": np.array([each.confidence for each in evidence], np.float32),
        "of_image": np.array([place for place, _ in asked], np.int64),
        "entries": np.concatenate([each.entries for each in evidence]),
        "similarities": np.concatenate([each.similarities for each in evidence]),
        "of_name": np.repeat(np.arange(len(asked)), sizes).astype(np.int64),
    }


def open_pictures(bundle: Bundle, text_width: int) -> Pictures | None:
    """The bundle's, None where it has none; `text_width` is the length of its texts' vectors. Raises BundleError."""
    if bundle.image_width is None:
        return None
    path, threshold = bundle.paths["pictures"], bundle.image_threshold
    return Pictures(path, width=bundle.image_width, text_width=text_width, threshold=threshold)


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise BundleError(f"onnxruntime cannot load {path}: {error}") from error


def _choice(text: Array, image: Array) -> Choice:
    """Of the two parts of each value's score."""
    scores = (text + image).astype(np.float64)
    best = int(scores.argmax())
    confidence = float(1 / np.exp(scores - scores[best]).sum())
    lifts = [float(part[best] - part.mean()) for part in (text, image)]
    least = LEAST_SHARE * sum(lifts)
    if lifts[1] <= least:
        return Choice(best, confidence, "text")
    return Choice(best, confidence, "image" if lifts[0] <= least else "both")

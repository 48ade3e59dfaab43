"""Stage 9: the fusion of texts and pictures, where a catalogue has vectors of pictures.

Knows: what is written, what is told of it. Does not know: products, how it is trained, bundles.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_export import gating, pretrained
from model_export.config import Config, Pictures
from model_export.filling.reading import Reader
from model_export.filling.seeing import checked
from model_export.fusion import DESCRIPTION, PICTURES, Fusion, to_onnx
from model_export.gating import Scored, scored
from model_export.lessons import Course
from model_export.quantise import INT8
from model_export.stage import StageFailed
from service.cores import usable_cores
from service.model import open_graph
from service.pictures import Pictures as Served

MOST_DIFFERENCE = 1e-3
"""Of a score, between the network and its file through the code that serves."""
COMPARED = 64
MOST_NAMED = 50


def write_pictures(config: Config, quantised: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `pictures.onnx` and `pictures.json`, or nothing where no product has a vector."""
    options = config.pictures
    if options.catalogue is None or not _has_vectors(config.data / options.catalogue):
        return {"products": 0}
    model, tokenizer = open_graph(quantised / INT8, device="cpu", threads=1), pretrained.tokenizer(config)
    reader = Reader(model, tokenizer, config.value_threshold, usable_cores())
    return teach(reader, config.data / options.catalogue, options, config.seed, out)


def _has_vectors(catalogue: Path) -> bool:
    return any(vector is not None for _, vector in checked(catalogue, None))


def teach(reader: Reader, catalogue: Path, options: Pictures, seed: int, out: Path) -> dict[str, Any]:
    """Train on a catalogue's products and write both files. Raises BadRecord, StageFailed and ModelFailed."""
    course = Course(reader, catalogue, options, seed)
    network = gating.trained(course.read, course.divided, options, seed)
    to_onnx(network, out / PICTURES)
    dev = scored(network, course.read, course.divided.dev)
    difference = _difference(course, network, dev, out / PICTURES)
    if not difference <= MOST_DIFFERENCE:
        raise StageFailed(f"the scores of {PICTURES} differ from the network's by {difference:.2g}: report this")
    described = {
        "width": course.width,
        "threshold": options.threshold,
        "metrics": measured(course, dev, options.threshold),
    }
    (out / DESCRIPTION).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sizes = {part: len(numbers) for part, numbers in course.divided._asdict().items()}
    return {"products": course.products, "lessons": sizes, "difference": difference} | described


def _difference(course: Course, network: Fusion, dev: Sequence[Scored], path: Path) -> float:
    """The largest difference of a score between the network and its file, which is asked for many at once."""
    lessons = [course.read(number) for number in course.divided.dev[:COMPARED]]
    served = Served(path, width=course.width, text_width=network.projection.out_features, threshold=1)
    images = np.stack([lesson.image for lesson in lessons])
    text, image, _ = served.terms(images, [(place, lesson.evidence) for place, lesson in enumerate(lessons)])
    return float(np.abs(text + image - np.concatenate([each.scores for each in dev[:COMPARED]])).max())


def measured(course: Course, dev: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """On dev lessons: how often text alone and both together are right, the gates, and what the threshold lets pass."""
    kept = [course.kept[number] for number in course.divided.dev]
    of_name: defaultdict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    sure = []
    for lesson, each in zip(kept, dev, strict=True):
        right = bool(each.scores.argmax() == each.truth)
        of_name[lesson.name].append((bool(lesson.similarities.argmax() == lesson.truth), right, each.gate))
        if gating.probabilities(each.scores).max() >= threshold:
            sure.append(right)
    often = sorted(of_name.items(), key=lambda named: -len(named[1]))[:MOST_NAMED]
    whole = [each for named in of_name.values() for each in named]
    return {
        "all": _means(whole),
        "sure": {"share": round(len(sure) / len(dev), 4), "right": round(float(np.mean(sure)), 4) if sure else None},
        "attributes": {name: _means(named) for name, named in often},
    }


def _means(named: Sequence[tuple[bool, bool, float]]) -> dict[str, float]:
    text, both, gate = (round(float(mean), 4) for mean in np.mean(np.array(named, np.float64), axis=0))
    return {"lessons": len(named), "text_alone": text, "with_pictures": both, "gate": gate}

"""What a bundle's dev data look like to it, for the service to tell drift by.

Knows: the three figures, the same that `service.drift` keeps of requests. Does not know: the manifest.
"""

import math
from collections.abc import Sequence

import numpy as np

from model_export import evaluation, metrics
from model_export.evaluation import Prediction
from service import scoring
from service.bundle import Reference
from service.text import Tokenizer


def reference(tokenizer: Tokenizer, predictions: Sequence[Prediction], *, temperature: float) -> Reference:
    """Of dev records and what the graph that is served says of them, at the bundle's temperature.

    Entropy is over that of equal weights, records of one attribute left out; the calibration error is that of the top
    weight on the records that rank. NaN where no record tells.
    """
    queries = [tokenizer.query(found.record.query) for found in predictions]
    weights = [scoring.softmax(found.logits.tolist(), temperature) for found in predictions]
    evenness = [scoring.entropy(each) / math.log(len(each)) for each in weights if len(each) > 1]
    confidence, observed = evaluation.reliability_points(predictions, temperature=temperature)
    pieces = sum(len(query.word_of) for query in queries)
    return Reference(
        sum(query.ids.count(tokenizer.unknown) for query in queries) / pieces if pieces else math.nan,
        float(np.mean(evenness)) if evenness else math.nan,
        metrics.calibration_error(confidence, observed) if len(confidence) else math.nan,
    )


def to_json(found: Reference) -> dict[str, float | None]:
    """As the manifest holds it; null where a figure is none."""
    return {name: round(value, 5) if math.isfinite(value) else None for name, value in found._asdict().items()}

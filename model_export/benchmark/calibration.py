"""Whether the weights mean what they say.

Knows: calibration error before and after the bundle's temperature, entropy against being right.
Does not know: models, plots.
"""

from collections.abc import Sequence

import numpy as np

from model_export import evaluation, metrics
from model_export.benchmark import measure
from model_export.benchmark.measure import Suite
from model_export.evaluation import Prediction
from service import scoring


def calibration(predictions: Sequence[Prediction], *, temperature: float) -> Suite:
    """The error of the top weight (10 bins) at the bundle's temperature, at 1 beside it, and how well entropy tells a
    wrong first attribute from a right one (AUC; 0.5 tells nothing).
    """
    points = {t: evaluation.reliability_points(predictions, temperature=t) for t in (1.0, temperature)}
    before = metrics.calibration_error(*points[1.0])
    error = metrics.calibration_error_of(*points[temperature])
    ranking = [p for p in predictions if p.record.ranks]
    entropies = [scoring.entropy(scoring.softmax(p.logits.tolist(), temperature)) for p in ranking]
    wrong = np.array([metrics.first_is_relevant(p.logits, p.record.gains) for p in ranking]) == 0
    return {
        "ECE": measure.measured(error, len(ranking), {"at T = 1": before}),
        "entropy tells wrong, AUC": measure.measured(metrics.auc_of(entropies, wrong), len(ranking)),
    }

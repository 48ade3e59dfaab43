"""Whether the weights mean what they say.

Knows: calibration error before and after the bundle's temperature and at one that was fitted on other queries, entropy
against being right and against nDCG. Does not know: models, plots, which queries are in a fold.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export import evaluation, metrics
from model_export.benchmark import measure
from model_export.benchmark.measure import Suite
from model_export.evaluation import Prediction
from service import scoring

CROSS_VALIDATED = "ECE, T cross-validated"


def calibration(predictions: Sequence[Prediction], folds: Sequence[int], *, temperature: float) -> Suite:
    """The error of the top weight (10 bins) at the bundle's temperature, at 1 beside it; the same where each of the
    `folds`, one a prediction, has the temperature that fits the other folds; and how well entropy tells a wrong first
    attribute from a right one (AUC; 0.5 tells nothing) and a low nDCG from a high one (Spearman; 0 tells nothing).

    The bundle's one temperature was fitted on these very queries, among those of all sources. Those of the folds are
    fitted on these predictions alone. The queries are divided once, and intervals hold the temperatures fixed.
    """
    points = {t: evaluation.reliability_points(predictions, temperature=t) for t in (1.0, temperature)}
    before = metrics.calibration_error(*points[1.0])
    error = metrics.calibration_error_of(*points[temperature])
    of_others = metrics.calibration_error_of(*_cross_validated(predictions, folds))
    ranking = [p for p in predictions if p.record.ranks]
    entropies = [scoring.entropy(scoring.softmax(p.logits.tolist(), temperature)) for p in ranking]
    lost = [-metrics.ndcg(p.logits, p.record.gains) for p in ranking]
    wrong = np.array([metrics.first_is_relevant(p.logits, p.record.gains) for p in ranking]) == 0
    return {
        "ECE": measure.measured(error, len(ranking), {"at T = 1": before}),
        CROSS_VALIDATED: measure.measured(of_others, len(ranking)),
        "entropy tells wrong, AUC": measure.measured(metrics.auc_of(entropies, wrong), len(ranking)),
        "entropy tells low nDCG, Spearman": measure.measured(
            metrics.rank_correlation_of(entropies, lost), len(ranking)
        ),
    }


def _cross_validated(
    predictions: Sequence[Prediction], folds: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The reliability points of all folds, fold by fold, each at the temperature that fits the others."""
    divided = list(zip(predictions, folds, strict=True))
    points = []
    for fold in sorted(set(folds)):
        fitted = evaluation.fit_temperature([each for each, of in divided if of != fold])
        own = [each for each, of in divided if of == fold]
        points.append(evaluation.reliability_points(own, temperature=fitted))
    return np.concatenate([top for top, _ in points]), np.concatenate([share for _, share in points])

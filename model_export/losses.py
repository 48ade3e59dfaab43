"""What training minimises.

Knows: the formulas, and the tensors of a batch and of the network's scores. Does not know: data, schedules, files.
"""

import math

import torch
from torch import Tensor, nn

from model_export.batches import Batch, Products
from model_export.network import Scores

NAMES_TEMPERATURE = 0.05
"""Of the softmax over the texts of a batch, as the base itself was trained (Reimers and Gurevych 2019: scale 20)."""
RANKING_TEMPERATURE, ATTRIBUTE_SHARE = 0.05, 0.3
"""Of the softmax over products, and how much the weighted attributes count beside the text in a product's score."""


def log_weights(scores: Scores, batch: Batch) -> Tensor:
    """The logarithms of the weights, 0 where there is no candidate."""
    return torch.log_softmax(_present(scores, batch), dim=-1).masked_fill(~batch.present, 0.0)


def importance_loss(scores: Scores, batch: Batch) -> Tensor:
    """The listwise cross-entropy to the normalised gains (ListNet, Cao et al. 2007), a mean over the rows that have
    gains in which each counts by its weight, whose mean over the source is 1.
    """
    has_gain = batch.gains.sum(-1) > 0
    row_weight = batch.weight * has_gain
    return -(batch.gains * log_weights(scores, batch)).sum(-1) @ row_weight / has_gain.sum().clamp_min(1)


def value_loss(scores: Scores, batch: Batch) -> Tensor:
    """The binary cross-entropy over the tokens whose value is known, each counting by its record's weight."""
    token_weight = batch.known * batch.weight[:, None, None]
    token_loss = nn.functional.binary_cross_entropy_with_logits(
        scores.value_logits.float(), batch.inside, reduction="none"
    )
    return (token_loss * token_weight).sum() / batch.known.sum().clamp_min(1)


def embedding_loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """How far embeddings are from their targets, both unit vectors (texts, width): one minus the cosine, and the
    cross-entropy of finding each text's own target among all of the batch (InfoNCE, van den Oord et al. 2018).

    Texts of one meaning do not compete.
    """
    cosines = embeddings @ targets.T
    same = (targets @ targets.T > 0.999).fill_diagonal_(False)
    logits = (cosines / NAMES_TEMPERATURE).masked_fill(same, -math.inf)
    own = torch.arange(len(targets), device=targets.device)
    return (1 - cosines.diagonal()).mean() + nn.functional.cross_entropy(logits, own)


def ranking_loss(scores: Scores, titles: Tensor, products: Products, batch: Batch) -> Tensor:
    """The listwise cross-entropy over each query's products, scored much as they are ranked: the cosine of query and
    title plus the weighted sum of how well each attribute's value matches. Here a match is a cosine with the query, for
    nothing is stated yet; the service compares values by their kind with what the query states. A mean over the rows
    with a product of some gain, in which each counts by its weight, as in `importance_loss`.

    `titles`: the products' embeddings, (rows, products, width), unit vectors.
    """
    weights = torch.softmax(_present(scores, batch), dim=-1)
    text = (titles @ scores.embeddings.float()[:, :, None]).squeeze(-1)
    found = text + ATTRIBUTE_SHARE * (products.matches @ weights[:, :, None]).squeeze(-1)
    listed = (found / RANKING_TEMPERATURE).masked_fill(~products.present, -math.inf)
    log_shares = torch.log_softmax(listed, dim=-1).masked_fill(~products.present, 0.0)
    has_gain = products.gains.sum(-1) > 0
    row_weight = batch.weight * has_gain
    return -(products.gains * log_shares).sum(-1) @ row_weight / has_gain.sum().clamp_min(1)


def divergence(one: Scores, other: Scores, batch: Batch) -> tuple[Tensor, Tensor]:
    """(of the weights, of the values): the symmetric KL between two passes that dropped different units (R-Drop, Liang
    et al. 2021), as means over rows and over the tokens whose value is known.
    """
    p, q = (log_weights(scores, batch) for scores in (one, other))
    weights = ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2
    z, y = one.value_logits.float(), other.value_logits.float()
    values = ((z.sigmoid() - y.sigmoid()) * (z - y) * batch.known).sum() / batch.known.sum().clamp_min(1) / 2
    return weights, values


def _present(scores: Scores, batch: Batch) -> Tensor:
    """The logits, -inf where there is no candidate."""
    return scores.logits.float().masked_fill(~batch.present, -math.inf)

"""The network that a run starts from; and a shallower one that learns from a trained one what it says of a batch.

Knows: which layers a shallower network keeps, where a finished run has its weights, the losses of imitation.
Does not know: data, schedules, what else training minimises.
"""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from model_export import bundled, pretrained
from model_export.batches import Batch
from model_export.config import Config
from model_export.losses import log_weights
from model_export.network import PackedRanker, Scores
from model_export.stage import StageFailed

WEIGHTS = "weights.pt"


def untrained(config: Config) -> PackedRanker:
    """The network as it is before training, with as many layers as the run keeps."""
    ranker = PackedRanker(pretrained.load_bert(pretrained.start_folder(config)))
    return shallower(ranker, config.layers)


def started(config: Config) -> PackedRanker:
    """The network that training begins with: that of the base, or of the bundle that the run goes on from.

    Raises BundleError, and StageFailed for a bundle of another shape.
    """
    ranker, start = untrained(config), bundled.start_of(config)
    if start:
        weights = bundled.weights(bundled.opened(start).paths["gpu"])
        own = ranker.state_dict()
        table = weights[bundled.WORDS]
        weights[bundled.WORDS] = torch.cat([table, own[bundled.WORDS][len(table) :]])  # characters new in this run
        if {name: tensor.shape for name, tensor in weights.items()} != {n: tensor.shape for n, tensor in own.items()}:
            raise StageFailed(f"the bundle {start} has other layers than this run: set layers to as many as it has")
        ranker.load_state_dict(weights)
    return ranker


def load(ranker: PackedRanker, trained: Path) -> PackedRanker:
    """The same network with the weights that a training kept, in evaluation."""
    ranker.load_state_dict(kept(trained / WEIGHTS))
    return ranker.eval()


def kept(path: Path) -> dict[str, Tensor]:
    """The weights that a training kept, on the CPU."""
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights


def teacher_of(config: Config) -> PackedRanker | None:
    """The trained network with all its layers that a run imitates, where it imitates one. It does not learn."""
    if config.teacher is None:
        return None
    ranker = PackedRanker(pretrained.load_bert(pretrained.start_folder(config)))
    return load(ranker, config.teacher / "train").requires_grad_(False)


def kept_layers(deep: int, layers: int) -> list[int]:
    """`layers` of `deep` layers, evenly spaced, the first and the last among them: 0, 2 and 5 of six.

    One layer alone is the first.
    """
    return [place * (deep - 1) // max(1, layers - 1) for place in range(layers)]


def shallower(teacher: PackedRanker, layers: int) -> PackedRanker:
    """A copy with so many of its layers, 0 for all, ready to learn."""
    student = copy.deepcopy(teacher).requires_grad_(True)
    stack = student.encoder.encoder.layer
    kept = kept_layers(len(stack), layers or len(stack))
    student.encoder.encoder.layer = nn.ModuleList(stack[place] for place in kept)
    student.encoder.config.num_hidden_layers = len(kept)
    return student


def imitation_loss(scores: Scores, teacher: Scores, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(weights, values, embeddings): the KL of the weights, the teacher's first, a mean over rows; the binary
    cross-entropy of the value probabilities to the teacher's, a mean over tokens (Hinton et al. 2015); and one minus
    the cosine of the embeddings.
    """
    p, q = log_weights(teacher, batch), log_weights(scores, batch)
    weights = (p.exp() * (p - q) * batch.present).sum(-1).mean()
    tokens = batch.present[:, :, None].expand_as(scores.value_logits)
    each = nn.functional.binary_cross_entropy_with_logits(
        scores.value_logits.float(), torch.sigmoid(teacher.value_logits.float()), reduction="none"
    )
    values = (each * tokens).sum() / tokens.sum().clamp_min(1)
    embeddings = 1 - (scores.embeddings.float() * teacher.embeddings.float()).sum(-1).mean()
    return weights, values, embeddings

"""The network: a BERT that reads a query and all its candidates in one pass, with two heads and an embedding.

Knows: the attention pattern of a packed row, the heads.
Does not know: losses, data, where a pretrained encoder comes from, ONNX.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertModel


class Scores(NamedTuple):
    """What one pass gives: `logits` (rows, candidates), `value_logits` (rows, candidates, query tokens) and
    `embeddings` (rows, width), a unit vector of each query.
    """

    logits: Tensor
    value_logits: Tensor
    embeddings: Tensor


def visible(block_ids: Tensor) -> Tensor:
    """Which token sees which, (rows, 1, length, length): block 0 and its own block, nothing else.

    Padding has block -1: it sees itself and the query, so that no row of the mask is empty, and nobody sees it.
    """
    keys = block_ids[:, None, None, :]
    return (keys == 0) | (keys == block_ids[:, None, :, None])


class PackedRanker(nn.Module):
    """One logit for each candidate, and for each candidate one logit for each query token.

    `importance` reads the last token of a candidate's block; `value` is the product of a candidate
    vector and a query token vector, so the probability that this token belongs to the candidate's value. No token of
    the query sees a candidate, so the mean of their vectors, turned by `text`, embeds the query, whatever the
    candidates are.
    """

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.importance = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.value_attribute = nn.Linear(width, width)
        self.value_token = nn.Linear(width, width)
        self.value_bias = nn.Parameter(torch.tensor(-2.0))
        self.text = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.text.weight)

    def forward(
        self,
        input_ids: Tensor,
        block_ids: Tensor,
        position_ids: Tensor,
        attribute_positions: Tensor,
        query_positions: Tensor,
    ) -> Scores:
        """Score packed rows.

        `input_ids`, `block_ids`, `position_ids`: (rows, length). `attribute_positions`: (rows, candidates), where
        each candidate's last token stands. `query_positions`: (query tokens,), 0 to the longest query's length.
        """
        hidden = self.encoder(
            input_ids=input_ids,
            attention_mask=visible(block_ids),
            token_type_ids=(block_ids > 0).to(input_ids.dtype),
            position_ids=position_ids,
        ).last_hidden_state
        index = attribute_positions[:, :, None].expand(-1, -1, hidden.shape[-1])
        attributes = hidden.gather(1, index)
        tokens = hidden.index_select(1, query_positions)
        scale = hidden.shape[-1] ** -0.5
        values = self.value_attribute(attributes) @ self.value_token(tokens).transpose(1, 2)
        return Scores(
            self.importance(attributes).squeeze(-1),
            values * scale + self.value_bias,
            nn.functional.normalize(self.text(query_mean(hidden, block_ids)), dim=-1),
        )


def query_mean(hidden: Tensor, block_ids: Tensor) -> Tensor:
    """The mean vector of each row's block 0, [CLS] and [SEP] included: (rows, width)."""
    own = (block_ids == 0).to(hidden.dtype)[:, None, :]
    return (own @ hidden).squeeze(1) / own.sum(-1)


def product_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: object
) -> tuple[Tensor, None]:
    """Attention (rows, length, heads, width of one) by plain matrix products.

    For training on CPUs: in bf16 the backward pass of PyTorch's fused one takes four times as long as both of these.
    `query`, `key`, `value`: (rows, heads, length, width of one); `attention_mask`: what is visible.
    """
    bias = torch.zeros(attention_mask.shape, dtype=query.dtype).masked_fill_(~attention_mask, -torch.inf)
    with torch.autocast(query.device.type, enabled=False):
        scores = (query * scaling) @ key.transpose(-1, -2)
        found = torch.softmax(scores.add_(bias), dim=-1) @ value
    return found.transpose(1, 2).contiguous(), None

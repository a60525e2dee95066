"""SPLADE's largest step made small: from hidden states to weights over the vocabulary.

A masked language model gives a logit for every token and every word of its vocabulary, of which SPLADE keeps the
largest a word, log(1 + relu(.)) of it. That function grows with its argument, so the largest can be taken first and the
function computed once a word instead of once a word and token; and taken block by block of the vocabulary, the logits
never exist all at once. For 300 tokens and 30,522 words they are 37 MB a text otherwise, gone through four times. On a
CPU a model of 2 layers and 128 dimensions spends a third of the time on such a text.

This module imports torch: it is itself imported only where a model is loaded.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import nn

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

# Words of the vocabulary at a time: their logits for a text of ordinary length stay in a CPU's cache.
_BLOCK = 2048
# Texts of unlike length, so that padding plays its part.
_PROBES = ["How do I rotate the signing keys of an index?", "Hydrant"]
_TOLERANCE = 1e-4


class BlockwisePooling(SpladePooling):
    """Max pooling over hidden states instead of logits; holds the projection itself."""

    def __init__(self, pooling: SpladePooling, head: nn.Linear) -> None:
        super().__init__(pooling.pooling_strategy, pooling.activation_function, pooling.embedding_dimension)
        self.head = head

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Put each text's weights, [texts, vocabulary], into the features."""
        highest = torch.stack([self._highest(states) for states in _texts(features)])
        weights = highest.relu().log1p()
        features["sentence_embedding"] = (
            weights.log1p() if self.activation_function == "log1p_relu" else weights
        )
        return features

    def _highest(self, states: torch.Tensor) -> torch.Tensor:
        """The largest logit of every word, [vocabulary], for one text's hidden states, [tokens, width]."""
        weight, bias = self.head.weight, self.head.bias
        if not len(states):
            return weight.new_zeros(len(weight))
        logits = torch.cat([(states @ block.T).amax(dim=0) for block in torch.split(weight, _BLOCK)])
        return logits if bias is None else logits + bias


def cheapened(model: SparseEncoder) -> SparseEncoder:
    """The model with the projection done blockwise, or the model itself where that would change its weights.

    The model is left as it is: what comes back is another one around the same weights in memory.
    """
    pairs = _pairs(model)
    if not pairs or any(weight.dtype != torch.float32 for weight in model.parameters()):
        return model
    try:
        cheap = _around_same_weights(model)
        for stage, place in _pairs(cheap):
            _take_projection_out(stage, place)
        same = _same_weights(model, cheap)
    except Exception:  # noqa: BLE001  networks nobody foresaw fail in any way; they are used as they are
        return model
    return cheap if same else model


def _pairs(model: nn.Module) -> list[tuple[nn.Sequential, int]]:
    """Where a network whose logits are max pooled stands, in the model or in one of its routes."""
    found = []
    for stage in model.modules():
        if not isinstance(stage, nn.Sequential):
            continue
        for place, (network, pooling) in enumerate(itertools.pairwise(stage)):
            if isinstance(network, Transformer) and _is_max(pooling) and _head(network) is not None:
                found.append((stage, place))
    return found


def _is_max(pooling: nn.Module) -> bool:
    return type(pooling) is SpladePooling and pooling.pooling_strategy == "max"


def _head(network: Transformer) -> nn.Linear | None:
    find = getattr(network.model, "get_output_embeddings", None)
    head = find() if callable(find) else None
    return head if type(head) is nn.Linear else None


def _around_same_weights(model: SparseEncoder) -> SparseEncoder:
    weights: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, weights)


def _take_projection_out(stage: nn.Sequential, place: int) -> None:
    # Modules of a sequence have no type of their own, hence Any
    network: Any = stage[place]
    pooling: Any = stage[place + 1]
    head = _head(network)
    if head is None:
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if child is head:
                setattr(module, name, nn.Identity())
    stage[place + 1] = BlockwisePooling(pooling, head)


def _same_weights(model: SparseEncoder, cheap: SparseEncoder) -> bool:
    for role in ("encode_query", "encode_document"):
        plain, blockwise = (
            getattr(one, role)(_PROBES, show_progress_bar=False, convert_to_sparse_tensor=False)
            for one in (model, cheap)
        )
        if not torch.allclose(plain, blockwise, rtol=_TOLERANCE, atol=_TOLERANCE):
            return False
    return True


def _texts(features: dict[str, Any]) -> list[torch.Tensor]:
    """The hidden states of each text without padding, whichever way the batch was put together."""
    states = features["token_embeddings"]
    if "cu_seq_lens_q" in features:
        ends = features["cu_seq_lens_q"].tolist()
        return [states[0, start:end] for start, end in itertools.pairwise(ends)]
    mask = features["attention_mask"].bool()
    return [text[kept] for text, kept in zip(states, mask, strict=True)]

"""What is exported: a transformer of sentence-transformers with all that comes after it, as one module of torch.

This module imports torch; import it only where something is exported.

Attention goes into the graph as one operator of onnxruntime's own (`com.microsoft::MultiHeadAttention`) wherever
transformers lets its attention be replaced: of the same layer written out in matrix products and reshapes, onnxruntime
takes a third longer on passages, and its graph optimizer does not recognise what torch's exporter writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from hydrant.encode.loading import without_bars
from hydrant.encode.models import Source
from hydrant.errors import ConfigurationError, ModelNotFound

if TYPE_CHECKING:
    import numpy.typing as npt

Head: TypeAlias = Literal["sentence", "scores", "terms"]
# What may come after the transformer: these read nothing but its output and the mask, so that a graph can hold them.
_KNOWN = frozenset({"Pooling", "Normalize", "Dense", "LayerNorm", "SpladePooling"})
# Settings of the transformer's own module that change the texts before the tokenizer, or the tokens after it.
_UNUSUAL = ("query_length", "document_length", "query_expansion")
_FUSED = "hydrant_onnx"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class Network:
    """A model in memory, ready to be exported.

    Attributes:
        module: Takes the tensors named by `inputs`, in that order, and returns one tensor: a row a text.
        inputs: The tokenizer's outputs that the transformer reads.
        tokenizer: The fast tokenizer of transformers.
        reference: What the library itself computes for texts, or pairs of texts: a row each.
        facts: What a user of the exported model has to know besides.
    """

    module: Assembled
    inputs: tuple[str, ...]
    tokenizer: Any
    reference: Callable[[Sequence[Any]], npt.NDArray[np.float32]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Assembled(torch.nn.Module):
    """A transformer and the modules after it, called with tensors alone."""

    def __init__(self, transformer: Any, tail: Sequence[torch.nn.Module], output: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.tail = torch.nn.ModuleList(tail)
        self.output = output

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One row a text."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        answer = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types
        )
        result: torch.Tensor = answer[self.output]
        features: dict[str, Any] = {"token_embeddings": result, "attention_mask": attention_mask}
        for module in self.tail:
            features = module(features)
        return features["sentence_embedding"] if self.tail else result

    def fuse(self) -> bool:
        """Turn the attention into onnxruntime's own operator; False where the transformer has no place for that."""
        if not getattr(self.transformer, "_supports_attention_backend", False):
            return False
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(_FUSED, _fused_attention)
        AttentionMaskInterface.register(_FUSED, _padding_mask)
        self.transformer.set_attn_implementation(_FUSED)
        return True

    def unfuse(self) -> None:
        """Attention as torch computes it."""
        self.transformer.set_attn_implementation("sdpa")


class TermPooling(torch.nn.Module):
    """SPLADE's weight of every term from the logits of every token, as sentence-transformers' SpladePooling computes it.

    That one goes through the tokens in pieces, whose number an exported graph cannot leave open.
    """

    def __init__(self, pooling: Any) -> None:
        super().__init__()
        self.strategy = pooling.pooling_strategy
        self.twice = pooling.activation_function == "log1p_relu"

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Adds "sentence_embedding", [texts, vocabulary]."""
        logits = features["token_embeddings"]
        logits = logits * features["attention_mask"].unsqueeze(-1).to(logits.dtype)
        # The functions grow with their argument: of the largest logit they are computed once a term, not once a token.
        weights = torch.relu(logits.amax(dim=1, keepdim=True) if self.strategy == "max" else logits).log1p()
        if self.twice:
            weights = weights.log1p()
        return {**features, "sentence_embedding": weights.sum(dim=1)}


def load_network(folder: str, head: Head, options: Mapping[str, Any]) -> Network:
    """Load a model from a folder.

    Args:
        folder: The folder.
        head: "sentence" for a bi-encoder's vectors, "scores" for a cross-encoder's logits (`num_labels` in the options
            gives it that many), "terms" for a weight of every term of the vocabulary (SPLADE).
        options: What the library's class is loaded with besides.

    Raises:
        ModelNotFound: It cannot be loaded.
        ConfigurationError: It has a part that cannot be exported; the message names it.
    """
    model = _loaded(folder, head, options)
    first, *tail = list(model)
    _check(folder, first, tail)
    tokenizer = model.tokenizer
    wanted = set(tokenizer.model_input_names)
    facts = {
        "max_tokens": model.max_seq_length,
        "positions": getattr(first.model.config, "max_position_embeddings", None),
        "prompts": {name: text for name, text in (getattr(model, "prompts", None) or {}).items() if text},
        "pad": [tokenizer.pad_token_id, tokenizer.pad_token_type_id, tokenizer.pad_token],
    }
    tail = [TermPooling(part) if type(part).__name__ == "SpladePooling" else part for part in tail]
    output = "last_hidden_state" if head == "sentence" else "logits"
    module = Assembled(first.model.float(), tail, output).eval()
    inputs = tuple(name for name in _INPUTS if name in wanted)
    return Network(module, inputs, tokenizer, _reference(model, head), facts)


def _loaded(folder: str, head: Head, options: Mapping[str, Any]) -> Any:
    import sentence_transformers
    from safetensors import SafetensorError

    if head == "terms":
        from hydrant.encode.sparse_backends import check_kind

        check_kind(Source(folder, local_only=True), folder, options, decoder=False)
    names = {"sentence": "SentenceTransformer", "scores": "CrossEncoder", "terms": "SparseEncoder"}
    build = getattr(sentence_transformers, names[head])
    try:
        with without_bars(silent=True):
            return build(folder, device="cpu", local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        msg = f"model {folder!r} could not be loaded to be exported: {error}"
        raise ModelNotFound(msg) from error


def _check(folder: str, first: Any, tail: Sequence[Any]) -> None:
    problems = [f"module {type(module).__name__}" for module in tail if type(module).__name__ not in _KNOWN]
    if type(first).__name__ != "Transformer":
        problems.append(f"module {type(first).__name__} in the place of the transformer")
    problems += [f"the setting {name}" for name in _UNUSUAL if getattr(first, name, None) is not None]
    problems += [
        "include_prompt=False" for module in tail if getattr(module, "include_prompt", True) is False
    ]
    if "message" in getattr(first, "modality_config", {}):
        problems.append("a chat template")
    tokenizer: Any = getattr(first, "tokenizer", None)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        problems.append("a tokenizer without a fast version")
    elif tokenizer.padding_side != "right":
        problems.append(f"padding on the {tokenizer.padding_side}")
    if problems:
        msg = (
            f"model {folder!r} cannot be exported to ONNX because of {', '.join(problems)}; what may follow the "
            f"transformer is {', '.join(sorted(_KNOWN))}. Use backend='torch'"
        )
        raise ConfigurationError(msg)


def _reference(model: Any, head: Head) -> Callable[[Sequence[Any]], npt.NDArray[np.float32]]:
    def sentence(texts: Sequence[Any]) -> Any:
        return model.encode(list(texts), show_progress_bar=False, prompt="")

    def terms(texts: Sequence[Any]) -> Any:
        return model.encode(
            list(texts), show_progress_bar=False, prompt="", convert_to_sparse_tensor=False
        ).numpy()

    def scores(pairs: Sequence[Any]) -> Any:
        values = model.predict(list(pairs), show_progress_bar=False, activation_fn=torch.nn.Identity())
        return np.asarray(values).reshape(len(pairs), -1)

    chosen = {"sentence": sentence, "terms": terms, "scores": scores}[head]
    return lambda texts: np.asarray(chosen(texts), dtype=np.float32)


def _fused_attention(
    module: Any,  # noqa: ARG001  transformers calls it so
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001  as above
    **others: Any,  # noqa: ARG001  as above
) -> tuple[torch.Tensor, None]:
    """Attention of [batch, heads, tokens, size] as transformers calls it, for the exporter only: it computes nothing."""
    batch, heads, tokens, size = query.shape
    flat = [part.transpose(1, 2).reshape(batch, tokens, heads * size) for part in (query, key, value)]
    scale = size**-0.5 if scaling is None else float(scaling)
    output = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        [*flat, None, attention_mask],
        {"num_heads": heads, "scale": scale},
        dtype=query.dtype,
        shape=flat[0].shape,
        version=1,
    )
    return output.reshape(batch, tokens, heads, size), None


def _padding_mask(
    *args: Any,  # noqa: ARG001  transformers calls it so
    attention_mask: torch.Tensor | None = None,
    **others: Any,  # noqa: ARG001  as above
) -> torch.Tensor | None:
    """The mask as the operator wants it: one number a token, 0 for padding."""
    return None if attention_mask is None else attention_mask.to(torch.int32)

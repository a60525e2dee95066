"""Vectors out of several layers of a transformer, where a model usually gives those of the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.backends import SentenceBackend
from hydrant.encode.dense import DenseEncoder
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch, checked_rows, finished, length_sorted_batches
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    from hydrant.encode.backends import Backend

Layers = tuple[tuple[int, ...], ...]


def layer_vectors(base: DenseEncoder, texts: Sequence[str], layers: Layers) -> npt.NDArray[np.float32]:
    """The usual vector of every text, and one for each set of layers: the mean of those, pooled as the model pools its last.

    Args:
        base: An encoder over a model of sentence-transformers, run by torch.
        texts: Documents.
        layers: Sets of layers, numbered as in transformers: 0 is the embeddings, -1 the last layer.

    Returns:
        [len(texts), 1 + len(layers), dimensions]

    Raises:
        ConfigurationError: The model does not show its layers, or has no such layer.
        EncodingError: The model returned something that is not a usable vector.
    """
    # The model is the encoder's own and nobody else's; this is a way through it that the encoder does not have.
    loaded = base._loaded()  # noqa: SLF001
    settings = base._settings()  # noqa: SLF001
    backend = loaded.models["document"]
    model = _transformer(backend)
    _check_layers(model, layers)
    checked = checked_texts(texts)
    window = backend.window("document")
    readable = checked if window is None else [window.cut(text) for text in checked]
    vectors = np.empty((len(checked), 1 + len(layers), base.dimensions), dtype=np.float32)
    for batch in length_sorted_batches(readable, backend.limits):
        for place, raw in enumerate(_passed(model, batch, loaded.prompts["document"], layers)):
            rows = checked_rows(raw, batch, loaded.facts["width"], backend.name)
            vectors[batch.positions, place] = finished(
                rows, settings["truncate_dim"], normalize=settings["normalize"]
            )
    return vectors


def _transformer(backend: Backend) -> Any:
    """The SentenceTransformer; its modules are of no type that says what they have."""
    model = backend._model if isinstance(backend, SentenceBackend) else None  # noqa: SLF001  as above
    if model is None or not hasattr(model[0], "auto_model"):
        msg = (
            f"views='layers' needs a transformer of sentence-transformers, run by torch, which shows its layers; got "
            f"{type(backend).__name__} of {backend.name}"
        )
        raise ConfigurationError(msg)
    return model


def _check_layers(model: Any, layers: Layers) -> None:
    # The embeddings below the first layer count as one.
    number = int(model[0].auto_model.config.num_hidden_layers) + 1
    for own in layers:
        for layer in own:
            if not -number <= layer < number:
                msg = f"layers must be from {-number} to {number - 1}, as the model has {number - 1} of them; got {layer}"
                raise ConfigurationError(msg)


def _passed(model: Any, batch: Batch, prompt: str, layers: Layers) -> Iterator[Any]:
    """The batch's vectors of the last layer, then those of each set."""
    import torch
    from sentence_transformers.util import batch_to_device

    transformer, *rest = list(model)
    model.eval()
    features = batch_to_device(model.preprocess(batch.texts, prompt=prompt), model.device)
    # The rest of the features is bookkeeping of the library.
    inputs = {name: features[name] for name in model.tokenizer.model_input_names if name in features}
    with torch.inference_mode():
        output = transformer.auto_model(**inputs, output_hidden_states=True, return_dict=True)
        means = (torch.stack([output.hidden_states[layer] for layer in own]).mean(dim=0) for own in layers)
        for tokens in (output.last_hidden_state, *means):
            pooled = {**features, "token_embeddings": tokens}
            for module in rest:
                pooled = module(pooled)
            yield pooled["sentence_embedding"].float().cpu().numpy()

"""Which kind of model something is, and what a record says of it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant.encode.backends import object_name
from hydrant.encode.identity import source_record
from hydrant.encode.models import Source
from hydrant.errors import ConfigurationError

# What each of the library's classes is, and which of our encoders it is for.
_KINDS: Mapping[str, tuple[str, str]] = {
    "SentenceTransformer": ("a SentenceTransformer, which makes one dense vector a text", "DenseEncoder"),
    "SparseEncoder": ("a sparse encoder", "SparseEncoder"),
    "MultiVectorEncoder": ("a late-interaction model, which makes a vector for every token", "LateEncoder"),
    "CrossEncoder": ("a cross-encoder, which scores pairs of texts and makes no vectors", "a reranker"),
}
# Whose model a name without an owner is.
_OWNER = "sentence-transformers"
_MANIFEST = "modules.json"
_LIBRARY_CONFIG = "config_sentence_transformers.json"
_CONFIG = "config.json"
# How much of a tensor tells it from another one of the same shape.
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True)
class Description:
    """What the files of a model say of it.

    Attributes:
        kind: The class of sentence-transformers that it is for; None where its files are those of a bare network.
        head: The end of the network's class, such as "ForMaskedLM"; "" where it has none.
    """

    kind: str | None
    head: str


def describe(source: Source, options: Mapping[str, Any]) -> Description:
    """Read what kind of model lies there, without loading it."""
    told = _json(source, _LIBRARY_CONFIG, options).get("model_type")
    network = _json(source, _CONFIG, options)
    names = [str(name) for name in network.get("architectures") or ()]
    head = names[0][names[0].rfind("For") :] if names and "For" in names[0] else ""
    if told == "ColBERT" or "HF_ColBERT" in names or head == "ForRetrieval":
        return Description("MultiVectorEncoder", head)
    if head == "ForSequenceClassification":
        return Description("CrossEncoder", head)
    if _found(source, _MANIFEST, options) is not None:
        return Description(str(told) if told else "SentenceTransformer", head)
    return Description(None if told is None else str(told), head)


def kind_of(model: object) -> str | None:
    """The class of sentence-transformers that an object is of, without importing the library to find out."""
    library = sys.modules.get("sentence_transformers")
    if library is None:
        return None
    return next((name for name in _KINDS if isinstance(model, getattr(library, name))), None)


def wrong_kind(model: str, kind: str, encoder: str) -> ConfigurationError:
    """The error for a model that is of another kind than the encoder needs; says what it is and what fits it."""
    what, fits = _KINDS.get(kind, (f"a {kind}", "another encoder"))
    return ConfigurationError(f"model {model!r} is {what}, and {encoder} cannot use it; use {fits} instead")


def model_record(source: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a model, without loading it.

    A ready model goes by the name that it was loaded from, unless it has weights beside those of its network: then it
    is an object like any other, told from others by its weights.
    """
    if isinstance(source, str):
        return source_record(source, options)
    if kind_of(source) is None:
        return {"model": object_name(source), "object": True}
    path = _origin(source)
    if path and not _has_own_weights(source):
        return source_record(path, options)
    return {"model": shown_name(source), "object": True, "weights": _weights_in_memory(source)}


def shown_name(source: Any) -> str:
    """What messages call a model: its name, what a ready one was loaded from, or its class."""
    if isinstance(source, str):
        return source
    if kind_of(source) is None:
        return object_name(source)
    return _origin(source) or f"{type(source).__module__}.{type(source).__qualname__}"


def _found(source: Source, file: str, options: Mapping[str, Any]) -> str | None:
    from sentence_transformers.util import load_file_path

    places = [source.location]
    if "/" not in source.location and not Path(source.location).is_dir():
        places.append(f"{_OWNER}/{source.location}")
    for place in places:
        found: str | None = load_file_path(
            place,
            file,
            token=options.get("token"),
            cache_folder=options.get("cache_folder"),
            revision=options.get("revision"),
            local_files_only=source.local_only,
        )
        if found is not None:
            return found
    return None


def _json(source: Source, file: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    path = _found(source, file, options)
    if path is None:
        return {}
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _origin(model: Any) -> str:
    """What a ready model was loaded from; "" where that is not known."""
    path = getattr(getattr(model.transformers_model, "config", None), "_name_or_path", None)
    return str(path) if path else ""


def _has_own_weights(model: Any) -> bool:
    network = {id(weight) for weight in model.transformers_model.parameters()}
    return any(id(weight) not in network for weight in model.parameters())


def _weights_in_memory(model: Any) -> str:
    """Tells a model's weights from others, by their names, shapes and a part of each."""
    import torch

    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        part = weight.detach().reshape(-1)
        ends = torch.cat([part[:_SAMPLE], part[-_SAMPLE:]]).float().cpu().numpy()
        digest.update(f"{name}\n{tuple(weight.shape)}\n".encode())
        digest.update(ends.tobytes())
    return digest.hexdigest()[:32]

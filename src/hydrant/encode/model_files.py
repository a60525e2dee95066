"""The files of a model as a folder on this disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydrant.encode.models import Source, find_model
from hydrant.errors import ModelNotFound

_LOGGER = logging.getLogger("hydrant")


def model_folder(name: str, options: Mapping[str, Any]) -> str:
    """The folder of the model's files; downloaded where need be.

    Args:
        name: A folder, or a name on the hub.
        options: How it is found, as `ModelOptions`.

    Raises:
        ModelNotFound: It is nowhere.
    """
    source = find_model(name, options)
    found = _on_disk(source, options)
    if found is None:
        found = _download(source.location, options)
    return found


def _on_disk(source: Source, options: Mapping[str, Any]) -> str | None:
    if Path(source.location).is_dir():
        return source.location
    return _snapshot(source.location, options, local_only=True) if source.local_only else None


def _download(name: str, options: Mapping[str, Any]) -> str:
    folder = _snapshot(name, options, local_only=False)
    if folder is None:
        msg = f"model {name!r} could not be fetched from the hub"
        raise ModelNotFound(msg)
    return folder


def _snapshot(name: str, options: Mapping[str, Any], *, local_only: bool) -> str | None:
    from huggingface_hub import snapshot_download

    cache = options.get("cache_folder")
    if cache is None:
        cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    names = (name,) if "/" in name else (f"sentence-transformers/{name}", name)
    for full in names:
        try:
            return snapshot_download(
                full,
                revision=options.get("revision"),
                cache_dir=cache,
                token=options.get("token"),
                local_files_only=local_only,
                ignore_patterns=["*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*", "onnx/*"],
            )
        except (OSError, ValueError) as error:
            _LOGGER.debug("no files of %s: %s", full, error)
    return None

"""Loading a model of sentence-transformers by name, from wherever it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from hydrant.encode.models import Source, find_model
from hydrant.errors import HydrantError, ModelNotFound

T = TypeVar("T")


def load_named(name: str, options: Mapping[str, Any], load: Callable[[Source, dict[str, Any]], T]) -> T:
    """Load a model from wherever it is.

    Args:
        name: A folder, or a name on the hub.
        options: How it is loaded, as `ModelOptions`.
        load: Loads from a place with the options it is given.

    Raises:
        ModelNotFound: It is nowhere, or what is there cannot be loaded.
    """
    source = find_model(name, options)
    if source.complete:
        return _loaded_from(source, name, options, load)
    try:
        return _loaded_from(source, name, options, load)
    except ModelNotFound:
        return _loaded_from(find_model(name, options, use_cache=False), name, options, load)


@contextmanager
def without_bars(*, silent: bool) -> Iterator[None]:
    """Without transformers' progress bar over the weights, drawn even where nobody looks at a terminal.

    The switch is the whole library's, so it is put back. A download keeps its bar: it may take minutes.
    """
    # untyped, hence Any
    logging: Any = importlib.import_module("transformers.utils.logging")

    if not silent or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _loaded_from(
    source: Source, name: str, options: Mapping[str, Any], load: Callable[[Source, dict[str, Any]], T]
) -> T:
    from safetensors import SafetensorError

    try:
        with without_bars(silent=source.local_only):
            return load(source, {**options, "local_files_only": source.local_only})
    except HydrantError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        msg = f"model {name!r} could not be loaded from {source.location!r}: {error}"
        raise ModelNotFound(msg) from error

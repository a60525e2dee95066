"""Which names a file may use: the classes that `hydrant` exports and that a pipeline can hold. Nothing else is ever called."""

from __future__ import annotations

import datetime as dt
import difflib
import inspect
from collections.abc import Iterable
from importlib import import_module
from typing import Any

# Where exported classes live that are no part of a pipeline, or that a file says in its own way.
_ELSEWHERE = (
    "hydrant.config",
    "hydrant.edge",
    "hydrant.evaluate",
    "hydrant.facade",
    "hydrant.generate.function",
    "hydrant.generate.requests",
    "hydrant.ingest",
    "hydrant.pipeline",
    "hydrant.testing",
    "hydrant.types",
)
RETRIEVER = "Retriever"
# The collection that the file names, where a class asks for one: `LateInteractionReranker: {tokens: {Collection: {}}}`.
COLLECTION = "Collection"
_SEARCH_PARAMS = ("QuantizationSearchParams", "SearchParams")


def names() -> list[str]:
    """Every name that a file may use."""
    exported = (name for name, home in _homes().items() if not home.startswith(_ELSEWHERE))
    found = (name for name in exported if known(name) is not None)
    return sorted([*found, *_SEARCH_PARAMS, COLLECTION, "timedelta"])


def known(name: str) -> type[Any] | None:
    """The class of a name; None where there is none that a file may use."""
    if name == "timedelta":
        return dt.timedelta
    if name in _SEARCH_PARAMS:
        from qdrant_client import models

        found: type[Any] = getattr(models, name)
        return found
    home = _homes().get(name)
    if home is None or (home.startswith(_ELSEWHERE) and name != COLLECTION):
        return None
    value = getattr(import_module("hydrant"), name)
    return value if inspect.isclass(value) and not inspect.isabstract(value) else None


def looks_like_a_name(key: str) -> bool:
    """Whether a key is written as classes are: a capital first, a small letter somewhere."""
    return key[:1].isupper() and key.isidentifier() and not key.isupper()


def suggestion(wrong: str, among: Iterable[str]) -> str:
    """A list of what exists, with what was probably meant in front."""
    existing = list(among)
    close = difflib.get_close_matches(wrong, existing, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}there is {existing}"


def _homes() -> dict[str, str]:
    # The package's own list, read when it is needed: importing the package here would turn every arrow around.
    homes: dict[str, str] = import_module("hydrant")._HOMES  # noqa: SLF001  the package is ours
    return homes

"""When two records of dense encoders stand for the same vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydrant.encode.backends import is_sentence_transformer, object_name
from hydrant.encode.models import fingerprint, local_folder, same_name

# What may differ where the model is nevertheless the same one.
_NAMING = frozenset({"model", "weights", "revision", "query"})


def same_vectors(given: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether two records stand for the same vectors.

    One model may go by several names: with or without its owner on the hub, or in folders that hold the same files.
    """
    if not _same_model(given, stored) or ("query" in given) != ("query" in stored):
        return False
    if "query" in given and not _same_model(given["query"], stored["query"]):
        return False
    keys = (given.keys() | stored.keys()) - _NAMING
    return all(given.get(key) == stored.get(key) for key in keys)


def source_record(source: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a model, without loading it.

    Args:
        source: A name, a folder, or an object that encodes.
        options: How the model is loaded; the revision counts.
    """
    named = isinstance(source, str)
    if not named and not is_sentence_transformer(source):
        return {"model": object_name(source), "object": True}
    name = source if named else object_name(source)
    folder = local_folder(name)
    if folder is not None:
        return {"model": str(folder), "weights": fingerprint(folder)}
    return {"model": name, **deciding(options)}


def deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of loading that decide the vectors."""
    revision = options.get("revision")
    return {} if revision is None else {"revision": revision}


def _same_model(given: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    weights = given.get("weights"), stored.get("weights")
    if None not in weights:
        return weights[0] == weights[1]
    same = same_name(str(given.get("model")), str(stored.get("model")))
    return same and given.get("revision") == stored.get("revision")

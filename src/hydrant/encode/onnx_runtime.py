"""Running an exported model: the tokenizer and onnxruntime, neither torch nor sentence-transformers.

`open_model` finds the model in the cache, or exports it first (some ten seconds, once). What it opens is compared with
what torch made of a few texts when it was exported, so that neither a damaged file nor a processor that computes otherwise
goes unnoticed.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.model_files import model_folder
from hydrant.encode.models import fingerprint
from hydrant.encode.onnx_cache import Entry, cache_folder, discard, key_of, obtain, read
from hydrant.encode.onnx_export import (
    LEAST_COSINE,
    MODEL_FILE,
    OUTPUT,
    TOKENIZER_FILE,
    Precision,
    agreement,
    check_inputs,
    quantize,
    weights_in,
    write_graph,
)
from hydrant.errors import ConfigurationError, EncodingError, HydrantError, MissingDependency

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from hydrant.encode.onnx_network import Head, Network

_LOGGER = logging.getLogger("hydrant")
# Raised when what is written changes its meaning.
_FORMAT = 1
_MAKERS = ("torch", "transformers", "sentence-transformers", "onnx", "onnxscript", "onnxruntime")
# How many weights keep one core busy. Where several passes go side by side, a pass on fewer cores loses less in waiting; one
# that somebody waits for is shared by as many as still shorten it.
_WEIGHTS_A_THREAD = 20_000_000
_WEIGHTS_A_HELPING_THREAD = 5_000_000
# 8-bit products that are summed up before they overflow: the names of the instructions in /proc/cpuinfo.
_EXACT = frozenset({"avx512_vnni", "avx_vnni"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that is to be run by onnxruntime.

    Attributes:
        name: A folder or a name on the hub.
        head: What comes out: "sentence" vectors, "scores" of pairs, or the weights of "terms".
        precision: "fp32" or "int8".
        options: `revision`, `cache_folder`, `token`, `local_files_only` and `trust_remote_code` as sentence-transformers
            takes them; for "scores" also `num_labels`.
    """

    name: str
    head: Head = "sentence"
    precision: Precision = "fp32"
    options: Mapping[str, Any] | None = None


class OnnxModel:
    """A transformer with its head in onnxruntime: texts or pairs of texts in, one row each out. Safe in many threads.

    Attributes:
        facts: What is known of the model: `max_tokens`, `positions`, `prompts`.
        agreement: The mean cosine of its rows with torch's, over the check texts.
        threads: How many threads a pass uses that others go beside.
    """

    def __init__(self, file: Path, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        self._file = file
        self._tokenizer = tokenizer
        self._sessions: dict[int, InferenceSession] = {}
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._under_way = 0
        self._awaited_threads = threads_for(facts["weights"], _WEIGHTS_A_HELPING_THREAD)
        self.facts = facts
        self.agreement = 1.0
        self.threads = threads_for(facts["weights"])

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> OnnxModel:
        """Open an exported model from its place in the cache, with what the cache says of it."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        if facts["max_tokens"] is not None:
            tokenizer.enable_truncation(facts["max_tokens"])
        pad_id, pad_type, pad_token = facts["pad"]
        tokenizer.enable_padding(pad_id=pad_id, pad_type_id=pad_type, pad_token=pad_token)
        return cls(folder / MODEL_FILE, tokenizer, facts)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with the model's truncation and padding; not to be changed."""
        return self._tokenizer

    def tokens(self, texts: Sequence[Any]) -> dict[str, npt.NDArray[np.int64]]:
        """The model's inputs for texts, or for pairs of texts: arrays of [texts, tokens of the longest]."""
        inputs = [each.name for each in self._session(self._awaited_threads).get_inputs()]
        encodings = self._tokenizer.encode_batch_fast([_single_or_pair(text) for text in texts])
        columns = {
            "input_ids": "ids",
            "attention_mask": "attention_mask",
            "token_type_ids": "type_ids",
        }
        return {
            name: np.array([getattr(encoding, columns[name]) for encoding in encodings], dtype=np.int64)
            for name in inputs
        }

    def run(
        self, inputs: Mapping[str, npt.NDArray[np.int64]], *, awaited: bool = True
    ) -> npt.NDArray[np.float32]:
        """One row for each row of the inputs.

        Args:
            inputs: What `tokens` returns.
            awaited: Whether somebody waits for this pass. A single row then has as many cores as shorten it, unless another
                pass is under way: passes that share cores take longer than passes side by side.
        """
        with self._lock:
            self._under_way += 1
            alone = self._under_way == 1
        try:
            swift = awaited and alone and len(next(iter(inputs.values()))) == 1
            session = self._session(self._awaited_threads if swift else self.threads)
            rows: npt.NDArray[np.float32] = session.run([OUTPUT], dict(inputs))[0]
        finally:
            with self._lock:
                self._under_way -= 1
        return rows

    def __call__(self, texts: Sequence[Any], *, awaited: bool = True) -> npt.NDArray[np.float32]:
        """One row for each text or pair of texts, all of them in one forward pass; see `run`."""
        return self.run(self.tokens(texts), awaited=awaited)

    def _session(self, threads: int) -> InferenceSession:
        """The model opened for passes on so many threads, at their first one."""
        session = self._sessions.get(threads)
        if session is None:
            with self._opening:
                session = self._sessions.get(threads)
                if session is None:
                    session = self._sessions[threads] = _session(self._file, threads)
        return session


def open_model(wanted: Wanted, max_tokens: int | None = None) -> OnnxModel:
    """Open a model, and export it first where that has not been done.

    Args:
        wanted: Which model.
        max_tokens: How many tokens of a text are read; None for the model's own number.

    Raises:
        MissingDependency: The extra is not installed.
        ModelNotFound: The model is nowhere.
        ConfigurationError: It has a part that cannot be exported, or cannot read that many tokens.
        EncodingError: The exported model does not give what torch gives.
        StorageError: The cache cannot be written.
    """
    _require_runtime()
    options = dict(wanted.options or {})
    folder = model_folder(wanted.name, options)
    key = key_of(_parts(folder, wanted, options))
    entry = obtain(key, lambda place: _make(folder, wanted, options, place))
    _check_length(wanted.name, entry.facts, max_tokens)
    try:
        return _checked(entry, wanted, max_tokens)
    except EncodingError as error:
        if entry.built:
            raise
        _LOGGER.warning(
            "the exported model of %s no longer computes what it did: it is exported again (%s)",
            wanted.name,
            error,
        )
    discard(entry.folder)
    return _checked(obtain(key, lambda place: _make(folder, wanted, options, place)), wanted, max_tokens)


def saturates() -> bool:
    """Whether this processor may lose part of a sum when it multiplies signed with unsigned 8-bit numbers.

    Those of x86 without VNNI do: they add pairs of products in 16 bits. Where that cannot be found out, it is assumed.
    """
    if platform.machine().lower() not in {"x86_64", "amd64", "x86", "i686"}:
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return _EXACT.isdisjoint(flags.split())


# ---- making ------------------------------------------------------------------------------------------------------


def _make(folder: str, wanted: Wanted, options: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Export the model into `place`, or quantize what is there of it in float32 already."""
    _LOGGER.info("%s is exported to ONNX (%s), once", wanted.name, wanted.precision)
    if wanted.precision == "int8":
        plain = replace(wanted, precision="fp32")
        whole = read(cache_folder() / key_of(_parts(folder, plain, options)))
        if whole is not None:
            quantize(whole.folder, place, saturates=saturates())
            _compare(OnnxModel.load(place, whole.facts), wanted)
            return dict(whole.facts)
    from hydrant.encode.onnx_network import load_network

    network = load_network(folder, wanted.head, _loading(options))
    expected = network.reference(check_inputs(wanted.head))
    facts = {**network.facts, "check": expected.astype(float).tolist(), "weights": 0}
    fused = network.module.fuse()
    refused = _written(network, wanted, place, facts)
    if refused is not None and fused:
        _LOGGER.debug("without fused attention: %s", refused)
        network.module.unfuse()
        refused = _written(network, wanted, place, facts)
    if refused is not None:
        raise EncodingError(refused)
    facts["weights"] = weights_in(place / MODEL_FILE)
    if wanted.precision == "int8":
        quantize(place, place, saturates=saturates())
        _compare(OnnxModel.load(place, facts), wanted)
    return facts


def _written(network: Network, wanted: Wanted, place: Path, facts: Mapping[str, Any]) -> str | None:
    """Write the model in float32; what is wrong with it, None where nothing is."""
    try:
        write_graph(network, place)
        _compare(OnnxModel.load(place, facts), replace(wanted, precision="fp32"))
    except HydrantError as error:
        if isinstance(error, MissingDependency):
            raise
        return str(error)
    except Exception as error:
        # The exporter's errors are of any kind, and each means: not in this form.
        _LOGGER.debug("the exporter's own words", exc_info=True)
        return (
            f"{wanted.name} could not be exported to ONNX: torch's exporter raised {type(error).__name__} (the whole of it "
            "is in the log at level DEBUG). Use backend='torch'"
        )
    return None


def _checked(entry: Entry, wanted: Wanted, max_tokens: int | None) -> OnnxModel:
    model = OnnxModel.load(entry.folder, entry.facts)
    model.agreement = _compare(model, wanted)
    if max_tokens is not None:
        model.tokenizer.enable_truncation(max_tokens)
    return model


def _compare(model: OnnxModel, wanted: Wanted) -> float:
    """The mean cosine with torch over the check texts.

    Raises:
        EncodingError: One of them is too far off.
    """
    expected = np.array(model.facts["check"], dtype=np.float32)
    cosines = agreement(model(check_inputs(wanted.head)), expected)
    least = LEAST_COSINE[wanted.precision]
    # Written this way round so that NaN does not pass.
    if not float(cosines.min()) >= least:
        msg = (
            f"{wanted.name} as ONNX ({wanted.precision}) must agree with torch: the cosine of some fixed texts must be at "
            f"least {least}; got {float(cosines.min()):.4f}. Use precision='fp32', or backend='torch'"
        )
        raise EncodingError(msg)
    return float(cosines.mean())


# ---- the key in the cache --------------------------------------------------------------------------------------


def _parts(folder: str, wanted: Wanted, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides what an export holds."""
    return {
        "format": _FORMAT,
        "model": fingerprint(Path(folder)),
        "head": wanted.head,
        "precision": wanted.precision,
        "saturates": wanted.precision == "int8" and saturates(),
        "options": _loading(options),
        "makers": {maker: _version(maker) for maker in _MAKERS},
    }


def _loading(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that still matter once the files are here."""
    return {name: options[name] for name in ("trust_remote_code", "num_labels") if name in options}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


# ---- running -----------------------------------------------------------------------------------------------------


def threads_for(weights: int, each: int = _WEIGHTS_A_THREAD) -> int:
    """How many threads one forward pass should use: one for a small model, up to all cores for a large one.

    Args:
        weights: How many numbers a token is multiplied with.
        each: How many of them make a thread worth its while.
    """
    return max(1, min(cores(), round(weights / each)))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(file: Path, threads: int) -> InferenceSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Every batch has another shape: a plan of memory for each of them would only pile up.
    settings.enable_mem_pattern = False
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])


def _require_runtime() -> None:
    try:
        import onnxruntime
    except ImportError as error:
        msg = f"backend='onnx' needs onnxruntime ({error}): install it with pip install hydrant-rag[onnx]"
        raise MissingDependency(msg) from error
    del onnxruntime


def _check_length(name: str, facts: Mapping[str, Any], max_tokens: int | None) -> None:
    most = facts["positions"]
    if max_tokens is not None and isinstance(most, int) and max_tokens > most:
        msg = f"max_tokens of {name!r} can be at most {most}, its number of positions; got {max_tokens}"
        raise ConfigurationError(msg)


def _single_or_pair(text: Any) -> Any:
    return text if isinstance(text, str) else tuple(text)

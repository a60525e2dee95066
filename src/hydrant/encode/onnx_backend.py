"""Models in onnxruntime, as the dense and the sparse encoder need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from hydrant.encode.backends import BATCH_SIZE, CPU_LIMITS, Backend, ModelBackend, own_prompt
from hydrant.encode.sparse_backends import SparseBackend
from hydrant.encode.tokens import Window
from hydrant.encode.vectors import BatchLimits
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from hydrant.encode.base import Role
    from hydrant.encode.onnx_export import Precision
    from hydrant.encode.onnx_network import Head
    from hydrant.encode.onnx_runtime import OnnxModel

# From this mean cosine with torch's vectors on, an exported model's are taken for the same ones: what one has indexed may
# be searched with the other.
SAME_COSINE = 0.99
# Bytes of text in a batch of a sparse model, its padding counted: every token has a logit for every term.
_TERM_BYTES = 2048
# What would change the model itself while it is loaded, and the device: an export is made once, for the CPU.
_NOT_HERE = ("model_kwargs", "processor_kwargs", "config_kwargs")


class _Exported(ModelBackend):
    """An exported model of sentence-transformers.

    Documents go through it in several batches side by side, on few threads each; a query that comes alone gets more.
    """

    head: Head
    limits = CPU_LIMITS

    def __init__(self, model: OnnxModel, name: str, precision: Precision) -> None:
        from hydrant.encode.onnx_runtime import cores

        self._model = model
        self.name = name
        self.workers = max(1, cores() // max(1, model.threads))
        self.precision = None if model.agreement >= SAME_COSINE else precision
        length = (model.tokenizer.truncation or {}).get("max_length")
        self._window = None if length is None else Window(model.tokenizer, length)

    @classmethod
    def load(
        cls, name: str, options: Mapping[str, Any], max_tokens: int | None, precision: Precision
    ) -> Self:
        """Open a model by name, exported at the first time; see `open_model` for what may go wrong."""
        from hydrant.encode.onnx_runtime import Wanted, open_model

        return cls(open_model(Wanted(name, cls.head, precision, options), max_tokens), name, precision)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """Rows for the texts, [len(texts), dimensions]."""
        whole = [prompt + text for text in texts] if prompt else texts
        return self._model(whole, awaited=role == "query")

    def window(self, role: Role) -> Window | None:
        """That of the model's tokenizer."""
        return self._window

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role."""
        return own_prompt(self._model.facts["prompts"], role)

    @property
    def _width(self) -> int:
        return len(self._model.facts["check"][0])


class OnnxBackend(_Exported, Backend):
    """An exported bi-encoder."""

    head = "sentence"

    def dimensions(self, role: Role) -> int:
        """The length of a vector."""
        return self._width


class OnnxSparseBackend(_Exported, SparseBackend):
    """An exported model that weighs the terms of its vocabulary."""

    head = "terms"
    limits = BatchLimits(BATCH_SIZE, _TERM_BYTES)

    def vocabulary(self, role: Role, prompt: str) -> int | None:
        """How many terms have a weight."""
        return self._width

    def term(self, index: int) -> str | None:
        """The word, or piece of a word, of the tokenizer's vocabulary."""
        tokenizer = self._model.tokenizer
        token = tokenizer.id_to_token(index) if 0 <= index < self._width else None
        if token is None:
            return None
        return (tokenizer.decoder.decode([token]) if tokenizer.decoder else token).strip() or token


def check_options(source: Any, options: Mapping[str, Any]) -> None:
    """Refuse what an exported model cannot follow.

    Raises:
        ConfigurationError: A ready model instead of a name, another device than the CPU, or a change to the model.
    """
    if not isinstance(source, str):
        msg = f"backend='onnx' needs the name or the folder of a model; got {type(source).__name__}"
        raise ConfigurationError(msg)
    device = options.get("device")
    if device not in {None, "cpu"}:
        msg = f"backend='onnx' runs on the CPU; got device={device!r}. Leave it out, or use backend='torch'"
        raise ConfigurationError(msg)
    for name in _NOT_HERE:
        if options.get(name):
            msg = f"{name} cannot be used with backend='onnx', which runs the model as it is stored; use backend='torch'"
            raise ConfigurationError(msg)

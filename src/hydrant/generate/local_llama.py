"""GGUF models on this machine, through llama-cpp-python."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydrant.errors import (
    ConfigurationError,
    DeadlineExceeded,
    GenerationError,
    MissingDependency,
    ModelNotFound,
)
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.types import Usage


class LlamaCppGenerator(TextGenerator):
    """A GGUF file that runs here in llama.cpp.

    The samples are decoded one after the other; llama.cpp keeps the prompt's state, so that only the first of them
    evaluates it. At a request's time limit the samples that are whole, and the one that is being written, are returned.

    Args:
        path: The `.gguf` file.
        window: How many tokens prompt and answer may have together.
        threads: How many threads decode; None for llama.cpp's own choice.
        options: Further arguments of `llama_cpp.Llama`, such as `{"n_gpu_layers": -1}`.

    Raises:
        ConfigurationError: The path is not one of a GGUF file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        window: int = 4096,
        threads: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = Path(path).expanduser()
        if self._path.suffix != ".gguf":
            msg = f"path must be a .gguf file, got {str(path)!r}"
            raise ConfigurationError(msg)
        self.window, self.threads, self.options = window, threads, dict(options or {})
        self._settings = {"n_ctx": window, "n_threads": threads, "verbose": False, **self.options}
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def identity(self) -> str | None:
        """The file's name and size."""
        size = self._path.stat().st_size if self._path.is_file() else 0
        return f"llama.cpp {self._path.name} {size}"

    def complete(self, request: GenerationRequest) -> Generation:
        """The samples, one after the other.

        Raises:
            MissingDependency: llama-cpp-python is not installed.
            ModelNotFound: There is no such file.
            GenerationError: llama.cpp could not answer.
            DeadlineExceeded: The time was over before there was a token.
        """
        until = None if request.timeout is None else time.monotonic() + request.timeout
        samples = request.samples if request.temperature > 0 else 1
        texts: list[str] = []
        usage = Usage()
        with self._lock:
            model = self._ready()
            for number in range(samples):
                text, tokens, whole = self._sample(model, request.single(number), until)
                if text:
                    texts.append(text)
                usage += Usage(0, tokens, calls=1)
                if not whole:
                    break
        if not texts and until is not None and time.monotonic() >= until:
            msg = (
                f"language model {self._path.name!r} wrote nothing within the {request.timeout:.3g} s it had"
            )
            raise DeadlineExceeded(msg)
        missing = samples - len(texts)
        late = (f"{missing} of {samples} samples were not written in time",) if missing else ()
        return Generation(tuple(texts), usage, late)

    def warm_up(self) -> None:
        """Load the model."""
        with self._lock:
            self._ready()

    def close(self) -> None:
        """Let go of the model; the next use loads it again."""
        with self._lock:
            if self._model is not None:
                self._model.close()
                self._model = None

    def _sample(self, model: Any, request: GenerationRequest, until: float | None) -> tuple[str, int, bool]:
        """One sample, its tokens, and whether it came to its end."""
        if until is not None and time.monotonic() >= until:
            return "", 0, False
        parts: list[str] = []
        tokens = 0
        try:
            for chunk in model.create_chat_completion(
                messages=[{"role": each.role, "content": each.content} for each in request.messages],
                temperature=request.temperature,
                max_tokens=request.max_tokens,
                stop=list(request.stop),
                seed=request.seed,
                top_p=1.0,
                stream=True,
            ):
                written = chunk["choices"][0]["delta"].get("content")
                if written:
                    parts.append(written)
                    tokens += 1
                if until is not None and time.monotonic() >= until:
                    return "".join(parts), tokens, False
        except (ValueError, RuntimeError, KeyError, IndexError) as error:
            msg = f"language model {self._path.name!r} failed: {type(error).__name__}: {error}"
            raise GenerationError(msg) from error
        return "".join(parts), tokens, True

    def _ready(self) -> Any:
        if self._model is not None:
            return self._model
        try:
            import llama_cpp
        except ImportError as error:
            msg = "LlamaCppGenerator needs llama-cpp-python: pip install 'hydrant-rag[llama-cpp]'"
            raise MissingDependency(msg) from error
        if not self._path.is_file():
            msg = f"there is no model file {str(self._path)!r}"
            raise ModelNotFound(msg)
        self._model = llama_cpp.Llama(model_path=str(self._path), **self._settings)
        return self._model

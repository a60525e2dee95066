"""LlamaIndex's language models as Hydrant's text generators."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import LLM
from llama_index.core.settings import Settings

from hydrant import Generation, GenerationRequest, SingleSampleGenerator, TextGenerator, Usage
from hydrant.errors import ConfigurationError, GenerationError

# Which fields of a model take a request's settings.
_FIELDS = {"temperature": ("temperature",), "max_tokens": ("max_tokens", "max_new_tokens"), "seed": ("seed",)}
# Copies of a model that are kept, one for each way to ask it: a copy may open a client of its own.
_KEPT = 16


class LlamaIndexGenerator(SingleSampleGenerator):
    """Any language model of LlamaIndex, for Hydrant's expansions and rerankers; every sample is a call, all side by side.

    A chat model is asked by `chat` and `achat`, another by `complete` and `acomplete`, so its own events and callbacks are
    raised. What a request says of temperature, length and seed is set on a copy of the model, where it has fields of
    those names; otherwise the model's own settings hold.

    Args:
        llm: The model; None for `Settings.llm`, looked up at the first use.
        at_once: How many calls may be under way at a time; None for all samples.

    Raises:
        ConfigurationError: It is no language model of LlamaIndex.
    """

    def __init__(self, llm: LLM | None = None, *, at_once: int | None = None) -> None:
        if llm is not None and not isinstance(llm, LLM):
            msg = f"llm must be a language model of LlamaIndex, or None for Settings.llm; got {llm!r}"
            raise ConfigurationError(msg)
        super().__init__(at_once=at_once)
        self._llm = llm
        self._copies: dict[tuple[Any, ...], LLM] = {}

    @property
    def identity(self) -> str | None:
        """The model's class and name; None where it has no name, so that its answers are not kept on disk."""
        llm = self._llm
        if llm is None or llm.metadata.model_name == "unknown":
            return None
        return f"llama_index {llm.class_name()} {llm.metadata.model_name}"

    def sample(self, request: GenerationRequest) -> Generation:
        """One answer.

        Raises:
            GenerationError: The model called tools instead of writing.
        """
        llm = self._tuned(request)
        if llm.metadata.is_chat_model:
            return _said(llm.chat(_messages(request)))
        return _completed(llm.complete(request.text))

    async def asample(self, request: GenerationRequest) -> Generation:
        """One answer, awaited."""
        llm = self._tuned(request)
        if llm.metadata.is_chat_model:
            return _said(await llm.achat(_messages(request)))
        return _completed(await llm.acomplete(request.text))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LlamaIndexGenerator):
            return NotImplemented
        return self._llm is other._llm and self._at_once == other._at_once

    def __hash__(self) -> int:
        return hash((id(self._llm), self._at_once))

    def _tuned(self, request: GenerationRequest) -> LLM:
        """The model as the request wants it."""
        llm = Settings.llm if self._llm is None else self._llm
        fields = type(llm).model_fields
        wanted = {"temperature": request.temperature, "max_tokens": request.max_tokens, "seed": request.seed}
        changes = {
            name: value
            for setting, value in wanted.items()
            for name in _FIELDS[setting]
            if name in fields and value is not None and getattr(llm, name) != value
        }
        if not changes:
            return llm
        key = (id(llm), *sorted(changes.items()))
        copied = self._copies.get(key)
        if copied is None:
            if len(self._copies) >= _KEPT:
                self._copies.clear()
            copied = self._copies[key] = llm.model_copy(update=changes)
        return copied


def as_generator(llm: LLM | TextGenerator | None) -> TextGenerator:
    """A language model of LlamaIndex or of Hydrant as a generator; None for `Settings.llm`."""
    return llm if isinstance(llm, TextGenerator) else LlamaIndexGenerator(llm)


def _messages(request: GenerationRequest) -> list[ChatMessage]:
    return [ChatMessage(role=message.role, content=message.content) for message in request.messages]


def _said(response: ChatResponse) -> Generation:
    text = response.message.content
    if text is None or not text.strip():
        # Blocks of tool calls are younger than the oldest LlamaIndex that this runs on.
        called = [str(block.tool_name) for block in response.message.blocks if hasattr(block, "tool_name")]
        called += [str(call) for call in response.message.additional_kwargs.get("tool_calls") or []]
        if called:
            msg = f"the language model called the tools {called} instead of writing a text; give it none"
            raise GenerationError(msg)
    return Generation(("" if text is None else text,), _usage(response))


def _completed(response: CompletionResponse) -> Generation:
    return Generation((response.text,), _usage(response))


def _usage(response: ChatResponse | CompletionResponse) -> Usage:
    """What the model says it read and wrote; the providers that say so use these names."""
    counts = [response.additional_kwargs.get(name) for name in ("prompt_tokens", "completion_tokens")]
    read, written = (count if isinstance(count, int) else 0 for count in counts)
    return Usage(read, written, 1)

"""LangChain's language models as Hydrant's text generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.language_models import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from hydrant import Generation, GenerationRequest, SingleSampleGenerator, TextGenerator, Usage
from hydrant.errors import ConfigurationError, GenerationError
from langchain_hydrant._tracing import stage_config

Setting: TypeAlias = Literal["temperature", "max_tokens", "stop", "seed"]

_SETTINGS: tuple[Setting, ...] = ("temperature", "max_tokens", "stop", "seed")
_ROLES: dict[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}


class ChatModelGenerator(SingleSampleGenerator):
    """Any LangChain chat model where Hydrant takes a language model: `Hyde(ChatModelGenerator(chat_model))`.

    Samples are calls side by side. The callbacks of the chain that searches hear of each, as children of the stage that asks.
    Temperature and length are the model's own settings, as everywhere in LangChain: HyDE wants samples that differ, a model
    at temperature 0 gives the same one again and again.

    Args:
        model: A chat model, a language model, or a Runnable around one, such as `model.bind(temperature=0.7)` or
            `model.with_retry()`. Structured output is not needed.
        identity: What tells its answers from another model's, for a cache on disk; None keeps them out of it.
        pass_on: Which settings of a request are handed to every call, as keywords of that name: "temperature",
            "max_tokens", "stop", "seed". Not every model takes all of them. What comes after a stop is cut off in any case.
        at_once: How many calls may be under way at a time; None for all samples.

    Raises:
        ConfigurationError: The model is none, or a setting does not exist.
    """

    def __init__(
        self,
        model: Runnable[Any, Any],
        *,
        identity: str | None = None,
        pass_on: Sequence[Setting] = (),
        at_once: int | None = None,
    ) -> None:
        super().__init__(at_once=at_once)
        if not isinstance(model, Runnable):
            msg = f"model must be a LangChain chat model or a Runnable around one, got {model!r}"
            raise ConfigurationError(msg)
        if isinstance(pass_on, str) or not set(pass_on) <= set(_SETTINGS):
            msg = f"pass_on must be a sequence of names among {list(_SETTINGS)}, got {pass_on!r}"
            raise ConfigurationError(msg)
        self.model = model
        self._identity = identity
        self._pass_on = tuple(pass_on)

    @property
    def identity(self) -> str | None:
        """The name that was given."""
        return self._identity

    def sample(self, request: GenerationRequest) -> Generation:
        """One answer.

        Raises:
            GenerationError: The model failed, called a tool, or said nothing.
        """
        try:
            answer = self.model.invoke(self._prompt(request), stage_config(), **self._settings(request))
        except Exception as error:
            # Every provider's client has errors of its own.
            raise self._failed(error) from error
        return self._generation(answer)

    async def asample(self, request: GenerationRequest) -> Generation:
        """As `sample`, awaited."""
        try:
            answer = await self.model.ainvoke(
                self._prompt(request), stage_config(), **self._settings(request)
            )
        except Exception as error:
            # Every provider's client has errors of its own.
            raise self._failed(error) from error
        return self._generation(answer)

    def _prompt(self, request: GenerationRequest) -> Any:
        # A model of plain texts would show a conversation's roles to the reader.
        if isinstance(self.model, BaseLLM):
            return request.text
        return [_ROLES[message.role](content=message.content) for message in request.messages]

    def _settings(self, request: GenerationRequest) -> dict[str, Any]:
        given: dict[str, Any] = {name: getattr(request, name) for name in self._pass_on}
        if "stop" in given:
            given["stop"] = list(request.stop) or None
        return {name: value for name, value in given.items() if value is not None}

    def _generation(self, answer: object) -> Generation:
        if isinstance(answer, str):
            text, usage = answer, Usage(calls=1)
        elif isinstance(answer, BaseMessage):
            text, usage = self._said(answer), _usage(answer)
        else:
            msg = f"{self._name} must answer with a message or a text, got a {type(answer).__name__}: {answer!r}"
            raise GenerationError(msg)
        if not text.strip():
            msg = f"{self._name} answered with empty content"
            raise GenerationError(msg)
        return Generation((text,), usage)

    def _said(self, message: BaseMessage) -> str:
        if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
            names = [call["name"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
            msg = f"{self._name} called the tools {names} where a text is wanted; give the model without tools bound to it"
            raise GenerationError(msg)
        # Of content in blocks the texts alone: neither reasoning nor images can be searched with.
        return str(message.text)

    def _failed(self, error: Exception) -> GenerationError:
        return GenerationError(f"{self._name} failed: {type(error).__name__}: {error}")

    @property
    def _name(self) -> str:
        return f"the language model {self.model.get_name()}"


def as_llm(llm: Any) -> Any:
    """What was given as a language model, as something that Hydrant takes as one."""
    if isinstance(llm, Runnable) and not isinstance(llm, TextGenerator):
        return ChatModelGenerator(llm)
    return llm


def _usage(message: BaseMessage) -> Usage:
    said = getattr(message, "usage_metadata", None) or {}
    return Usage(said.get("input_tokens", 0), said.get("output_tokens", 0), calls=1)

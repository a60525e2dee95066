"""What a language model is asked, and what it answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.types import Usage

# The part of the time that is left which a generator may use up; the rest brings home what has come until then.
_OWN_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with a model.

    Attributes:
        role: Who speaks.
        content: What is said.
    """

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator is asked.

    Attributes:
        prompt: A text, or a conversation. A model that was trained for chats sees a text as the user's one message.
        samples: How many answers are wanted.
        enough: How many of them suffice: once that many are there, those that lag behind are given up. None for all.
        temperature: How freely tokens are drawn; 0 for the likeliest.
        max_tokens: How long an answer may be.
        stop: Where an answer ends, at the latest.
        seed: Makes the draws repeatable, where the model allows it; None for new ones each time.
        timeout: Seconds that all samples together may take; None for as long as it takes.
        choices: The words of which the answer is to be one, such as ("yes", "no"), and which it is to begin with. A generator
            that can tell how probable each of them is says so in `Generation.probabilities`. Takes a single sample.
    """

    prompt: str | tuple[Message, ...]
    samples: int = 1
    enough: int | None = None
    temperature: float = 0.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_prompt(self.prompt)
        check_whole("samples", self.samples)
        check_whole("max_tokens", self.max_tokens)
        if self.enough is not None:
            check_whole("enough", self.enough)
            if self.enough > self.samples:
                msg = f"enough={self.enough} samples cannot be had of samples={self.samples}"
                raise ConfigurationError(msg)
        if not _is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            msg = f"temperature must be a number of at least 0, got {self.temperature!r}"
            raise ConfigurationError(msg)
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            msg = f"seed must be a whole number, or None; got {self.seed!r}"
            raise ConfigurationError(msg)
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            msg = f"stop must be a tuple of texts that are not empty, got {self.stop!r}"
            raise ConfigurationError(msg)
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            msg = f"timeout must be a number of seconds above 0, or None for no limit; got {self.timeout!r}"
            raise ConfigurationError(msg)
        if self.choices:
            self._check_choices()

    def _check_choices(self) -> None:
        words = self.choices
        if isinstance(words, str) or not all(isinstance(word, str) and word.strip() for word in words):
            msg = f"choices must be a tuple of words, got {words!r}"
            raise ConfigurationError(msg)
        if len({word.casefold() for word in words}) != len(words) or len(words) == 1:
            msg = f"choices must be two or more different words, got {words!r}"
            raise ConfigurationError(msg)
        if self.samples > 1:
            msg = f"choices={words!r} take a single sample, whose probabilities say more; got samples={self.samples}"
            raise ConfigurationError(msg)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as a conversation."""
        return (Message("user", self.prompt),) if isinstance(self.prompt, str) else self.prompt

    @property
    def text(self) -> str:
        """The prompt as one text, for models that know no conversations."""
        return (
            self.prompt
            if isinstance(self.prompt, str)
            else "\n\n".join(message.content for message in self.prompt)
        )

    @property
    def needed(self) -> int:
        """How many samples suffice."""
        return self.samples if self.enough is None else self.enough

    def within(self, seconds: float | None) -> GenerationRequest:
        """The same request, to be answered before so many seconds are over."""
        if seconds is None:
            return self
        own = seconds * _OWN_SHARE
        return self if self.timeout is not None and self.timeout <= own else replace(self, timeout=own)

    def single(self, number: int, enough: int = 1) -> GenerationRequest:
        """The request for one of its samples, with a seed of its own."""
        seed = None if self.seed is None else self.seed + number
        return replace(self, samples=1, enough=enough, seed=seed)


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generator answered.

    Attributes:
        texts: The samples that came; fewer than were asked for where some failed.
        usage: The tokens and calls they took, as far as the model says.
        failures: Why samples are missing.
        probabilities: How probable each of the request's `choices` is as the beginning of the answer, from 0 to 1 and 1 for
            all of them together; None where the model does not say.
    """

    texts: tuple[str, ...]
    usage: Usage = Usage()  # noqa: RUF009  frozen, so that one can be everybody's
    failures: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None


def check_whole(name: str, value: object, at_least: int = 1) -> None:
    """Refuse what is no whole number of at least so much.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        msg = f"{name} must be a whole number of at least {at_least}, got {value!r}"
        raise ConfigurationError(msg)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_prompt(prompt: object) -> None:
    if isinstance(prompt, str) and prompt.strip():
        return
    if isinstance(prompt, tuple) and prompt and all(isinstance(message, Message) for message in prompt):
        return
    msg = f"prompt must be a text that is not blank, or a tuple of Messages; got {prompt!r}"
    raise ConfigurationError(msg)

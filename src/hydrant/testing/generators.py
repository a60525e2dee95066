"""Language models that say what they are told, fail, are slow, talk too much or not at all."""

from __future__ import annotations

import asyncio
import itertools
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.generate.sampling import agather, gather
from hydrant.types import Usage


class ScriptedGenerator(TextGenerator):
    """A language model that says what is written down for it.

    Args:
        answers: For each prompt that contains a key its answer or answers; or answers for any prompt, taken in turn; or one
            answer for all. Of several answers each sample gets the next one, and after the last comes the first again.

    Attributes:
        requests: What it was asked so far.
    """

    def __init__(self, answers: str | Sequence[str] | Mapping[str, str | Sequence[str]]) -> None:
        script = answers if isinstance(answers, Mapping) else {"": answers}
        self._answers = {
            key: (said,) if isinstance(said, str) else tuple(said) for key, said in script.items()
        }
        self._turns = {key: itertools.cycle(said) for key, said in self._answers.items()}
        self.requests: list[GenerationRequest] = []

    @property
    def identity(self) -> str:
        """The script."""
        return f"scripted {sorted(self._answers.items())!r}"

    def complete(self, request: GenerationRequest) -> Generation:
        """The next answers.

        Raises:
            LookupError: No key is in the prompt.
        """
        self.requests.append(request)
        for key, turn in self._turns.items():
            if key in request.text:
                texts = tuple(next(turn) for _ in range(request.samples))
                written = sum(len(text.split()) for text in texts)
                return Generation(texts, Usage(len(request.text.split()), written, calls=1))
        msg = f"the script has answers to prompts with {list(self._turns)}, got {request.text!r}"
        raise LookupError(msg)

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """The next answers."""
        return self.complete(request)


class _Single(TextGenerator):
    """A model that is asked for every sample by itself."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.calls = 0

    @abstractmethod
    def sample(self, number: int) -> str:
        """One sample; counted over all requests."""

    def complete(self, request: GenerationRequest) -> Generation:
        """The samples, side by side."""
        return gather([self._one] * request.samples, request.needed, request.timeout)

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """The samples, side by side."""
        return await agather([self._aone] * request.samples, request.needed, request.timeout)

    def _one(self) -> Generation:
        self.calls += 1
        return Generation((self.sample(next(self._numbers)),), Usage(calls=1))

    async def _aone(self) -> Generation:
        return self._one()


class FailingGenerator(_Single):
    """A language model whose samples fail.

    Args:
        error: What a sample raises.
        every: Which fail: 1 for all, 2 for every second one, and so on.
        answer: What the others say.

    Attributes:
        calls: How many samples it was asked for so far.
    """

    def __init__(
        self, error: Exception, every: int = 1, answer: str = "A passage that answers the question."
    ) -> None:
        super().__init__()
        self._error = error
        self._every = every
        self._answer = answer

    def sample(self, number: int) -> str:
        """Fail, or answer."""
        if number % self._every == 0:
            raise self._error
        return f"{self._answer} ({number})"


class SlowGenerator(_Single):
    """A language model that takes its time.

    Args:
        seconds: How long a sample takes; or how long the first, the second and so on, after the last the first again.
        answer: What it says.

    Attributes:
        calls: How many samples it was asked for so far.
        cancelled: How many were cancelled while they were awaited.
    """

    def __init__(
        self, seconds: float | Sequence[float], answer: str = "A passage that answers the question."
    ) -> None:
        super().__init__()
        self._seconds = (seconds,) if isinstance(seconds, int | float) else tuple(seconds)
        self._answer = answer
        self._released = threading.Event()
        self.cancelled = 0

    def sample(self, number: int) -> str:
        """Wait, and answer."""
        self._released.wait(self._wait(number))
        return f"{self._answer} ({number})"

    def close(self) -> None:
        """Let the calls go that are still waiting."""
        self._released.set()

    async def _aone(self) -> Generation:
        self.calls += 1
        number = next(self._numbers)
        try:
            await asyncio.sleep(self._wait(number))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Generation((f"{self._answer} ({number})",), Usage(calls=1))

    def _wait(self, number: int) -> float:
        return self._seconds[number % len(self._seconds)]


class ChattyGenerator(ScriptedGenerator):
    """A language model that thinks aloud, is polite, and does not come to an end.

    Args:
        answer: What it has to say, somewhere in it.
        words: How many words follow.
    """

    def __init__(self, answer: str, words: int = 3000) -> None:
        tail = " ".join(f"word{number}" for number in range(words))
        super().__init__(
            f"<think>The user wants a passage. Let me see.</think>\n\nSure! Here is a passage:\n\n{answer} {tail}"
        )


class EmptyGenerator(ScriptedGenerator):
    """A language model that answers nothing, or nothing but blanks and thoughts."""

    def __init__(self) -> None:
        super().__init__(["", "  \n ", "<think>What could it be?", "<think></think>"])

"""Stand-ins for tests of programs that use Hydrant: no model, no network, no surprises.

docs = Collection.create(EdgeClient(":memory:"), "docs", dense=HashEncoder(), sparse=Bm25Encoder())
search = HangingStage("hyde") >> docs.retriever()
assert search.run("a question", deadline=0.5).degraded[0].stage == "hyde"
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydrant.encode.base import Encoder
from hydrant.errors import ConfigurationError
from hydrant.flow import Effect, Flow
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.generate.sampling import agather, gather
from hydrant.pipeline import Stage
from hydrant.types import Usage

if TYPE_CHECKING:
    from hydrant.types import SearchState

_WORD = re.compile(r"\w+")


class HashEncoder(Encoder):
    """A dense encoder without a model: a bag of words, every word hashed to a dimension and a sign, length 1.

    Texts that share words lie near each other, the same text always has the same vector, on every machine. A text without
    a word has the vector of the word "".

    Args:
        dimensions: The length of a vector.

    Attributes:
        calls: What was encoded so far: for each call the role and the texts. Useful to count what was *not* encoded.
    """

    kind = "dense"

    def __init__(self, dimensions: int = 64) -> None:
        if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
            msg = f"dimensions must be a whole number of at least 1, got {dimensions!r}"
            raise ConfigurationError(msg)
        self._dimensions = dimensions
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._dimensions

    @property
    def documents_encoded(self) -> int:
        """How many documents were encoded so far."""
        return sum(len(texts) for role, texts in self.calls if role == "document")

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text."""
        self.calls.append(("query", tuple(texts)))
        return [self.vector(text) for text in texts]

    def encode_document(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text, the same as for queries."""
        self.calls.append(("document", tuple(texts)))
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        """The vector of one text."""
        vector = [0.0] * self._dimensions
        for word in _WORD.findall(text.lower()) or [""]:
            digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            vector[number % self._dimensions] += 1.0 if number >> 63 else -1.0
        length = math.sqrt(sum(value * value for value in vector))
        # Words of opposite sign in one dimension may cancel out; cosine needs something to point somewhere.
        return [value / length for value in vector] if length else [1.0, *vector[1:]]

    def record(self) -> dict[str, Any]:
        """The kind and the length."""
        return {"encoder": "hash", "dimensions": self._dimensions}


class HashLateEncoder(Encoder):
    """Token vectors without a model: one hashed vector of length 1 for every word, as a late-interaction model gives.

    Args:
        dimensions: The length of a vector.
    """

    kind = "multi"
    distance = "Cosine"
    graph = False

    def __init__(self, dimensions: int = 16) -> None:
        self._words = HashEncoder(dimensions)

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._words.dimensions

    def encode_query(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """For every text a vector for each of its words; one for the empty word where it has none."""
        return [self._words.encode_query(_WORD.findall(text.lower()) or [""]) for text in texts]

    def encode_document(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """As `encode_query`."""
        return self.encode_query(texts)

    def record(self) -> dict[str, Any]:
        """The settings."""
        return {"encoder": "hash-late", "dimensions": self.dimensions}


class FunctionStage(Stage):
    """A stage that is a plain function of the state.

    Args:
        function: From the state that comes in to the one that goes out.
        name: The stage's name.
        required: Whether the search fails with the stage.
    """

    def __init__(
        self,
        function: Callable[[SearchState], SearchState],
        name: str = "function",
        *,
        required: bool = False,
    ) -> None:
        self.name = name
        self.required = required
        self._function = function

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Call the function."""
        changed: SearchState = yield _Do("call", lambda: self._function(state))
        return changed


class FailingStage(Stage):
    """A stage that always raises.

    Args:
        error: What it raises.
        name: The stage's name.
        required: Whether the search fails with it.
    """

    def __init__(self, error: Exception, name: str = "failing", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self._error = error

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Raise."""
        yield _Do("fail", self._fail)
        return state

    def _fail(self) -> None:
        raise self._error


class HangingStage(Stage):
    """A stage that does not answer, as a model or a server does at the worst moment, and changes nothing.

    Args:
        name: The stage's name.
        seconds: How long it takes to answer after all.
        required: Whether the search fails with it.
    """

    def __init__(self, name: str = "hanging", *, seconds: float = 3600.0, required: bool = False) -> None:
        self.name = name
        self.required = required
        self._seconds = seconds
        self._released = threading.Event()

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Wait."""
        yield _Do("hang", lambda: self._released.wait(self._seconds))
        return state

    def close(self) -> None:
        """Let the calls go that are still waiting."""
        self._released.set()


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


class _Do(Effect[Any]):
    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        self.name = name
        self._function = function

    def call(self, timeout: float | None) -> Any:
        """Call the function."""
        return self._function()

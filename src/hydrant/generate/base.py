"""What a text generator is, and the effect with which a flow asks for text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from hydrant.errors import GenerationError
from hydrant.flow import Effect
from hydrant.generate.reasoning import cut_at_stops, without_reasoning
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.threads import POOL

if TYPE_CHECKING:
    from types import TracebackType


class TextGenerator(ABC):
    """A language model that answers prompts.

    Subclasses give `complete`, and `acomplete` where they have something better to await than a thread. Making one costs
    nothing: a model is loaded, and a connection opened, at the first use or by `warm_up`.
    """

    @property
    def identity(self) -> str | None:
        """What tells its answers from another model's, the same in every process; None where nothing does.

        Answers are kept on disk under this name.
        """
        return None

    @abstractmethod
    def complete(self, request: GenerationRequest) -> Generation:
        """The samples as the model gave them.

        Raises:
            GenerationError: There is not one.
            DeadlineExceeded: There was not one in time.
        """

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """The samples, without blocking the event loop."""
        return await POOL.await_call(self.complete, request)

    def generate(self, request: GenerationRequest | str) -> Generation:
        """The samples that are left when reasoning, and everything after a stop, is taken out of them.

        Args:
            request: What to ask; a text is asked once, for the likeliest answer.

        Raises:
            GenerationError: There is none.
            DeadlineExceeded: There was none in time.
        """
        request = _request(request)
        return _finished(self.complete(request), request)

    async def agenerate(self, request: GenerationRequest | str) -> Generation:
        """As `generate`, without blocking the event loop."""
        request = _request(request)
        return _finished(await self.acomplete(request), request)

    def warm_up(self) -> None:
        """Load the model, or open the connection, now instead of at the first use."""

    def close(self) -> None:
        """Let go of what the generator made itself; clients and models it was given stay open."""

    def __enter__(self) -> Self:
        self.warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Generate(Effect[Generation]):
    """Ask a generator for text; the reply is a `Generation`.

    What is left of the deadline is the generator's limit, less a little, so that it can hand over the samples that it has.

    Args:
        generator: The generator.
        request: What to ask.
    """

    name = "generate"

    def __init__(self, generator: TextGenerator, request: GenerationRequest) -> None:
        self.generator = generator
        self.request = request

    def call(self, timeout: float | None) -> Generation:
        """The samples."""
        return self.generator.generate(self.request.within(timeout))

    async def acall(self, timeout: float | None) -> Generation:
        """The samples, without blocking the event loop; cancelled with the task that awaits them."""
        return await self.generator.agenerate(self.request.within(timeout))


def _request(request: GenerationRequest | str) -> GenerationRequest:
    return request if isinstance(request, GenerationRequest) else GenerationRequest(request)


def _finished(generation: object, request: GenerationRequest) -> Generation:
    if not isinstance(generation, Generation):
        msg = f"complete of a text generator must return a Generation, got {generation!r}"
        raise GenerationError(msg)
    if isinstance(generation.texts, str) or not all(isinstance(text, str) for text in generation.texts):
        msg = f"texts of a Generation must be a tuple of str, got {generation.texts!r}"
        raise GenerationError(msg)
    # Some servers give a number of samples of their own.
    given = generation.texts[: request.samples]
    texts = tuple(cut_at_stops(without_reasoning(text), request.stop).strip() for text in given)
    return replace(generation, texts=texts)

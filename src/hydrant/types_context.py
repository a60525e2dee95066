"""What a search hands to a language model: the context, who is cited where in it, and what found no room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hydrant.types import Hit


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a passage that answers the query.

    Attributes:
        start: Where it begins in the passage's text, in characters.
        end: Where it ends there.
        text: What stands between.
        score: How near it is to the query, on the scale of the encoder that compared them.
    """

    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of one hit's text as it stands in the context: `context.text[at : at + end - start]`.

    Attributes:
        hit: The hit.
        start: Where the stretch begins in the hit's text, in characters.
        end: Where it ends there.
        at: Where it begins in the context's text.
    """

    hit: Hit
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class Citation:
    """One numbered part of the context: a passage, or neighbouring passages of one source.

    Attributes:
        number: Its number in the context, from 1.
        start: Where it begins in the context's text, in characters, its heading included.
        end: Where it ends there.
        excerpts: What it shows, in the order of the text; more than one where passages were merged or sentences left out.
        shortened: Whether some text of its passages is not shown.
    """

    number: int
    start: int
    end: int
    excerpts: tuple[Excerpt, ...]
    shortened: bool = False

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The hits that it shows, each once."""
        return tuple({id(excerpt.hit): excerpt.hit for excerpt in self.excerpts}.values())

    @property
    def title(self) -> str | None:
        """The title of its first passage."""
        return self.excerpts[0].hit.title

    @property
    def source(self) -> str | None:
        """Where it comes from."""
        return self.excerpts[0].hit.source


@dataclass(frozen=True, slots=True)
class Omission:
    """A hit of which the context shows nothing.

    Attributes:
        hit: The hit.
        reason: "budget" where there was no room left, "duplicate" where another hit says nearly the same, "irrelevant"
            where no sentence is near enough to the query, "blank" where it has no text.
    """

    hit: Hit
    reason: Literal["budget", "duplicate", "irrelevant", "blank"]


@dataclass(frozen=True, slots=True)
class Context:
    """Hits packed into one text for a language model.

    Attributes:
        text: The text; empty where nothing was found, or nothing fits.
        tokens: How many tokens the whole text has; 0 for the empty one.
        citations: Its parts, in the order of the text.
        left_out: The hits that are not in it, best first, and why.
    """

    text: str = ""
    tokens: int = 0
    citations: tuple[Citation, ...] = ()
    left_out: tuple[Omission, ...] = ()

    def __str__(self) -> str:
        return self.text

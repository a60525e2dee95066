"""How the context looks: a template for each passage, one for the whole, and what stands between."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from string import Formatter
from typing import TypeAlias

from hydrant.context.tokens import countable
from hydrant.errors import ConfigurationError
from hydrant.types import Hit

# Literal texts and names of slots, taking turns.
Parts: TypeAlias = tuple[tuple[str, str | None], ...]

_PASSAGE_SLOTS = ("number", "header", "title", "source", "id", "score", "text", "metadata[...]")
_WHOLE_SLOTS = ("passages", "query")
_METADATA = re.compile(r"metadata\[([^\[\]]+)\]")


@dataclass(frozen=True)
class ContextTemplate:
    """How the context looks.

    Slots stand in braces, `{{` and `}}` are braces; braces in what is filled in mean nothing. Line breaks in titles,
    sources and metadata become blanks, so that none of them can pass for a passage of its own.

    Attributes:
        passage: One passage. Slots: `{text}`, once and always; `{number}`, `{title}`, `{source}`, `{id}`, `{score}`;
            `{header}`, title and source on a line of their own where there are any; `{metadata[lang]}` for a field, the only
            way for metadata to get into a prompt. A field that a passage lacks is empty.
        whole: The whole. Slots: `{passages}`, once and always; `{query}`, the question.
        separator: What stands between two passages.
        cut: What stands where text was left out.

    Raises:
        ConfigurationError: A slot is unknown, missing or there twice.
    """

    passage: str = "[{number}] {header}{text}"
    whole: str = "{passages}"
    separator: str = "\n\n"
    cut: str = "[…]"
    _passage: Parts = field(init=False, repr=False, compare=False)
    _whole: Parts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("passage", "whole", "separator", "cut"):
            value = getattr(self, name)
            if not isinstance(value, str):
                msg = f"{name} of a ContextTemplate must be a str, got {value!r} that is a {type(value).__name__}"
                raise ConfigurationError(msg)
            object.__setattr__(self, name, countable(value))
        object.__setattr__(self, "_passage", _parsed("passage", self.passage, _PASSAGE_SLOTS, "text"))
        object.__setattr__(self, "_whole", _parsed("whole", self.whole, _WHOLE_SLOTS, "passages"))

    def around_text(self, hit: Hit, number: int, title: str | None) -> tuple[str, str]:
        """What stands before and after a passage's text.

        Args:
            hit: The passage; of several that were merged, the best.
            number: The number it is cited by.
            title: Its title, or the title of all that were merged.
        """
        return _around(self._passage, "text", lambda slot: _of_hit(slot, hit, number, title))

    def around_passages(self, query: str) -> tuple[str, str]:
        """What stands before and after the passages."""
        return _around(self._whole, "passages", lambda _: countable(query))


def _around(parts: Parts, middle: str, value: Callable[[str], str]) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    side = before
    for literal, slot in parts:
        side.append(literal)
        if slot == middle:
            side = after
        elif slot is not None:
            side.append(value(slot))
    return "".join(before), "".join(after)


def _of_hit(slot: str, hit: Hit, number: int, title: str | None) -> str:
    found = _METADATA.fullmatch(slot)
    if found is not None:
        return _line(hit.metadata.get(found[1]))
    if slot == "number":
        return str(number)
    if slot == "score":
        return f"{hit.score:.4g}"
    if slot == "id":
        return _line(hit.id)
    if slot == "header":
        return _header(_line(title), _line(hit.source))
    return _line(title if slot == "title" else hit.source)


def _header(title: str, source: str) -> str:
    if title and source:
        return f"{title} ({source})\n"
    return f"{title or source}\n" if title or source else ""


def _line(value: object) -> str:
    """A value on one line."""
    return "" if value is None else countable(" ".join(str(value).split()))


def _parsed(name: str, template: str, slots: tuple[str, ...], needed: str) -> Parts:
    try:
        found = [
            (literal, slot, bool(form or conversion))
            for literal, slot, form, conversion in Formatter().parse(template)
        ]
    except ValueError as error:
        msg = f"{name} of a ContextTemplate cannot be read ({error}); a brace that is meant is written twice: {template!r}"
        raise ConfigurationError(msg) from None
    for _, slot, formatted in found:
        known = slot is None or slot in slots or ("metadata[...]" in slots and _METADATA.fullmatch(slot))
        if not known or formatted:
            shown = ", ".join(f"{{{each}}}" for each in slots)
            plain = " without ! or : in them" if known else ""
            msg = f"{name} of a ContextTemplate may have the slots {shown}{plain}; got {{{slot}}} in {template!r}"
            raise ConfigurationError(msg)
    if [slot for _, slot, _ in found].count(needed) != 1:
        msg = f"{name} of a ContextTemplate must have {{{needed}}} exactly once; got {template!r}"
        raise ConfigurationError(msg)
    return tuple((literal, slot) for literal, slot, _ in found)

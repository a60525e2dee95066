"""The block of settings at the head of Markdown files, as static site generators use it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCES = {"---": (":", ("---", "...")), "+++": ("=", ("+++",))}
_MOST_LINES = 400
_KEY = re.compile(r"[A-Za-z_][\w-]*[ \t]*[:=]")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """Markdown without its front matter, and the title that stood there."""

    body: str
    title: str | None = None


def split_front_matter(text: str) -> FrontMatter:
    """Take YAML (`---`) or TOML (`+++`) front matter off Markdown.

    Only the title is read, so that nothing in it can be malformed: a line `title: ...` at its left edge.

    Args:
        text: Clean Markdown; a thematic break at its start is not mistaken for front matter.
    """
    fence = text[:4].rstrip("\n")
    if fence not in _FENCES or not text.startswith(f"{fence}\n"):
        return FrontMatter(text)
    sign, closings = _FENCES[fence]
    lines = text.split("\n", _MOST_LINES)
    end = next((i for i, line in enumerate(lines[1:-1], 1) if line.rstrip() in closings), None)
    if end is None and lines[-1].rstrip() in closings:
        end = len(lines) - 1
    matter = lines[1:end]
    if end is None or not any(_KEY.match(line) for line in matter):
        return FrontMatter(text)
    return FrontMatter("\n".join(lines[end + 1 :]), _title(matter, sign))


def _title(lines: list[str], sign: str) -> str | None:
    for number, line in enumerate(lines):
        key, found, value = line.partition(sign)
        if found and key.strip().strip("\"'").lower() == "title" and not key.startswith((" ", "\t")):
            value = value.strip()
            if value[:1] in ("|", ">"):
                # YAML's block form: the title is the indented lines below.
                value = " ".join(_indented(lines[number + 1 :]))
            return _unquoted(value) or None
    return None


def _indented(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith((" ", "\t"))), len(lines))
    return [line.strip() for line in lines[:end]]


def _unquoted(value: str) -> str:
    quote = value[:1]
    if quote in ('"', "'") and value.find(quote, 1) > 0:
        return value[1 : value.rfind(quote)].strip()
    return value.split(" #", 1)[0].strip()

"""Text as it must be before anything else sees it: encodable, without NULs, with one kind of line end."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    r"""Make `text` safe to encode, tokenize and store.

    Surrogate pairs are joined into the character they stand for, lone surrogates become U+FFFD, NULs go, a
    byte order mark at the start goes, and `"\r\n"` and `"\r"` become `"\n"`. Cleaning twice changes nothing
    more.

    Args:
        text: Any string.

    Returns:
        The cleaned text, and a note for each thing that was lost. Line ends and the byte order mark carry no
        text, so they leave no note.
    """
    notes: list[str] = []
    if "\0" in text:
        notes.append(_counted(text.count("\0"), "NUL character", "removed"))
        text = text.replace("\0", "")
    if not text.isascii() and _SURROGATE.search(text):
        text, lost = _without_surrogates(text)
        if lost:
            notes.append(_counted(lost, "lone surrogate", "replaced by U+FFFD"))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.lstrip("\ufeff"), tuple(notes)


def _without_surrogates(text: str) -> tuple[str, int]:
    """`text` with surrogate pairs joined and lone ones replaced, and how many were lone."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined, joined.count("\ufffd") - text.count("\ufffd")


def _counted(number: int, thing: str, verb: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'} {verb}"

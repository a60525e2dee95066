"""What a model thought aloud before it answered, taken out of the answer."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad"
_WHOLE = re.compile(rf"<({_NAMES})(?:\s[^<>]*)?>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_END = re.compile(rf"</(?:{_NAMES})\s*>", re.IGNORECASE)
_CLOSED = re.compile(rf".*</(?:{_NAMES})\s*>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"<(?:{_NAMES})(?:\s[^<>]*)?>.*", re.DOTALL | re.IGNORECASE)


def without_reasoning(text: str) -> str:
    """The answer alone.

    A block that was never closed, because the tokens ran out, takes everything after it along; one that was never
    opened, because the model's template had done so, everything before it.
    """
    if "<" not in text:
        return text.strip()
    # Without an end to be found, every beginning would be followed to the end of the text.
    if _END.search(text):
        text = _CLOSED.sub("", _WHOLE.sub("", text))
    return _OPENED.sub("", text).strip()


def cut_at_stops(text: str, stops: tuple[str, ...]) -> str:
    """The text up to the first of the stops; for models and servers that do not heed them."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(found)] if found else text

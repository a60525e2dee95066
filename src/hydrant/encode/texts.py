"""What every encoder does with the texts it is handed before a model sees them."""

from __future__ import annotations

from collections.abc import Sequence

from hydrant.errors import InputError

_SHOWN = 60


def checked_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list of strings that can be written as UTF-8.

    A lone surrogate, which tokenizers and JSON refuse, becomes U+FFFD; two that make up one character are joined.

    Raises:
        InputError: `texts` is a single string, or one of them is not a string.
    """
    if isinstance(texts, (str, bytes)):
        msg = f"texts must be a list of strings; got the single text {shown(texts)}, put it in a list"
        raise InputError(msg)
    checked = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            msg = f"texts[{index}] must be a str; got {type(text).__name__} {shown(text)}"
            raise InputError(msg)
        checked.append(text if text.isascii() else _writable(text))
    return checked


def shown(text: object) -> str:
    """The start of a text, as an error message shows it."""
    # A long text is cut before repr(), which would otherwise copy all of it.
    whole = text if isinstance(text, (str, bytes)) else repr(text)
    return repr(whole) if len(whole) <= _SHOWN else f"{whole[:_SHOWN]!r}…"


def _writable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

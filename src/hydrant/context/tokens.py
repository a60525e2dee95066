"""How many tokens a text has for the model that will read it.

The tables of OpenAI's encodings come from the package bpe-openai where it is installed (the extra `offline`), since it
carries them, else from tiktoken, which fetches them at first use. Both count the same.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sized
from functools import cache
from typing import Any, TypeAlias

from hydrant.errors import ConfigurationError, ModelNotFound

Count: TypeAlias = Callable[[str], int]

_ENCODINGS = ("cl100k_base", "o200k_base")
# It differs from the other in its control tokens alone, and a text has none.
_SAME = {"o200k_harmony": "o200k_base"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Counter(ABC):
    """Something that counts tokens; what it needs is loaded by `load`, not when it is made."""

    @abstractmethod
    def load(self) -> Count:
        """The function that counts.

        Raises:
            ModelNotFound: The tables could neither be found nor fetched.
        """

    def bound(self) -> Count | None:
        """A count that needs nothing loaded and is never too low, or None where there is none."""
        return None


class EncodingCounter(Counter):
    """Counts as an OpenAI encoding.

    Args:
        encoding: Its name, such as "cl100k_base".
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def load(self) -> Count:
        """The count by the tables of the encoding."""
        return _encoding(self.encoding)

    def bound(self) -> Count:
        """The number of bytes: every token of these encodings stands for at least one."""
        return _bytes


class TokenizerCounter(Counter):
    """Counts with a tokenizer that was handed in, without its control tokens where it can leave them out.

    Args:
        tokenizer: A `tokenizers.Tokenizer`, a tokenizer of transformers, an encoding of tiktoken, or anything with a method
            `encode` that returns the tokens of a text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._count: Count | None = None

    def load(self) -> Count:
        """The count, on a copy where the tokenizer could cut texts off."""
        if self._count is None:
            self._count = self._made()
        return self._count

    def _made(self) -> Count:
        given = self._tokenizer
        if hasattr(given, "encode_ordinary"):
            return lambda text: len(given.encode_ordinary(text))
        fast = getattr(given, "backend_tokenizer", given)
        if not hasattr(fast, "no_truncation"):
            return lambda text: len(given.encode(text))
        own = type(fast).from_str(fast.to_str())
        own.no_truncation()
        own.no_padding()
        return lambda text: len(own.encode(text, add_special_tokens=False))


class FunctionCounter(Counter):
    """Counts with a function.

    Args:
        function: From a text to the number of its tokens, or to the tokens.
    """

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def load(self) -> Count:
        """The function, with what it returns checked."""
        return self._checked

    def _checked(self, text: str) -> int:
        said = self._function(text)
        if isinstance(said, Sized):
            return len(said)
        if isinstance(said, bool) or not isinstance(said, int) or said < 0:
            msg = f"model must return the tokens of a text, or their number as an int of at least 0; it returned {said!r}"
            raise ConfigurationError(msg)
        return said


def counter_of(model: object) -> Counter:
    """What counts for a model.

    Args:
        model: The name of an encoding, the name of a model of OpenAI's, a tokenizer, or a function.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(model, str):
        return EncodingCounter(_encoding_name(model))
    if hasattr(model, "encode") or hasattr(model, "backend_tokenizer"):
        return TokenizerCounter(model)
    if callable(model):
        return FunctionCounter(model)
    msg = (
        f"model must be one of {', '.join(map(repr, _ENCODINGS))}, a model's name such as 'gpt-4o', a tokenizer or a "
        f"function that counts tokens; got {model!r} that is a {type(model).__name__}"
    )
    raise ConfigurationError(msg)


def countable(text: str) -> str:
    """The text with every lone half of a character, which no tokenizer takes, as U+FFFD; offsets stay as they are."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _encoding_name(model: str) -> str:
    if model in _ENCODINGS:
        return model
    from tiktoken import encoding_name_for_model, list_encoding_names

    if model not in list_encoding_names():
        try:
            model = encoding_name_for_model(model)
        except KeyError:
            msg = (
                f"model must be the name of an encoding ({', '.join(list_encoding_names())}) or of a model that tiktoken "
                f"knows, such as 'gpt-4o'; got {model!r}: hand in its tokenizer, or a function that counts tokens"
            )
            raise ConfigurationError(msg) from None
    return _SAME.get(model, model)


@cache
def _encoding(name: str) -> Count:
    """The count of an encoding, loaded once for the process; a failure is tried again next time."""
    encoding = _carried(name)
    if encoding is None:
        from tiktoken import get_encoding

        try:
            encoding = get_encoding(name)
        except OSError as error:
            msg = (
                f"the token tables of {name!r} could not be fetched ({error}); install hydrant-rag[offline], which carries "
                f"those of {', '.join(_ENCODINGS)}, or set TIKTOKEN_CACHE_DIR to a folder that has them"
            )
            raise ModelNotFound(msg) from error
    return lambda text: len(encoding.encode_ordinary(text))


def _carried(name: str) -> Any:
    """The encoding whose tables a package carries; None where that is not installed or has others."""
    if name not in _ENCODINGS:
        return None
    with warnings.catch_warnings():
        # It opens its tables in a way that Python 3.11 calls deprecated, and nothing of ours can change that.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            from bpe_openai import get_encoding
        except ImportError:
            return None
        return get_encoding(name)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))

"""Where output goes: answers to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Columns where nobody looks: in a pipe or a file. The COLUMNS variable says otherwise.
_PIPED_WIDTH = 120
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def stdout() -> Console:
    """The console for answers."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for messages, made anew each time: tests and shells exchange the stream."""
    return _console(sys.stderr)


def note(message: str) -> None:
    """Say something that is not part of the answer."""
    from rich.text import Text

    stderr().print(Text(printable(message), style="yellow"), soft_wrap=True)


def print_json(answer: Any) -> None:
    """Print one JSON object, and nothing else, to standard output."""
    _survive_odd_characters(sys.stdout)
    sys.stdout.write(json.dumps(answer, ensure_ascii=not _speaks_utf8(sys.stdout), indent=2) + "\n")
    sys.stdout.flush()


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show a spinner while something goes on that has no end in sight; only on a terminal."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} …"):
        yield


def printable(text: str) -> str:
    """Text with its control characters as blanks, so that no document can steer a terminal."""
    return _CONTROLS.sub(" ", text)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    _survive_odd_characters(stream)
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _survive_odd_characters(stream: Any) -> None:
    """What cannot be shown is a question mark: other alphabets on an ASCII terminal, file names that are not UTF-8."""
    if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def _speaks_utf8(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("_", "-") in {"utf-8", "utf8"}

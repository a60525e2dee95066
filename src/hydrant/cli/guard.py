"""What stands around every command: quiet libraries, and errors as one line instead of a traceback."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

import typer

from hydrant.cli.console import printable, stderr
from hydrant.errors import (
    ConfigurationError,
    DeadlineExceeded,
    FilterError,
    HydrantError,
    InputError,
    MissingDependency,
    TenantRequired,
)

FAILED, USAGE, INTERRUPTED = 1, 2, 130
# What libraries print on their own when they load a model. A value the user set stays.
_SILENT_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_TALKATIVE_LOGGERS = ("httpx", "huggingface_hub", "sentence_transformers", "transformers")


def guarded(*, interrupted: str = "interrupted") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command that ends with a message and an exit code whatever happens.

    Args:
        interrupted: What Ctrl-C says.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(ctx: typer.Context, **arguments: Any) -> None:
            debug = bool(ctx.find_root().params.get("debug"))
            try:
                with _quiet(debug=debug):
                    command(ctx, **arguments)
            except KeyboardInterrupt:
                _say(interrupted)
                raise typer.Exit(INTERRUPTED) from None
            except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
                raise
            except Exception as error:
                # The last place before the user: whatever it is, a traceback would not help them.
                if debug:
                    raise
                _end(error)

        return run

    return decorate


def _end(error: Exception) -> NoReturn:
    if not isinstance(error, HydrantError):
        said = f"{type(error).__name__}: {error}"
        _say(f"unexpected {said} (hydrant --debug ... shows where)")
        raise typer.Exit(FAILED) from error
    _say(f"{error}{_hint(error)}")
    usage = isinstance(error, InputError | ConfigurationError) and not isinstance(error, MissingDependency)
    raise typer.Exit(USAGE if usage else FAILED) from error


def _hint(error: HydrantError) -> str:
    """What the library's advice is called on the command line."""
    if isinstance(error, TenantRequired):
        return " (on the command line: --tenant NAME)"
    if isinstance(error, FilterError):
        return " (hydrant index ... --field NAME=TYPE makes a field filterable)"
    if isinstance(error, DeadlineExceeded):
        return " (give more with --deadline)"
    return ""


def _say(message: str) -> None:
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), (" ".join(printable(message).split()), "red"))
    stderr().print(line, soft_wrap=True)


@contextmanager
def _quiet(*, debug: bool) -> Iterator[None]:
    """Keep the libraries from writing into our output; with `debug` they may."""
    if debug:
        yield
        return
    for name, value in _SILENT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _TALKATIVE_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

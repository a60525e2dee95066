"""The `hydrant` program: its commands, and what they have in common."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from hydrant import __version__
from hydrant.cli import demo, eval, index, info, make_eval, search, tune  # noqa: A004  named as the command

_HELP = """Retrieval for RAG on Qdrant: index text, search it by meaning and by words.

An index lies in a folder ([bold].hydrant/index[/], or --path) or on a Qdrant server (--url).
"""
_EPILOG = """[bold]Start here[/]: hydrant demo

[bold]Your own files[/]: hydrant index ./manual, then hydrant search "how do I rotate the keys?"

[bold]Environment[/]: HYDRANT_PATH or QDRANT_URL stand for --path and --url; the server's key is read from QDRANT_API_KEY only.

[bold]Exit codes[/]: 0 done, 1 an error or documents that failed, 2 wrong usage, 130 interrupted.
"""


class Program(typer.Typer):
    """The program as the shell starts it, which ends in good order even while a model is still computing.

    A call that missed its deadline, or that Ctrl-C left behind, goes on in a thread of its own. An interpreter that is
    taken down around it makes torch abort the process, with a message and an exit code of its own.
    """

    _code: int = 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program."""
        # What is registered first runs last, after every library's own work at exit.
        atexit.register(self._leave)
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as ending:
            self._code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
            raise

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # Whoever read it may be gone, or it was closed before.
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(self._code)


app = Program(
    name="hydrant",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (index, search, info, eval, tune, make_eval, demo):
    command.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hydrant {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks and what the model libraries say."),
    ] = False,
) -> None:
    """Take what every command has; `hydrant.cli.guard` looks at `debug`."""


if __name__ == "__main__":
    app()

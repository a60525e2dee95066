"""The `hydrant` program: its commands, and what they have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from hydrant import __version__
from hydrant.cli import demo, index, info, search

_HELP = """Retrieval for RAG on Qdrant: index text, search it by meaning and by words.

An index lies in a folder ([bold].hydrant/index[/], or --path) or on a Qdrant server (--url).
"""
_EPILOG = """[bold]Start here[/]: hydrant demo

[bold]Your own files[/]: hydrant index ./manual, then hydrant search "how do I rotate the keys?"

[bold]Environment[/]: HYDRANT_PATH or QDRANT_URL stand for --path and --url; the server's key is read from QDRANT_API_KEY only.

[bold]Exit codes[/]: 0 done, 1 an error or documents that failed, 2 wrong usage, 130 interrupted.
"""

app = typer.Typer(
    name="hydrant",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (index, search, info, demo):
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

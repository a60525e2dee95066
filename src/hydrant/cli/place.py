"""Which index a command works on: a folder of the embedded engine, or a Qdrant server."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hydrant.cli.console import note
from hydrant.errors import CollectionNotFound, HydrantError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.http.exceptions import UnexpectedResponse

DEFAULT_PATH = Path(".hydrant/index")
KEY_VARIABLE = "QDRANT_API_KEY"
# Seconds for one request; writing a batch to a busy server takes longer than the client's usual five.
_TIMEOUT = 60
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404

PathOption = Annotated[
    Path | None,
    typer.Option(
        "--path",
        metavar="FOLDER",
        envvar="HYDRANT_PATH",
        show_default=str(DEFAULT_PATH),
        help="The folder of the index, for the embedded engine.",
        rich_help_panel="Where",
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="QDRANT_URL",
        help=f"The address of a Qdrant server instead; its key is read from {KEY_VARIABLE}.",
        rich_help_panel="Where",
    ),
]
CollectionOption = Annotated[
    str,
    typer.Option("--collection", "-c", metavar="NAME", help="The collection.", rich_help_panel="Where"),
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        help="Whose documents, in a collection with tenants.",
        rich_help_panel="Where",
    ),
]


class ServerProblem(HydrantError, OSError):
    """A Qdrant server that cannot be reached, or refuses."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is: a folder, or a server's address."""

    folder: Path
    url: str | None = None

    def __str__(self) -> str:
        return str(self.folder) if self.url is None else self.url

    @contextmanager
    def client(self, *, make: bool = False) -> Iterator[QdrantClient]:
        """The client, closed at the end; what qdrant-client raises becomes an error with advice.

        Args:
            make: Whether the folder may be made where it is missing.

        Raises:
            CollectionNotFound: There is no such folder.
            ServerProblem: The server cannot be reached or refuses.
        """
        if self.url is None:
            with _embedded(self.folder, make=make) as client:
                yield client
            return
        with _explained(self.url):
            client = _connected(self.url)
            try:
                yield client
            finally:
                client.close()


def place_of(ctx: typer.Context, path: Path | None, url: str | None) -> Place:
    """Choose between `--path` and `--url`; what stands on the command line beats what stands in the environment.

    Raises:
        typer.BadParameter: Both were given.
    """
    if path is not None and url is not None:
        typed = [name for name in ("path", "url") if not _from_environment(ctx, name)]
        if len(typed) != 1:
            msg = "give either --path (HYDRANT_PATH) or --url (QDRANT_URL), not both"
            raise typer.BadParameter(msg, ctx=ctx)
        path, url = (path, None) if typed == ["path"] else (None, url)
    if url is not None:
        return Place(DEFAULT_PATH, url)
    return Place(DEFAULT_PATH if path is None else path.expanduser())


def _from_environment(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


@contextmanager
def _embedded(folder: Path, *, make: bool) -> Iterator[QdrantClient]:
    from hydrant.edge import EdgeClient

    if not make and not folder.exists():
        msg = f"there is no index at {folder}; make one with 'hydrant index FOLDER', or say where it is with --path"
        raise CollectionNotFound(msg)
    with EdgeClient(folder.absolute()) as client:
        yield client


def _connected(url: str) -> QdrantClient:
    from qdrant_client import QdrantClient

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # The client would compare versions in a thread of its own, whose failure is a traceback on the terminal.
            client = QdrantClient(
                url=url, api_key=os.environ.get(KEY_VARIABLE), timeout=_TIMEOUT, check_compatibility=False
            )
        except ValueError as error:
            msg = (
                f"{url!r} is not the address of a server: {error}; give something like http://localhost:6333"
            )
            raise ServerProblem(msg) from error
    for warning in caught:
        # Such as a key that travels unencrypted.
        if issubclass(warning.category, UserWarning):
            note(f"warning: {warning.message}")
    return client


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except ResponseHandlingException as error:
        msg = f"no answer from a Qdrant server at {url} ({error}); is it running, and is the address right?"
        raise ServerProblem(msg) from error
    except UnexpectedResponse as error:
        msg = f"{url} {_refusal(error)}"
        raise ServerProblem(msg) from error
    except ResourceExhaustedResponse as error:
        msg = f"{url} is overloaded and asks to be left alone for {error.retry_after_s} s"
        raise ServerProblem(msg) from error


def _refusal(error: UnexpectedResponse) -> str:
    status = error.status_code
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        given = "the key in" if os.environ.get(KEY_VARIABLE) else "this without a key; set"
        return f"refuses {given} {KEY_VARIABLE} (HTTP {status})"
    if status == _NOT_FOUND:
        return f"answered HTTP {status}; is it the address of a Qdrant server?"
    content = error.content.decode("utf-8", "replace").strip()
    return f"answered HTTP {status} {error.reason_phrase}: {content or 'no more was said'}"

"""PDF, Office and EPUB files to Markdown, through markitdown (the `files` extra)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

from hydrant.errors import UnreadableDocument

if TYPE_CHECKING:
    from markitdown import DocumentConverterResult

    from hydrant.ingest.formats import Format

_INSTALL = "pip install 'hydrant-rag[files]'"


def markdown_from_office(data: bytes, form: Format) -> tuple[str, str | None]:
    """The text of a file as Markdown, and its title where the file states one.

    Args:
        data: All of the file's bytes; nothing is fetched from elsewhere.
        form: One of the formats that need the `files` extra.

    Raises:
        UnreadableDocument: The extra is not installed, or the file is damaged or protected.
    """
    result = _convert(data, form)
    return result.markdown, result.title or None


def _convert(data: bytes, form: Format) -> DocumentConverterResult:
    try:
        from markitdown import MissingDependencyException, StreamInfo, converters
    except ImportError as error:
        message = f"is {form.value.upper()}, which needs the 'files' extra: {_INSTALL}"
        raise UnreadableDocument(message) from error
    try:
        # The one that is meant: MarkItDown itself goes on to guess, down to taking an archive's bytes for text.
        converter = getattr(converters, f"{form.value.capitalize()}Converter")()
        return cast(
            "DocumentConverterResult",
            converter.convert(io.BytesIO(data), StreamInfo(extension=f".{form.value}")),
        )
    except MissingDependencyException as error:
        message = f"is {form.value.upper()}, for which a part of the 'files' extra is missing: {_INSTALL}"
        raise UnreadableDocument(message) from error
    except Exception as error:
        # Half a dozen parsers stand behind this, and a damaged file makes each fail in ways of its own.
        message = f"cannot be read as {form.value.upper()}: {_first_line(error)}"
        raise UnreadableDocument(message) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

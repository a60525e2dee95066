"""A file to a `Document`: its text, clean, with what is known about it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hydrant.errors import ConfigurationError, EmptyDocument, UnreadableDocument
from hydrant.ingest.files import kind_of
from hydrant.ingest.formats import Format, format_of
from hydrant.ingest.headings import document_title
from hydrant.ingest.read_decode import decode
from hydrant.ingest.read_front_matter import split_front_matter
from hydrant.ingest.read_notebook import markdown_from_notebook
from hydrant.ingest.read_office import markdown_from_office
from hydrant.ingest.text import clean

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """A text that can be cut into passages.

    Attributes:
        text: The text, clean (see `clean`); for formats with markup of their own, the Markdown made of it.
            All offsets are into this.
        format: What the file is; `format.layout` says how `text` reads.
        title: From the file itself: front matter, `<title>`, the only top heading; the file's name for source
            code.
        source: Where it comes from, as the caller said it.
        notes: What was changed or lost on the way to text, for a report.
        content_hash: SHA-256 of the file's bytes, in hexadecimal.
    """

    text: str
    format: Format
    title: str | None
    source: str | None
    notes: tuple[str, ...]
    content_hash: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """Text on its way to a document."""

    text: str
    title: str | None = None
    notes: tuple[str, ...] = ()


def read_document(path: Path, *, source: str | None = None, max_bytes: int = MAX_BYTES) -> Document:
    """Read one file.

    Args:
        path: The file. A suffix that says nothing is read as plain text.
        source: What to call it; None means the path as given.
        max_bytes: Files larger than this are refused.

    Raises:
        UnreadableDocument: There is no text to be had; the message names the file and the reason.
    """
    name = str(path) if source is None else source
    form = format_of(path) or Format.TEXT
    try:
        data = _read_bytes(path, max_bytes)
        draft = _draft_from_bytes(data, form)
        is_code = form in (Format.PYTHON, Format.CODE)
        return _document(
            _Draft(draft.text, path.name if is_code else draft.title, draft.notes),
            form,
            source=name,
            content_hash=hashlib.sha256(data).hexdigest(),
        )
    except UnreadableDocument as error:
        message = f"{name} {error}"
        raise type(error)(message) from error.__cause__


def hash_file(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """The `content_hash` that the file's document would have, without making text of it.

    Raises:
        UnreadableDocument: The file cannot be read.
    """
    try:
        return hashlib.sha256(_read_bytes(path, max_bytes)).hexdigest()
    except UnreadableDocument as error:
        message = f"{path} {error}"
        raise type(error)(message) from error.__cause__


def document_from_text(
    text: str,
    *,
    format: str = "text",  # noqa: A002  the word a caller looks for
    source: str | None = None,
    title: str | None = None,
) -> Document:
    """Make a document of text that is not in a file.

    Args:
        text: The text, in the layout that `format` names: HTML and notebooks are converted as they are from
            files.
        format: A `Format` that is text, or its name.
        source: Where it comes from: a path or a URL.
        title: Its title; None takes the one in the text.

    Raises:
        ConfigurationError: There is no such format, or it is not text.
        UnreadableDocument: The text is blank, or is not what `format` says.
    """
    form = Format.parse(format)
    if form.needs_extra:
        message = f"format {form.value!r} is not text; write it to a file and use read_document"
        raise ConfigurationError(message)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    try:
        draft = _draft_from_text(text, form)
        own = draft.title if title is None else title
        return _document(_Draft(draft.text, own, draft.notes), form, source=source, content_hash=digest)
    except UnreadableDocument as error:
        message = f"{'the text' if source is None else source} {error}"
        raise type(error)(message) from error.__cause__


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file; nothing else is opened, and nothing can block."""
    try:
        _refuse_other_kinds(path.stat())
        # The path may have become a pipe since: opened this way it does not wait for a writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:  # noqa: PTH123  Path.open cannot take a descriptor
            status = os.fstat(handle)
            _refuse_other_kinds(status)
            _refuse_large(status.st_size, max_bytes)
            # Files that grow, and those of /proc, are longer than they say.
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        message = "does not exist (any more)"
        raise UnreadableDocument(message) from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the path.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"cannot be read: {reason}"
        raise UnreadableDocument(message) from error
    _refuse_large(len(data), max_bytes)
    return data


def _refuse_other_kinds(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        message = f"is {kind_of(status)}, not a file"
        raise UnreadableDocument(message)


def _refuse_large(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        message = f"has {size:,} bytes or more, over the limit of {max_bytes:,}; split it or raise max_bytes"
        raise UnreadableDocument(message)


def _draft_from_bytes(data: bytes, form: Format) -> _Draft:
    if not data:
        message = "is empty"
        raise EmptyDocument(message)
    if form.needs_extra:
        text, title = markdown_from_office(data, form)
        return _Draft(text, title)
    decoded = decode(data, declared=_declared_encoding(data) if form is Format.HTML else None)
    draft = _draft_from_text(decoded.text, form)
    return _Draft(draft.text, draft.title, decoded.notes + draft.notes)


def _declared_encoding(data: bytes) -> str | None:
    from hydrant.ingest.read_html import declared_encoding

    return declared_encoding(data)


def _draft_from_text(raw: str, form: Format) -> _Draft:
    """Clean text, converted where its format is not its layout."""
    text, notes = clean(raw)
    if not text.strip():
        message = "is empty: it holds nothing but blanks"
        raise EmptyDocument(message)
    if form is Format.HTML:
        from hydrant.ingest.read_html import page_from_html

        page = page_from_html(text)
        return _Draft(page.text, page.title, notes + page.notes)
    if form is Format.NOTEBOOK:
        return _Draft(markdown_from_notebook(text), None, notes)
    if form is Format.MARKDOWN:
        matter = split_front_matter(text)
        return _Draft(matter.body, matter.title, notes)
    return _Draft(text, None, notes)


def _document(draft: _Draft, form: Format, *, source: str | None, content_hash: str) -> Document:
    # What a converter returns may hold anything that the file held.
    text, notes = clean(draft.text)
    if not text.strip():
        message = f"holds no text that could be extracted ({form.value})"
        raise EmptyDocument(message)
    title = draft.title if draft.title is not None else document_title(text, form.layout)
    return Document(
        text=text,
        format=form,
        title=_one_line(title),
        source=source,
        notes=draft.notes + notes,
        content_hash=content_hash,
    )


def _one_line(title: str | None) -> str | None:
    return None if title is None else " ".join(clean(title)[0].split()) or None

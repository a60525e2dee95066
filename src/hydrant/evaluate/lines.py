"""Files of lines, each error with file and line number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant.errors import TaskError

_ID_KEYS = ("_id", "id")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file.

    Attributes:
        file: The file.
        number: Its number, from 1.
        text: What stands there, without the line's end.
    """

    file: Path
    number: int
    text: str

    def error(self, message: str) -> TaskError:
        """An error that begins with the line's place."""
        return TaskError(f"{self.file}, line {self.number}: {message}")


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object that is one line of a file."""

    line: Line
    fields: Mapping[str, Any]

    def error(self, message: str) -> TaskError:
        """An error that begins with the record's place."""
        return self.line.error(message)

    @property
    def id(self) -> str:
        """Its id under `_id` or `id`, as text.

        Raises:
            TaskError: It has none.
        """
        found = self.optional(*_ID_KEYS)
        if found is None:
            msg = f"needs an id under '_id', it has {sorted(self.fields)}"
            raise self.error(msg)
        if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
            msg = f"'_id' must be a text that is not blank or a whole number, got {found!r}"
            raise self.error(msg)
        return str(found)

    def optional(self, *keys: str) -> Any:
        """The value of the first of these keys that is there; None where none is."""
        return next((self.fields[key] for key in keys if self.fields.get(key) is not None), None)

    def text(self, *keys: str, blank: bool = False) -> str:
        """The text under the first of these keys that is there.

        Args:
            keys: Where it may stand.
            blank: Whether it may be blank.

        Raises:
            TaskError: There is none, or it is no text.
        """
        found = self.optional(*keys)
        if not isinstance(found, str) or not (blank or found.strip()):
            msg = f"needs a text under {' or '.join(map(repr, keys))}, got {found!r}"
            raise self.error(msg)
        return found

    def tenant(self) -> str | int | None:
        """Whose documents the question is about; None where nothing is said.

        Raises:
            TaskError: It is neither a text nor a whole number.
        """
        found = self.fields.get("tenant")
        if isinstance(found, bool) or not isinstance(found, str | int | None):
            msg = f"'tenant' must be a text or a whole number, got {found!r}"
            raise self.error(msg)
        return found

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The object under a key; an empty one where there is none.

        Raises:
            TaskError: It is something else.
        """
        found = self.fields.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            msg = f"{key!r} must be an object, got {found!r}"
            raise self.error(msg)
        return found


def lines(file: Path) -> Iterator[Line]:
    """The lines of a file that are not blank.

    Raises:
        TaskError: It cannot be read, or is not UTF-8.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="\n") as stream:
            number = 0
            try:
                for number, text in enumerate(stream, 1):
                    if text.strip():
                        yield Line(file, number, text.rstrip("\r\n"))
            except UnicodeDecodeError as error:
                msg = f"{file}, line {number + 1} or after: is not UTF-8 text: {error}"
                raise TaskError(msg) from error
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise TaskError(msg) from error


def records(file: Path) -> Iterator[Record]:
    """The JSON objects of a JSONL file.

    Raises:
        TaskError: A line is something else.
    """
    for line in lines(file):
        try:
            fields = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            msg = f"is not JSON: {error}"
            raise line.error(msg) from error
        if not isinstance(fields, dict):
            msg = f'must be a JSON object such as {{"_id": "1", "text": "..."}}, got {type(fields).__name__}'
            raise line.error(msg)
        yield Record(line, fields)


def unique(found: Iterator[Record], what: str) -> Iterator[Record]:
    """The same records.

    Raises:
        TaskError: Two have the same id.
    """
    seen: dict[str, int] = {}
    for record in found:
        if record.id in seen:
            msg = f"{what} {record.id!r} is there already, on line {seen[record.id]}"
            raise record.error(msg)
        seen[record.id] = record.line.number
        yield record

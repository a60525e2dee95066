"""Records from a JSONL file: one JSON object a line, read as they are needed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hydrant.errors import InputError

if TYPE_CHECKING:
    from hydrant.ingest.report import Failure, IndexReport

STDIN = "-"


class Records:
    """The records of a stream. A line that is no JSON object is put on record and stops no other."""

    def __init__(self, lines: BinaryIO, name: str) -> None:
        self._lines = lines
        self._name = name
        self._failures: list[Failure] = []
        self._numbers: list[int] = []

    @classmethod
    @contextmanager
    def opened(cls, file: Path) -> Iterator[Records]:
        """The records of a file, or of standard input for '-'.

        Raises:
            InputError: The file cannot be opened.
        """
        if str(file) == STDIN:
            yield cls(getattr(sys.stdin, "buffer", io.BytesIO()), "standard input")
            return
        try:
            stream = file.open("rb")
        except OSError as error:
            msg = f"--jsonl {file} cannot be read: {error.strerror}"
            raise InputError(msg) from error
        with stream:
            yield cls(stream, str(file))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines, 1):
            if not line.strip():
                continue
            try:
                record = self._record(line)
            except (ValueError, RecursionError) as error:
                self._fail(number, error)
                continue
            self._numbers.append(number)
            yield record

    def with_failures(self, report: IndexReport) -> IndexReport:
        """A report with the lines that could not be read put first, and records without an id named by their line."""
        from hydrant.ingest.passages import item_label

        lines = {item_label(position): self._line(number) for position, number in enumerate(self._numbers)}
        failures = [replace(each, source=lines.get(each.source, each.source)) for each in report.failures]
        return replace(report, failures=(*self._failures, *failures))

    def _line(self, number: int) -> str:
        return f"{self._name}, line {number}"

    def _record(self, line: bytes) -> dict[str, Any]:
        record = json.loads(line.decode("utf-8-sig"))
        if not isinstance(record, dict):
            msg = f'expected a JSON object such as {{"text": "..."}}, got a {type(record).__name__}'
            raise InputError(msg)
        return record

    def _fail(self, number: int, error: Exception) -> None:
        from hydrant.ingest.report import Failure

        reason = str(error) if isinstance(error, InputError) else f"is not JSON: {error}"
        self._failures.append(Failure(self._line(number), reason))

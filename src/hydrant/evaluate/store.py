"""Outcomes on disk, so that an experiment that was interrupted goes on where it was.

For each task and pipeline one JSONL file: a line that says what the outcomes are of, then one line for each question. A file
that is of something else (another setting, another collection) is begun anew; questions that failed are asked again. Each line
of an outcome repeats in short what it is of, since two experiments on one folder may write the same file at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant.errors import ConfigurationError, StorageError
from hydrant.evaluate.outcome import Outcome
from hydrant.evaluate.tasks import Task
from hydrant.pipeline import Pipeline, Stage
from hydrant.retrieve.retriever import Retriever

_FORMAT = 3
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """What outcomes are of: equal for two runs that must give the same.

    Attributes:
        pipeline: The pipeline's settings and its collections.
        depth: How many hits are asked for.
    """

    pipeline: str
    depth: int | None

    def header(self, task: Task) -> dict[str, Any]:
        """The first line of the file."""
        return {
            "format": _FORMAT,
            "task": task.name,
            "kind": task.kind,
            "pipeline": self.pipeline,
            "depth": self.depth,
        }


def identity(pipeline: Stage, depth: int | None, given: str | None = None) -> Identity:
    """What a pipeline's outcomes are known by.

    Args:
        pipeline: The pipeline.
        depth: How many hits are asked for.
        given: The caller's own word for the pipeline's settings; None to describe them.

    Raises:
        ConfigurationError: The settings cannot be described (a function, a client), and no word was given.
    """
    from hydrant.config.describe import described

    settings = described(pipeline) if given is None else given
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    collections = [_collection(stage) for stage in stages if isinstance(stage, Retriever)]
    return Identity(_digest([settings, collections]), depth)


class Shelf:
    """The outcomes of one pipeline on one task, in memory and, where there is a folder, on disk.

    Args:
        file: Where they are kept; None for nowhere.
        task: The task.
        identity: What they are of.
    """

    def __init__(self, file: Path | None, task: Task, identity: Identity | None) -> None:
        self._task = task
        self._file = None if identity is None else file
        self._header = {} if identity is None else identity.header(task)
        self._of = _digest(self._header)
        self._lock = threading.Lock()
        self.outcomes: dict[str, Outcome] = {}
        if self._file is not None:
            self._open(self._file)

    @property
    def missing(self) -> list[str]:
        """The questions without an outcome."""
        return [query for query in self._task.queries if query not in self.outcomes]

    def put(self, query: str, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises:
            StorageError: The disk refuses it.
        """
        with self._lock:
            self.outcomes[query] = outcome
            if self._file is not None:
                row = {"of": self._of, "query": query, "asked": _asked(self._task, query), **outcome.record()}
                self._append(self._file, row)

    def _append(self, file: Path, row: Mapping[str, Any]) -> None:
        try:
            with file.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(_line(row))
        except OSError as error:
            msg = f"results cannot be written to {file}: {error.strerror}"
            raise StorageError(msg) from error

    def _open(self, file: Path) -> None:
        rows = self._kept(file)
        # A name of its own: another process may be opening the same file.
        fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(_line(row) for row in [self._header, *rows])
            fresh.replace(file)
        except OSError as error:
            msg = f"results cannot be written to {file}: {error.strerror}"
            raise StorageError(msg) from error

    def _kept(self, file: Path) -> list[dict[str, Any]]:
        """The rows of the file that are still good; outcomes of the task's questions are taken over.

        Rows of other questions stay: the task may be a part of a larger one of its name, as in a round of tuning.
        """
        if not file.is_file():
            return []
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            msg = f"results cannot be read from {file}: {error.strerror}"
            raise StorageError(msg) from error
        rows: dict[str, dict[str, Any]] = {}
        if lines and _row(lines[0]) == self._header:
            for line in lines[1:]:
                row = _row(line)
                if row is None or row.get("of") != self._of:
                    continue
                query = row["query"]
                if query not in self._task.queries:
                    rows[query] = row
                elif row["asked"] == _asked(self._task, query) and row["error"] is None:
                    self.outcomes[query] = Outcome.of_record(row)
                    rows[query] = row
        return list(rows.values())


def file_of(folder: Path, task: str, pipeline: str) -> Path:
    """Where outcomes are kept: names as people read them, and a digest that tells those apart that look alike."""
    return folder / _safe(task) / f"{_safe(pipeline)}.jsonl"


def _safe(name: str) -> str:
    cleaned = _UNSAFE.sub("-", name).strip("-.")[:60]
    return cleaned if cleaned == name else f"{cleaned}-{_digest(name)[:8]}"


def _asked(task: Task, query: str) -> str:
    """A digest of everything that a question's outcome depends on besides the pipeline."""
    asked = task.queries[query]
    preference = next((each for each in task.preferences if each.query == query), None)
    return _digest(
        [
            asked.text,
            repr(asked.filter),
            asked.tenant,
            repr(asked.history),
            list(task.candidates.get(query, ())),
            repr(preference),
        ]
    )


def _collection(stage: Retriever) -> list[Any]:
    """What is known of a collection without reading all of it. Texts that change in place go unseen."""
    profile = stage.collection.profile
    sources = {name: repr(source.encoder.kind) for name, source in stage.collection.sources.items()}
    return [profile.name, profile.points, profile.record, sources]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _line(row: Mapping[str, Any]) -> str:
    # ASCII: names of files need not be UTF-8, and some letters end lines.
    return json.dumps(row) + "\n"


def _row(line: str) -> dict[str, Any] | None:
    """The object of a line; None for one that was cut off when the program was killed."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def check_folder(folder: Path | None) -> None:
    """Refuse a folder for results that is a file.

    Raises:
        ConfigurationError: It is.
    """
    if folder is not None and folder.exists() and not folder.is_dir():
        msg = f"folder must be a folder for results, {folder} is a file"
        raise ConfigurationError(msg)

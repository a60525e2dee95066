"""Contenders as processes that take turns, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contenders import Contender

PAGE = 10
AT_ONCE = 16
# The first ones of a block only wake the process up.
_WAKING = 2


@dataclass
class Row:
    """A contender at work, and what is known of it.

    Attributes:
        contender: Who.
        process: Where it runs.
        seconds: What each call took, one at a time.
        rates: Calls a second with many under way, of each turn.
        loaded: What each of those calls took, in seconds.
        memory: MiB that the process held as its own when it last answered.
    """

    contender: Contender
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    memory: float = 0.0

    @property
    def median(self) -> float:
        """Milliseconds of a call."""
        return float(np.median(self.seconds)) * 1000

    @property
    def slow(self) -> float:
        """The 95th percentile of them."""
        return float(np.percentile(self.seconds, 95)) * 1000

    @property
    def loaded_median(self) -> float:
        """Milliseconds of a call with many under way."""
        return float(np.median(self.loaded)) * 1000

    @property
    def loaded_slow(self) -> float:
        """The 95th percentile of them."""
        return float(np.percentile(self.loaded, 95)) * 1000

    @property
    def rate(self) -> float:
        """Calls a second with many under way."""
        return float(np.median(self.rates))

    def ask(
        self,
        questions: Sequence[str],
        number: int = PAGE,
        *,
        texts: Sequence[Sequence[str]] | None = None,
        at_once: int = 1,
    ) -> dict[str, Any]:
        """Have it answer."""
        assert self.process.stdin is not None
        line: dict[str, Any] = {"questions": list(questions), "number": number, "at_once": at_once}
        if texts is not None:
            line["texts"] = [list(each) for each in texts]
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        said = _heard(self.process)
        self.memory = said["memory"]
        return said

    def wait_for(
        self, questions: Sequence[str], texts: Sequence[Sequence[str]] | None = None, waking: int = _WAKING
    ) -> None:
        """Time calls one by one."""
        self.seconds += self.ask(questions, texts=texts)["seconds"][waking:]

    def load(self, questions: Sequence[str], texts: Sequence[Sequence[str]] | None = None) -> None:
        """Time calls of which many are under way."""
        said = self.ask(questions, texts=texts, at_once=AT_ONCE)
        self.rates.append(len(questions) / said["wall"])
        self.loaded += said["seconds"]


@contextmanager
def at_work(contenders: Sequence[Contender], folder: Path) -> Iterator[list[Row]]:
    """The contenders, built one after the other, each in a process with a folder of its own."""
    rows: list[Row] = []
    try:
        rows.extend(_started(contender, folder) for contender in contenders)
        yield rows
    finally:
        for row in rows:
            row.process.kill()
            # Waits, and closes the pipes.
            row.process.communicate()


def rotated(rows: Sequence[Row], turn: int) -> list[Row]:
    """The rows in another order each turn."""
    at = turn % max(1, len(rows))
    return [*rows[at:], *rows[:at]]


def block(questions: Sequence[str], turn: int, size: int) -> list[str]:
    """The questions of a turn: others than in the turn before, as long as there are some."""
    start = turn * size
    return [questions[(start + at) % len(questions)] for at in range(min(size, len(questions)))]


def missing(contender: Contender) -> list[str]:
    """The distributions that it needs and that are not installed."""
    absent = []
    for package in contender.needs:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    return absent


def _started(contender: Contender, folder: Path) -> Row:
    own = folder / contender.name
    own.mkdir()
    command = [sys.executable, "-m", "benchmarks.peers.worker", contender.name, str(folder), str(own)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
    )
    row = Row(contender, process)
    row.memory = _heard(process)["memory"]
    return row


def _heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        msg = f"the process {process.args!r} ended; run it by hand to see why"
        raise RuntimeError(msg)
    said: dict[str, Any] = json.loads(line)
    return said

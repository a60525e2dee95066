"""The progress bar: passages, rate, time left. Silent where standard error is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What a run reports its progress to."""

    def expect(self, weight: float) -> None:
        """More work is known of: its weight, in the unit of `advance`."""

    def advance(self, weight: float, passages: int) -> None:
        """Work is done: its weight, and how many passages that was."""


class _Silent:
    def expect(self, weight: float) -> None:
        """Nobody is looking."""

    def advance(self, weight: float, passages: int) -> None:
        """Nobody is looking."""


@contextmanager
def progress(title: str, *, show: bool) -> Iterator[Progress]:
    """A bar for the time of a run.

    Args:
        title: What is going on.
        show: Whether a bar is wanted; it needs a terminal on standard error besides.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not (show and console.is_terminal):
        yield _Silent()
        return
    from rich.progress import (
        BarColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[passages]:,} passages · {task.fields[rate]}/s ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=False) as bars:
        yield _Bar(bars, title)


class _Bar:
    def __init__(self, bars: object, title: str) -> None:
        from rich.progress import Progress as Bars

        assert isinstance(bars, Bars)  # noqa: S101  tells the type checker what the import above could not
        self._bars = bars
        self._task = bars.add_task(title, total=None, passages=0, rate="–")
        self._total = 0.0
        self._passages = 0

    def expect(self, weight: float) -> None:
        """More work is known of."""
        self._total += weight
        self._bars.update(self._task, total=self._total)

    def advance(self, weight: float, passages: int) -> None:
        """Work is done."""
        self._passages += passages
        elapsed = self._bars.tasks[self._task].elapsed
        rate = f"{self._passages / elapsed:,.0f}" if elapsed else "–"
        self._bars.update(self._task, advance=weight, passages=self._passages, rate=rate)

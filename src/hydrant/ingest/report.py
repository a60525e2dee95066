"""What an indexing run did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A document or passage that could not be indexed.

    Attributes:
        source: Its path, id, or place in the input.
        reason: Why.
    """

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an indexing run did; nothing that was handed in is missing from its counts.

    Attributes:
        added: Passages that are new.
        updated: Passages whose text or metadata changed under the same id.
        unchanged: Passages that were there already, those of unchanged files included.
        duplicates: Passages handed in more than once with the same content.
        deleted: Passages that went because their file changed or is gone.
        files: Files that were looked at.
        files_unchanged: Files that needed no work.
        failures: What could not be indexed, and why.
        notes: What was repaired on the way, such as characters that no database can store.
        truncated: Passages longer than the encoder reads; their end counts for nothing in the dense vector.
        seconds: How long it took.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    deleted: int = 0
    files: int = 0
    files_unchanged: int = 0
    failures: tuple[Failure, ...] = ()
    notes: tuple[Failure, ...] = ()
    truncated: int = 0
    seconds: float = 0.0

    @property
    def written(self) -> int:
        """Passages that were encoded or whose payload was written."""
        return self.added + self.updated

    def __str__(self) -> str:
        counts = {
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "duplicate": self.duplicates,
            "deleted": self.deleted,
            "failed": len(self.failures),
            "truncated": self.truncated,
        }
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "added")
        return f"{said} in {self.seconds:.1f} s"


class Tally:
    """Counts while a run goes on."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(
            (
                "added",
                "updated",
                "unchanged",
                "duplicates",
                "deleted",
                "files",
                "files_unchanged",
                "truncated",
            ),
            0,
        )
        self.failures: list[Failure] = []
        self.notes: list[Failure] = []

    def count(self, what: str, number: int = 1) -> None:
        """Add to one of the report's counts."""
        self.counts[what] += number

    def fail(self, source: str, reason: str) -> None:
        """Put a failure on record."""
        self.failures.append(Failure(source, reason))

    def note(self, source: str, reason: str) -> None:
        """Put a repair on record."""
        self.notes.append(Failure(source, reason))

    def report(self, seconds: float) -> IndexReport:
        """The counts so far."""
        return IndexReport(
            **self.counts, failures=tuple(self.failures), notes=tuple(self.notes), seconds=seconds
        )

"""How an indexer works."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydrant.errors import ConfigurationError
from hydrant.ingest.chunk import Chunker


@dataclass(frozen=True, slots=True)
class IndexerSettings:
    """How an indexer works.

    Attributes:
        chunker: How files are cut into passages.
        progress: Whether to show a progress bar, where standard error is a terminal.
        window: How many passages are in memory at a time; batches are sorted by length within it. Of those before
            it the run keeps only their ids, some 150 bytes each, to notice one that comes twice.
    """

    chunker: Chunker = field(default_factory=Chunker)
    progress: bool = True
    window: int = 4096

    def __post_init__(self) -> None:
        if not isinstance(self.chunker, Chunker):
            msg = f"chunker must be a hydrant.Chunker, got {self.chunker!r}"
            raise ConfigurationError(msg)
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            msg = f"window must be a whole number of at least 1, got {self.window!r}"
            raise ConfigurationError(msg)

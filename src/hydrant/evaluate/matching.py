"""From hits to the documents that judgments name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from hydrant.evaluate.judgments import Ranking
from hydrant.evaluate.outcome import Found
from hydrant.evaluate.tasks import Task


class Matcher:
    """Turns what was found into a ranking of judged documents.

    Each document counts once, where it comes first. Hits outside what the question is searched in do not count, nor
    does the question itself where it is not judged relevant.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._paths: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._sources: dict[str, set[str]] = defaultdict(set)
        self._known = {document for judged in task.qrels.values() for document in judged}
        if task.match == "document":
            for document in self._known:
                parts = _parts(document)
                if parts:
                    self._paths[parts[-1]].append((parts, document))

    def ranking(self, query: str, found: Sequence[Found]) -> Ranking:
        """The judged documents and others, each once, best first, with the scores they were found with."""
        judged = self._task.qrels.get(query, {})
        ranked: dict[str, float] = {}
        for hit in found:
            document = self.document(hit)
            if hit.stray or document in ranked or (hit.itself and judged.get(document, 0) <= 0):
                continue
            ranked[document] = hit.score
        return tuple(ranked.items())

    def document(self, hit: Found) -> str:
        """What the judgments call a hit; what it is called itself where they do not know it."""
        if self._task.match == "id" or hit.source is None or hit.id in self._known:
            return hit.id
        parts = _parts(hit.source)
        fits = [
            (len(wanted), document)
            for wanted, document in self._paths.get(parts[-1] if parts else "", [])
            if parts[-len(wanted) :] == wanted
        ]
        if not fits:
            return hit.source
        document = max(fits)[1]
        self._sources[document].add(hit.source)
        return document

    def remarks(self) -> list[str]:
        """Judged names that turned out to stand for several files."""
        return [
            f"{document!r} stands for {len(sources)} files, such as {' and '.join(sorted(sources)[:2])}; "
            "name more of the path"
            for document, sources in sorted(self._sources.items())
            if len(sources) > 1
        ]


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in {"/", "."})

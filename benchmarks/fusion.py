"""What the default fusion is chosen from: every fusion at every depth, over several judged sets.

For each set the engine gives the exact dense ranking and the BM25 ranking of every question, 1,000 deep. The fusions of
`hydrant` are then applied to their first 20, 50, ... 1,000 hits, which gives the ranking that the retriever would give at
that depth. nDCG@10 throughout.

The choice is made on the development questions: nfcorpus's train (a sample) and dev splits, and the smaller sets. nfcorpus's
and cranfield's test questions are shown beside them and take no part in it. The summary counts every corpus once, whatever
number of questions it has. Sets in German and Spanish stand for a dense model that does not know the language; they are
shown as a warning of what a weight in favour of one source can cost, and are no part of the summary either.

"min-max" is the usual convex combination: every source's scores brought to 0..1 between the worst and the best of its list,
and 0 where a passage is missing. "convex" is `hydrant.Convex`; its docstring says what it does instead.

p-values are of paired randomisation tests against RRF with k=60.

Run by `python -m benchmarks.quality --fusion`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from benchmarks.data import DataMissingError, JudgedSet, load
from benchmarks.indexes import MODEL, indexed
from benchmarks.metrics import NDCG_10, RECALL_100, Scores, chance, per_query
from benchmarks.quality import Questions
from benchmarks.tables import Report
from hydrant import Convex, Dbsf, DenseEncoder, Rrf
from hydrant.retrieve.asking import DEFAULT_DEPTH
from hydrant.retrieve.fusion import Fusion

DEVELOPMENT = ("nfcorpus/train", "nfcorpus/dev", "cookbook-docs/test", "chroma-passages", "xquad-en")
HELD_OUT = ("nfcorpus/test", "cranfield/test")
FOREIGN = ("xquad-de", "xquad-es")
SETS = (*DEVELOPMENT, *HELD_OUT, *FOREIGN)
DEPTHS = (20, 50, 100, 200, 500, 1000)
_DEEPEST = DEPTHS[-1]
_QUESTIONS_AT_MOST = 400

Ranking = list[tuple[str, float]]


def _shares(share: float) -> dict[str, float]:
    return {"dense": share, "sparse": round(1 - share, 2)}


@dataclass(frozen=True)
class MinMax(Fusion):
    """The textbook's convex combination, for comparison: scores between the list's minimum and maximum, 0 if missing."""

    weights: Mapping[str, float]

    def fuse(
        self, rankings: Mapping[str, Sequence[tuple[Any, float]]], depth: int | None = None
    ) -> list[tuple[Any, float]]:
        """See `Fusion.fuse`."""
        totals: dict[Any, float] = {}
        for name, ranking in rankings.items():
            low, high = (pick(score for _, score in ranking) for pick in (min, max))
            factor = self.weights[name] / (high - low) if high > low else 0.0
            for each, score in ranking:
                totals[each] = totals.get(each, 0.0) + factor * (score - low)
        return sorted(totals.items(), key=itemgetter(1), reverse=True)


FUSIONS: Mapping[str, Fusion] = {
    **{f"RRF k={k}": Rrf(k=k) for k in (2, 10, 20, 40, 60, 100)},
    **{f"RRF k=60, dense {share}": Rrf(k=60, weights=_shares(share)) for share in (0.4, 0.45, 0.55, 0.6)},
    "DBSF": Dbsf(),
    **{f"min-max, dense {share}": MinMax(_shares(share)) for share in (0.3, 0.4, 0.5, 0.6, 0.7)},
    **{f"convex, dense {share}": Convex(_shares(share)) for share in (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)},
}
# What most libraries would take; everything is compared with it.
REFERENCE = "RRF k=60"


@dataclass(frozen=True)
class Rankings:
    """Both sources' rankings of a set's questions."""

    judged: JudgedSet
    sources: Mapping[str, Mapping[str, Ranking]]

    def fused(self, fusion: Fusion, depth: int, limit: int) -> dict[str, list[str]]:
        """The fused ranking of every question."""
        return {
            query: _best(fusion, {name: ranking[:depth] for name, ranking in own.items()}, depth, limit)
            for query, own in self.sources.items()
        }

    def ndcg(self, fusion: Fusion, depth: int) -> Scores:
        """nDCG@10 of every question."""
        return per_query(NDCG_10, self.judged.qrels, self.fused(fusion, depth, 10))

    def recall(self, fusion: Fusion, depth: int) -> Scores:
        """Recall@100 of every question."""
        return per_query(RECALL_100, self.judged.qrels, self.fused(fusion, depth, 100))


def measure(report: Report, folder: Path, sets: Iterable[str] = SETS, *, quick: bool = False) -> None:
    """Print the tables."""
    rankings = _rankings(report, folder, sets, at_most=20 if quick else _QUESTIONS_AT_MOST)
    if not rankings:
        return
    grid = {
        (name, depth): {key: own.ndcg(fusion, depth) for key, own in rankings.items()}
        for name, fusion in FUSIONS.items()
        for depth in (DEPTHS[:2] if quick else DEPTHS)
    }
    depth = min(DEFAULT_DEPTH, max(depth for _, depth in grid))
    _by_fusion(report, rankings, grid, depth)
    _by_depth(report, grid)
    _recall(report, rankings, (20, depth) if quick else DEPTHS)
    _against(report, grid, (REFERENCE, depth))
    _per_set(report, grid, (REFERENCE, depth))


def _by_fusion(
    report: Report,
    rankings: Mapping[str, Rankings],
    grid: Mapping[tuple[str, int], Mapping[str, Scores]],
    depth: int,
) -> None:
    rows: list[list[Any]] = [
        [name, _summary(grid[name, depth]), *(float(grid[name, depth][key].mean()) for key in rankings)]
        for name in FUSIONS
    ]
    rows.sort(key=lambda row: -row[1])
    counts = ", ".join(f"{key} {len(own.sources)}" for key, own in rankings.items())
    report.table(
        f"nDCG@10 by fusion, {depth} candidates from each source (best development summary first)",
        ("fusion", "summary", *map(_short, rankings)),
        rows,
        note=f"questions: {counts}",
    )


def _by_depth(report: Report, grid: Mapping[tuple[str, int], Mapping[str, Scores]]) -> None:
    depths = sorted({depth for _, depth in grid})
    rows = [[name, *(_summary(grid[name, depth]) for depth in depths)] for name in FUSIONS]
    report.table(
        "Development summary (mean nDCG@10 over corpora) by depth", ("fusion", *map(str, depths)), rows
    )


def _recall(report: Report, rankings: Mapping[str, Rankings], depths: Sequence[int]) -> None:
    names = ("RRF k=20", REFERENCE, "DBSF", "min-max, dense 0.5", "convex, dense 0.5")
    rows = [
        [
            name,
            *(
                _summary({key: own.recall(FUSIONS[name], depth) for key, own in rankings.items()})
                for depth in depths
            ),
        ]
        for name in names
    ]
    report.table("Recall@100, development summary, by depth", ("fusion", *map(str, depths)), rows)


def _against(
    report: Report, grid: Mapping[tuple[str, int], Mapping[str, Scores]], reference: tuple[str, int]
) -> None:
    base = grid[reference]
    rows = []
    for (name, depth), scores in grid.items():
        if depth != reference[1] or name == reference[0]:
            continue
        row: list[str | float] = [name, f"{_summary(scores) - _summary(base):+.4f}"]
        for keys in (_present(base, DEVELOPMENT), _present(base, HELD_OUT)):
            row += _difference(scores, base, keys)
        rows.append(row)
    rows.sort(key=lambda row: -float(row[1]))
    report.table(
        f"Against {reference[0]} at depth {reference[1]}",
        ("fusion", "summary", "development questions", "p", "held-out questions", "p"),
        rows,
        note="mean difference in nDCG@10 over questions, two-sided p of a paired randomisation test",
    )


def _per_set(
    report: Report, grid: Mapping[tuple[str, int], Mapping[str, Scores]], reference: tuple[str, int]
) -> None:
    base = grid[reference]
    names = ("RRF k=20", "DBSF", "min-max, dense 0.5", "convex, dense 0.5")
    rows = [
        [key, *(text for name in names for text in _difference(grid[name, reference[1]], base, [key]))]
        for key in base
    ]
    columns = ("set", *(text for name in names for text in (name, "p")))
    report.table(f"Set by set against {reference[0]} at depth {reference[1]}", columns, rows)


def _difference(
    scores: Mapping[str, Scores], base: Mapping[str, Scores], keys: Sequence[str]
) -> list[str | float]:
    if not keys:
        return ["", ""]
    own, other = (np.concatenate([each[key] for key in keys]) for each in (scores, base))
    return [f"{own.mean() - other.mean():+.4f}", chance(own, other)]


def _summary(scores: Mapping[str, Scores]) -> float:
    """The mean over corpora of the mean over a corpus's development splits."""
    corpora: dict[str, list[float]] = {}
    for key in _present(scores, DEVELOPMENT) or tuple(scores):
        corpora.setdefault(key.partition("/")[0], []).append(float(scores[key].mean()))
    return float(np.mean([np.mean(values) for values in corpora.values()]))


def _short(name: str) -> str:
    """A set's name, cut so that all of them fit side by side."""
    corpus, _, split = name.partition("/")
    return (
        f"{corpus[:2]} {split}"
        if corpus == "nfcorpus"
        else corpus.removesuffix("-docs").removesuffix("-passages")
    )


def _present(scores: Mapping[str, Scores], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(key for key in keys if key in scores)


def _rankings(report: Report, folder: Path, sets: Iterable[str], *, at_most: int) -> dict[str, Rankings]:
    dense = DenseEncoder(MODEL)
    found = {}
    for name in sets:
        try:
            judged = _sampled(load(name, folder), at_most)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        found[name] = _both(Questions.of(judged, dense), dense)
    return found


def _both(questions: Questions, dense: DenseEncoder) -> Rankings:
    sources: dict[str, dict[str, Ranking]] = {name: {} for name, _ in questions.queries}
    with indexed(questions.judged, dense=dense) as docs:
        exact = models.SearchParams(exact=True)
        for source in ("dense", "sparse"):
            retriever = docs.retriever(
                limit=_DEEPEST, sources=[source], params=exact if source == "dense" else None
            )
            for name, query in questions.queries:
                hits = retriever.run(query).hits
                sources[name][source] = [(str(hit.id), hit.score) for hit in hits]
    return Rankings(questions.judged, sources)


def _sampled(judged: JudgedSet, at_most: int) -> JudgedSet:
    if len(judged.qrels) <= at_most:
        return judged
    chosen = random.Random(0).sample(sorted(judged.qrels), at_most)
    return replace(
        judged,
        queries={name: judged.queries[name] for name in chosen},
        qrels={name: judged.qrels[name] for name in chosen},
    )


def _best(fusion: Fusion, rankings: Mapping[str, Ranking], depth: int, limit: int) -> list[str]:
    held = {name: ranking for name, ranking in rankings.items() if ranking}
    fused = sorted(fusion.fuse(held, depth), key=lambda pair: (-pair[1], pair[0]))
    return [name for name, _ in fused[:limit]]

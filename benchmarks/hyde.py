"""HyDE: what it brings with good hypotheses and with a tiny model's, what it costs, and what its gate saves.

    python -m benchmarks.hyde                    # everything; the model's hypotheses are written first where they are missing
    python -m benchmarks.hyde --only frozen      # good hypotheses, frozen in tests/data: the mechanism by itself
    python -m benchmarks.hyde --only small       # SmolLM2-135M-Instruct on this machine
    python -m benchmarks.hyde --only price       # tokens and seconds
    python -m benchmarks.hyde --only gate        # when to expand at all; --plot FILE draws it

The dense encoder is all-MiniLM-L6-v2, its search is exact; "hybrid" is the default retriever, dense and BM25. p-values are
of paired randomisation tests against the same search without HyDE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from qdrant_client import models

from benchmarks import hyde_gate, hyde_price
from benchmarks.data import DataMissingError, JudgedSet, data_folder
from benchmarks.hyde_runs import DEPTH, Figures, KeptEncoder, Texts, figures, hyde
from benchmarks.hyde_texts import REPORTING, Written, frozen, questions, sampled
from benchmarks.indexes import MODEL, indexed
from benchmarks.metrics import chance
from benchmarks.tables import Report, options
from hydrant import Collection, DenseEncoder, Feedback
from hydrant.pipeline import Stage

PARTS = ("frozen", "small", "price", "gate")
COLUMNS = ("search", "nDCG@10", "against plain", "p", "recall@100", "against plain", "p", "ms")
_GOOD_MOST = 4
_SMALL_MOST = 8
_WEIGHTS = (0.0, 0.5, 2.0, 4.0, 8.0)
# Variants by their name: a search of the set with the hypotheses.
Variants = Iterable[tuple[str, Stage]]


class Measured:
    """A table of searches, each against the plain one before it."""

    def __init__(self, judged: JudgedSet) -> None:
        self._judged = judged
        self._plain: Figures | None = None
        self.rows: list[list[Any]] = []

    def plain(self, name: str, search: Stage) -> None:
        """A search without hypotheses, which those that follow are compared with."""
        self._plain = found = figures(search, self._judged)
        self.rows.append(
            [name, _mean(found.ndcg), "", "", _mean(found.recall), "", "", f"{1000 * found.seconds:.1f}"]
        )

    def add(self, variants: Variants) -> None:
        """Searches to compare with the last plain one."""
        base = self._plain
        if base is None:
            msg = "plain() comes first"
            raise RuntimeError(msg)
        for name, search in variants:
            found = figures(search, self._judged)
            row: list[Any] = [name]
            for own, plain in ((found.ndcg, base.ndcg), (found.recall, base.recall)):
                row += [_mean(own), f"{_mean(own) - _mean(plain):+.4f}", f"{chance(own, plain):.4f}"]
            self.rows.append([*row, f"{1000 * found.seconds:.1f}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts to measure")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the gate's study (.svg or .png)")
    parser.add_argument("--questions", type=int, help="of each set at most, for the small model")
    given = parser.parse_args(arguments)
    report = Report("hyde", given.json)
    folder = data_folder(given.data)
    number = 2 if given.quick else given.questions
    encoder = KeptEncoder(DenseEncoder(MODEL))
    encoder.load()
    parts: dict[str, Callable[[], None]] = {
        "frozen": lambda: measure_frozen(report, folder, encoder, 4 if given.quick else None),
        "small": lambda: measure_small(report, folder, encoder, number),
        "price": lambda: hyde_price.measure(report, folder, quick=given.quick),
        "gate": lambda: hyde_gate.measure(report, folder, encoder, number, given.plot),
    }
    for part in PARTS:
        if part in given.only:
            try:
                parts[part]()
            except DataMissingError as missing:
                report.skip(part, missing)
            encoder.save()
    report.close()


def measure(report: Report, folder: Path) -> None:
    """Print what takes no language model: the table of the good hypotheses."""
    encoder = KeptEncoder(DenseEncoder(MODEL))
    encoder.load()
    try:
        measure_frozen(report, folder, encoder, None)
    except DataMissingError as missing:
        report.skip("hyde", missing)
    encoder.save()


def measure_frozen(report: Report, folder: Path, encoder: KeptEncoder, number: int | None) -> None:
    """Print the table of the good hypotheses."""
    texts = frozen()
    judged = questions("nfcorpus/test", folder, len(texts) if number is None else number)
    with indexed(judged, dense=encoder) as docs:
        table = Measured(judged)
        plain, exact, hybrid = _searches(docs)
        table.plain("BM25", plain)
        table.add(_with_words(texts, judged, plain, "BM25"))
        for name, search in (("dense", exact), ("hybrid", hybrid)):
            table.plain(name, search)
            table.add(_variants(texts, judged, search, name, (1, 2, _GOOD_MOST)))
            table.add(
                [(f"{name}, {_GOOD_MOST}, fused", hyde(texts, judged, _GOOD_MOST, mode="fuse") >> search)]
            )
            table.add([(f"{name}, {_GOOD_MOST}, max", hyde(texts, judged, _GOOD_MOST, mode="max") >> search)])
        table.add(_with_words(texts, judged, hybrid, "hybrid"))
    report.table(
        f"Good hypotheses: nfcorpus/test, {len(judged.qrels)} questions",
        COLUMNS,
        table.rows,
        note="4: so many hypotheses a question; weight: of the query, 1 where none is named; words: sparse=True",
    )


def measure_small(report: Report, folder: Path, encoder: KeptEncoder, at_most: int | None) -> None:
    """Print the tables of what the small model wrote."""
    written = Written()
    for name in REPORTING:
        judged = questions(name, folder, sampled(name, at_most))
        texts = written.of(judged)
        with indexed(judged, dense=encoder) as docs:
            table = Measured(judged)
            _, exact, hybrid = _searches(docs)
            for label, search in (("dense", exact), ("hybrid", hybrid)):
                table.plain(label, search)
                table.add(_variants(texts, judged, search, label, (1, 2, 4, _SMALL_MOST)))
                table.add(
                    [(f"{label}, {_SMALL_MOST}, max", hyde(texts, judged, _SMALL_MOST, mode="max") >> search)]
                )
            words = hyde(texts, judged, _SMALL_MOST, sparse=True, query_weight=2.0)
            table.add([(f"hybrid, {_SMALL_MOST}, weight 2, words", words >> hybrid)])
            gated = hyde(texts, judged, _SMALL_MOST, gate="auto", probe=docs.retriever(limit=10))
            table.add([(f"hybrid, {_SMALL_MOST}, gate", gated >> hybrid)])
        report.table(f"SmolLM2-135M: {name}, {len(judged.qrels)} questions", COLUMNS, table.rows)


def _searches(docs: Collection) -> tuple[Stage, Stage, Stage]:
    """BM25, exact dense search, and the default."""
    params = models.SearchParams(exact=True)
    return (
        docs.retriever(limit=DEPTH, sources=["sparse"]),
        docs.retriever(limit=DEPTH, sources=["dense"], params=params),
        docs.retriever(limit=DEPTH),
    )


def _variants(texts: Texts, judged: JudgedSet, search: Any, name: str, numbers: Sequence[int]) -> Variants:
    most = numbers[-1]
    for number in numbers:
        yield f"{name}, {number}", hyde(texts, judged, number) >> search
    for weight in _WEIGHTS:
        yield f"{name}, {most}, weight {weight:g}", hyde(texts, judged, most, query_weight=weight) >> search
    yield f"{name}, feedback alone", search >> Feedback(search)
    yield f"{name}, {most}, and feedback", hyde(texts, judged, most) >> search >> Feedback(search)


def _with_words(texts: Texts, judged: JudgedSet, search: Stage, name: str) -> Variants:
    for weight in (0.5, 1.0, 2.0, 4.0):
        stage = hyde(texts, judged, _GOOD_MOST, sparse=True, query_weight=weight)
        yield f"{name}, {_GOOD_MOST}, weight {weight:g}, words", stage >> search


def _mean(values: Any) -> float:
    return float(values.mean())


if __name__ == "__main__":
    main()

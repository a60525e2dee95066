"""Hydrant and the components people use today, on the same models, data and machine, in one run.

Every contender is a process of its own, built at the best setting that its documentation has, and they take turns. Quality is
nDCG@10 and recall@100 of 100 passages asked for. Latency is of 10 passages, one question at a time; "at 16" is with 16 questions
under way, in threads or coroutines, whichever is faster for the tool. Every question is encoded by the
contender itself, each time. Memory is what the process holds as its own (RssAnon) after all that. Ratios are to Hydrant's
row of the same kind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import ingest, tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.metrics import NDCG_10, RECALL_100, per_query
from benchmarks.peers.contenders import HYDE, RERANKING, RETRIEVAL, Contender
from benchmarks.peers.material import hypotheses, prepare
from benchmarks.peers.page import write
from benchmarks.peers.turns import AT_ONCE, Row, at_work, block, missing, rotated

SETS = ("nfcorpus/test", "cranfield/test")
_HYDE_SET = "nfcorpus/test"
_INGESTED, _PASSAGES, _TURNS = "nfcorpus/test", 400, 3
_TABLES = ("retrieval", "rerank", "hyde", "ingest", "imports")
_BLOCK = 20
_DEEP = 100
_CANDIDATES = 100
_CHARACTERS = 700
# What a row is compared with.
_YARDSTICKS = {"dense": "hydrant-dense", "dense + BM25": "hydrant-hybrid", "rerank": "hydrant-rerank"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=_TABLES, help="which tables")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="which judged sets, for retrieval")
    parser.add_argument("--only", nargs="+", default=None, help="which contenders, by name")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables as a page, too")
    given = parser.parse_args(arguments)
    report = tables.Report("peers", given.json)
    run = _Run(report, given.only, quick=given.quick)
    folder = data_folder(given.data)
    if "retrieval" in given.tables:
        for name in given.sets:
            run.on(name, folder, run.retrieval)
    if "rerank" in given.tables:
        run.on(given.sets[0], folder, run.reranking)
    if "hyde" in given.tables:
        run.on(_HYDE_SET, folder, run.hyde)
    if "ingest" in given.tables and not given.quick:
        ingest.against_peers(report, [_INGESTED], _PASSAGES, (_TURNS, ingest.CONTENDERS), given.data)
    if "imports" in given.tables:
        run.imports()
    if given.write is not None:
        write(given.write, report.results)
    report.close()


class _Run:
    """The tables, one after the other."""

    def __init__(self, report: tables.Report, only: Sequence[str] | None, *, quick: bool) -> None:
        self._report = report
        self._only = only
        self._quick = quick

    def on(self, name: str, folder: Path, table: object) -> None:
        """Print a table for a judged set."""
        assert callable(table)
        try:
            judged = load(name, folder)
        except DataMissingError as error:
            self._report.skip(name, error)
            return
        with tempfile.TemporaryDirectory() as place:
            prepare(judged, Path(place))
            table(judged, Path(place))

    def retrieval(self, judged: JudgedSet, folder: Path) -> None:
        """Search: quality, latency, load, memory."""
        questions = dict(list(judged.queries.items())[: 6 if self._quick else None])
        texts = list(questions.values())
        with at_work(self._there(RETRIEVAL), folder) as rows:
            for turn in range(1 if self._quick else 4):
                for row in rotated(rows, turn):
                    row.wait_for(block(texts, turn, _BLOCK))
            for turn in range(1 if self._quick else 3):
                for row in rotated(rows, turn):
                    row.load(block(texts, turn, 3 * AT_ONCE))
            found = {
                row.contender.name: dict(zip(questions, row.ask(texts, _DEEP)["ids"], strict=True))
                for row in rows
            }
        qrels = {query: judged.qrels[query] for query in questions}
        lines = [
            (
                *_who(row),
                float(per_query(NDCG_10, qrels, found[row.contender.name]).mean()),
                float(per_query(RECALL_100, qrels, found[row.contender.name]).mean()),
                f"{row.median:.1f}",
                f"{row.slow:.1f}",
                _ratio(row, rows),
                f"{row.rate:.0f}",
                f"{row.loaded_median:.0f}",
                f"{row.loaded_slow:.0f}",
                f"{row.memory:.0f}",
            )
            for row in rows
        ]
        self._report.table(
            f"Search, {judged.name}: {len(judged.passages)} passages, {len(questions)} questions",
            (*_WHO, "nDCG@10", "recall@100", "p50 ms", "p95 ms", "p50 / ours", "at 16, q/s", *_AT_16, "MiB"),
            lines,
        )

    def reranking(self, judged: JudgedSet, folder: Path) -> None:
        """A hundred candidates of about 150 tokens, ten to come out."""
        number = 10 if self._quick else _CANDIDATES
        pool = [each.content[:_CHARACTERS] for each in judged.passages if len(each.content) >= _CHARACTERS]
        questions = list(judged.queries.values())[:24]
        texts = [[pool[(at * 37 + turn * 101) % len(pool)] for at in range(number)] for turn in range(24)]
        turns = 1 if self._quick else 4
        with at_work(self._there(RERANKING), folder) as rows:
            orders = {row.contender.name: row.ask(questions[:2], texts=texts[:2])["ids"] for row in rows}
            for turn in range(turns):
                for row in rotated(rows, turn):
                    row.wait_for(questions[2 * turn : 2 * turn + 2], texts[2 * turn : 2 * turn + 2], waking=0)
            for turn in range(1):
                for row in rotated(rows, turn):
                    row.load(questions[8:], texts[8:])
        expected = orders.get("predict")
        lines = [
            (
                *_who(row),
                f"{row.median:.0f}",
                _ratio(row, rows),
                f"{row.rate:.2f}",
                f"{row.loaded_median:.0f}",
                f"{row.loaded_slow:.0f}",
                "" if expected is None else f"{_agreement(orders[row.contender.name], expected):.2f}",
                f"{row.memory:.0f}",
            )
            for row in rows
        ]
        self._report.table(
            f"Reranking, {number} passages of {_CHARACTERS} characters, cross-encoder of MiniLM's size",
            (*_WHO, "p50 ms", "p50 / ours", "at 16, q/s", *_AT_16, "same top 10", "MiB"),
            lines,
            '"same top 10": the share of CrossEncoder.predict\'s ten best in the same place; the head is fresh and its scores lie '
            "close together, so 8 bits swap some",
        )

    def hyde(self, judged: JudgedSet, folder: Path) -> None:
        """The same written hypotheses through each implementation."""
        written = hypotheses()
        questions = {query: text for query, text in judged.queries.items() if text in written}
        questions = dict(list(questions.items())[: 6 if self._quick else None])
        with at_work(self._there(HYDE), folder) as rows:
            found = {
                row.contender.name: dict(
                    zip(questions, row.ask(list(questions.values()), _DEEP)["ids"], strict=True)
                )
                for row in rows
            }
        qrels = {query: judged.qrels[query] for query in questions}
        lines = [
            (
                *_who(row),
                float(per_query(NDCG_10, qrels, found[row.contender.name]).mean()),
                float(per_query(RECALL_100, qrels, found[row.contender.name]).mean()),
            )
            for row in rows
        ]
        self._report.table(
            f"HyDE with written hypotheses, {judged.name}: {len(questions)} questions",
            (*_WHO, "nDCG@10", "recall@100"),
            lines,
        )

    def imports(self) -> None:
        """How long it takes to import what a program needs."""
        statements = {each.imports: each.tool for each in self._there((*RETRIEVAL, *RERANKING, *HYDE))}
        times: dict[str, list[float]] = {statement: [] for statement in statements}
        for _ in range(1 if self._quick else 3):
            for statement in statements:
                times[statement].append(_seconds(["-c", statement]) - _seconds(["-c", "pass"]))
        self._report.table(
            "Imports, in a fresh interpreter",
            ("tool", "statement", "seconds"),
            [
                (tool, statement, f"{float(np.median(times[statement])):.2f}")
                for statement, tool in statements.items()
            ],
        )

    def _there(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Those that were chosen and are installed; of the others it says why not."""
        there = []
        for each in contenders:
            if self._only is not None and each.name not in self._only:
                continue
            absent = missing(each)
            if absent:
                self._report.skip(each.name, f"needs {', '.join(absent)}, which `make peers` installs")
            else:
                there.append(each)
        return there


_WHO = ("tool", "search", "setting")
_AT_16 = ("p50 ms at 16", "p95 ms at 16")


def _who(row: Row) -> tuple[str, str, str]:
    return row.contender.tool, row.contender.what, row.contender.setting


def _ratio(row: Row, rows: Sequence[Row]) -> str:
    """A row's median against Hydrant's of the same kind."""
    wanted = _YARDSTICKS.get(row.contender.what)
    ours = next((each for each in rows if each.contender.name == wanted), None)
    return "" if ours is None else f"{row.median / ours.median:.2f}"


def _agreement(order: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    pairs = [
        pair for one, other in zip(order, expected, strict=True) for pair in zip(one, other, strict=True)
    ]
    return sum(one == other for one, other in pairs) / len(pairs)


def _seconds(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

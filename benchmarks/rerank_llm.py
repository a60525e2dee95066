"""Rerankers that ask a language model: what they rank, how often they ask, how much they have it read.

The candidates are the best 50 of the default hybrid search. The language model is an oracle that knows the judgments and, in every
answer, takes each passage with the given probability for one of another relevance; so the tables compare the mechanisms,
and not a model. `hydrant.testing.OracleGenerator` is that oracle. Tokens are estimated at four characters each. The first
table has one oracle for all; with `--smollm2` a second one has SmolLM2-135M-Instruct, the only real model at hand, on a few
questions and few candidates.

Run by `python -m benchmarks.rerank_llm`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.indexes import MODEL, indexed
from benchmarks.metrics import NDCG_10, Scores, chance, per_query
from benchmarks.tables import Report, options
from hydrant import (
    DenseEncoder,
    Hit,
    ListwiseReranker,
    PairwiseReranker,
    PointwiseReranker,
    Reranker,
    TextGenerator,
    TournamentReranker,
    TransformersGenerator,
    Usage,
    VoteReranker,
)
from hydrant.testing import FunctionStage, OracleGenerator

SETS = ("nfcorpus/test", "cranfield/test")
NOISE = (0.0, 0.1, 0.3)
_QUESTIONS = 50
_CANDIDATES = 50
_SHOWN = 10

Make = Callable[[TextGenerator], Reranker]
ORACLE_RERANKERS: Mapping[str, Make] = {
    "window 20/10": lambda llm: ListwiseReranker(llm, cache=None),
    "window 20/10, 3 passes": lambda llm: ListwiseReranker(llm, passes=3, cache=None),
    "window 10/5": lambda llm: ListwiseReranker(llm, window=10, step=5, cache=None),
    "tournament 5, winner 1": lambda llm: TournamentReranker(llm, cache=None),
    "tournament 5, winners 2": lambda llm: TournamentReranker(llm, winners=2, cache=None),
    "tournament 5, trust order": lambda llm: TournamentReranker(llm, trust="order", cache=None),
    "pairwise, select": lambda llm: PairwiseReranker(llm, method="select", cache=None),
    "pairwise, sort": lambda llm: PairwiseReranker(llm, method="sort", cache=None),
    "pointwise, yes/no": lambda llm: PointwiseReranker(llm, cache=None),
    "pointwise, grades": lambda llm: PointwiseReranker(llm, grades=3, cache=None),
    "pointwise, grades, 5 samples": lambda llm: PointwiseReranker(
        llm, grades=3, samples=5, temperature=0.7, cache=None
    ),
    "vote, list of 20": lambda llm: VoteReranker(ListwiseReranker(llm, cache=None)),
    "vote, list of 40": lambda llm: VoteReranker(
        ListwiseReranker(llm, window=40, step=20, cache=None), size=40
    ),
}
_SMALL = {"passage_tokens": 80, "cache": None}
SMALL_RERANKERS: Mapping[str, Make] = {
    "window 5/3": lambda llm: ListwiseReranker(llm, window=5, step=3, **_SMALL),
    "tournament 5, winner 1": lambda llm: TournamentReranker(llm, top_n=5, at_once=1, **_SMALL),
    "pairwise, select": lambda llm: PairwiseReranker(llm, top_n=5, method="select", at_once=1, **_SMALL),
    "pointwise, yes/no": lambda llm: PointwiseReranker(llm, at_once=1, **_SMALL),
    "pointwise, grades": lambda llm: PointwiseReranker(llm, grades=3, at_once=1, **_SMALL),
    "vote, list of 10": lambda llm: VoteReranker(ListwiseReranker(llm, window=10, step=5, **_SMALL), size=10),
}


@dataclass(frozen=True)
class Candidates:
    """What the first stage found for a sample of a set's questions."""

    judged: JudgedSet
    hits: Mapping[str, tuple[Hit, ...]]

    def scores(self, ranking: Mapping[str, Sequence[Hit]]) -> Scores:
        """nDCG@10 of every question, from hits by the question's text."""
        run = {
            name: [str(hit.id) for hit in ranking[text]][:_SHOWN]
            for name, text in self.judged.queries.items()
        }
        return per_query(NDCG_10, self.judged.qrels, run)

    def reranked(self, reranker: Reranker, number: int | None = None) -> tuple[Scores, Usage, int]:
        """nDCG@10 of every question, what was asked in all, and how many questions were answered with something missing."""
        found = FunctionStage(lambda state: state.with_hits(self.hits[state.query.text][:number]), "found")
        usage, degraded = Usage(), 0
        ranking = {}
        for text in self.judged.queries.values():
            result = (found >> reranker).run(text, limit=_SHOWN)
            ranking[text] = result.hits
            usage = sum(result.usage.values(), usage)
            degraded += bool(result.degraded)
        return self.scores(ranking), usage, degraded

    def oracle(self, noise: float) -> OracleGenerator:
        """The oracle for these questions."""
        judgments = {
            text: {
                hit.passage.content: self.judged.qrels[name].get(str(hit.id), 0) for hit in self.hits[text]
            }
            for name, text in self.judged.queries.items()
        }
        return OracleGenerator(judgments, noise=noise)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__)
    parser.add_argument(
        "--questions", type=int, default=_QUESTIONS, help="how many of each set; 0 for no oracle"
    )
    parser.add_argument(
        "--smollm2", type=int, default=0, metavar="N", help="ask SmolLM2 too, N questions of each set"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SMALL_RERANKERS,
        default=list(SMALL_RERANKERS),
        help="which, of SmolLM2's",
    )
    given = parser.parse_args(arguments)
    report = Report("LLM rerankers", given.json)
    folder = data_folder(given.data)
    questions = 2 if given.quick else given.questions
    if questions:
        measure(report, folder, questions, NOISE[1:2] if given.quick else NOISE)
    if given.smollm2:
        measure_smollm2(report, folder, given.smollm2, given.only)
    report.close()


def measure(
    report: Report, folder: Path, questions: int = _QUESTIONS, noises: Sequence[float] = NOISE
) -> None:
    """Print the oracle's table of each set."""
    for found in _found(report, folder, questions):
        before = found.scores(found.hits)
        by_votes, _, _ = found.reranked(VoteReranker())
        perfect = {
            text: sorted(
                found.hits[text],
                key=lambda hit: -found.judged.qrels[name].get(str(hit.id), 0),
            )
            for name, text in found.judged.queries.items()
        }
        rows: list[list[object]] = [
            ["none", *[float(before.mean())] * len(noises), "0", "0"],
            ["the best there could be", *[float(found.scores(perfect).mean())] * len(noises), "", ""],
            ["vote, no model", *[float(by_votes.mean())] * len(noises), "0", "0"],
        ]
        for name, make in ORACLE_RERANKERS.items():
            row: list[object] = [name]
            for noise in noises:
                llm = found.oracle(noise)
                scores, usage, _ = found.reranked(make(llm))
                row.append(float(scores.mean()))
            count = len(found.judged.queries)
            rows.append([*row, f"{usage.calls / count:.0f}", f"{usage.prompt_tokens / count:,.0f}"])
        report.table(
            f"{found.judged.name}: nDCG@10 by an oracle's answers",
            ("reranker", *(f"noise {noise:.0%}" for noise in noises), "calls", "prompt tokens"),
            rows,
            note=f"{len(found.judged.queries)} questions, {_CANDIDATES} candidates, page of {_SHOWN}; calls and tokens a question at the "
            "last noise",
        )


def measure_smollm2(
    report: Report, folder: Path, questions: int, names: Sequence[str], candidates: int = 10
) -> None:
    """Print SmolLM2's table: few questions, few candidates, short passages."""
    llm = TransformersGenerator("HuggingFaceTB/SmolLM2-135M-Instruct")
    llm.warm_up()
    for found in _found(report, folder, questions):
        few = replace(found, hits={text: hits[:candidates] for text, hits in found.hits.items()})
        before = few.scores(few.hits)
        rows: list[list[object]] = [["none", float(before.mean()), "", "", "0", "0", "0"]]
        count = len(few.judged.queries)
        for name in names:
            began = time.perf_counter()
            scores, usage, degraded = few.reranked(SMALL_RERANKERS[name](llm))
            seconds = time.perf_counter() - began
            rows.append(
                [
                    name,
                    float(scores.mean()),
                    f"{chance(scores, before):.2f}",
                    f"{degraded} of {count}",
                    f"{usage.calls / count:.0f}",
                    f"{usage.prompt_tokens / count:,.0f}",
                    f"{seconds / count:.1f}",
                ]
            )
        report.table(
            f"{few.judged.name}: SmolLM2-135M-Instruct",
            ("reranker", "nDCG@10", "p", "degraded", "calls", "prompt tokens", "seconds"),
            rows,
            note=f"{count} questions, {candidates} candidates, passages of 80 tokens at most; calls, tokens and seconds a question; p of "
            "a paired randomisation test against no reranker",
        )


def _found(report: Report, folder: Path, questions: int) -> list[Candidates]:
    dense = DenseEncoder(MODEL)
    found = []
    for name in SETS:
        try:
            judged = _sampled(load(name, folder), questions)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        with indexed(judged, dense=dense) as docs:
            retriever = docs.retriever(limit=_CANDIDATES, explain=True)
            hits = {text: retriever.run(text).hits for text in judged.queries.values()}
        found.append(Candidates(judged, hits))
    return found


def _sampled(judged: JudgedSet, number: int) -> JudgedSet:
    """Some of the questions, the same in every run; of questions of the same words the first."""
    of_text = {text: name for name, text in reversed(list(judged.queries.items()))}
    chosen = random.Random(0).sample(sorted(of_text.values()), min(number, len(of_text)))
    return replace(
        judged,
        queries={name: judged.queries[name] for name in chosen},
        qrels={name: judged.qrels[name] for name in chosen},
    )


if __name__ == "__main__":
    main()

"""A cross-encoder for nfcorpus, trained on the judgments of its `train` split, and what it makes of the ranking.

`python -m benchmarks.train_cross_encoder --out FOLDER` trains, saves and measures; `--model FOLDER` measures one that was
saved before. A GPU is used where there is one.

The model begins as all-MiniLM-L6-v2 with a fresh head. A list of training is one question with candidates drawn from the
head of our own hybrid search, which is what a reranker sees. Its target is the distribution of what the search said, standardised
within the list, plus a bonus for every grade of the judgments (ListNet: Cao et al., "Learning to Rank: From Pairwise Approach to
Listwise Approach", ICML 2007). The search's share of the target keeps questions without judged candidates useful, and keeps
unjudged passages, many of which are relevant here, from being pushed to the bottom alike. How much of the model's score is mixed
with the search's is chosen on `dev`; `test` is looked at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from benchmarks import tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.indexes import MODEL, indexed
from benchmarks.metrics import NDCG_10, chance, per_query
from benchmarks.rerank import packaged
from hydrant import Blend, Collection, CrossEncoderReranker, DenseEncoder, Hit, Stage
from hydrant.testing import FunctionStage

_CORPUS = "nfcorpus"
_ELSEWHERE = "cranfield/test"
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_DEPTH = 40


@dataclass(frozen=True)
class Recipe:
    """How it is trained.

    Attributes:
        minutes: When to stop; the learning rate falls to nothing until then.
        tokens: How much of question and passage is read.
        size: Candidates in a list.
        lists: Lists in a step.
        rate: The highest learning rate; the fresh head's is ten times as much.
        bonus: What a grade adds to the target, in standard deviations of the search's scores.
        seed: Of the head and of every draw.
    """

    minutes: float = 45.0
    tokens: int = 64
    size: int = 8
    lists: int = 4
    rate: float = 2e-4
    bonus: float = 2.0
    seed: int = 0


@dataclass(frozen=True)
class Candidates:
    """A question and the head of its search.

    Attributes:
        question: The text.
        hits: Best first.
        grades: The judgment of each hit, 0 without one.
    """

    question: str
    hits: Sequence[Hit]
    grades: Sequence[int]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the trained model is saved")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="measure this one, and train none")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="how long it is trained")
    parser.add_argument("--tokens", type=int, default=Recipe.tokens, help="how much of a pair is read")
    parser.add_argument("--bonus", type=float, default=Recipe.bonus, help="what a grade adds to the target")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="the highest learning rate")
    given = parser.parse_args(arguments)
    if (given.out is None) == (given.model is None):
        parser.error("give either --out FOLDER, to train, or --model FOLDER, to measure")
    report = tables.Report("train_cross_encoder", given.json)
    recipe = Recipe(given.minutes, given.tokens, bonus=given.bonus, rate=given.rate)
    try:
        measure(report, data_folder(given.data), recipe, (given.out, given.model), quick=given.quick)
    except DataMissingError as missing:
        report.skip(_CORPUS, missing)
    report.close()


def measure(
    report: tables.Report,
    folder: Path,
    recipe: Recipe,
    places: tuple[Path | None, Path | None],
    *,
    quick: bool = False,
) -> None:
    """Train where there is a place to save the model, and print the tables.

    Args:
        report: Where.
        folder: Where the judged sets are.
        recipe: How it is trained.
        places: Where to save the new model, or else where the trained one is.
        quick: A few questions only.
    """
    number = 4 if quick else None
    out, trained = places
    if out is not None:
        judged = load(f"{_CORPUS}/train", folder)
        train(report, list(searched(judged, number).values()), recipe, out)
        trained = out
    assert trained is not None
    model = CrossEncoderReranker(
        trained, max_length=recipe.tokens, windows=1, cache=1_000_000, on_error="raise"
    )
    share = _chosen(report, load(f"{_CORPUS}/dev", folder), model, number)
    rows = []
    for name in (f"{_CORPUS}/test", _ELSEWHERE):
        try:
            judged = load(name, folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        for first, sources in (("BM25", ("sparse",)), ("hybrid", ())):
            rows += _rows(judged, first, searched(judged, number, sources), (model, share))
    report.table(
        f"Quality: nDCG@10 over the best {_DEPTH}",
        ("set", "queries", "first stage", "reranker", "nDCG@10", "change", "p"),
        rows,
    )


# ---- training ----------------------------------------------------------------------------------------------------


def train(report: tables.Report, searches: Sequence[Candidates], recipe: Recipe, out: Path) -> None:
    """Train, and save the model.

    Args:
        report: Is told how much was seen.
        searches: The questions with their candidates.
        recipe: How.
        out: Where the model goes.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    torch.manual_seed(recipe.seed)
    model = CrossEncoder(packaged(), num_labels=1, max_length=recipe.tokens)
    loss_of = ListNetLoss(model, mini_batch_size=-1)
    optimizer = torch.optim.AdamW(_groups(model, recipe.rate), weight_decay=0.01)
    highest = [group["lr"] for group in optimizer.param_groups]
    began, seen = time.monotonic(), 0
    model.train()
    with Progress(transient=True) as bar:
        line = bar.add_task("training", total=1.0)
        for batch in _batches(searches, recipe):
            done = (time.monotonic() - began) / (60 * recipe.minutes)
            if done >= 1:
                break
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = rate * min(1.0, done / 0.05, (1 - done) / 0.95)
            labels = [torch.tensor(target) for _, _, target in batch]
            loss = loss_of([[question for question, _, _ in batch], [texts for _, texts, _ in batch]], labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen += len(batch)
            bar.update(line, completed=done)
    model.eval()
    model.save_pretrained(str(out))
    report.note(
        f"trained on {seen} lists of {recipe.size}, {seen / len(searches):.2f} a question, in {recipe.minutes:g} minutes"
    )


def _groups(model: Any, rate: float) -> list[dict[str, Any]]:
    """The model's parameters; those of the fresh head learn faster."""
    fresh = [each for name, each in model.named_parameters() if "classifier" in name or "pooler" in name]
    known = {id(each) for each in fresh}
    return [
        {"params": [each for each in model.parameters() if id(each) not in known], "lr": rate},
        {"params": fresh, "lr": 10 * rate},
    ]


def _batches(
    searches: Sequence[Candidates], recipe: Recipe
) -> Iterator[list[tuple[str, list[str], list[float]]]]:
    """Lists without end: every question once before one comes again."""
    draw = random.Random(recipe.seed)
    while True:
        order = [each for each in draw.sample(searches, len(searches)) if len(each.hits) > 1]
        for at in range(0, len(order), recipe.lists):
            yield [_list(each, recipe, draw) for each in order[at : at + recipe.lists]]


def _list(search: Candidates, recipe: Recipe, draw: random.Random) -> tuple[str, list[str], list[float]]:
    """Some of the candidates with their targets; one that is judged relevant is among them where there is any."""
    places = draw.sample(range(len(search.hits)), min(recipe.size, len(search.hits)))
    relevant = [at for at, grade in enumerate(search.grades) if grade]
    if relevant and not set(relevant) & set(places):
        places[0] = draw.choice(relevant)
    said = np.array([search.hits[at].score for at in places])
    standard = (said - said.mean()) / max(float(said.std()), 1e-6)
    targets = standard + recipe.bonus * np.array([search.grades[at] for at in places])
    return search.question, [search.hits[at].passage.content for at in places], targets.tolist()


# ---- measuring ---------------------------------------------------------------------------------------------------


def searched(
    judged: JudgedSet, number: int | None = None, sources: Sequence[str] = ()
) -> dict[str, Candidates]:
    """The head of the search for every question.

    Args:
        judged: The set.
        number: How many questions; None for all.
        sources: What is searched; nothing for the default hybrid.
    """
    with indexed(judged, dense=DenseEncoder(MODEL)) as docs:
        return dict(_searches(docs, judged, list(judged.queries.items())[:number], sources))


def _searches(
    docs: Collection, judged: JudgedSet, questions: Sequence[tuple[str, str]], sources: Sequence[str]
) -> Iterator[tuple[str, Candidates]]:
    search = docs.retriever(limit=_DEPTH, sources=sources)
    found = search.run_many([text for _, text in questions])
    for (name, text), result in zip(questions, found, strict=True):
        hits = [hit for hit in result.hits if hit.text.strip() != text.strip()]
        yield name, Candidates(text, hits, [judged.qrels[name].get(str(hit.id), 0) for hit in hits])


def _chosen(
    report: tables.Report, judged: JudgedSet, model: CrossEncoderReranker, number: int | None
) -> float:
    """The share of the model's score that is best on `dev`."""
    searches = searched(judged, number)
    stages: Mapping[float, Stage | None] = {
        0.0: None,
        **{share: Blend(model, share, on_error="raise") for share in _SHARES},
        1.0: model,
    }
    means = {share: float(_values(judged, searches, stage).mean()) for share, stage in stages.items()}
    report.table(
        f"What share of the model's score is best: {judged.name}, {len(searches)} questions, hybrid",
        ("share", "nDCG@10"),
        [[f"{share:.1f}", mean] for share, mean in means.items()],
    )
    return max(_SHARES, key=lambda share: means[share])


def _rows(
    judged: JudgedSet, first: str, searches: Mapping[str, Candidates], reranker: tuple[Stage, float]
) -> list[list[Any]]:
    model, share = reranker
    assert isinstance(model, CrossEncoderReranker)
    before = _values(judged, searches, None)
    rows = [[judged.name, len(searches), first, "none", float(before.mean()), "", ""]]
    blended = Blend(model, share, on_error="raise")
    for name, stage in (("the model alone", model), (f"blended {share}", blended)):
        values = _values(judged, searches, stage)
        change = f"{values.mean() - before.mean():+.4f}"
        rows.append(
            [
                judged.name,
                len(searches),
                first,
                name,
                float(values.mean()),
                change,
                f"{chance(values, before):.3f}",
            ]
        )
    return rows


def _values(judged: JudgedSet, searches: Mapping[str, Candidates], stage: Stage | None) -> Any:
    qrels = {name: judged.qrels[name] for name in searches}
    return per_query(NDCG_10, qrels, {name: _order(stage, each) for name, each in searches.items()})


def _order(stage: Stage | None, search: Candidates) -> list[str]:
    if stage is None or not search.hits:
        return [str(hit.id) for hit in search.hits]
    found = FunctionStage(lambda state: state.with_hits(tuple(search.hits)), "found", required=True)
    return [str(hit.id) for hit in (found >> stage).run(search.question).hits]


if __name__ == "__main__":
    main()

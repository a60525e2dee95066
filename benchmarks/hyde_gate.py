"""When to expand: predictors of the gate, against the share of calls to the language model that they save.

Every question is searched for twice, without HyDE and with it. A predictor orders the questions by how sure it is of the
first search; the surest are then left unexpanded, few of them or many, and the mean nDCG@10 of the whole is drawn against their
share; ties count as drawn by lot. The threshold of `gate="auto"` is fitted to no outcome: it is the mean of the medians over the
questions of four sets, which needs neither judgments nor a language model. Which predictor is best is chosen on the good
hypotheses, and cross-validated: chosen on four fifths of the questions, judged on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hyde_runs import DEPTH, KeptEncoder, Texts, figures, hyde
from benchmarks.hyde_texts import DEVELOPING, SAMPLE, Written, frozen, questions, sampled
from benchmarks.indexes import indexed
from benchmarks.metrics import Scores, chance
from benchmarks.tables import Report
from hydrant.expand.gate import (
    AUTO,
    Predictor,
    best_score,
    confidence,
    query_words,
    score_deviation,
    score_margin,
    source_agreement,
    word_coverage,
)
from hydrant.types import Hit, Query

PREDICTORS: Mapping[str, Predictor] = {
    "confidence": confidence,
    "word coverage": word_coverage,
    "source agreement": source_agreement,
    "score margin": score_margin,
    "score deviation (NQC)": score_deviation,
    "best fused score": best_score,
    "query length": query_words,
}
_HALF = 0.5
_FOLDS = 5
_REPEATS = 50
_GOOD_NUMBER = 4
_SMALL_NUMBER = 8


@dataclass(frozen=True)
class Study:
    """A set of questions, searched for without HyDE and with it.

    Attributes:
        title: What was asked, and with which hypotheses.
        values: What each predictor says of each question.
        never: nDCG@10 of each question without HyDE.
        always: The same with it.
        auto: Which of them `gate="auto"` expands.
    """

    title: str
    values: Mapping[str, Scores]
    never: Scores
    always: Scores
    auto: Any

    def curve(self, name: str) -> tuple[Scores, Scores]:
        """The share of calls saved, from all to none, and the mean nDCG@10 that is left."""
        return _curve(self.values[name], self.never, self.always)

    def joined(self, other: Study) -> Study:
        """Both sets of questions as one."""
        values = {name: np.concatenate([own, other.values[name]]) for name, own in self.values.items()}
        pairs = [(getattr(self, part), getattr(other, part)) for part in ("never", "always", "auto")]
        return Study(f"{self.title}; {other.title}", values, *(np.concatenate(pair) for pair in pairs))

    def titled(self, title: str) -> Study:
        """The same under another name."""
        return replace(self, title=title)


def measure(
    report: Report, folder: Path, encoder: KeptEncoder, at_most: int | None, plot: Path | None
) -> None:
    """Print the tables, and draw them."""
    good = frozen()
    written = Written()
    studies = [
        _study(
            "good hypotheses", good, (folder, "nfcorpus/test", len(good)), encoder, hypotheses=_GOOD_NUMBER
        ),
        _study(
            "good hypotheses, words too",
            good,
            (folder, "nfcorpus/test", len(good)),
            encoder,
            hypotheses=_GOOD_NUMBER,
            sparse=True,
            query_weight=2.0,
        ),
    ]
    small = [
        _study(
            f"SmolLM2, {name}",
            written,
            (folder, name, sampled(name, at_most)),
            encoder,
            hypotheses=_SMALL_NUMBER,
        )
        for name in SAMPLE
    ]
    count = sum(len(study.never) for study in small)
    studies.append(reduce(Study.joined, small).titled(f"SmolLM2-135M, {count} questions"))
    for study in studies:
        _table(report, study)
    report.table(
        f"Threshold and predictor chosen and judged on different questions ({_FOLDS} folds, {_REPEATS} times)",
        (
            "hypotheses",
            "predictor",
            "never",
            "always",
            "gated",
            "against always",
            "against never",
            "calls saved",
        ),
        [_validated(study, names) for study in studies for names in (["confidence"], list(PREDICTORS))],
    )
    report.table(
        'gate="auto"',
        (
            "hypotheses",
            "questions",
            "never",
            "always",
            "auto",
            "calls saved",
            "p against always",
            "p against never",
        ),
        [_auto(study) for study in [*studies, *small]],
        note=f"{AUTO.predictor.__name__} below {AUTO.threshold}",
    )
    _medians(report, folder, encoder)
    if plot is not None:
        draw(studies, plot)


def _study(
    title: str,
    texts: Texts | Written,
    place: tuple[Path, str, int],
    encoder: KeptEncoder,
    *,
    hypotheses: int,
    **settings: Any,
) -> Study:
    folder, name, number = place
    judged = questions(name, folder, number)
    known = texts.of(judged) if isinstance(texts, Written) else texts
    with indexed(judged, dense=encoder) as docs:
        search, probe = docs.retriever(limit=DEPTH), docs.retriever(limit=10)
        found = {text: probe.run(text).hits for text in judged.queries.values()}
        never = figures(search, judged).ndcg
        always = figures(hyde(known, judged, hypotheses, **settings) >> search, judged).ndcg
    auto = np.array([AUTO.decide(Query(text), hits).expand for text, hits in found.items()])
    return Study(f"{title}, {len(never)} questions", _values(found), never, always, auto)


def _values(found: Mapping[str, Sequence[Hit]]) -> dict[str, Scores]:
    return {
        name: np.array([predictor(Query(text), hits) for text, hits in found.items()])
        for name, predictor in PREDICTORS.items()
    }


def _curve(values: Scores, never: Scores, always: Scores) -> tuple[Scores, Scores]:
    """Calls saved and quality, with questions of one value expanded all or none, and a straight line between."""
    count = len(values)
    saved, quality = [1.0], [float(never.mean())]
    total = float(never.sum())
    expanded = 0
    for value in np.unique(values):
        same = values == value
        total += float((always - never)[same].sum())
        expanded += int(same.sum())
        saved.append(1 - expanded / count)
        quality.append(total / count)
    return np.array(saved[::-1]), np.array(quality[::-1])


def _table(report: Report, study: Study) -> None:
    never, always = float(study.never.mean()), float(study.always.mean())
    rows: list[list[Any]] = []
    for name in study.values:
        saved, quality = study.curve(name)
        half = float(np.interp(_HALF, saved, quality))
        free = max(share for share, value in zip(saved, quality, strict=True) if value >= always - 1e-9)
        rows.append([name, half, f"{half - always:+.4f}", f"{half - never:+.4f}", f"{free:.2f}"])
    lot = (never + always) / 2
    rows.append(["by lot", lot, f"{lot - always:+.4f}", f"{lot - never:+.4f}", ""])
    rows.sort(key=lambda row: -row[1])
    report.table(
        f"Gate, {study.title}: never {never:.4f}, always {always:.4f}",
        ("predictor", "nDCG@10, half saved", "against always", "against never", "most saved without loss"),
        rows,
    )


def _validated(study: Study, names: Sequence[str]) -> list[Any]:
    """What a threshold for half of the calls, and the best of predictors, is worth on questions that had no part in the choice."""
    random = np.random.default_rng(0)
    count = len(study.never)
    gains, saved = [], []
    for _ in range(_REPEATS):
        held = np.array_split(random.permutation(count), _FOLDS)
        expanded = np.zeros(count, dtype=bool)
        for fold in held:
            rest = np.setdiff1d(np.arange(count), fold)
            best = max(names, key=lambda name: _at_half(study, name, rest))
            expanded[fold] = study.values[best][fold] < np.median(study.values[best][rest])
        gains.append(float(np.where(expanded, study.always, study.never).mean()))
        saved.append(1 - float(expanded.mean()))
    never, always, gated = float(study.never.mean()), float(study.always.mean()), float(np.mean(gains))
    who = names[0] if len(names) == 1 else f"best of {len(names)}"
    against = (f"{gated - always:+.4f}", f"{gated - never:+.4f}")
    return [study.title, who, never, always, gated, *against, f"{np.mean(saved):.2f}"]


def _at_half(study: Study, name: str, chosen: Any) -> float:
    saved, quality = _curve(study.values[name][chosen], study.never[chosen], study.always[chosen])
    return float(np.interp(_HALF, saved, quality))


def _auto(study: Study) -> list[Any]:
    gated = np.where(study.auto, study.always, study.never)
    means = [float(values.mean()) for values in (study.never, study.always, gated)]
    p_always, p_never = (f"{chance(gated, other):.3f}" for other in (study.always, study.never))
    return [study.title, len(gated), *means, f"{1 - study.auto.mean():.2f}", p_always, p_never]


def _medians(report: Report, folder: Path, encoder: KeptEncoder) -> None:
    """What the predictor of "auto" says of developing questions, all of them: no language model is needed for that."""
    rows = []
    for name in DEVELOPING:
        judged = questions(name, folder, 300)
        with indexed(judged, dense=encoder) as docs:
            probe = docs.retriever(limit=10)
            values = np.array(
                [AUTO.predictor(Query(text), probe.run(text).hits) for text in judged.queries.values()]
            )
        rows.append([name, len(values), float(np.median(values)), f"{(values >= AUTO.threshold).mean():.2f}"])
    report.table(
        f"{AUTO.predictor.__name__} over questions",
        ("set", "questions", "median", "calls saved by auto"),
        rows,
    )


def draw(studies: Sequence[Study], file: Path) -> None:
    """Quality against the share of calls saved, a line for each predictor."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "hydrant"})
    figure, axes = plt.subplots(1, len(studies), figsize=(4.1 * len(studies), 4.0), squeeze=False)
    span = max(abs(float(study.always.mean() - study.never.mean())) for study in studies)
    for axis, study in zip(axes[0], studies, strict=True):
        for number, name in enumerate(study.values):
            chosen = PREDICTORS[name] is AUTO.predictor
            saved, quality = study.curve(name)
            axis.plot(
                saved,
                quality,
                label=name,
                color=f"C{number}",
                linewidth=2.4 if chosen else 1.1,
                zorder=4 if chosen else 2,
            )
        never, always = float(study.never.mean()), float(study.always.mean())
        axis.plot([0, 1], [always, never], color="0.5", linestyle=":", label="by lot")
        axis.axvline(_HALF, color="0.85", linewidth=0.8, zorder=0)
        gated = float(np.where(study.auto, study.always, study.never).mean())
        axis.plot(1 - study.auto.mean(), gated, "o", color="black", label='gate="auto"', zorder=5)
        # One span for all, or noise would look like a finding.
        middle = (never + always) / 2
        axis.set_ylim(middle - 0.6 * span, middle + 0.6 * span)
        axis.set_title(study.title, fontsize=9)
        axis.set_xlabel("share of LLM calls saved")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("mean nDCG@10")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
    plt.close(figure)

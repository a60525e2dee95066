"""nDCG and recall by ir-measures, and whether a difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
import numpy.typing as npt

from benchmarks.data import Qrels

Scores = npt.NDArray[np.float64]
# Passage ids, best first, by question.
Run = Mapping[str, Sequence[str]]

NDCG_10 = ir_measures.nDCG @ 10
RECALL_100 = ir_measures.R @ 100
_RESAMPLES = 10_000


def per_query(measure: ir_measures.Measure, qrels: Qrels, run: Run) -> Scores:
    """The measure for every judged question in the order of `qrels`; 0 for one that found nothing.

    The order of a run is what counts, as a user sees it: ir-measures would sort equal scores by passage id, so ranks
    are handed over instead of scores.
    """
    scored = [
        ir_measures.ScoredDoc(query, passage, -float(rank))
        for query, passages in run.items()
        for rank, passage in enumerate(passages)
    ]
    judged = [
        ir_measures.Qrel(query, passage, relevance)
        for query, relevant in qrels.items()
        for passage, relevance in relevant.items()
    ]
    values = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], judged, scored)}
    return np.array([values.get(query, 0.0) for query in qrels])


def chance(better: Scores, worse: Scores, seed: int = 0) -> float:
    """The two-sided p-value of a paired randomisation test on the difference of two means.

    Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval
    evaluation", CIKM 2007.
    """
    differences = better - worse
    observed = abs(float(differences.mean()))
    random = np.random.default_rng(seed)
    as_extreme = 0
    for _ in range(_RESAMPLES // 1000):
        signs = random.choice((-1.0, 1.0), size=(1000, differences.size))
        as_extreme += int((np.abs((signs * differences).mean(axis=1)) >= observed - 1e-12).sum())
    return (as_extreme + 1) / (_RESAMPLES + 1)

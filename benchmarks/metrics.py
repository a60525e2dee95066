"""nDCG and recall by ir-measures, and whether a difference is more than chance: `hydrant.evaluate`, for rankings of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
import numpy.typing as npt

from benchmarks.data import Qrels
from hydrant.evaluate import significance
from hydrant.evaluate.metrics import per_question

Scores = npt.NDArray[np.float64]
# Passage ids, best first, by question.
Run = Mapping[str, Sequence[str]]

NDCG_10 = ir_measures.nDCG @ 10
RECALL_100 = ir_measures.R @ 100


def per_query(measure: ir_measures.Measure, qrels: Qrels, run: Run) -> Scores:
    """The measure for every judged question in the order of `qrels`; 0 for one that found nothing.

    The order of a run is what counts, as a user sees it, and not the scores, of which some may be equal.
    """
    return np.array(list(per_question({"measure": measure}, qrels, run)["measure"].values()))


def chance(better: Scores, worse: Scores, seed: int = 0) -> float:
    """The two-sided p-value of a paired randomisation test on the difference of two means."""
    return significance.chance(better, worse, seed=seed)

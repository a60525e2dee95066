"""Metrics are those of ir-measures and pytrec_eval, ties included; significance is honest."""

from __future__ import annotations

import random

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from hydrant.errors import ConfigurationError
from hydrant.evaluate import significance
from hydrant.evaluate.judgments import settled, trec_order
from hydrant.evaluate.metrics import parse_metrics, per_question
from hydrant.evaluate.significance import chance, chances, holm, interval_of_mean, intervals_of_means

DOCUMENTS = [f"d{n}" for n in range(12)]
# Few different scores, so that there are many ties; the last two differ by less than 32 bits can tell.
SCORES = [0.0, 0.25, 0.5, 1.0, 1.0 + 1e-12]
run_of = st.dictionaries(st.sampled_from(DOCUMENTS), st.sampled_from(SCORES), min_size=1)
judged_of = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1)
NAMES = {"nDCG@5": "ndcg_cut_5", "AP": "map", "R@5": "recall_5", "P@5": "P_5", "RR": "recip_rank", "Success@1": "success_1"}  # fmt: skip


@given(st.lists(st.tuples(judged_of, run_of), min_size=1, max_size=4))
def test_values_equal_trec_evals_with_ties(examples):
    qrels = {f"q{n}": judged for n, (judged, _) in enumerate(examples)}
    runs = {f"q{n}": run for n, (_, run) in enumerate(examples)}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(NAMES.values())).evaluate(runs)
    # As a pipeline gives them: by score, ties in any order.
    found = {query: sorted(run.items(), key=lambda pair: -np.float32(pair[1])) for query, run in runs.items()}
    values = per_question(
        parse_metrics(list(NAMES)), qrels, {query: settled(ranking) for query, ranking in found.items()}
    )
    for ours, theirs in NAMES.items():
        for query in qrels:
            assert values[ours][query] == pytest.approx(expected[query][theirs]), (ours, query)


def test_means_equal_ir_measures_on_random_runs():
    draw = random.Random(1)
    documents = [f"d{n}" for n in range(60)]
    qrels = {f"q{n}": {d: draw.randint(0, 2) for d in draw.sample(documents, 12)} for n in range(40)}
    runs = {query: {d: draw.random() for d in draw.sample(documents, 30)} for query in qrels}
    measures = parse_metrics(["nDCG@10", "MAP", "MRR@10", "recall@20", "precision@5", "Judged@10"])
    assert list(measures) == ["nDCG@10", "AP", "RR@10", "R@20", "P@5", "Judged@10"]
    values = per_question(
        measures, qrels, {query: [d for d, _ in trec_order(run.items())] for query, run in runs.items()}
    )
    expected = ir_measures.calc_aggregate(list(measures.values()), qrels, runs)
    for name, measure in measures.items():
        assert np.mean(list(values[name].values())) == pytest.approx(expected[measure]), name


def test_the_order_of_a_pipeline_counts_but_not_that_of_its_ties():
    assert settled([("a", 0.2), ("b", 0.9), ("c", 0.9), ("d", 0.1)]) == ["a", "c", "b", "d"]
    assert settled([]) == []


def test_a_question_without_a_ranking_counts_zero_and_one_without_judgments_not_at_all():
    values = per_question(
        parse_metrics(["nDCG@10"]), {"a": {"d": 1}, "b": {"d": 1}}, {"a": ["d"], "x": ["d"]}
    )
    assert values == {"nDCG@10": {"a": 1.0, "b": 0.0}}


def test_a_grade_from_which_a_document_is_relevant_changes_what_knows_no_grades():
    qrels, ranking = {"q": {"a": 1, "b": 2}}, {"q": ["a", "b"]}
    assert per_question(parse_metrics(["RR", "nDCG@2"], 1), qrels, ranking)["RR"]["q"] == 1.0
    strict = per_question(parse_metrics(["RR", "nDCG@2"], 2), qrels, ranking)
    assert strict["RR"]["q"] == 0.5
    assert strict["nDCG@2"] == per_question(parse_metrics(["nDCG@2"]), qrels, ranking)["nDCG@2"]


@pytest.mark.parametrize(
    "name",
    [
        "nDCG@0",
        "P@99999999999999999999",
        "nDCG@-1",
        "R",
        "precision",
        "R(rel=0)@5",
        "P(rel=-1)@5",
        "AP(rel='x')",
    ],
)
def test_a_metric_on_which_trec_eval_would_end_the_process_is_refused(name):
    with pytest.raises(ConfigurationError, match="metric"):
        parse_metrics([name])


@pytest.mark.parametrize(
    "names", [["nDGC@10"], [], "nDCG@10", ["@10"], [""], ["nDCG@ten"], ["R(rel=@1"], [3]]
)
def test_a_metric_that_there_is_not_is_refused(names):
    with pytest.raises(ConfigurationError):
        parse_metrics(names)


def test_a_pipeline_never_differs_from_itself():
    values = np.random.default_rng(0).random(50)
    assert chance(values, values.copy()) == 1.0


def test_false_positives_are_as_rare_as_the_level_says():
    significant = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        difficulty = draw.random(40)
        one, other = (np.clip(difficulty + draw.normal(0, 0.2, 40), 0, 1) for _ in range(2))
        significant += chance(one, other, resamples=1000, seed=seed) < 0.05
    # 10 are expected of 200; by a fair test, fewer than 2 or more than 21 happen once in a thousand such runs.
    assert 2 <= significant <= 21


def test_a_real_difference_is_found_and_its_size_lies_in_the_interval():
    draw = np.random.default_rng(3)
    one = draw.random(100)
    other = one - 0.05 + draw.normal(0, 0.05, 100)
    assert chance(one, other) < 0.001
    interval = interval_of_mean(one - other)
    assert 0.03 < interval.low < 0.05 < interval.high < 0.07


def test_the_exact_p_value_of_a_small_test_comes_out():
    # Five differences of one sign: 2 of the 32 tosses are as extreme.
    assert chance(np.arange(1.0, 6.0), np.zeros(5), resamples=20_000) == pytest.approx(2 / 32, abs=0.006)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    draw = np.random.default_rng(11)
    rows = draw.normal(0.3, 0.2, size=(300, 60))
    held = sum(each.low <= 0.3 <= each.high for each in intervals_of_means(rows, resamples=2000))
    assert 0.90 <= held / 300 <= 0.98


def test_many_comparisons_give_what_each_gives_alone():
    draw = np.random.default_rng(5)
    rows = draw.normal(0.1, 0.3, size=(3, 30))
    assert chances(rows) == [chance(row, np.zeros(30)) for row in rows]
    for together, row in zip(intervals_of_means(rows), rows, strict=True):
        alone = interval_of_mean(row)
        assert (together.low, together.high) == pytest.approx((alone.low, alone.high))


def test_large_sets_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(2).random(300)
    whole = interval_of_mean(values, resamples=1000)
    monkeypatch.setattr(significance, "_CACHED", 1000)
    monkeypatch.setattr(significance, "_CHUNK", 7000)
    parts = interval_of_mean(values, resamples=1000)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high))


def test_holm_multiplies_the_smallest_most():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_corrected_p_value_is_never_smaller_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, adjusted, strict=True))
    ordered = [corrected for _, corrected in sorted(zip(p_values, adjusted, strict=True))]
    assert ordered == sorted(ordered)


def test_values_of_other_questions_cannot_be_paired():
    with pytest.raises(ConfigurationError):
        chance(np.zeros(3), np.zeros(4))


def test_a_grade_below_0_is_judged_and_not_relevant_and_never_reaches_trec_eval(monkeypatch):
    # A question with grades below 0 alone ends the process there, in one run of four.
    given = []
    original = ir_measures.iter_calc

    def watched(measures, qrels, run):
        given.extend(qrels)
        return original(measures, qrels, run)

    monkeypatch.setattr(ir_measures, "iter_calc", watched)
    qrels = {"q": {"a": -5, "b": 2}, "nothing": {"a": -1}}
    rankings = {"q": ["a", "b", "c"], "nothing": ["a"]}
    values = per_question(parse_metrics(["nDCG@10", "RR", "Judged@2"]), qrels, rankings)
    assert min(qrel.relevance for qrel in given) == 0
    assert values["RR"] == {"q": 0.5, "nothing": 0.0}
    assert values["nDCG@10"]["q"] == pytest.approx(1 / np.log2(3))
    assert values["Judged@2"] == {"q": 1.0, "nothing": 1.0}

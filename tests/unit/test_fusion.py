"""The fusion formulas, against Qdrant's and against the textbook."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.hybrid.fusion import distribution_based_score_fusion, reciprocal_rank_fusion

from hydrant import Convex, Dbsf, Rrf
from hydrant.errors import ConfigurationError

SCORES = st.floats(-100, 100, allow_nan=False).map(lambda score: round(score, 3))
RANKINGS = st.dictionaries(
    st.sampled_from(["dense", "sparse", "third"]),
    st.dictionaries(st.integers(0, 12), SCORES, max_size=8).map(
        lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
    ),
    min_size=1,
)
WEIGHTS = st.dictionaries(st.sampled_from(["dense", "sparse", "third"]), st.floats(0.1, 5))


def points(ranking):
    return [models.ScoredPoint(id=each, version=0, score=score) for each, score in ranking]


def close(ours, theirs):
    assert dict(ours) == pytest.approx(dict(theirs), abs=1e-6)


@given(RANKINGS, st.integers(1, 100))
def test_rrf_is_the_textbooks(rankings, k):
    expected = {}
    for ranking in rankings.values():
        for rank, (each, _) in enumerate(ranking, 1):
            expected[each] = expected.get(each, 0) + 1 / (k + rank)
    close(Rrf(k).fuse(rankings), expected.items())


@given(RANKINGS, st.integers(1, 100))
def test_rrf_is_qdrants_with_a_constant_of_one_more(rankings, k):
    theirs = reciprocal_rank_fusion([points(each) for each in rankings.values()], 100, Rrf(k).query().rrf.k)
    close(Rrf(k).fuse(rankings), [(point.id, point.score) for point in theirs])


@given(RANKINGS)
def test_dbsf_is_qdrants(rankings):
    lists = [points(each) for each in rankings.values() if each]
    theirs = distribution_based_score_fusion(lists, 100) if lists else []
    close(Dbsf().fuse(rankings), [(point.id, point.score) for point in theirs])


@given(RANKINGS, WEIGHTS)
def test_weighted_rrf_multiplies_each_sources_vote(rankings, weights):
    expected = {}
    for name, ranking in rankings.items():
        for rank, (each, _) in enumerate(ranking, 1):
            expected[each] = expected.get(each, 0) + weights.get(name, 1.0) / (60 + rank)
    close(Rrf(weights=weights).fuse(rankings), expected.items())


@given(RANKINGS, WEIGHTS | st.none())
def test_convex_scores_lie_between_zero_and_one_and_the_best_everywhere_is_one(rankings, weights):
    fused = Convex(weights).fuse(rankings)
    assert all(-1e-9 <= score <= 1 + 1e-9 for _, score in fused)
    tops = [{each for each, score in ranking if score == ranking[0][1]} for ranking in rankings.values()]
    for each in set.intersection(*tops) if all(rankings.values()) else ():
        assert dict(fused)[each] == pytest.approx(1)


@given(RANKINGS, st.floats(0.1, 50), st.floats(-50, 50))
def test_convex_without_floors_does_not_care_for_a_sources_scale(rankings, factor, shift):
    spread = {
        name: [(each, score) for each, score in ranking]
        for name, ranking in rankings.items()
        if len(ranking) > 1
    }
    if any(ranking[0][1] - ranking[-1][1] < 0.01 for ranking in spread.values()):
        return
    scaled = {
        name: [(each, score * factor + shift) for each, score in ranking] for name, ranking in spread.items()
    }
    fusion = Convex(floors={})
    assert dict(fusion.fuse(scaled)) == pytest.approx(dict(fusion.fuse(spread)), abs=1e-3)


@given(RANKINGS, st.floats(0.1, 50))
def test_convex_keeps_the_proportions_of_a_source_with_a_floor(rankings, factor):
    positive = {"sparse": [(each, abs(score) + 1) for each, score in rankings.get("sparse", [])]}
    fused = dict(Convex().fuse(positive))
    best = max((score for _, score in positive["sparse"]), default=1)
    assert fused == pytest.approx({each: score / best for each, score in positive["sparse"]})
    scaled = {"sparse": [(each, factor * score) for each, score in positive["sparse"]]}
    assert dict(Convex().fuse(scaled)) == pytest.approx(fused)


def test_what_a_source_left_out_counts_as_its_last_hit_where_the_list_was_cut():
    rankings = {"sparse": [("a", 8.0), ("b", 6.0)], "dense": [("c", 0.9), ("d", 0.7)]}
    cut = dict(Convex().fuse(rankings, depth=2))
    assert cut == pytest.approx(
        {"a": (1 + 0.5) / 2, "b": (0.75 + 0.5) / 2, "c": (0.75 + 1) / 2, "d": (0.75 + 0.5) / 2}
    )


def test_what_a_source_left_out_counts_as_its_floor_where_the_list_shows_all_there_is():
    rankings = {"sparse": [("a", 8.0), ("b", 6.0)], "dense": [("c", 0.9), ("d", 0.7)]}
    whole = dict(Convex().fuse(rankings, depth=3))
    assert whole == pytest.approx(
        {"a": (1 + 0.5) / 2, "b": (0.75 + 0.5) / 2, "c": (0 + 1) / 2, "d": (0 + 0.5) / 2}
    )
    assert dict(Convex().fuse(rankings)) == whole


@pytest.mark.parametrize("floors", [{}, {"dense": 0.5}])
def test_a_list_of_equal_scores_still_counts_for_those_in_it(floors):
    third = [("c", 2.0), ("a", 1.5), ("d", 1.0)]
    fused = dict(Convex(floors=floors).fuse({"dense": [("a", 0.5), ("b", 0.5)], "third": third}))
    expected = {"a": (1 + 0.75) / 2, "b": (1 + 0.5) / 2, "c": (0.5 + 1) / 2, "d": (0.5 + 0.5) / 2}
    assert fused == pytest.approx(expected)


def test_scores_below_the_floor_are_told_apart_as_without_one():
    rankings = {"dense": [("a", 0.6), ("b", -0.2), ("c", -0.6)]}
    assert Convex(floors={"dense": 0.0}).fuse(rankings) == Convex().fuse(rankings)


@pytest.mark.parametrize("floors", [{"sparse": math.inf}, {"sparse": math.nan}, {"sparse": "0"}, 0.0])
def test_floors_that_are_no_numbers_by_source_are_refused(floors):
    with pytest.raises(ConfigurationError, match="floor"):
        Convex(floors=floors)


def test_convex_by_hand():
    rankings = {"dense": [("a", 0.9), ("b", 0.5), ("c", 0.1)], "sparse": [("b", 8.0), ("d", 4.0)]}
    fused = Convex({"dense": 3, "sparse": 1}).fuse(rankings)
    assert fused == [
        ("b", pytest.approx(0.75 * 0.75 + 0.25)),
        ("a", pytest.approx(0.75)),
        ("d", pytest.approx(0.75 * 0.5 + 0.25 * 0.5)),
        ("c", pytest.approx(0.75 * 0.5)),
    ]


@given(RANKINGS, st.sampled_from([Rrf(), Rrf(weights={"dense": 2}), Dbsf(), Convex()]))
def test_every_passage_of_every_source_is_in_the_fused_ranking_once_best_first(rankings, fusion):
    fused = fusion.fuse(rankings)
    ids = [each for each, _ in fused]
    assert sorted(ids) == sorted({each for ranking in rankings.values() for each, _ in ranking})
    assert all(a >= b for (_, a), (_, b) in itertools.pairwise(fused))
    assert all(math.isfinite(score) for _, score in fused)


@given(RANKINGS, st.randoms(use_true_random=False), st.sampled_from([Rrf(), Dbsf(), Convex()]))
def test_the_order_of_the_sources_does_not_matter(rankings, rng, fusion):
    names = list(rankings)
    rng.shuffle(names)
    close(fusion.fuse({name: rankings[name] for name in names}), fusion.fuse(rankings))


def test_what_goes_in_is_not_changed():
    rankings = {"dense": [("a", 1.0), ("b", 0.5)], "sparse": [("b", 3.0)]}
    before = repr(rankings)
    for fusion in (Rrf(), Rrf(weights={"dense": 2}), Dbsf(), Convex()):
        fusion.fuse(rankings)
    assert repr(rankings) == before


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, 1.5, "60", True, None])
def test_a_constant_that_is_no_whole_number_above_zero_is_refused_with_its_value(k):
    with pytest.raises(ConfigurationError) as caught:
        Rrf(k=k)
    assert repr(k) in str(caught.value)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1", True, None])
@pytest.mark.parametrize("fusion", [Rrf, Convex])
def test_a_weight_that_is_no_number_is_refused_with_its_source(fusion, weight):
    with pytest.raises(ConfigurationError, match="'dense'"):
        fusion(weights={"dense": weight})


@pytest.mark.parametrize("fusion", [Rrf, Convex])
def test_weights_must_leave_something(fusion):
    with pytest.raises(ConfigurationError, match="above 0"):
        fusion(weights={"dense": 0, "sparse": 0.0}).check(("dense", "sparse"))
    # The other source counts 1.
    fusion(weights={"dense": 0}).check(("dense", "sparse"))


def test_a_weight_for_no_source_lists_the_sources():
    with pytest.raises(ConfigurationError, match=r"'title'.*'dense', 'sparse'"):
        Rrf(weights={"title": 1}).check(("dense", "sparse"))


def test_fusions_with_equal_settings_are_equal_and_hash_alike():
    assert Rrf(10) == Rrf(10) != Rrf(11)
    assert Convex({"dense": 1}) == Convex({"dense": 1.0})
    assert hash(Rrf(weights={"dense": 1})) == hash(Rrf(weights={"dense": 1}))
    assert hash(Convex({"dense": 1})) == hash(Convex({"dense": 1}))


def test_weights_that_are_changed_afterwards_change_nothing():
    weights = {"dense": 1.0}
    fusion = Convex(weights)
    weights["dense"] = 50.0
    assert fusion == Convex({"dense": 1.0})


def test_weights_of_one_are_qdrants_own_rrf():
    assert Rrf(weights={"dense": 1, "sparse": 1.0}).query() is not None
    assert Rrf(weights={"dense": 2}).query() is None


def test_convex_takes_each_list_for_cut_off_at_its_own_depth():
    lists = {"dense": [("a", 0.9), ("b", 0.8)], "sparse": [("b", 4.0), ("c", 2.0)]}
    by_source = Convex().fuse(lists, {"dense": 9, "sparse": 2})
    assert by_source == Convex().fuse(lists, 2)
    assert by_source != Convex().fuse(lists)

"""CombSUM, CombMNZ and the interpolation of two rankings; and what every fusion has to keep."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hydrant import CombMnz, CombSum, Convex, Dbsf, Rrf
from hydrant.errors import ConfigurationError
from hydrant.retrieve.fusion import interpolate

NAMES = ["dense", "sparse", "third"]
SCORES = st.floats(-100, 100, allow_nan=False).map(lambda score: round(score, 3))
RANKING = st.dictionaries(st.integers(0, 12), SCORES, max_size=8).map(
    lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
)
RANKINGS = st.dictionaries(st.sampled_from(NAMES), RANKING, min_size=1)
WEIGHTS = st.none() | st.dictionaries(st.sampled_from(NAMES), st.floats(0, 5))
COMBS = st.builds(CombSum, WEIGHTS) | st.builds(CombMnz, WEIGHTS)
FUSIONS = COMBS | st.sampled_from([Rrf(), Rrf(weights={"dense": 2}), Dbsf(), Convex(), Convex({"dense": 3})])


def scaled(ranking):
    """The textbook's min-max."""
    scores = [score for _, score in ranking]
    span = max(scores, default=0) - min(scores, default=0)
    return {each: (score - min(scores)) / span if span else 1.0 for each, score in ranking}


def weight(fusion, name):
    return 1.0 if fusion.weights is None else fusion.weights.get(name, 1.0)


@given(RANKINGS, COMBS)
def test_combinations_are_the_textbooks(rankings, fusion):
    ids = {each for ranking in rankings.values() for each, _ in ranking}
    expected = {}
    for each in ids:
        held = [name for name, ranking in rankings.items() if each in dict(ranking)]
        expected[each] = sum(weight(fusion, name) * scaled(rankings[name])[each] for name in held)
        if isinstance(fusion, CombMnz):
            expected[each] *= sum(weight(fusion, name) > 0 for name in held)
    assert dict(fusion.fuse(rankings)) == pytest.approx(expected, abs=1e-9)


def test_combinations_by_hand():
    rankings = {"dense": [("a", 0.9), ("b", 0.5), ("c", 0.1)], "sparse": [("b", 8.0), ("c", 6.0), ("d", 4.0)]}
    assert CombSum().fuse(rankings) == [("b", 1.5), ("a", 1.0), ("c", 0.5), ("d", 0.0)]
    assert CombMnz().fuse(rankings) == [("b", 3.0), ("a", 1.0), ("c", 1.0), ("d", 0.0)]
    assert CombSum({"sparse": 3}).fuse(rankings)[0] == ("b", 3.5)


def test_only_hit_of_a_list_is_its_best():
    assert CombSum().fuse({"dense": [("a", -2.0)], "sparse": []}) == [("a", 1.0)]
    assert CombMnz().fuse({"dense": [("a", 3.0), ("b", 3.0)], "sparse": [("a", 1.0)]}) == [
        ("a", 4.0),
        ("b", 1.0),
    ]


def test_source_of_weight_zero_is_as_if_it_agreed_with_nobody():
    rankings = {"dense": [("a", 2.0), ("b", 1.0)], "sparse": [("b", 2.0), ("c", 1.0)]}
    assert CombMnz({"sparse": 0}).fuse(rankings) == [("a", 1.0), ("b", 0.0), ("c", 0.0)]


# ---- every fusion ------------------------------------------------------------------------------------------------


@given(RANKINGS, FUSIONS)
def test_every_passage_comes_once_best_first_and_the_same_every_time(rankings, fusion):
    fused = fusion.fuse(rankings)
    ids = [each for each, _ in fused]
    assert sorted(ids) == sorted({each for ranking in rankings.values() for each, _ in ranking})
    assert all(one >= other for (_, one), (_, other) in itertools.pairwise(fused))
    assert all(math.isfinite(score) for _, score in fused)
    assert fusion.fuse(rankings) == fused


@given(RANKINGS, st.randoms(use_true_random=False), FUSIONS)
def test_order_of_the_sources_does_not_matter(rankings, rng, fusion):
    names = list(rankings)
    rng.shuffle(names)
    shuffled = fusion.fuse({name: rankings[name] for name in names})
    assert dict(shuffled) == pytest.approx(dict(fusion.fuse(rankings)), abs=1e-9)


@given(RANKINGS, FUSIONS)
def test_passage_that_is_ahead_in_every_list_is_ahead_in_the_fused_one(rankings, fusion):
    fused = dict(fusion.fuse(rankings))
    lists = [dict(ranking) for ranking in rankings.values() if ranking]
    # Ranks tell equal scores apart, formulas on scores do not.
    for one, other in itertools.permutations(fused, 2):
        if all(one in scores and (other not in scores or scores[one] > scores[other]) for scores in lists):
            # Dbsf gives what is below the mean by three deviations less than what is missing: 0.
            assume(not (isinstance(fusion, Dbsf) and any(other not in scores for scores in lists)))
            assert fused[one] >= fused[other] - 1e-9


@given(RANKINGS, COMBS, st.floats(0.1, 50), st.floats(-50, 50))
def test_scale_of_a_source_does_not_matter(rankings, fusion, factor, shift):
    assume(all(len(ranking) < 2 or ranking[0][1] - ranking[-1][1] > 0.01 for ranking in rankings.values()))
    moved = {
        name: [(each, score * factor + shift) for each, score in ranking]
        for name, ranking in rankings.items()
    }
    assert dict(fusion.fuse(moved)) == pytest.approx(dict(fusion.fuse(rankings)), abs=1e-4)


def test_what_goes_in_is_not_changed():
    rankings = {"dense": [("a", 1.0), ("b", 0.5)], "sparse": [("b", 3.0)]}
    before = repr(rankings)
    for fusion in (CombSum(), CombMnz({"dense": 2})):
        fusion.fuse(rankings)
    interpolate(rankings["dense"], rankings["sparse"])
    assert repr(rankings) == before


# ---- interpolation -----------------------------------------------------------------------------------------------


def test_interpolation_by_hand():
    before, after = [("a", 10.0), ("b", 5.0), ("c", 0.0)], [("c", 0.8), ("d", 0.6)]
    assert interpolate(before, after, 0.25) == [("c", 0.75), ("a", 0.25), ("b", 0.125), ("d", 0.0)]


@given(RANKING, RANKING, st.floats(0, 1))
def test_interpolation_goes_from_one_ranking_to_the_other(a, b, alpha):
    one, other = scaled(a), scaled(b)
    mixed = {each: alpha * one.get(each, 0) + (1 - alpha) * other.get(each, 0) for each in {*one, *other}}
    assert dict(interpolate(a, b, alpha)) == pytest.approx(mixed, abs=1e-9)
    assert dict(interpolate(b, a, 1 - alpha)) == pytest.approx(mixed, abs=1e-9)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_share_that_is_no_number_from_zero_to_one_is_refused(alpha):
    with pytest.raises(ConfigurationError, match="alpha must be a number from 0 to 1, got"):
        interpolate([], [], alpha)


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", [CombSum, CombMnz])
def test_weights_are_checked_as_everywhere(fusion):
    with pytest.raises(ConfigurationError, match="'dense' must be a number of at least 0, got -1"):
        fusion({"dense": -1})
    with pytest.raises(ConfigurationError, match=r"must be a mapping such as .*, got \[1, 2\]"):
        fusion([1, 2])
    with pytest.raises(ConfigurationError, match="above 0"):
        fusion({"dense": 0, "sparse": 0}).check(("dense", "sparse"))
    with pytest.raises(
        ConfigurationError, match=r"name \['title'\], but the sources are \['dense', 'sparse'\]"
    ):
        fusion({"title": 1}).check(("dense", "sparse"))
    assert fusion({"dense": 1}) == fusion({"dense": 1.0}) != fusion()
    assert hash(fusion({"dense": 1})) == hash(fusion({"dense": 1}))
    assert fusion().query() is None

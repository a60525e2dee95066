"""Which hits a reranker sees, what it leaves of them, and how pages of its answer fit together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Hit, Passage, Ranking, Reranker, Stage, StageScore, Top, Usage
from hydrant.errors import ConfigurationError, RankingError
from hydrant.rerank.base import by_position
from hydrant.testing import FunctionStage


class Found(Stage):
    """Stands in for a retriever: as many hits as it is asked for, best first."""

    name = "found"
    required = True

    def __init__(self, there=1000, limit=10):
        self.there = there
        self.limit = limit
        self.asked = []

    def flow(self, state):
        yield from ()
        query = state.query
        self.asked.append((query.limit, query.offset, query.candidates))
        limit = max(self.limit, query.candidates) if query.limit is None else query.limit
        numbers = range(self.there)[query.offset : query.offset + limit]
        return state.with_hits(
            Hit(Passage(f"text {n}", id=n), 1.0 - n / 1000, {"dense": StageScore(1.0 - n / 1000, n + 1)}, n)
            for n in numbers
        )


class Backwards(Reranker):
    """Likes the last candidate best."""

    name = "backwards"

    def rank(self, query, hits):
        yield from ()
        return Ranking([float(position) for position in range(len(hits))], Usage(calls=1))


class Saying(Reranker):
    def __init__(self, scores, **settings):
        super().__init__(**settings)
        self.scores = scores

    def rank(self, query, hits):
        yield from ()
        return Ranking(self.scores, degraded=("one answer was cut",))


def ids(result):
    return [hit.id for hit in result.hits]


def test_every_hit_goes_out_and_keeps_its_earlier_scores():
    result = (Found(limit=3) >> Backwards()).run("q")
    assert ids(result) == [2, 1, 0]
    assert [hit.score for hit in result.hits] == [2.0, 1.0, 0.0]
    assert result.hits[0].stages == {"dense": StageScore(0.998, 3), "backwards": StageScore(2.0, 1)}
    assert result.usage == {"backwards": Usage(calls=1)}


def test_hits_behind_the_candidates_follow_in_their_order_with_falling_scores():
    result = (Found(limit=5) >> Backwards(candidates=2)).run("q")
    assert ids(result) == [1, 0, 2, 3, 4]
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert "backwards" not in result.hits[2].stages


def test_the_stage_before_is_asked_for_the_candidates_and_not_for_the_page():
    found = Found()
    result = (found >> Backwards(candidates=6, top_n=2)).run("q")
    assert (found.asked, ids(result)) == ([(6, 0, 0)], [5, 4])
    result = (found >> Backwards(candidates=6)).run("q", limit=2, offset=2)
    assert (found.asked[-1], ids(result)) == ((6, 0, 0), [3, 2])


def test_a_cut_off_reaches_the_first_stage_of_a_cascade():
    found = Found(limit=50)
    cascade = (
        found
        >> Backwards(top_n=20, candidates=100)
        >> Backwards(top_n=5, candidates=20, name="second")
        >> Top(3)
    )
    result = cascade.run("q")
    assert found.asked == [(100, 0, 0)]
    assert len(result.hits) == 3
    assert [set(hit.stages) for hit in result.hits] == [{"dense", "backwards", "second"}] * 3


def test_a_stage_that_lets_more_through_does_not_loosen_the_one_before():
    search = Found(limit=50) >> Backwards(top_n=5) >> Backwards(top_n=40, name="second")
    result = search.run("q")
    assert len(result.hits) == 5
    assert len(search.run("q", limit=30).hits) == 5


def test_a_query_that_wants_more_than_the_reranker_lets_through_gets_it():
    found = Found(limit=5)
    result = (found >> Backwards(top_n=2)).run("q", limit=8)
    assert len(result.hits) == 8
    assert result.query.limit == 8


def test_two_rerankers_of_one_name_keep_both_scores():
    result = (Found(limit=3) >> Backwards() >> Backwards()).run("q")
    assert set(result.hits[0].stages) == {"dense", "backwards", "backwards 2"}
    assert ids(result) == [0, 1, 2]


def test_a_threshold_cuts_by_the_rerankers_own_score():
    assert ids((Found(limit=4) >> Backwards(threshold=2)).run("q")) == [3, 2]
    assert ids((Found(limit=4) >> Backwards(threshold=0, candidates=2)).run("q")) == [1, 0]


def test_ties_keep_their_order():
    result = (Found(limit=4) >> Saying([1.0, 2.0, 1.0, 2.0])).run("q")
    assert ids(result) == [1, 3, 0, 2]
    assert [str(each) for each in result.degraded] == ["rerank: one answer was cut"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, float("nan"), 2.0], "candidate 2 of 3 is nan"),
        ([1.0], "one score for each of the 3 candidates, it gave 1"),
    ],
)
def test_unusable_scores_leave_the_order_cut_to_size_and_say_so(scores, message):
    result = (Found(limit=3) >> Saying(scores, top_n=2)).run("q")
    assert ids(result) == [0, 1]
    assert message in str(result.degraded[0])
    with pytest.raises(RankingError, match="must give"):
        (Found(limit=3) >> Saying(scores, on_error="raise")).run("q")


def test_nothing_found_asks_nothing():
    assert (Found(there=0) >> Saying(None)).run("q").hits == ()


@given(
    limit=st.integers(1, 7),
    candidates=st.none() | st.integers(1, 30),
    top_n=st.none() | st.integers(1, 30),
    there=st.integers(0, 40),
)
def test_pages_are_pieces_of_one_ranking(limit, candidates, top_n, there):
    def pages(search):
        return [
            page
            for offset in range(0, 28, limit)
            for page in ids(search.run("q", limit=limit, offset=offset))
        ]

    # Without a number of candidates each page would be a ranking of as many hits as it needs.
    wanted = 28 if candidates is None else candidates
    search = Found(there) >> Backwards(candidates=wanted, top_n=top_n)
    found = pages(search)
    assert len(found) == len(set(found)) == min(there, -(-28 // limit) * limit)
    assert found[:28] == ids(search.run("q", limit=28))


@given(st.permutations(range(6)))
def test_scores_by_position_give_back_the_order(order):
    scores = by_position(order)
    assert sorted(range(6), key=lambda position: -scores[position]) == list(order)


def test_an_order_that_is_none_is_refused():
    with pytest.raises(RankingError, match=r"each of the positions 0 to 2 once, got \[0, 0, 2\]"):
        by_position([0, 0, 2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_n": 0}, "top_n must be a whole number of at least 1, or None; got 0"),
        ({"candidates": 2.5}, "candidates must be a whole number of at least 1, or None; got 2.5"),
        ({"threshold": float("nan")}, "threshold must be a finite number, or None; got nan"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"on_error": "ignore"}, "on_error must be 'continue' or 'raise', got 'ignore'"),
        ({"name": " "}, "name must be a text that is not blank"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Backwards(**settings)


def test_top_lets_the_best_through():
    found = Found(limit=50)
    assert ids((found >> Top(2)).run("q")) == [0, 1]
    assert found.asked == [(2, 0, 0)]
    assert ids((found >> FunctionStage(lambda state: state) >> Top(4)).run("q", limit=3, offset=1)) == [
        1,
        2,
        3,
    ]
    with pytest.raises(ConfigurationError, match=r"^n must be a whole number of at least 1, got 0$"):
        Top(0)

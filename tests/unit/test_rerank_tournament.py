"""Tournaments: the exact best few with a model that errs never, and no group asked twice."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Hit, Passage, TournamentReranker
from hydrant.errors import ConfigurationError, GenerationError
from hydrant.flow import run
from hydrant.generate.requests import Generation
from hydrant.rerank.selection import Plan, Tournament
from hydrant.testing import FunctionStage, OracleGenerator, ScriptedGenerator
from hydrant.types import Usage

QUERY = "which of them counts?"


def text(number):
    return f"Passage text number {number} about something."


def found(count):
    hits = tuple(Hit(Passage(text(n), id=n), 1 - n / 1000) for n in range(count))
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def oracle(grades, **settings):
    return OracleGenerator({QUERY: {text(number): grade for number, grade in grades.items()}}, **settings)


def ids(result):
    return [hit.id for hit in result.hits]


class Referee:
    """Puts groups in order by grades, as a flow, and remembers whom it saw together."""

    def __init__(self, grades):
        self.grades = grades
        self.rounds = []

    def ask(self, groups):
        yield from ()
        self.rounds.append([tuple(sorted(group)) for group in groups])
        return [tuple(sorted(group, key=lambda each: -self.grades[each])) for group in groups]

    @property
    def asked(self):
        return [group for groups in self.rounds for group in groups]


@st.composite
def plans(draw):
    group = draw(st.integers(2, 8))
    winners = draw(st.integers(1, group - 1))
    return Plan(group, winners, draw(st.sampled_from(["winners", "order"])))


@given(plans(), st.integers(1, 70), st.data())
def test_a_referee_that_errs_never_finds_exactly_the_best_and_sees_no_group_twice(plan, count, data):
    grades = data.draw(st.permutations(range(count)))
    places = data.draw(st.integers(1, count))
    referee = Referee(grades)
    best = run(Tournament(count, plan).best(places, referee.ask))
    assert best == sorted(range(count), key=lambda each: -grades[each])[:places]
    assert len(referee.asked) == len(set(referee.asked))
    assert all(2 <= len(group) <= plan.group for group in referee.asked)


@given(plans(), st.integers(1, 40), st.data())
def test_whatever_a_referee_says_the_places_are_different_ones(plan, count, data):
    draw = data.draw(st.randoms(use_true_random=False))

    def ask(groups):
        yield from ()
        return [None if draw.random() < 0.3 else tuple(draw.sample(group, len(group))) for group in groups]

    best = run(Tournament(count, plan).best(count, ask))
    assert sorted(best) == list(range(count))


def test_the_groups_of_a_level_are_asked_together_and_then_only_the_changed_path():
    grades = list(range(100))
    referee = Referee(grades)
    run(Tournament(100, Plan(5, 1)).best(10, referee.ask))
    assert [len(groups) for groups in referee.rounds[:3]] == [20, 4, 1]
    # Behind the first place every round is one group on the path of who has left.
    assert {len(groups) for groups in referee.rounds[3:]} == {1}
    assert len(referee.asked) <= 25 + 9 * 3
    trusting = Referee(grades)
    run(Tournament(100, Plan(5, 1, "order")).best(10, trusting.ask))
    assert len(trusting.asked) <= 25 + 9 * 2


def test_without_an_answer_a_group_keeps_its_order():
    def nobody(groups):
        yield from ()
        return [None] * len(groups)

    assert run(Tournament(30, Plan(5, 2)).best(12, nobody)) == list(range(12))


@pytest.mark.parametrize(("winners", "trust"), [(1, "winners"), (2, "winners"), (1, "order")])
def test_a_model_finds_the_best_few_and_the_others_keep_their_order(winners, trust):
    llm = oracle({37: 5, 4: 4, 22: 3, 36: 2, 11: 1})
    search = found(40) >> TournamentReranker(llm, winners=winners, trust=trust)
    result = search.run(QUERY, limit=5)
    assert ids(result) == [37, 4, 22, 36, 11]
    assert [hit.score for hit in result.hits] == [1 / rank for rank in range(1, 6)]
    assert result.usage["tournament"].calls == len(llm.requests)
    everything = ids(search.run(QUERY))
    assert everything[:5] == [37, 4, 22, 36, 11]
    assert sorted(everything) == list(range(40))
    rest = everything[10:]
    assert rest == sorted(rest)


def test_as_many_places_are_played_as_can_be_seen():
    def calls(**given_):
        llm = oracle({each: each for each in range(40)})
        search = found(40) >> TournamentReranker(llm, cache=None, top_n=given_.pop("top_n", None))
        return len(search.run(QUERY, **given_).usage and llm.requests)

    first = 8 + 2 + 1
    assert calls(limit=1) == calls(top_n=1) == first
    assert calls(limit=1) < calls(limit=3) == calls(limit=1, offset=2) < calls() == calls(limit=10)


def test_the_calls_of_a_level_go_out_side_by_side():
    together = threading.Barrier(8, timeout=10)

    class Waiting(ScriptedGenerator):
        def complete(self, request):
            if len(self.requests) < 8:
                self.requests.append(request)
                together.wait()
            return Generation(("[1]",), Usage(calls=1))

    result = (found(40) >> TournamentReranker(Waiting("[1]"), cache=None, at_once=8)).run(QUERY, limit=1)
    assert ids(result) == [0]
    assert result.degraded == ()


def test_a_budget_of_calls_ends_in_the_best_order_known():
    llm = oracle({each: each for each in range(40)})
    result = (found(40) >> TournamentReranker(llm, max_calls=8)).run(QUERY, limit=3)
    assert len(llm.requests) == 8
    # Only the first level was asked: of the first group, whose winner comes first, the order is known.
    assert ids(result) == [4, 3, 2]
    assert "max_calls=8" in str(result.degraded[0])


def test_a_group_whose_call_fails_keeps_its_order_and_is_reported():
    class Once(OracleGenerator):
        def complete(self, request):
            generation = super().complete(request)
            if text(39) in request.text and text(37) in request.text:
                raise GenerationError("overloaded")
            return generation

    llm = Once({QUERY: {text(39): 3, text(2): 2}})
    result = (found(40) >> TournamentReranker(llm, at_once=1)).run(QUERY, limit=3)
    assert ids(result)[0] == 2
    assert "answers could not be used: GenerationError: overloaded" in str(result.degraded[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group": 1}, "group must be a whole number of at least 2"),
        ({"winners": 0}, "winners must be a whole number of at least 1"),
        ({"group": 3, "winners": 3}, "winners must be below group=3"),
        ({"trust": "nobody"}, "trust must be one of"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        TournamentReranker(ScriptedGenerator("[1]"), **settings)

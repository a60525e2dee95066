"""Composition, degradation, deadlines' shares, and what a query may be."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Hit, Passage, Pipeline, Query, SearchState
from hydrant.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EmptyQuery,
    InputError,
    TenantRequired,
    UnknownVector,
)
from hydrant.flow import Effect
from hydrant.pipeline import Stage
from hydrant.testing import FailingStage, FunctionStage, HangingStage


def hit(text, score=1.0):
    return Hit(Passage(text), score)


class Finder(Stage):
    """A retriever that finds the words of the query, the last first."""

    name = "find"
    required = True

    def flow(self, state):
        words = yield _Words(state.query.text)
        return state.with_hits([hit(word) for word in words])


class _Words(Effect):
    name = "words"

    def __init__(self, text):
        self.text = text

    def call(self, timeout):
        time.sleep(0.001)
        return self.text.split()[::-1]


class Cut(Stage):
    """A reranker that fails, and cuts to its size all the same."""

    name = "cut"

    def __init__(self, size, error=None):
        self.size = size
        self.error = error

    def flow(self, state):
        yield _Words("x")
        if self.error is not None:
            raise self.error
        return state.with_hits(state.hits[: self.size])

    def without(self, state):
        return state.with_hits(state.hits[: self.size])


def mark(letter, *, required=False):
    def function(state):
        return state.with_query(replace(state.query, text=state.query.text + letter))

    return FunctionStage(function, letter, required=required)


def answers(search, *args, **kwargs):
    """Both drivers' results, which must be equal but for the trace."""
    sync = search.run(*args, **kwargs)
    asynchronous = asyncio.run(search.arun(*args, **kwargs))
    for result in (sync, asynchronous):
        assert result.trace
    assert replace(sync, trace=()) == replace(asynchronous, trace=())
    return sync


# ---- composition -------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_composition_is_associative(count, seed):
    stages = [mark(letter) for letter in "abcdef"[:count]]
    flat = Pipeline(tuple(stages))

    def bracketed(parts, seed):
        if len(parts) == 1:
            return parts[0]
        at = 1 + seed % (len(parts) - 1)
        return bracketed(parts[:at], seed // 3) >> bracketed(parts[at:], seed // 7)

    composed = bracketed(stages, seed)
    assert count == 1 or composed == flat
    assert composed.run("q").query.text == "q" + "abcdef"[:count]


def test_pipelines_with_the_same_stages_are_equal_and_hash_alike():
    first, second = mark("a"), mark("b")
    assert first >> second == first >> second
    assert hash(first >> second) == hash(first >> second)
    assert first >> second != second >> first
    assert Pipeline([first, second]) == first >> second


def test_composing_changes_neither_part():
    left, right = mark("a") >> mark("b"), mark("c") >> mark("d")
    before = left.stages, right.stages
    whole = left >> right
    assert (left.stages, right.stages) == before
    assert whole.stages == (*left.stages, *right.stages)


@pytest.mark.parametrize("other", [5, "stage", None, Finder])
def test_only_stages_compose(other):
    with pytest.raises(ConfigurationError, match="only stages"):
        Finder() >> other


def test_an_empty_pipeline_is_refused():
    with pytest.raises(ConfigurationError, match="at least one stage"):
        Pipeline(())


def test_something_else_among_a_pipelines_stages_is_refused():
    with pytest.raises(ConfigurationError, match="only stages"):
        Pipeline((Finder(), "cut"))


def test_one_stage_runs_as_a_pipeline_of_one():
    assert [each.text for each in answers(Finder(), "a b").hits] == ["b", "a"]


def test_warming_up_goes_forward_and_closing_backward():
    order = []

    class Noisy(Finder):
        def __init__(self, name):
            self.name = name

        def warm_up(self):
            order.append(f"warm {self.name}")

        def close(self):
            order.append(f"close {self.name}")

    with Noisy("1") >> Noisy("2"):
        order.append("inside")
    assert order == ["warm 1", "warm 2", "inside", "close 2", "close 1"]


def test_a_stage_that_returns_without_a_yield_is_named_as_wrong():
    class Plain(Stage):
        name = "plain"

        def flow(self, state):
            return state

    with pytest.raises(ConfigurationError, match=r"'plain'.*yield"):
        Plain().run("q")


def test_a_stage_that_forgets_to_return_the_state_is_named_as_wrong():
    class Forgetful(Stage):
        name = "forgetful"

        def flow(self, state):
            yield _Words("x")

    with pytest.raises(ConfigurationError, match=r"'forgetful'.*SearchState.*None"):
        (Forgetful() >> Finder()).run("q")


# ---- degradation -------------------------------------------------------------------------------------------------


def test_an_optional_stage_that_fails_is_left_out_and_the_result_says_so():
    result = answers(FailingStage(RuntimeError("model gone"), "hyde") >> Finder(), "a b")
    assert [each.text for each in result.hits] == ["b", "a"]
    assert [(each.stage, each.reason) for each in result.degraded] == [("hyde", "RuntimeError: model gone")]


def test_a_failed_stages_changes_are_not_half_kept_and_its_cut_is_made():
    result = answers(Finder() >> Cut(2, RuntimeError("out of memory")), "a b c d")
    assert [each.text for each in result.hits] == ["d", "c"]
    assert [each.stage for each in result.degraded] == ["cut"]


def test_several_failures_are_all_on_record_in_order():
    search = FailingStage(OSError("1"), "one") >> Finder() >> FailingStage(KeyError("2"), "two")
    assert [each.stage for each in answers(search, "a").degraded] == ["one", "two"]


def test_a_required_stage_that_fails_is_the_callers_error():
    search = FailingStage(OSError("gone"), "retrieve", required=True) >> Finder()
    with pytest.raises(OSError, match="gone"):
        search.run("a")
    with pytest.raises(OSError, match="gone"):
        asyncio.run(search.arun("a"))


def test_on_error_raise_makes_an_optional_stages_failure_the_callers():
    stage = FailingStage(OSError("gone"), "hyde")
    stage.on_error = "raise"
    with pytest.raises(OSError, match="gone"):
        (stage >> Finder()).run("a")


@pytest.mark.parametrize(
    "error", [InputError("x"), EmptyQuery("x"), TenantRequired("x"), ConfigurationError("x")]
)
def test_the_callers_own_mistakes_never_degrade(error):
    with pytest.raises(type(error)):
        (FailingStage(error) >> Finder()).run("a")


def test_what_the_collection_says_of_an_optional_stage_does_degrade():
    assert answers(FailingStage(UnknownVector("x")) >> Finder(), "a").degraded


def test_a_stages_timeout_is_kept_and_named():
    stage = HangingStage("hyde")
    stage.timeout = 0.05
    start = time.perf_counter()
    result = (stage >> Finder()).run("a b")
    assert time.perf_counter() - start < 1
    assert len(result.hits) == 2
    assert result.degraded[0].stage == "hyde"
    assert "0.05 s" in result.degraded[0].reason
    stage.close()


def test_the_state_that_comes_in_is_never_changed():
    seen = []
    state = SearchState(Query("a b"))

    class Watch(Finder):
        def flow(self, given):
            seen.append(given)
            return (yield from super().flow(given))

    from hydrant.flow import run

    run((Watch() >> Cut(1)).flow(state))
    assert state == SearchState(Query("a b"))
    assert seen[0] is state


# ---- deadlines ---------------------------------------------------------------------------------------------------


class Slow(Finder):
    def __init__(self, seconds):
        self.seconds = seconds

    def flow(self, state):
        yield _Sleep(self.seconds)
        return (yield from super().flow(state))


class _Sleep(Effect):
    name = "sleep"

    def __init__(self, seconds):
        self.seconds = seconds

    def call(self, timeout):
        time.sleep(self.seconds)


@pytest.mark.parametrize("hanging", [1, 2, 3])
def test_expansions_that_hang_leave_the_retriever_its_time(hanging):
    stages = [HangingStage(f"hang {number}") for number in range(hanging)]
    search = Pipeline((*stages, Slow(0.1), Cut(1)))
    for call in (
        lambda: search.run("a b", deadline=1.0),
        lambda: asyncio.run(search.arun("a b", deadline=1.0)),
    ):
        start = time.perf_counter()
        result = call()
        assert time.perf_counter() - start < 1.0
        assert [each.text for each in result.hits] == ["b"]
        assert [each.stage for each in result.degraded] == [f"hang {number}" for number in range(hanging)]
    search.close()


def test_the_last_stage_may_use_all_that_is_left():
    search = Finder() >> Slow(0.4)
    result = search.run("a b", deadline=0.6)
    assert result.degraded == ()


def test_a_reranker_that_hangs_leaves_the_answer_on_time():
    reranker = HangingStage("rerank")
    start = time.perf_counter()
    result = (Finder() >> reranker).run("a b", deadline=0.2)
    assert 0.15 < time.perf_counter() - start < 0.6
    assert [each.text for each in result.hits] == ["b", "a"]
    assert "did not answer within" in result.degraded[0].reason
    reranker.close()


def test_a_retriever_that_hangs_is_a_deadline_exceeded():
    stage = HangingStage("retrieve", required=True)
    with pytest.raises(DeadlineExceeded):
        (stage >> Cut(1)).run("a", deadline=0.1)
    stage.close()


def test_many_optional_stages_that_hang_still_leave_time():
    stages = [HangingStage(f"hang {number}") for number in range(12)]
    search = Pipeline((*stages, Finder()))
    result = search.run("a b", deadline=1.0)
    assert len(result.hits) == 2
    search.close()


@pytest.mark.parametrize("at_once", [1, 2])
def test_in_a_batch_every_search_leaves_the_retriever_its_time(at_once):
    hang = HangingStage("hyde")
    quick = FunctionStage(lambda state: state, "quick")
    search = hang >> quick >> Finder()
    start = time.perf_counter()
    results = search.run_many(["a b", "c d"], deadline=1.0, at_once=at_once)
    assert time.perf_counter() - start < 1.0
    assert [[each.text for each in result.hits] for result in results] == [["b", "a"], ["d", "c"]]
    hang.close()


# ---- what a query may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t ", " \u3000"])
def test_a_blank_query_is_refused_with_its_text(text):
    with pytest.raises(EmptyQuery) as caught:
        Finder().run(text)
    assert repr(text) in str(caught.value)
    with pytest.raises(EmptyQuery):
        asyncio.run(Finder().arun(text))
    with pytest.raises(EmptyQuery):
        Finder().run_many(["fine", text])
    with pytest.raises(EmptyQuery):
        Finder().run(Query(text))


@pytest.mark.parametrize("query", [None, 5, b"bytes", ["a"], {"text": "a"}, Passage("a")])
def test_a_query_that_is_no_text_is_refused_with_its_type(query):
    with pytest.raises(InputError, match=type(query).__name__):
        Finder().run(query)


@pytest.mark.parametrize("text", [None, 5, b"x"])
def test_a_ready_query_without_text_is_refused(text):
    with pytest.raises(InputError, match=type(text).__name__):
        Finder().run(Query(text))


@pytest.mark.parametrize("limit", [0, -1, True, False, "5", 2.0, 2.5])
def test_a_limit_that_is_no_number_of_hits_is_refused_with_its_value(limit):
    for call in (lambda: Finder().run("a", limit=limit), lambda: Finder().run(Query("a", limit=limit))):
        with pytest.raises(InputError) as caught:
            call()
        assert "limit" in str(caught.value)
        assert repr(limit) in str(caught.value)


@pytest.mark.parametrize("offset", [-1, True, "5", 2.0, None])
def test_an_offset_that_is_no_number_of_hits_is_refused_with_its_value(offset):
    for call in (lambda: Finder().run("a", offset=offset), lambda: Finder().run(Query("a", offset=offset))):
        with pytest.raises(InputError) as caught:
            call()
        assert "offset" in str(caught.value)
        assert repr(offset) in str(caught.value)


@pytest.mark.parametrize("method", ["run", "arun", "run_many", "arun_many"])
def test_an_unknown_keyword_is_a_type_error_that_names_it(method):
    with pytest.raises(TypeError, match="top_k"):
        getattr(Finder(), method)("a", top_k=3)


@pytest.mark.parametrize("given", [{"filter": {"a": 1}}, {"tenant": "x"}, {"limit": 3}, {"offset": 2}])
def test_a_ready_query_and_arguments_beside_it_are_refused(given):
    with pytest.raises(ConfigurationError, match="ready Query"):
        Finder().run(Query("a"), **given)


def test_the_arguments_reach_the_stages():
    result = answers(Finder(), "a", filter={"x": 1}, tenant="t", limit=3, offset=2)
    assert result.query == Query("a", {"x": 1}, "t", 3, 2)


# ---- many queries ------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab ", min_size=1).filter(str.strip), max_size=8), st.integers(1, 4))
def test_many_queries_are_answered_in_their_order(queries, at_once):
    search = Finder() >> Cut(2)
    expected = [[each.text for each in search.run(query).hits] for query in queries]
    for results in (
        search.run_many(queries, at_once=at_once),
        asyncio.run(search.arun_many(queries, at_once=at_once)),
    ):
        assert [[each.text for each in result.hits] for result in results] == expected
        assert all(result.trace for result in results)


def test_every_one_of_many_results_has_a_trace_of_its_own():
    first, second = Finder().run_many(["a", "b"])
    for result in (first, second):
        assert [span.name for span in result.trace] == ["search", "find", "words"]
        assert [span.depth for span in result.trace] == [0, 1, 2]


def test_one_failing_query_of_many_is_the_callers_error():
    class Picky(Finder):
        def flow(self, state):
            if "bad" in state.query.text:
                raise OSError(state.query.text)
            return (yield from super().flow(state))

    with pytest.raises(OSError, match="bad"):
        Picky().run_many(["a", "bad", "c"])
    with pytest.raises(OSError, match="bad"):
        asyncio.run(Picky().arun_many(["a", "bad", "c"]))


def test_one_text_in_the_place_of_many_is_refused():
    with pytest.raises(InputError, match="run_many"):
        Finder().run_many("a question")
    with pytest.raises(InputError, match="run_many"):
        asyncio.run(Finder().arun_many(Query("a question")))


@pytest.mark.parametrize("at_once", [0, -1, "4", 1.5, True])
def test_many_queries_refuse_a_number_at_once_that_cannot_work(at_once):
    with pytest.raises(ConfigurationError, match="at_once"):
        Finder().run_many(["a"], at_once=at_once)


def test_many_queries_may_come_from_a_generator_and_be_ready_queries():
    results = Finder().run_many(Query(text, limit=number) for number, text in enumerate(["a", "b c"], 1))
    assert [result.query.limit for result in results] == [1, 2]

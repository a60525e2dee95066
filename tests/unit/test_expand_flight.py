"""The same question asked by several at once: the model is asked once, and nobody suffers for another's failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hydrant import Generation, Hyde, Pipeline, TextGenerator
from hydrant.errors import GenerationError
from hydrant.flow import arun, run
from hydrant.testing import FunctionStage
from hydrant.types import Query, SearchState

QUERY = "does vitamin D help bones?"
MANY = 8


class Gated(TextGenerator):
    """A model that answers when it is told to, and fails the first time where that is wished for."""

    identity = "gated"

    def __init__(self, *, fails: int = 0):
        self.go = threading.Event()
        self.asked = threading.Semaphore(0)
        self.calls = 0
        self.fails = fails

    def complete(self, request):
        self.calls += 1
        call = self.calls
        self.asked.release()
        self.go.wait(10)
        if call <= self.fails:
            raise GenerationError("HTTP 500")
        return Generation((f"Answer {call} about bones.",))


def stage(llm, **settings):
    return Hyde(llm, hypotheses=1, on_error="raise", **settings)


def expanded(state):
    return state.query.expansions[0]


async def waiting_for(llm, number):
    """Until the model was asked so often, and everybody else had the time to ask too."""
    for _ in range(number):
        await asyncio.to_thread(llm.asked.acquire)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("cache", ["memory", "disk"])
async def test_async_searches_for_the_same_question_share_one_generation(tmp_path, cache):
    llm = Gated()
    hyde = stage(llm, cache=tmp_path / "c.db") if cache == "disk" else stage(llm)
    tasks = [asyncio.create_task(arun(hyde.flow(SearchState(Query(QUERY))))) for _ in range(MANY)]
    await waiting_for(llm, 1)
    llm.go.set()
    found = [expanded(state) for state in await asyncio.gather(*tasks)]
    hyde.close()
    assert llm.calls == 1
    assert {each.texts for each in found} == {("Answer 1 about bones.",)}
    assert sorted(each.cached for each in found) == [False, *[True] * (MANY - 1)]


def test_searches_in_threads_share_one_generation():
    llm = Gated()
    hyde = stage(llm)
    threading.Timer(0.1, llm.go.set).start()
    search = Pipeline((hyde, FunctionStage(lambda state: state)))
    results = search.run_many([QUERY] * MANY, at_once=MANY)
    assert llm.calls == 1
    assert {result.hypotheses for result in results} == {("Answer 1 about bones.",)}


def test_other_questions_do_not_wait():
    llm = Gated()
    hyde = stage(llm)
    threading.Timer(0.1, llm.go.set).start()
    search = Pipeline((hyde, FunctionStage(lambda state: state)))
    search.run_many([QUERY, "another one"], at_once=2)
    assert llm.calls == 2


async def test_where_the_first_fails_the_others_ask_for_themselves():
    llm = Gated(fails=1)
    hyde = stage(llm)
    tasks = [asyncio.create_task(arun(hyde.flow(SearchState(Query(QUERY))))) for _ in range(3)]
    await waiting_for(llm, 1)
    assert llm.calls == 1
    llm.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, GenerationError) for each in found) == 1
    assert sum(isinstance(each, SearchState) for each in found) == 2


async def test_where_the_first_is_cancelled_the_others_ask_for_themselves_and_no_task_is_left():
    llm = Gated()
    hyde = stage(llm)
    before = asyncio.all_tasks()
    first = asyncio.create_task(arun(hyde.flow(SearchState(Query(QUERY)))))
    await waiting_for(llm, 1)
    second = asyncio.create_task(arun(hyde.flow(SearchState(Query(QUERY)))))
    await asyncio.sleep(0.05)
    assert llm.calls == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await waiting_for(llm, 1)
    assert llm.calls == 2
    llm.go.set()
    assert expanded(await second).texts == ("Answer 2 about bones.",)
    assert asyncio.all_tasks() == before


async def test_who_waits_for_the_same_question_keeps_its_own_time():
    llm = Gated()
    hyde = stage(llm)
    first = asyncio.create_task(arun(hyde.flow(SearchState(Query(QUERY)))))
    await waiting_for(llm, 1)
    search = Pipeline((Hyde(llm, hypotheses=1, cache=hyde.cache), FunctionStage(lambda state: state)))
    result = await search.arun(QUERY, deadline=0.2)
    assert "wait for the same question did not answer" in result.degraded[0].reason
    llm.go.set()
    await first


def test_a_question_that_was_given_up_in_time_is_asked_again():
    llm = Gated()
    hyde = stage(llm)
    with pytest.raises(Exception, match="did not answer"):
        run(hyde.flow(SearchState(Query(QUERY))), deadline=0.1)
    llm.go.set()
    assert expanded(run(hyde.flow(SearchState(Query(QUERY))), deadline=10)).texts == (
        "Answer 2 about bones.",
    )

"""Requests to language models, answers without reasoning, and samples side by side."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import CallableGenerator, Generation, GenerationRequest, Message, TextGenerator, Usage
from hydrant.errors import ConfigurationError, DeadlineExceeded, GenerationError
from hydrant.flow import arun, run
from hydrant.generate.base import Generate
from hydrant.generate.function import as_generator
from hydrant.generate.reasoning import cut_at_stops, without_reasoning
from hydrant.generate.sampling import agather, gather
from hydrant.testing import EmptyGenerator, FailingGenerator, ScriptedGenerator, SlowGenerator


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "  "),
        ("prompt", ()),
        ("prompt", ("text",)),
        ("samples", 0),
        ("samples", True),
        ("enough", 5),
        ("enough", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("max_tokens", 0),
        ("seed", "seven"),
        ("seed", True),
        ("stop", "\n"),
        ("stop", ("",)),
        ("timeout", 0),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name_and_value(field, value):
    given_fields = {"prompt": "Say something.", "samples": 4, field: value}
    with pytest.raises(ConfigurationError, match=f"{field}.*{re.escape(repr(value))}"):
        GenerationRequest(**given_fields)


def test_a_request_within_less_time_keeps_a_tenth_of_it_for_the_way_back():
    request = GenerationRequest("Say something.", timeout=5)
    assert request.within(None) is request
    assert request.within(100) is request
    assert request.within(2).timeout == pytest.approx(1.8)


def test_single_samples_of_a_seeded_request_have_different_seeds():
    request = GenerationRequest("Say something.", samples=3, enough=2, seed=7)
    assert [request.single(number).seed for number in range(3)] == [7, 8, 9]
    assert request.single(1).samples == request.single(1).needed == 1


def test_a_conversation_is_one_text_for_models_that_know_none():
    request = GenerationRequest((Message("system", "Be brief."), Message("user", "Why?")))
    assert request.text == "Be brief.\n\nWhy?"
    assert GenerationRequest("Why?").messages == (Message("user", "Why?"),)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("An answer.", "An answer."),
        ("<think>Hm.</think>An answer.", "An answer."),
        ("<think>\nHm.\n</think>\n\nAn answer.", "An answer."),
        ("<THINK>Hm.</Think> An answer.", "An answer."),
        ("<reasoning>a</reasoning>x<thinking>b</thinking>y", "xy"),
        ("Hm, they ask for it.</think>An answer.", "An answer."),
        ("An answer.<think>Was it right? I", "An answer."),
        ("<think>I never came to an", ""),
        ("<think></think>", ""),
        ("a < b and b > c", "a < b and b > c"),
        ("<thinker>kept</thinker>", "<thinker>kept</thinker>"),
        ('<think type="deep">Hm.</think>An answer.', "An answer."),
    ],
)
def test_reasoning_is_taken_out(said, answer):
    assert without_reasoning(said) == answer


@given(st.text(), st.text(alphabet="abc <>/think"))
def test_whatever_is_thought_no_tag_of_it_is_left(before, thought):
    left = without_reasoning(f"{before}<think>{thought}</think>")
    assert "<think>" not in left
    assert "</think>" not in left


def test_a_text_is_cut_at_the_first_of_the_stops():
    assert cut_at_stops("one###two\n\nthree", ("\n\n", "###")) == "one"
    assert cut_at_stops("one", ("###",)) == "one"


def test_every_generator_has_reasoning_and_what_follows_a_stop_removed():
    llm = ScriptedGenerator("<think>Hm.</think>One.###Two.")
    assert llm.generate(GenerationRequest("Say something.", stop=("###",))).texts == ("One.",)
    assert asyncio.run(llm.agenerate("Say something.")).texts == ("One.###Two.",)


def test_a_generator_that_returns_something_else_is_told_so():
    class Wrong(TextGenerator):
        def complete(self, request):
            return "text"

    with pytest.raises(GenerationError, match="must return a Generation, got 'text'"):
        Wrong().generate("Say something.")


@pytest.mark.parametrize("texts", ["text", (None, "text"), (7,)])
def test_samples_that_are_no_texts_are_refused(texts):
    class Wrong(TextGenerator):
        def complete(self, request):
            return Generation(texts)

    with pytest.raises(GenerationError, match="texts of a Generation must be a tuple of str, got"):
        Wrong().generate("Say something.")


def test_no_more_samples_are_taken_than_were_asked_for():
    class Generous(TextGenerator):
        def complete(self, request):
            return Generation(("one", "two", "three"))

    assert Generous().generate(GenerationRequest("Say something.", samples=2)).texts == ("one", "two")


# ---- samples side by side --------------------------------------------------------------------------------------------


def both(calls_sync, calls_async, enough, seconds, at_once=None):
    """The outcome of both drivers."""
    yield gather(calls_sync, enough, seconds, at_once)
    yield asyncio.run(agather(calls_async, enough, seconds, at_once))


def sample(text, seconds=0.0, error=None):
    def call():
        time.sleep(seconds)
        if error is not None:
            raise error
        return Generation((text,), Usage(1, 2, 1))

    async def acall():
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return Generation((text,), Usage(1, 2, 1))

    return call, acall


def test_samples_come_back_in_the_order_in_which_they_were_asked_for():
    calls = [sample("slow", 0.05), sample("fast")]
    for generation in both(*zip(*calls, strict=True), 2, None):
        assert generation == Generation(("slow", "fast"), Usage(2, 4, 2))


def test_enough_samples_suffice_and_the_straggler_is_given_up():
    calls = [sample("a", 0.02), sample("b", 0.02), sample("late", 3)]
    began = time.perf_counter()
    for generation in both(*zip(*calls, strict=True), 2, None):
        assert generation.texts == ("a", "b")
        assert generation.failures == ("1 of 3 samples were not there in time",)
    assert time.perf_counter() - began < 1.5


def test_a_sample_that_is_only_a_little_later_still_counts():
    calls = [sample("a", 0.4), sample("b", 0.41)]
    for generation in both(*zip(*calls, strict=True), 1, None):
        assert generation.texts == ("a", "b")


def test_what_has_come_at_the_time_limit_is_returned():
    calls = [sample("a"), sample("late", 3)]
    for generation in both(*zip(*calls, strict=True), 2, 0.2):
        assert generation.texts == ("a",)


def test_blank_samples_do_not_count_as_enough():
    calls = [sample(" "), sample("text", 0.1)]
    for generation in both(*zip(*calls, strict=True), 1, None):
        assert generation.texts == (" ", "text")


def test_a_sample_that_only_thinks_does_not_count_as_enough():
    calls = [sample("<think>Hm. Let me"), sample("text", 0.1)]
    for generation in both(*zip(*calls, strict=True), 1, None):
        assert generation.texts == ("<think>Hm. Let me", "text")


def test_a_failed_sample_costs_no_other():
    calls = [sample("a"), sample("", error=GenerationError("broken"))]
    for generation in both(*zip(*calls, strict=True), 2, None):
        assert generation.texts == ("a",)
        assert generation.failures == ("GenerationError: broken",)
        assert generation.usage.calls == 2


@pytest.mark.parametrize(("error", "seconds"), [(GenerationError("broken"), 0.0), (None, 3.0)])
def test_where_there_is_no_sample_at_all_the_reason_is_raised(error, seconds):
    calls = [sample("", seconds, error)] * 2
    expected = DeadlineExceeded if error is None else GenerationError
    with pytest.raises(expected):
        gather([call for call, _ in calls], 1, 0.1)
    with pytest.raises(expected):
        asyncio.run(agather([call for _, call in calls], 1, 0.1))


def test_no_more_calls_are_under_way_at_once_than_allowed():
    under_way, most, lock = 0, 0, threading.Lock()

    def function(prompt):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return "text"

    llm = CallableGenerator(function, at_once=2)
    assert len(llm.generate(GenerationRequest("Say something.", samples=6)).texts) == 6
    assert len(asyncio.run(llm.agenerate(GenerationRequest("Say something.", samples=6))).texts) == 6
    assert most == 2


async def test_cancelling_the_caller_cancels_every_sample_and_leaks_no_task():
    llm = SlowGenerator(30)
    before = asyncio.all_tasks()
    task = asyncio.create_task(llm.agenerate(GenerationRequest("Say something.", samples=4)))
    while llm.calls < 4:  # noqa: ASYNC110  the stand-in has a counter, no event
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm.cancelled == 4
    assert asyncio.all_tasks() == before


async def test_stragglers_are_cancelled_and_leave_no_task():
    llm = SlowGenerator([0.01, 0.01, 30, 30])
    before = asyncio.all_tasks()
    generation = await llm.agenerate(GenerationRequest("Say something.", samples=4, enough=2))
    assert len(generation.texts) == 2
    assert llm.cancelled == 2
    assert asyncio.all_tasks() == before


# ---- functions -------------------------------------------------------------------------------------------------------


async def _shout(prompt):
    await asyncio.sleep(0)
    return prompt.upper()


@pytest.mark.parametrize("function", [str.upper, _shout, partial(_shout)])
def test_a_function_or_a_coroutine_function_serves_sync_and_async(function):
    llm = CallableGenerator(function)
    request = GenerationRequest("why?", samples=2)
    assert llm.generate(request).texts == ("WHY?", "WHY?")
    assert asyncio.run(llm.agenerate(request)).texts == ("WHY?", "WHY?")


def test_a_coroutine_function_is_usable_from_a_thread_that_runs_a_loop():
    async def main():
        return CallableGenerator(_shout).generate("why?").texts

    assert asyncio.run(main()) == ("WHY?",)


def test_a_function_that_returns_no_text_is_told_so():
    with pytest.raises(GenerationError, match="must return a str, got 7 that is a int"):
        CallableGenerator(lambda _: 7).generate("why?")


def test_generators_of_the_same_function_are_equal():
    assert CallableGenerator(str.upper) == CallableGenerator(str.upper)
    assert CallableGenerator(str.upper) != CallableGenerator(str.upper, model="upper")
    assert hash(CallableGenerator(str.upper)) == hash(CallableGenerator(str.upper))
    assert CallableGenerator(str.upper, model="upper").identity == "upper"
    assert CallableGenerator(str.upper).identity is None


@pytest.mark.parametrize("llm", [None, "gpt-4o-mini", str])
def test_what_is_no_language_model_is_refused_with_what_would_be(llm):
    with pytest.raises(ConfigurationError, match=r"llm must be a text generator such as OpenAIGenerator"):
        as_generator(llm)


def test_the_effect_hands_what_is_left_of_the_deadline_to_the_generator():
    llm = ScriptedGenerator("text")

    def flow():
        return (yield Generate(llm, GenerationRequest("Say something.")))

    assert run(flow(), deadline=10).texts == ("text",)
    assert asyncio.run(arun(flow(), deadline=10)).texts == ("text",)
    assert [8 < request.timeout < 9 for request in llm.requests] == [True, True]


def test_samples_that_are_there_before_the_deadline_are_not_lost_to_those_that_hang():
    def flow(llm):
        return (yield Generate(llm, GenerationRequest("Say something.", samples=3)))

    for driver in (run, lambda *args, **kwargs: asyncio.run(arun(*args, **kwargs))):
        llm = SlowGenerator([0.0, 0.0, 30])
        assert len(driver(flow(llm), deadline=0.5).texts) == 2
        llm.close()


# ---- the stand-ins ---------------------------------------------------------------------------------------------------


def test_a_scripted_model_answers_by_prompt_and_in_turn():
    llm = ScriptedGenerator({"bones": ["one", "two"], "keys": "three"})
    assert llm.generate(GenerationRequest("About bones.", samples=3)).texts == ("one", "two", "one")
    assert llm.generate("About keys.").texts == ("three",)
    with pytest.raises(LookupError, match=r"\['bones', 'keys'\], got 'About cats.'"):
        llm.generate("About cats.")


def test_a_failing_model_fails_as_often_as_it_is_told_to():
    llm = FailingGenerator(GenerationError("broken"), every=2)
    generation = llm.generate(GenerationRequest("Say something.", samples=8))
    assert len(generation.texts) == len(generation.failures) == 4


def test_an_empty_model_says_nothing():
    assert EmptyGenerator().generate(GenerationRequest("Say something.", samples=4)).texts == ("", "", "", "")

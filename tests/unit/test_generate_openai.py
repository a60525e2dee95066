"""The OpenAI client against a real HTTP server: several samples, faults, time limits, cancellation."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import math
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

from hydrant import GenerationRequest, Message, OpenAIGenerator, Usage
from hydrant.errors import ConfigurationError, DeadlineExceeded, GenerationError

_SPEC = importlib.util.spec_from_file_location("openai_server", Path(__file__).with_name("openai_server.py"))
_SERVER = importlib.util.module_from_spec(_SPEC)
sys.modules["openai_server"] = _SERVER
_SPEC.loader.exec_module(_SERVER)
Fault = _SERVER.Fault

EIGHT = GenerationRequest("Why?", samples=8, temperature=0.7, max_tokens=64, stop=("\n\n\n",), seed=3)


@pytest.fixture
def server():
    with _SERVER.openai_server() as server:
        yield server


@pytest.fixture
def client(server):
    with OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


async def asked(server, request, **settings):
    """What the async client brings."""
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        return await OpenAIGenerator("small", client, **settings).agenerate(request)


def test_all_samples_come_in_one_request_with_every_setting_in_it(server, client):
    generation = OpenAIGenerator("small", client, options={"top_p": 0.9}).generate(EIGHT)
    assert len(set(generation.texts)) == 8
    assert generation.usage == Usage(20, 80, 1)
    assert server.requests == [
        {
            "model": "small",
            "messages": [{"role": "user", "content": "Why?"}],
            "n": 8,
            "temperature": 0.7,
            "max_tokens": 64,
            "stop": ["\n\n\n"],
            "seed": 3,
            "top_p": 0.9,
        }
    ]


def test_conversations_and_the_newer_limit_field_go_out_as_they_are(server, client):
    llm = OpenAIGenerator("small", client, limit_field="max_completion_tokens")
    llm.generate(GenerationRequest((Message("system", "Be brief."), Message("user", "Why?")), max_tokens=9))
    (body,) = server.requests
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["max_completion_tokens"] == 9
    assert {"max_tokens", "n", "stop", "seed"}.isdisjoint(body)


@pytest.mark.parametrize(("way", "first"), [("ignored", [8, *[1] * 7]), ("refused", [8, *[1] * 8])])
@pytest.mark.parametrize("driver", ["sync", "async"])
async def test_a_server_without_n_is_found_out_once_and_asked_side_by_side(
    server, client, way, first, driver
):
    server.n = way
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as async_client:
        llm = OpenAIGenerator("small", client, async_client=async_client)
        for asked_for in (first, [1] * 8):
            server.requests.clear()
            generation = llm.generate(EIGHT) if driver == "sync" else await llm.agenerate(EIGHT)
            assert len(set(generation.texts)) == 8
            assert [body.get("n", 1) for body in server.requests] == asked_for
    assert sorted(body["seed"] for body in server.requests) == list(range(3, 11))


async def by_both(server, client):
    """The same generator's sync and async sides, each new."""
    yield lambda request: asyncio.to_thread(OpenAIGenerator("small", client).generate, request)
    yield lambda request: asked(server, request)


async def test_a_server_that_gives_fewer_samples_than_suffice_is_asked_for_the_others(server, client):
    server.most = 2
    async for fetch in by_both(server, client):
        server.requests.clear()
        generation = await fetch(replace(EIGHT, samples=4))
        assert (len(generation.texts), generation.failures) == (4, ())
        assert [body.get("n", 1) for body in server.requests] == [4, 1, 1]
        server.requests.clear()
        assert len((await fetch(replace(EIGHT, samples=4, enough=2))).texts) == 2
        assert len(server.requests) == 1


async def test_a_second_round_has_the_time_that_the_first_one_left_and_costs_no_sample(server, client):
    server.n = "ignored"
    async for fetch in by_both(server, client):
        server.seconds = 0.5
        began = time.perf_counter()
        generation = await fetch(replace(EIGHT, timeout=0.8))
        assert time.perf_counter() - began < 1.25
        assert len(generation.texts) == 1
        assert "did not answer" in generation.failures[0]
        server.seconds = 0.0
        server.order(Fault(body='{"choices": [{"message": {"content": "One."}}]}'), *[Fault(500)] * 7)
        generation = await fetch(EIGHT)
        assert generation.texts == ("One.",)
        assert "HTTP 500" in generation.failures[0]


def test_a_refusal_for_another_reason_is_not_taken_for_one_of_n(server, client):
    llm = OpenAIGenerator("small", client)
    server.order(*[Fault(400, '{"error": {"message": "no such field"}}')] * 9)
    with pytest.raises(GenerationError, match=r"HTTP 400: .*no such field"):
        llm.generate(EIGHT)
    server.requests.clear()
    assert len(llm.generate(EIGHT).texts) == 8
    assert len(server.requests) == 1


@pytest.mark.parametrize("n", ["supported", "ignored"])
def test_eight_samples_take_hardly_longer_than_one_where_the_server_batches(server, client, n):
    server.n, server.seconds = n, 0.4
    llm = OpenAIGenerator("small", client)
    llm.generate(EIGHT)
    began = time.perf_counter()
    llm.generate(GenerationRequest("Why?"))
    one = time.perf_counter() - began
    began = time.perf_counter()
    assert len(llm.generate(EIGHT).texts) == 8
    assert time.perf_counter() - began < 1.5 * one


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(429), "model 'small' at http://127.0.0.1:.*/v1 answered HTTP 429: .*ordered by the test"),
        (Fault(500), "HTTP 500"),
        (Fault(401), "HTTP 401"),
        (Fault(404), "HTTP 404"),
        (Fault(reset=True), "cannot be used: APIConnectionError"),
        (Fault(body="<html>gateway</html>", content_type="text/html"), "<html>gateway</html>"),
        (Fault(body="{ no json"), "small"),
        (Fault(body="[]"), "must answer with a chat completion"),
        (Fault(body="{}"), "must answer with a chat completion that has choices"),
        (Fault(body='{"choices": []}'), "must answer with a chat completion that has choices"),
        (Fault(body='{"choices": null}'), "must answer with a chat completion that has choices"),
    ],
)
async def test_every_failure_of_a_server_is_one_of_ours_that_says_what_it_was(server, client, fault, said):
    server.order(fault, fault)
    with pytest.raises(GenerationError, match=said):
        OpenAIGenerator("small", client).generate("Why?")
    with pytest.raises(GenerationError, match=said):
        await asked(server, "Why?")


def test_a_choice_without_text_is_a_sample_that_failed(server, client):
    body = '{"choices": [{"message": {"content": null}, "finish_reason": "length"}, {"message": {"content": "Because."}}]}'
    server.order(Fault(body=body))
    generation = OpenAIGenerator("small", client).generate(GenerationRequest("Why?", samples=2))
    assert generation.texts == ("Because.",)
    assert generation.failures == ("a sample without text (finish_reason 'length')",)
    assert generation.usage == Usage(0, 0, 1)


async def test_half_of_the_samples_failing_leaves_the_other_half(server, client):
    for fetch in (lambda llm: asyncio.to_thread(llm.generate, EIGHT), lambda llm: llm.agenerate(EIGHT)):
        server.n = "ignored"
        async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as async_client:
            llm = OpenAIGenerator("small", client, async_client=async_client)
            await fetch(llm)
            server.order(*[Fault(500)] * 4)
            generation = await fetch(llm)
        assert len(generation.texts) == len(generation.failures) == 4
        assert "HTTP 500" in generation.failures[0]


async def test_a_server_that_hangs_is_given_up_at_the_time_limit(server, client):
    server.order(Fault(hang=20), Fault(hang=20))
    for fetch in (
        lambda: asyncio.to_thread(
            OpenAIGenerator("small", client).generate, GenerationRequest("Why?", timeout=0.3)
        ),
        lambda: asked(server, GenerationRequest("Why?", timeout=0.3)),
    ):
        began = time.perf_counter()
        with pytest.raises(DeadlineExceeded, match=r"did not answer within the 0.3"):
            await fetch()
        assert time.perf_counter() - began < 2


async def test_cancelling_an_async_call_leaks_no_task(server):
    server.order(Fault(hang=20))
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as async_client:
        before = asyncio.all_tasks()
        task = asyncio.create_task(OpenAIGenerator("small", async_client).agenerate("Why?"))
        while not server.requests:  # noqa: ASYNC110  what happens on the server sets no event here
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before


async def test_enough_single_samples_suffice_against_a_server_with_one_slow_worker(server, client):
    server.n = "ignored"
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as async_client:
        llm = OpenAIGenerator("small", client, async_client=async_client)
        await llm.agenerate(GenerationRequest("Why?", samples=2))
        server.order(Fault(hang=20))
        began = time.perf_counter()
        generation = await llm.agenerate(GenerationRequest("Why?", samples=4, enough=3))
        assert len(generation.texts) == 3
        assert time.perf_counter() - began < 5


def test_the_client_tries_again_as_often_as_it_was_told_to(server):
    server.order(Fault(429, headers={"retry-after-ms": "10"}))
    with OpenAI(base_url=server.url, api_key="none", max_retries=1) as client:
        assert OpenAIGenerator("small", client).generate("Why?").texts
    assert len(server.requests) == 2


async def test_a_sync_client_serves_async_searches_from_a_thread(server, client):
    assert (await OpenAIGenerator("small", client).agenerate("Why?")).texts


def test_an_async_client_alone_cannot_serve_sync_searches(server):
    llm = OpenAIGenerator("small", AsyncOpenAI(base_url=server.url, api_key="none"))
    llm.warm_up()
    with pytest.raises(ConfigurationError, match=r"has an AsyncOpenAI only; await arun"):
        llm.generate("Why?")
    assert llm.identity.startswith("openai http://127.0.0.1:")


async def test_without_a_client_one_is_made_from_the_environment_and_closed(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with OpenAIGenerator("small") as llm:
        assert (await asyncio.to_thread(llm.generate, "Why?")).texts
        assert (await llm.agenerate("Why?")).texts
        assert await llm._clients.asynchronous() is await llm._clients.asynchronous()
        sync = llm._clients.sync()
    assert sync.is_closed()


def test_a_client_from_the_environment_leaves_no_connection_behind_in_loops_that_end(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    llm = OpenAIGenerator("small")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(3):
            assert len(asyncio.run(llm.agenerate(EIGHT)).texts) == 8
        llm.close()
        gc.collect()
    assert [str(each.message) for each in caught] == []


def test_a_missing_key_is_said_at_the_first_use_and_not_before(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    llm = OpenAIGenerator("small")
    with pytest.raises(ConfigurationError, match=r"set OPENAI_API_KEY, or give a ready client"):
        llm.generate("Why?")


@pytest.mark.parametrize(
    ("url", "address"),
    [(None, "https://api.openai.com/v1"), ("http://me:word@host:81/v1/", "http://host:81/v1")],
)
def test_the_identity_is_known_without_a_key_and_is_that_of_the_client(monkeypatch, url, address):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if url is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    before = OpenAIGenerator("small").identity
    assert before == f"openai {address} small []"
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with OpenAIGenerator("small") as llm:
        llm.warm_up()
        assert llm.identity == before


def test_a_given_client_stays_open(client):
    OpenAIGenerator("small", client).close()
    assert not client.is_closed()


def test_the_address_shows_no_password(server):
    url = server.url.replace("http://", "http://user:secret@")
    with OpenAI(base_url=url, api_key="none") as client:
        assert "secret" not in OpenAIGenerator("small", client).identity


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": " "}, "model must be the model's name"),
        ({"model": "small", "client": "http://127.0.0.1"}, "client must be an openai.OpenAI or AsyncOpenAI"),
        ({"model": "small", "async_client": 7}, "async_client an AsyncOpenAI; got 7"),
        ({"model": "small", "limit_field": "tokens"}, "limit_field must be"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        OpenAIGenerator(**arguments)


def test_a_sync_client_is_no_async_client(client):
    with pytest.raises(ConfigurationError, match="async_client an AsyncOpenAI"):
        OpenAIGenerator("small", async_client=client)


CHOICE = GenerationRequest("Is it?", choices=("yes", "no"))


def test_probabilities_are_those_of_the_first_tokens(server, client):
    llm = OpenAIGenerator("small", client)
    expected = {"yes": math.exp(-0.2) + math.exp(-3.0), "no": math.exp(-1.9)}
    expected = {word: weight / sum(expected.values()) for word, weight in expected.items()}
    assert llm.generate(CHOICE).probabilities == pytest.approx(expected)
    assert (server.requests[0]["logprobs"], server.requests[0]["top_logprobs"]) == (True, 20)
    assert asyncio.run(asked(server, CHOICE)).probabilities == pytest.approx(expected)
    llm.generate(GenerationRequest("Why?"))
    assert "logprobs" not in server.requests[-1]


def test_a_server_that_refuses_probabilities_answers_in_words_and_is_not_asked_again(server, client):
    server.logprobs = "refused"
    llm = OpenAIGenerator("small", client)
    for _ in range(2):
        answer = llm.generate(CHOICE)
        assert answer.probabilities is None
        assert answer.texts[0].startswith(server.answer)
    assert ["logprobs" in body for body in server.requests] == [True, False, False]
    answer = asyncio.run(asked(server, CHOICE))
    assert (answer.probabilities, len(answer.texts)) == (None, 1)


@pytest.mark.parametrize("tops", [None, [("<think>", -0.01)]])
def test_a_server_that_says_nothing_of_the_choices_answers_in_words(server, client, tops):
    server.logprobs = "ignored" if tops is None else "supported"
    server.tops = tops
    answer = OpenAIGenerator("small", client).generate(CHOICE)
    assert answer.probabilities is None
    assert answer.texts[0].startswith(server.answer)


def test_a_request_that_fails_for_another_reason_says_so(server, client):
    fault = _SERVER.Fault(400, '{"error": {"message": "no such model"}}')
    server.order(fault, fault)
    llm = OpenAIGenerator("small", client)
    with pytest.raises(GenerationError, match="no such model"):
        llm.generate(CHOICE)
    assert llm.generate(CHOICE).probabilities is not None

"""Concurrent queries: one pass for those that gathered, each caller its own answer, its own error, its own end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydrant.encode import Encode, Encoder, microbatch
from hydrant.errors import DeadlineExceeded, InputError
from hydrant.flow import arun


class Slow(Encoder):
    """Encodes a text as its length; each pass takes a moment, and it remembers what went through together."""

    def __init__(self, seconds=0.02):
        self.seconds = seconds
        self.passes = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def encode_query(self, texts):
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.passes.append(list(texts))
            time.sleep(self.seconds)
            if "bad" in texts:
                raise InputError(f"bad text among {len(texts)}")
            return [[float(len(text))] for text in texts]
        finally:
            with self._lock:
                self.at_once -= 1

    def encode_document(self, texts):
        return [[-float(len(text))] for text in texts]

    def record(self):
        return {"encoder": "slow"}


async def ask(encoder, *texts):
    return await Encode(encoder, list(texts)).acall(None)


async def test_queries_that_arrive_together_go_through_the_model_together():
    encoder = Slow()
    answers = await asyncio.gather(*(ask(encoder, "x" * n) for n in range(1, 33)))
    assert answers == [[[float(n)]] for n in range(1, 33)]
    assert len(encoder.passes) <= 3
    assert sorted(len(text) for texts in encoder.passes for text in texts) == list(range(1, 33))
    assert encoder.most_at_once == 1


async def test_single_query_waits_for_nobody():
    encoder = Slow(seconds=0)
    await ask(encoder, "warm")
    began = time.perf_counter()
    for _ in range(20):
        await ask(encoder, "alone")
    assert time.perf_counter() - began < 0.5
    assert encoder.passes[1:] == [["alone"]] * 20


async def test_no_pass_is_larger_than_the_bound_and_a_larger_request_goes_alone():
    encoder = Slow()
    answers = await asyncio.gather(
        ask(encoder, *["a"] * 100), *(ask(encoder, "b", "cc", "ddd") for _ in range(60))
    )
    assert len(answers[0]) == 100
    assert answers[1:] == [[[1.0], [2.0], [3.0]]] * 60
    assert max(len(texts) for texts in encoder.passes if "a" not in texts) <= 64
    assert ["a"] * 100 in encoder.passes


async def test_bad_text_fails_its_own_caller_only():
    encoder = Slow()
    answers = await asyncio.gather(
        *(ask(encoder, text) for text in ("first", "a", "bad", "ccc")), return_exceptions=True
    )
    assert answers[0] == [[5.0]]
    assert answers[1] == [[1.0]]
    assert isinstance(answers[2], InputError)
    assert str(answers[2]) == "bad text among 1"
    assert answers[3] == [[3.0]]


async def test_cancelled_caller_takes_nobody_with_it_and_is_not_encoded():
    encoder = Slow(seconds=0.1)
    first = asyncio.create_task(ask(encoder, "first"))
    await asyncio.sleep(0.03)
    gone = asyncio.create_task(ask(encoder, "gone"))
    stays = asyncio.create_task(ask(encoder, "stays"))
    await asyncio.sleep(0.01)
    gone.cancel()
    first.cancel()
    assert await stays == [[5.0]]
    assert gone.cancelled()
    assert ["stays"] in encoder.passes
    assert await ask(encoder, "after") == [[5.0]]


async def test_deadline_is_kept_while_others_go_on():
    encoder = Slow(seconds=0.2)

    def flow(text):
        return (yield Encode(encoder, [text]))

    late = asyncio.create_task(arun(flow("late"), deadline=0.05))
    calm = asyncio.create_task(arun(flow("calm")))
    with pytest.raises(DeadlineExceeded):
        await late
    assert await calm == [[4.0]]


async def test_query_behind_a_pass_that_hangs_gets_a_pass_of_its_own(monkeypatch):
    monkeypatch.setattr(microbatch, "_PATIENCE_SECONDS", 0.05)
    release = threading.Event()

    class Hanging(Slow):
        def encode_query(self, texts):
            if "hang" in texts:
                release.wait(10)
            return super().encode_query(texts)

    encoder = Hanging(seconds=0)
    hung = asyncio.create_task(ask(encoder, "hang"))
    await asyncio.sleep(0.02)
    assert await asyncio.wait_for(ask(encoder, "quick"), timeout=5) == [[5.0]]
    assert not hung.done()
    release.set()
    assert await hung == [[4.0]]


async def test_wrong_number_of_vectors_is_seen_as_by_a_single_caller():
    class Short(Slow):
        def encode_query(self, texts):
            return super().encode_query(texts)[:1]

    encoder = Short()
    assert await asyncio.gather(*(ask(encoder, "x" * n) for n in range(1, 9))) == [
        [[float(n)]] for n in range(1, 9)
    ]


async def test_documents_take_no_part_in_it():
    encoder = Slow()
    assert await Encode(encoder, ["four"], role="document").acall(None) == [[-4.0]]
    assert encoder.passes == []


async def test_single_string_is_handed_on_whole_so_that_the_encoder_can_refuse_it():
    from hydrant import Bm25Encoder

    encoder = Bm25Encoder()
    with pytest.raises(InputError, match="put it in a list"):
        await Encode(encoder, "a single text").acall(None)


def test_event_loops_in_several_threads_share_one_dispatcher():
    encoder = Slow()

    async def several(first):
        return await asyncio.gather(*(ask(encoder, "x" * n) for n in range(first, first + 10)))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda first: asyncio.run(several(first)), range(1, 61, 10)))
    assert [row for part in answers for ((row,),) in part] == [float(n) for n in range(1, 61)]
    assert encoder.most_at_once == 1
    assert len(encoder.passes) < 30


def test_loop_that_ended_meanwhile_does_not_stop_the_others():
    encoder = Slow(seconds=0.1)

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(encoder, "gone"), timeout=0.01)

    asyncio.run(give_up())
    assert asyncio.run(ask(encoder, "here")) == [[4.0]]


def test_dispatcher_goes_with_its_encoder():
    encoder = Slow(seconds=0)
    asyncio.run(ask(encoder, "a"))
    key, watch = id(encoder), weakref.ref(encoder)
    assert key in microbatch._DISPATCHERS
    del encoder
    until = time.monotonic() + 5
    while watch() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert watch() is None
    assert key not in microbatch._DISPATCHERS


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "bad"]), max_size=3), min_size=1, max_size=20))
def test_every_caller_gets_what_it_would_get_alone(requests):
    encoder = Slow(seconds=0.001)

    async def together():
        return await asyncio.gather(*(ask(encoder, *texts) for texts in requests), return_exceptions=True)

    for texts, answer in zip(requests, asyncio.run(together()), strict=True):
        if "bad" in texts:
            assert isinstance(answer, InputError)
        else:
            assert answer == [[float(len(text))] for text in texts]

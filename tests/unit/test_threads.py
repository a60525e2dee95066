"""The pool of daemon threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.threads import DaemonPool


def test_an_idle_thread_is_used_again():
    pool = DaemonPool("reuse")
    names = set()
    for _ in range(20):
        ticket = pool.submit(lambda: threading.current_thread().name)
        names.add(ticket.result())
        time.sleep(0.002)
    assert len(names) < 5


def test_a_ticket_gives_the_value_or_raises_the_error():
    pool = DaemonPool("outcome")
    assert pool.submit(lambda a, b: a + b, 1, 2).result() == 3
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
    with pytest.raises(SystemExit):
        pool.submit(lambda: (_ for _ in ()).throw(SystemExit)).result()


def test_waiting_for_a_ticket_ends_on_time():
    release = threading.Event()
    ticket = DaemonPool("wait").submit(release.wait, 5)
    assert ticket.wait(0.02) is False
    release.set()
    assert ticket.wait(5) is True


def test_a_callback_is_made_whether_it_comes_before_or_after_the_end():
    pool = DaemonPool("callback")
    release, called = threading.Event(), threading.Event()
    ticket = pool.submit(release.wait, 5)
    ticket.when_done(called.set)
    assert not called.is_set()
    release.set()
    assert called.wait(5)
    called.clear()
    ticket.when_done(called.set)
    assert called.is_set()


@given(st.lists(st.integers(), max_size=12), st.one_of(st.none(), st.integers(1, 5)))
def test_map_keeps_the_order_of_the_items(items, at_once):
    pool = DaemonPool("map")
    assert pool.map(lambda each: each * 2, items, at_once=at_once) == [each * 2 for each in items]


def test_an_error_in_one_item_of_a_map_does_not_block_the_others():
    pool = DaemonPool("errors")
    done = []

    def function(item):
        if item == 1:
            raise KeyError(item)
        done.append(item)

    with pytest.raises(KeyError):
        pool.map(function, [0, 1, 2, 3, 4], at_once=2)
    time.sleep(0.05)
    assert sorted(done) == [0, 2, 3, 4]


def test_idle_threads_end_after_a_while(monkeypatch):
    monkeypatch.setattr("hydrant.threads._IDLE_SECONDS", 0.05)
    pool = DaemonPool("mortal")
    pool.map(lambda _: time.sleep(0.01), range(6))
    for _ in range(100):
        if not [thread for thread in threading.enumerate() if thread.name.startswith("mortal-")]:
            break
        time.sleep(0.02)
    else:
        pytest.fail("idle threads are still there")
    assert pool.submit(lambda: 7).result() == 7


def test_calls_and_endings_at_the_same_moment_lose_no_job(monkeypatch):
    monkeypatch.setattr("hydrant.threads._IDLE_SECONDS", 0.0005)
    pool = DaemonPool("race")
    for round_ in range(300):
        ticket = pool.submit(lambda value: value, round_)
        assert ticket.wait(5)
        assert ticket.result() == round_
        time.sleep(0.0005)


def test_an_awaited_call_that_outlives_its_loop_complains_to_nobody():
    release = threading.Event()
    pool = DaemonPool("late")

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.await_call(release.wait, 5), 0.05)

    asyncio.run(main())
    release.set()
    time.sleep(0.05)


def test_a_program_that_left_a_computing_model_behind_ends_in_good_order():
    code = """
    import time
    import torch
    from hydrant.errors import DeadlineExceeded
    from hydrant.flow import Effect, run

    class Multiply(Effect):
        name = "multiply"

        def call(self, timeout):
            until = time.monotonic() + 1.0
            a = torch.rand(600, 600)
            while time.monotonic() < until:
                a = torch.softmax(a @ a, dim=1)

    def flow():
        return (yield Multiply())

    try:
        run(flow(), deadline=0.2)
    except DeadlineExceeded:
        print("late")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("late\n", 0), done.stderr

"""The rules of flows: both drivers, failures, side by side, deadlines, retries."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.errors import ConfigurationError, DeadlineExceeded
from hydrant.flow import Effect, Flow, Recorder, Retry, Together, Within, arun, run


class Do(Effect[Any]):
    """Any function as an effect, retried as told."""

    def __init__(self, function, name="do", delays=(), *, told=False):
        self.name = name
        self.told = told
        self.function = function
        self.delays = list(delays)

    def call(self, timeout):
        return self.function(timeout) if self.told else self.function()

    def retry_after(self, error, attempt):
        return self.delays[attempt - 1] if attempt <= len(self.delays) else None


class Await(Effect[Any]):
    """A coroutine function as an effect of the async driver."""

    name = "await"

    def __init__(self, function):
        self.function = function

    def call(self, timeout):
        raise AssertionError("the sync driver has no business here")

    async def acall(self, timeout):
        return await self.function()


def just(value):
    return Do(lambda: value)


def fails(error):
    def function():
        raise error

    return Do(function)


def both(make):
    """Run a flow through both drivers, which must agree; the outcome is a value or an error's text."""

    def outcome(call):
        try:
            return ("value", call())
        except Exception as error:
            return ("error", f"{type(error).__name__}: {error}")

    sync = outcome(lambda: run(make()))
    asynchronous = outcome(lambda: asyncio.run(arun(make())))
    timed = outcome(lambda: run(make(), deadline=60))
    atimed = outcome(lambda: asyncio.run(arun(make(), deadline=60)))
    assert sync == asynchronous == timed == atimed
    return sync


# ---- random flows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A step of a random flow."""

    kind: str
    value: int = 0
    children: tuple[Node, ...] = ()
    caught: bool = False


def nodes():
    leaf = st.builds(
        Node, st.sampled_from(["value", "fail", "retried"]), st.integers(0, 9), caught=st.booleans()
    )
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            Node,
            st.sampled_from(["sequence", "together", "kept", "one at a time", "within"]),
            st.integers(0, 9),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
            st.booleans(),
        ),
        max_leaves=8,
    )


def as_step(node: Node):
    if node.kind == "value":
        return just(node.value)
    if node.kind == "fail":
        return fails(KeyError(node.value))
    if node.kind == "retried":
        return failing_times(node.value % 3, node.value)
    if node.kind == "within":
        return Within(as_flow(node), "within", 30)
    if node.kind == "sequence":
        return as_flow(node)
    steps = [as_flow(child) for child in node.children]
    return Together(
        steps, keep_errors=node.kind == "kept", at_once=1 if node.kind == "one at a time" else None
    )


def as_flow(node: Node) -> Flow[Any]:
    seen = []
    children = node.children if node.kind in {"sequence", "within"} else (node,)
    for child in children:
        try:
            reply = yield as_step(child)
            seen.append(repr(reply))
        except KeyError as error:
            if not child.caught:
                raise
            seen.append(f"caught {error}")
    return seen


def failing_times(times, value):
    left = [times]

    def function():
        if left[0]:
            left[0] -= 1
            raise OSError("passing")
        return value

    return Do(function, delays=[0.0] * times)


@given(nodes())
def test_both_drivers_with_and_without_a_deadline_give_the_same(node):
    both(lambda: as_flow(node))


# ---- failures ----------------------------------------------------------------------------------------------------


def test_an_effects_error_arrives_at_its_yield_and_can_be_caught():
    def flow():
        try:
            yield fails(ZeroDivisionError("here"))
        except ZeroDivisionError as error:
            fallback = yield just(2)
            return f"{error} {fallback}"

    assert both(flow) == ("value", "here 2")


def test_an_uncaught_error_reaches_the_caller_with_its_own_type():
    def flow():
        yield fails(FileNotFoundError("x"))

    assert both(flow) == ("error", "FileNotFoundError: x")


def test_a_flow_that_returns_at_once_gives_its_value():
    def flow():
        return 5
        yield

    assert both(flow) == ("value", 5)


def test_an_inner_flows_error_can_be_caught_by_the_outer_one():
    def inner():
        yield fails(LookupError("inner"))

    def flow():
        try:
            yield inner()
        except LookupError:
            return "outer went on"

    assert both(flow) == ("value", "outer went on")


def test_a_step_of_the_wrong_kind_is_a_type_error_at_its_yield():
    def flow():
        yield 5

    kind, text = both(flow)
    assert kind == "error"
    assert text.startswith("TypeError")
    assert "got 5" in text


@pytest.mark.parametrize("deadline", [None, 5.0])
def test_finally_blocks_run_when_a_flow_fails(deadline):
    closed = []

    def inner():
        try:
            yield fails(RuntimeError("x"))
        finally:
            closed.append("inner")

    def flow():
        try:
            yield Within(inner(), "inner")
        finally:
            closed.append("outer")

    with pytest.raises(RuntimeError):
        run(flow(), deadline=deadline)
    assert closed == ["inner", "outer"]


@pytest.mark.parametrize("deadline", [None, 5.0])
@pytest.mark.parametrize("shape", ["alone", "together"])
def test_keyboard_interrupt_passes_through_and_closes_the_flow(deadline, shape):
    closed = []

    def press():
        raise KeyboardInterrupt

    def flow():
        try:
            step = Do(press)
            yield step if shape == "alone" else Together([step, just(1)])
        except Exception:
            closed.append("swallowed")
        finally:
            closed.append("closed")

    with pytest.raises(KeyboardInterrupt):
        run(flow(), deadline=deadline)
    assert closed == ["closed"]


# ---- side by side ------------------------------------------------------------------------------------------------


def test_together_replies_in_the_order_of_the_steps_not_of_their_ends():
    def flow():
        return (yield Together([Do(lambda d=d: (time.sleep(d), d)[1]) for d in (0.06, 0.0, 0.03)]))

    assert both(flow) == ("value", [0.06, 0.0, 0.03])


def test_together_keeps_errors_in_their_place_when_asked():
    def flow():
        replies = yield Together([just(1), fails(KeyError("x")), just(3)], keep_errors=True)
        return [repr(each) for each in replies]

    assert both(flow) == ("value", ["1", "KeyError('x')", "3"])


def test_together_raises_the_first_error_in_the_order_of_the_steps():
    def late():
        time.sleep(0.05)
        raise KeyError("first in order")

    def flow():
        yield Together([Do(late), fails(ValueError("first in time"))])

    assert both(flow) == ("error", "KeyError: 'first in order'")


def test_together_of_nothing_is_an_empty_list():
    def flow():
        return (yield Together([]))

    assert both(flow) == ("value", [])


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_together_never_has_more_under_way_than_allowed(at_once):
    lock = threading.Lock()
    now, most = [0], [0]

    def step():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    def flow():
        yield Together([Do(step) for _ in range(8)], at_once=at_once)

    run(flow())
    assert most[0] == at_once
    most[0] = 0
    asyncio.run(arun(flow()))
    assert most[0] == at_once


@pytest.mark.parametrize("at_once", [0, -1, 1.5, "2", True])
def test_together_refuses_a_number_at_once_that_could_never_start(at_once):
    with pytest.raises(ConfigurationError, match="at_once"):
        Together([just(1)], at_once=at_once)


def test_together_really_runs_side_by_side_in_both_drivers():
    barrier = threading.Barrier(3, timeout=5)

    def flow():
        yield Together([Do(barrier.wait) for _ in range(3)])

    run(flow())
    asyncio.run(arun(flow()))


def test_many_flows_inside_flows_side_by_side_do_not_wait_for_each_others_threads():
    def branch(depth):
        if depth:
            yield Together([branch(depth - 1), branch(depth - 1), branch(depth - 1)])
        else:
            yield just(1)
        return depth

    both(lambda: branch(4))


# ---- deadlines ---------------------------------------------------------------------------------------------------


def hang(seconds=3.0):
    return Do(lambda: time.sleep(seconds), name="hang")


def timed(call):
    start = time.perf_counter()
    with pytest.raises(DeadlineExceeded) as caught:
        call()
    return time.perf_counter() - start, str(caught.value)


def one(step):
    return (yield step)


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_a_hanging_effect_is_answered_on_time_and_named(driver):
    def call():
        if driver == "sync":
            return run(one(hang()), deadline=0.1)
        return asyncio.run(arun(one(hang()), deadline=0.1))

    seconds, message = timed(call)
    assert 0.1 <= seconds < 0.6
    assert "hang" in message


def test_a_hanging_coroutine_is_cancelled_on_time():
    cancelled = []

    async def forever():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    seconds, _ = timed(lambda: asyncio.run(arun(one(Await(forever)), deadline=0.1)))
    assert seconds < 0.6
    assert cancelled == [True]


def test_a_coroutine_that_swallows_cancellation_cannot_hold_the_caller():
    async def stubborn():
        for _ in range(40):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async def main():
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            await arun(one(Await(stubborn)), deadline=0.1)
        return time.perf_counter() - start

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(main()) < 0.5
        rest = asyncio.all_tasks(loop)
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    finally:
        loop.close()


def test_the_inner_limit_ends_first_and_the_flow_goes_on_within_the_outer():
    def flow():
        try:
            yield Within(one(hang()), "inner", 0.05)
        except DeadlineExceeded:
            return (yield just("fallback"))

    start = time.perf_counter()
    assert run(flow(), deadline=2) == "fallback"
    assert asyncio.run(arun(flow(), deadline=2)) == "fallback"
    assert time.perf_counter() - start < 1


def test_the_inner_limit_cannot_outlive_the_outer():
    for call in (
        lambda: run(one(Within(one(hang()), "inner", 10)), deadline=0.1),
        lambda: asyncio.run(arun(one(Within(one(hang()), "inner", 10)), deadline=0.1)),
    ):
        seconds, _ = timed(call)
        assert seconds < 0.6


def test_limits_hold_without_a_deadline_of_the_caller():
    seconds, _ = timed(lambda: run(one(Within(one(hang()), "inner", 0.1))))
    assert seconds < 0.6


def test_a_limit_holds_for_steps_side_by_side():
    def flow():
        replies = yield Within(one(Together([hang(), just(1)], keep_errors=True)), "inner", 0.1)
        return [type(each).__name__ for each in replies]

    start = time.perf_counter()
    assert run(flow()) == ["DeadlineExceeded", "int"]
    assert asyncio.run(arun(flow())) == ["DeadlineExceeded", "int"]
    assert time.perf_counter() - start < 1.2


def test_steps_that_wait_their_turn_do_not_get_time_of_their_own():
    def flow():
        return (yield Together([hang(0.3) for _ in range(10)], keep_errors=True, at_once=1))

    for call in (lambda: run(flow(), deadline=0.2), lambda: asyncio.run(arun(flow(), deadline=0.2))):
        start = time.perf_counter()
        assert [type(each) for each in call()] == [DeadlineExceeded] * 10
        assert time.perf_counter() - start < 0.7


def test_a_step_after_the_deadline_is_not_begun():
    begun = []

    def flow():
        try:
            yield hang(0.3)
        except DeadlineExceeded:
            yield Do(lambda: begun.append(1), name="fallback")

    _, message = timed(lambda: run(flow(), deadline=0.05))
    assert begun == []
    assert "fallback" in message


def test_an_effect_is_told_what_is_left_of_the_time():
    def flow():
        first = yield Do(lambda timeout: timeout, told=True)
        yield Do(lambda: time.sleep(0.1))
        second = yield Do(lambda timeout: timeout, told=True)
        inner = yield Within(one(Do(lambda timeout: timeout, told=True)), "inner", 0.5)
        return first, second, inner

    first, second, inner = run(flow(), deadline=2)
    assert 1.8 < first <= 2
    assert 1.5 < second <= 1.9
    assert inner <= 0.5
    assert run(one(Do(lambda timeout: timeout, told=True))) is None


@pytest.mark.parametrize("deadline", [0, -1, 0.0, float("nan"), "1", True])
def test_a_deadline_that_is_no_time_at_all_is_refused(deadline):
    with pytest.raises(ConfigurationError, match="deadline"):
        run(one(just(1)), deadline=deadline)
    with pytest.raises(ConfigurationError, match="deadline"):
        asyncio.run(arun(one(just(1)), deadline=deadline))


@pytest.mark.parametrize("deadline", [1e12, float("inf")])
def test_a_deadline_beyond_what_clocks_can_wait_for_is_no_limit(deadline):
    assert run(one(just(1)), deadline=deadline) == 1
    assert asyncio.run(arun(one(just(1)), deadline=deadline)) == 1
    assert run(one(Within(one(just(1)), "inner", deadline))) == 1


def test_the_program_ends_at_once_though_an_effect_still_hangs():
    code = """
        import asyncio, time
        from hydrant.errors import DeadlineExceeded
        from hydrant.flow import Effect, run, arun
        class Hang(Effect):
            def call(self, timeout):
                time.sleep(60)
        def flow():
            yield Hang()
        for call in (lambda: run(flow(), deadline=0.1), lambda: asyncio.run(arun(flow(), deadline=0.1))):
            try:
                call()
            except DeadlineExceeded:
                print("on time")
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split("\n")[:2] == ["on time", "on time"]
    assert done.stderr == ""
    assert time.perf_counter() - start < 15


# ---- cancellation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [None, 30])
@pytest.mark.parametrize("shape", ["alone", "together", "within", "thread", "retry"])
async def test_cancelling_a_run_leaves_no_task_behind_and_closes_its_flows(deadline, shape):
    closed = []

    async def forever():
        await asyncio.sleep(60)

    def guarded(step):
        try:
            return (yield step)
        finally:
            closed.append(shape)

    steps = {
        "alone": Await(forever),
        "together": Together([guarded(Await(forever)), guarded(Await(forever))]),
        "within": Within(guarded(Await(forever)), "inner", 20),
        "thread": hang(0.3),
        "retry": Do(lambda: 1 / 0, delays=[20]),
    }
    task = asyncio.create_task(arun(guarded(steps[shape]), deadline=deadline))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(closed) == {"together": 3, "within": 2}.get(shape, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if shape == "thread":
        await asyncio.sleep(0.35)


async def test_the_event_loop_goes_on_while_an_effect_blocks():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await arun(one(hang(0.3)))
    ticker.cancel()
    assert ticks > 8


# ---- retries -----------------------------------------------------------------------------------------------------


def test_only_an_effect_that_says_so_is_tried_again():
    made = []

    def flow(delays):
        made.clear()
        return (yield Do(lambda: made.append(1) or 1 / 0, delays=delays))

    for delays, attempts in (((), 1), ((0.0,), 2), ((0.0, 0.0), 3)):
        with pytest.raises(ZeroDivisionError):
            run(flow(delays))
        assert len(made) == attempts
        with pytest.raises(ZeroDivisionError):
            asyncio.run(arun(flow(delays)))
        assert len(made) == attempts


def test_a_wait_that_would_pass_the_deadline_is_not_begun():
    def flow():
        yield Do(lambda: 1 / 0, delays=[5.0])

    start = time.perf_counter()
    with pytest.raises(ZeroDivisionError):
        run(flow(), deadline=1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(arun(flow(), deadline=1))
    assert time.perf_counter() - start < 1


def test_a_deadline_is_never_retried():
    made = []

    def step():
        made.append(1)
        raise DeadlineExceeded("inner")

    with pytest.raises(DeadlineExceeded):
        run(one(Do(step, delays=[0.0, 0.0])))
    assert made == [1]


@given(
    attempts=st.integers(1, 6),
    base=st.floats(0, 10),
    cap=st.floats(0, 10),
    attempt=st.integers(1, 8),
    at_least=st.floats(0, 100),
)
def test_a_retrys_wait_is_jittered_within_its_bounds_and_keeps_what_the_server_asked(
    attempts, base, cap, attempt, at_least
):
    delay = Retry(attempts, base, cap).delay(attempt, at_least)
    if attempt >= attempts:
        assert delay is None
    else:
        assert at_least <= delay <= at_least + min(cap, base * 2 ** (attempt - 1)) + 1e-6


def test_clients_that_failed_together_do_not_come_back_together():
    delays = [Retry().delay(2) for _ in range(20)]
    assert len(set(delays)) > 10


@pytest.mark.parametrize("attempts", [0, -1, 1.5, "3", True])
def test_a_retry_without_a_first_attempt_is_refused(attempts):
    with pytest.raises(ConfigurationError, match="attempts"):
        Retry(attempts=attempts)


# ---- the trace ---------------------------------------------------------------------------------------------------


def traced(make, driver):
    recorder = Recorder()
    with contextlib.suppress(ArithmeticError):
        run(make(), recorder=recorder) if driver == "sync" else asyncio.run(arun(make(), recorder=recorder))
    return recorder.trace()


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_the_trace_has_every_step_with_its_depth_attempts_and_error(driver):
    def inner():
        yield Do(lambda: time.sleep(0.02), name="slow")
        yield failing_times(2, 1)
        yield Together([Do(lambda: 1, name="left"), Do(lambda: 2, name="right")])

    def flow():
        yield Within(inner(), "stage")
        yield Do(lambda: 1 / 0, name="broken")

    spans = traced(flow, driver)
    assert [
        (span.name, span.depth, span.attempts) for span in spans if span.name not in {"left", "right"}
    ] == [
        ("stage", 0, 1),
        ("slow", 1, 1),
        ("do", 1, 3),
        ("broken", 0, 1),
    ]
    assert {(span.name, span.depth) for span in spans} >= {("left", 2), ("right", 2)}
    assert spans[-1].error == "ZeroDivisionError: division by zero"
    assert all(span.error is None for span in spans[:-1])
    stage, slow = spans[:2]
    assert slow.seconds >= 0.02
    assert stage.seconds >= slow.seconds
    assert 0 <= stage.start <= slow.start


# ---- the surroundings --------------------------------------------------------------------------------------------

_TENANT = contextvars.ContextVar("tenant", default="nobody")


@pytest.mark.parametrize("deadline", [None, 10])
def test_context_variables_reach_every_effect(deadline):
    def flow():
        alone = yield Do(_TENANT.get)
        side_by_side = yield Together([Do(_TENANT.get), one(Do(_TENANT.get))])
        return [alone, *side_by_side]

    token = _TENANT.set("acme")
    try:
        assert run(flow(), deadline=deadline) == ["acme"] * 3
        assert asyncio.run(arun(flow(), deadline=deadline)) == ["acme"] * 3
    finally:
        _TENANT.reset(token)


def test_a_child_process_after_a_fork_has_threads_of_its_own():
    code = """
        import os, sys
        from hydrant.flow import Effect, Together, run
        class Do(Effect):
            def call(self, timeout):
                return os.getpid()
        def flow():
            return (yield Together([Do(), Do(), Do()]))
        run(flow(), deadline=10)
        child = os.fork()
        if child == 0:
            pids = run(flow(), deadline=5)
            os._exit(0 if set(pids) == {os.getpid()} else 3)
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=30, check=False)
    assert done.returncode == 0

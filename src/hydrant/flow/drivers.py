"""The two drivers: they carry out what the rules ask for, in this thread or in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any, TypeVar

from hydrant.errors import DeadlineExceeded
from hydrant.flow.rules import Call, Failed, Gather, Scope, Sleep, drive
from hydrant.flow.steps import Effect, Flow
from hydrant.flow.tracing import Recorder
from hydrant.threads import POOL

T = TypeVar("T")

# How long a cancelled coroutine may take to clean up before the caller is answered without it.
_CANCEL_GRACE = 0.02


def run(flow: Flow[T], *, deadline: float | None = None, recorder: Recorder | None = None) -> T:
    """Run a flow in the calling thread.

    Args:
        flow: The flow.
        deadline: Seconds it may take. With one, every effect runs in a thread of its own, so that the caller is
            answered on time even while an effect hangs.
        recorder: Where the trace is collected.

    Raises:
        DeadlineExceeded: The time ran out and the flow had no fallback.
    """
    return _run_sync(drive(flow, Scope.begin(deadline, recorder)))  # type: ignore[no-any-return]


async def arun(flow: Flow[T], *, deadline: float | None = None, recorder: Recorder | None = None) -> T:
    """Run a flow in the event loop; see `run`."""
    return await _run_async(drive(flow, Scope.begin(deadline, recorder)))  # type: ignore[no-any-return]


def _late(effect: Effect[Any], timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"{effect.name} did not answer within the {timeout:.3g} s it had")


# ---- the sync driver ---------------------------------------------------------------------------------------------


def _run_sync(steps: Generator[Any, Any, Any]) -> Any:
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            request = steps.send(reply) if failure is None else steps.throw(failure)
            try:
                reply, failure = _perform(request), None
            except Exception as error:  # noqa: BLE001  handed to the flow that asked
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _perform(request: Call | Sleep | Gather) -> Any:
    if isinstance(request, Call):
        if request.timeout is None:
            return request.effect.call(None)
        ticket = POOL.submit(request.effect.call, request.timeout)
        if not ticket.wait(request.timeout):
            raise _late(request.effect, request.timeout)
        return ticket.result()
    if isinstance(request, Sleep):
        return time.sleep(request.seconds)
    return _gather(request)


def _gather(request: Gather) -> list[Any]:
    def outcome(steps: Generator[Any, Any, Any]) -> Any:
        try:
            return _run_sync(steps)
        except Exception as error:  # noqa: BLE001  kept as that step's outcome
            return Failed(error)

    return POOL.map(outcome, request.runs, at_once=request.at_once)


# ---- the async driver --------------------------------------------------------------------------------------------


async def _run_async(steps: Generator[Any, Any, Any]) -> Any:
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            request = steps.send(reply) if failure is None else steps.throw(failure)
            try:
                reply, failure = await _aperform(request), None
            except Exception as error:  # noqa: BLE001  handed to the flow that asked
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


async def _aperform(request: Call | Sleep | Gather) -> Any:
    if isinstance(request, Call):
        if request.timeout is None:
            return await request.effect.acall(None)
        return await _acall_within(request.effect, request.timeout)
    if isinstance(request, Sleep):
        return await asyncio.sleep(request.seconds)
    return await _agather(request)


async def _acall_within(effect: Effect[Any], timeout: float) -> Any:
    task = asyncio.ensure_future(effect.acall(timeout))
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if done:
            return task.result()
        raise _late(effect, timeout)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_GRACE)
            task.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Look at a late task's error, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()


async def _agather(request: Gather) -> list[Any]:
    gate = asyncio.Semaphore(len(request.runs) if request.at_once is None else request.at_once)

    async def outcome(steps: Generator[Any, Any, Any]) -> Any:
        async with gate:
            try:
                return await _run_async(steps)
            except Exception as error:  # noqa: BLE001  kept as that step's outcome
                return Failed(error)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(steps)) for steps in request.runs]
    return [task.result() for task in tasks]

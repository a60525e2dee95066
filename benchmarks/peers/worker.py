"""One contender in a process of its own, which does what it is told line by line; started by `benchmarks.peers`.

Every line in is a JSON object: `{"questions": [...], "number": k, "at_once": n}`, for a reranker with `"texts"`, a list for each
question. The line out has the ids (or places) for each question, the seconds that each took, and the seconds of all together. The first line out tells how long the imports and the
building took, and how much memory the process holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

from benchmarks.peers.contenders import ALL, Built
from benchmarks.peers.material import read

Call: TypeAlias = Callable[[], Any]
AsyncCall: TypeAlias = Callable[[], Awaitable[Any]]


def main() -> None:
    name, folder, own = sys.argv[1:]
    out = _apart()
    began = time.perf_counter()
    built = ALL[name].build(read(Path(folder), Path(own)))
    _say(out, {"build": time.perf_counter() - began, "memory": _resident()})
    for line in sys.stdin:
        asked = json.loads(line)
        calls, acalls = _calls(built, asked)
        at_once = asked["at_once"]
        said = _one_by_one(calls) if at_once == 1 else _together(calls, acalls, at_once)
        _say(out, {**said, "memory": _resident()})


def _calls(built: Built, asked: dict[str, Any]) -> tuple[list[Call], list[AsyncCall] | None]:
    """What is asked, as calls without arguments."""
    number, questions = asked["number"], asked["questions"]
    if "texts" in asked:
        pairs = list(zip(questions, asked["texts"], strict=True))
        return (
            [partial(built.rank, question, texts, number) for question, texts in pairs],  # type: ignore[arg-type]
            None if built.arank is None else [partial(built.arank, *pair, number) for pair in pairs],
        )
    return (
        [partial(built.search, question, number) for question in questions],  # type: ignore[arg-type]
        None if built.asearch is None else [partial(built.asearch, each, number) for each in questions],
    )


def _one_by_one(calls: Sequence[Call]) -> dict[str, Any]:
    seconds, ids = [], []
    for call in calls:
        began = time.perf_counter()
        ids.append(call())
        seconds.append(time.perf_counter() - began)
    return {"ids": ids, "seconds": seconds}


def _together(calls: Sequence[Call], acalls: Sequence[AsyncCall] | None, at_once: int) -> dict[str, Any]:
    """The better of so many threads and, where the tool has it, so many coroutines."""
    ways = [_in_threads(calls, at_once)]
    if acalls is not None:
        ways.append(asyncio.run(_in_coroutines(acalls, at_once)))
    return min(ways, key=lambda way: way["wall"])


def _in_threads(calls: Sequence[Call], at_once: int) -> dict[str, Any]:
    def timed(call: Call) -> tuple[Any, float]:
        began = time.perf_counter()
        return call(), time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(timed, calls))
    return _outcome(outcomes, time.perf_counter() - began, "threads")


async def _in_coroutines(calls: Sequence[AsyncCall], at_once: int) -> dict[str, Any]:
    gate = asyncio.Semaphore(at_once)

    async def timed(call: AsyncCall) -> tuple[Any, float]:
        async with gate:
            began = time.perf_counter()
            return await call(), time.perf_counter() - began

    began = time.perf_counter()
    outcomes = await asyncio.gather(*(timed(call) for call in calls))
    return _outcome(outcomes, time.perf_counter() - began, "coroutines")


def _outcome(outcomes: Sequence[tuple[Any, float]], wall: float, how: str) -> dict[str, Any]:
    return {
        "ids": [ids for ids, _ in outcomes],
        "seconds": [seconds for _, seconds in outcomes],
        "wall": wall,
        "how": how,
    }


def _apart() -> IO[str]:
    """A way out for the answers that nothing else is printed into."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _say(out: IO[str], said: dict[str, Any]) -> None:
    out.write(json.dumps(said) + "\n")
    out.flush()


def _resident() -> float:
    """MiB of this process in memory that are its own."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()

"""One contender in a process of its own, which does what it is told line by line; started by `benchmarks.peers`.

Every line in is a JSON object: `{"questions": [...], "number": k, "at_once": n}`. The line out has the ids for each
question, the seconds that each took, and the seconds of all together. The first line out tells how long the imports and the
building took, and how much memory the process holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from benchmarks.peers.contenders import ALL, Built
from benchmarks.peers.material import read


def main() -> None:
    name, folder, own = sys.argv[1:]
    out = _apart()
    began = time.perf_counter()
    built = ALL[name].build(read(Path(folder), Path(own)))
    _say(out, {"build": time.perf_counter() - began, "memory": _resident()})
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["at_once"] == 1:
            said = _one_by_one(built, asked["questions"], asked["number"])
        else:
            said = _together(built, asked["questions"], asked["number"], asked["at_once"])
        _say(out, {**said, "memory": _resident()})


def _one_by_one(built: Built, questions: list[str], number: int) -> dict[str, Any]:
    seconds, ids = [], []
    for question in questions:
        began = time.perf_counter()
        ids.append(built.search(question, number))
        seconds.append(time.perf_counter() - began)
    return {"ids": ids, "seconds": seconds, "wall": sum(seconds)}


def _together(built: Built, questions: list[str], number: int, at_once: int) -> dict[str, Any]:
    """The better of so many threads and, where the tool has it, so many coroutines."""
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        ids = list(pool.map(lambda question: built.search(question, number), questions))
    walls = {"threads": time.perf_counter() - began}
    if built.asearch is not None:
        began = time.perf_counter()
        ids = asyncio.run(_gathered(built.asearch, questions, number, at_once))
        walls["coroutines"] = time.perf_counter() - began
    best = min(walls, key=walls.__getitem__)
    return {"ids": ids, "wall": walls[best], "how": best}


async def _gathered(search: Any, questions: list[str], number: int, at_once: int) -> list[list[str]]:
    gate = asyncio.Semaphore(at_once)

    async def one(question: str) -> list[str]:
        async with gate:
            found: list[str] = await search(question, number)
            return found

    return await asyncio.gather(*(one(question) for question in questions))


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

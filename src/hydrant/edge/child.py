"""The engine's optimizer in a process of its own.

In this process it would hold Python's global lock from beginning to end: a minute in which no thread runs, not
even one that only reads. So it works on a copy of the shard, in a child that imports nothing but the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from hydrant.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_POLL_SECONDS = 0.02
_DID_WORK, _NOTHING_TO_DO = 10, 11

# The child lowers its own priority, and asks Linux to end it together with its parent: a build that nobody
# waits for is wasted. Elsewhere it ends by itself when it has built.
_CODE = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[2])
try:
    os.nice(10)
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
except Exception:
    pass
import qdrant_edge
shard = qdrant_edge.EdgeShard.load(sys.argv[1])
done = shard.optimize()
shard.flush()
shard.close()
os._exit(10 if done else 11)
"""


def optimize_in_child(folder: Path, cancelled: Callable[[], bool]) -> bool | None:
    """Optimize a shard that nobody else has open.

    Args:
        folder: The shard's folder.
        cancelled: Asked while waiting; once it says yes, the child is ended.

    Returns:
        Whether there was anything to do; None when cancelled.

    Raises:
        EdgeError: The child could not be started, or failed; the message has its last words.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 -- this interpreter, with code from this file
            [sys.executable, "-I", "-S", "-c", _CODE, str(folder), json.dumps(sys.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        message = f"cannot start {sys.executable!r} to build an index: {error}"
        raise EdgeError(message) from error
    with child:
        words = _wait(child, cancelled)
    if words is None:
        return None
    if child.returncode in {_DID_WORK, _NOTHING_TO_DO}:
        return child.returncode == _DID_WORK
    message = f"building the index ended with code {child.returncode}: {words[-500:].strip() or 'no message'}"
    raise EdgeError(message)


def _wait(child: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> str | None:
    while True:
        try:
            _, words = child.communicate(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled():
                child.kill()
                child.communicate()
                return None
        else:
            return words.decode(errors="replace")

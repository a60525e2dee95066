"""An index that was opened before a fork."""

from __future__ import annotations

import subprocess
import sys
import textwrap

CODE = """
import os, sys, warnings
# Where it is installed, qdrant-client imports it, and the threads of its runtime hang a forked child at exit.
sys.modules["fastembed"] = None
from qdrant_client import models
from hydrant import EdgeClient
from hydrant.errors import EdgeError

warnings.simplefilter("ignore")
client = EdgeClient(":memory:")
client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
client.upsert("docs", [models.PointStruct(id=1, vector=[1.0, 0.0])])
child = os.fork()
if child == 0:
    try:
        client.query_points("docs", query=[1.0, 0.0])
    except EdgeError as error:
        print(error, flush=True)
        sys.exit(7)
    sys.exit(1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
print(len(client.query_points("docs", query=[1.0, 0.0]).points))
client.close()
"""


def test_a_forked_child_is_told_so_and_leaves_the_parents_index_alone():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE)], capture_output=True, text=True, timeout=60, check=False
    )
    message, status, found = done.stdout.splitlines()
    assert "before a fork" in message
    assert "make a client in the child" in message
    assert (status, found) == ("7", "1"), done.stderr
    assert "panicked" not in done.stderr

"""Flows without I/O, and the two drivers that run them.

A flow is a generator. It yields *steps*, things it wants done, and is sent each reply:

    def flow(self, state):
        vectors = yield Encode(self.encoder, [state.query.text])
        points = yield QdrantCall(self.client, "query_points", ...)
        return state.with_hits(...)

`run` executes the steps in the calling thread, `arun` awaits them; the flow is written once and serves both. A step is
an `Effect` (one piece of I/O or heavy work), `Together` (several steps side by side), `Within` (a flow under a
tighter time limit) or another flow. When a step fails, its error is thrown into the flow at the `yield`, so a fallback
is an ordinary `try`/`except`.

What cuts across all of it is done here and nowhere else: deadlines, retries, tracing. `rules.py` holds the rules
and yields three primitive requests (call, sleep, gather); `drivers.py` only carries those out.
"""

from hydrant.flow.drivers import arun, run
from hydrant.flow.steps import Effect, Flow, Retry, Together, Within
from hydrant.flow.tracing import Recorder

__all__ = ["Effect", "Flow", "Recorder", "Retry", "Together", "Within", "arun", "run"]

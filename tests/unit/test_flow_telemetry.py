"""The OpenTelemetry spans of a run, through the SDK."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from hydrant.flow import Effect, Together, Within, arun, run, tracing


@pytest.fixture
def exported(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("hydrant"))
    yield exporter, provider.get_tracer("caller")
    provider.shutdown()


class Named(Effect):
    def __init__(self, name, error=None):
        self.name = name
        self.error = error

    def call(self, timeout):
        if self.error is not None:
            raise self.error
        return self.name


class Inner(Effect):
    """An effect that traces something itself, as an instrumented HTTP client does."""

    name = "outer"

    def __init__(self, tracer):
        self.tracer = tracer

    def call(self, timeout):
        with self.tracer.start_as_current_span("http"):
            return


def search(tracer):
    def stage():
        yield Named("alone")
        yield Together([Named("left"), Within(side(), "right")])
        yield Inner(tracer)

    def side():
        yield Named("deep")

    yield Within(stage(), "stage")
    try:
        yield Named("broken", ValueError("no"))
    except ValueError:
        return None


@pytest.mark.parametrize("deadline", [None, 30])
@pytest.mark.parametrize("driver", ["sync", "async"])
def test_spans_have_the_right_parents(exported, driver, deadline):
    exporter, tracer = exported
    with tracer.start_as_current_span("caller"):
        if driver == "sync":
            run(search(tracer), deadline=deadline)
        else:
            asyncio.run(arun(search(tracer), deadline=deadline))
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    parents = {span.name: names.get(span.parent.span_id) if span.parent else None for span in spans}
    assert parents == {
        "caller": None,
        "stage": "caller",
        "alone": "stage",
        "left": "stage",
        "right": "stage",
        "deep": "right",
        "outer": "stage",
        "http": "outer",
        "broken": "caller",
    }
    assert len({span.context.trace_id for span in spans}) == 1


def test_a_failed_step_is_marked_with_its_error(exported):
    exporter, tracer = exported
    run(search(tracer))
    broken = next(span for span in exporter.get_finished_spans() if span.name == "broken")
    assert broken.status.status_code is StatusCode.ERROR
    assert broken.events[0].attributes["exception.type"] == "ValueError"
    fine = next(span for span in exporter.get_finished_spans() if span.name == "stage")
    assert fine.status.status_code is not StatusCode.ERROR


async def test_a_cancelled_run_ends_its_spans_without_complaint(exported, caplog):
    exporter, _ = exported

    class Forever(Effect):
        name = "forever"

        def call(self, timeout):
            raise AssertionError

        async def acall(self, timeout):
            await asyncio.sleep(60)

    def flow():
        yield Within(iter_once(Forever()), "stage")

    def iter_once(step):
        yield Together([step, step])

    task = asyncio.create_task(arun(flow()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(span.name for span in exporter.get_finished_spans()) == ["forever", "forever", "stage"]
    assert caplog.records == []

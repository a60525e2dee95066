"""A server that is slow, busy, gone or strict: over real HTTP on the loopback interface."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from hydrant import Bm25Encoder, Collection, Convex, Rrf
from hydrant.errors import CollectionError, CollectionNotFound, DeadlineExceeded
from hydrant.testing import HashEncoder

_SPEC = importlib.util.spec_from_file_location("qdrant_server", Path(__file__).with_name("qdrant_server.py"))
_SERVER = importlib.util.module_from_spec(_SPEC)
sys.modules["qdrant_server"] = _SERVER
_SPEC.loader.exec_module(_SERVER)
Fault, serving = _SERVER.Fault, _SERVER.serving

ITEMS = [
    {"id": number, "text": text}
    for number, text in enumerate(["keys and locks", "doors", "windows", "gardens"])
]


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def client(server):
    client = QdrantClient(url=server.url, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture
def docs(client):
    docs = Collection.create(client, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=2.0))
    assert docs.indexer(progress=False).add(ITEMS).added == 4
    return docs


class Both:
    """The same search through a sync and through an async client."""

    def __init__(self, server, driver, **options):
        self.server = server
        self.driver = driver
        self.options = options

    def search(self, **given):
        if self.driver == "sync":
            client = QdrantClient(url=self.server.url, check_compatibility=False, **self.options)
            try:
                docs = Collection.open(client, "docs", dense=HashEncoder(16))
                self.server.requests.clear()
                return docs.retriever(fusion=Rrf()).run("locks", **given)
            finally:
                client.close()
        return asyncio.run(self.asearch(**given))

    async def asearch(self, **given):
        client = AsyncQdrantClient(url=self.server.url, check_compatibility=False, **self.options)
        try:
            docs = await Collection.aopen(client, "docs", dense=HashEncoder(16))
            self.server.requests.clear()
            return await docs.retriever(fusion=Rrf()).arun("locks", **given)
        finally:
            await client.close()


@pytest.fixture(params=["sync", "async"])
def both(request, server, docs):
    return Both(server, request.param)


QUERY = ("POST", "/collections/docs/points/query/batch")


def test_a_server_answers_as_an_engine_does(docs, edge):
    beside = Collection.create(edge, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=2.0))
    beside.indexer(progress=False).add(ITEMS)
    for given in ({"sources": ("dense",)}, {"sources": ("sparse",)}, {"fusion": Convex(), "explain": True}):
        theirs, ours = (each.retriever(**given).run("keys doors") for each in (docs, beside))
        scores = {hit.id: (hit.passage, round(hit.score, 4)) for hit in theirs.hits}
        assert scores == {hit.id: (hit.passage, round(hit.score, 4)) for hit in ours.hits}


def test_a_search_is_one_request_over_the_wire(server, both):
    both.search()
    assert server.requests == [QUERY]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_answer_that_passes_is_tried_again(server, both, status):
    server.order(Fault(status), Fault(status))
    result = both.search()
    assert result.hits[0].id == 0
    assert server.requests == [QUERY] * 3
    (span,) = [span for span in result.trace if span.name == "qdrant query_batch_points"]
    assert span.attempts == 3


def test_too_many_requests_are_repeated_after_the_time_the_server_asks_for(server, both):
    server.order(Fault(429, {"Retry-After": "1"}))
    start = time.perf_counter()
    assert both.search().hits[0].id == 0
    assert 1.0 <= time.perf_counter() - start < 3
    assert server.requests == [QUERY] * 2


def test_a_wait_beyond_the_deadline_is_not_begun(server, both):
    server.order(*[Fault(429, {"Retry-After": "30"})] * 3)
    start = time.perf_counter()
    with pytest.raises((ResourceExhaustedResponse, DeadlineExceeded)):
        both.search(deadline=1.0)
    assert time.perf_counter() - start < 1.6
    assert server.requests == [QUERY]


def test_a_connection_that_is_cut_is_tried_again(server, both):
    server.order(Fault(reset=True))
    assert both.search().hits[0].id == 0
    assert server.requests == [QUERY] * 2


def test_a_failure_that_does_not_pass_ends_after_three_tries(server, both):
    server.order(*[Fault(503)] * 10)
    with pytest.raises(UnexpectedResponse, match="503"):
        both.search()
    assert server.requests == [QUERY] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_refusal_is_not_repeated_and_says_what_the_server_said(server, both, status):
    server.order(Fault(status))
    with pytest.raises((UnexpectedResponse, CollectionError), match="ordered by the test"):
        both.search()
    assert [each for each in server.requests if each == QUERY] == [QUERY]


def test_a_server_that_hangs_is_answered_on_time(server, both):
    server.order(Fault(hang=3.0))
    start = time.perf_counter()
    with pytest.raises(DeadlineExceeded, match="query_batch_points"):
        both.search(deadline=0.3)
    assert time.perf_counter() - start < 1.5


def test_a_server_that_hangs_is_an_error_after_the_clients_own_timeout_too(server, docs):
    server.order(*[Fault(hang=1.5)] * 3)
    both = Both(server, "sync", timeout=1)
    start = time.perf_counter()
    with pytest.raises(ResponseHandlingException):
        both.search()
    assert time.perf_counter() - start < 8


def test_nobody_listening_is_a_clear_error(server):
    client = QdrantClient(url="http://127.0.0.1:9", check_compatibility=False)
    with pytest.raises(ResponseHandlingException, match="refused"):
        Collection.open(client, "docs", dense=HashEncoder(16))
    client.close()


def test_a_wrong_key_is_refused_at_once(server, docs):
    server.key = "right"
    for driver in ("sync", "async"):
        with pytest.warns(UserWarning, match="insecure"), pytest.raises(UnexpectedResponse, match="401"):
            Both(server, driver, api_key="wrong").search()
        with pytest.warns(UserWarning, match="insecure"):
            assert Both(server, driver, api_key="right").search().hits


def test_a_missing_collection_lists_what_the_server_has(server, docs, client):
    with pytest.raises(CollectionNotFound, match=r"'other'.*'docs'"):
        Collection.open(client, "other", dense=HashEncoder(16))


def test_a_server_too_old_for_the_fusion_is_named_with_its_version(server, both):
    server.order(Fault(400, body='{"status": {"error": "Format error in JSON body: unknown field `rrf`"}}'))
    with pytest.raises(CollectionError, match=r"(?s)Qdrant 1\.15\.9 refused.*rrf.*1\.16 or later"):
        both.search()


def test_a_refusal_reaches_the_caller_even_where_the_server_does_not_tell_its_version(server, both):
    server.order(Fault(400), *[Fault(404)] * 3, at="/points|^/$")
    with pytest.raises(CollectionError, match="ordered by the test"):
        both.search()


# ---- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(503), Fault(429, {"Retry-After": "0"}), Fault(reset=True)])
def test_indexing_goes_on_after_a_failure_that_passes_and_stores_everything_once(server, docs, fault):
    items = [{"id": number, "text": f"text {number}"} for number in range(100, 400)]
    server.order(fault, fault, at="points$")
    report = docs.indexer(progress=False).add(items)
    assert (report.added, report.failures) == (300, ())
    assert docs.count() == 304


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_indexing_against_a_server_that_is_gone_ends_with_its_error_and_resumes(server, docs, driver):
    items = [{"id": number, "text": f"text {number}"} for number in range(100, 700)]
    indexer = docs.indexer(progress=False, window=256)

    def add():
        return indexer.add(items) if driver == "sync" else asyncio.run(indexer.aadd(items))

    server.order(*[Fault(503)] * 3, at="points$")
    with pytest.raises(UnexpectedResponse, match="503"):
        add()
    server.faults.clear()
    report = add()
    assert report.added + report.unchanged == 600
    assert docs.count() == 604


def test_one_point_that_the_server_refuses_costs_no_other(server, docs):
    refused = []
    upsert = server.upsert

    def strict(name, body):
        if any(point["id"] == 113 for point in body["points"]):
            refused.append(len(body["points"]))
            raise ValueError("Wrong input: point 113 is cursed")
        return upsert(name, body)

    server.upsert = strict
    report = docs.indexer(progress=False).add(
        [{"id": number, "text": f"text {number}"} for number in range(100, 130)]
    )
    assert report.added == 29
    assert [failure.source for failure in report.failures] == ["113"]
    assert "cursed" in report.failures[0].reason


def test_files_are_indexed_and_pruned_against_a_server(server, docs, tmp_path):
    (tmp_path / "a.txt").write_text("zebras graze")
    (tmp_path / "b.txt").write_text("lions hunt")
    assert docs.indexer(progress=False).add_paths([tmp_path]).added == 2
    assert docs.indexer(progress=False).add_paths([tmp_path]).files_unchanged == 2
    (tmp_path / "b.txt").unlink()
    (tmp_path / "a.txt").write_text("zebras run")
    report = docs.indexer(progress=False).add_paths([tmp_path], prune=True)
    assert (report.added, report.deleted) == (1, 2)
    assert docs.count() == 5

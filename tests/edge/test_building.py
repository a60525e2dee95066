"""Indexes are built in the background, in a child process, while the collection is used."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qdrant_client import models

from hydrant.edge import EdgeClient, child
from hydrant.edge.policy import Policy
from hydrant.edge.shard import Counts
from hydrant.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM = 32
ROWS = np.random.default_rng(0).normal(size=(6000, DIM)).astype(np.float32)


def create(client: EdgeClient, threshold: int = 200) -> None:
    client.create_collection(
        "docs",
        models.VectorParams(size=DIM, distance=models.Distance.COSINE),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold),
        hnsw_config=models.HnswConfigDiff(full_scan_threshold=10),
    )


def upload(client: EdgeClient, start: int, stop: int) -> None:
    client.upload_collection("docs", ROWS[start:stop], ids=range(start, stop), batch_size=500)


def wait_for(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_enough_vectors_are_indexed_without_being_asked(edge: EdgeClient) -> None:
    create(edge)
    upload(edge, 0, 4000)
    assert edge.get_collection("docs").status == models.CollectionStatus.YELLOW
    wait_for(lambda: edge.get_collection("docs").status == models.CollectionStatus.GREEN)
    info = edge.get_collection("docs")
    assert (info.points_count, info.indexed_vectors_count) == (4000, 4000)
    assert info.optimizer_status == models.OptimizersStatusOneOf.OK


def test_few_vectors_are_left_alone(edge: EdgeClient) -> None:
    create(edge, threshold=10_000)
    upload(edge, 0, 1000)
    info = edge.get_collection("docs")
    assert (info.status, info.indexed_vectors_count) == (models.CollectionStatus.GREEN, 0)


def test_writes_during_a_build_are_all_in_what_was_built(
    edge: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(edge, threshold=50)
    upload(edge, 0, 3000)
    started, go_on = threading.Event(), threading.Event()
    real = child.optimize_in_child

    def slow(folder: Path, cancelled: Callable[[], bool]) -> bool | None:
        done = real(folder, cancelled)
        started.set()
        go_on.wait(30)
        return done

    monkeypatch.setattr("hydrant.edge.rebuild.optimize_in_child", slow)
    assert started.wait(40)
    old = edge._client.store.collection("docs").shard.folder
    upload(edge, 3000, 3500)
    edge.delete("docs", models.Filter(must=[models.HasIdCondition(has_id=list(range(100)))]))
    edge.set_payload("docs", {"late": True}, points=[200])
    edge.create_payload_index("docs", "late", "bool")
    edge.delete("docs", [3400])
    go_on.set()
    wait_for(lambda: edge._client.store.collection("docs").shard.folder != old)
    wait_for(lambda: not old.exists())
    assert edge.count("docs").count == 3399
    assert edge.retrieve("docs", [200])[0].payload == {"late": True}
    assert edge.retrieve("docs", [5, 3400]) == []
    assert "late" in edge.get_collection("docs").payload_schema
    folder = edge.location
    edge.close()
    with EdgeClient(folder) as again:
        assert again.count("docs").count == 3399
        assert again.get_collection("docs").indexed_vectors_count >= 3000


def test_readers_and_writers_go_on_while_an_index_is_built(edge: EdgeClient) -> None:
    create(edge, threshold=1_000_000)
    upload(edge, 0, 6000)
    builder = threading.Thread(target=edge.optimize, args=("docs",))
    waits = []
    builder.start()
    at = 100_000
    while builder.is_alive():
        start = time.perf_counter()
        assert len(edge.query_points("docs", ROWS[3], limit=3).points) == 3
        edge.upsert("docs", [models.PointStruct(id=at, vector=ROWS[5].tolist())])
        waits.append(time.perf_counter() - start)
        at += 1
        time.sleep(0.005)
    builder.join()
    assert len(waits) > 5
    assert edge.count("docs").count == 6000 + at - 100_000


def test_optimize_waits_and_says_whether_there_was_anything_to_do(edge: EdgeClient) -> None:
    create(edge)
    upload(edge, 0, 3000)
    assert edge.optimize("docs") is True or edge.get_collection("docs").indexed_vectors_count == 3000
    assert edge.get_collection("docs").indexed_vectors_count == 3000
    assert edge.optimize("docs") is False


def test_the_indexed_collection_finds_what_an_exact_search_finds(edge: EdgeClient) -> None:
    create(edge)
    upload(edge, 0, 4000)
    edge.optimize("docs")
    exact = models.SearchParams(exact=True)
    same = [
        {hit.id for hit in edge.query_points("docs", row).points}
        & {hit.id for hit in edge.query_points("docs", row, search_params=exact).points}
        for row in ROWS[5000:5040]
    ]
    assert sum(map(len, same)) / 400 > 0.95


def test_a_build_that_fails_is_told_and_harms_nothing(
    edge: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(edge)

    def fail(_folder: Path, _cancelled: Callable[[], bool]) -> bool:
        raise EdgeError("the child was killed")

    monkeypatch.setattr("hydrant.edge.rebuild.optimize_in_child", fail)
    upload(edge, 0, 4000)
    wait_for(lambda: edge.get_collection("docs").optimizer_status != models.OptimizersStatusOneOf.OK)
    status = edge.get_collection("docs").optimizer_status
    assert isinstance(status, models.OptimizersStatusOneOf1)
    assert "the child was killed" in status.error
    assert edge.count("docs").count == 4000
    with pytest.raises(EdgeError, match="killed"):
        edge.optimize("docs")
    assert len(list((edge._client.store.folder / "shards").iterdir())) == 1


def test_a_child_that_cannot_read_the_shard_says_why(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(EdgeError, match=r"(?s)ended with code 1: .*no segments were loaded"):
        child.optimize_in_child(tmp_path / "nothing", lambda: False)


def test_a_collection_deleted_during_its_build_is_gone(edge: EdgeClient) -> None:
    create(edge, threshold=50)
    upload(edge, 0, 6000)
    wait_for(lambda: edge._client.store.indexer.progress("docs").building)
    edge.delete_collection("docs")
    wait_for(lambda: not any((edge._client.store.folder / "shards").iterdir()))
    assert edge.get_collections().collections == []


POLICY = Policy(threshold_kb=100, point_kb=1, names=("",), deleted_share=0.2, deleted_points=10)


def counts(
    points: int, indexed: int, upserted: int = 0, base: int | None = None, quiet: float = 9.0
) -> Counts:
    return Counts(points, points, indexed, upserted, points if base is None else base, quiet)


@pytest.mark.parametrize(
    ("state", "accepted", "waited", "due"),
    [
        (counts(50, 0), 0, 0, False),  # too little to be worth it
        (counts(150, 0), 0, 0, True),
        (counts(150, 0), 80, 0, False),  # the last build left most of it on purpose
        (counts(150, 0, quiet=0.1), 0, 0, False),  # writes are pouring in
        (counts(150, 0, quiet=0.1), 0, 60, True),  # for long enough now
        (counts(900, 0, quiet=0.1), 0, 0, True),  # so much that it cannot wait
        (counts(5000, 4100, quiet=0.1), 0, 0, False),  # but it is little beside what is indexed
        (counts(100, 100, upserted=50, base=100), 0, 0, True),  # a third of the points is written over
        (counts(100, 100, upserted=5, base=100), 0, 0, False),
    ],
)
def test_policy_builds_when_it_is_worth_it(state: Counts, accepted: float, waited: float, due: bool) -> None:
    assert POLICY.is_due(state, accepted, waited) is due


def test_policy_never_builds_at_a_threshold_of_zero() -> None:
    config = models.CreateCollection(
        vectors=models.VectorParams(size=4, distance=models.Distance.DOT),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
    )
    assert not Policy.of(config).is_due(counts(10**7, 0), 0, 0)

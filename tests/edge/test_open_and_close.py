"""Opening, sharing and leaving an index folder."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from hydrant.edge import AsyncEdgeClient, EdgeClient
from hydrant.edge.store import MEMORY
from hydrant.errors import CollectionInUse, EdgeError, FormatError, StorageError

VECTORS = models.VectorParams(size=2, distance=models.Distance.COSINE)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def filled(folder: Path, count: int = 3) -> EdgeClient:
    client = EdgeClient(folder)
    client.create_collection("docs", VECTORS, metadata={"made": "here", "empty": None})
    client.upsert(
        "docs", [models.PointStruct(id=at, vector=[1.0, at], payload={"at": at}) for at in range(count)]
    )
    return client


def test_both_clients_are_what_frameworks_check_for() -> None:
    client = EdgeClient(MEMORY)
    assert isinstance(client, QdrantClient)
    assert isinstance(client.async_client(), AsyncQdrantClient)
    assert isinstance(AsyncEdgeClient(MEMORY).sync_client(), EdgeClient)


def test_nothing_is_touched_before_the_first_call(tmp_path: Path) -> None:
    client = EdgeClient(tmp_path / "index")
    assert not (tmp_path / "index").exists()
    assert client.get_collections().collections == []
    assert (tmp_path / "index").is_dir()
    client.close()


def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    filled(tmp_path / "index").close()
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 3
        assert client.get_collection("docs").config.metadata == {"made": "here", "empty": None}
        assert client.get_collection("docs").config.params.vectors == VECTORS


@pytest.mark.parametrize("size", [0, 33_554_432])
def test_a_log_file_that_a_crash_left_without_a_header_costs_nothing(tmp_path: Path, size: int) -> None:
    filled(tmp_path / "index").close()
    (log,) = (tmp_path / "index" / "shards").glob("*/wal")
    reserved = log / "open-7"
    with reserved.open("wb") as file:
        file.truncate(size)
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 3
        client.upsert("docs", [models.PointStruct(id=9, vector=[1.0, 9.0])])
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 4
    assert not reserved.exists()


def test_a_damaged_log_file_is_left_alone_and_said(tmp_path: Path) -> None:
    filled(tmp_path / "index").close()
    (log,) = (tmp_path / "index" / "shards").glob("*/wal")
    damaged = log / "open-7"
    damaged.write_bytes(b"\0" * 4096 + b"an entry" + b"\0" * 4096)
    with pytest.raises(EdgeError, match="open 'docs'"), EdgeClient(tmp_path / "index") as client:
        client.count("docs")
    assert damaged.exists()


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    client = filled(tmp_path / "index")
    client.close()
    client.close()
    for call in (
        client.get_collections,
        lambda: client.count("docs"),
        lambda: client.collection_exists("docs"),
    ):
        with pytest.raises(EdgeError, match="closed"):
            call()


def test_a_second_client_in_this_process_is_refused(tmp_path: Path) -> None:
    with filled(tmp_path / "index"), pytest.raises(CollectionInUse, match=str(os.getpid())):
        EdgeClient(tmp_path / "index").get_collections()
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 3


def test_a_second_process_is_told_who_holds_the_index(tmp_path: Path) -> None:
    with filled(tmp_path / "index"):
        code = "import sys; from hydrant.edge import EdgeClient; EdgeClient(sys.argv[1]).get_collections()"
        answer = run(code, str(tmp_path / "index"))
    assert answer.returncode != 0
    assert (
        f"CollectionInUse: the index {str(tmp_path / 'index')!r} is held by process {os.getpid()}"
        in answer.stderr
    )


def test_a_program_that_ends_without_closing_loses_nothing_and_does_not_hang(tmp_path: Path) -> None:
    code = """
    import sys
    from qdrant_client import models
    from hydrant.edge import EdgeClient
    client = EdgeClient(sys.argv[1])
    client.create_collection("docs", models.VectorParams(size=2, distance="Cosine"))
    client.upsert("docs", [models.PointStruct(id=1, vector=[1, 2])])
    """
    answer = run(code, str(tmp_path / "index"))
    assert (answer.returncode, answer.stderr) == (0, "")
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 1


def test_a_program_that_ends_while_an_index_is_built_does_not_hang(tmp_path: Path) -> None:
    code = """
    import sys, time
    import numpy as np
    from qdrant_client import models
    from hydrant.edge import EdgeClient
    client = EdgeClient(sys.argv[1])
    client.create_collection(
        "docs", models.VectorParams(size=64, distance="Dot"),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
        hnsw_config=models.HnswConfigDiff(ef_construct=400, m=64),
    )
    client.upload_collection("docs", np.random.default_rng(0).normal(size=(20000, 64)).astype("f4"), ids=range(20000))
    while not client._client.store.indexer.progress("docs").building:
        time.sleep(0.01)
    time.sleep(0.3)
    """
    answer = run(code, str(tmp_path / "index"))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert len(list((tmp_path / "index" / "shards").iterdir())) == 1
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 20_000


def test_a_collected_client_gives_the_folder_back(tmp_path: Path) -> None:
    client = filled(tmp_path / "index")
    del client
    gc.collect()
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 3


def test_a_temporary_index_is_removed(tmp_path: Path) -> None:
    client = EdgeClient(MEMORY)
    client.create_collection("docs", VECTORS)
    folder = client._client.store.folder
    assert folder.is_dir()
    client.close()
    assert not folder.exists()

    code = """
    from qdrant_client import models
    from hydrant.edge import EdgeClient
    client = EdgeClient(":memory:")
    client.create_collection("docs", models.VectorParams(size=2, distance="Cosine"))
    print(client._client.store.folder)
    """
    answer = run(code)
    assert answer.returncode == 0
    assert not Path(answer.stdout.strip()).exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FormatError, match=r"notes\.txt is a file"):
        EdgeClient(path).get_collections()
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_folder_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FormatError, match=r"meta\.json"):
        EdgeClient(tmp_path).get_collections()
    assert [path.name for path in tmp_path.iterdir()] == ["meta.json"]


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "index").close()
    catalog = tmp_path / "index" / "edge.json"
    document = json.loads(catalog.read_text(encoding="utf-8"))
    catalog.write_text(json.dumps({**document, "format": 7}), encoding="utf-8")
    with pytest.raises(FormatError, match="format 7; this version of hydrant reads up to 1"):
        EdgeClient(tmp_path / "index").get_collections()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 1}', '{"format": 1, "collections": {"a": {}}, "aliases": {}}']
)
def test_a_damaged_catalog_is_named(tmp_path: Path, content: str) -> None:
    filled(tmp_path / "index").close()
    (tmp_path / "index" / "edge.json").write_text(content, encoding="utf-8")
    with pytest.raises(FormatError, match=r"edge\.json"):
        EdgeClient(tmp_path / "index").get_collections()


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_place_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="index"):
        EdgeClient(tmp_path / "index").get_collections()


def test_a_full_disk_refuses_the_change_and_keeps_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    with filled(tmp_path / "index") as client:
        real = os.fsync

        def full(handle: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            client.create_collection("more", VECTORS)
        monkeypatch.setattr(os, "fsync", real)
        assert not client.collection_exists("more")
        assert client.count("docs").count == 3
        client.create_collection("more", VECTORS)


def test_what_a_crash_left_behind_is_swept_up(tmp_path: Path) -> None:
    filled(tmp_path / "index").close()
    orphan = tmp_path / "index" / "shards" / "0123"
    orphan.mkdir()
    (orphan / "half").write_bytes(b"x")
    with EdgeClient(tmp_path / "index") as client:
        assert client.count("docs").count == 3
    assert not orphan.exists()


def test_many_threads_read_and_write_one_client(edge: EdgeClient) -> None:
    edge.create_collection("docs", VECTORS)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for at in range(60):
                own = worker * 1000 + at
                edge.upsert(
                    "docs", [models.PointStruct(id=own, vector=[1.0, own], payload={"worker": worker})]
                )
                assert edge.retrieve("docs", [own])[0].payload == {"worker": worker}
                assert edge.query_points("docs", [1.0, 0.5], limit=3).points
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert edge.count("docs").count == 480


async def test_async_and_sync_share_one_engine(tmp_path: Path) -> None:
    import asyncio

    async with AsyncEdgeClient(tmp_path / "index") as client:
        assert await client.create_collection("docs", VECTORS)
        await asyncio.gather(
            *(client.upsert("docs", [models.PointStruct(id=at, vector=[1, at])]) for at in range(20))
        )
        assert (await client.count("docs")).count == 20
        assert client.sync_client().count("docs").count == 20
        found = await client.query_points("docs", [0.0, 1.0], limit=2)
        assert [hit.id for hit in found.points] == [19, 18]
        assert await client.optimize("docs") in {True, False}
        with pytest.raises(ValueError, match="nothing not found"):
            await client.count("nothing")
    with pytest.raises(EdgeError, match="closed"):
        await client.count("docs")

"""Bad input is refused with the value in the message, before it can reach the write-ahead log."""

from __future__ import annotations

import asyncio
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.client_base import QdrantBase

from hydrant.edge import EdgeBackend, EdgeClient
from hydrant.edge.unsupported import UNSUPPORTED
from hydrant.errors import (
    CollectionExists,
    CollectionNotFound,
    FilterError,
    HydrantError,
    InputError,
    UnknownArgument,
    UnknownVector,
    UnsupportedByEdge,
    VectorMismatch,
)

GOOD = [0.5, 0.5]
DEEP: dict[str, Any] = {"x": 1}
for _ in range(120):
    DEEP = {"x": DEEP}
VERY_DEEP = DEEP
for _ in range(5000):
    VERY_DEEP = {"x": VERY_DEEP}
SPARSE = models.SparseVector(indices=[1, 2], values=[0.5, 0.5])


@pytest.fixture
def docs(edge: EdgeClient) -> EdgeClient:
    edge.create_collection(
        "docs",
        vectors_config={
            "dense": models.VectorParams(size=2, distance=models.Distance.COSINE),
            "multi": models.VectorParams(
                size=2,
                distance=models.Distance.COSINE,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    edge.upsert("docs", [models.PointStruct(id=1, vector={"dense": GOOD}, payload={"a": 1})])
    return edge


BAD_VECTORS: list[tuple[dict[str, Any], type[HydrantError], str]] = [
    ({"dense": [1.0, 2.0, 3.0]}, VectorMismatch, "size 2; got 3"),
    ({"dense": []}, VectorMismatch, "size 2; got 0"),
    ({"dense": [1.0, math.nan]}, VectorMismatch, "nan at position 1"),
    ({"dense": [math.inf, 1.0]}, VectorMismatch, "inf at position 0"),
    ({"dense": [1e300, 1.0]}, VectorMismatch, r"1e\+300 at position 0"),
    ({"dense": [[1.0, 2.0], [3.0, 4.0]]}, VectorMismatch, "flat list"),
    ({"dense": SPARSE}, VectorMismatch, "a dense vector of 2 numbers"),
    ({"multi": [1.0, 2.0]}, VectorMismatch, "list of vectors"),
    ({"multi": []}, VectorMismatch, "non-empty"),
    ({"multi": [[1.0, 2.0], [1.0]]}, VectorMismatch, "size 2; got 1"),
    ({"multi": [[1.0, math.nan]]}, VectorMismatch, "nan"),
    ({"sparse": [1.0, 2.0]}, VectorMismatch, "a SparseVector"),
    ({"sparse": models.SparseVector(indices=[1, 1], values=[1.0, 2.0])}, VectorMismatch, "unique"),
    ({"sparse": models.SparseVector(indices=[1], values=[1.0, 2.0])}, VectorMismatch, "as many indices"),
    ({"sparse": models.SparseVector(indices=[-1], values=[1.0])}, VectorMismatch, "4294967295"),
    ({"sparse": models.SparseVector(indices=[1], values=[math.nan])}, VectorMismatch, "nan"),
    ({"dence": GOOD}, UnknownVector, r"\['dense', 'multi'\] and sparse vectors \['sparse'\]; got 'dence'"),
]


@pytest.mark.parametrize(("vector", "kind", "words"), BAD_VECTORS)
def test_bad_vector_is_refused_and_leaves_no_trace(
    docs: EdgeClient, tmp_path: Path, vector: dict[str, Any], kind: type[HydrantError], words: str
) -> None:
    bad = models.PointStruct.model_construct(id=7, vector=vector, payload={})
    for write in (
        lambda: docs.upsert("docs", [bad]),
        lambda: docs.update_vectors("docs", [models.PointVectors.model_construct(id=1, vector=vector)]),
        lambda: docs.upload_points("docs", [bad]),
    ):
        with pytest.raises(kind, match=words):
            write()
    # What the engine refuses itself may still be half in its log; this must not get that far.
    docs.close()
    with EdgeClient(tmp_path / "index") as again:
        assert again.retrieve("docs", [7]) == []
        assert again.count("docs").count == 1


def test_unnamed_vector_of_a_collection_with_names_is_refused(docs: EdgeClient) -> None:
    with pytest.raises(UnknownVector, match="got the unnamed vector"):
        docs.upsert("docs", [models.PointStruct(id=2, vector=GOOD)])
    with pytest.raises(UnknownVector, match="got the unnamed vector"):
        docs.query_points("docs", GOOD)


def test_an_empty_sparse_vector_is_stored_and_found_by_nothing(docs: EdgeClient) -> None:
    """As in local mode and on a server: a text of stop words alone is a document all the same."""
    empty = models.SparseVector(indices=[], values=[])
    docs.upsert("docs", [models.PointStruct(id=2, vector={"sparse": empty})])
    assert docs.count("docs").count == 2
    assert docs.query_points("docs", SPARSE, using="sparse").points == []


@pytest.mark.parametrize("bad", [-1, 2**64, "abc", "", 1.5, None, True])
def test_id_of_the_wrong_kind_is_refused(docs: EdgeClient, bad: Any) -> None:
    point = models.PointStruct.model_construct(id=bad, vector={"dense": GOOD}, payload={})
    with pytest.raises(InputError, match="unsigned 64-bit integer or a UUID"):
        docs.upsert("docs", [point])
    with pytest.raises(InputError, match="unsigned 64-bit integer or a UUID"):
        docs.retrieve("docs", [bad])


@pytest.mark.parametrize(
    "payload", [{"x": math.nan}, {"x": [1, {"y": math.inf}]}, {"x": object()}, [1], "text", DEEP, VERY_DEEP]
)
def test_payload_that_is_no_json_is_refused(docs: EdgeClient, payload: Any) -> None:
    point = models.PointStruct.model_construct(id=5, vector={}, payload=payload)
    with pytest.raises(InputError, match="payload"):
        docs.upsert("docs", [point])


def test_payload_values_become_json_as_for_a_server(docs: EdgeClient) -> None:
    import datetime as dt
    import uuid

    payload = {"when": dt.datetime(2020, 1, 2, tzinfo=dt.UTC), "who": uuid.UUID(int=1), 5: (1, 2)}
    docs.upsert("docs", [models.PointStruct.model_construct(id=5, vector={}, payload=payload)])
    stored = docs.retrieve("docs", [5])[0].payload
    assert stored == {"when": "2020-01-02T00:00:00Z", "who": str(uuid.UUID(int=1)), "5": [1, 2]}


def test_collection_that_is_not_there_is_a_value_error_as_in_local_mode(docs: EdgeClient) -> None:
    for call in (
        lambda: docs.count("nope"),
        lambda: docs.get_collection("nope"),
        lambda: docs.query_points("nope", GOOD),
        lambda: docs.upsert("nope", [models.PointStruct(id=1, vector=GOOD)]),
        lambda: docs.update_collection("nope", metadata={}),
    ):
        with pytest.raises(CollectionNotFound, match=r"Collection nope not found; the index has \['docs'\]"):
            call()
        with pytest.raises(ValueError, match="nope"):
            call()
    assert docs.collection_exists("nope") is False
    assert docs.delete_collection("nope") is False


def test_collection_that_is_there_cannot_be_created(docs: EdgeClient) -> None:
    with pytest.raises(CollectionExists, match="docs"):
        docs.create_collection("docs", models.VectorParams(size=2, distance=models.Distance.DOT))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", "x" * 256])
def test_name_that_no_folder_can_have_is_refused(docs: EdgeClient, name: str) -> None:
    with pytest.raises(InputError, match="Collection name"):
        docs.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))


BAD_QUERIES: list[tuple[dict[str, Any], type[HydrantError], str]] = [
    ({"query": [1.0], "using": "dense"}, VectorMismatch, "size 2; got 1"),
    ({"query": [1.0, math.nan], "using": "dense"}, VectorMismatch, "nan"),
    ({"query": GOOD, "using": "other"}, UnknownVector, "'other'"),
    ({"query": 99, "using": "dense"}, InputError, "Point 99 is not found"),
    ({"query": 1, "using": "multi"}, UnknownVector, "for point 1 not found"),
    ({"query": GOOD, "using": "dense", "limit": 0}, InputError, "limit value 0"),
    ({"query": GOOD, "using": "dense", "offset": -1}, InputError, "offset value -1"),
    ({"query": models.FusionQuery(fusion=models.Fusion.RRF)}, InputError, "at least one"),
    ({"prefetch": models.Prefetch(query=GOOD, using="dense")}, InputError, "needed to merge"),
    (
        {
            "query": models.RrfQuery(rrf=models.Rrf(k=0)),
            "prefetch": models.Prefetch(query=GOOD, using="dense"),
        },
        InputError,
        "k value 0",
    ),
    ({"query": models.OrderByQuery(order_by="a")}, FilterError, "index"),
    (
        {"query": models.NearestQuery(nearest=SPARSE, mmr=models.Mmr()), "using": "sparse"},
        UnsupportedByEdge,
        "sparse vector 'sparse'",
    ),
    (
        {"query": GOOD, "using": "dense", "shard_key_selector": "eu"},
        UnsupportedByEdge,
        "shard_key_selector='eu'",
    ),
    (
        {
            "query": GOOD,
            "using": "dense",
            "query_filter": models.Filter(must=[models.FieldCondition(key="a[[", is_null=True)]),
        },
        InputError,
        "JSON path",
    ),
]


@pytest.mark.parametrize(("request_", "kind", "words"), BAD_QUERIES)
def test_bad_query_is_refused(
    docs: EdgeClient, request_: dict[str, Any], kind: type[HydrantError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        docs.query_points("docs", **request_)


def test_payload_as_deep_as_allowed_can_be_read_back(docs: EdgeClient, tmp_path: Path) -> None:
    payload: dict[str, Any] = {"x": 1}
    for _ in range(99):
        payload = {"x": payload}
    docs.upsert("docs", [models.PointStruct(id=5, vector={}, payload=payload)])
    docs.close()
    with EdgeClient(tmp_path / "index") as again:
        assert again.retrieve("docs", [5])[0].payload == payload


def test_what_would_end_the_process_is_refused(docs: EdgeClient) -> None:
    docs.create_payload_index("docs", "f", "float")
    with pytest.raises(InputError, match="start_from"):
        docs.scroll("docs", order_by=models.OrderBy(key="f", start_from=math.nan))
    nan_range = models.Filter(must=[models.FieldCondition(key="f", range=models.Range(gte=math.nan))])
    with pytest.raises(FilterError, match="nan"):
        docs.count("docs", nan_range)
    assert docs.count("docs").count == 1


def test_formula_without_a_value_says_what_is_wrong(docs: EdgeClient) -> None:
    with pytest.raises(InputError, match="missing field without a default"):
        docs.query_points(
            "docs",
            query=models.FormulaQuery(formula="nothing"),
            prefetch=models.Prefetch(query=GOOD, using="dense"),
        )


@pytest.mark.parametrize("key", ["", "a[["])
def test_path_that_is_none_is_refused(docs: EdgeClient, key: str) -> None:
    for call in (
        lambda: docs.create_payload_index("docs", key, "keyword"),
        lambda: docs.delete_payload_index("docs", key),
        lambda: docs.facet("docs", key),
        lambda: docs.scroll("docs", order_by=key),
        lambda: docs.delete_payload("docs", [key], [1]),
    ):
        with pytest.raises(InputError, match="path"):
            call()


def test_unknown_argument_is_refused(docs: EdgeClient) -> None:
    with pytest.raises(UnknownArgument, match="querry_filter"):
        docs.query_points("docs", GOOD, using="dense", querry_filter=None)
    with pytest.raises(TypeError):
        docs.query_points("docs", GOOD, using="dense", querry_filter=None)


def test_arguments_of_a_server_are_accepted_where_they_change_nothing(docs: EdgeClient) -> None:
    point = models.PointStruct(id=3, vector={"dense": GOOD})
    docs.upsert("docs", [point], wait=False, ordering=models.WriteOrdering.STRONG, timeout=3)
    assert docs.query_points("docs", GOOD, using="dense", consistency="all", timeout=1).points
    assert docs.retrieve("docs", [3], consistency=1)


def test_no_points_are_refused_as_in_local_mode(docs: EdgeClient) -> None:
    with pytest.raises(InputError, match="no points"):
        docs.upsert("docs", [])


def test_every_call_of_a_backend_is_there() -> None:
    calls = {name for name in vars(QdrantBase) if not name.startswith("_")}
    missing = {name for name in calls if getattr(EdgeBackend, name) is vars(QdrantBase)[name]}
    assert missing == set()


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_engine_lacks_is_refused_by_name(docs: EdgeClient, name: str) -> None:
    declared = inspect.signature(getattr(QdrantClient, name)).parameters.values()
    needed = [
        parameter.name
        for parameter in declared
        if parameter.default is parameter.empty
        and parameter.name != "self"
        and parameter.kind != parameter.VAR_KEYWORD
    ]
    arguments = dict.fromkeys(needed, "docs")
    with pytest.raises(UnsupportedByEdge, match=name):
        getattr(docs, name)(**arguments)
    with pytest.raises(NotImplementedError):
        asyncio.run(getattr(docs.async_client(), name)(**arguments))


def test_the_documentation_lists_what_is_refused() -> None:
    page = (Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")
    for name in UNSUPPORTED:
        assert f"`{name}`" in page

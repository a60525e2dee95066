"""Random sequences of writes leave the same points behind in both engines."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models
from world import NAME, WORDS, assert_same_records

from hydrant.edge import EdgeClient
from hydrant.errors import InputError

FEW = 200 if os.environ.get("HYDRANT_LONG") == "1" else 25
SIZE = 3

ids = st.integers(0, 12)
some_ids = st.lists(ids, min_size=1, max_size=4, unique=True)
numbers = st.lists(
    st.floats(-4, 4, width=32).map(lambda v: round(v, 3)), min_size=SIZE, max_size=SIZE
).filter(any)
sparse = st.dictionaries(st.integers(0, 9), st.floats(0.25, 2, width=32), min_size=1, max_size=3).map(
    lambda v: models.SparseVector(indices=list(v), values=list(v.values()))
)
payloads = st.dictionaries(
    st.sampled_from(("a", "b", "c")),
    st.one_of(
        st.integers(-3, 3),
        st.sampled_from(WORDS),
        st.lists(st.integers(0, 3), max_size=3),
        st.fixed_dictionaries({"x": st.integers(0, 3), "y": st.lists(st.sampled_from(WORDS), max_size=2)}),
        st.none(),
        st.booleans(),
    ),
    max_size=3,
)
vectors = st.one_of(
    st.fixed_dictionaries({"v": numbers}, optional={"s": sparse}),
    st.fixed_dictionaries({"s": sparse}),
    st.just({}),
)
point = st.builds(models.PointStruct, id=ids, vector=vectors, payload=st.one_of(st.none(), payloads))
unique_points = st.lists(point, min_size=1, max_size=5, unique_by=lambda p: p.id)
some_filter = st.integers(-3, 3).map(
    lambda v: models.Filter(should=[models.FieldCondition(key="a", match=models.MatchValue(value=v))])
)
selectors = st.one_of(some_ids, some_filter)
keys = st.lists(st.sampled_from(("a", "b", "c.x", "c.y[]", "b[0]")), min_size=1, max_size=2)


def call(name: str, **arguments: Any) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


def batched() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    def selected(selector: Any) -> dict[str, Any]:
        return {"filter": selector} if isinstance(selector, models.Filter) else {"points": selector}

    one = st.one_of(
        unique_points.map(lambda v: models.UpsertOperation(upsert=models.PointsList(points=v))),
        some_ids.map(lambda v: models.DeleteOperation(delete=models.PointIdsList(points=v))),
        some_filter.map(lambda v: models.DeleteOperation(delete=models.FilterSelector(filter=v))),
        st.tuples(payloads, selectors).map(
            lambda v: models.SetPayloadOperation(
                set_payload=models.SetPayload(payload=v[0], **selected(v[1]))
            )
        ),
        st.tuples(payloads, selectors).map(
            lambda v: models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(payload=v[0], **selected(v[1]))
            )
        ),
        st.tuples(keys, selectors).map(
            lambda v: models.DeletePayloadOperation(
                delete_payload=models.DeletePayload(keys=v[0], **selected(v[1]))
            )
        ),
        some_ids.map(lambda v: models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=v))),
        st.tuples(some_ids, numbers).map(
            lambda v: models.UpsertOperation(
                upsert=models.PointsBatch(
                    batch=models.Batch(
                        ids=v[0], vectors={"v": [v[1]] * len(v[0])}, payloads=[{"b": 1}] * len(v[0])
                    )
                )
            )
        ),
        st.tuples(some_ids, st.sampled_from((["v"], ["s"], ["v", "s"]))).map(
            lambda v: models.DeleteVectorsOperation(
                delete_vectors=models.DeleteVectors(points=v[0], vector=v[1])
            )
        ),
    )
    return call("batch_update_points", update_operations=st.lists(one, min_size=1, max_size=4))


writes = st.one_of(
    call("upsert", points=unique_points),
    call("upsert", points=unique_points, update_mode=st.sampled_from(list(models.UpdateMode))),
    call("upsert", points=unique_points, update_filter=some_filter),
    call("delete", points_selector=selectors),
    call("set_payload", payload=payloads, points=selectors),
    call("set_payload", payload=payloads, points=selectors, key=st.sampled_from(("c", "c.x", "b[0]", "n.m"))),
    call("overwrite_payload", payload=payloads, points=selectors),
    call("delete_payload", keys=keys, points=selectors),
    call("clear_payload", points_selector=selectors),
    call("delete_vectors", vectors=st.sampled_from((["v"], ["s"], ["v", "s"])), points=selectors),
    batched(),
)


def create(client: QdrantClient) -> None:
    client.create_collection(
        NAME,
        vectors_config={"v": models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)},
        sparse_vectors_config={"s": models.SparseVectorParams()},
    )


def refusal(client: QdrantClient, name: str, arguments: dict[str, Any]) -> Exception | None:
    """What a call raises: both engines refuse to change the payload of a point that does not exist."""
    try:
        getattr(client, name)(NAME, **arguments)
    except Exception as error:
        return error
    return None


# Shrinking is left out: these examples are long, and it takes minutes to make them a little shorter.
@settings(max_examples=FEW, phases=[Phase.generate])
@given(first=unique_points, then=st.lists(writes, min_size=1, max_size=8))
def test_writes_leave_what_they_leave_in_local_mode(
    first: list[models.PointStruct], then: list[tuple[str, dict[str, Any]]]
) -> None:
    local = QdrantClient(":memory:")
    with EdgeClient(":memory:") as edge:
        for client in (edge, local):
            create(client)
            client.upsert(NAME, first)
        for name, arguments in then:
            refusals = [refusal(client, name, arguments) for client in (edge, local)]
            assert (refusals[0] is None) == (refusals[1] is None)
            assert refusals[0] is None or isinstance(refusals[0], InputError)
            found, _ = edge.scroll(NAME, limit=100, with_vectors=True)
            wanted, _ = local.scroll(NAME, limit=100, with_vectors=True)
            assert_same_records(found, wanted)
    local.close()


@settings(max_examples=FEW, phases=[Phase.generate])
@given(first=unique_points, changes=st.lists(st.tuples(ids, numbers), min_size=1, max_size=4))
def test_updated_vectors_are_the_same(
    first: list[models.PointStruct], changes: list[tuple[int, list[float]]]
) -> None:
    local = QdrantClient(":memory:")
    existing = {one.id for one in first}
    updates = [models.PointVectors(id=at, vector={"v": value}) for at, value in changes if at in existing]
    with EdgeClient(":memory:") as edge:
        for client in (edge, local):
            create(client)
            client.upsert(NAME, first)
            for update in updates:
                client.update_vectors(NAME, [update])
        found, _ = edge.scroll(NAME, limit=100, with_vectors=True)
        wanted, _ = local.scroll(NAME, limit=100, with_vectors=True)
        assert_same_records(found, wanted)
    local.close()


def test_uploads_write_every_row(edge: EdgeClient) -> None:
    np = pytest.importorskip("numpy")
    create(edge)
    rows = np.arange(600, dtype=np.float32).reshape(200, 3)
    edge.upload_collection(NAME, {"v": rows}, payload=({"a": at} for at in range(200)), ids=range(200))
    edge.upload_points(
        NAME,
        (models.PointStruct(id=200 + at, vector={"v": [at, 0, 1]}, payload={}) for at in range(70)),
        batch_size=16,
    )
    assert edge.count(NAME).count == 270
    assert edge.retrieve(NAME, [7], with_vectors=True)[0].vector == {"v": [21.0, 22.0, 23.0]}
    assert edge.retrieve(NAME, [7])[0].payload == {"a": 7}


def test_upload_without_ids_makes_uuids(edge: EdgeClient) -> None:
    create(edge)
    edge.upload_collection(NAME, [{"v": [1, 2, 3]}, {"v": [4, 5, 6]}])
    records, _ = edge.scroll(NAME)
    assert len({record.id for record in records}) == 2
    assert all(isinstance(record.id, str) for record in records)

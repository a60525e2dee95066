"""One random collection in two engines, and how their answers are compared.

Vectors come from a seeded generator, so that scores hardly ever tie; hypothesis varies the seed, the number of points
and what is asked. Payload words are chosen so that none is part of another.
"""

from __future__ import annotations

import uuid
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from hydrant.edge import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = "things"
OTHER = "others"
WORDS = ("amber", "birch", "cedar", "dune", "elm", "fjord")
SIZES = {"cos": 6, "dot": 5, "euc": 4, "man": 4, "multi": 3}
DISTANCES = {
    "cos": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euc": models.Distance.EUCLID,
    "man": models.Distance.MANHATTAN,
    "multi": models.Distance.COSINE,
}
SPARSE = {"bow": None, "idf": models.Modifier.IDF}
INDEXES: dict[str, Any] = {
    "word": "keyword",
    "num": "integer",
    "flt": "float",
    "flag": "bool",
    "when": "datetime",
    "uid": "uuid",
    "place": "geo",
    "text": models.TextIndexParams(
        type="text", tokenizer="word", lowercase=True, phrase_matching=True, scoring=True
    ),
}


@dataclass(frozen=True)
class World:
    """The same points in `edge` and in the oracle `local`."""

    edge: EdgeClient
    local: QdrantClient
    rng: np.random.Generator
    ids: list[Any]

    def vector(self, name: str) -> Any:
        """A random query vector for a named vector."""
        return random_vector(self.rng, name)

    def some_ids(self, count: int) -> list[Any]:
        """Distinct ids of points that have every vector."""
        picked = self.rng.choice(len(self.ids) // 2, size=count, replace=False)
        return [self.ids[2 * int(at)] for at in picked]


def create(client: QdrantClient, name: str = NAME) -> None:
    vectors = {
        key: models.VectorParams(
            size=size,
            distance=DISTANCES[key],
            multivector_config=models.MultiVectorConfig(comparator="max_sim") if key == "multi" else None,
        )
        for key, size in SIZES.items()
    }
    sparse = {key: models.SparseVectorParams(modifier=modifier) for key, modifier in SPARSE.items()}
    client.create_collection(name, vectors_config=vectors, sparse_vectors_config=sparse)


@contextmanager
def world(seed: int, count: int, *, indexes: bool = True) -> Iterator[World]:
    """A world for one example. The last few are kept: the same examples come again for the next query shape."""
    yield replace(_world(seed, count, indexes=indexes), rng=np.random.default_rng(seed + 1))


@lru_cache(maxsize=16)
def _world(seed: int, count: int, *, indexes: bool) -> World:
    local = QdrantClient(":memory:")
    with warnings.catch_warnings():
        # The oracle says of every index that it ignores it; that is why it is the oracle.
        warnings.simplefilter("ignore")
        return fill(EdgeClient(":memory:"), local, seed, count, indexes=indexes)


def fill(edge: EdgeClient, local: QdrantClient, seed: int, count: int, *, indexes: bool) -> World:
    """Make the collections in both engines with the same random points."""
    rng = np.random.default_rng(seed)
    points = [random_point(rng, at) for at in range(count)]
    others = [random_point(rng, at) for at in range(12)]
    for client in (edge, local):
        for name, rows in ((NAME, points), (OTHER, others)):
            create(client, name)
            client.upsert(name, rows)
        if indexes:
            for field, schema in INDEXES.items():
                client.create_payload_index(NAME, field, schema)
    return World(edge, local, rng, [point.id for point in points])


def random_point(rng: np.random.Generator, at: int) -> models.PointStruct:
    # Every second point has every vector; the others lack some.
    names = [name for name in (*SIZES, *SPARSE) if at % 2 == 0 or rng.random() < 0.7]
    point_id: Any = at if at % 3 else str(uuid.UUID(int=int(rng.integers(1, 2**60))))
    return models.PointStruct(
        id=point_id, vector={name: random_vector(rng, name) for name in names}, payload=random_payload(rng)
    )


def random_vector(rng: np.random.Generator, name: str) -> Any:
    if name in SPARSE:
        indices = rng.choice(20, size=int(rng.integers(2, 7)), replace=False)
        return models.SparseVector(
            indices=[int(index) for index in indices],
            values=[float(v) for v in rng.uniform(0.1, 2, len(indices))],
        )
    if name == "multi":
        return rng.normal(size=(int(rng.integers(1, 4)), SIZES[name])).tolist()
    return rng.normal(size=SIZES[name]).tolist()


def random_payload(rng: np.random.Generator) -> dict[str, Any]:
    full: dict[str, Any] = {
        "word": _pick(
            rng, [WORDS[rng.integers(6)], [WORDS[rng.integers(6)] for _ in range(rng.integers(0, 4))]]
        ),
        "num": _pick(rng, [int(rng.integers(-5, 20)), [int(v) for v in rng.integers(-5, 20, size=2)]]),
        "flt": float(rng.normal()),
        "flag": bool(rng.integers(2)),
        "when": f"20{rng.integers(10, 30)}-0{rng.integers(1, 9)}-1{rng.integers(9)}T0{rng.integers(9)}:00:00Z",
        "uid": str(uuid.UUID(int=int(rng.integers(1, 6)))),
        "place": {"lon": float(rng.uniform(-170, 170)), "lat": float(rng.uniform(-80, 80))},
        "text": " ".join(WORDS[at] for at in rng.integers(0, 6, size=5)),
        "nest": [{"a": int(rng.integers(4)), "b": WORDS[rng.integers(6)]} for _ in range(rng.integers(0, 4))],
        "deep": {"x": {"y": int(rng.integers(5))}},
        "none": None,
    }
    return {key: value for key, value in full.items() if rng.random() < 0.8}


def _pick(rng: np.random.Generator, options: list[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def assert_same_ranking(
    found: Iterable[models.ScoredPoint],
    wanted: Iterable[models.ScoredPoint],
    oracle: Iterable[models.ScoredPoint],
) -> None:
    """The same scores in the same order, and every point at the score that the oracle gives it.

    Args:
        found: What is tested.
        wanted: The oracle's answer to the same query.
        oracle: The oracle's answer without a limit: where scores tie at the cut, either point is right.
    """
    found, wanted = list(found), list(wanted)
    close = {"rel": 2e-4, "abs": 2e-4}
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], **close)
    scores = {hit.id: hit for hit in oracle}
    for hit in found:
        assert hit.id in scores
        twin = scores[hit.id]
        assert hit.score == pytest.approx(twin.score, **close)
        assert_same_payload(hit.payload, twin.payload)
        assert_same_vectors(hit.vector, twin.vector)
    assert len({hit.id for hit in found}) == len(found)


def assert_same_payload(found: Any, wanted: Any) -> None:
    """Equal but for the last bit of a float: the engine reads numbers back from JSON with that error."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        assert set(found) == set(wanted)
        for key, value in wanted.items():
            assert_same_payload(found[key], value)
    elif isinstance(wanted, list):
        assert isinstance(found, list)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same_payload(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-15, nan_ok=False)
    else:
        assert type(found) is type(wanted)
        assert found == wanted


def assert_same_vectors(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            assert_same_vectors(found[name], value)
    elif isinstance(wanted, models.SparseVector):
        assert isinstance(found, models.SparseVector)
        assert dict(zip(found.indices, found.values, strict=True)) == pytest.approx(
            dict(zip(wanted.indices, wanted.values, strict=True)), rel=1e-5
        )
    elif wanted is None:
        assert found is None
    else:
        assert np.asarray(found) == pytest.approx(np.asarray(wanted), rel=1e-5, abs=1e-6)


def assert_same_records(found: Iterable[models.Record], wanted: Iterable[models.Record]) -> None:
    found, wanted = list(found), list(wanted)
    assert [record.id for record in found] == [record.id for record in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert_same_payload(one.payload, other.payload)
        assert_same_vectors(one.vector, other.vector)

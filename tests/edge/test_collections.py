"""Collections as a whole: what they are made of, renamed to, copied into."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from hydrant.edge import EdgeClient
from hydrant.errors import (
    CollectionExists,
    CollectionNotFound,
    FormatError,
    InputError,
    UnknownVector,
    UnsupportedByEdge,
)

DENSE = models.VectorParams(size=4, distance=models.Distance.DOT)
ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def fill(client: QdrantClient, name: str = "docs") -> None:
    client.create_collection(
        name,
        vectors_config={"a": DENSE},
        sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata={"x": 1},
    )
    client.create_payload_index(name, "n", "integer")
    points = [
        models.PointStruct(
            id=at,
            vector={"a": row.tolist(), "s": models.SparseVector(indices=[at], values=[1])},
            payload={"n": at},
        )
        for at, row in enumerate(ROWS)
    ]
    client.upsert(name, points)


def test_info_tells_the_settings_in_force(edge: EdgeClient) -> None:
    fill(edge)
    info = edge.get_collection("docs")
    assert (info.points_count, info.status) == (40, models.CollectionStatus.GREEN)
    assert info.config.hnsw_config.m == 16
    assert info.config.params.vectors == {"a": DENSE}
    assert info.config.metadata == {"x": 1}
    assert info.payload_schema["n"].data_type == models.PayloadSchemaType.INTEGER
    assert info.payload_schema["n"].points == 40


def test_settings_change_and_stay_changed(edge: EdgeClient) -> None:
    fill(edge)
    assert edge.update_collection(
        "docs",
        hnsw_config=models.HnswConfigDiff(m=8),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=50),
        quantization_config=models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(always_ram=True)
        ),
        vectors_config={"a": models.VectorParamsDiff(hnsw_config=models.HnswConfigDiff(ef_construct=55))},
        sparse_vectors_config={"s": models.SparseVectorParams(index=models.SparseIndexParams(on_disk=True))},
        metadata={"y": 2, "x": None},
    )
    for _ in range(2):
        config = edge.get_collection("docs").config
        assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 100)
        assert config.optimizer_config.indexing_threshold == 50
        assert config.params.vectors["a"].hnsw_config.ef_construct == 55
        assert config.params.sparse_vectors["s"].index.on_disk is True
        assert config.quantization_config is not None
        assert config.metadata == {"y": 2}
        assert edge.query_points("docs", ROWS[3], using="a", limit=1).points
        folder = edge.location
        edge.close()
        edge = EdgeClient(folder)
    edge.close()


def test_change_that_does_not_fit_changes_nothing(edge: EdgeClient) -> None:
    fill(edge)
    with pytest.raises(UnknownVector, match="zz"):
        edge.update_collection("docs", vectors_config={"zz": models.VectorParamsDiff()}, metadata={"new": 1})
    with pytest.raises(UnsupportedByEdge, match="modifier"):
        edge.update_collection(
            "docs", sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.NONE)}
        )
    with pytest.raises(UnsupportedByEdge, match="strict"):
        edge.update_collection("docs", strict_mode_config=models.StrictModeConfig(enabled=True))
    assert edge.get_collection("docs").config.metadata == {"x": 1}
    assert edge.count("docs").count == 40


def test_quantization_is_not_taken_off_silently(edge: EdgeClient) -> None:
    edge.create_collection(
        "docs",
        DENSE,
        quantization_config=models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8")),
    )
    with pytest.raises(UnsupportedByEdge, match="quantization"):
        edge.update_collection("docs", quantization_config=models.Disabled.DISABLED)


def test_aliases_lead_to_their_collection_and_stay(edge: EdgeClient) -> None:
    fill(edge)
    create = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name="docs", alias_name="now")
    )
    rename = models.RenameAliasOperation(
        rename_alias=models.RenameAlias(old_alias_name="now", new_alias_name="current")
    )
    edge.update_collection_aliases([create])
    assert edge.count("now").count == 40
    edge.update_collection_aliases([rename])
    with pytest.raises(CollectionNotFound):
        edge.count("now")
    folder = edge.location
    edge.close()
    with EdgeClient(folder) as again:
        assert again.count("current").count == 40
        assert [alias.alias_name for alias in again.get_aliases().aliases] == ["current"]
        assert again.get_collection_aliases("docs").aliases[0].collection_name == "docs"
        with pytest.raises(CollectionExists, match="current"):
            again.create_collection("current", DENSE)
        again.delete_collection("docs")
        assert again.get_aliases().aliases == []
        with pytest.raises(CollectionNotFound):
            again.count("current")


def test_alias_changes_happen_all_or_not_at_all(edge: EdgeClient) -> None:
    fill(edge)
    good = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name="docs", alias_name="one")
    )
    bad = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name="none", alias_name="two")
    )
    with pytest.raises(CollectionNotFound):
        edge.update_collection_aliases([good, bad])
    assert edge.get_aliases().aliases == []


def test_an_alias_switches_between_collections(edge: EdgeClient) -> None:
    fill(edge)
    fill(edge, "newer")
    edge.delete("newer", [0])
    point = lambda name: models.CreateAliasOperation(  # noqa: E731
        create_alias=models.CreateAlias(collection_name=name, alias_name="now")
    )
    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="now"))
    edge.update_collection_aliases([point("docs")])
    assert edge.count("now").count == 40
    edge.update_collection_aliases([drop, point("newer")])
    assert edge.count("now").count == 39


def test_vector_names_come_and_go(edge: EdgeClient) -> None:
    fill(edge)
    dense = models.DenseVectorNameConfig(
        dense=models.DenseVectorConfig(size=2, distance=models.Distance.COSINE)
    )
    edge.create_vector_name("docs", "b", dense)
    edge.create_vector_name("docs", "b", dense)
    edge.create_vector_name("docs", "t", models.SparseVectorNameConfig(sparse=models.SparseVectorConfig()))
    edge.update_vectors("docs", [models.PointVectors(id=1, vector={"b": [3.0, 4.0]})])
    assert edge.query_points("docs", [3.0, 4.0], using="b").points[0].id == 1
    other = models.DenseVectorConfig(size=3, distance=models.Distance.COSINE)
    with pytest.raises(InputError, match="different configuration"):
        edge.create_vector_name("docs", "b", models.DenseVectorNameConfig(dense=other))
    folder = edge.location
    edge.close()
    with EdgeClient(folder) as again:
        assert set(again.get_collection("docs").config.params.vectors) == {"a", "b"}
        again.delete_vector_name("docs", "b")
        again.delete_vector_name("docs", "b")
        with pytest.raises(UnknownVector, match="'b'"):
            again.query_points("docs", [3.0, 4.0], using="b")
        assert set(again.get_collection("docs").config.params.sparse_vectors) == {"s", "t"}


INDEXES: list[Any] = [
    models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=True),
    models.IntegerIndexParams(type="integer", lookup=True, range=False),
    models.FloatIndexParams(type="float", is_principal=True),
    models.GeoIndexParams(type="geo", on_disk=True),
    models.BoolIndexParams(type="bool"),
    models.DatetimeIndexParams(type="datetime", is_principal=True),
    models.UuidIndexParams(type="uuid", is_tenant=True),
    models.TextIndexParams(
        type="text",
        tokenizer=models.TokenizerType.WORD,
        min_token_len=2,
        max_token_len=20,
        lowercase=True,
        phrase_matching=True,
        stopwords=models.StopwordsSet(languages=[models.Language.ENGLISH], custom=["foo"]),
        stemmer=models.SnowballParams(
            type=models.Snowball.SNOWBALL, language=models.SnowballLanguage.ENGLISH
        ),
    ),
]


@pytest.mark.parametrize("params", INDEXES, ids=lambda params: str(params.type.value))
def test_payload_index_keeps_its_parameters(edge: EdgeClient, params: Any) -> None:
    edge.create_collection("docs", DENSE)
    edge.create_payload_index("docs", "f", params)
    folder = edge.location
    edge.close()
    with EdgeClient(folder) as again:
        kept = again.get_collection("docs").payload_schema["f"]
        assert kept.data_type.value == params.type.value
        given = params.model_dump(exclude_none=True)
        assert {key: value for key, value in kept.params.model_dump().items() if key in given} == given
        again.delete_payload_index("docs", "f")
        assert again.get_collection("docs").payload_schema == {}


@pytest.mark.parametrize("datatype", [models.Datatype.FLOAT16, models.Datatype.UINT8])
def test_datatypes_store_what_they_can(edge: EdgeClient, datatype: models.Datatype) -> None:
    edge.create_collection(
        "docs", models.VectorParams(size=3, distance=models.Distance.DOT, datatype=datatype)
    )
    edge.upsert("docs", [models.PointStruct(id=1, vector=[1.0, 2.0, 250.0])])
    assert edge.retrieve("docs", [1], with_vectors=True)[0].vector == [1.0, 2.0, 250.0]
    assert edge.query_points("docs", [1.0, 1.0, 1.0]).points[0].score == pytest.approx(253.0)


QUANTIZATIONS = [
    models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8", quantile=0.99)),
    models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(encoding=models.BinaryQuantizationEncoding.TWO_BITS)
    ),
    models.ProductQuantization(product=models.ProductQuantizationConfig(compression="x4")),
    models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4)),
]


@pytest.mark.parametrize("quantization", QUANTIZATIONS, ids=lambda q: next(iter(q.model_dump())))
def test_quantized_search_rescored_gives_exact_scores(edge: EdgeClient, quantization: Any) -> None:
    rows = np.random.default_rng(1).normal(size=(1500, 16)).astype(np.float32)
    edge.create_collection(
        "docs",
        models.VectorParams(size=16, distance=models.Distance.DOT),
        quantization_config=quantization,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
    )
    edge.upload_collection("docs", rows, ids=range(1500))
    edge.optimize("docs")

    def ask(**how: Any) -> list[models.ScoredPoint]:
        params = models.SearchParams(quantization=models.QuantizationSearchParams(**how))
        return edge.query_points("docs", rows[7], limit=5, search_params=params).points

    exact = np.sort(rows @ rows[7])[::-1][:5]
    found = ask(rescore=True, oversampling=8.0)
    assert found[0].id == 7
    assert found[0].score == pytest.approx(float(exact[0]), rel=1e-4)
    raw = ask(rescore=False)
    assert [hit.score for hit in raw] != pytest.approx([hit.score for hit in found], rel=1e-6)
    assert [hit.score for hit in ask(ignore=True)] == pytest.approx(exact.tolist(), rel=1e-3)


def test_search_parameters_reach_the_engine(edge: EdgeClient) -> None:
    rows = np.random.default_rng(1).normal(size=(4000, 32)).astype(np.float32)
    edge.create_collection(
        "docs",
        models.VectorParams(size=32, distance=models.Distance.DOT),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
        # A graph so poor that it matters how much of it is searched.
        hnsw_config=models.HnswConfigDiff(m=4, ef_construct=8, full_scan_threshold=10),
    )
    edge.upload_collection("docs", rows, ids=range(4000))
    edge.optimize("docs")

    def recall(**params: Any) -> float:
        found = 0
        for row in rows[:30]:
            best = set(np.argsort(-(rows @ row))[:10].tolist())
            hits = edge.query_points("docs", row, search_params=models.SearchParams(**params)).points
            found += len(best & {hit.id for hit in hits})
        return found / 300

    assert recall(exact=True) == 1.0
    assert recall(hnsw_ef=10) < recall(hnsw_ef=400)
    acorn = models.AcornSearchParams(enable=True, max_selectivity=0.9)
    assert recall(hnsw_ef=400, acorn=acorn, indexed_only=True) > 0.5


def test_snapshot_brings_a_collection_back(edge: EdgeClient, tmp_path: Path) -> None:
    fill(edge)
    made = edge.create_snapshot("docs")
    assert [one.name for one in edge.list_snapshots("docs")] == [made.name]
    edge.delete("docs", list(range(30)))
    assert edge.recover_snapshot("docs", made.name, checksum=made.checksum) is True
    assert edge.count("docs").count == 40
    assert edge.get_collection("docs").config.metadata == {"x": 1}
    path = edge._client.store.folder / "snapshots" / "docs" / made.name
    with EdgeClient(tmp_path / "other") as other:
        other.recover_snapshot("copy", path.as_uri())
        assert other.query_points("copy", ROWS[3], using="a", limit=1).points
        assert other.count("copy").count == 40
    assert edge.delete_snapshot("docs", made.name) is True
    assert edge.delete_snapshot("docs", made.name) is False
    assert edge.list_snapshots("docs") == []


@pytest.mark.parametrize("kind", ["outside", "link"])
def test_a_snapshot_with_anything_that_leads_elsewhere_is_refused(
    edge: EdgeClient, tmp_path: Path, kind: str
) -> None:
    fill(edge)
    made = edge.create_snapshot("docs")
    hostile = tmp_path / "hostile.snapshot"
    with (
        tarfile.open(edge._client.store.folder / "snapshots" / "docs" / made.name) as source,
        tarfile.open(hostile, "w") as target,
    ):
        for member in source.getmembers():
            target.addfile(member, source.extractfile(member))
        if kind == "outside":
            target.addfile(tarfile.TarInfo("../outside"))
        else:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            target.addfile(link)
    with pytest.raises(FormatError, match="is no file or folder of a snapshot"):
        edge.recover_snapshot("copy", str(hostile))
    assert not edge.collection_exists("copy")


def test_what_is_no_snapshot_changes_nothing(edge: EdgeClient, tmp_path: Path) -> None:
    fill(edge)
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    with tarfile.open(tmp_path / "tar", "w") as tar:
        tar.add(tmp_path / "text", "text")
    for name, kind in (("text", FormatError), ("tar", FormatError), ("none", InputError)):
        with pytest.raises(kind):
            edge.recover_snapshot("docs", str(tmp_path / name))
    made = edge.create_snapshot("docs")
    with pytest.raises(FormatError, match="expected 00"):
        edge.recover_snapshot("docs", made.name, checksum="00")
    with pytest.raises(UnsupportedByEdge, match="http"):
        edge.recover_snapshot("docs", "http://localhost/x.snapshot")
    assert edge.delete_snapshot("docs", "../../edge.json") is False
    assert edge.count("docs").count == 40
    assert len(list((edge._client.store.folder / "shards").iterdir())) == 1


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_collections_migrate_from_and_to_local_mode(edge: EdgeClient) -> None:
    local = QdrantClient(":memory:")
    fill(edge)
    edge.migrate(local)
    assert local.count("docs").count == 40
    assert local.get_collection("docs").config.metadata == {"x": 1}
    local.migrate(edge, recreate_on_collision=True)
    assert edge.count("docs").count == 40
    found, _ = edge.scroll("docs", limit=100, with_vectors=True)
    assert np.asarray([record.vector["a"] for record in found]) == pytest.approx(ROWS)
    local.close()


def test_recreating_empties_a_collection(edge: EdgeClient) -> None:
    fill(edge)
    with pytest.warns(DeprecationWarning, match="recreate_collection"):
        edge.recreate_collection("docs", DENSE)
    assert edge.count("docs").count == 0


def test_hits_are_whole_models(edge: EdgeClient) -> None:
    """They are built without validation, so it is checked here that validation would have made the same."""
    fill(edge)
    for one in (
        *edge.query_points("docs", ROWS[1], using="a", with_vectors=True).points,
        *edge.scroll("docs", with_vectors=True)[0],
    ):
        again = type(one).model_validate(one.model_dump())
        assert again == one
        assert again.model_dump_json() == one.model_dump_json()
        assert one.model_copy(update={"payload": None}).payload is None


def test_text_is_embedded_where_fastembed_is_installed(edge: EdgeClient) -> None:
    fill(edge)
    document = models.Document(text="hello", model="sentence-transformers/all-MiniLM-L6-v2")
    try:
        import fastembed  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="fastembed"):
            edge.query_points("docs", document, using="a")
        with pytest.raises(ImportError, match="fastembed"):
            edge.upsert("docs", [models.PointStruct(id=1, vector={"a": document})])

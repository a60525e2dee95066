"""Nobody sees, counts, changes or deletes another tenant's documents."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from hydrant import Bm25Encoder, Collection, Convex, Dbsf, EdgeClient, Rrf
from hydrant.collection.ids import point_id
from hydrant.errors import ConfigurationError, InputError, TenantLeak, TenantRequired
from hydrant.testing import HashEncoder

TENANTS = ["acme", "bravo", "", "acme2"]
WORDS = ["key", "lock", "door", "house", "garden"]


def fill(docs):
    rng = random.Random(3)
    for tenant in TENANTS:
        items = [
            {
                "id": number,
                "text": " ".join(rng.choices(WORDS, k=4)) + f" {tenant}",
                "lang": rng.choice(["en", "de"]),
            }
            for number in range(12)
        ]
        report = docs.indexer(progress=False).add(items, tenant=tenant)
        assert report.added == 12
        assert not report.failures


@pytest.fixture(scope="module")
def docs():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client,
            "docs",
            dense=HashEncoder(8),
            sparse=Bm25Encoder(),
            tenant="tenant",
            fields={"lang": "keyword"},
        )
        fill(docs)
        yield docs


def condition(key, value):
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


# Filters that try to widen the search: other tenants, everything, nothing, alternatives.
CONDITIONS = st.one_of(
    st.sampled_from(TENANTS).map(lambda tenant: condition("tenant", tenant)),
    st.sampled_from(["en", "de", "xx"]).map(lambda lang: condition("metadata.lang", lang)),
    st.just(models.Filter()),
    st.just(models.HasIdCondition(has_id=[])),
    st.just(models.IsEmptyCondition(is_empty=models.PayloadField(key="tenant"))),
)
CLAUSES = st.none() | st.lists(CONDITIONS, max_size=2)
FLAT = st.builds(models.Filter, must=CLAUSES, should=CLAUSES, must_not=CLAUSES)
NESTED = st.recursive(
    FLAT,
    lambda inner: st.builds(
        models.Filter,
        must=st.none() | st.lists(inner | CONDITIONS, max_size=2),
        should=st.none() | st.lists(inner | CONDITIONS, max_size=2),
        must_not=st.none() | st.lists(inner | CONDITIONS, max_size=2),
        min_should=st.none()
        | st.builds(
            models.MinShould, conditions=st.lists(inner, min_size=1, max_size=2), min_count=st.integers(0, 1)
        ),
    ),
    max_leaves=5,
)
MAPPINGS = st.recursive(
    st.sampled_from(
        [{}, {"lang": "en"}, {"tenant": "bravo"}, {"tenant": {"not": "acme"}}, {"lang": {"exists": False}}]
    ),
    lambda inner: st.one_of(
        inner.filter(bool).map(lambda each: {"not": each}),
        st.lists(inner.filter(bool), min_size=1, max_size=2).map(lambda each: {"or": each}),
    ),
    max_leaves=4,
)
FUSIONS = st.sampled_from([Rrf(), Dbsf(), Convex(), Rrf(weights={"dense": 2.0})])


@given(
    wanted=st.none() | NESTED | MAPPINGS,
    tenant=st.sampled_from(TENANTS),
    fusion=FUSIONS,
    offset=st.integers(0, 3),
)
def test_whatever_the_filter_no_other_tenants_point_comes_back(docs, wanted, tenant, fusion, offset):
    search = docs.retriever(limit=50, fusion=fusion, explain=True)
    for hit in search.run("key lock", filter=wanted, tenant=tenant, offset=offset).hits:
        assert hit.text.removesuffix(f" {tenant}").count(" ") == 3
    assert docs.count(wanted, tenant=tenant) <= 12


@given(wanted=NESTED | MAPPINGS, tenant=st.sampled_from(TENANTS))
def test_a_search_and_the_count_of_the_same_filter_agree(docs, wanted, tenant):
    hits = docs.retriever(limit=50, sources=("dense",)).run("key", filter=wanted, tenant=tenant).hits
    assert len(hits) == docs.count(wanted, tenant=tenant)


def test_deleting_by_any_filter_leaves_the_others_alone():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(8), tenant="tenant", fields={"lang": "keyword"}
        )
        fill(docs)
        for wanted, left in (
            ({"tenant": "bravo"}, 12),
            ({"not": {"lang": "xx"}}, 0),
            (models.Filter(), 0),
        ):
            docs.delete(filter=wanted, tenant="acme")
            assert docs.count(tenant="acme") == left
            assert [docs.count(tenant=tenant) for tenant in TENANTS[1:]] == [12, 12, 12]
            docs.indexer(progress=False).add([f"again {number}" for number in range(3)], tenant="acme")


def test_deleting_and_getting_by_id_reach_only_ones_own():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(8), tenant="tenant", fields={"lang": "keyword"}
        )
        fill(docs)
        foreign = docs.retriever().run("key", tenant="bravo").hits[0]
        assert docs.get([foreign.point_id], tenant="acme") == []
        docs.delete([foreign.point_id, 3], tenant="acme")
        assert docs.count(tenant="acme") == 11
        assert docs.count(tenant="bravo") == 12
        assert [each.id for each in docs.get([3, foreign.id], tenant="bravo")] == [3, foreign.id]
        assert docs.get([], tenant="acme") == []
        docs.delete([], tenant="acme")
        assert docs.count(tenant="acme") == 11


def test_the_same_id_under_two_tenants_is_two_passages(docs):
    for tenant in TENANTS:
        (passage,) = docs.get([5], tenant=tenant)
        assert passage.text.endswith(f" {tenant}")


@pytest.mark.parametrize("tenant", [None])
@pytest.mark.parametrize("call", ["run", "count", "get", "delete", "add", "add_paths", "run_many"])
def test_a_missing_tenant_is_refused_by_name_of_the_field(docs, call, tenant, tmp_path):
    calls = {
        "run": lambda: docs.retriever().run("key"),
        "run_many": lambda: docs.retriever().run_many(["key"]),
        "count": docs.count,
        "get": lambda: docs.get([1]),
        "delete": lambda: docs.delete([1]),
        "add": lambda: docs.indexer(progress=False).add(["text"]),
        "add_paths": lambda: docs.indexer(progress=False).add_paths([tmp_path]),
    }
    with pytest.raises(TenantRequired, match="'tenant'"):
        calls[call]()


@pytest.mark.parametrize("call", ["arun", "acount", "aget", "adelete", "aadd", "aadd_paths"])
async def test_a_missing_tenant_is_refused_in_async_calls_too(docs, call, tmp_path):
    calls = {
        "arun": lambda: docs.retriever().arun("key"),
        "acount": docs.acount,
        "aget": lambda: docs.aget([1]),
        "adelete": lambda: docs.adelete(filter={"lang": "en"}),
        "aadd": lambda: docs.indexer(progress=False).aadd(["text"]),
        "aadd_paths": lambda: docs.indexer(progress=False).aadd_paths([tmp_path]),
    }
    with pytest.raises(TenantRequired):
        await calls[call]()


@pytest.mark.parametrize("tenant", [5, True, 1.5, ["acme"], b"acme", "\ud800"])
def test_a_tenant_that_is_no_text_is_refused_with_its_value(docs, tenant):
    with pytest.raises(InputError) as caught:
        docs.retriever().run("key", tenant=tenant)
    assert repr(tenant) in str(caught.value)


def test_a_tenant_for_a_collection_without_tenants_is_refused(edge):
    docs = Collection.create(edge, "plain", dense=HashEncoder(8))
    for call in (
        lambda: docs.retriever().run("key", tenant="acme"),
        lambda: docs.count(tenant="acme"),
        lambda: docs.indexer(progress=False).add(["text"], tenant="acme"),
    ):
        with pytest.raises(InputError, match="no tenant field"):
            call()


def test_metadata_cannot_claim_another_tenant(edge):
    from hydrant import PayloadMap

    for number, (payload, field) in enumerate(
        [(None, "tenant"), (None, "metadata.tenant"), (PayloadMap.flat("body"), "tenant")]
    ):
        docs = Collection.create(edge, f"c{number}", dense=HashEncoder(8), tenant=field, payload=payload)
        docs.indexer(progress=False).add(
            [{"text": "mine", "tenant": "bravo", "metadata": {"tenant": "bravo"}}], tenant="acme"
        )
        assert docs.count(tenant="bravo") == 0
        assert docs.count(tenant="acme") == 1


@pytest.mark.parametrize(
    "field", ["text", "title", "source", "id", "metadata", "_hydrant", "_hydrant.revision", "text.x", ""]
)
def test_a_tenant_field_that_would_overwrite_the_passage_is_refused(edge, field):
    with pytest.raises(ConfigurationError, match="tenant"):
        Collection.create(edge, "docs", dense=HashEncoder(8), tenant=field)
    assert not edge.collection_exists("docs")


# ---- a client that leaks -----------------------------------------------------------------------------------------


class Forgetful(EdgeClient):
    """A client, or a server behind it, that loses the filter."""

    def query_batch_points(self, collection_name, requests, *args, **kwargs):
        return super().query_batch_points(collection_name, self._bare(requests), *args, **kwargs)

    def query_batch_scores(self, collection_name, requests):
        return super().query_batch_scores(collection_name, self._bare(requests))

    def _bare(self, requests):
        return [
            request.model_copy(
                update={
                    "filter": None,
                    "prefetch": [each.model_copy(update={"filter": None}) for each in request.prefetch or []]
                    or None,
                }
            )
            for request in requests
        ]

    def scroll(self, collection_name, scroll_filter=None, **kwargs):
        return super().scroll(collection_name, limit=1000)


def test_a_leak_below_is_withheld():
    with Forgetful(":memory:") as client:
        docs = Collection.create(
            client,
            "docs",
            dense=HashEncoder(8),
            sparse=Bm25Encoder(),
            tenant="tenant",
            fields={"lang": "keyword"},
        )
        fill(docs)
        for sources, fusion, depth in product([("dense",), ("sparse",), ()], [Rrf(), Convex()], [2, 100]):
            search = docs.retriever(sources=sources, fusion=fusion, depth=depth, limit=5)
            with pytest.raises(TenantLeak, match="withheld"):
                search.run("key lock", tenant="acme", offset=3)
        with pytest.raises(TenantLeak):
            docs.get([point_id(3, "bravo")], tenant="acme")


def test_a_leak_never_degrades_into_an_answer():
    from hydrant.testing import FailingStage

    with Forgetful(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(8), tenant="tenant", fields={"lang": "keyword"}
        )
        fill(docs)
        with pytest.raises(TenantLeak):
            (docs.retriever() >> FailingStage(OSError())).run("key", tenant="acme")


@pytest.mark.parametrize("owner", ["acme", 7])
def test_a_foreign_collection_with_tenants_is_kept_apart_too(edge, owner):
    edge.create_collection(
        "foreign", vectors_config=models.VectorParams(size=8, distance=models.Distance.COSINE)
    )
    encoder = HashEncoder(8)
    edge.upsert(
        "foreign",
        [
            models.PointStruct(
                id=number,
                vector=encoder.vector("key"),
                payload={"page_content": "key", "metadata": {"group": group}},
            )
            for number, group in enumerate([owner, "other", 8, [owner, "other"], None])
        ],
    )
    docs = Collection.open(edge, "foreign", dense=HashEncoder(8), tenant="metadata.group")
    assert sorted(hit.id for hit in docs.retriever().run("key", tenant=owner).hits) == [0, 3]
    with pytest.raises(TenantRequired):
        docs.retriever().run("key")

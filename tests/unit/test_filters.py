"""Plain mappings as filters: against an evaluator of our own, on the real engine; and every refusal."""

from __future__ import annotations

import random
import re
import warnings
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from hydrant import Collection, EdgeClient
from hydrant.errors import FilterError
from hydrant.testing import HashEncoder

LANGS = ["en", "de", "fr", "日本", ""]
TAGS = ["red", "blue", "old", "new"]
WORDS = ["fox", "dog", "river", "bank", "café"]
YEARS = [0, 1999, 2020, 2021, -5]
PRICES = [0.0, 0.5, 1.5, 100.25, -3.0]
DAYS = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=30 * number, hours=number) for number in range(5)]
FIELDS = {
    "lang": "keyword",
    "tags": "keyword",
    "year": "integer",
    "price": "float",
    "flag": "bool",
    "day": "datetime",
    "body": "text",
    "note": "keyword",
    "deep.inner": "integer",
}
MISSING = object()


def payloads(count=60):
    rng = random.Random(7)

    def maybe(value):
        return rng.choice([value, value, value, value, MISSING, None, []])

    found = []
    for _ in range(count):
        metadata = {
            "lang": maybe(rng.choice(LANGS)),
            "tags": maybe(rng.sample(TAGS, rng.randrange(4))),
            "year": maybe(rng.choice([rng.choice(YEARS), rng.sample(YEARS, 2)])),
            "price": maybe(rng.choice(PRICES)),
            "flag": maybe(rng.choice([True, False])),
            "day": maybe(rng.choice(DAYS).isoformat()),
            "body": maybe(" ".join(rng.sample(WORDS, rng.randrange(1, 4)))),
            "note": maybe("x"),
            "deep": rng.choice([{"inner": rng.choice(YEARS)}, {}, 5]),
        }
        found.append({key: value for key, value in metadata.items() if value is not MISSING})
    return found


PAYLOADS = payloads()


def make(client):
    with warnings.catch_warnings():
        # Python's local mode says that it has no payload indexes; the filters work all the same.
        warnings.simplefilter("ignore", UserWarning)
        docs = Collection.create(client, "docs", dense=HashEncoder(4), fields=FIELDS)
    items = [
        {"id": number, "text": f"text {number}", "metadata": each} for number, each in enumerate(PAYLOADS)
    ]
    report = docs.indexer(progress=False).add(items)
    assert report.added == len(PAYLOADS)
    return docs


@pytest.fixture(scope="module")
def edge_docs():
    with EdgeClient(":memory:") as client:
        yield make(client)


@pytest.fixture(scope="module")
def local_docs():
    client = QdrantClient(":memory:")
    yield make(client)
    client.close()


# ---- the evaluator -----------------------------------------------------------------------------------------------


def values(payload, field):
    value = payload
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            return []
        value = value[key]
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def same(a, b):
    return type(a) is type(b) and a == b if isinstance(a, bool) or isinstance(b, bool) else a == b


def moment(value):
    return datetime.fromisoformat(value) if isinstance(value, str) else value


BOUNDS = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def within(value, bounds, field):
    if field == "day":
        return all(BOUNDS[name](moment(value), moment(bound)) for name, bound in bounds.items())
    return all(BOUNDS[name](value, bound) for name, bound in bounds.items())


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def holds(payload, wanted):
    return all(entry_holds(payload, field, value) for field, value in wanted.items())


def entry_holds(payload, field, value):
    if field in {"and", "or"}:
        return {"and": all, "or": any}[field](holds(payload, each) for each in value)
    if field == "not":
        return not holds(payload, value)
    have = values(payload, field)
    if isinstance(value, dict):
        bounds = {name: bound for name, bound in value.items() if name in BOUNDS}
        fits = not bounds or any(within(each, bounds, field) for each in have)
        return fits and all(
            OPERATORS[name](payload, field, given) for name, given in value.items() if name not in BOUNDS
        )
    if isinstance(value, list | set):
        return any(each in value for each in have)
    read = moment if field == "day" else lambda each: each
    return any(same(read(each), read(value)) for each in have)


OPERATORS = {
    "not": lambda payload, field, given: not entry_holds(payload, field, given),
    "is": entry_holds,
    "any": lambda payload, field, given: any(each in given for each in values(payload, field)),
    "none": lambda payload, field, given: not any(each in given for each in values(payload, field)),
    "exists": lambda payload, field, given: bool(values(payload, field)) == given,
    "text": lambda payload, field, given: any(words(given) <= words(each) for each in values(payload, field)),
}


# ---- random filters ----------------------------------------------------------------------------------------------


def operators(field, elements, *, exact=True, lists=True):
    options = [st.fixed_dictionaries({"exists": st.booleans()})]
    if exact:
        options += [
            elements,
            st.fixed_dictionaries({"is": elements}),
            st.fixed_dictionaries({"not": elements}),
        ]
    if lists:
        some = st.lists(elements, min_size=1, max_size=3)
        options += [some, some.map(set), *(st.fixed_dictionaries({name: some}) for name in ("any", "none"))]
        options.append(st.fixed_dictionaries({"not": st.fixed_dictionaries({"any": some})}))
    return st.fixed_dictionaries({field: st.one_of(options)})


def ranges(field, elements):
    bounds = st.dictionaries(st.sampled_from(sorted(BOUNDS)), elements, min_size=1, max_size=3)
    return st.fixed_dictionaries({field: bounds | st.fixed_dictionaries({"not": bounds})})


LEAVES = st.one_of(
    operators("lang", st.sampled_from(LANGS)),
    operators("tags", st.sampled_from(TAGS)),
    operators("year", st.sampled_from(YEARS)),
    operators("deep.inner", st.sampled_from(YEARS)),
    operators("flag", st.booleans(), lists=False),
    operators("price", st.sampled_from(PRICES), lists=False),
    operators("day", st.sampled_from(DAYS) | st.sampled_from(DAYS).map(datetime.isoformat), lists=False),
    ranges("year", st.integers(-10, 2030)),
    ranges("price", st.floats(-10, 200) | st.integers(-10, 200)),
    ranges("day", st.sampled_from(DAYS)),
    st.fixed_dictionaries(
        {
            "body": st.fixed_dictionaries(
                {"text": st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join)}
            )
        }
    ),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.tuples(inner, inner).map(lambda pair: {**pair[0], **pair[1]}),
    ),
    max_leaves=6,
)


def found(docs, wanted):
    condition = docs.condition(wanted, None)
    points, _ = docs.clients.sync.scroll(docs.name, scroll_filter=condition, limit=1000, with_payload=["id"])
    return sorted(point.payload["id"] for point in points)


@given(FILTERS)
def test_a_filter_finds_exactly_what_it_says(edge_docs, local_docs, wanted):
    expected = [number for number, payload in enumerate(PAYLOADS) if holds(payload, wanted)]
    assert found(edge_docs, wanted) == expected
    assert found(local_docs, wanted) == expected
    assert edge_docs.count(wanted) == len(expected)


@given(FILTERS)
def test_a_search_returns_nothing_that_the_filter_rules_out(edge_docs, wanted):
    result = edge_docs.retriever(limit=100).run("text", filter=wanted)
    expected = [number for number, payload in enumerate(PAYLOADS) if holds(payload, wanted)]
    assert sorted(hit.id for hit in result.hits) == expected


# ---- single operators --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client,
            "places",
            dense=HashEncoder(4),
            fields={"place": "geo", "tags": "keyword", "body": "text", "uid": "uuid", "day": "datetime"},
        )
        docs.indexer(progress=False).add(
            [
                {
                    "id": "berlin",
                    "text": "a",
                    "place": {"lat": 52.52, "lon": 13.4},
                    "tags": ["x", "y"],
                    "day": "2024-05-01",
                },
                {
                    "id": "paris",
                    "text": "b",
                    "place": {"lat": 48.85, "lon": 2.35},
                    "tags": ["x"],
                    "body": "the quick brown fox",
                },
                {
                    "id": "none",
                    "text": "c",
                    "tags": [],
                    "body": "brown quick",
                    "uid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                },
            ]
        )
        yield docs


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"place": {"near": {"lat": 52.5, "lon": 13.4, "meters": 10_000}}}, ["berlin"]),
        ({"place": {"near": {"lat": 50.0, "lon": 8.0, "meters": 2_000_000}}}, ["berlin", "paris"]),
        ({"tags": {"count": 2}}, ["berlin"]),
        ({"tags": {"count": {"gte": 1}}}, ["berlin", "paris"]),
        ({"tags": {"count": {"lt": 2, "gt": 0}}}, ["paris"]),
        ({"body": {"phrase": "quick brown"}}, ["paris"]),
        ({"body": {"text": "quick brown"}}, ["none", "paris"]),
        ({"uid": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}, ["none"]),
        ({"tags": ("x",)}, ["berlin", "paris"]),
        ({"tags": frozenset({"y"})}, ["berlin"]),
        ({"tags": {"any": ["x"], "none": ["y"]}}, ["paris"]),
        ({"day": date(2024, 5, 1)}, ["berlin"]),
        ({"day": {"lt": date(2024, 5, 2), "gte": "2024-05-01"}}, ["berlin"]),
        ({}, ["berlin", "none", "paris"]),
        ({"not": {"or": [{"tags": "y"}, {"body": {"exists": True}}]}}, []),
    ],
)
def test_operators(places, wanted, expected):
    assert found(places, wanted) == expected


def test_a_ready_filter_passes_as_it_is(places):
    ready = models.Filter(
        must=[models.FieldCondition(key="metadata.tags", match=models.MatchValue(value="y"))]
    )
    assert places.condition(ready, None) is ready
    assert found(places, ready) == ["berlin"]
    assert found(places, {"or": [ready, {"uid": {"exists": True}}]}) == ["berlin", "none"]


@pytest.mark.parametrize("form", ["mapping", "ready", "nested", "min_should", "exists", "null"])
def test_a_field_without_an_index_is_refused_whatever_form_the_filter_has(places, form):
    condition = models.FieldCondition(key="metadata.lung", match=models.MatchValue(value="de"))
    field = models.PayloadField(key="metadata.lung")
    filters = {
        "mapping": {"not": {"or": [{"lung": "de"}]}},
        "ready": models.Filter(must_not=[models.Filter(should=[condition])]),
        "nested": models.Filter(
            must=[
                models.NestedCondition(
                    nested=models.Nested(key="metadata.tags", filter=models.Filter(must=[condition]))
                )
            ]
        ),
        "min_should": models.Filter(min_should=models.MinShould(conditions=[condition], min_count=1)),
        "exists": {"lung": {"exists": True}},
        "null": models.Filter(must=[models.IsNullCondition(is_null=field)]),
    }
    with pytest.raises(FilterError) as caught:
        places.retriever().run("q", filter=filters[form])
    message = str(caught.value)
    assert "lung" in message
    assert "metadata.place (geo)" in message
    assert "_hydrant" not in message


def test_an_unindexed_field_may_be_filtered_by_where_that_is_wanted(places):
    docs = Collection.open(places.clients.sync, "places", dense=HashEncoder(4), allow_unindexed=True)
    assert found(docs, {"lung": "de"}) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"tags": {"gte": 5}}, "keyword"),
        ({"tags": 5}, "keyword"),
        ({"tags": {"any": [1, 2]}}, "keyword"),
        ({"tags": True}, "keyword"),
        ({"place": "Berlin"}, "geo"),
        ({"day": {"gte": 5}}, "datetime"),
        ({"body": {"gte": 5}}, "text"),
        ({"tags": {"text": "x"}}, "keyword"),
    ],
)
def test_a_question_the_index_cannot_answer_is_refused_with_its_type(places, wanted, said):
    with pytest.raises(FilterError, match=said):
        places.count(wanted)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"tags": {"gteq": 5}}, "'gteq'.*'gte'"),
        ({"tags": {"$in": ["x"]}}, r"'\$in'.*'any'"),
        ({"tags": {}}, "empty mapping"),
        ({"tags": []}, "at least one"),
        ({"tags": {"any": []}}, "at least one"),
        ({"tags": {"any": "x"}}, "'x'"),
        ({"tags": {"any": ["x", 1]}}, "list"),
        ({"tags": {"any": [1.5]}}, "list"),
        ({"tags": None}, "exists"),
        ({"tags": b"x"}, "bytes|b'x'"),
        ({"tags": object()}, "object"),
        ({"or": []}, "'or'"),
        ({"or": {"tags": "x"}}, "'or'"),
        ({"or": [{}]}, "'or'"),
        ({"and": "x"}, "'and'"),
        ({"not": []}, "'not'"),
        ({"not": {}}, "'not'"),
        ({"or": ["tags"]}, "'or'"),
        ({5: "x"}, "5"),
        ({"tags": {"exists": "yes"}}, "True or False"),
        ({"body": {"text": " "}}, "words"),
        ({"body": {"text": 5}}, "words"),
        ({"place": {"near": {"lat": 1}}}, "meters"),
        ({"place": {"near": {"lat": "x", "lon": 1, "meters": 1}}}, "meters"),
        ({"place": {"near": 5}}, "meters"),
        ({"tags": {"count": "2"}}, "'count'"),
        ({"tags": {"count": {}}}, "'count'"),
        ({"tags": {"count": {"gteq": 2}}}, "'count'"),
        ({"tags": {"count": {"gte": True}}}, "'count'"),
        ({"day": {"gte": "yesterday"}}, "yesterday"),
        ({"day": "yesterday"}, "yesterday"),
        ({"day": {"gte": "2024-01-01", "lt": 5}}, "numbers or dates"),
        ({"day": {"gte": None}}, "None"),
        ("tags", "tags"),
        (["tags"], "tags"),
        (5, "5"),
        (b"x", "x"),
    ],
)
def test_a_filter_that_cannot_work_says_what_was_expected(places, wanted, said):
    for call in (places.count, lambda wanted: places.retriever().run("q", filter=wanted)):
        with pytest.raises(FilterError, match=f"(?s){said}"):
            call(wanted)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**63, -(2**63) - 1])
def test_a_number_that_no_index_can_hold_is_refused_with_its_value(edge_docs, value):
    for wanted in ({"price": {"gte": value}}, {"price": value}, {"year": value}, {"year": {"any": [value]}}):
        if isinstance(value, int) and "price" in wanted:
            continue
        with pytest.raises(FilterError) as caught:
            edge_docs.count(wanted)
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_that_cannot_be_sent_is_refused(edge_docs, text):
    for wanted in (
        {"lang": text},
        {"lang": {"any": [text]}},
        {"lang": {"none": [text]}},
        {"body": {"text": text}},
    ):
        with pytest.raises(FilterError, match="surrogate"):
            edge_docs.count(wanted)


def test_a_very_long_value_does_not_flood_the_message(edge_docs):
    with pytest.raises(FilterError) as caught:
        edge_docs.count({"lang": {"gte": "x" * 100_000}})
    assert len(str(caught.value)) < 500


async def test_async_counts_agree(edge_docs):
    assert await edge_docs.acount({"lang": "en"}) == edge_docs.count({"lang": "en"}) > 0


def test_a_filter_that_is_handed_in_is_not_changed(edge_docs):
    wanted = {"or": [{"lang": "en"}, {"tags": ["red"]}], "year": {"gte": 0}}
    before = repr(wanted)
    edge_docs.count(wanted)
    assert repr(wanted) == before


def test_a_day_without_a_time_means_the_whole_day(edge):
    docs = Collection.create(edge, "days", dense=HashEncoder(8), fields={"when": "datetime"})
    moments = ["2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "2024-01-01T15:00:00Z", "2024-01-02T00:00:00Z"]
    docs.indexer(progress=False).add([{"id": at, "text": at, "when": at} for at in moments])
    day = date(2024, 1, 1)

    def found(wanted):
        return sorted(hit.id for hit in docs.retriever().run("when", filter={"when": wanted}).hits)

    assert found(day) == found("2024-01-01") == found({"is": day}) == moments[1:3]
    assert found({"lte": day}) == moments[:3]
    assert found({"gt": "2024-01-01"}) == moments[3:]
    assert found({"gte": day}) == moments[1:]
    assert found({"lt": day}) == moments[:1]
    assert found({"gte": day, "lte": day}) == moments[1:3]
    assert found({"lte": datetime(2024, 1, 1, tzinfo=UTC)}) == moments[:2]

"""Indexing passages: nothing twice, nothing lost, bounded memory, and what BM25 learns."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from hydrant import Bm25Encoder, Collection, EdgeClient, Passage
from hydrant.errors import CollectionInUse, ConfigurationError, StorageError
from hydrant.testing import HashEncoder

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
LONG = os.environ.get("HYDRANT_LONG") == "1"


def numbered(count, start=0):
    return [
        {"id": number, "text": f"passage {number} of many", "lang": "en"}
        for number in range(start, start + count)
    ]


def stored(docs):
    """Everything in a collection, to be compared."""
    points, _ = docs.clients.sync.scroll(docs.name, limit=10_000, with_payload=True, with_vectors=True)
    return sorted(
        (str(point.id), point.payload, {name: rounded(vector) for name, vector in point.vector.items()})
        for point in points
    )


def rounded(vector):
    if isinstance(vector, list):
        return [round(value, 4) for value in vector]
    return sorted(
        (index, round(value, 4)) for index, value in zip(vector.indices, vector.values, strict=True)
    )


def make(client, name="docs", **given):
    return Collection.create(client, name, dense=HashEncoder(16), sparse=Bm25Encoder(), **given)


def index(docs, items, **given):
    return docs.indexer(progress=False, **given).add(items)


# ---- forms of input ----------------------------------------------------------------------------------------------


def test_texts_passages_and_records_are_taken_side_by_side(edge):
    docs = make(edge)
    report = index(
        docs,
        [
            "only a text",
            Passage("a passage", id="p", title="Title", source="s.txt", metadata={"lang": "en"}),
            {"text": "a record", "_id": 7, "title": "", "year": 2020, "metadata": {"lang": "de"}},
        ],
    )
    assert (report.added, report.failures) == (3, ())
    passage, record = docs.get(["p", 7])
    assert passage == Passage("a passage", "p", "Title", "s.txt", {"lang": "en"})
    assert record == Passage("a record", 7, None, None, {"lang": "de", "year": 2020})
    assert docs.retriever().run("only").hits[0].text == "only a text"


@pytest.mark.parametrize("items", ["a text", b"bytes", {"text": "one"}, Passage("one"), None, 5])
def test_one_thing_in_the_place_of_many_is_refused(edge, items):
    docs = make(edge)
    with pytest.raises(ConfigurationError, match="list of one"):
        index(docs, items)
    assert docs.count() == 0


def test_an_empty_corpus_is_no_error(edge):
    docs = make(edge)
    report = index(docs, [])
    assert (report.added, report.written, report.failures) == (0, 0, ())
    assert index(docs, iter(())).added == 0
    assert docs.sources["sparse"].encoder.average_length is None


def test_the_title_is_searched_with_the_text(edge):
    docs = make(edge)
    index(docs, [{"id": 1, "text": "see below", "title": "Zebras"}, {"id": 2, "text": "see above"}])
    assert docs.retriever(sources=("sparse",)).run("zebras").hits[0].id == 1


# ---- twice -------------------------------------------------------------------------------------------------------


def test_indexing_twice_adds_nothing_and_encodes_nothing(edge):
    docs = make(edge)
    items = [*numbered(30), "no id", Passage("neither", title="t")]
    assert index(docs, items).added == 32
    before, encoder = stored(docs), docs.sources["dense"].encoder
    encoder.calls.clear()
    report = index(docs, items)
    assert (report.added, report.updated, report.unchanged) == (0, 0, 32)
    assert encoder.calls == []
    assert stored(docs) == before


def test_a_changed_text_is_encoded_again_and_only_that(edge):
    docs = make(edge)
    index(docs, numbered(20))
    encoder = docs.sources["dense"].encoder
    encoder.calls.clear()
    items = numbered(20)
    items[3]["text"] = "changed"
    report = index(docs, items)
    assert (report.added, report.updated, report.unchanged) == (0, 1, 19)
    assert encoder.documents_encoded == 1
    assert docs.get([3])[0].text == "changed"
    assert docs.count() == 20


def test_changed_metadata_alone_is_written_without_encoding(edge):
    docs = make(edge, fields={"lang": "keyword"})
    index(docs, numbered(20))
    encoder = docs.sources["dense"].encoder
    encoder.calls.clear()
    items = numbered(20)
    items[3]["lang"] = "de"
    del items[4]["lang"]
    report = index(docs, items)
    assert (report.updated, report.unchanged) == (2, 18)
    assert encoder.calls == []
    assert [each.id for each in docs.get([3, 4])] == [3, 4]
    assert docs.get([3])[0].metadata == {"lang": "de"}
    assert docs.get([4])[0].metadata == {}
    assert [hit.id for hit in docs.retriever().run("passage", filter={"lang": "de"}).hits] == [3]


def test_the_same_again_in_one_run_is_a_duplicate_and_something_else_under_its_id_a_failure(edge):
    docs = make(edge)
    report = index(
        docs, [{"id": 1, "text": "first"}, {"id": 1, "text": "first"}, {"id": 1, "text": "second"}, "x", "x"]
    )
    assert (report.added, report.duplicates) == (2, 2)
    assert [failure.source for failure in report.failures] == ["1"]
    assert "same id" in report.failures[0].reason
    assert docs.get([1])[0].text == "first"


def test_duplicates_are_found_across_windows_too(edge):
    docs = make(edge)
    report = index(docs, [*numbered(25), *numbered(25)], window=10)
    assert (report.added, report.duplicates, report.unchanged) == (25, 25, 0)


@settings(max_examples=100 if LONG else 15)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a b", "c", "d e f"]), st.sampled_from(["en", "de"])),
        max_size=8,
        unique_by=lambda each: each[0],
    ).map(lambda items: [{"id": a, "text": b, "lang": c} for a, b, c in items]),
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a b", "c", "d e f"]), st.sampled_from(["en", "de"])),
        max_size=8,
        unique_by=lambda each: each[0],
    ).map(lambda items: [{"id": a, "text": b, "lang": c} for a, b, c in items]),
)
def test_every_item_is_in_exactly_one_count_and_the_last_word_stands(first, second):
    client = QdrantClient(":memory:")
    docs = Collection.create(client, "docs", dense=HashEncoder(8))
    for items in (first, second):
        report = index(docs, items)
        assert report.added + report.updated + report.unchanged == len(items)
    expected = {each["id"]: (each["text"], each["lang"]) for each in [*first, *second]}
    found = {each.id: (each.text, each.metadata["lang"]) for each in docs.get(list(range(6)))}
    assert found == expected
    client.close()


# ---- interruptions -----------------------------------------------------------------------------------------------


class Dying(EdgeClient):
    """A client whose disk is full after some upserts."""

    left = 2

    def upsert(self, *args, **kwargs):
        if self.left == 0:
            raise StorageError("no space left on device")
        self.left -= 1
        return super().upsert(*args, **kwargs)


def test_a_full_disk_ends_the_run_keeps_what_is_written_and_the_next_run_finishes(edge):
    items = numbered(1200)
    with Dying(":memory:") as client:
        docs = make(client)
        with pytest.raises(StorageError, match="no space"):
            index(docs, items, window=500)
        kept = docs.count()
        assert 0 < kept < 1200
        client.left = 1000
        report = index(docs, items, window=500)
        assert report.unchanged == kept
        assert report.added == 1200 - kept
        whole = make(edge)
        index(whole, items, window=500)
        assert stored(docs) == stored(whole)


CHILD = """
    import sys
    from hydrant import Bm25Encoder, Collection, EdgeClient
    from hydrant.testing import HashEncoder
    path, start = sys.argv[1], sys.argv[2]
    client = EdgeClient(path)
    docs = Collection.create(client, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=3.0))
    def items():
        for number in range(5000):
            if number % 100 == 0:
                print(number, flush=True)
            yield {"id": number, "text": f"passage {number} of many", "lang": "en"}
    docs.indexer(progress=False, window=200).add(items())
    print("done", flush=True)
"""


def test_a_killed_run_is_finished_by_the_next_and_ends_as_if_nothing_had_been(tmp_path, edge):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "index"), "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in child.stdout:
            if line.strip() == "1500":
                break
        with pytest.raises(CollectionInUse, match=str(child.pid)), EdgeClient(tmp_path / "index") as other:
            other.get_collections()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with EdgeClient(tmp_path / "index") as client:
        docs = Collection.open(client, "docs", dense=HashEncoder(16))
        kept = docs.count()
        assert 500 <= kept < 5000
        report = index(docs, numbered(5000))
        assert report.unchanged == kept
        assert report.added == 5000 - kept
        whole = Collection.create(edge, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=3.0))
        index(whole, numbered(5000))
        assert stored(docs) == stored(whole)


def test_an_error_of_the_callers_own_generator_is_theirs_and_what_came_before_is_written(edge):
    docs = make(edge)

    def items():
        yield from numbered(25)
        raise LookupError("the database went away")

    with pytest.raises(LookupError, match="went away"):
        index(docs, items(), window=10)
    assert docs.count() == 25


# ---- memory and overlap ------------------------------------------------------------------------------------------


def test_a_long_generator_is_read_no_further_ahead_than_a_window(edge):
    read, lead = [0], [0]

    class Watching(HashEncoder):
        def encode_document(self, texts):
            lead[0] = max(lead[0], read[0] - self.documents_encoded)
            return super().encode_document(texts)

    docs = Collection.create(edge, "watched", dense=Watching(8))

    def items():
        for item in numbered(3000):
            read[0] += 1
            yield item

    assert index(docs, items(), window=300).added == 3000
    assert lead[0] <= 300


def test_encoding_and_writing_overlap():
    spans = []

    def noted(kind, call):
        start = time.perf_counter()
        value = call()
        spans.append((kind, start, time.perf_counter()))
        return value

    class SlowEncoder(HashEncoder):
        batch_size = 10

        def encode_document(self, texts):
            return noted("encode", lambda: (time.sleep(0.03), HashEncoder.encode_document(self, texts))[1])

    class SlowClient(EdgeClient):
        def upsert(self, *args, **kwargs):
            return noted(
                "upsert", lambda: (time.sleep(0.03), super(SlowClient, self).upsert(*args, **kwargs))[1]
            )

    for driver in ("sync", "async"):
        spans.clear()
        with SlowClient(":memory:") as client:
            docs = Collection.create(client, "docs", dense=SlowEncoder(8))
            start = time.perf_counter()
            indexer = docs.indexer(progress=False)
            indexer.add(numbered(100)) if driver == "sync" else asyncio.run(indexer.aadd(numbered(100)))
            took = time.perf_counter() - start
        overlaps = [
            (one, two)
            for one in spans
            for two in spans
            if (one[0], two[0]) == ("encode", "upsert") and one[1] < two[2] and two[1] < one[2]
        ]
        assert len(overlaps) >= 7
        assert took < sum(end - begin for _, begin, end in spans)


def test_batches_are_made_over_the_whole_window_by_length(edge):
    lengths = []

    class Batched(HashEncoder):
        batch_size = 10

        def encode_document(self, texts):
            lengths.append([len(text) for text in texts])
            return super().encode_document(texts)

    docs = Collection.create(edge, "docs", dense=Batched(8))
    lengths.clear()
    index(docs, [f"{number} " + "x" * ((number * 37) % 101) for number in range(100)])
    assert [len(batch) for batch in lengths] == [10] * 10
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True)


async def test_the_event_loop_goes_on_while_passages_are_indexed(edge):
    class Slow(HashEncoder):
        def encode_document(self, texts):
            time.sleep(0.3)
            return super().encode_document(texts)

    docs = await Collection.acreate(edge, "docs", dense=Slow(8))
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.create_task(tick())
    report = await docs.indexer(progress=False).aadd(numbered(20))
    ticker.cancel()
    assert report.added == 20
    assert ticks > 8


async def test_async_indexing_stores_what_sync_indexing_does(edge):
    first, second = make(edge, "first"), make(edge, "second")
    items = [*numbered(30), "text"]
    one = index(first, items)
    two = await second.indexer(progress=False).aadd(items)
    assert (one.added, one.failures) == (two.added, two.failures)
    assert stored(first) == stored(second)


def test_two_indexers_at_a_time_in_one_process_lose_nothing(edge):
    docs = make(edge)
    parts = [numbered(200, start) for start in (0, 200, 400)]
    threads = [threading.Thread(target=index, args=(docs, part)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert docs.count() == 600


# ---- BM25's average length ---------------------------------------------------------------------------------------


def bm25(client, name):
    return Collection.create(client, name, sparse=Bm25Encoder())


def test_the_average_length_is_learned_and_stored_with_the_collection(edge):
    docs = bm25(edge, "docs")
    index(docs, ["one two three", "four", "the of and"])
    assert docs.sources["sparse"].encoder.average_length == pytest.approx(2)
    assert Collection.open(edge, "docs").sources["sparse"].encoder == docs.sources["sparse"].encoder


TEXTS = st.lists(st.sampled_from(["fox", "dog", "tree", "house", "the"]), min_size=1, max_size=9).map(
    " ".join
)


@settings(max_examples=100 if LONG else 12)
@given(
    st.lists(TEXTS, min_size=1, max_size=6, unique=True),
    st.lists(TEXTS, min_size=1, max_size=14, unique=True),
)
def test_after_growth_scores_are_those_of_a_fresh_index(first, second):
    second = [text for text in second if text not in first]
    if len(second) < len(first) or not any(set(text.split()) - {"the"} for text in first):
        return
    client = QdrantClient(":memory:")
    grown, fresh = bm25(client, "grown"), bm25(client, "fresh")
    index(grown, first)
    index(grown, second)
    index(fresh, [*first, *second])
    assert grown.sources["sparse"].encoder == fresh.sources["sparse"].encoder
    for query in ("fox", "dog tree", "house the"):
        found = [
            sorted((hit.text, round(hit.score, 5)) for hit in docs.retriever(limit=50).run(query).hits)
            for docs in (grown, fresh)
        ]
        assert found[0] == found[1]
    client.close()


def test_the_average_is_learned_again_before_much_was_weighed_with_the_old_one(edge, monkeypatch):
    docs = bm25(edge, "docs")
    index(docs, ["one two three four five six seven eight"] + [f"short {number}" for number in range(9)])
    weighed = []
    update = edge.update_vectors
    monkeypatch.setattr(
        edge, "update_vectors", lambda **given: weighed.append(len(given["points"])) or update(**given)
    )
    index(docs, [f"another {number} text" for number in range(6000)], window=1000)
    assert sum(weighed) < 5000
    assert docs.sources["sparse"].learned_from >= 2000


def test_a_given_average_length_is_never_learned_over(edge):
    docs = Collection.create(edge, "docs", sparse=Bm25Encoder(average_length=50.0))
    index(docs, ["short one", "short two"])
    index(docs, [f"short {number}" for number in range(20)])
    assert docs.sources["sparse"].encoder.average_length == 50.0


def test_texts_of_stop_words_alone_are_stored_and_found_by_their_meaning(edge):
    docs = make(edge)
    report = index(docs, ["the of and", "of the"])
    assert (report.added, report.failures) == (2, ())
    assert len(docs.retriever().run("the of").hits) == 2
    index(docs, ["keys and locks", "doors", "windows"])
    assert docs.retriever(sources=("sparse",)).run("locks").hits[0].text == "keys and locks"


# ---- the report and the bar --------------------------------------------------------------------------------------


def test_the_report_reads_well(edge):
    report = index(make(edge), [*numbered(2), {"id": 0, "text": "passage 0 of many", "lang": "en"}, ""])
    text = str(report)
    assert text.startswith("2 added, 1 duplicate, 1 failed in ")
    assert report.seconds > 0


def test_the_progress_bar_is_silent_where_there_is_no_terminal(edge, capfd):
    make(edge).indexer(progress=True).add(numbered(50))
    assert capfd.readouterr() == ("", "")


def test_the_progress_bar_shows_passages_and_rate_on_a_terminal():
    import pty

    code = """
        from hydrant import Collection, EdgeClient
        from hydrant.testing import HashEncoder
        with EdgeClient(":memory:") as client:
            docs = Collection.create(client, "docs", dense=HashEncoder(8))
            docs.indexer().add([f"text {number}" for number in range(50)])
    """
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=slave, stdout=subprocess.PIPE, env=env
    ) as child:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 65_536)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert child.stdout.read() == b""
        assert child.wait() == 0
    os.close(master)
    text = shown.decode()
    assert "indexing" in text
    assert "50 passages" in text
    assert "/s" in text


@pytest.mark.parametrize("window", [0, -1, 1.5, "10", True, None])
def test_a_window_that_is_no_number_is_refused(edge, window):
    with pytest.raises(ConfigurationError, match="window"):
        make(edge).indexer(window=window)


def test_the_same_text_without_ids_and_with_other_metadata_says_what_to_do(edge):
    docs = make(edge)
    report = index(docs, [{"text": "the same", "year": 1}, {"text": "the same", "year": 2}])
    assert report.added == 1
    assert "give them ids" in report.failures[0].reason


def test_an_id_of_none_leaves_the_other_name_for_it(edge):
    docs = make(edge)
    index(docs, [{"text": "keys", "id": None, "_id": "x9"}])
    assert [passage.id for passage in docs.get(["x9"])] == ["x9"]

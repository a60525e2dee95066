"""Indexing files: unchanged ones cost nothing, changed ones are replaced, gone ones go only when asked."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from hydrant import Bm25Encoder, Chunker, Collection, EdgeClient, PayloadMap
from hydrant.errors import ConfigurationError, StorageError
from hydrant.testing import HashEncoder

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
WORDS = ["key", "lock", "door", "house", "garden", "river", "bank", "fox"]


def paragraphs(count, seed=0):
    rng = random.Random(seed)
    return "\n\n".join(
        f"Paragraph {seed}-{number}: " + " ".join(rng.choices(WORDS, k=60)) + "." for number in range(count)
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "manual"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text(paragraphs(12, 1))
    (folder / "b.md").write_text("# Keys\n\n" + paragraphs(6, 2) + "\n\n## Rotation\n\n" + paragraphs(6, 3))
    (folder / "deep" / "c.txt").write_text(paragraphs(8, 4))
    return folder


@pytest.fixture
def docs(edge):
    return Collection.create(edge, "docs", dense=HashEncoder(16), sparse=Bm25Encoder())


CHUNKER = Chunker(max_tokens=120, overlap=0)


def add(docs, *paths, **given):
    return docs.indexer(progress=False, chunker=CHUNKER).add_paths(paths, **given)


def texts(docs):
    points, _ = docs.clients.sync.scroll(docs.name, limit=10_000)
    return sorted((point.payload["source"], point.payload["text"]) for point in points)


def encoded(docs):
    return docs.sources["dense"].encoder.documents_encoded


def test_files_become_passages_with_source_and_headings(docs, folder):
    report = add(docs, folder)
    assert report.files == 3
    assert report.failures == ()
    assert docs.count() == report.added > 9
    hits = docs.retriever(limit=100, sources=("dense",)).run("key").hits
    titles = {hit.title for hit in hits if hit.source == str(folder / "b.md")}
    assert any("Rotation" in title for title in titles)
    assert all("Keys" in title for title in titles)


def test_the_second_run_reads_bytes_and_encodes_nothing(docs, folder):
    first = add(docs, folder)
    before, count = texts(docs), encoded(docs)
    report = add(docs, folder)
    assert (report.files, report.files_unchanged, report.unchanged) == (3, 3, first.added)
    assert (report.added, report.updated, report.deleted) == (0, 0, 0)
    assert encoded(docs) == count
    assert texts(docs) == before


def test_a_changed_file_replaces_its_passages_and_encodes_only_the_new_ones(docs, folder):
    add(docs, folder)
    count = encoded(docs)
    path = folder / "a.txt"
    path.write_text(path.read_text() + "\n\nA new last paragraph about " + "zebras " * 60 + ".")
    report = add(docs, folder)
    assert report.files_unchanged == 2
    assert 1 <= encoded(docs) - count <= 2
    assert encoded(docs) - count == report.added
    assert "zebras" in docs.retriever(limit=1).run("zebras").hits[0].text
    fresh = Collection.create(docs.clients.sync, "fresh", dense=HashEncoder(16), sparse=Bm25Encoder())
    add(fresh, folder)
    assert texts(docs) == texts(fresh)
    assert add(docs, folder).files_unchanged == 3


def test_a_file_that_moved_back_and_forth_is_as_it_was(docs, folder):
    add(docs, folder)
    before = texts(docs)
    path = folder / "a.txt"
    original = path.read_text()
    path.write_text(paragraphs(3, 9))
    add(docs, folder)
    path.write_text(original)
    add(docs, folder)
    assert texts(docs) == before


@pytest.mark.parametrize("content", ["", "  \n\n "])
def test_a_file_that_was_emptied_loses_its_passages(docs, folder, content):
    add(docs, folder)
    (folder / "a.txt").write_text(content)
    report = add(docs, folder)
    assert report.deleted > 0
    assert report.failures == (), "an empty file is nothing that failed"
    assert [note.source for note in report.notes] == [str(folder / "a.txt")]
    assert {source for source, _ in texts(docs)} == {str(folder / "b.md"), str(folder / "deep" / "c.txt")}


def test_a_file_that_cannot_be_read_any_more_keeps_its_passages(docs, folder):
    add(docs, folder)
    before = texts(docs)
    (folder / "a.txt").write_bytes(bytes(range(256)) * 50)
    report = add(docs, folder)
    assert len(report.failures) == 1
    assert texts(docs) == before


def test_another_way_of_cutting_replaces_everything(docs, folder):
    add(docs, folder)
    report = docs.indexer(progress=False, chunker=Chunker(max_tokens=60, overlap=0)).add_paths([folder])
    assert report.files_unchanged == 0
    assert report.deleted > 0
    fresh = Collection.create(docs.clients.sync, "fresh", dense=HashEncoder(16))
    fresh.indexer(progress=False, chunker=Chunker(max_tokens=60, overlap=0)).add_paths([folder])
    assert texts(docs) == texts(fresh)


def test_gone_files_stay_until_pruning_is_asked_for(docs, folder):
    add(docs, folder)
    (folder / "a.txt").unlink()
    report = add(docs, folder)
    assert report.deleted == 0
    assert str(folder / "a.txt") in {source for source, _ in texts(docs)}
    report = add(docs, folder, prune=True)
    assert report.deleted > 0
    assert str(folder / "a.txt") not in {source for source, _ in texts(docs)}


def test_pruning_reaches_no_further_than_the_given_folders(docs, folder, tmp_path):
    other = tmp_path / "manual2"
    other.mkdir()
    (other / "x.txt").write_text(paragraphs(2, 7))
    add(docs, folder, other)
    docs.indexer(progress=False).add([{"text": "by hand", "source": str(folder / "hand.txt")}])
    (other / "x.txt").unlink()
    (folder / "deep" / "c.txt").unlink()
    (folder / "a.txt").unlink()
    report = add(docs, folder / "deep", prune=True)
    assert report.deleted > 0
    assert {source for source, _ in texts(docs)} == {
        str(other / "x.txt"),
        str(folder / "a.txt"),
        str(folder / "b.md"),
        str(folder / "hand.txt"),
    }


def test_a_folder_that_is_missing_altogether_prunes_nothing(docs, folder):
    add(docs, folder)
    before = texts(docs)
    folder.rename(folder.with_name("unmounted"))
    report = add(docs, folder, prune=True)
    assert report.deleted == 0
    assert "does not exist" in report.failures[0].reason
    assert texts(docs) == before


def test_passages_added_by_hand_survive_a_change_of_the_file_they_name(docs, folder):
    add(docs, folder)
    docs.indexer(progress=False).add([{"id": "note", "text": "a note", "source": str(folder / "a.txt")}])
    (folder / "a.txt").write_text(paragraphs(2, 8))
    add(docs, folder, prune=True)
    assert [each.text for each in docs.get(["note"])] == ["a note"]


def test_the_same_text_in_two_files_is_two_passages_and_twice_in_one_file_is_one(docs, tmp_path):
    text = paragraphs(1, 5)
    (tmp_path / "one.txt").write_text(text)
    (tmp_path / "two.txt").write_text(text)
    (tmp_path / "twice.txt").write_text(f"{text}\n\n{text}")
    report = add(docs, tmp_path)
    assert report.added == 3
    assert add(docs, tmp_path).files_unchanged == 3


def test_a_path_as_text_a_relative_path_and_an_absolute_one_are_one_file(docs, folder, monkeypatch):
    add(docs, str(folder))
    monkeypatch.chdir(folder.parent)
    assert add(docs, "manual").files_unchanged == 3
    assert docs.indexer(progress=False, chunker=CHUNKER).add_paths(folder).files_unchanged == 3
    assert add(docs, folder / ".." / "manual" / "a.txt").files_unchanged == 1


def test_tenants_keep_files_of_their_own(edge, folder):
    docs = Collection.create(edge, "docs", dense=HashEncoder(16), tenant="who")
    first = add(docs, folder, tenant="acme")
    second = add(docs, folder, tenant="bravo")
    assert first.added == second.added == docs.count(tenant="acme") == docs.count(tenant="bravo")
    (folder / "a.txt").unlink()
    assert add(docs, folder, tenant="acme", prune=True).deleted > 0
    assert docs.count(tenant="bravo") == second.added
    assert add(docs, folder, tenant="bravo").files_unchanged == 2


def test_a_layout_without_a_source_is_refused(edge, folder):
    docs = Collection.create(edge, "docs", dense=HashEncoder(16), payload=PayloadMap.flat("body"))
    with pytest.raises(ConfigurationError, match="source"):
        add(docs, folder)


def test_a_flat_layout_with_a_source_takes_files_too(edge, folder):
    docs = Collection.create(
        edge, "docs", dense=HashEncoder(16), payload=PayloadMap.flat("body", source="url")
    )
    added = add(docs, folder).added
    assert add(docs, folder).unchanged == added
    (folder / "a.txt").write_text("short")
    add(docs, folder)
    sources = [hit.source for hit in docs.retriever(limit=100).run("key").hits]
    assert sources.count(str(folder / "a.txt")) == 1


class Dying(EdgeClient):
    left = 10**9

    def upsert(self, *args, **kwargs):
        if self.left == 0:
            raise StorageError("no space left on device")
        self.left -= 1
        return super().upsert(*args, **kwargs)


def test_an_interrupted_run_over_files_is_finished_by_the_next(edge, folder):
    for number in range(10):
        (folder / f"n{number}.txt").write_text(paragraphs(20, 20 + number))
    fresh = Collection.create(edge, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=50.0))
    with Dying(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(16), sparse=Bm25Encoder(average_length=50.0)
        )
        add(docs, folder)
        for path in folder.glob("n*.txt"):
            path.write_text("changed\n\n" + path.read_text()[500:])
        client.left = 2
        with pytest.raises(StorageError):
            docs.indexer(progress=False, chunker=CHUNKER, window=16).add_paths([folder])
        client.left = 10**9
        report = add(docs, folder)
        assert report.files_unchanged >= 3
        add(fresh, folder)
        assert texts(docs) == texts(fresh)
        assert add(docs, folder).files_unchanged == 13


async def test_async_indexing_of_files_is_the_same(docs, folder):
    report = await docs.indexer(progress=False, chunker=CHUNKER).aadd_paths([folder])
    assert report.added == docs.count()
    again = await docs.indexer(progress=False, chunker=CHUNKER).aadd_paths([folder], prune=True)
    assert (again.files_unchanged, again.deleted) == (3, 0)


CONTENTS = st.dictionaries(st.sampled_from(["a.txt", "b.md", "c/d.txt"]), st.integers(0, 4), max_size=3)


@settings(max_examples=8)
@given(st.lists(CONTENTS, min_size=2, max_size=4))
def test_any_history_of_a_folder_ends_as_its_last_state(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("history")
    client = QdrantClient(":memory:")
    docs = Collection.create(client, "docs", dense=HashEncoder(8))
    for state in history:
        for path in list(folder.rglob("*.*")):
            path.unlink()
        for name, seed in state.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(paragraphs(1 + seed, seed % 3))
        add(docs, folder, prune=True)
    fresh = Collection.create(client, "fresh", dense=HashEncoder(8))
    add(fresh, folder)
    assert texts(docs) == texts(fresh)
    client.close()


def test_no_files_at_all_is_no_error(docs, tmp_path):
    report = add(docs, tmp_path)
    assert (report.files, report.added, report.failures) == (0, 0, ())
    report = add(docs, tmp_path / "missing")
    assert "does not exist" in report.failures[0].reason
    assert docs.indexer(progress=False).add_paths([]).files == 0

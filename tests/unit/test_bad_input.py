"""Bad input gets a clear error, stops nobody else, and nothing is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient, Passage
from hydrant.errors import CollectionInUse, FormatError, HydrantError, StorageError
from hydrant.testing import HashEncoder

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")


@pytest.fixture(params=["edge", "local"])
def client(request):
    """Both engines: what one would store silently the other may refuse."""
    client = EdgeClient(":memory:") if request.param == "edge" else QdrantClient(":memory:")
    yield client
    client.close()


def circular():
    value = {}
    value["self"] = value
    return value


def deep(levels):
    value = "bottom"
    for _ in range(levels):
        value = {"a": value}
    return value


BAD = {
    "blank": ("", "blank"),
    "spaces": (" \n\t", "blank"),
    "only NULs": ("\0\0", "blank"),
    "None": (None, "NoneType"),
    "a number": (5, "int"),
    "bytes": (b"text", "bytes"),
    "a list": (["text"], "list"),
    "no text": ({"title": "x"}, "'text'.*title"),
    "text of None": ({"text": None}, "NoneType"),
    "text of bytes": ({"text": b"x"}, "bytes"),
    "a float id": ({"text": "x", "id": 1.5}, "1.5"),
    "a bool id": ({"text": "x", "id": True}, "True"),
    "a negative id": ({"text": "x", "id": -1}, "-1"),
    "an id too large": ({"text": "x", "id": 2**64}, str(2**64)),
    "an id that is a list": ({"text": "x", "id": [1]}, r"\[1\]"),
    "metadata that is a list": ({"text": "x", "metadata": ["a"]}, "mapping"),
    "a passage whose metadata is a list": (Passage("x", metadata=["a"]), "mapping"),
    "metadata of objects": ({"text": "x", "when": object()}, "JSON"),
    "metadata of sets": ({"text": "x", "tags": {"a"}}, "JSON"),
    "metadata of NaN": ({"text": "x", "score": float("nan")}, "JSON"),
    "metadata of infinity": ({"text": "x", "metadata": {"deep": [float("inf")]}}, "JSON"),
    "metadata of numpy": ({"text": "x", "score": np.float32(1)}, "JSON"),
    "keys that are numbers": ({"text": "x", "metadata": {"a": {1: "b"}}}, "strings"),
    "circular metadata": ({"text": "x", "metadata": circular()}, "deep|recursion|JSON"),
    "bottomless metadata": ({"text": "x", "metadata": deep(100_000)}, "deep|recursion|JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_item_is_reported_with_its_reason_and_stops_no_other(edge, name):
    bad, said = BAD[name]
    docs = Collection.create(edge, "docs", dense=HashEncoder(8), sparse=Bm25Encoder())
    report = docs.indexer(progress=False).add(["before", bad, "after"])
    assert report.added == 2
    (failure,) = report.failures
    own = bad.get("id") if isinstance(bad, dict) else None
    assert failure.source == ("item 1" if own is None else str(own))
    assert re.search(said, failure.reason), failure.reason
    assert len(failure.reason) < 2000
    assert sorted(hit.text for hit in docs.retriever().run("text").hits) == ["after", "before"]


def test_all_bad_items_at_once_are_all_reported_in_order(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder(8), sparse=Bm25Encoder())
    items = [each for number, (bad, _) in enumerate(BAD.values()) for each in (bad, f"good {number}")]
    report = docs.indexer(progress=False).add(items)
    assert len(report.failures) == report.added == len(BAD)
    places = [failure.source for failure in report.failures if failure.source.startswith("item")]
    assert places == sorted(places, key=lambda place: int(place.split()[1]))


@pytest.mark.parametrize(
    ("text", "kept", "note"),
    [
        ("a\0b", "ab", "NUL"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate", "surrogate"),
        ("pair \ud83d\ude00", "pair \U0001f600", None),
        ("line\r\nends\r", "line\nends\n", None),
    ],
)
def test_text_that_no_database_can_store_is_repaired_and_noted(client, text, kept, note):
    docs = Collection.create(client, "docs", dense=HashEncoder(8), sparse=Bm25Encoder())
    item = {
        "text": text,
        "id": f"id {text}",
        "title": text,
        "source": text,
        "metadata": {"m": text, f"k{text}": [text]},
    }
    report = docs.indexer(progress=False).add([item])
    assert (report.added, report.failures) == (1, ())
    hit = docs.retriever().run("lone line pair").hits[0]
    assert hit.text == kept
    assert hit.metadata == {"m": kept, f"k{kept}": [kept]}
    assert bool(report.notes) == bool(note)
    if note:
        assert note in report.notes[0].reason
    assert docs.indexer(progress=False).add([item]).unchanged == 1


def test_a_document_of_ten_megabytes_is_stored_and_found(edge):
    docs = Collection.create(edge, "docs", sparse=Bm25Encoder())
    large = "needle " + "hay " * 2_500_000
    report = docs.indexer(progress=False).add([large, "small hay"])
    assert (report.added, report.failures) == (2, ())
    assert docs.retriever(sources=("sparse",), limit=1).run("needle").hits[0].text == large


def test_integers_beyond_what_the_engine_keeps_are_not_silently_changed(client):
    docs = Collection.create(client, "docs", dense=HashEncoder(8))
    report = docs.indexer(progress=False).add(
        [{"id": 1, "text": "x", "big": 2**70}, {"id": 2, "text": "y", "big": 2**53}]
    )
    assert docs.get([2])[0].metadata == {"big": 2**53}
    assert [failure.source for failure in report.failures] == ["1"]
    assert "64 bits" in report.failures[0].reason


# ---- encoders that misbehave -------------------------------------------------------------------------------------


class Bad(HashEncoder):
    """Misbehaves at one text."""

    batch_size = 8

    def __init__(self, deed):
        super().__init__(8)
        self.deed = deed

    def encode_document(self, texts):
        rows = super().encode_document(texts)
        if any("poison" in text for text in texts):
            return self.deed(rows, next(number for number, text in enumerate(texts) if "poison" in text))
        return rows


def raising(error):
    def deed(rows, at):
        raise error

    return deed


def replaced(value):
    def deed(rows, at):
        return [*rows[:at], value, *rows[at + 1 :]]

    return deed


DEEDS = {
    "raises RuntimeError": (raising(RuntimeError("CUDA out of memory")), "CUDA"),
    "raises ValueError": (raising(ValueError("too long")), "too long"),
    "raises IndexError": (raising(IndexError("index out of range in self")), "out of range"),
    "raises KeyError": (raising(KeyError("token")), "token"),
    "raises TypeError": (raising(TypeError("expected str")), "expected str"),
    "raises AssertionError": (raising(AssertionError()), "AssertionError"),
    "returns NaN": (replaced([float("nan")] * 8), "finite"),
    "returns infinity": (replaced([float("inf")] + [0.0] * 7), "finite"),
    "returns another size": (replaced([1.0] * 7), "8|7"),
    "returns one too few": (lambda rows, at: rows[:-1], "vectors"),
    "returns one too many": (lambda rows, at: [*rows, rows[0]], "vectors"),
}


@pytest.mark.parametrize("name", DEEDS)
def test_an_encoder_that_fails_on_one_text_costs_only_that_text(client, name):
    deed, said = DEEDS[name]
    docs = Collection.create(client, "docs", dense=Bad(deed))
    items = [{"id": number, "text": f"text {number}"} for number in range(30)]
    items[13]["text"] = "poison"
    report = docs.indexer(progress=False).add(items)
    assert report.added == 29
    assert [failure.source for failure in report.failures] == ["13"]
    assert said.split("|")[0] in report.failures[0].reason
    assert docs.count() == 29


def test_a_model_that_is_gone_ends_the_run_instead_of_failing_every_passage(edge):
    docs = Collection.create(edge, "docs", dense=Bad(raising(ConnectionError("model server is down"))))
    with pytest.raises(ConnectionError, match="down"):
        docs.indexer(progress=False).add(["text", "poison"])


class PlainObject:
    """A third party's encoder: any object that encodes."""

    def encode(self, texts):
        rows = np.ones((len(texts), 4), dtype=np.float32)
        for number, text in enumerate(texts):
            if "poison" in text:
                rows[number] = np.nan
        return rows


def test_nan_from_somebodys_model_is_reported_with_its_text(edge):
    docs = Collection.create(edge, "docs", dense=DenseEncoder(PlainObject()))
    report = docs.indexer(progress=False).add([f"text {number}" for number in range(40)] + ["the poison"])
    assert report.added == 40
    assert "NaN" in report.failures[0].reason
    assert "the poison" in report.failures[0].reason


# ---- files -------------------------------------------------------------------------------------------------------


def test_bad_files_are_reported_each_with_its_reason_and_the_good_ones_are_indexed(edge, tmp_path):
    (tmp_path / "good.txt").write_text("keys and locks")
    (tmp_path / "latin.txt").write_bytes("un café à la crème".encode("latin-1") * 5)
    (tmp_path / "rubbish.txt").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.md").write_text(" \n\n ")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.txt")
    docs = Collection.create(edge, "docs", dense=HashEncoder(8))
    report = docs.indexer(progress=False).add_paths([tmp_path, tmp_path / "missing.txt"])
    reasons = {Path(failure.source).name: failure.reason for failure in report.failures}
    assert set(reasons) == {"rubbish.txt", "gone.txt", "pipe.txt", "missing.txt"}
    notes = {Path(note.source).name: note.reason for note in report.notes}
    assert set(notes) == {"latin.txt", "empty.txt", "blank.md"}
    assert "empty" in notes["empty.txt"]
    texts = sorted(hit.text for hit in docs.retriever(limit=50).run("key").hits)
    assert any("café" in text for text in texts)
    assert "keys and locks" in texts
    assert all(reason for reason in reasons.values())


def test_a_large_file_is_cut_and_indexed(edge, tmp_path):
    (tmp_path / "large.txt").write_text(
        "\n\n".join(f"Paragraph {number} about keys." for number in range(40_000))
    )
    docs = Collection.create(edge, "docs", dense=HashEncoder(8))
    report = docs.indexer(progress=False).add_paths([tmp_path])
    assert report.failures == ()
    assert report.added > 500
    assert docs.retriever().run("Paragraph 39999").hits


# ---- disks -------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    client = EdgeClient(tmp_path / "file" / "index")
    with pytest.raises((StorageError, FormatError)) as caught:
        Collection.create(client, "docs", dense=HashEncoder(8))
    assert str(tmp_path / "file") in str(caught.value)
    client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not write")
def test_a_read_only_folder_says_so():
    code = """
        import os, sys
        from hydrant import Collection, EdgeClient
        from hydrant.errors import StorageError
        from hydrant.testing import HashEncoder
        with EdgeClient(":memory:") as client:
            # What is imported late has to be there before this process gives up its rights.
            Collection.create(client, "docs", dense=HashEncoder(8))
        os.setuid(65534)
        try:
            Collection.create(EdgeClient(sys.argv[1]), "docs", dense=HashEncoder(8))
        except StorageError as error:
            print("StorageError:", error)
    """
    # Below pytest's own folder nobody else may even look.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), folder],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.startswith("StorageError:"), done.stderr
        assert folder in done.stdout


def test_a_disk_that_fills_up_is_a_storage_error_and_what_was_written_stays(tmp_path):
    code = """
        import resource, signal, sys
        from hydrant import Collection, EdgeClient
        from hydrant.errors import StorageError
        from hydrant.testing import HashEncoder
        client = EdgeClient(sys.argv[1])
        docs = Collection.create(client, "docs", dense=HashEncoder(64))
        docs.indexer(progress=False).add([{"id": number, "text": f"text {number}"} for number in range(50)])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # No file may grow: what a full disk does to every write.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        try:
            docs.indexer(progress=False).add({"id": number, "text": f"text {number} " + "x" * 5000} for number in range(50, 20000))
            print("no error", docs.count())
        except StorageError as error:
            print("StorageError:", error)
        except BaseException as error:
            print(type(error), error)
        sys.stdout.flush()
        import os
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "index")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.startswith("StorageError:"), (done.stdout, done.stderr[-2000:])
    with EdgeClient(tmp_path / "index") as client:
        docs = Collection.open(client, "docs", dense=HashEncoder(64))
        assert len(docs.get(list(range(50)))) == 50
        assert docs.indexer(progress=False).add([{"id": 7, "text": "text 7"}]).unchanged == 1


def test_an_index_that_is_open_already_names_the_process(tmp_path):
    with EdgeClient(tmp_path / "index") as first:
        Collection.create(first, "docs", dense=HashEncoder(8))
        second = EdgeClient(tmp_path / "index")
        with pytest.raises(CollectionInUse, match=str(os.getpid())):
            Collection.open(second, "docs", dense=HashEncoder(8))
        second.close()


def test_a_point_without_text_costs_no_other_hit_and_no_indexing(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder(8), sparse=Bm25Encoder())
    indexer = docs.indexer(progress=False)
    indexer.add(["keys and locks", "doors and keys"])
    vector = HashEncoder(8).encode_query(["keys"])[0]
    edge.upsert("docs", [models.PointStruct(id=5, vector={"dense": vector}, payload={"strange": 1})])
    indexer.add([f"more keys {number}" for number in range(10)])
    result = docs.retriever(limit=50).run("keys")
    assert len(result.hits) == 12
    assert "5" in result.degraded[0].reason


def test_a_creation_that_fails_leaves_no_half_collection(edge):
    with pytest.raises(HydrantError):
        Collection.create(edge, "docs", dense=HashEncoder(8), fields={"": "keyword"})
    assert not edge.collection_exists("docs")


def test_files_whose_names_are_no_utf8_stay_apart(edge, tmp_path):
    for name in (b"\xff.txt", b"\xfe.txt", b"?.txt"):
        (tmp_path / os.fsdecode(name)).write_text(f"keys of {name!r}")
    docs = Collection.create(edge, "docs", dense=HashEncoder(8))
    assert docs.indexer(progress=False).add_paths([tmp_path]).added == 3
    again = docs.indexer(progress=False).add_paths([tmp_path], prune=True)
    assert (again.files_unchanged, again.deleted, docs.count()) == (3, 0, 3)

"""`hydrant index` on a real index; BM25 only, so that no model is loaded."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hydrant import EdgeClient
from hydrant.cli.main import app

KEYS = "# Keys\n\nTo rotate the keys, open the settings and press Rotate.\n"
INSTALL = "Installation\n============\n\nInstall the package with pip.\n"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with a small manual in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRANT_PATH", "QDRANT_URL", "QDRANT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    manual = tmp_path / "manual"
    manual.mkdir()
    (manual / "keys.md").write_text(KEYS)
    (manual / "install.rst").write_text(INSTALL)
    return tmp_path


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], **options)


def indexed(*arguments, **options):
    """Index without a model; the summary."""
    done = run("index", *arguments, "--no-dense", "--json", **options)
    assert done.exit_code in {0, 1}, done.stderr
    return json.loads(done.stdout)


def test_indexing_a_folder_makes_the_index_and_a_second_run_adds_nothing(work):
    assert indexed("manual")["added"] == 2
    assert (work / ".hydrant" / "index").is_dir()
    again = indexed("manual")
    assert (again["added"], again["files_unchanged"], again["passages"]) == (0, 2, 2)


def test_a_changed_file_replaces_its_passages_and_prune_removes_lost_ones(work):
    indexed("manual")
    (work / "manual" / "keys.md").write_text(KEYS.replace("Rotate", "Renew"))
    (work / "manual" / "install.rst").unlink()
    kept = indexed("manual")
    assert (kept["added"], kept["passages"]) == (1, 2)
    pruned = indexed("manual", "--prune")
    assert (pruned["deleted"], pruned["passages"]) == (1, 1)


def test_the_summary_is_a_table_and_says_what_is_there_now(work):
    done = run("index", "manual", "--no-dense")
    assert done.exit_code == 0
    assert "docs in .hydrant/index" in done.stdout
    assert "passages added" in done.stdout
    assert "passages now" in done.stdout


def test_a_document_that_fails_is_named_with_its_reason_and_stops_no_other(work):
    (work / "manual" / "rubbish.txt").write_bytes(b"\x00\x01\x02\xff\xfe")
    done = run("index", "manual", "--no-dense")
    assert done.exit_code == 1
    assert "failed manual/rubbish.txt: looks binary" in done.stderr
    assert indexed("manual")["passages"] == 2


def test_at_most_twenty_failures_are_listed_and_the_rest_counted(work):
    for number in range(23):
        (work / "manual" / f"rubbish{number}.txt").write_bytes(bytes(range(256)) * 9)
    done = run("index", "manual", "--no-dense")
    lines = [line for line in done.stderr.splitlines() if line.startswith("failed ")]
    assert len(lines) == 20
    assert "… and 3 more failed" in done.stderr
    assert len(indexed("manual")["failures"]) == 23


def test_a_folder_without_anything_to_read_says_so(work):
    (work / "nothing").mkdir()
    done = run("index", "nothing", "--no-dense")
    assert done.exit_code == 0
    assert "nothing was found" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere"),
        ([], "--jsonl"),
        (["manual", "--jsonl", "x.jsonl"], "--jsonl"),
        (["manual", "--no-dense", "--dense", "m"], "--dense"),
        (["manual", "--no-dense", "--field", "lang"], "keyword"),
        (["manual", "--no-dense", "--field", "lang=word"], "keyword"),
        (["manual", "--no-dense", "--no-sparse"], "at least one encoder"),
        (["manual", "--no-dense", "--max-tokens", "20", "--overlap", "15"], "overlap"),
        (["manual", "--no-dense", "--language", "klingon"], "klingon"),
        (["manual", "--path", "a", "--url", "http://localhost:1"], "not both"),
        (["--jsonl", "missing.jsonl", "--no-dense"], "missing.jsonl"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2_and_makes_no_collection(work, arguments, said):
    done = run("index", *arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert said in done.stderr
    assert (
        not (work / ".hydrant").exists()
        or not EdgeClient(work / ".hydrant/index").get_collections().collections
    )


def test_max_tokens_decides_how_files_are_cut(work):
    (work / "long.txt").write_text("\n\n".join(f"Paragraph {n} speaks of matter {n}." * 3 for n in range(20)))
    few = indexed("long.txt", "--path", "a")["added"]
    many = indexed("long.txt", "--path", "b", "--max-tokens", 40)["added"]
    assert many > 2 * few


def test_an_existing_collection_keeps_its_language_and_says_both(work):
    indexed("manual", "--language", "german")
    assert indexed("manual")["files_unchanged"] == 2
    done = run("index", "manual", "--no-dense", "--language", "french")
    assert done.exit_code == 1
    assert "german" in done.stderr
    assert "french" in done.stderr


def test_a_source_that_the_collection_has_cannot_be_left_out(work):
    indexed("manual")
    done = run("index", "manual", "--no-sparse")
    assert done.exit_code == 1
    assert "leave --no-sparse out" in done.stderr


def test_a_model_for_a_collection_without_dense_vectors_is_refused(work):
    indexed("manual")
    done = run("index", "manual", "--dense", "sentence-transformers/all-MiniLM-L6-v2")
    assert done.exit_code == 1
    assert "['sparse']" in done.stderr


def test_a_model_that_is_nowhere_is_one_line_and_leaves_no_collection(work):
    done = run("index", "manual", "--dense", "./no-such-model")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: model './no-such-model'")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(run("info", "--json").stdout)["collections"] == []


def test_records_come_from_a_file_and_bad_lines_are_named(work):
    lines = [
        {"id": "a", "text": "The red door is locked.", "lang": "en"},
        {"id": "b", "text": "Die rote Tür ist zu.", "lang": "de"},
    ]
    text = "\n".join(
        [json.dumps(lines[0]), "{broken", "", "[1, 2]", json.dumps(lines[1]), '{"title": "no text"}']
    )
    (work / "corpus.jsonl").write_text(text)
    report = indexed("--jsonl", "corpus.jsonl", "--field", "lang=keyword")
    assert report["added"] == 2
    assert [failure["source"] for failure in report["failures"]][:2] == [
        "corpus.jsonl, line 2",
        "corpus.jsonl, line 4",
    ]
    assert len(report["failures"]) == 3
    found = json.loads(run("search", "door Tür", "--filter", '{"lang": "de"}', "--json").stdout)
    assert [hit["id"] for hit in found["hits"]] == ["b"]


def test_a_line_that_nests_too_deep_stops_no_other(work):
    (work / "corpus.jsonl").write_text("[" * 100_000 + '\n{"text": "a record"}\n')
    report = indexed("--jsonl", "corpus.jsonl")
    assert (report["added"], len(report["failures"])) == (1, 1)


def test_records_come_from_standard_input(work):
    assert indexed("--jsonl", "-", input='{"text": "a pipe full of words"}\n')["added"] == 1


def test_a_field_can_be_made_filterable_afterwards(work):
    (work / "corpus.jsonl").write_text('{"id": "a", "text": "The red door", "year": 2021}\n')
    indexed("--jsonl", "corpus.jsonl")
    refused = run("search", "door", "--filter", '{"year": {"gte": 2020}}')
    assert refused.exit_code == 2
    assert "--field" in refused.stderr
    indexed("--jsonl", "corpus.jsonl", "--field", "year=integer")
    indexed("--jsonl", "corpus.jsonl", "--field", "year=integer")
    found = json.loads(run("search", "door", "--filter", '{"year": {"gte": 2020}}', "--json").stdout)
    assert len(found["hits"]) == 1


def test_tenants_do_not_see_each_other(work):
    (work / "a.jsonl").write_text('{"id": "1", "text": "the secret of a"}\n')
    (work / "b.jsonl").write_text('{"id": "1", "text": "the secret of b"}\n')
    indexed("--jsonl", "a.jsonl", "--tenant", "a")
    assert indexed("--jsonl", "b.jsonl", "--tenant", "b")["passages"] == 1
    found = json.loads(run("search", "secret", "--tenant", "a", "--json").stdout)
    assert [hit["text"] for hit in found["hits"]] == ["the secret of a"]
    nobody = run("search", "secret")
    assert nobody.exit_code == 2
    assert "--tenant" in nobody.stderr


def test_the_path_may_come_from_the_environment_and_the_command_line_wins(work):
    indexed("manual", env={"HYDRANT_PATH": "elsewhere"})
    assert (work / "elsewhere").is_dir()
    indexed("manual", "--path", "here", env={"HYDRANT_PATH": "elsewhere", "QDRANT_URL": "http://localhost:1"})
    assert (work / "here").is_dir()
    both = run("index", "manual", "--no-dense", env={"HYDRANT_PATH": "x", "QDRANT_URL": "http://localhost:1"})
    assert both.exit_code == 2


def test_an_index_that_is_open_elsewhere_says_so(work):
    indexed("manual")
    with EdgeClient(work / ".hydrant/index") as client:
        client.get_collections()
        done = run("index", "manual", "--no-dense")
    assert done.exit_code == 1
    assert "is already open in this process" in done.stderr

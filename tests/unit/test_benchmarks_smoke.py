"""The measurements run at their smallest size; what they print is for people, what they write is checked."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A function that runs one measurement and gives the tables it wrote, by title."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("HYDRANT_BENCH_CACHE", str(tmp_path / "cache"))

    def run(name: str, *arguments: str) -> list[dict]:
        module = importlib.import_module(f"benchmarks.{name}")
        file = tmp_path / "out.json"
        module.main(["--json", str(file), *arguments])
        return json.loads(file.read_text(encoding="utf-8"))["results"]

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def tiny_set(place: Path, name: str = "cookbook-docs") -> None:
    """A judged set with obvious answers."""
    folder = place / "data" / name
    (folder / "qrels").mkdir(parents=True)
    texts = {
        "a": "Keys are rotated every month.",
        "b": "Whales sing at night.",
        "c": "Bread needs salt and time.",
    }
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    queries = {"q1": "when are keys rotated", "q2": "do whales sing", "q3": "what bread needs"}
    lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", "q1\ta\t1", "q2\tb\t1", "q3\tc\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows), encoding="utf-8")


def test_query_overhead_is_what_engine_and_encoder_leave_of_the_total(measured):
    tables = {
        table["title"].partition(" ")[0]: table
        for table in measured("query", "--quick", "--points", "60")
        if "title" in table
    }
    searches = tables["A"]
    assert [row[0] for row in searches["rows"]][:4] == ["dense", "BM25", "hybrid", "hybrid, filter"]
    for row in searches["rows"]:
        total, engine, encoder, own = map(float, row[2:6])
        assert 0 < engine < total
        assert 0 < own < total
        assert encoder < own + engine


def test_a_set_that_is_not_on_this_machine_is_skipped_with_the_reason(measured, tmp_path):
    results = measured("quality", "--quick", "--data", str(tmp_path / "nowhere"))
    assert results[0]["note"].startswith("skipped cookbook-docs/test: ")
    assert "HYDRANT_BENCH_DATA" in results[0]["note"]
    assert results[1]["rows"] == []


def test_quality_of_a_set_with_obvious_answers_is_perfect(measured, tmp_path):
    tiny_set(tmp_path)

    results = measured("quality", "--quick", "--data", str(tmp_path / "data"))

    searches = [
        "dense, exact",
        "BM25",
        "hybrid, Rrf()",
        "hybrid, Dbsf()",
        "hybrid, Convex()",
        "hybrid, default",
    ]
    assert [row[3] for row in results[0]["rows"]] == searches
    assert [row[4] for row in results[0]["rows"]] == [1.0] * len(searches)
    assert results[0]["rows"][-1][6] == "second run identical"


def test_ingest_measures_the_model_and_the_indexer_on_the_same_passages(measured):
    rows = measured("ingest", "--quick", "--number", "6", "--only", "encoder")[0]["rows"]
    assert rows[0][:2] == ["manual", 6]
    assert float(rows[0][4]) > 0


def test_packing_stays_within_its_budget_and_skips_what_is_not_there(measured, tmp_path):
    results = measured("context", "--quick", "--data", str(tmp_path / "nowhere"))
    for row in results[0]["rows"]:
        assert 7000 < row[2] <= 8000
        assert 0 < float(row[3]) <= float(row[4])
        assert float(row[5]) <= float(row[6])
    assert results[1]["note"].startswith("skipped answers in the budget: ")
    assert results[2]["note"].startswith("skipped cookbook-docs/test: ")


def test_an_oracle_that_never_errs_gives_the_best_ranking(measured, tmp_path):
    tiny_set(tmp_path)
    results = measured("rerank", "--quick", "--only", "oracle", "--data", str(tmp_path / "data"))
    rows = {row[1]: row for row in results[0]["rows"]}
    assert list(rows) == ["0%", "10%", "30%"]
    assert rows["0%"][3] == 1.0


def test_a_cross_encoder_is_trained_saved_and_measured(measured, tmp_path):
    tiny_set(tmp_path, "nfcorpus")
    judged = tmp_path / "data" / "nfcorpus" / "qrels"
    for split in ("train", "dev"):
        (judged / f"{split}.tsv").write_text((judged / "test.tsv").read_text(), encoding="utf-8")
    model = tmp_path / "model"
    options = ("--quick", "--tokens", "32", "--data", str(tmp_path / "data"))
    trained = measured("train_cross_encoder", *options, "--minutes", "0.05", "--out", str(model))
    assert trained[0]["note"].startswith("trained on ")
    assert (model / "config.json").is_file()
    again = measured("train_cross_encoder", *options, "--model", str(model))
    assert again == trained[1:]
    rows = {(row[2], row[3]): row[4] for row in again[-1]["rows"]}
    assert set(rows) == {
        (first, reranker)
        for first in ("BM25", "hybrid")
        for reranker in ("none", "the model alone", again[-1]["rows"][2][3])
    }
    assert rows["hybrid", "none"] == 1.0


def test_what_rerankers_by_vectors_cost_is_measured(measured):
    (table,) = measured("rerank", "--quick", "--only", "cost")
    cost = {row[0]: float(row[1]) for row in table["rows"]}
    assert len(cost) == 5
    assert 0 < cost["LateInteractionReranker, stored vectors"] < cost["LateInteractionReranker, encoded now"]


def test_every_reranker_by_a_language_model_is_measured(measured, tmp_path):
    tiny_set(tmp_path, "cranfield")
    results = measured("rerank_llm", "--quick", "--data", str(tmp_path / "data"))
    assert results[0]["note"].startswith("skipped nfcorpus/test: ")
    rows = {row[0]: row for row in results[1]["rows"]}
    assert rows["the best there could be"][1] == 1.0
    assert int(rows["window 20/10"][2]) == int(rows["vote, list of 20"][2]) == 1
    assert int(rows["pointwise, yes/no"][2]) == 3
    assert int(rows["pairwise, sort"][2]) in {4, 6}
    assert all(0 <= row[1] <= 1 for row in rows.values())


def test_a_frameworks_retriever_costs_little_over_the_pipeline_it_holds(measured):
    pytest.importorskip("langchain_hydrant")
    (table,) = [table for table in measured("integrations", "--quick") if "title" in table]
    assert ["LangChain", "sync"] in [row[:2] for row in table["rows"]]
    assert ["LangChain", "async"] in [row[:2] for row in table["rows"]]
    for row in table["rows"]:
        core, framework, overhead, processor = map(float, row[2:6])
        assert core > 0 < framework
        # A quarter of a millisecond; the bound is for a machine that runs ten other things.
        assert min(overhead, processor) < 2


def test_peers_take_turns_on_the_same_passages_and_the_page_has_their_table(measured, tmp_path):
    tiny_set(tmp_path)
    page = tmp_path / "results.md"
    results = measured(
        "peers.__main__",
        "--quick",
        *("--tables", "retrieval", "--sets", "cookbook-docs/test"),
        *("--only", "hydrant-hybrid", "langchain-on-edge"),
        *("--data", str(tmp_path / "data"), "--write", str(page)),
    )
    rows = results[0]["rows"]
    assert [(row[0], row[3]) for row in rows] == [("Hydrant", 1.0), ("LangChain", 1.0)]
    assert float(rows[0][7]) == 1.0
    assert all(float(row[5]) > 0 and all(float(each) > 0 for each in row[8:]) for row in rows)
    written = page.read_text(encoding="utf-8")
    assert results[0]["title"] in written
    best = min(rows, key=lambda row: float(row[5]))
    (line,) = (line for line in written.splitlines() if f"| {best[2]} |" in line)
    # Everybody finds everything here, and one is the quickest.
    assert "| **1.0000** | **1.0000** |" in line
    assert f"| **{best[5]}** |" in line


def test_every_contender_can_be_built_by_its_name(measured):
    contenders = importlib.import_module("benchmarks.peers.contenders")
    for contender in contenders.ALL.values():
        module = importlib.import_module(f"benchmarks.peers.{contender.module}")
        assert callable(getattr(module, contender.name.replace("-", "_")))

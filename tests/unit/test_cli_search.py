"""`hydrant search` and `hydrant info` on a real index; BM25 only, so that no model is loaded."""

from __future__ import annotations

import json

import pytest
from qdrant_client import models
from typer.testing import CliRunner

from hydrant import EdgeClient
from hydrant.cli.main import app


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], **options)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The folder of an index of forty passages."""
    folder = tmp_path_factory.mktemp("search")
    records = [
        {
            "id": f"p{n}",
            "title": f"Chapter {n}",
            "text": f"Valve number {n} closes the pipe. " + "Water flows. " * (n % 7),
            "source": f"https://example.org/{n}",
            "number": n,
        }
        for n in range(40)
    ]
    records.append({"id": "odd", "text": "An escape \x1b[31mcoloured\x1b[0m hydrant", "number": 99})
    lines = "\n".join(json.dumps(record) for record in records)
    arguments = [
        "index",
        "--jsonl",
        "-",
        "--no-dense",
        "--field",
        "number=integer",
        "--path",
        str(folder / "index"),
    ]
    assert CliRunner().invoke(app, arguments, input=lines).exit_code == 0
    return folder / "index"


def found(index, *arguments):
    done = run("search", *arguments, "--path", index, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_json_has_the_whole_answer_and_nothing_else(index):
    answer = found(index, "valve 7", "--limit", 3)
    assert set(answer) == {"query", "hits", "degraded", "trace"}
    assert answer["query"] == "valve 7"
    first = answer["hits"][0]
    assert first["id"] == "p7"
    assert first["title"] == "Chapter 7"
    assert first["source"] == "https://example.org/7"
    assert first["metadata"] == {"number": 7}
    assert first["stages"] == {"sparse": {"score": first["score"], "rank": 1}}
    assert len(answer["hits"]) == 3
    assert answer["degraded"] == []
    assert "retrieve" in {span["name"] for span in answer["trace"]}


def test_a_question_needs_no_quotes(index):
    assert found(index, "valve", "7")["hits"] == found(index, "valve 7")["hits"]


def test_pages_follow_each_other_without_gaps(index):
    whole = [hit["id"] for hit in found(index, "valve", "-n", 12)["hits"]]
    second = found(index, "valve", "-n", 6, "--offset", 6)["hits"]
    assert [hit["id"] for hit in second] == whole[6:]
    assert [hit["stages"]["sparse"]["rank"] for hit in second] == list(range(7, 13))


def test_a_filter_restricts_the_hits(index):
    hits = found(index, "valve", "--filter", '{"number": {"gte": 10, "lt": 13}}')["hits"]
    assert {hit["id"] for hit in hits} == {"p10", "p11", "p12"}


def test_the_table_shows_rank_score_title_source_and_text(index):
    done = run("search", "valve 7", "--path", index, "-n", 1, env={"COLUMNS": "100"})
    assert done.exit_code == 0
    for shown in ("score", "Chapter 7", "https://example.org/7", "Valve number 7 closes the pipe."):
        assert shown in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_narrow_terminal_is_not_overrun(index):
    done = run("search", "valve 7", "--path", index, env={"COLUMNS": "40"})
    assert max(map(len, done.stdout.splitlines())) <= 40


def test_piped_output_has_no_colours_and_documents_cannot_send_any(index):
    done = run("search", "coloured hydrant", "--path", index)
    assert "coloured" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_nothing_found_is_no_error(index):
    done = run("search", "zebra", "--path", index)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing found\n")
    done = run("search", "valve", "--path", index, "--offset", 500)
    assert (done.exit_code, done.stderr) == (0, "nothing found from hit 501 on\n")


def test_a_question_of_stop_words_says_what_it_went_without(index):
    done = run("search", "the of and", "--path", index)
    assert done.exit_code == 0
    assert "without sparse: the query has no words" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([" "], 2, "blank"),
        (["valve", "--limit", "0"], 2, "--limit"),
        (["valve", "--offset", "-1"], 2, "--offset"),
        (["valve", "--deadline", "0"], 2, "--deadline"),
        (["valve", "--filter", "{lang: en}"], 2, "--filter takes JSON"),
        (["valve", "--filter", "[1]"], 2, "JSON object"),
        (["valve", "--filter", '{"colour": "red"}'], 2, "no payload index"),
        (["valve", "--filter", '{"number": {"above": 3}}'], 2, "above"),
        (["valve", "--source", "dense"], 2, "['sparse']"),
        (["valve", "--tenant", "me"], 2, "tenant"),
        (["valve", "-c", "nope"], 1, "there is no collection 'nope'; there are: 'docs'"),
        (["valve", "--dense", "some/model"], 1, "['sparse']"),
    ],
)
def test_what_cannot_be_searched_is_one_clear_message(index, arguments, code, said):
    done = run("search", *arguments, "--path", index, env={"COLUMNS": "300"})
    assert done.exit_code == code
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_searching_where_no_index_is_makes_none(tmp_path):
    for command in (["search", "valve"], ["info"]):
        done = run(*command, "--path", tmp_path / "nowhere")
        assert done.exit_code == 1
        assert "there is no index at" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_info_describes_our_collections_and_those_of_others(index):
    with EdgeClient(index) as client:
        client.create_collection(
            "foreign", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT)
        )
    try:
        answer = json.loads(run("info", "--path", index, "--json").stdout)
        table = run("info", "--path", index).stdout
        alone = json.loads(run("info", "--path", index, "-c", "docs", "--json").stdout)
    finally:
        with EdgeClient(index) as client:
            client.delete_collection("foreign")
    docs, foreign = answer["collections"]
    assert (docs["name"], docs["made_by"], docs["points"]) == ("docs", "hydrant", 41)
    assert docs["sparse"][0]["encoder"]["language"] == "english"
    assert docs["indexes"]["metadata.number"] == "integer"
    assert foreign["made_by"] == "other"
    assert foreign["dense"] == [
        {"name": "", "size": 4, "distance": "Dot", "multivector": False, "encoder": None}
    ]
    assert "number (integer), source (keyword)" in table
    assert "4 dimensions, Dot" in table
    assert "_hydrant" not in table
    assert [each["name"] for each in alone["collections"]] == ["docs"]


def test_info_of_a_collection_that_is_not_there_lists_those_that_are(index):
    done = run("info", "--path", index, "-c", "nope")
    assert done.exit_code == 1
    assert "'docs'" in done.stderr


def test_searching_a_foreign_collection_says_what_is_needed(tmp_path):
    with EdgeClient(tmp_path / "index") as client:
        client.create_collection(
            "theirs", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT)
        )
    done = run("search", "valve", "--path", tmp_path / "index", "-c", "theirs")
    assert done.exit_code == 2
    assert "was not made by Hydrant" in done.stderr
    assert "--dense MODEL" in done.stderr

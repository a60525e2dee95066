"""`hydrant search --config`: a pipeline of a YAML file on the command line; BM25 only, so that no model is loaded."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hydrant.cli.main import app

PACKED = "[MultiQuery: {llm: {OpenAIGenerator: {model: m}}, timeout: 0.2}, Retriever: {limit: 6}, Top: {n: 2}, ContextPacker: {max_tokens: 60}]"


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "120"}, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an index and pipelines."""
    folder = tmp_path_factory.mktemp("config")
    rows = [
        {"id": f"p{n}", "text": f"Valve number {n} closes the pipe \x1b[31m now.", "number": n}
        for n in range(20)
    ]
    lines = "\n".join(map(json.dumps, rows))
    done = run(
        "index", "--jsonl", "-", "--no-dense", "--field", "number=integer", "--path", folder / "index", input=lines
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for name, stages in {
        "packed": PACKED,
        "words": "[Retriever: {limit: 7}]",
        "blind": "[Top: {n: 2}]",
        "typo": "\n- Retriever: {limits: 7}",
    }.items():
        (folder / f"{name}.yaml").write_text(f"collection: {{path: index, name: docs}}\nstages: {stages}\n")
    return folder


@pytest.fixture
def no_llm(monkeypatch):
    """A language model that nobody answers for."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")


def test_json_carries_the_context_and_what_the_search_went_without(place, no_llm):
    done = run("search", "--config", place / "packed.yaml", "valve 7", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert set(answer) == {"query", "hits", "degraded", "trace", "expansions", "usage", "context"}
    assert answer["hits"][0]["id"] == "p7"
    assert len(answer["hits"]) == 2
    assert [each["stage"] for each in answer["degraded"]] == ["multi-query"]
    context = answer["context"]
    assert "Valve number 7 closes" in context["text"]
    assert 0 < context["tokens"] <= 60
    assert context["citations"][0]["hits"] == ["p7"]
    assert answer["expansions"] == []


def test_the_terminal_shows_hits_then_the_context_and_what_the_search_went_without(place, no_llm):
    done = run("search", "--config", place / "packed.yaml", "valve 7", "--explain")
    assert done.exit_code == 0, done.output
    assert "without multi-query: " in done.stderr
    table, _, packed = done.stdout.partition("context: ")
    assert "Valve number 7" in table
    assert "tokens, 2 parts cited" in packed
    assert "Valve number 7" in packed
    assert "\x1b" not in done.stdout


def test_the_pipeline_says_how_many_hits_and_the_command_line_may_say_otherwise(place):
    def hits(*arguments):
        done = run("search", "--config", place / "words.yaml", "valve", "--json", *arguments)
        assert done.exit_code == 0, done.output
        return [hit["id"] for hit in json.loads(done.stdout)["hits"]]

    assert len(hits()) == 7
    assert len(hits("-n", 3)) == 3
    assert hits("-n", 3, "--offset", 3) == hits("-n", 6)[3:]
    assert set(hits("--filter", '{"number": {"lt": 2}}')) == {"p0", "p1"}


def test_a_file_without_a_place_means_the_options(place, tmp_path):
    (tmp_path / "here.yaml").write_text("collection: docs\nstages: [Retriever]\n")
    done = run("search", "--config", tmp_path / "here.yaml", "valve 7", "--path", place / "index", "--json")
    assert json.loads(done.stdout)["hits"][0]["id"] == "p7"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--config", "words.yaml", "x", "--source", "sparse"], 2, "leave --source away"),
        (["--config", "words.yaml", "x", "-c", "docs"], 2, "leave --collection away"),
        (["--config", "gone.yaml", "x"], 2, "gone.yaml cannot be read"),
        (["--config", "typo.yaml", "x"], 2, "typo.yaml, line 3: Retriever has no setting 'limits'"),
        (["--config", "blind.yaml", "x"], 2, "the pipeline of blind.yaml searches nothing"),
        (["--config", "words.yaml", " "], 2, "the question is blank"),
        (["--config", "words.yaml", "x", "--filter", '{"nothing": 1}'], 2, "nothing"),
    ],
)
def test_what_cannot_be_searched_is_one_clear_message(place, arguments, code, said, monkeypatch):
    monkeypatch.chdir(place)
    done = run("search", *arguments)
    assert done.exit_code == code, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""

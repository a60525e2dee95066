"""`hydrant eval`, `tune` and `make-eval` on a real index; BM25 only, so that no model is loaded."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hydrant import open_pipeline
from hydrant.cli.main import app

SUBJECTS = [
    "valve",
    "pump",
    "pipe",
    "tank",
    "hose",
    "meter",
    "gauge",
    "joint",
    "clamp",
    "seal",
    "nozzle",
    "filter",
]
ENVIRONMENT = {"COLUMNS": "300"}


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], env=ENVIRONMENT, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with documents, their index, judged questions and three pipelines."""
    folder = tmp_path_factory.mktemp("eval")
    (folder / "manual").mkdir()
    for subject in SUBJECTS:
        text = f"# {subject}\n\nThe {subject} closes the line when pressure falls below two bar, and opens again by hand.\n"
        (folder / "manual" / f"{subject}.md").write_text(text)
    done = run("index", folder / "manual", "--no-dense", "--path", folder / "index")
    assert done.exit_code == 0, done.output
    rows = [
        {"text": f"what does the {subject} close?", "relevant": [f"{subject}.md"]} for subject in SUBJECTS
    ]
    rows.append({"text": "nobody judged this"})
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, stages in {
        "words": "[Retriever]",
        "few": "[{Retriever: {}}, {Top: {n: 1}}]",
        "boosted": "[{Retriever: {limit: 5}}]",
    }.items():
        (folder / f"{name}.yaml").write_text(f"collection: {{path: index, name: docs}}\nstages: {stages}\n")
    return folder


def test_pipelines_are_compared_in_a_table(place):
    done = run(
        "eval",
        place / "questions.jsonl",
        "-p",
        place / "words.yaml",
        "-p",
        place / "few.yaml",
        "-p",
        place / "boosted.yaml",
    )
    assert done.exit_code == 0, done.output
    for said in ("questions: 12 questions", "words", "few", "boosted", "nDCG@10", "1.0000", "may be chance", "1 questions have no judgments"):  # fmt: skip
        assert said in done.stdout, said
    assert done.stderr == ""


def test_json_is_the_whole_answer_and_nothing_else(place, tmp_path):
    done = run(
        "eval", place / "questions.jsonl", "-p", place / "words.yaml", "--json", "-m", "P@1", "-m", "MRR",
        "--save", tmp_path / "r.html", "--save", tmp_path / "r.md", "--results", tmp_path / "results",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    task = answer["tasks"][0]
    assert task["metrics"] == ["P@1", "RR"]
    assert task["pipelines"][0]["means"]["P@1"] == 1.0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "| words |" in (tmp_path / "r.md").read_text()
    (kept,) = (tmp_path / "results").rglob("*.jsonl")
    before = kept.read_text()
    again = run("eval", place / "questions.jsonl", "-p", place / "words.yaml", "--json", "-m", "nDCG@3", "--results", tmp_path / "results")  # fmt: skip
    assert json.loads(again.stdout)["tasks"][0]["pipelines"][0]["means"]["nDCG@3"] == 1.0
    assert kept.read_text() == before


def test_a_file_without_a_place_means_the_options(place, tmp_path):
    (tmp_path / "x.yaml").write_text("collection: docs\nstages: [Retriever]\n")
    done = run(
        "eval", place / "questions.jsonl", "-p", tmp_path / "x.yaml", "--path", place / "index", "--json"
    )
    assert json.loads(done.stdout)["tasks"][0]["pipelines"][0]["name"] == "x"


def test_a_run_of_another_system_takes_part(place, tmp_path):
    run_file = tmp_path / "theirs.trec"
    run_file.write_text("".join(f"{n} Q0 {s}.md 1 1.0 x\n" for n, s in enumerate(SUBJECTS, 1)))
    done = run(
        "eval",
        place / "questions.jsonl",
        "--run",
        run_file,
        "-p",
        place / "words.yaml",
        "--baseline",
        "theirs",
    )
    assert done.exit_code == 0, done.output
    assert "theirs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["questions.jsonl"], 2, "give at least one --pipeline"),
        (["nowhere", "-p", "words.yaml"], 2, "there is no task at"),
        (["questions.jsonl", "-p", "nowhere.yaml"], 2, "cannot be read"),
        (["questions.jsonl", "-p", "words.yaml", "-p", "words.yaml"], 2, "['words'] more than once"),
        (["questions.jsonl", "-p", "words.yaml", "-m", "quality"], 2, "there is no metric 'quality'"),
        (["questions.jsonl", "-p", "words.yaml", "--baseline", "x"], 2, "baseline must be one of"),
        (["questions.jsonl", "-p", "words.yaml", "--save", "r.pdf"], 2, "must end in one of"),
        (
            ["questions.jsonl", "-p", "words.yaml", "--save", "gone/r.md"],
            2,
            "there is no folder 'gone' for 'r.md'",
        ),
        (
            ["questions.jsonl", "questions.jsonl", "-p", "words.yaml"],
            2,
            "two tasks are called 'questions'; rename its file",
        ),
        (["questions.jsonl", "-p", "words.yaml", "--split", "dev"], 2, "has no splits"),
        (["questions.jsonl", "-p", "bad.yaml"], 2, "bad.yaml, line 3: Retriever has no setting 'limits'"),
        (["questions.jsonl", "-p", "lost.yaml"], 1, "there is no index at"),
        (["questions.jsonl", "-p", "server.yaml"], 1, "no answer from a Qdrant server"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_message(place, arguments, code, said, monkeypatch):
    monkeypatch.chdir(place)
    (place / "bad.yaml").write_text(
        "collection: {path: index, name: docs}\nstages:\n- Retriever: {limits: 3}\n"
    )
    (place / "lost.yaml").write_text("collection: {path: lost, name: docs}\nstages: [Retriever]\n")
    (place / "server.yaml").write_text(
        "collection: {url: 'http://127.0.0.1:9', name: docs}\nstages: [Retriever]\n"
    )
    done = run("eval", *arguments)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_pipeline_that_cannot_answer_at_all_is_an_error_and_one_that_fails_sometimes_is_not(
    place, tmp_path
):
    rows = [{"text": subject, "relevant": [f"{subject}.md"], "filter": {"lost": 1}} for subject in SUBJECTS]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("eval", tmp_path / "q.jsonl", "-p", place / "words.yaml")
    assert done.exit_code == 1
    assert "words failed on every question of q: FilterError" in done.stderr
    assert "Questions without an answer, which count 0" in done.stdout
    del rows[0]["filter"]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("eval", tmp_path / "q.jsonl", "-p", place / "words.yaml")
    assert (done.exit_code, done.stderr) == (0, "")


def test_options_that_do_not_go_together_are_named(place):
    (place / "apart.yaml").write_text(
        "collection: {path: index, name: docs}\nstages:\n- Retriever\n"
        "- ListwiseReranker:\n    llm: {OpenAIGenerator: {model: m}}\n"
        "    window: {choose: [20, 10]}\n    step: {choose: [5, 15]}\n"
    )
    done = run("tune", place / "apart.yaml", place / "questions.jsonl")
    assert done.exit_code == 2
    assert "apart.yaml, line 4: ListwiseReranker: step" in done.stderr
    assert "(with window=10, step=15)" in done.stderr


SPACE = """collection: {path: index, name: docs}
stages:
  - Retriever: {limit: {choose: [10, 3]}}
  - Top: {n: {choose: [1, 2, 5]}}
"""


@pytest.mark.parametrize("method", ["grid", "halving"])
def test_tuning_chooses_on_one_part_and_reports_on_the_other(place, method):
    (place / "space.yaml").write_text(SPACE)
    done = run("tune", place / "space.yaml", place / "questions.jsonl", "--method", method, "--save", place / "best.yaml", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert len(answer["trials"]) == 6
    assert answer["best"] == {"limit": 10, "n": 1}
    task = answer["report"]["tasks"][0]
    assert task["name"] == "questions, test part"
    assert task["questions"] == 6
    with open_pipeline(place / "best.yaml") as best:
        assert (best.stages[0].limit, best.stages[1].n) == (10, 1)


def test_tuning_shows_what_was_tried_and_what_it_is_worth(place):
    (place / "space.yaml").write_text(SPACE)
    done = run("tune", place / "space.yaml", place / "questions.jsonl")
    assert "Tried on questions, dev part" in done.stdout
    assert "questions, test part" in done.stdout
    assert "few to choose by" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dev", "a"], "give --dev and --test together"),
        (["--dev", "a", "--test", "a"], "are both 'a'"),
        (["--method", "luck"], "--method is grid or halving"),
        (["--save", "gone/best.yaml"], "there is no folder 'gone' for 'best.yaml'"),
        (["--dev-share", "2"], "--dev-share"),
    ],
)
def test_tuning_on_the_test_set_is_refused(place, arguments, said):
    (place / "space.yaml").write_text(SPACE)
    done = run("tune", place / "space.yaml", place / "questions.jsonl", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_development_set_with_questions_of_the_test_set_is_refused(place, tmp_path):
    (place / "space.yaml").write_text(SPACE)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": n, "text": f"pump {n}"}) + "\n" for n in "abc")
    )
    (tmp_path / "qrels" / "dev.tsv").write_text("a\tx\t1\nb\tx\t1\n")
    (tmp_path / "qrels" / "test.tsv").write_text("b\tx\t1\nc\tx\t1\n")
    done = run("tune", place / "space.yaml", tmp_path, "--dev", "dev", "--test", "test")
    assert done.exit_code == 2
    assert "1 questions" in done.stderr
    assert "such as 'b'" in done.stderr


def test_a_set_is_made_and_evaluated(place, tmp_path, monkeypatch):
    from hydrant.cli import make_eval
    from hydrant.testing import FailingGenerator, ScriptedGenerator

    script = {f"The {s}": f"What does a {s} do at low pressure?" for s in SUBJECTS}
    monkeypatch.setattr(make_eval, "_generator", lambda ctx, given: ScriptedGenerator(script))
    done = run("make-eval", tmp_path / "judged", "--llm", "{}", "--path", place / "index", "--passages", "8", "--documents", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["passages"] == 8
    assert len(answer["questions"]) == 8
    shown = run("make-eval", tmp_path / "more", "--llm", "{}", "--path", place / "index", "--passages", "3")
    assert "3 questions for 3 passages" in shown.stdout
    assert "word search looks better here" in shown.stderr
    done = run("eval", tmp_path / "judged", "-p", place / "words.yaml", "--json", "-m", "R@10")
    assert json.loads(done.stdout)["tasks"][0]["pipelines"][0]["means"]["R@10"] == 1.0
    failing = FailingGenerator(RuntimeError("out of credit"))
    monkeypatch.setattr(make_eval, "_generator", lambda ctx, given: failing)
    done = run("make-eval", tmp_path / "none", "--llm", "{}", "--path", place / "index", "--passages", "3")
    assert (done.exit_code, "RuntimeError: out of credit" in done.stderr) == (1, True)
    assert not (tmp_path / "none").exists()
    done = run("make-eval", tmp_path / "judged", "--llm", "{}", "--path", place / "index")
    assert (done.exit_code, "holds a judged set already" in done.stderr) == (2, True)


@pytest.mark.parametrize("given", ["nowhere.yaml", "{Rrf: {}}", "{Nobody: {}}", "{OpenAIGenerator: {}}"])
def test_what_is_no_language_model_is_refused(place, tmp_path, given):
    done = run("make-eval", tmp_path / "judged", "--llm", given, "--path", place / "index")
    assert done.exit_code == 2
    assert "--llm" in done.stderr
    assert not (tmp_path / "judged").exists()

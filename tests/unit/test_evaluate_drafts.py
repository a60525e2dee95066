"""What a model answers when it is asked for a question: real questions pass, everything else is dropped for a reason that is said."""

from __future__ import annotations

import json

import pytest

from hydrant import Bm25Encoder, Collection, EdgeClient, Passage
from hydrant.errors import TaskError
from hydrant.evaluate.drafts import fault_of, question_in
from hydrant.evaluate.make_set import SetMaker
from hydrant.testing import FailingStage, ScriptedGenerator

PASSAGE = "Pumps › Care\n\nA pump that runs dry is stopped by its float after ten seconds, and has to be started by hand."


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("What stops a pump that has no water?", "What stops a pump that has no water?"),
        ('"What stops a dry pump?"', "What stops a dry pump?"),
        ("Question: What stops a dry pump?", "What stops a dry pump?"),
        ("Sure! Here is the question:\n\n**What stops a dry pump?**", "What stops a dry pump?"),
        ("Here is a question for you: What stops a dry pump?\nThe float does.", "What stops a dry pump?"),
        ("乾いたポンプは何が止めますか。", "乾いたポンプは何が止めますか。"),
        ("Τι σταματά την αντλία;", "Τι σταματά την αντλία;"),
        ("อะไรหยุดปั๊มแห้ง", "อะไรหยุดปั๊มแห้ง"),
        ("ما الذي يوقف المضخة؟", "ما الذي يوقف المضخة؟"),
    ],
)
def test_a_question_is_found_in_what_a_model_says(answer, question):
    assert question_in(answer) == question
    assert fault_of(question, PASSAGE) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "nothing to ask"),
        ("NONE", "nothing to ask"),
        ("none.", "nothing to ask"),
        ("NONE. The text is a list of parts.", "nothing to ask"),
        ("The text is about pumps that run dry.", "no question"),
        (
            "The text is asking for a question that requires a question that requires a question",
            "no question",
        ),
        ("Pumps › Care", "copied"),
        ("a pump that runs dry is stopped by its float?", "copied"),
        ("What is the text about?", "about the text itself"),
        ("What happens to the pump in this passage?", "about the text itself"),
    ],
)
def test_what_is_no_question_of_anybody_is_told_apart(answer, fault):
    assert fault in str(fault_of(question_in(answer), PASSAGE))


def test_a_manual_that_speaks_of_texts_may_be_asked_about_them():
    assert fault_of("How do I select the text?", "Click three times to mark the text of a cell.") is None


@pytest.fixture(scope="module")
def docs():
    with EdgeClient(":memory:") as client:
        made = Collection.create(client, "docs", sparse=Bm25Encoder())
        text = "closes the line when pressure falls below two bar, and opens it again by hand"
        made.indexer(progress=False).add(
            [Passage(f"The {name} {text}", id=name) for name in ("valve", "pump", "tank")]
        )
        yield made


def test_what_was_dropped_is_kept_with_the_models_words(docs, tmp_path):
    script = {"The valve": "What does a valve do?", "The pump": "A pump is a machine.", "The tank": "NONE"}
    made = SetMaker(ScriptedGenerator(script), docs.retriever()).make(docs, 3)
    made.write(tmp_path / "judged")
    rows = [json.loads(line) for line in (tmp_path / "judged" / "dropped.jsonl").read_text().splitlines()]
    assert {row["document"]: (row["reason"], row["answer"]) for row in rows} == {
        "pump": ("the model wrote no question", "A pump is a machine."),
        "tank": ("the model found nothing to ask", "NONE"),
    }
    readme = (tmp_path / "judged" / "README.md").read_text()
    for said in (
        "dropped.jsonl",
        "- 1: the model wrote no question",
        "fewer than 12 words",
        "Read queries.jsonl",
    ):
        assert said in readme


def test_a_set_of_which_nothing_was_dropped_says_so(docs, tmp_path):
    script = {f"The {name}": f"What does a {name} do?" for name in ("valve", "pump", "tank")}
    SetMaker(ScriptedGenerator(script), docs.retriever()).make(docs, 3).write(tmp_path)
    assert "Dropped: nothing" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "dropped.jsonl").exists()


def test_a_model_that_writes_no_questions_is_quoted(docs):
    script = {f"The {name}": "The text is nice." for name in ("valve", "pump", "tank")}
    with pytest.raises(TaskError, match=r"3 times the model wrote no question, such as 'The text is nice.'"):
        SetMaker(ScriptedGenerator(script), docs.retriever()).make(docs, 3)


def test_a_search_that_fails_costs_its_question_and_not_the_set(docs):
    script = {f"The {name}": f"What does a {name} do?" for name in ("valve", "pump", "tank")}
    failing = FailingStage(RuntimeError("no server"), required=True)
    with pytest.raises(TaskError, match=r"3 times the round trip failed .*no server"):
        SetMaker(ScriptedGenerator(script), failing).make(docs, 3)

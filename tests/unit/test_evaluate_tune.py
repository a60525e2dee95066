"""Tuning chooses on one half and reports on the other; made sets say what they are worth."""

from __future__ import annotations

import json

import pytest

from hydrant import Bm25Encoder, Collection, EdgeClient, Passage, Query, Run, SetMaker, System, Task, Tuner
from hydrant.config.space import Space
from hydrant.errors import ConfigurationError, TaskError
from hydrant.evaluate.make_set import sample
from hydrant.testing import FailingGenerator, FunctionStage, ScriptedGenerator

SUBJECTS = ["valve", "pump", "pipe", "tank", "hose", "meter", "gauge", "joint", "clamp", "seal"]


def systems_of(quality, questions):
    """Runs that answer so large a share of the questions."""
    return [
        System(
            f"s{n}", Run({f"q{i}": (("a" if i < share * questions else "z", 1.0),) for i in range(questions)})
        )
        for n, share in enumerate(quality)
    ]


def task_of(questions):
    queries = {f"q{i}": Query(f"question {i}") for i in range(questions)}
    return Task("t", queries, {query: {"a": 1} for query in queries})


@pytest.mark.parametrize("method", ["grid", "halving"])
def test_the_best_of_many_is_found(method):
    quality = [0.1, 0.3, 0.9, 0.2, 0.5, 0.4, 0.6, 0.0, 0.7]
    tuning = Tuner("P@1", method, progress=False).tune(systems_of(quality, 90), task_of(90))
    assert tuning.best.name == "s2"
    assert tuning.best.value == pytest.approx(0.9)
    assert tuning.best.questions == 90
    assert sorted(trial.name for trial in tuning.trials) == sorted(f"s{n}" for n in range(9))
    assert tuning.possible == 810
    if method == "grid":
        assert [trial.value for trial in tuning.trials] == sorted(quality, reverse=True)
        assert tuning.asked == 810
    else:
        assert tuning.asked < 500
        assert tuning.trials[-1].questions < 90


def test_of_equals_the_first_is_best():
    assert Tuner("P@1", progress=False).tune(systems_of([0.5, 0.5], 10), task_of(10)).best.name == "s0"


@pytest.mark.parametrize("settings", [{"method": "guess"}, {"factor": 1}, {"factor": True}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Tuner(**settings)
    with pytest.raises(ConfigurationError, match="at least two"):
        Tuner().tune(systems_of([0.5], 10), task_of(10))


def space_of(tmp_path, text):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    return Space.read(file)


def test_a_file_with_choices_stands_for_every_combination(tmp_path):
    text = """
collection: docs
stages:
  - Retriever:
      limit: {choose: [5, 10]}
      fusion: {choose: [{Rrf: {k: 20}}, {Convex: {}}]}
  - Top: {n: 3}
"""
    space = space_of(tmp_path, text)
    variants = list(space.variants())
    assert len(space) == len(variants) == 4
    assert [variant.config.name for variant in variants] == [
        "limit=5, fusion=Rrf(k=20)",
        "limit=5, fusion=Convex()",
        "limit=10, fusion=Rrf(k=20)",
        "limit=10, fusion=Convex()",
    ]
    assert variants[0].settings == {"limit": 5, "fusion": {"Rrf": {"k": 20}}}
    assert "choose" not in variants[3].config.to_yaml()
    assert len({variant.config.fingerprint for variant in variants}) == 4


def test_choices_of_one_name_are_told_apart(tmp_path):
    text = "stages: [{Top: {n: {choose: [1, 2]}}}, {Top: {n: {choose: [1, 2]}}}]"
    names = [choice.name for choice in space_of(tmp_path, text).choices]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: [{Top: {n: 1}}]", "nothing to choose"),
        ("stages: [{Top: {n: {choose: []}}}]", "at least one option"),
        ("stages: [{Top: {n: {choose: [1, 1]}}}]", "an option twice"),
        ("stages: [{Top: {n: {choose: [1], else: 2}}}]", "stands alone"),
        ("stages:\n - Top: {n: {choose: 3}}", "line 2: choose must be a list"),
        ("stages: [{Top: {n: {choose: [{choose: [1, 2]}, 3]}}}]", "inside another"),
        (f"stages: [{{Top: {{n: {{choose: {list(range(200))}}}}}}}, {{Top: {{n: {{choose: {list(range(200))}}}}}}}]", "40,000 pipelines"),
    ],
)  # fmt: skip
def test_choices_that_cannot_be_are_said(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=said):
        space_of(tmp_path, text)


@pytest.fixture(scope="module")
def docs():
    with EdgeClient(":memory:") as client:
        made = Collection.create(client, "docs", sparse=Bm25Encoder())
        text = "closes the line when pressure falls below two bar, and opens it again by hand"
        passages = [Passage(f"The {name} {text}", id=name, source=f"/m/{name}.md") for name in SUBJECTS]
        made.indexer(progress=False).add([*passages, Passage("Too short", id="short")])
        yield made


def answers():
    return {f"The {name}": f'"What does a {name} do at low pressure?"' for name in SUBJECTS}


def test_a_made_set_can_be_loaded_and_evaluated(docs, tmp_path):
    made = SetMaker(ScriptedGenerator(answers()), docs.retriever(limit=3), top=3).make(docs, 50)
    assert made.asked == 10
    assert len(made.questions) == 10
    assert all(question.rank == 1 for question in made.questions)
    assert made.usage.calls == 10
    made.write(tmp_path / "judged")
    task = Task.load(tmp_path / "judged")
    assert len(task.queries) == 10
    assert {document for judged in task.qrels.values() for document in judged} == set(SUBJECTS)
    text = (tmp_path / "judged" / "README.md").read_text()
    assert f"{made.shared_words:.0%} of a question's words" in text
    assert "Nobody has asked these questions" in text
    with pytest.raises(ConfigurationError, match="holds a judged set already"):
        made.write(tmp_path / "judged")


def test_documents_are_judged_where_that_is_wanted(docs, tmp_path):
    made = SetMaker(ScriptedGenerator(answers()), docs.retriever(limit=3), level="document").make(docs, 4)
    made.write(tmp_path / "judged")
    task = Task.load(tmp_path / "judged")
    assert task.match == "document"
    assert all(document.startswith("/m/") for judged in task.qrels.values() for document in judged)


def test_what_does_not_come_back_says_nothing_or_is_copied_is_dropped(docs):
    script = {
        **answers(),
        "The valve": "NONE",
        "The pump": "Where do the fish sleep?",
        "The pipe": "opens it again by hand",
        "The tank": "What does a hose do at low pressure?",
        "The hose": "What does a hose do at low pressure?",
    }
    made = SetMaker(ScriptedGenerator(script), docs.retriever(limit=1), top=1).make(docs, 50)
    assert made.dropped == {
        "the model found nothing to ask": 1,
        "the model copied from the passage": 1,
        "the round trip did not find the passage among 1 hits": 2,
    }
    assert len(made.questions) == 6


def test_a_model_that_fails_leaves_no_set(docs):
    with pytest.raises(TaskError, match="no question was kept"):
        SetMaker(FailingGenerator(RuntimeError("no")), docs.retriever()).make(docs, 3)
    with pytest.raises(ConfigurationError, match="level"):
        SetMaker(FailingGenerator(RuntimeError("no")), docs.retriever(), level="page")


def test_the_same_seed_draws_the_same_passages(docs):
    first = [hit.id for hit in sample(docs, 4, seed=1)]
    assert first == [hit.id for hit in sample(docs, 4, seed=1)]
    assert first != [hit.id for hit in sample(docs, 4, seed=2)]
    assert "short" not in [hit.id for hit in sample(docs, 50)]


def test_records_of_the_set_are_plain_json(docs, tmp_path):
    SetMaker(ScriptedGenerator(answers()), docs.retriever()).make(docs, 2).write(tmp_path / "j")
    rows = [json.loads(line) for line in (tmp_path / "j" / "queries.jsonl").read_text().splitlines()]
    assert [row["_id"] for row in rows] == ["q1", "q2"]


def test_halving_that_is_repeated_asks_nothing_anew(docs, tmp_path):
    seen = []

    def spy(state):
        seen.append(state.query.text)
        return state

    stages = [FunctionStage(spy) >> docs.retriever(limit=n) for n in (1, 2, 3, 4)]
    systems = [System(f"s{n}", stage, fingerprint=f"v{n}") for n, stage in enumerate(stages)]
    tuner = Tuner("R@10", "halving", folder=tmp_path, progress=False)
    first = tuner.tune(systems, task_of(40))
    asked = len(seen)
    assert asked == first.asked
    assert tuner.tune(systems, task_of(40)) == first
    assert len(seen) == asked

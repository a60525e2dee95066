"""Judged sets from disk: every layout, every way in which one can be wrong, and the sets that lie beside the repository."""

from __future__ import annotations

import json

import pytest

from hydrant import Bm25Encoder, Collection, EdgeClient, Experiment, Query, Task
from hydrant.errors import TaskError
from hydrant.evaluate.judgments import Run
from hydrant.evaluate.tune import split

CORPUS = [{"_id": f"d{n}", "title": "", "text": f"text {n}"} for n in range(6)]
QUERIES = [{"_id": f"q{n}", "text": f"question {n}"} for n in range(4)]


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def folder(tmp_path):
    """A folder in BEIR layout, to be spoilt."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(jsonl(CORPUS))
    (tmp_path / "queries.jsonl").write_text(jsonl(QUERIES))
    rows = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t2\nq1\td2\t0\n"
    (tmp_path / "qrels" / "test.tsv").write_text(rows)
    return tmp_path


def test_a_beir_folder_is_read_and_questions_without_judgments_are_told_apart(folder):
    task = Task.load(folder)
    assert task.name == f"{folder.name}/test"
    assert task.qrels == {"q0": {"d0": 1}, "q1": {"d1": 2, "d2": 0}}
    assert [query.text for query in task.queries.values()] == ["question 0", "question 1"]
    assert task.unjudged == ("q2", "q3")
    assert task.graded
    assert task.remarks == ()


def test_trec_judgments_and_jsonl_judgments_mean_the_same_as_beirs(folder):
    expected = Task.load(folder).qrels
    (folder / "qrels" / "trec.txt").write_text("q0 0 d0 1\nq1 0 d1 2\nq1 0 d2 0\n")
    rows = [
        {"query-id": query, "corpus-id": document, "score": grade}
        for query, judged in expected.items()
        for document, grade in judged.items()
    ]
    (folder / "qrels" / "hf.jsonl").write_text(jsonl(rows))
    assert Task.load(folder, split="trec").qrels == expected
    assert Task.load(folder, split="hf").qrels == expected
    assert Task.load(folder / "qrels" / "hf.jsonl").qrels == expected


def test_judgments_of_unknown_questions_and_documents_are_counted_and_said(folder):
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("stranger\td1\t1\nstranger\td2\t1\nq0\tgone\t1\nq0\td0\t1\n")
    task = Task.load(folder)
    said = " ".join(task.remarks)
    assert "2 judgments of 1 questions" in said
    assert "'stranger'" in said
    assert "1 documents are judged relevant that corpus.jsonl does not have, such as 'gone'" in said
    assert "1 judgments are there twice" in said
    assert task.qrels["q0"] == {"d0": 1, "gone": 1}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "b"\n', "corpus.jsonl, line 2: is not JSON"),
        ("corpus.jsonl", '{"_id": "a"}\n', "corpus.jsonl, line 1: needs a text under 'text'"),
        ("corpus.jsonl", '{"text": "a"}\n', "line 1: needs an id under '_id'"),
        ("corpus.jsonl", jsonl([CORPUS[0], CORPUS[1], CORPUS[0]]), "line 3: document 'd0' is there already, on line 1"),
        ("queries.jsonl", jsonl([QUERIES[0], QUERIES[0]]), "line 2: question 'q0' is there already, on line 1"),
        ("queries.jsonl", '{"_id": "q0", "text": " "}\n{"_id": "q1", "text": "x"}\n', "line 1: needs a text"),
        ("queries.jsonl", "[1]\n", "line 1: must be a JSON object"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\n", "test.tsv, line 2: a judgment has 3 columns"),
        ("qrels/test.tsv", "q0\td0\t1\nq0\td1\thigh\n", "line 2: a score must be a finite number, got 'high'"),
        ("qrels/test.tsv", "q0\td0\t1\nq0\td1\t0.5\n", "line 2: a grade must be a whole number"),
        ("qrels/test.tsv", "q0\td0\t1\nq0\td1\t5000000\n", "line 2: a grade must be a whole number from -1,000 to 1,000"),
        ("qrels/test.tsv", "q0\td0\t1\nq0\td0\t2\n", "line 2: says 2 of document 'd0' for question 'q0'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "test.tsv holds no judgments"),
        ("qrels/test.tsv", "", "test.tsv holds no judgments"),
        ("qrels/test.tsv", "x\td0\t1\n", "none of the judgments names a question"),
        ("task.yaml", "kind: guess\n", "kind of a task must be"),
        ("task.yaml", "\nknid: pairs\n", "task.yaml, line 2: a task has no 'knid'; did you mean 'kind'?"),
        ("task.yaml", "relevant_from: two\n", "task.yaml, line 1: 'relevant_from' must be a int"),
        ("task.yaml", "relevant_from: 0\n", "relevant_from of a task must be a whole number of at least 1"),
        ("queries.jsonl", '{"_id": "q0", "text": "x", "tenant": ["a"]}\n', "line 1: 'tenant' must be a text or a whole"),
        ("task.yaml", "within: source\n", "line 1: needs 'source' in its metadata"),
        ("task.yaml", "kind: rerank\n", "needs 'candidates'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_file_and_line(folder, name, text, said):
    (folder / name).write_text(text)
    with pytest.raises(TaskError) as error:
        list(Task.load(folder).corpus)
    assert said in str(error.value)


def test_a_missing_split_lists_those_there_are(folder):
    (folder / "qrels" / "dev.tsv").write_text("q2\td2\t1\n")
    with pytest.raises(TaskError, match=r"has the splits \['dev', 'test'\]"):
        Task.load(folder, split="train")
    (folder / "qrels" / "test.tsv").write_text("")
    with pytest.raises(TaskError, match=r"holds no judgments; other splits of this folder: \['dev'\]"):
        Task.load(folder)


def test_what_is_not_there_or_no_task_is_said(tmp_path):
    with pytest.raises(TaskError, match="there is no task at"):
        Task.load(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TaskError, match="is no task"):
        Task.load(tmp_path / "notes.txt")
    (tmp_path / "bytes.jsonl").write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(TaskError, match="is not UTF-8"):
        Task.load(tmp_path / "bytes.jsonl")


def test_a_file_of_judged_questions_names_documents_by_path(tmp_path):
    file = tmp_path / "questions.jsonl"
    rows = [
        {"text": "one", "relevant": ["manual/keys.md", "b.md"]},
        {"_id": "second", "question": "two", "relevant": {"keys.md": 2, "b.md": 1}, "filter": {"lang": "en"}},
        {"text": "three", "relevant": "a.md", "tenant": "acme"},
        {"text": "four"},
    ]
    file.write_text(jsonl(rows))
    task = Task.load(file)
    assert task.match == "document"
    assert list(task.queries) == ["1", "second", "3"]
    assert task.qrels["second"] == {"keys.md": 2, "b.md": 1}
    assert task.queries["second"].filter == {"lang": "en"}
    assert task.queries["3"].tenant == "acme"
    assert task.unjudged == ("4",)
    for nothing in ({"a": "much"}, {"a": 5_000_000}, [None], [["a"]], "", [" "], True):
        file.write_text(jsonl([{"text": "one", "relevant": nothing}]))
        with pytest.raises(TaskError, match=r"line 1: 'relevant' must be a list"):
            Task.load(file)
    file.write_text(jsonl([{"text": "one"}]))
    with pytest.raises(TaskError, match="holds no judged questions"):
        Task.load(file)


def test_a_run_is_read_in_the_order_of_its_scores_and_written_back(tmp_path):
    file = tmp_path / "run.trec"
    file.write_text("q0 Q0 a 1 0.5 x\nq0 Q0 c 2 0.9 x\nq0 Q0 b 3 0.5 x\nq1 Q0 a 1 -1e3 x\n")
    run = Run.read(file)
    assert [document for document, _ in run.rankings["q0"]] == ["c", "b", "a"]
    with pytest.raises(TaskError, match="no room for names with blanks, got 'my file"):
        Run({"q": (("my file.md", 1.0),)}).write(tmp_path / "again.trec")
    run.write(tmp_path / "again.trec")
    assert Run.read(tmp_path / "again.trec") == run
    file.write_text("q0 Q0 a 1 0.5\n")
    with pytest.raises(TaskError, match=r"run.trec, line 1: a run has 6 columns"):
        Run.read(file)
    file.write_text("q0 Q0 a 1 0.5 x\nq0 Q0 a 2 0.4 x\n")
    with pytest.raises(TaskError, match=r"line 2: document 'a' is in the ranking"):
        Run.read(file)
    file.write_text("q0 Q0 a 1 nan x\n")
    with pytest.raises(TaskError, match=r"line 1: a score must be a finite number"):
        Run.read(file)


def test_grades_that_trec_eval_cannot_count_are_refused_in_python_too():
    with pytest.raises(TaskError, match="grade of task 'x' must be a whole number"):
        Task("x", {"q": Query("a")}, {"q": {"d": 5_000_000}})
    task = Task("x", {"q": Query("a")}, {"q": {"d": 1000, "e": -1000}})
    ranked = Run({"q": (("e", 2.0), ("d", 1.0))})
    report = Experiment({"run": ranked}, task, metrics=["nDCG@10", "P@1"], resamples=10, progress=False).run()
    assert 0.6 < report["x"]["run"].mean("nDCG@10") < 0.64
    assert report["x"]["run"].mean("P@1") == 0.0


def test_pairs_name_questions_that_exist_and_two_documents(folder):
    (folder / "task.yaml").write_text("kind: pairs\n")
    pairs = folder / "pairs.jsonl"
    pairs.write_text(
        jsonl(
            [
                {"query-id": "q0", "preferred": "d0", "other": "d1", "pair": "p"},
                {"query-id": "q1", "preferred": "d1", "other": "d0", "pair": "p"},
                {"query-id": "q2", "preferred": "d2", "other": "d3"},
            ]
        )
    )
    task = Task.load(folder)
    assert [each.pair for each in task.preferences] == ["p", "p", "q2"]
    dev, test = split(task)
    assert not set(dev.queries) & set(test.queries)
    assert ("q0" in dev.queries) == ("q1" in dev.queries)
    for row, said in (
        ({"query-id": "x", "preferred": "a", "other": "b"}, "names the question 'x'"),
        ({"query-id": "q0", "preferred": "a", "other": "a"}, "to itself"),
        ({"query-id": "q0", "preferred": "a"}, "needs a text under 'other'"),
    ):
        pairs.write_text(jsonl([row]))
        with pytest.raises(TaskError, match=said):
            Task.load(folder)
    pairs.write_text(jsonl([{"query-id": "q0", "preferred": "a", "other": other} for other in "bc"]))
    with pytest.raises(TaskError, match="line 2: has the question 'q0' twice, first on line 1"):
        Task.load(folder)


def test_pairs_of_documents_that_are_not_there_are_left_out_and_said(folder):
    (folder / "task.yaml").write_text("kind: pairs\n")
    pairs = folder / "pairs.jsonl"
    rows = [
        {"query-id": "q0", "preferred": "d0", "other": "d1", "pair": "p"},
        {"query-id": "q1", "preferred": "d1", "other": "gone", "pair": "p"},
        {"query-id": "q2", "preferred": "d2", "other": "d3"},
    ]
    pairs.write_text(jsonl(rows))
    task = Task.load(folder)
    assert [each.query for each in task.preferences] == ["q2"]
    assert list(task.queries) == ["q2"]
    assert "1 pairs name documents that corpus.jsonl does not have, such as 'gone'" in task.remarks[0]
    for text, said in (("", "holds no pairs of documents$"), (jsonl(rows[:2]), "that corpus.jsonl has")):
        pairs.write_text(text)
        with pytest.raises(TaskError, match=said):
            Task.load(folder)


def test_candidates_come_in_the_order_of_their_scores(folder):
    (folder / "task.yaml").write_text("kind: rerank\ncandidates: first.trec\n")
    (folder / "first.trec").write_text("q0 Q0 d1 1 2.5 x\nq0 Q0 d0 2 3.5 x\n")
    task = Task.load(folder)
    assert task.candidates["q0"] == ("d0", "d1")
    assert task.candidates["q1"] == ()
    assert "1 judged questions have no candidates" in " ".join(task.remarks)


def test_the_halves_of_a_task_are_the_same_everywhere(folder):
    (folder / "qrels" / "all.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(4)))
    task = Task.load(folder, split="all")
    dev, test = split(task)
    assert sorted([*dev.queries, *test.queries]) == ["q0", "q1", "q2", "q3"]
    assert list(dev.queries) == list(split(task)[0].queries)
    with pytest.raises(TaskError, match="too few"):
        split(task.only(["q0"], "one"))
    with pytest.raises(ValueError, match="dev_share"):
        split(task, 1.0)


def test_the_graded_reading_of_cranfield_is_graded(shared_data):
    assert Task.load(shared_data / "cranfield", split="graded1612").graded
    task = Task.load(shared_data / "cranfield")
    assert not task.graded
    assert len(task.queries) == 225


def test_pools_of_languages_come_from_task_yaml(shared_data, tmp_path):
    source = shared_data / "xquad-r"
    for name in ("queries.jsonl", "qrels"):
        (tmp_path / name).symlink_to(source / name)
    (tmp_path / "task.yaml").write_text("qrels: qrels/x-to-en.tsv\npool: {lang: en}\ngroup: lang\n")
    task = Task.load(tmp_path)
    assert len(set(task.groups.values())) >= 10
    assert task.name.endswith("x-to-en")
    query = next(iter(task.queries.values()))
    assert query.filter == {"lang": "en"}
    assert all(document.startswith("en-") for judged in task.qrels.values() for document in judged)


def test_within_its_own_source_a_question_sees_that_alone(tmp_path):
    (tmp_path / "qrels").mkdir()
    corpus = [{"_id": f"d{n}", "text": f"text {n}", "metadata": {"book": "ab"[n % 2]}} for n in range(6)]
    queries = [{"_id": f"q{n}", "text": f"question {n}", "metadata": {"book": "ab"[n % 2]}} for n in range(2)]
    (tmp_path / "corpus.jsonl").write_text(jsonl(corpus))
    (tmp_path / "queries.jsonl").write_text(jsonl(queries))
    (tmp_path / "qrels" / "test.tsv").write_text("q0\td0\t1\nq1\td1\t1\n")
    settings = tmp_path / "task.yaml"
    settings.write_text("within: book\ngroup: book\n")
    task = Task.load(tmp_path)
    assert task.queries["q1"].filter == {"book": "b"}
    assert task.groups == {"q0": "a", "q1": "b"}
    settings.write_text("within: book\nkind: rerank\n")
    assert Task.load(tmp_path).candidates == {"q0": ("d0", "d2", "d4"), "q1": ("d1", "d3", "d5")}


def test_the_known_figure_of_bm25_on_nfcorpus_comes_out(shared_data):
    task = Task.load(shared_data / "nfcorpus")
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", sparse=Bm25Encoder())
        docs.indexer(progress=False).add(task.corpus)
        pipelines = {"bm25": docs.retriever(limit=10)}
        report = Experiment(pipelines, task, metrics=["nDCG@10"], resamples=10, progress=False).run()
    assert 0.322 <= report["nfcorpus/test"]["bm25"].mean("nDCG@10") <= 0.329


def test_a_first_line_that_is_a_judgment_is_not_taken_for_the_columns_names(folder):
    (folder / "qrels" / "dev.tsv").write_text("q0\td0\tone\nq1\td1\t2\n")
    with pytest.raises(TaskError, match=r"dev\.tsv, line 1: .*'q0' needs a whole number"):
        Task.load(folder, split="dev")
    (folder / "qrels" / "dev.tsv").write_text("Frage\tDokument\tNote\nq1\td1\t2\n")
    assert Task.load(folder, split="dev").qrels == {"q1": {"d1": 2}}

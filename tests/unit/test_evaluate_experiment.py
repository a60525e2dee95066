"""Experiments on a real engine: what is shared, resumed, counted, compared and warned of."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from hydrant import (
    Bm25Encoder,
    Collection,
    EdgeClient,
    Experiment,
    Hit,
    Hyde,
    Passage,
    Query,
    Ranking,
    Reranker,
    Run,
    System,
    Task,
)
from hydrant.errors import ConfigurationError
from hydrant.evaluate.tasks import Preference
from hydrant.pipeline import Stage
from hydrant.testing import FailingStage, FunctionStage, HashEncoder, ScriptedGenerator
from hydrant.types import Usage

WORDS = ["valve", "pump", "pipe", "tank", "hose", "meter", "gauge", "joint", "clamp", "seal"]
TEXTS = {
    f"d{n}": f"the {WORDS[n % 10]} of station {n} needs the {WORDS[(n * 3) % 10]} and oil {n % 4}"
    for n in range(40)
}


class Oracle(Reranker):
    """Ranks by the judgments, or against them."""

    name = "oracle"

    def __init__(self, qrels, texts, *, sign=1, **options):
        super().__init__(**options)
        self.grades = {texts[query]: judged for query, judged in qrels.items()}
        self.sign = sign

    def rank(self, query, hits):
        yield from ()
        grades = self.grades[query.text]
        return Ranking([self.sign * grades.get(str(hit.id), 0) for hit in hits], usage=Usage(10, 5, 1))


class Counting(Stage):
    """Lets everything pass and counts the questions."""

    name = "counting"

    def __init__(self):
        self.seen = Counter()

    def flow(self, state):
        yield from ()
        self.seen[state.query.text] += 1
        return state


@pytest.fixture(scope="module")
def docs():
    with EdgeClient(":memory:") as client:
        made = Collection.create(
            client, "docs", dense=HashEncoder(), sparse=Bm25Encoder(), fields={"lang": "keyword"}
        )
        passages = [
            Passage(
                text,
                id=name,
                source=f"/data/manual/{name}.md",
                metadata={"lang": "en" if int(name[1:]) % 2 else "de"},
            )
            for name, text in TEXTS.items()
        ]
        made.indexer(progress=False).add(passages)
        yield made


@pytest.fixture
def task():
    queries = {f"q{n}": Query(f"{WORDS[n % 10]} station {n}") for n in range(12)}
    qrels = {f"q{n}": {f"d{n}": 2, f"d{n + 10}": 1} for n in range(12)}
    return Task("pumps", queries, qrels)


def texts_of(task):
    return {name: query.text for name, query in task.queries.items()}


def quick(pipelines, tasks, **options):
    return Experiment(pipelines, tasks, resamples=200, progress=False, **options).run()


def test_rankings_are_those_that_the_pipelines_give_by_themselves(docs, task):
    oracle = Oracle(task.qrels, texts_of(task), top_n=3)
    pipelines = {
        "words": docs.retriever(sources=["sparse"]),
        "hybrid": docs.retriever(limit=7),
        "reranked": docs.retriever(limit=7) >> oracle,
    }
    for depth in (None, 5):
        experiment = Experiment(pipelines, task, depth=depth, resamples=10, progress=False)
        shelves = {name: experiment._shelf(system, task) for name, system in experiment.systems.items()}
        experiment._ask(task, shelves)
        for name, pipeline in pipelines.items():
            for query, asked in task.queries.items():
                expected = pipeline.run(asked.text, limit=depth).hits
                found = shelves[name].outcomes[query].found
                assert [(each.id, each.score) for each in found] == [
                    (str(hit.id), hit.score) for hit in expected
                ]


def test_what_pipelines_have_in_common_runs_once_for_each_question(docs, task):
    shared, other = Counting(), Counting()
    retriever = docs.retriever(limit=10)
    pipelines = {
        "plain": shared >> retriever,
        "reranked": shared >> docs.retriever(limit=10) >> Oracle(task.qrels, texts_of(task), top_n=5),
        "twice": shared >> retriever >> other,
        "longer": shared >> docs.retriever(limit=20) >> other,
    }
    assert set(quick(pipelines, task)["pumps"].measured[0].values) == {
        "nDCG@10",
        "RR@10",
        "R@10",
        "Judged@10",
    }
    assert set(shared.seen.values()) == {1}
    assert set(other.seen.values()) == {2}


def test_expansions_are_shared_whatever_follows_and_cached_ones_are_said(docs, task):
    llm = ScriptedGenerator(["oil for the pump"])
    hyde = Hyde(llm, hypotheses=1, cache=None)
    pipelines = {
        "hyde": hyde >> docs.retriever(limit=5),
        "reranked": hyde >> docs.retriever(limit=5) >> Oracle(task.qrels, texts_of(task), top_n=30),
    }
    result = quick(pipelines, task)["pumps"]
    assert result["hyde"].usage.calls == 12
    assert result["reranked"].usage.calls == 24
    assert not any("cache" in remark for remark in result.remarks)
    cached = Hyde(llm, hypotheses=1) >> docs.retriever()
    quick({"cached": cached}, task)
    again = quick({"cached": cached}, task)["pumps"]
    assert again["cached"].usage.calls == 0
    assert any("from a cache on 12 questions" in remark for remark in again.remarks)


def test_a_reranker_that_asks_for_more_candidates_shares_nothing_that_differs(docs, task):
    wide = docs.retriever(limit=5) >> Oracle(task.qrels, texts_of(task), top_n=20)
    result = quick({"narrow": docs.retriever(limit=5), "wide": wide}, task, metrics=["R@20"])["pumps"]
    assert result["wide"].mean("R@20") >= result["narrow"].mean("R@20")
    alone = quick({"wide": wide}, task, metrics=["R@20"])["pumps"]
    assert result["wide"].values == alone["wide"].values


def test_the_ranked_table_says_who_is_better_and_whether_by_luck(docs, task):
    perfect = docs.retriever(limit=40) >> Oracle(task.qrels, texts_of(task))
    report = quick({"words": docs.retriever(sources=["sparse"]), "perfect": perfect}, task)
    result = report["pumps"]
    assert [each.name for each in result.measured] == ["perfect", "words"]
    assert result["perfect"].mean("nDCG@10") == pytest.approx(1.0)
    comparison, *_ = result.compared()
    assert (comparison.one, comparison.other) == ("perfect", "words")
    assert comparison.difference == pytest.approx(
        result["perfect"].mean("nDCG@10") - result["words"].mean("nDCG@10")
    )
    assert result["perfect"].usage == Usage(120, 60, 12)
    assert result["perfect"].latency.p95 >= result["perfect"].latency.p50 > 0


def test_a_pipeline_against_itself_is_chance(docs, task):
    retriever = docs.retriever()
    comparison, *_ = quick({"one": retriever, "other": docs.retriever()}, task)["pumps"].compared()
    assert (comparison.difference, comparison.p, comparison.significant) == (0.0, 1.0, False)


def test_a_baseline_is_what_the_others_are_compared_with(docs, task):
    pipelines = {
        "a": docs.retriever(sources=["sparse"]),
        "b": docs.retriever(),
        "c": docs.retriever(sources=["dense"]),
    }
    compared = quick(pipelines, task, baseline="b")["pumps"].compared()
    assert {(each.one, each.other) for each in compared} == {("a", "b"), ("c", "b")}
    assert all(each.adjusted >= each.p for each in compared)
    with pytest.raises(ConfigurationError, match="baseline must be one of"):
        Experiment(pipelines, task, baseline="z")


def test_a_reranker_that_lowers_the_ranking_is_warned_of(docs, task):
    harmful = docs.retriever(limit=20) >> Oracle(task.qrels, texts_of(task), sign=-1)
    helpful = docs.retriever(limit=20) >> Oracle(task.qrels, texts_of(task))
    warnings = quick({"harmful": harmful, "helpful": helpful}, task)["pumps"].warnings
    (warning,) = warnings
    assert re.match(r"harmful: 'oracle' lowers nDCG@10 from 0\.\d+ to 0\.\d+, worse than chance", warning)


def test_a_reranker_is_not_blamed_for_cutting(docs, task):
    cutting = docs.retriever(limit=20) >> Oracle(task.qrels, texts_of(task), top_n=1)
    assert quick({"cutting": cutting}, task)["pumps"].warnings == ()


def test_failing_questions_count_zero_and_are_shown(docs, task):
    def sometimes(state):
        if state.query.text.endswith(("1", "3")):
            msg = "no luck"
            raise RuntimeError(msg)
        return state

    fails = docs.retriever() >> FunctionStage(sometimes, name="moody", required=True)
    report = quick({"fails": fails, "works": docs.retriever()}, task)
    result = report["pumps"]
    assert set(result["fails"].failed) == {"q1", "q3", "q11"}
    assert "RuntimeError: no luck" in result["fails"].failed["q1"]
    assert result["works"].failed == {}
    for query in task.queries:
        expected = 0.0 if query in result["fails"].failed else result["works"].values["nDCG@10"][query]
        assert result["fails"].values["nDCG@10"][query] == expected
    assert "no luck" in report.markdown()


def test_an_optional_stage_that_fails_is_counted_as_degraded(docs, task):
    search = FailingStage(RuntimeError("no"), name="hyde") >> docs.retriever()
    report = quick({"search": search}, task)
    assert report["pumps"]["search"].degraded == {"hyde": 12}
    assert report["pumps"]["search"].reasons == {"hyde": "RuntimeError: no"}
    assert (
        "went on without 'hyde' on 12 of 12 questions, mostly because of RuntimeError: no"
        in report.markdown()
    )


def test_an_interrupted_experiment_goes_on_where_it_was(docs, task, tmp_path):
    class Stop(BaseException):
        pass

    class Interrupted(Counting):
        def flow(self, state):
            if len(self.seen) == 5:
                raise Stop
            return super().flow(state)

    stage = Interrupted()
    systems = [System("search", stage >> docs.retriever(), fingerprint="v1")]
    with pytest.raises(Stop):
        quick(systems, task, folder=tmp_path, at_once=1)
    assert len(stage.seen) == 5
    again = Counting()
    report = quick([System("search", again >> docs.retriever(), fingerprint="v1")], task, folder=tmp_path)
    assert len(again.seen) == 7
    assert not set(again.seen) & set(stage.seen)
    whole = quick({"search": docs.retriever()}, task)
    assert report["pumps"]["search"].values == whole["pumps"]["search"].values


def test_a_line_that_was_cut_off_costs_one_question(docs, task, tmp_path):
    quick({"search": docs.retriever()}, task, folder=tmp_path)
    (file,) = tmp_path.rglob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    quick({"search": docs.retriever()}, task, folder=tmp_path)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 13
    assert {row["query"] for row in rows[1:]} == set(task.queries)


def test_two_experiments_on_one_folder_do_not_take_each_others_outcomes(docs, task, tmp_path):
    class Meanwhile(Counting):
        """While the first experiment runs, another one with other settings takes its file over."""

        def flow(self, state):
            if len(self.seen) == 5:
                other = docs.retriever(limit=1)
                quick({"search": other}, task.only(list(task.queries)[:2], task.name), folder=tmp_path)
            return super().flow(state)

    first = [System("search", Meanwhile() >> docs.retriever(limit=9), fingerprint="nine")]
    quick(first, task, folder=tmp_path, at_once=1)
    report = quick({"search": docs.retriever(limit=1)}, task, folder=tmp_path, metrics=["Judged@9", "R@9"])
    fresh = quick({"search": docs.retriever(limit=1)}, task, metrics=["Judged@9", "R@9"])
    assert report["pumps"]["search"].values == fresh["pumps"]["search"].values


def test_names_that_are_no_utf8_or_end_lines_are_kept_and_reported(task, tmp_path):
    task = Task(
        "odd",
        {f"\udce9{query}": asked for query, asked in task.queries.items()},
        {f"\udce9{query}": judged for query, judged in task.qrels.items()},
    )
    odd = dict.fromkeys(task.queries, (("caf\udce9\u2028\x85.md", 1.0),))
    quick({"run": Run(odd)}, task).save(tmp_path / "report.json")
    seen = []

    def find(state):
        seen.append(state.query.text)
        hit = Hit(Passage("text", id="caf\udce9\u2028\x85.md"), 1.0)
        return state.with_hits([hit])

    for _ in range(2):
        system = System("odd", FunctionStage(find), fingerprint="odd")
        report = quick([system], task, folder=tmp_path)
        assert not report["odd"]["odd"].failed
    assert sorted(seen) == sorted(query.text for query in task.queries.values())


def test_other_settings_questions_or_failures_are_asked_again(docs, task, tmp_path):
    def run(pipeline, fingerprint, asked):
        counting = Counting()
        quick([System("search", counting >> pipeline, fingerprint)], asked, folder=tmp_path)
        return len(counting.seen)

    assert run(docs.retriever(), "v1", task) == 12
    assert run(docs.retriever(), "v1", task) == 0
    assert run(docs.retriever(), "v2", task) == 12
    changed = Task("pumps", {**task.queries, "q0": Query("another question")}, task.qrels)
    assert run(docs.retriever(), "v2", changed) == 1
    failing = docs.retriever() >> FailingStage(RuntimeError("no"), name="moody", required=True)
    assert run(failing, "v3", task) == run(failing, "v3", task) == 12


def test_a_setting_that_changed_is_noticed_without_a_word_from_the_caller(docs, task, tmp_path):
    quick({"search": docs.retriever(limit=1)}, task, folder=tmp_path)
    result = quick({"search": docs.retriever(limit=9)}, task, folder=tmp_path)["pumps"]
    assert (
        result["search"].values == quick({"search": docs.retriever(limit=9)}, task)["pumps"]["search"].values
    )


def test_a_pipeline_that_cannot_be_recognised_is_not_kept(docs, task, tmp_path, caplog):
    search = FunctionStage(lambda state: state) >> docs.retriever()
    quick({"search": search}, task, folder=tmp_path)
    assert "results of 'search' are not kept" in caplog.text
    assert "fingerprint" in caplog.text
    assert not list(tmp_path.rglob("*.jsonl"))


def test_two_pipelines_of_one_name_are_refused(docs, task):
    retriever = docs.retriever()
    with pytest.raises(ConfigurationError, match="two pipelines are called 'retrieve'"):
        Experiment([retriever, docs.retriever(limit=3)], task)
    with pytest.raises(ConfigurationError, match="two tasks are called 'pumps'"):
        Experiment([retriever], [task, task])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at_once": 0}, "at_once"),
        ({"depth": 0}, "depth"),
        ({"resamples": True}, "resamples"),
        ({"metrics": ["good"]}, "no metric 'good'"),
    ],
)
def test_settings_that_cannot_be_are_found_at_once(docs, task, options, said):
    with pytest.raises(ConfigurationError, match=said):
        Experiment([docs.retriever()], task, **options)


@pytest.mark.parametrize(
    "pipelines", [[], {}, "search", {"a": 3}, {" ": FailingStage(RuntimeError("no"), name="x")}, None]
)
def test_what_is_no_pipeline_is_refused(task, pipelines):
    with pytest.raises(ConfigurationError):
        Experiment(pipelines, task)
    with pytest.raises(ConfigurationError):
        Experiment({"a": FailingStage(RuntimeError("no"), name="x")}, [])


def test_a_run_of_another_system_is_compared_like_a_pipeline(docs, task):
    ideal = {
        query: tuple((document, float(grade)) for document, grade in judged.items())
        for query, judged in task.qrels.items()
    }
    del ideal["q3"]
    result = quick({"ideal": Run(ideal), "words": docs.retriever(sources=["sparse"])}, task)["pumps"]
    assert result["ideal"].mean("nDCG@10") == pytest.approx(11 / 12)
    assert result["ideal"].latency is None
    assert set(result["ideal"].failed) == {"q3"}


def test_a_rerank_task_ranks_its_candidates_whatever_the_pipeline_searches_with(docs, task):
    corpus = [Passage(text, id=name) for name, text in TEXTS.items()]
    candidates = {query: tuple(f"d{n}" for n in range(39, -1, -3)) for query in task.queries}
    given = Task("given", task.queries, task.qrels, "rerank", corpus, candidates)
    oracle = Oracle(task.qrels, texts_of(task))
    result = quick(
        {"alone": oracle, "behind": docs.retriever() >> oracle, "none": docs.retriever()},
        given,
        metrics=["R@50", "nDCG@10"],
    )["given"]
    assert result["alone"].values == result["behind"].values
    best = {
        query: len(set(judged) & set(candidates[query])) / len(judged) for query, judged in task.qrels.items()
    }
    assert result["alone"].values["R@50"] == best == result["none"].values["R@50"]
    assert result["alone"].mean("nDCG@10") > result["none"].mean("nDCG@10")


def test_candidates_that_the_corpus_lacks_are_named(task):
    given = Task("given", task.queries, task.qrels, "rerank", [], dict.fromkeys(task.queries, ("d1",)))
    with pytest.raises(ValueError, match="the corpus lacks 'd1'"):
        quick({"top": Oracle(task.qrels, texts_of(task))}, given)


def pair_task(corpus=()):
    queries = {"yes": Query("pumps that need oil"), "no": Query("pumps that need no oil")}
    preferences = (Preference("yes", "d1", "d2", "p"), Preference("no", "d2", "d1", "p"))
    return Task("negation", queries, {}, "pairs", corpus, preferences=preferences)


def test_a_pair_is_right_when_both_of_its_questions_are(docs):
    corpus = [Passage(TEXTS[name], id=name) for name in ("d1", "d2")]
    task = pair_task(corpus)
    texts = texts_of(task)
    right = {"yes": {"d1": 1}, "no": {"d2": 1}}
    half = {"yes": {"d1": 1}, "no": {"d1": 1}}
    blind = {"yes": {}, "no": {}}
    result = quick(
        {"right": Oracle(right, texts), "half": Oracle(half, texts), "blind": Oracle(blind, texts)}, task
    )["negation"]
    assert result.metrics == ("PairAccuracy", "PreferenceAccuracy")
    assert [result[name].mean("PairAccuracy") for name in ("right", "half", "blind")] == [1.0, 0.0, 0.0]
    assert [result[name].mean("PreferenceAccuracy") for name in ("right", "half", "blind")] == [1.0, 0.5, 0.0]


def test_a_pipeline_that_searches_ranks_the_two_documents_of_a_pair_in_its_collection(docs):
    result = quick(
        {"search": docs.retriever() >> Oracle({"yes": {"d1": 1}, "no": {"d2": 1}}, texts_of(pair_task()))},
        pair_task(),
    )["negation"]
    assert result["search"].mean("PairAccuracy") == 1.0
    assert not [remark for remark in result.remarks if "outside" in remark]


def test_questions_see_their_own_pool_alone(docs):
    queries = {f"q{n}": Query(f"station {n}", filter={"lang": "en"}) for n in range(6)}
    qrels = {f"q{n}": {f"d{n}": 1} for n in range(6)}
    pools = {query: {"lang": "en"} for query in queries}
    task = Task(
        "pool",
        queries,
        qrels,
        pools=pools,
        groups={query: "odd" if int(query[1:]) % 2 else "even" for query in queries},
    )
    unbound = FunctionStage(lambda state: state.with_query(Query(state.query.text))) >> docs.retriever(
        limit=40
    )
    result = quick({"bound": docs.retriever(limit=40), "unbound": unbound}, task, metrics=["R@40"])["pool"]
    groups = result["bound"].groups["R@40"]
    assert groups["even"] == 0.0
    assert groups["odd"] > 0.0
    assert result["unbound"].values == result["bound"].values
    assert any(remark.startswith("unbound found") and "outside" in remark for remark in result.remarks)


def test_documents_are_known_by_the_end_of_their_paths_and_count_once(task):
    with EdgeClient(":memory:") as client:
        chunked = Collection.create(client, "chunks", sparse=Bm25Encoder())
        passages = [
            Passage(f"{WORDS[n]} part {part}", source=f"/x/manual/{WORDS[n]}.md")
            for n in range(10)
            for part in range(3)
        ]
        chunked.indexer(progress=False).add(
            [*passages, Passage("valve elsewhere", source="/y/other/valve.md")]
        )
        queries = {"a": Query("valve part"), "b": Query("pump part")}
        qrels = {"a": {"valve.md": 1}, "b": {"manual/pump.md": 1}}
        documents = Task("files", queries, qrels, match="document")
        result = quick({"words": chunked.retriever(limit=10)}, documents, metrics=["P@1", "R@10"])["files"]
    assert result["words"].mean("P@1") == 1.0
    assert any("'valve.md' stands for 2 files" in remark for remark in result.remarks)


def test_the_question_itself_is_no_answer_unless_it_is_judged_one(docs):
    text = TEXTS["d3"]
    queries = {"d3": Query(text), "q": Query(text)}
    task = Task("self", queries, {"d3": {"d13": 1}, "q": {"d3": 1}})
    result = quick({"words": docs.retriever(sources=["sparse"])}, task, metrics=["P@1", "R@10"])["self"]
    assert result["words"].values["P@1"]["q"] == 1.0
    ranking = quick({"run": Run({"d3": (("d3", 2.0), ("d13", 1.0)), "q": ()})}, task, metrics=["P@1"])["self"]
    assert ranking["run"].values["P@1"]["d3"] == 1.0


def test_a_collection_that_is_not_the_tasks_is_suspected(docs, task):
    strange = Task("strange", task.queries, {query: {"elsewhere": 1} for query in task.queries})
    remarks = quick({"words": docs.retriever(sources=["sparse"])}, strange)["strange"].remarks
    assert any("found nothing that is judged for any question" in remark for remark in remarks)


def test_few_questions_and_questions_without_anything_relevant_are_said(docs, task):
    qrels = {**task.qrels, "q0": {"d0": 0}}
    remarks = quick({"words": docs.retriever()}, Task("t", task.queries, qrels, unjudged=("x",)))["t"].remarks
    said = " ".join(remarks)
    assert "12 questions are few" in said
    assert "1 judged questions have nothing relevant" in said
    assert "1 questions have no judgments and are not counted, such as 'x'" in said


def test_every_question_is_encoded_anew():
    encoder = HashEncoder()
    with EdgeClient(":memory:") as client:
        made = Collection.create(client, "docs", dense=encoder)
        made.indexer(progress=False).add([Passage("one", id="a")])
        task = Task("t", {"q": Query("one")}, {"q": {"a": 1}})
        before = len(encoder.calls)
        quick({"x": made.retriever(limit=1), "y": made.retriever(limit=2)}, task)
    assert len(encoder.calls) - before == 2


def test_a_part_of_a_task_leaves_the_outcomes_of_the_whole(docs, task, tmp_path):
    quick({"search": docs.retriever()}, task, folder=tmp_path)
    (file,) = tmp_path.rglob("*.jsonl")
    quick({"search": docs.retriever()}, task.only(["q3", "q5"], task.name), folder=tmp_path)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["query"] for row in rows[1:]} == set(task.queries)
    stage = Counting()
    kept = System("search", stage >> docs.retriever(), fingerprint="v1")
    quick([kept], task, folder=tmp_path)
    quick([kept], task.only(["q3", "q5"], task.name), folder=tmp_path)
    quick([kept], task, folder=tmp_path)
    assert max(stage.seen.values()) == 1


def test_times_of_an_earlier_run_with_other_load_are_said(docs, task, tmp_path):
    def remarks(at_once):
        return " ".join(
            quick({"search": docs.retriever()}, task, folder=tmp_path, at_once=at_once)["pumps"].remarks
        )

    assert "earlier run" not in remarks(3)
    assert "earlier run" not in remarks(3)
    assert "search: the times of 12 questions are those of an earlier run, with 3 at once" in remarks(1)


@pytest.mark.parametrize("match", ["id", "document"])
def test_judged_documents_that_are_in_no_collection_are_counted_and_said(docs, match):
    right, rare = ("d1", "d39") if match == "id" else ("d1.md", "manual/d39.md")
    queries = {"q": Query("valve station 1"), "r": Query("pump station 7")}
    task = Task("names", queries, {"q": {right: 1, "typo.md": 1}, "r": {rare: 2, "no.md": 0}}, match=match)
    (said,) = [
        each
        for each in quick({"one": docs.retriever(limit=1)}, task)["names"].remarks
        if "judged relevant" in each
    ]
    assert said.startswith(
        "1 documents are judged relevant that are in no collection searched, such as 'typo.md'"
    )
    fine = task.only(["r"], "fine")
    assert "judged relevant" not in " ".join(quick({"one": docs.retriever(limit=1)}, fine)["fine"].remarks)

"""HyDE as a stage: what the model is asked, what becomes of faults, of time and of the gate."""

from __future__ import annotations

import asyncio
import copy
import pickle
import statistics
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import (
    Bm25Encoder,
    Collection,
    EdgeClient,
    Generation,
    Hyde,
    MemoryCache,
    Message,
    PredictorGate,
    Query,
    SearchState,
    TextGenerator,
)
from hydrant.errors import ConfigurationError, GenerationError
from hydrant.expand.gate import (
    Decision,
    best_score,
    confidence,
    query_words,
    score_deviation,
    score_margin,
    source_agreement,
    word_coverage,
)
from hydrant.flow import run
from hydrant.testing import (
    ChattyGenerator,
    EmptyGenerator,
    FailingGenerator,
    FailingStage,
    FunctionStage,
    HangingStage,
    HashEncoder,
    ScriptedGenerator,
    SlowGenerator,
)
from hydrant.types import Hit, Passage, StageScore

QUERY = "does vitamin D help bones?"
PASSAGES = [
    "Sunlight makes the skin produce cholecalciferol, which strengthens the skeleton.",
    "The key to the lock is under the mat of the house.",
    "A fox and a dog met at the river bank.",
    "Calcium needs cholecalciferol to reach the skeleton.",
]
HYPOTHESIS = "Cholecalciferol strengthens the skeleton, and sunlight makes the skin produce it."


@pytest.fixture(scope="module")
def docs():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(256), sparse=Bm25Encoder())
        docs.indexer(progress=False).add(
            [{"id": number, "text": text} for number, text in enumerate(PASSAGES)]
        )
        yield docs


def expanded(stage, query=QUERY, hits=()):
    return run(stage.flow(SearchState(Query(query) if isinstance(query, str) else query, hits=tuple(hits))))


# ---- what the model is asked ----------------------------------------------------------------------------------------


def test_the_paper_s_settings_are_the_default():
    llm = ScriptedGenerator([f"Hypothesis {number} about bones." for number in range(8)])
    (expansion,) = expanded(Hyde(llm)).query.expansions
    (request,) = llm.requests
    assert (request.samples, request.temperature, request.enough, request.stop) == (8, 0.7, 4, ("\n\n\n",))
    assert request.messages[-1] == Message(
        "user", f"Please write a passage to answer the question.\nQuestion: {QUERY}\nPassage:"
    )
    assert len(expansion.texts) == 8
    assert (expansion.stage, expansion.role, expansion.kinds, expansion.mode) == (
        "hyde",
        "document",
        ("dense",),
        "mean",
    )
    assert expansion.query_weight == 1
    assert expansion.usage.calls == 1
    assert expansion.usage.completion_tokens > 0


@pytest.mark.parametrize(("hypotheses", "enough"), [(1, 1), (2, 2), (3, 2), (4, 2), (8, 4), (9, 5)])
def test_half_of_the_hypotheses_suffice_but_two_at_least(hypotheses, enough):
    assert Hyde(str.upper, hypotheses=hypotheses).wanted == enough


def test_a_second_hypothesis_that_is_asked_for_is_waited_for(docs):
    llm = SlowGenerator([0.0, 0.1], HYPOTHESIS)
    result = (Hyde(llm, hypotheses=2) >> docs.retriever(limit=3)).run(QUERY)
    assert len(result.hypotheses) == 2


def test_the_likeliest_passage_is_asked_for_once():
    llm = ScriptedGenerator(HYPOTHESIS)
    state = expanded(Hyde(llm, hypotheses=8, temperature=0, seed=3))
    assert (llm.requests[0].samples, llm.requests[0].needed, llm.requests[0].seed) == (1, 1, 3)
    assert state.degraded == ()
    with pytest.raises(ConfigurationError, match="enough=9"):
        Hyde(llm, hypotheses=8, enough=9, temperature=0)


@pytest.mark.parametrize(
    ("language", "system"),
    [
        ("auto", "Write in the language of the question."),
        ("German", "Write in German."),
        (None, None),
    ],
)
def test_the_language_is_pinned(language, system):
    llm = ScriptedGenerator("Eine Passage.")
    expanded(Hyde(llm, hypotheses=1, language=language))
    said = [message.content for message in llm.requests[0].messages if message.role == "system"]
    assert said == ([] if system is None else [system])


def test_a_prompt_that_names_the_language_itself_needs_no_note():
    llm = ScriptedGenerator("Kifungu.")
    expanded(Hyde(llm, hypotheses=1, prompt="mr-tydi", language="Swahili"))
    expanded(Hyde(llm, hypotheses=1, prompt="mr-tydi"))
    assert [len(request.messages) for request in llm.requests] == [1, 1]
    assert "in Swahili to" in llm.requests[0].text
    assert "in the language of the question to" in llm.requests[1].text


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"hypotheses": 0}, "hypotheses must be a whole number of at least 1, got 0"),
        ({"enough": 9}, "enough=9 samples cannot be had of samples=8"),
        ({"temperature": -1}, "temperature must be"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"prompt": "wep"}, "prompt must be one of .*'web'"),
        ({"query_weight": -1}, "query_weight must be"),
        ({"query_weight": float("inf")}, "query_weight must be"),
        ({"mode": "median"}, "mode must be one of .*'mean'"),
        ({"language": ""}, "language must be"),
        ({"gate": "maybe"}, "gate must be 'always'"),
        ({"probe": "docs"}, "probe must be a stage"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": "1 s"}, "timeout must be"),
        ({"on_error": "ignore"}, "on_error must be"),
        ({"llm": "gpt"}, "llm must be a text generator"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_the_stage_is_made(setting, said):
    with pytest.raises(ConfigurationError, match=said):
        Hyde(**{"llm": str.upper} | setting)


def test_stages_of_equal_settings_are_equal_and_cannot_be_changed(docs):
    llm = ScriptedGenerator("text")
    assert Hyde(llm) == Hyde(llm)
    assert Hyde(llm) >> docs.retriever() == Hyde(llm) >> docs.retriever()
    assert Hyde(llm) != Hyde(llm, hypotheses=4)
    with pytest.raises(AttributeError):
        Hyde(llm).hypotheses = 3
    with pytest.raises(TypeError):
        Hyde(llm, 4)


# ---- what becomes of a search ---------------------------------------------------------------------------------------


def test_hypotheses_find_what_shares_no_word_with_the_query_and_are_on_the_result(docs):
    plain = docs.retriever(limit=2, sources=("dense",)).run(QUERY)
    result = (
        Hyde(ScriptedGenerator(HYPOTHESIS), hypotheses=1) >> docs.retriever(limit=2, sources=("dense",))
    ).run(QUERY)
    assert plain.hits[0].score < 0.2
    assert result.hits[0].id == 0
    assert result.hits[0].score > 0.5
    assert result.hypotheses == (HYPOTHESIS,)
    assert result.query.text == QUERY
    assert result.degraded == ()


def test_the_query_that_came_in_is_not_changed():
    query = Query(QUERY, filter={"lang": "en"}, tenant="acme", limit=3)
    before = copy.deepcopy(query)
    state = expanded(Hyde(ScriptedGenerator(HYPOTHESIS), hypotheses=1), query)
    assert query == before
    assert (state.query.filter, state.query.tenant, state.query.limit) == ({"lang": "en"}, "acme", 3)


FAULTS = [
    (FailingGenerator(GenerationError("HTTP 500")), "GenerationError: HTTP 500"),
    (FailingGenerator(ZeroDivisionError("a bug of theirs")), "ZeroDivisionError: a bug of theirs"),
    (EmptyGenerator(), "GenerationError: the language model wrote nothing to search with: an empty answer"),
    (
        ScriptedGenerator("I'm sorry, I cannot do that."),
        "wrote nothing to search with: a refusal; a duplicate",
    ),
    (ScriptedGenerator("\x00\x01 {}[]; 12345 \ufffd"), "an answer that is no text"),
]


@pytest.mark.parametrize(("llm", "said"), FAULTS)
@pytest.mark.parametrize("driver", ["run", "arun"])
def test_whatever_the_model_does_the_search_goes_on_with_the_query_and_says_why(docs, llm, said, driver):
    search = Hyde(llm, hypotheses=4) >> docs.retriever(limit=3)
    result = asyncio.run(search.arun(QUERY)) if driver == "arun" else search.run(QUERY)
    plain = docs.retriever(limit=3).run(QUERY)
    assert result.hits == plain.hits
    (degradation,) = result.degraded
    assert degradation.stage == "hyde"
    assert said.replace("; a duplicate", "") in degradation.reason


def test_a_failure_is_the_callers_where_that_was_wished_for(docs):
    search = Hyde(FailingGenerator(GenerationError("HTTP 500")), on_error="raise") >> docs.retriever()
    with pytest.raises(GenerationError, match="HTTP 500"):
        search.run(QUERY)


@pytest.mark.parametrize("driver", ["run", "arun"])
def test_a_model_that_hangs_costs_no_more_than_its_part_of_the_deadline(docs, driver):
    llm = SlowGenerator(60)
    search = Hyde(llm, hypotheses=3) >> docs.retriever(limit=3)
    began = time.perf_counter()
    if driver == "arun":
        result = asyncio.run(search.arun(QUERY, deadline=0.8))
    else:
        result = search.run(QUERY, deadline=0.8)
    assert time.perf_counter() - began < 0.8
    llm.close()
    assert len(result.hits) == 3
    assert [degradation.stage for degradation in result.degraded] == ["hyde"]
    assert "did not answer within" in result.degraded[0].reason


def test_a_time_limit_of_its_own_is_kept(docs):
    llm = SlowGenerator(60)
    began = time.perf_counter()
    result = (Hyde(llm, timeout=0.2) >> docs.retriever()).run(QUERY)
    llm.close()
    assert time.perf_counter() - began < 2
    assert result.degraded[0].stage == "hyde"


def test_half_of_the_samples_failing_is_enough_and_said_on_the_expansion(docs):
    llm = FailingGenerator(GenerationError("HTTP 500"), every=2, answer=HYPOTHESIS)
    result = (Hyde(llm, hypotheses=8) >> docs.retriever(limit=3)).run(QUERY)
    assert result.degraded == ()
    assert len(result.hypotheses) == 4
    assert result.expansions[0].dropped == ("GenerationError: HTTP 500",) * 4


def test_fewer_than_enough_are_used_and_reported(docs):
    llm = FailingGenerator(GenerationError("HTTP 500"), every=2, answer=HYPOTHESIS)
    result = (Hyde(llm, hypotheses=8, enough=6) >> docs.retriever(limit=3)).run(QUERY)
    assert len(result.hypotheses) == 4
    assert result.degraded[0].reason == "4 of the 6 texts that suffice: GenerationError: HTTP 500"


def test_stragglers_are_cancelled_when_enough_are_there(docs):
    llm = SlowGenerator([0.02, 0.02, 60, 60], HYPOTHESIS)
    result = asyncio.run((Hyde(llm, hypotheses=4, enough=2) >> docs.retriever(limit=3)).arun(QUERY))
    assert len(result.hypotheses) == 2
    assert llm.cancelled == 2
    assert result.degraded == ()


async def test_cancelling_a_search_cancels_its_samples_and_leaks_no_task(docs):
    llm = SlowGenerator(60)
    before = asyncio.all_tasks()
    task = asyncio.create_task((Hyde(llm, hypotheses=4) >> docs.retriever()).arun(QUERY))
    while llm.calls < 4:  # noqa: ASYNC110  the stand-in has a counter, no event
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm.cancelled == 4
    assert asyncio.all_tasks() == before


def test_an_overlong_and_chatty_answer_is_cut_and_cleaned(docs):
    result = (Hyde(ChattyGenerator(HYPOTHESIS), hypotheses=1, max_tokens=50) >> docs.retriever()).run(QUERY)
    (text,) = result.hypotheses
    assert text.startswith(HYPOTHESIS)
    assert len(text) <= 300


def test_an_off_language_hypothesis_is_dropped_and_the_others_stay():
    llm = ScriptedGenerator(["Витамин укрепляет кости человека.", HYPOTHESIS])
    (expansion,) = expanded(Hyde(llm, hypotheses=2)).query.expansions
    assert expansion.texts == (HYPOTHESIS,)
    assert expansion.dropped == ("an answer in another language",)


class Instant(TextGenerator):
    """A model that takes no time at all."""

    identity = "instant"

    def complete(self, request):
        return Generation(tuple(f"{HYPOTHESIS} {number}" for number in range(request.samples)))


@pytest.mark.parametrize("kept", [False, True])
def test_the_expansion_itself_takes_less_than_a_millisecond(kept):
    stage = Hyde(Instant(), cache=MemoryCache() if kept else None)
    expanded(stage)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        expanded(stage)
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.001


def test_a_cached_query_asks_the_model_nothing(docs):
    llm = ScriptedGenerator(HYPOTHESIS)
    search = Hyde(llm, hypotheses=1) >> docs.retriever(limit=3)
    first, again = search.run(QUERY), search.run(QUERY)
    assert len(llm.requests) == 1
    assert first.hits == again.hits


def test_warming_up_reaches_the_model_and_closing_leaves_it_to_whoever_made_it(tmp_path):
    class Told(ScriptedGenerator):
        said = ()

        def warm_up(self):
            self.said = (*self.said, "warm")

        def close(self):
            self.said = (*self.said, "closed")

    llm = Told("A text.")
    with Hyde(llm, hypotheses=1, cache=tmp_path / "cache.db") as stage:
        expanded(stage)
        assert stage.cache._connection is not None
    assert llm.said == ("warm",)
    assert stage.cache._connection is None


def test_a_stage_is_copied_and_pickled_with_its_settings_and_an_empty_cache():
    stage = Hyde(Instant(), hypotheses=3)
    expanded(stage)
    again = pickle.loads(pickle.dumps(stage))
    assert again.hypotheses == 3
    assert not expanded(again).query.expansions[0].cached
    assert len(expanded(copy.deepcopy(stage)).query.expansions[0].texts) == 3


# ---- the gate -------------------------------------------------------------------------------------------------------


def hit(score, **ranks):
    stages = {name: StageScore(1.0, rank) for name, rank in ranks.items()}
    return Hit(Passage("text"), score, stages)


def test_never_asks_no_model_and_says_so():
    llm = ScriptedGenerator(HYPOTHESIS)
    (expansion,) = expanded(Hyde(llm, gate="never")).query.expansions
    assert (expansion.texts, expansion.mode, expansion.decision) == ((), "none", "never")
    assert llm.requests == []


def test_a_function_decides_from_the_query_and_the_hits_that_came_in(docs):
    llm = ScriptedGenerator(HYPOTHESIS)
    seen = []

    def gate(query, hits):
        seen.append((query.text, [each.id for each in hits]))
        return hits[0].id != 0

    search = (
        docs.retriever(limit=1) >> Hyde(llm, hypotheses=1, enough=1, gate=gate) >> docs.retriever(limit=1)
    )
    assert search.run("the skin and sunlight").hypotheses == ()
    assert search.run("key and lock").hypotheses == (HYPOTHESIS,)
    assert seen == [("the skin and sunlight", [0]), ("key and lock", [1])]
    assert len(llm.requests) == 1


def test_a_probe_searches_for_the_gate_and_its_hits_go_no_further():
    probe = FunctionStage(lambda state: state.with_hits([hit(1.0), hit(0.9)]), "probe")
    asked = []
    stage = Hyde(str.upper, hypotheses=1, gate=lambda _, hits: bool(asked.append(len(hits))), probe=probe)
    state = expanded(stage, hits=[hit(0.5)])
    assert asked == [2]
    assert [each.score for each in state.hits] == [0.5]
    assert state.query.expansions[0].decision == "the gate does not expand"


@pytest.mark.parametrize("probe", [FailingStage(OSError("down")), HangingStage("probe")])
def test_a_probe_that_fails_leaves_the_query_unexpanded(docs, probe):
    search = Hyde(str.upper, gate="auto", probe=probe) >> docs.retriever(limit=2)
    result = search.run(QUERY, deadline=0.6)
    assert len(result.hits) == 2
    assert result.degraded[0].stage == "hyde"
    probe.close()


def test_in_a_pipeline_the_search_that_follows_is_the_probe(docs):
    retriever = docs.retriever(limit=2)
    llm = ScriptedGenerator(HYPOTHESIS)
    seen = []

    def gate(query, hits):
        seen.append((query.offset, len(hits)))
        return False

    search = Hyde(llm, hypotheses=1, gate=gate) >> FunctionStage(lambda state: state) >> retriever
    assert search.stages[0].probe == retriever
    search.run(QUERY, limit=1)
    search.run(QUERY, offset=1)
    # Every page is judged by the same first hits.
    assert seen == [(0, 4), (1, 4)]
    assert llm.requests == []


def test_a_gate_needs_no_probe_where_it_has_hits_or_looks_at_none(docs):
    retriever = docs.retriever(limit=2)
    llm = ScriptedGenerator(HYPOTHESIS)
    assert (retriever >> Hyde(llm, gate="auto") >> retriever).stages[1].probe is None
    assert (Hyde(llm, gate="never") >> retriever).stages[0].probe is None
    assert (Hyde(llm) >> retriever).stages[0].probe is None
    other = docs.retriever(limit=9)
    assert (Hyde(llm, gate="auto", probe=other) >> retriever).stages[0].probe == other


def test_a_stage_with_a_probe_from_its_pipeline_still_closes_its_cache(docs, tmp_path):
    with Hyde(str.upper, hypotheses=1, gate="auto", cache=tmp_path / "c.db") >> docs.retriever() as search:
        search.run(QUERY)
    assert search.stages[0].cache._connection is None


def test_auto_expands_what_the_first_search_did_not_find(docs):
    llm = ScriptedGenerator(HYPOTHESIS)
    search = Hyde(llm, hypotheses=1, gate="auto") >> docs.retriever(limit=2)
    sure = search.run("a fox and a dog met at the river")
    assert sure.hypotheses == ()
    assert sure.expansions[0].decision.startswith("confidence 0.")
    unsure = search.run("osteoporosis prevention in midwinter")
    assert unsure.hypotheses == (HYPOTHESIS,)
    assert " < " in unsure.expansions[0].decision


def test_a_gate_may_compare_numbers_of_numpy():
    stage = Hyde(ScriptedGenerator(HYPOTHESIS), hypotheses=1, gate=lambda query, hits: np.mean([1, 2]) > 3)
    assert expanded(stage).query.expansions[0].decision == "the gate does not expand"


def test_a_predictor_expands_below_its_threshold_and_without_hits():
    gate = PredictorGate(score_margin, 0.5)
    assert gate.decide(Query("q"), []).expand
    assert gate.decide(Query("q"), [hit(1.0), hit(0.9)]) == Decision(
        expand=True, reason="score_margin 0.1 < 0.5"
    )
    assert gate.decide(Query("q"), [hit(1.0), hit(0.4)]) == Decision(
        expand=False, reason="score_margin 0.6 >= 0.5"
    )


def test_a_gate_that_says_neither_yes_nor_no_is_told_so():
    with pytest.raises(
        ConfigurationError, match="a gate must return True to expand or False not to, got None"
    ):
        expanded(Hyde(str.upper, gate=lambda query, hits: None))


def test_the_predictors_measure_what_their_names_say():
    flat, steep = [hit(1.0)] * 10, [hit(1.0), *[hit(0.2)] * 9]
    assert score_margin(Query("q"), flat) == score_deviation(Query("q"), flat) == 0
    assert score_margin(Query("q"), steep) == pytest.approx(0.8)
    assert score_deviation(Query("q"), steep) == pytest.approx(0.24)
    assert score_margin(Query("q"), [hit(0.0), hit(0.0)]) == 0
    assert query_words(Query("how do bones grow"), []) == 4
    agreed = [
        hit(1.0, dense=1, sparse=2, fusion=1),
        hit(0.5, dense=2, fusion=2),
        hit(0.4, dense=3, sparse=40, fusion=3),
    ]
    assert source_agreement(Query("q"), agreed) == pytest.approx(1 / 3)
    assert source_agreement(Query("q"), [hit(1.0, dense=1)]) == 0
    assert source_agreement(Query("q"), []) == 0


def told(*texts):
    return [Hit(Passage(text), 1.0) for text in texts]


@pytest.mark.parametrize(
    ("query", "texts", "share"),
    [
        ("vegan diets", ["A vegan diet.", "Veganism and dieting.", "Bread."], 2 / 3),
        ("vegan diets", ["A vegan.", "Bread.", "Bread.", "A vegan diet."], 1 / 6),
        ("what is an okra", ["Okra."], 0.5),
        ("is it so", ["It is."], 2 / 3),
        ("???", ["What?"], 0.0),
        ("DHA", ["dha in fish"], 1.0),
        ("diet", [], 0.0),
    ],
)
def test_word_coverage_is_the_share_of_words_that_the_first_three_hits_contain(query, texts, share):
    assert word_coverage(Query(query), told(*texts)) == pytest.approx(share)


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.text(max_size=40), st.floats(0, 1)), max_size=12),
)
def test_confidence_lies_between_nothing_and_one(query, found):
    hits = [Hit(Passage(text), score) for text, score in sorted(found, key=lambda pair: -pair[1])]
    assert 0 <= confidence(Query(query), hits) <= 1
    assert score_deviation(Query(query), hits) >= 0
    assert best_score(Query(query), hits) == (hits[0].score if hits else 0)

"""Rankings as votes: interleaved with their duplicates, ranked once, each passage once in what comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import (
    Bm25Encoder,
    Collection,
    CrossEncoderReranker,
    Hit,
    ListwiseReranker,
    Passage,
    Rrf,
    StageScore,
    VoteReranker,
)
from hydrant.errors import ConfigurationError, GenerationError, RankingError
from hydrant.rerank.vote import interleaved
from hydrant.testing import FailingGenerator, FunctionStage, HashEncoder, OracleGenerator, ScriptedGenerator

QUERY = "which of them counts?"


def text(number):
    return f"Passage text number {number} about something."


def found(rankings, count=None):
    """Hits that several sources ranked: for each its ranking of numbers."""
    count = (
        1 + max((each for ranking in rankings.values() for each in ranking), default=0)
        if count is None
        else count
    )
    hits = tuple(
        Hit(
            Passage(text(n), id=n),
            1 - n / 1000,
            {
                "fusion": StageScore(1 - n / 1000, n + 1),
                **{
                    name: StageScore(1 / (1 + ranking.index(n)), ranking.index(n) + 1)
                    for name, ranking in rankings.items()
                    if n in ranking
                },
            },
        )
        for n in range(count)
    )
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def ids(result):
    return [hit.id for hit in result.hits]


def lines(request):
    return [
        int(line.split("number ")[1].split()[0])
        for line in request.messages[-1].content.split("\n")
        if line.startswith("[") and "number " in line
    ]


@pytest.mark.parametrize(
    ("rankings", "size", "expected"),
    [
        ([[1, 2, 3], [3, 1, 4]], 6, [1, 3, 2, 1, 3, 4]),
        ([[1, 2, 3], [3, 1, 4]], 4, [1, 3, 2, 1]),
        ([[1, 2, 3], [3, 1, 4]], 3, [1, 3, 2]),
        ([[1, 2, 3], [4]], 6, [1, 4, 2, 3]),
        ([[1, 2, 3]], 2, [1, 2]),
    ],
)
def test_lists_take_turns_each_to_its_share_and_duplicates_stay(rankings, size, expected):
    assert interleaved(rankings, size) == expected


def test_the_model_sees_the_list_with_its_duplicates_and_each_passage_comes_out_once():
    llm = ScriptedGenerator("[6] > [2] > [1]")
    result = (found({"dense": [1, 2, 3], "sparse": [3, 1, 4]}) >> VoteReranker(llm, size=6)).run(QUERY)
    assert lines(llm.requests[0]) == [1, 3, 2, 1, 3, 4]
    assert ids(result) == [4, 3, 1, 2, 0]
    assert [hit.score for hit in result.hits] == [1 / rank for rank in range(1, 6)]
    assert result.usage["vote"].calls == len(llm.requests) == 1


def test_without_a_model_places_and_votes_rank():
    search = found({"dense": [1, 2, 3], "sparse": [3, 1, 4]}, count=7) >> VoteReranker(size=6)
    # 1 and 3 have two votes each; those outside the list stay as they were.
    assert ids(search.run(QUERY)) == [1, 3, 2, 4, 0, 5, 6]
    assert search.run(QUERY).usage == {}


def test_named_sources_vote_in_their_order_and_the_fused_ranking_does_not():
    rankings = {"dense": [1, 2], "sparse": [3, 1], "title": [2, 3]}
    llm = ScriptedGenerator("[1]")
    (found(rankings) >> VoteReranker(llm, sources=("title", "dense"), size=4)).run(QUERY)
    assert lines(llm.requests[0]) == [2, 1, 3, 2]


def test_hits_without_a_sources_rank_are_one_ranking():
    llm = ScriptedGenerator("[3] > [2]")
    assert ids((found({}, count=4) >> VoteReranker(llm)).run(QUERY)) == [2, 1, 0, 3]


def test_sources_of_which_no_hit_has_a_rank_are_refused_with_those_there_are():
    with pytest.raises(
        ConfigurationError, match=r"no hit has a rank of sources=\['bm25'\].*'dense'.*explain=True"
    ):
        (found({"dense": [1]}) >> VoteReranker(sources=("bm25",))).run(QUERY)
    with pytest.raises(ConfigurationError, match="sources must be the names"):
        VoteReranker(sources="dense")
    with pytest.raises(ConfigurationError, match=r"sources must be the names.*got 3"):
        VoteReranker(sources=3)
    with pytest.raises(ConfigurationError, match="size must be a whole number"):
        VoteReranker(size=0)


def test_when_the_model_fails_the_votes_rank_and_it_says_so():
    llm = FailingGenerator(GenerationError("down"))
    search = found({"dense": [1, 2, 3], "sparse": [3, 1, 4]}) >> VoteReranker(llm, size=6)
    result = search.run(QUERY)
    assert ids(result) == [1, 3, 2, 4, 0]
    assert "vote: by votes alone: 1 of 1 answers could not be used: GenerationError: down" in str(
        result.degraded[0]
    )
    assert result.usage["vote"].calls == 1
    with pytest.raises(GenerationError, match="down"):
        (found({"dense": [1, 2]}) >> VoteReranker(llm, on_error="raise")).run(QUERY)


def test_another_reranker_may_rank_the_list():
    llm = OracleGenerator({QUERY: {text(4): 2, text(2): 1}})
    reranker = VoteReranker(ListwiseReranker(llm, window=3, step=1), size=6)
    result = (found({"dense": [1, 2, 3], "sparse": [3, 1, 4]}) >> reranker).run(QUERY)
    assert ids(result)[:2] == [4, 2]
    assert len(llm.requests) == 4


class Known:
    """A scorer with a highest score, so that a reranker may stop before it has asked of all."""

    max_score = 1.0

    def score(self, pairs):
        return [1.0 if document in {text(0), text(2), text(9)} else 0.1 for _, document in pairs]


@pytest.mark.parametrize("own", [None, 1])
@pytest.mark.parametrize(("limit", "expected"), [(1, [0]), (3, [0, 2, 9]), (4, [0, 2, 9, 1])])
def test_a_passage_with_many_votes_does_not_end_the_ranking_early(own, limit, expected):
    rankings = {source: list(range(40)) for source in ("dense", "sparse", "title")}
    search = found(rankings) >> VoteReranker(CrossEncoderReranker(Known(), top_n=own), size=120)
    assert ids(search.run(QUERY, limit=limit)) == expected
    assert ids(search.run(QUERY))[:limit] == expected


@pytest.mark.parametrize("scores", [[float("nan")] * 6, [1.0]], ids=["no numbers", "too few"])
def test_the_votes_rank_too_when_another_reranker_fails(scores):
    ranker = CrossEncoderReranker(Saying(scores))
    result = (found({"dense": [1, 2, 3], "sparse": [3, 1, 4]}) >> VoteReranker(ranker, size=6)).run(QUERY)
    assert ids(result) == [1, 3, 2, 4, 0]
    assert "vote: by votes alone: RankingError: " in str(result.degraded[0])
    with pytest.raises(RankingError):
        (found({"dense": [1, 2]}) >> VoteReranker(ranker, on_error="raise")).run(QUERY)


class Saying:
    def __init__(self, scores):
        self.scores = scores

    def score(self, pairs):
        return self.scores


@given(
    st.lists(st.lists(st.integers(0, 15), unique=True, min_size=1), min_size=1, max_size=4),
    st.integers(1, 30),
    st.text(),
)
def test_no_rankings_and_no_answer_lose_or_double_a_hit(rankings, size, answer):
    named = {f"source {number}": ranking for number, ranking in enumerate(rankings)}
    for ranker in (None, ScriptedGenerator(answer)):
        result = (found(named, count=16) >> VoteReranker(ranker, size=size)).run(QUERY)
        assert sorted(ids(result)) == list(range(16))


@pytest.mark.parametrize(("fusion", "explain"), [(None, False), (None, True), (Rrf(), True)])
def test_a_retriever_says_how_its_sources_ranked(edge, fusion, explain):
    docs = Collection.create(edge, "docs", dense=HashEncoder(256), sparse=Bm25Encoder())
    texts = ["rickets in children", "calcium uptake in the gut", "bone density and bones", "foxes and dogs"]
    docs.indexer(progress=False).add([{"id": number, "text": each} for number, each in enumerate(texts)])
    llm = ScriptedGenerator("[1]")
    search = docs.retriever(fusion=fusion, explain=explain) >> VoteReranker(llm, sources=("sparse", "dense"))
    result = search.run("bone density")
    assert result.hits[0].id == 2
    assert set(result.hits[0].stages) >= {"dense", "sparse", "vote"}
    assert llm.requests[0].messages[-1].content.count("bone density and bones") == 2

"""Every reranker by a language model passes the class that third parties' stages are held to."""

from __future__ import annotations

import pytest

from hydrant import (
    Hit,
    ListwiseReranker,
    PairwiseReranker,
    Passage,
    PointwiseReranker,
    TournamentReranker,
    VoteReranker,
)
from hydrant.errors import GenerationError
from hydrant.testing import FailingGenerator, FunctionStage, OracleGenerator, StageConformance


class Asking(StageConformance):
    """Over an oracle, which leaves equal passages as they are, and a server that is down."""

    __test__ = False
    make = ListwiseReranker

    def stage(self, top_n=None):
        grades = {hit.passage.content: (7 * at) % 4 for at, hit in enumerate(self.hits(10))}
        return self.make(OracleGenerator({self.query: grades}), top_n=top_n)

    def failing_stage(self, top_n=None):
        return self.make(FailingGenerator(GenerationError("the server is down")), top_n=top_n)


class TestListwise(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return ListwiseReranker(llm, window=4, step=2, passes=2, top_n=top_n)


class TestListwiseOfNames(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return ListwiseReranker(llm, prompt="lrl", top_n=top_n)


class TestTournament(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return TournamentReranker(llm, group=3, winners=2, top_n=top_n)


class TestTournamentThatTrusts(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return TournamentReranker(llm, trust="order", top_n=top_n)


class TestPairwise(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return PairwiseReranker(llm, top_n=top_n)


class TestPointwise(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return PointwiseReranker(llm, grades=3, top_n=top_n)


class TestVote(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return VoteReranker(llm, size=6, top_n=top_n)

    def failing_stage(self, top_n=None):
        # Without its model it ranks by the votes, which is no failure of the stage; its own tests show that.
        return None


class TestVotesAlone(Asking):
    __test__ = True

    def make(self, llm, top_n):
        return VoteReranker(top_n=top_n)

    def failing_stage(self, top_n=None):
        return None


CONTENTS = [f"Passage text number {number} about something." for number in range(40)]


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_cascade_of_all_loses_nothing_and_says_what_each_asked(noise):
    llm = OracleGenerator({"q": {CONTENTS[31]: 3, CONTENTS[8]: 2, CONTENTS[17]: 1}}, noise=noise)
    hits = [Hit(Passage(text, id=number), 1 - number / 100) for number, text in enumerate(CONTENTS)]
    cascade = (
        FunctionStage(lambda state: state.with_hits(hits), "found", required=True)
        >> PointwiseReranker(llm, top_n=30)
        >> ListwiseReranker(llm, top_n=20, candidates=30)
        >> TournamentReranker(llm, top_n=10, candidates=20)
        >> PairwiseReranker(llm, top_n=5, candidates=8)
    )
    result = cascade.run("q")
    assert len({hit.id for hit in result.hits}) == 5
    assert set(result.usage) == {"pointwise", "listwise", "tournament", "pairwise"}
    assert sum(usage.calls for usage in result.usage.values()) == len(llm.requests)
    if not noise:
        assert [hit.id for hit in result.hits][:3] == [31, 8, 17]

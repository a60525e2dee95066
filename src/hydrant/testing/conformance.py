# ruff: noqa: S101  every method here is a test, and asserts as tests do
"""The tests that any stage behind a retriever has to pass: rerankers above all, ours and yours."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import unittest
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

from hydrant.pipeline import Stage
from hydrant.testing.stages import FunctionStage
from hydrant.types import Hit, Passage, SearchResult, StageScore

_TOPICS = (
    ("keys", "The signing keys are rotated every ninety days by the operator."),
    ("bread", "Bread needs flour, water, salt and time."),
    ("whales", "Whales sing at night, and their songs travel for hundreds of miles."),
    ("rotation", "To rotate a key, make the new one active before the old one is withdrawn."),
    ("backup", "Backups are kept for a year on another continent."),
    ("empty title", ""),
    ("unicode", "Die Straße ist naß; ключ, 東京, 🔑."),
)


class StageConformance(ABC):
    """What a stage that ranks hits must do. Subclass it as `Test...`, say what the stage is, and run pytest.

        class TestMyReranker(StageConformance):
            def stage(self, top_n=None):
                return MyReranker(top_n=top_n)

            def failing_stage(self, top_n=None):
                return MyReranker(model=Broken(), top_n=top_n)

    Attributes:
        query: What is asked in the tests.
        keeps_ties: Whether equal passages keep the order they came in. Leave it True unless the stage cannot know that they
            are equal, as a language model that is shown a list.
    """

    query = "how are keys rotated?"
    keeps_ties = True

    @abstractmethod
    def stage(self, top_n: int | None = None) -> Stage:
        """A new stage that lets so many hits through, where the query does not say; None for all."""

    def failing_stage(self, top_n: int | None = None) -> Stage | None:
        """The same with a model that fails; None where it has nothing that could fail, and those tests are skipped."""
        return None

    def hits(self, number: int = 10) -> list[Hit]:
        """What comes in: best first, with the scores of two stages before, one passage of them without a text."""
        return [
            Hit(
                Passage(
                    f"{text} ({at})" if text else "",
                    id=f"p{at}",
                    title=title,
                    source=f"{title}.md",
                    metadata={"at": at, "tags": [title]},
                ),
                1.0 - at / 100,
                {"dense": StageScore(0.9 - at / 100, at + 1), "fusion": StageScore(1.0 - at / 100, at + 1)},
                at,
            )
            for at, (title, text) in zip(range(number), _TOPICS * (number // len(_TOPICS) + 1), strict=False)
        ]

    # ---- what comes out --------------------------------------------------------------------------------------------

    def test_every_hit_that_comes_in_goes_out_once(self) -> None:
        """No document is lost, doubled or made up."""
        hits = self.hits()
        found = self._search(self.stage(), hits).hits
        assert sorted(str(hit.id) for hit in found) == sorted(str(hit.id) for hit in hits)

    def test_scores_fall_from_the_first_hit_to_the_last(self) -> None:
        """Sorting by score again changes nothing."""
        scores = [hit.score for hit in self._search(self.stage(), self.hits()).hits]
        assert scores == sorted(scores, reverse=True)

    def test_scores_and_ranks_are_plain_numbers_of_python(self) -> None:
        """They can be written as JSON."""
        for hit in self._search(self.stage(), self.hits()).hits:
            assert type(hit.score) is float, f"score {hit.score!r} is a {type(hit.score).__name__}"
            for name, own in hit.stages.items():
                assert type(own.score) is float, f"{name} gave {own.score!r}, a {type(own.score).__name__}"
                assert type(own.rank) is int, (
                    f"{name} gave the rank {own.rank!r}, a {type(own.rank).__name__}"
                )
            json.dumps(dataclasses.asdict(hit), allow_nan=False)

    def test_earlier_scores_and_passages_stay_as_they_were(self) -> None:
        """The stage adds what it says, and takes nothing away."""
        hits = {hit.id: hit for hit in self.hits()}
        for hit in self._search(self.stage(), list(hits.values())).hits:
            before = hits[hit.id]
            assert (hit.passage, hit.point_id) == (before.passage, before.point_id)
            assert {name: hit.stages.get(name) for name in before.stages} == dict(before.stages)

    def test_its_own_scores_stand_on_the_hits(self) -> None:
        """`hit.stages` has one more entry, whose score is the hit's, with ranks from 1 on."""
        found = self._search(self.stage(), self.hits()).hits
        own = [set(hit.stages) - {"dense", "fusion"} for hit in found]
        assert own == [own[0]] * len(found)
        assert len(own[0]) == 1
        said = [hit.stages[next(iter(own[0]))] for hit in found]
        assert [each.score for each in said] == [hit.score for hit in found]
        assert [each.rank for each in said] == list(range(1, len(found) + 1))

    def test_what_comes_in_is_not_changed(self) -> None:
        """Neither the hits nor anything inside them."""
        hits = self.hits()
        before = repr(hits)
        self._search(self.stage(), hits)
        assert repr(hits) == before

    def test_equal_passages_keep_their_order(self) -> None:
        """Ties are broken by the order in which they came in."""
        if not self.keeps_ties:
            self._skip("keeps_ties is False")
        same = Passage("Rotate the keys every ninety days.")
        hits = [Hit(same, 0.5, {"dense": StageScore(0.5, at + 1)}, point_id=at + 1000) for at in range(6)]
        assert [hit.point_id for hit in self._search(self.stage(), hits).hits] == list(range(1000, 1006))

    def test_two_runs_give_the_same(self) -> None:
        """The order does not depend on chance."""
        stage, hits = self.stage(), self.hits()
        assert _ranked(self._search(stage, hits)) == _ranked(self._search(stage, hits))

    def test_waiting_and_awaiting_give_the_same(self) -> None:
        """`run` and `arun` are one."""
        hits = self.hits()
        waited = self._search(self.stage(), hits)
        awaited = asyncio.run((self._found(hits) >> self.stage()).arun(self.query))
        assert awaited.degraded == waited.degraded
        assert _ranked(awaited) == _ranked(waited)

    # ---- sizes -----------------------------------------------------------------------------------------------------

    def test_of_nothing_comes_nothing(self) -> None:
        """An empty list is no failure."""
        result = self._search(self.stage(3), [])
        assert (result.hits, result.degraded) == ((), ())

    def test_a_single_hit_goes_through(self) -> None:
        """One candidate is ranked like many."""
        hits = self.hits(1)
        assert [hit.id for hit in self._search(self.stage(), hits).hits] == [hits[0].id]

    def test_the_best_go_on_and_are_those_of_the_whole_ranking(self) -> None:
        """`top_n` cuts, and changes nothing else."""
        hits = self.hits()
        whole = [hit.id for hit in self._search(self.stage(), hits).hits]
        assert [hit.id for hit in self._search(self.stage(3), hits).hits] == whole[:3]

    def test_more_may_be_wanted_than_there_is(self) -> None:
        """A `top_n` beyond the number of hits lets all of them through."""
        hits = self.hits(4)
        assert len(self._search(self.stage(50), hits).hits) == len(hits)

    def test_pages_are_pieces_of_one_ranking(self) -> None:
        """`limit` and `offset` of the query cut the page out."""
        search = self._found(self.hits()) >> self.stage()
        whole = [hit.id for hit in search.run(self.query).hits]
        pages = [hit.id for at in range(0, 10, 4) for hit in search.run(self.query, limit=4, offset=at).hits]
        assert pages == whole

    # ---- failure ---------------------------------------------------------------------------------------------------

    def test_a_failure_leaves_the_order_cut_to_size_and_says_so(self) -> None:
        """The search goes on without the stage."""
        hits = self.hits()
        for top_n in (None, 3):
            stage = self.failing_stage(top_n)
            if stage is None:
                self._skip("there is no failing_stage")
            result = self._search(stage, hits, complete=False)
            assert [hit.id for hit in result.hits] == [hit.id for hit in hits][:top_n]
            assert [hit.score for hit in result.hits] == [hit.score for hit in hits][:top_n]
            assert [each.stage for each in result.degraded] == [stage.name]

    # ---- how -------------------------------------------------------------------------------------------------------

    def _search(self, stage: Stage, hits: Sequence[Hit], *, complete: bool = True) -> SearchResult:
        result = (self._found(hits) >> stage).run(self.query)
        if complete:
            assert not result.degraded, f"the stage did not work: {[str(each) for each in result.degraded]}"
        return result

    @staticmethod
    def _skip(reason: str) -> NoReturn:
        raise unittest.SkipTest(reason)

    @staticmethod
    def _found(hits: Sequence[Hit]) -> Stage:
        return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def _ranked(result: SearchResult) -> list[tuple[Any, float]]:
    return [(hit.id, hit.score) for hit in result.hits]

"""Every reranker by a model passes the class that third parties' stages are held to, and the class can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pair_models import Broken, SharedWords, cross_encoder

from hydrant import (
    BiEncoderReranker,
    Blend,
    Collection,
    CrossEncoderReranker,
    CurEncoder,
    CurReranker,
    EdgeClient,
    LateInteractionReranker,
    Ranking,
    Reranker,
)
from hydrant.testing import HashEncoder, HashLateEncoder, StageConformance


class BrokenEncoder(HashEncoder):
    def encode_query(self, texts):
        raise ConnectionError("the encoder is gone")


class BrokenLateEncoder(HashLateEncoder):
    def encode_query(self, texts):
        raise ConnectionError("the encoder is gone")


class TestCrossEncoderOfAnObject(StageConformance):
    def stage(self, top_n=None):
        return CrossEncoderReranker(SharedWords(), top_n=top_n)

    def failing_stage(self, top_n=None):
        return CrossEncoderReranker(Broken(), top_n=top_n)


class TestCrossEncoderThatStopsEarly(StageConformance):
    def stage(self, top_n=None):
        return CrossEncoderReranker(SharedWords(most=1), top_n=top_n)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    return cross_encoder(tmp_path_factory.mktemp("cross"))


class TestCrossEncoderOfTorch(StageConformance):
    @pytest.fixture(autouse=True)
    def _model(self, small_model):
        self.folder = small_model

    def stage(self, top_n=None):
        return CrossEncoderReranker(self.folder, top_n=top_n, scale="probability")


class TestLateInteractionOfAnEncoder(StageConformance):
    def stage(self, top_n=None):
        return LateInteractionReranker(HashLateEncoder(), top_n=top_n)

    def failing_stage(self, top_n=None):
        return LateInteractionReranker(BrokenLateEncoder(), top_n=top_n)


class TestBiEncoder(StageConformance):
    def stage(self, top_n=None):
        return BiEncoderReranker(HashEncoder(), top_n=top_n)

    def failing_stage(self, top_n=None):
        return BiEncoderReranker(BrokenEncoder(), top_n=top_n)


class TestBlend(StageConformance):
    keeps_ties = True

    def stage(self, top_n=None):
        return Blend(BiEncoderReranker(HashEncoder()), 0.7, top_n=top_n)

    def failing_stage(self, top_n=None):
        return Blend(BiEncoderReranker(BrokenEncoder()), 0.7, top_n=top_n)


class Stored(StageConformance):
    """Stages that read a collection, in which the hits' points are; the one without a text is not."""

    @pytest.fixture(autouse=True)
    def collection(self):
        with EdgeClient(":memory:") as client:
            docs = Collection.create(client, "docs", sources=self.source())
            passages = [replace(hit.passage, id=hit.point_id) for hit in super().hits() if hit.text]
            docs.indexer(progress=False).add(passages)
            self.docs = docs
            yield

    def hits(self, number=10):
        return [replace(hit, point_id=hit.point_id + 1) for hit in super().hits(number)]


class TestLateInteractionOfACollection(Stored):
    def source(self):
        return {"tokens": HashLateEncoder()}

    def stage(self, top_n=None):
        return LateInteractionReranker(self.docs, top_n=top_n)


class TestCur(Stored):
    def source(self):
        queries = ["are keys rotated", "what do whales do", "how is bread made", "who keeps backups"]
        items = ["keys are rotated", "whales sing", "bread needs salt", "backups are kept"]
        return {"cur": CurEncoder(Named(), queries=queries, items=items)}

    def stage(self, top_n=None):
        return CurReranker(self.docs, top_n=top_n)


class Named(SharedWords):
    identity = "shared words"


class Losing(Reranker):
    """Does what the class is there to find: it ranks by chance, or changes what comes in."""

    def __init__(self, fault, **settings):
        super().__init__(**settings)
        self.fault = fault

    def rank(self, query, hits):
        yield from ()
        if self.fault == "mutates":
            hits[0].passage.metadata["tags"].append("seen")
        return Ranking([float(-position) for position in range(len(hits))])

    def flow(self, state):
        state = yield from super().flow(state)
        hits = list(state.hits)
        if self.fault == "loses":
            hits = hits[:-1]
        elif self.fault == "doubles":
            hits = [*hits[:-1], *hits[:1]]
        elif self.fault == "unsorted":
            hits = hits[::-1]
        elif self.fault == "forgets":
            hits = [replace(hit, stages={}) for hit in hits]
        elif self.fault == "numpy":
            import numpy as np

            hits = [replace(hit, score=np.float32(hit.score)) for hit in hits]
        return state.with_hits(hits)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("loses", "test_every_hit_that_comes_in_goes_out_once"),
        ("doubles", "test_every_hit_that_comes_in_goes_out_once"),
        ("unsorted", "test_scores_fall_from_the_first_hit_to_the_last"),
        ("unsorted", "test_equal_passages_keep_their_order"),
        ("forgets", "test_earlier_scores_and_passages_stay_as_they_were"),
        ("forgets", "test_its_own_scores_stand_on_the_hits"),
        ("numpy", "test_scores_and_ranks_are_plain_numbers_of_python"),
        ("mutates", "test_what_comes_in_is_not_changed"),
    ],
)
def test_the_class_finds_a_fault(fault, test):
    class Checked(StageConformance):
        def stage(self, top_n=None):
            return Losing(fault, top_n=top_n)

    with pytest.raises(AssertionError):
        getattr(Checked(), test)()


def test_a_failure_that_loses_the_order_is_found():
    class Shuffling(CrossEncoderReranker):
        def without(self, state):
            return state.with_hits(state.hits[::-1])

    class Checked(StageConformance):
        def stage(self, top_n=None):
            return CrossEncoderReranker(SharedWords(), top_n=top_n)

        def failing_stage(self, top_n=None):
            return Shuffling(Broken(), top_n=top_n)

    with pytest.raises(AssertionError):
        Checked().test_a_failure_leaves_the_order_cut_to_size_and_says_so()

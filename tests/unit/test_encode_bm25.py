"""BM25 vectors: the same token ids and weights as Qdrant's own inference, by an oracle written from its description."""

from __future__ import annotations

import copy
import math
import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.encode import Bm25Encoder
from hydrant.errors import ConfigurationError, EncoderMismatch, InputError

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)


def murmur3(data: bytes) -> int:
    """MurmurHash3 x86 32-bit with seed 0, after its public description."""

    def rotated(value, by):
        return ((value << by) | (value >> (32 - by))) & 0xFFFFFFFF

    def scrambled(value):
        return rotated(value * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF

    state = 0
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        state ^= scrambled(int.from_bytes(data[start : start + 4], "little"))
        state = (rotated(state, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    state ^= scrambled(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    state = (state ^ state >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def token_id(token: str) -> int:
    """A token's index on a Qdrant server: the absolute value of its hash, read as a signed number."""
    value = murmur3(token.encode())
    return abs(value - (1 << 32) if value >= 1 << 31 else value)


def weights(tokens: list[str], k: float, b: float, average_length: float) -> dict[int, float]:
    norm = k * (1 - b + b * len(tokens) / average_length)
    return {token_id(token): tf * (k + 1) / (tf + norm) for token, tf in Counter(tokens).items()}


def as_dict(vector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def test_oracle_knows_the_published_hash_values():
    assert murmur3(b"") == 0
    assert murmur3(b"test") == 0xBA6BD213
    assert murmur3(b"Hello, world!") == 0xC0363E43


@given(st.lists(WORDS, min_size=1, max_size=30), st.floats(0, 4), st.floats(0, 1), st.floats(1, 500))
def test_document_vector_is_that_of_the_server_formula(words, k, b, average_length):
    encoder = Bm25Encoder("none", k=k, b=b, average_length=average_length, tokenizer="word")
    vector = as_dict(encoder.encode_document([" ".join(words)])[0])
    expected = weights(words, k, b, average_length)
    assert vector.keys() == expected.keys()
    for index, weight in expected.items():
        assert vector[index] == pytest.approx(weight, rel=1e-5)


@given(st.lists(WORDS, min_size=1, max_size=30))
def test_query_vector_has_weight_one_for_every_different_token(words):
    vector = Bm25Encoder("none", tokenizer="word").encode_query([" ".join(words)])[0]
    assert as_dict(vector) == {token_id(word): 1.0 for word in words}


def test_english_is_lowercased_stemmed_and_freed_of_stop_words():
    text = "The quick brown foxes jumped over the RUNNING dogs, and the dog barked."
    tokens = ["quick", "brown", "fox", "jump", "run", "dog", "dog", "bark"]
    encoder = Bm25Encoder(average_length=6)
    assert as_dict(encoder.encode_document([text])[0]) == pytest.approx(
        weights(tokens, 1.2, 0.75, 6), rel=1e-5
    )
    assert as_dict(encoder.encode_query([text])[0]) == {token_id(token): 1.0 for token in tokens}
    assert encoder.token_counts([text]) == [len(tokens)]


@pytest.mark.parametrize(
    ("language", "words", "stems"),
    [
        ("german", "die Häuser und das Haus", {"haus"}),
        ("french", "les nations et la nation", {"nation"}),
        ("spanish", "las casas y la casa", {"cas"}),
    ],
)
def test_other_languages_have_their_own_stems_and_stop_words(language, words, stems):
    vector = Bm25Encoder(language).encode_query([words])[0]
    assert set(vector.indices) == {token_id(stem) for stem in stems}


def test_no_language_means_no_stemming_and_no_stop_words():
    vector = Bm25Encoder("none").encode_query(["the 42 running dogs"])[0]
    assert set(vector.indices) == {token_id(word) for word in ("the", "42", "running", "dogs")}


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [("japanese", "日本語のテキストを検索する", "テキスト"), ("chinese", "全文检索系统的介绍", "检索")],
)
def test_words_are_found_in_languages_that_write_no_spaces(language, text, query):
    encoder = Bm25Encoder(language)
    assert encoder.tokenizer == "multilingual"
    whole, part = encoder.encode_query([text, query])
    assert len(whole.indices) > 2
    assert part.indices
    assert set(part.indices) < set(whole.indices)


def test_ascii_folding_finds_words_without_their_accents():
    folded = Bm25Encoder("none", ascii_folding=True).encode_query(["café", "cafe"])
    assert folded[0] == folded[1]
    plain = Bm25Encoder("none").encode_query(["café", "cafe"])
    assert plain[0] != plain[1]


@given(st.lists(st.lists(WORDS, max_size=40), min_size=1, max_size=8).filter(any))
def test_learned_length_is_the_mean_number_of_tokens_of_texts_that_have_any(documents):
    encoder = Bm25Encoder("none", tokenizer="word")
    texts = [" ".join(words) for words in documents]
    assert encoder.token_counts(texts) == [len(words) for words in documents]
    lengths = [len(words) for words in documents if words]
    learned = encoder.learn(texts)
    assert learned.average_length == pytest.approx(sum(lengths) / len(lengths))
    assert encoder.average_length is None


def test_token_count_is_exact_for_a_word_repeated_a_million_times():
    assert Bm25Encoder().token_counts(["dog " * 1_000_000]) == [1_000_000]


def test_documents_without_an_average_length_say_what_to_do():
    with pytest.raises(ConfigurationError, match=r"use encoder\.learn\(texts\), or give average_length"):
        Bm25Encoder().encode_document(["dog"])
    assert Bm25Encoder().encode_query(["dog"])[0].indices


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ConfigurationError, match="no text has a token"):
        Bm25Encoder().learn(["the", "", "   "])


@pytest.mark.parametrize("text", ["", "  \n", "the of and", "?!—", "\x00"])
def test_text_without_tokens_has_the_empty_vector(text):
    encoder = Bm25Encoder(average_length=10)
    for vector in (*encoder.encode_query([text]), *encoder.encode_document([text])):
        assert (vector.indices, vector.values) == ([], [])


def test_vectors_pass_the_client_models_own_checks():
    from qdrant_client import models

    vector = Bm25Encoder(average_length=10).encode_document(["a dog and a cat"])[0]
    assert models.SparseVector.model_validate(vector.model_dump()) == vector
    assert len(set(vector.indices)) == len(vector.indices)


def test_surrogates_nuls_and_ten_megabytes_are_encoded():
    encoder = Bm25Encoder(average_length=10)
    vector, long = encoder.encode_document(["dog\ud800 cat\x00bird", "dog barks " * 1_000_000])
    assert set(vector.indices) == {token_id(word) for word in ("dog", "cat", "bird")}
    assert set(long.indices) == {token_id(word) for word in ("dog", "bark")}


def test_no_texts_give_no_vectors_and_wrong_types_are_refused():
    encoder = Bm25Encoder(average_length=10)
    assert encoder.encode_document([]) == []
    assert encoder.encode_query([]) == []
    with pytest.raises(InputError, match=r"texts\[0\] must be a str"):
        encoder.encode_query([None])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "klingon"}, "language must be one of arabic, .*turkish, none; got 'klingon'"),
        ({"language": None}, "got None"),
        ({"k": -0.1}, "k must be a finite number of at least 0; got -0.1"),
        ({"k": math.inf}, "k must be"),
        ({"b": 1.5}, "b must lie between 0 and 1; got 1.5"),
        ({"b": math.nan}, "b must lie"),
        ({"average_length": 0}, "average_length must be a finite number of tokens above 0, or None; got 0"),
        ({"average_length": math.nan}, "average_length must be"),
        ({"tokenizer": "letters"}, "tokenizer must be one of word, multilingual, whitespace, or None"),
    ],
)
def test_setting_that_cannot_work_is_refused_when_made(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Bm25Encoder(**settings)


def test_language_is_found_whatever_its_case():
    assert Bm25Encoder("English") == Bm25Encoder("english")


@pytest.mark.parametrize("language", Bm25Encoder.languages())
def test_every_listed_language_works(language):
    assert Bm25Encoder(language, average_length=3).encode_document(["Python 2026"])[0].indices


def test_fresh_encoder_adopts_the_average_length_of_the_collection():
    stored = Bm25Encoder(average_length=42.5).record()
    adopted = Bm25Encoder().adopt(stored)
    assert adopted.average_length == 42.5
    assert adopted.record() == stored


def test_fresh_encoder_adopts_a_collection_that_has_not_learned_yet():
    assert Bm25Encoder().adopt(Bm25Encoder().record()).average_length is None


@pytest.mark.parametrize("other", [{"language": "german"}, {"k": 1.5}, {"average_length": 41.0}])
def test_other_settings_than_the_collections_are_an_error_that_says_both(other):
    stored = Bm25Encoder(average_length=42.5).record()
    name = next(iter(other))
    with pytest.raises(EncoderMismatch, match=f"they differ in .*{name}") as caught:
        Bm25Encoder(**other).adopt(stored)
    assert str(other[name]) in str(caught.value)
    assert str(stored[name]) in str(caught.value)


def test_copies_and_pickles_encode_alike():
    encoder = Bm25Encoder(average_length=5)
    expected = encoder.encode_document(["a dog barks"])
    for twin in (copy.deepcopy(encoder), copy.copy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert twin == encoder
        assert twin.encode_document(["a dog barks"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rotate the signing-keys, Bob's key!", {"Rotate", "signing", "keys", "Bob's"}),
        ("foo_bar (3.14)", {"foo", "bar", "3", "14"}),
        ("", set()),
    ],
)
def test_a_querys_hashes_are_named_by_its_words_as_they_are_written(text, expected):
    encoder = Bm25Encoder()
    (vector,) = encoder.encode_query([text])
    terms = encoder.terms([text], vector.indices)
    assert set(terms.values()) == expected
    assert set(terms) == set(vector.indices)


def test_only_the_hashes_asked_for_are_named_and_unknown_ones_left_out():
    encoder = Bm25Encoder()
    (key,) = encoder.encode_query(["key"])[0].indices
    assert encoder.terms(["a key", "the door"], [key, 7]) == {key: "key"}


def test_words_of_a_script_without_blanks_are_found():
    encoder = Bm25Encoder("chinese")
    (vector,) = encoder.encode_query(["我爱北京天安门 hello"])
    terms = encoder.terms(["我爱北京天安门 hello"], vector.indices)
    assert terms.keys() == set(vector.indices)
    assert {"北京", "天安", "hello"} <= set(terms.values())

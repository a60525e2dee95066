"""What every encoder promises, and the effect that asks one for vectors."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.encode import Encode, Encoder
from hydrant.encode.texts import checked_texts
from hydrant.errors import ConfigurationError, EncoderMismatch, InputError
from hydrant.flow import arun, run


class Lengths(Encoder):
    """Vectors of a text's length: (length, role)."""

    def __init__(self, scale: int = 1):
        self.scale = scale

    @property
    def batch_size(self):
        return 3

    def encode_query(self, texts):
        return [[float(len(text) * self.scale), 0.0] for text in checked_texts(texts)]

    def encode_document(self, texts):
        return np.array([[len(text) * self.scale, 1.0] for text in checked_texts(texts)], dtype=np.float32)

    def record(self):
        return {"encoder": "lengths", "scale": self.scale}


class Keywords(Lengths):
    kind = "sparse"


def asking(effect):
    return (yield effect)


def test_effect_reaches_the_method_of_its_role_in_both_drivers():
    encoder = Lengths()
    assert run(asking(Encode(encoder, ["four"]))) == [[4.0, 0.0]]
    assert run(asking(Encode(encoder, ["four"], "document"))).tolist() == [[4.0, 1.0]]
    assert asyncio.run(arun(asking(Encode(encoder, ["four"])))) == [[4.0, 0.0]]


def test_effect_is_named_after_the_kind_of_encoder():
    assert Encode(Lengths(), ["x"]).name == "encode dense"
    assert Encode(Keywords(), ["x"]).name == "encode sparse"


def test_unknown_role_is_refused():
    with pytest.raises(ConfigurationError, match="role must be 'query' or 'document'; got 'passage'"):
        Encode(Lengths(), ["x"], "passage")


def test_encoders_are_equal_by_their_records():
    assert Lengths(2) == Lengths(2)
    assert hash(Lengths(2)) == hash(Lengths(2))
    assert Lengths(2) != Lengths(3)
    assert Lengths(2) != "lengths"


def test_repr_shows_the_record():
    assert repr(Lengths(2)) == 'Lengths({"encoder": "lengths", "scale": 2})'


def test_adopting_another_record_says_both_and_what_differs():
    assert Lengths(2).adopt({"encoder": "lengths", "scale": 2}) == Lengths(2)
    with pytest.raises(EncoderMismatch) as caught:
        Lengths(2).adopt({"encoder": "lengths", "scale": 7})
    message = str(caught.value)
    assert '"scale": 7' in message
    assert '"scale": 2' in message
    assert "they differ in scale." in message


def test_dimensions_are_measured_where_nobody_says_them():
    assert Lengths().dimensions == 2


def test_sparse_encoder_has_no_dimensions():
    with pytest.raises(ConfigurationError, match="Keywords makes sparse ones"):
        _ = Keywords().dimensions


def test_encoder_is_a_context_that_warms_up_and_closes():
    class Noted(Lengths):
        def __init__(self):
            super().__init__()
            self.notes = []

        def warm_up(self):
            self.notes.append("warm")

        def close(self):
            self.notes.append("closed")

    with Noted() as encoder:
        assert encoder.notes == ["warm"]
    assert encoder.notes == ["warm", "closed"]


@pytest.mark.parametrize("single", ["hello", b"hello"])
def test_single_text_in_place_of_a_list_is_refused(single):
    with pytest.raises(InputError, match=r"got the single text b?'hello', put it in a list"):
        Lengths().encode_query(single)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["nested"]])
def test_text_of_another_type_is_refused_with_its_index(wrong):
    with pytest.raises(InputError, match=rf"texts\[1\] must be a str; got {type(wrong).__name__}"):
        checked_texts(["fine", wrong])


def test_message_about_a_huge_value_stays_short():
    with pytest.raises(InputError) as caught:
        checked_texts([["x" * 10_000]])
    assert len(str(caught.value)) < 200


def test_lone_surrogate_is_replaced_and_a_pair_is_joined():
    assert checked_texts(["a\ud800b", "\ud83d\ude00", "é\x00"]) == ["a�b", "😀", "é\x00"]


@given(st.lists(st.text(st.characters(codec=None), max_size=8), max_size=5))
def test_checked_texts_can_always_be_written_and_change_nothing_else(texts):
    checked = checked_texts(texts)
    assert len(checked) == len(texts)
    for before, after in zip(texts, checked, strict=True):
        after.encode("utf-8")
        if not any("\ud800" <= character <= "\udfff" for character in before):
            assert after == before


def test_importing_encoders_imports_no_model_library():
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'huggingface_hub', 'tokenizers'}"
    script = f"import hydrant.encode, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

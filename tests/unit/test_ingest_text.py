"""`clean`: whatever text comes in, what goes out can be encoded, tokenized and stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.ingest.text import clean

anything = st.text(st.characters(categories=None, exclude_categories=())) | st.text(
    st.sampled_from("a \r\n\0\ufeff\ud83d\ude00\ud800\udc00é")
)


@given(anything)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once, _ = clean(text)
    assert clean(once) == (once, ())


@given(anything)
def test_clean_text_can_be_encoded_and_has_one_kind_of_line_end(text: str) -> None:
    cleaned, _ = clean(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert not set("\0\r") & set(cleaned)
    assert not cleaned.startswith("\ufeff")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")))
def test_text_with_nothing_wrong_is_left_alone(text: str) -> None:
    assert clean(text) == (text, ())


@pytest.mark.parametrize(
    ("raw", "cleaned", "notes"),
    [
        ("one\r\ntwo\rthree", "one\ntwo\nthree", ()),
        ("\ufeffone", "one", ()),
        ("o\0n\0e", "one", ("2 NUL characters removed",)),
        ("on\ud800e", "on\ufffde", ("1 lone surrogate replaced by U+FFFD",)),
        ("\ud83d\ude00", "😀", ()),
        ("\ufffd stood there", "\ufffd stood there", ()),
    ],
)
def test_what_was_lost_is_said(raw: str, cleaned: str, notes: tuple[str, ...]) -> None:
    assert clean(raw) == (cleaned, notes)

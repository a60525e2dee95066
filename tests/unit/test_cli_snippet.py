"""Snippets: the part of a passage that is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Bm25Encoder
from hydrant.cli.snippet import matcher, snippet

TEXTS = st.text(st.sampled_from("abcdefg hij.?!\n=*\x1b\u202e☃") | st.characters(), max_size=400)


def shown(text, question="valve pipe", length=60):
    return snippet(text, matcher(question, Bm25Encoder()), length)


def marked(text):
    return [text.plain[span.start : span.end] for span in text.spans]


def test_a_short_text_is_shown_whole():
    assert shown("Valves close pipes.").plain == "Valves close pipes."


def test_words_are_marked_as_bm25_sees_them():
    assert marked(shown("The valves of a pipe, and of piping, in the valley.")) == [
        "valves",
        "pipe",
        "piping",
    ]


def test_stop_words_are_not_marked():
    assert marked(shown("the the the", question="the valve")) == []


def test_the_part_with_most_words_of_the_question_is_shown():
    text = "Something else entirely. " * 10 + "The valve closes the pipe. " + "More of that. " * 10
    assert "The valve closes the pipe." in shown(text).plain
    assert shown(text).plain.startswith("… ")
    assert shown(text).plain.endswith(" …")


def test_a_sentence_is_rather_begun_at_its_beginning():
    text = (
        "Nothing here at all, really nothing but words that fill the room. In the end a valve is a thing that closes. "
        + "And so on. " * 20
    )
    assert shown(text, question="valve").plain.startswith("… In the end a valve")


def test_underlines_of_headings_are_left_out():
    assert shown("Valves\n======\n\n---\nThey close.").plain == "Valves They close."


@pytest.mark.parametrize("control", ["\x1b", "\x07", "\x9b", "\u202e", "\r"])
def test_control_characters_do_not_reach_the_terminal(control):
    assert control not in shown(f"a valve{control}[31m").plain


@given(TEXTS, st.text(min_size=1, max_size=30), st.integers(10, 120))
def test_a_snippet_is_of_the_text_short_enough_and_marks_only_itself(text, question, length):
    result = shown(text, question, length)
    assert len(result.plain) <= length + 4
    assert "\x1b" not in result.plain
    core = result.plain.removeprefix("… ").removesuffix(" …").strip()
    assert all(word in text for word in core.split())
    assert all(0 <= span.start < span.end <= len(result.plain) for span in result.spans)

"""What a language model writes when it is asked for a question, and whether that is one.

Small models answer much that is no question: the text itself, a sentence about it, an answer. A round trip finds the passage
again by such words too, so they are told apart here, by rules that anybody can check.
"""

from __future__ import annotations

import re

# How much of a passage the model sees, in characters.
LONGEST_PASSAGE = 4000
_NONE = "NONE"
_PROMPT = (
    "Text:\n{text}\n\nWrite one question that somebody who has not seen this text could ask and that the text answers. Use the "
    "language of the text and words of your own, and make the question clear without the text. Write nothing but the question; "
    "where the text answers no question, write {none}."
)
_LABEL = re.compile(r"^(?:[^:?]{0,40}\b)?question\b[^:?]{0,30}:\s*", re.IGNORECASE)
# What models put around a line: quotes, Markdown, bullets.
_AROUND = "\"'“”«»‘’`*_#> \t"
_NOTHING = re.compile(rf"{_NONE}\b(?!\s+\w)")
# How questions end: by a mark of theirs, in Greek by a semicolon, in Japanese and Chinese also by a word.
_ENDS = re.compile(r"(?:[?？؟՞፧⸮]|[か吗][。.]?|[\u0370-\u03ff\u1f00-\u1fff][^;\u037e]*[;\u037e])$")
# Thai, Lao, Tibetan, Burmese and Khmer do without.
_UNMARKED = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
_ABOUT_THE_TEXT = re.compile(
    r"\b(?:the|this)(?: (?:above|given|following|provided))? (?:text|passage|excerpt|paragraph|snippet)\b"
)


def prompt_for(passage: str) -> str:
    """What a model is asked for a passage."""
    return _PROMPT.format(text=passage[:LONGEST_PASSAGE], none=_NONE)


def question_in(answer: str) -> str:
    """The first line of an answer that is a question, else its first line; without labels, quotes and marks of Markdown."""
    found = [line for line in map(_bare, answer.splitlines()) if line]
    return next((line for line in found if _asks(line)), found[0] if found else "")


def fault_of(question: str, passage: str) -> str | None:
    """Why a text will not do as a question about a passage; None where it may."""
    if not question or question.strip(" .").upper() == _NONE or _NOTHING.match(question):
        return "the model found nothing to ask"
    asked, text = _plain(question), _plain(passage)
    if asked.rstrip("?？؟ ") in text:
        return "the model copied from the passage"
    if not _asks(question):
        return "the model wrote no question"
    about = _ABOUT_THE_TEXT.search(asked)
    # A manual of a word processor may well ask about the text.
    if about is not None and about.group() not in text:
        return "the question is about the text itself, which whoever asks has not seen"
    return None


def _asks(text: str) -> bool:
    return _ENDS.search(text) is not None or _UNMARKED.search(text) is not None


def _bare(line: str) -> str:
    return _LABEL.sub("", line.strip(_AROUND)).strip(_AROUND)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())

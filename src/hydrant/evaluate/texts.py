"""Texts of questions, names and errors as reports show them, whoever wrote them."""

from __future__ import annotations

import html
import re

# Control characters, and those that turn the direction of writing around.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """A text on one line without control characters: none steers a terminal or ends a table's row."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def escape(text: str) -> str:
    """A text as HTML and SVG show it."""
    return html.escape(clean(text))

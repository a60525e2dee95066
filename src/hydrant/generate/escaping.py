"""Texts of others put into prompts: they can end neither their line nor their turn."""

from __future__ import annotations

import re

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# What a chat template is made of. Tokenizers read these as borders between turns wherever they stand.
_BORDERS = re.compile(
    r"<[|｜][^<>]{0,80}[|｜]>"
    r"|</?(?:s|bos|eos|pad|unk|system|user|assistant|think|thinking|start_of_turn|end_of_turn|question|history|query"
    r"|<SYS>|tool_call|tool_response)\s*/?>>?"
    r"|\[/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]",
    re.IGNORECASE,
)


def one_line(text: str, longest: int | None = None) -> str:
    """A text that can end neither its line nor its turn, nor the tags that it stands in.

    What belongs to a chat template has a space put into it, which tokenizers do not read as a border.

    Args:
        text: The text.
        longest: How many characters of it are used; None for all.
    """
    line = _BLANK.sub(" ", text).strip()[:longest]
    return _BORDERS.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", line)

"""The demo's corpus: the Python language reference that CPython carries for `help()`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hydrant.errors import MissingDependency

if TYPE_CHECKING:
    from hydrant.types import Passage

SOURCE = "pydoc_data.topics"
_UNDERLINE = re.compile(r"^[^\w\n]+$", re.MULTILINE)
# Footnotes are numbered by page, so the same text has other numbers elsewhere.
_FOOTNOTE = re.compile(r"\[\d+\]")


def reference_topics() -> Mapping[str, str]:
    """The texts by topic, as this Python has them.

    Raises:
        MissingDependency: This Python comes without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        msg = (
            f"the demo reads Python's own reference from {SOURCE}, which this Python does not have ({error}); install "
            "the whole standard library (on Debian and Ubuntu: apt install python3), or index a folder of your own "
            "with 'hydrant index FOLDER'"
        )
        raise MissingDependency(msg) from error
    if not isinstance(topics, Mapping) or not topics:
        msg = f"{SOURCE}.topics of this Python is a {type(topics).__name__} that the demo cannot read; try another Python"
        raise MissingDependency(msg)
    return topics


def reference_passages(topics: Mapping[str, str]) -> list[Passage]:
    """The topics cut into passages, each text once.

    Many topics are sections of others ("try" is one of "compound"): what a longer topic holds already is left out, or
    every answer would come twice.
    """
    return list(_passages(topics))


def _passages(topics: Mapping[str, str]) -> Iterator[Passage]:
    from hydrant.ingest.chunk import Chunker
    from hydrant.ingest.read import document_from_text

    chunker = Chunker()
    seen = ""
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        document = document_from_text(topics[name], format="rst", source=f"{SOURCE}#{name}")
        for passage in chunker.chunks(document):
            if _plain(passage.text) not in seen:
                yield passage
        seen += f"{_plain(topics[name])}\n"


def _plain(text: str) -> str:
    return " ".join(_FOOTNOTE.sub("", _UNDERLINE.sub("", text)).split())

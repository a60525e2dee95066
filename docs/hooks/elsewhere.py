"""Pages of the site that lie elsewhere in the repository, and links that lead out of `docs/`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# The site's page for a file of the repository. A link to one leads to the other.
PAGES = {
    "benchmarks/README.md": "project/measurements.md",
    "integrations/README.md": "integrations/index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "README.md": "index.md",
} | {
    f"integrations/{readme.parent.name}/README.md": f"integrations/{readme.parent.name}.md"
    for readme in sorted(ROOT.glob("integrations/*/README.md"))
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages that the navigation does not name: a new page is never out of reach."""
    sections: list[dict[str, Any]] = config.nav or []
    named = set(_pages(sections))
    found = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).glob("*.md")}
    unnamed = {
        "In depth": sorted(found - named),
        "Integrations": [
            page for page in PAGES.values() if page.startswith("integrations/") and page not in named
        ],
    }
    for section in sections:
        for title, pages in unnamed.items():
            if title in section:
                section[title].extend(pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        if files.get_file_from_path(page) is None:
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site.

    A link to a file that is no page, such as a module, becomes its text: the site may be read where the repository is not.
    """
    origins = {site: source for source, site in PAGES.items() if site != "index.md"}
    here = page.file.src_uri
    origin = ROOT / origins.get(here, f"docs/{here}")

    def linked(found: re.Match[str]) -> str:
        target, anchor = found["target"], found["anchor"] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = Path(os.path.normpath(origin.parent / target))
        if not path.is_relative_to(ROOT):
            return found[0]
        source = path.relative_to(ROOT).as_posix()
        site = PAGES.get(source, source.removeprefix("docs/") if source.startswith("docs/") else None)
        if site is None:
            return found["text"] if path.exists() else found[0]
        return f"[{found['text']}]({os.path.relpath(site, Path(here).parent)}{anchor})"

    return _outside_code(markdown, linked)


def _outside_code(markdown: str, linked: Any) -> str:
    """Links replaced, but those in blocks of code."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(linked, part) for part in parts)


def _pages(entry: Any) -> list[str]:
    """The pages that a part of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    inside = entry.values() if isinstance(entry, dict) else entry
    return [page for each in inside for page in _pages(each)]

"""The site of documents: it builds without a warning, is complete, and needs no network."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hydrant
import hydrant.errors
import hydrant.testing

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a broken link, a page outside the navigation or a bad docstring ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {page.relative_to(site).as_posix(): page.read_text("utf-8") for page in site.rglob("*.html")}


def test_the_reference_has_every_name_that_is_exported(pages):
    described = {
        name
        for path, text in pages.items()
        if path.startswith("reference/")
        for name in re.findall(r'id="(hydrant\.[\w.]+)"', text)
    }
    exported = {f"hydrant.{name}" for name in hydrant.__all__ if name != "__version__"}
    stand_ins = {f"hydrant.testing.{name}" for name in hydrant.testing.__all__}
    errors = {f"hydrant.errors.{name}" for name in vars(hydrant.errors) if not name.startswith("_")}
    assert (exported | stand_ins | errors) - described - {"hydrant.errors.annotations"} == set()
    assert {"hydrant.Collection.create", "hydrant.Collection.get", "hydrant.Stage.arun"} <= described


def test_the_reference_describes_every_command(pages):
    from hydrant.cli.main import app

    page = pages["reference/command-line.html"]
    assert [each.name for each in app.registered_commands if f"hydrant {each.name}" not in page] == []
    assert "--explain" in page


def test_every_page_can_be_reached_from_the_navigation(pages):
    linked = set(re.findall(r'href="([\w./-]+\.html)"', pages["index.html"]))
    assert set(pages) - linked == {"404.html"}
    assert {"vectors.html", "how-to/errors.html", "project/measurements.html"} <= linked


def test_no_page_asks_for_anything_from_elsewhere(site, pages):
    asked = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=)["']?(?:https?:)?//[^\s"'>]+""")
    assert {path: found for path, text in pages.items() if (found := asked.findall(text))} == {}
    styles = "".join(style.read_text("utf-8") for style in site.rglob("*.css"))
    assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^\s"')]+""", styles) == []


def test_links_between_files_of_the_repository_became_links_between_pages(pages):
    markdown = re.compile(r'href="([^":]+\.md)[#"]')
    assert {path: found for path, text in pages.items() if (found := markdown.findall(text))} == {}
    assert 'href="project/measurements.html#quality"' in pages["vectors.html"]


def test_the_search_index_can_be_read_from_the_disk(site, pages):
    script = (site / "search" / "search_index.js").read_text("utf-8")
    entries = json.loads(script.removeprefix("var __index = "))["docs"]
    assert any("hydrant.Collection.delete" in entry["location"] for entry in entries)
    assert 'src="javascripts/iframe-worker.js"' in pages["index.html"]


@pytest.mark.parametrize(
    ("page", "written", "linked"),
    [
        ("vectors.md", "[a](../benchmarks/README.md#quality)", "[a](project/measurements.md#quality)"),
        ("how-to/x.md", "[a](../../CHANGELOG.md)", "[a](../project/changelog.md)"),
        ("project/contributing.md", "[a](docs/architecture.md)", "[a](../architecture.md)"),
        ("project/measurements.md", "[a](../src/hydrant/types.py)", "a"),
        ("edge.md", "[a](vectors.md#compression)", "[a](vectors.md#compression)"),
        ("edge.md", "[a](missing.md)", "[a](missing.md)"),
        ("edge.md", "[a](https://qdrant.tech/x.md)", "[a](https://qdrant.tech/x.md)"),
        ("edge.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
        ("edge.md", "![a](images/query-path.svg)", "![a](images/query-path.svg)"),
    ],
)
def test_a_link_out_of_the_documents_leads_to_the_page_of_that_file(page, written, linked):
    from mkdocs.structure.files import File

    spec = importlib.util.spec_from_file_location("elsewhere", DOCS / "hooks" / "elsewhere.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)

    class Page:
        file = File(page, str(DOCS), "site", use_directory_urls=False)

    assert hook.on_page_markdown(written, Page(), None, None) == linked

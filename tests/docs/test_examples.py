"""Every Python block of the READMEs and documents runs, in order, as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPLADE = ROOT.parent / "shared" / "models" / "splade-tiny"
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("integrations/**/*.md"))
    if "```python" in page.read_text(encoding="utf-8")
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_blocks_of_a_page_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manual = tmp_path / "manual"
    manual.mkdir()
    manual.joinpath("keys.md").write_text("# Keys\n\n## Rotation\n\nRotate the keys with `keyctl rotate`.\n")
    text = page.read_text(encoding="utf-8")
    if "./splade-tiny" in text:
        if not SPLADE.is_dir():
            pytest.skip(f"{SPLADE} is not there")
        tmp_path.joinpath("splade-tiny").symlink_to(SPLADE)
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        for found in BLOCK.finditer(text):
            # Blank lines in front put the page's own line numbers into a traceback.
            source = "\n" * text[: found.start(1)].count("\n") + found.group(1)
            exec(compile(source, str(page), "exec"), names)
    finally:
        client = names.get("client")
        if client is not None:
            client.close()


def test_the_readme_shows_the_answer_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("manual").mkdir()
    source = BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8")).group(1)
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)
    try:
        hit = names["result"].hits[0]
        assert hit.id == "faq-7"
        assert set(hit.stages) == {"dense", "sparse", "fusion"}
        assert capsys.readouterr().out.startswith(f"{hit.score} Keys are rotated")
    finally:
        names["client"].close()


def test_every_link_between_pages_leads_somewhere():
    pages = [page for page in ROOT.rglob("*.md") if not _hidden(page)]
    missing = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not missing


def _hidden(page: Path) -> bool:
    return any(part.startswith(".") for part in page.relative_to(ROOT).parts)

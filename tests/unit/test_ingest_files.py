"""`find_files`: the right files, in a stable order, each once, and nothing raised."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest

from hydrant.ingest.files import find_files


class Found:
    """What one search gave, paths relative to the folder."""

    def __init__(self, root: Path, *paths: Path | str) -> None:
        self.problems: dict[str, str] = {}
        self.skipped: list[str] = []
        found = find_files(
            paths or [root],
            on_problem=lambda path, reason: self.problems.update({self._short(root, path): reason}),
            on_skip=lambda path: self.skipped.append(self._short(root, path)),
        )
        self.files = [self._short(root, path) for path in found]

    @staticmethod
    def _short(root: Path, path: Path) -> str:
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def grow(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def test_folders_are_searched_to_the_bottom_in_alphabetical_order(tmp_path: Path) -> None:
    grow(tmp_path, "b.md", "a/z.txt", "a/b/c.rst", "c.PY", "README")
    found = Found(tmp_path)
    assert found.files == ["README", "a/b/c.rst", "a/z.txt", "b.md", "c.PY"]
    assert found.problems == {}


def test_hidden_and_machine_made_folders_are_passed_over(tmp_path: Path) -> None:
    grow(tmp_path, ".git/a.txt", ".venv/b.py", "node_modules/c.js", "__pycache__/d.py", ".hidden.md", "e.md")
    assert Found(tmp_path).files == ["e.md"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    grow(tmp_path, ".notes/a.md")
    assert Found(tmp_path, tmp_path / ".notes").files == [".notes/a.md"]


def test_unknown_suffixes_are_counted_inside_folders_and_reported_when_named(tmp_path: Path) -> None:
    grow(tmp_path, "photo.jpeg", "a.txt")
    inside = Found(tmp_path)
    assert (inside.files, inside.skipped, inside.problems) == (["a.txt"], ["photo.jpeg"], {})
    named = Found(tmp_path, tmp_path / "photo.jpeg")
    assert named.files == []
    assert ".jpeg" in named.problems["photo.jpeg"]


def test_gitignore_files_are_honoured_the_inner_over_the_outer(tmp_path: Path) -> None:
    grow(tmp_path, "a.log", "build/x.md", "sub/b.log", "sub/keep.log", "sub/build.md", "sub/c.md")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n/sub/c.md\n")
    (tmp_path / "sub" / ".gitignore").write_text("!keep.log\n")
    assert Found(tmp_path).files == ["sub/build.md", "sub/keep.log"]


def test_gitignore_above_the_folder_counts_within_its_repository(tmp_path: Path) -> None:
    grow(tmp_path, "repo/docs/a.md", "repo/docs/b.log", "repo/out/c.md")
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / "repo" / ".gitignore").write_text("*.log\nout/\n")
    (tmp_path / ".gitignore").write_text("*.md\n")
    assert Found(tmp_path, tmp_path / "repo" / "docs").files == ["repo/docs/a.md"]
    # Naming what is ignored says that it is wanted.
    assert Found(tmp_path, tmp_path / "repo" / "out").files == ["repo/out/c.md"]


@pytest.mark.parametrize("rules", [b"[z-a]\n", b"!\n", b"\xff\xfe\0[[[\n"])
def test_a_gitignore_that_makes_no_sense_does_no_harm(tmp_path: Path, rules: bytes) -> None:
    grow(tmp_path, "a.md")
    (tmp_path / ".gitignore").write_bytes(rules)
    assert Found(tmp_path).files == ["a.md"]


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    grow(tmp_path, "docs/a.md", "elsewhere/b.md")
    (tmp_path / "docs" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "docs" / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "docs" / "self").symlink_to(tmp_path / "docs" / "self")
    found = Found(tmp_path, tmp_path / "docs")
    assert sorted(Path(name).name for name in found.files) == ["a.md", "b.md"]


def test_a_file_reached_twice_is_read_once(tmp_path: Path) -> None:
    grow(tmp_path, "a.md", "sub/b.md")
    (tmp_path / "sub" / "again.md").symlink_to(tmp_path / "a.md")
    found = Found(tmp_path, tmp_path / "a.md", tmp_path, tmp_path / "sub", tmp_path / "sub" / ".." / "a.md")
    assert found.files == ["a.md", "sub/b.md"]


def test_what_is_missing_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    grow(tmp_path, "a.md")
    (tmp_path / "dead.md").symlink_to(tmp_path / "gone.md")
    found = Found(tmp_path, tmp_path / "nowhere", tmp_path / "a.md" / "below", tmp_path, "nul\0name")
    assert found.files == ["a.md"]
    assert found.problems["nowhere"] == "does not exist"
    assert found.problems["a.md/below"] == "does not exist"
    assert "link" in found.problems["dead.md"]
    assert "null" in found.problems["nul\0name"]


def test_a_named_pipe_is_reported_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "named pipe" in Found(tmp_path).problems["pipe.txt"]
    assert "named pipe" in Found(tmp_path, tmp_path / "pipe.txt").problems["pipe.txt"]


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "closed/a.md", "open/b.md")
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        # Permissions do not stop the superuser, as whom tests may run.
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    found = Found(tmp_path)
    assert found.files == ["open/b.md"]
    assert found.problems == {"closed": "cannot be listed: Permission denied"}


def test_a_tree_deeper_than_the_stack_is_searched(tmp_path: Path) -> None:
    grow(tmp_path, "/".join(["d"] * 200) + "/bottom.md", "z.md")
    limit = sys.getrecursionlimit()
    # A low limit in place of a deep tree, which pytest could not delete.
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = list(find_files([tmp_path], on_problem=pytest.fail))
    finally:
        sys.setrecursionlimit(limit)
    assert [path.name for path in found] == ["bottom.md", "z.md"]


def test_one_path_in_place_of_a_list_is_taken_as_one(tmp_path: Path) -> None:
    grow(tmp_path, "a.md")
    assert list(find_files(str(tmp_path), on_problem=pytest.fail)) == [tmp_path / "a.md"]


def test_paths_below_a_relative_path_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "docs/a.md")
    monkeypatch.chdir(tmp_path)
    assert list(find_files(["docs"], on_problem=pytest.fail)) == [Path("docs/a.md")]

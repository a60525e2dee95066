"""Which files under the given paths are to be read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pathspec import GitIgnoreSpec

from hydrant.ingest.formats import format_of

OnProblem: TypeAlias = Callable[[Path, str], None]
OnSkip: TypeAlias = Callable[[Path], None]

# Folders that hold machinery or copies of other people's work; hidden ones are skipped as such.
_SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "venv", "site-packages", "__pypackages__", "CVS"}
)


def find_files(
    paths: Iterable[str | Path], *, on_problem: OnProblem, on_skip: OnSkip | None = None
) -> Iterator[Path]:
    """The files to read, folders searched to the bottom, names in alphabetical order, each file once.

    Hidden files and folders, version control, virtual environments and package folders are passed over, and
    so is what a `.gitignore` rules out: those in the tree, and those above it up to the root of its
    repository. A path named in `paths` is always taken, whatever its name. Symbolic links are followed, never
    in circles.

    Args:
        paths: Files and folders, relative ones to the working directory.
        on_problem: Called with a path and the reason for each that is missing or cannot be listed, and for
            each named file of a kind that Hydrant cannot read.
        on_skip: Called with each file inside a folder that is passed over because its kind is unknown.

    Yields:
        Paths as they follow from what was given: below a relative path they are relative.
    """
    named = [paths] if isinstance(paths, str | Path) else paths
    walk = _Walk(on_problem, on_skip)
    for path in named:
        yield from walk.start(Path(path))


@dataclass(frozen=True, slots=True)
class _Ignores:
    """The `.gitignore` files that apply in a folder, the innermost last."""

    specs: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    def within(self, folder: Path) -> _Ignores:
        """These, and the folder's own."""
        try:
            # pathspec wants text; git takes any bytes, so odd ones are carried along.
            lines = (folder / ".gitignore").read_text("utf-8", "surrogateescape").splitlines()
            return _Ignores((*self.specs, (folder, GitIgnoreSpec.from_lines(lines))))
        except (OSError, ValueError, re.error):
            # There is none, or it cannot be read or understood: then nothing is ignored because of it.
            return self

    def reject(self, path: Path, *, is_folder: bool) -> bool:
        """Whether the innermost rule that speaks of `path` rules it out."""
        for base, spec in reversed(self.specs):
            relative = path.relative_to(base).as_posix() + ("/" if is_folder else "")
            verdict = spec.check_file(relative).include
            if verdict is not None:
                return verdict
        return False


@dataclass(slots=True)
class _Walk:
    """One search through folders; remembers where it was."""

    on_problem: OnProblem
    on_skip: OnSkip | None
    files_seen: set[Path] = field(default_factory=set)
    folders_seen: set[tuple[int, int]] = field(default_factory=set)

    def start(self, path: Path) -> Iterator[Path]:
        """The files of one path that the caller named."""
        status = self._status(path)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._folder(path, status)
        elif not stat.S_ISREG(status.st_mode):
            self.on_problem(path, f"is {kind_of(status)}, not a file")
        elif format_of(path) is None:
            self.on_problem(path, f"has a suffix that Hydrant cannot read ({path.suffix or 'none'})")
        elif self._first_time(path):
            yield path

    def _folder(self, root: Path, status: os.stat_result) -> Iterator[Path]:
        """Every file below `root`; a stack of listings, because trees may be deeper than Python's own."""
        if not self._enter(status):
            return
        absolute = Path(os.path.abspath(root))  # noqa: PTH100  Path.resolve would follow links
        stack = [self._listing(root, absolute, _ignores_above(absolute))]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif entry.is_folder:
                stack.append(self._listing(entry.path, entry.absolute, entry.ignores))
            elif self._first_time(entry.path):
                yield entry.path

    def _listing(self, folder: Path, absolute: Path, ignores: _Ignores) -> Iterator[_Entry]:
        """What is wanted of one folder, in order."""
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208  the names alone are wanted
        except OSError as error:
            self.on_problem(folder, f"cannot be listed: {error.strerror}")
            return
        inner = ignores.within(absolute)
        for name in names:
            if not name.startswith("."):
                entry = self._entry(folder / name, absolute / name, inner)
                if entry is not None:
                    yield entry

    def _entry(self, path: Path, absolute: Path, ignores: _Ignores) -> _Entry | None:
        """One name in a folder, or None where it is passed over."""
        readable = format_of(path) is not None
        status = self._status(path, quiet=not readable)
        if status is None:
            return None
        is_folder = stat.S_ISDIR(status.st_mode)
        if ignores.reject(absolute, is_folder=is_folder):
            return None
        if is_folder:
            wanted = path.name not in _SKIPPED_FOLDERS and self._enter(status)
            return _Entry(path, absolute, ignores, is_folder=True) if wanted else None
        if readable and stat.S_ISREG(status.st_mode):
            return _Entry(path, absolute, ignores, is_folder=False)
        if readable:
            self.on_problem(path, f"is {kind_of(status)}, not a file")
        elif self.on_skip is not None:
            self.on_skip(path)
        return None

    def _status(self, path: Path, *, quiet: bool = False) -> os.stat_result | None:
        try:
            return path.stat()
        except (OSError, ValueError) as error:
            # ValueError: a NUL in the name.
            if not quiet:
                self.on_problem(path, _why_missing(path, error))
            return None

    def _enter(self, status: os.stat_result) -> bool:
        """False for a folder that was entered before, by whatever name."""
        identity = (status.st_dev, status.st_ino)
        if identity in self.folders_seen:
            return False
        self.folders_seen.add(identity)
        return True

    def _first_time(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        if real in self.files_seen:
            return False
        self.files_seen.add(real)
        return True


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    absolute: Path
    ignores: _Ignores
    is_folder: bool


def _ignores_above(folder: Path) -> _Ignores:
    """The `.gitignore` files above `folder` in its repository; none where they rule out the folder itself.

    Somebody who names an ignored folder wants it read.
    """
    above = list(folder.parents)
    depth = next((i for i, parent in enumerate(above) if (parent / ".git").exists()), None)
    if depth is None or (folder / ".git").exists():
        return _Ignores()
    ignores = _Ignores()
    for parent in reversed(above[: depth + 1]):
        ignores = ignores.within(parent)
    lineage = [folder, *above[:depth]]
    return _Ignores() if any(ignores.reject(path, is_folder=True) for path in lineage) else ignores


def kind_of(status: os.stat_result) -> str:
    """What something that is not a file is, in words."""
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return names.get(stat.S_IFMT(status.st_mode), "something special")


def _why_missing(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return "is a link to something that does not exist"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be reached: {reason}"

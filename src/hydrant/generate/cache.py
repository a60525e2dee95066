"""What language models wrote already, kept in memory or on disk."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sqlite3
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any

from hydrant.errors import ConfigurationError, StorageError
from hydrant.flow import Effect
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import GenerationRequest, check_whole

Texts = tuple[str, ...]
# Another process writes for microseconds; who waits longer than this goes on without the cache.
_BUSY_SECONDS = 1.0
_FORMAT = 1
_ANONYMOUS: weakref.WeakKeyDictionary[TextGenerator, str] = weakref.WeakKeyDictionary()
_NUMBERS = itertools.count(1)


class ExpansionCache(ABC):
    """Keeps what language models wrote, by (model, prompt, settings). Safe in many threads.

    Attributes:
        on_disk: Whether asking it may take a while, and answers outlive the process.
    """

    on_disk: bool = False

    @abstractmethod
    def get(self, key: str) -> Texts | None:
        """What is kept under the key, None where there is nothing."""

    @abstractmethod
    def put(self, key: str, texts: Texts) -> None:
        """Keep the texts; those that were not used for the longest time make room."""

    def close(self) -> None:
        """Release what it holds open; the next use opens it again."""


class MemoryCache(ExpansionCache):
    """Keeps the answers used last in memory. A copy or a pickle of it is empty.

    Args:
        size: How many requests' answers are kept.
    """

    def __init__(self, size: int = 1000) -> None:
        check_whole("size", size)
        self._size = size
        self._texts: OrderedDict[str, Texts] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def get(self, key: str) -> Texts | None:
        """What is kept under the key."""
        with self._lock:
            texts = self._texts.get(key)
            if texts is not None:
                self._texts.move_to_end(key)
            return texts

    def put(self, key: str, texts: Texts) -> None:
        """Keep the texts."""
        with self._lock:
            self._texts[key] = texts
            self._texts.move_to_end(key)
            while len(self._texts) > self._size:
                self._texts.popitem(last=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryCache, (self._size,)


class DiskCache(ExpansionCache):
    """Keeps the answers used last in an SQLite file, which several processes may share.

    Args:
        path: The file; it is made at the first use, with the folders above it.
        size: How many requests' answers are kept.
    """

    on_disk = True

    def __init__(self, path: str | Path, size: int = 100_000) -> None:
        check_whole("size", size)
        self._path = Path(path).expanduser()
        self._size = size
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def __len__(self) -> int:
        return int(self._run(lambda db: db.execute("SELECT count(*) FROM expansions").fetchone()[0]))

    def get(self, key: str) -> Texts | None:
        """What is kept under the key.

        Raises:
            StorageError: The file cannot be read.
        """
        return self._run(lambda db: _read(db, key))  # type: ignore[no-any-return]

    def put(self, key: str, texts: Texts) -> None:
        """Keep the texts.

        Raises:
            StorageError: The file cannot be written.
        """
        self._run(lambda db: _write(db, key, texts, self._size))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _run(self, work: Any) -> Any:
        with self._lock:
            try:
                return work(self._open())
            except (sqlite3.Error, OSError, ValueError) as error:
                # The file may have been removed or replaced: the next use looks again.
                if self._connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.close()
                    self._connection = None
                msg = f"the cache {str(self._path)!r} cannot be used: {error}; remove it, make it writable, or choose another file"
                raise StorageError(msg) from error

    def _open(self) -> sqlite3.Connection:
        # A connection must not cross a fork.
        if self._connection is None or self._process != os.getpid():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            # Another process may be at this very step, for which SQLite does not wait.
            with contextlib.suppress(sqlite3.OperationalError):
                db.execute("PRAGMA journal_mode=WAL")
            # A cache that loses its last entry in a power cut has lost nothing.
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS expansions (key TEXT PRIMARY KEY, texts TEXT NOT NULL, used INTEGER NOT NULL)"
                " WITHOUT ROWID"
            )
            db.execute("CREATE INDEX IF NOT EXISTS by_use ON expansions (used)")
            self._connection, self._process = db, os.getpid()
        return self._connection

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskCache, (self._path, self._size)


class CacheGet(Effect["Texts | None"]):
    """Ask a cache on disk."""

    name = "cache"

    def __init__(self, cache: ExpansionCache, key: str) -> None:
        self._cache = cache
        self._key = key

    def call(self, timeout: float | None) -> Texts | None:
        """What is kept."""
        return self._cache.get(self._key)


class CachePut(Effect[None]):
    """Tell a cache on disk."""

    name = "cache"

    def __init__(self, cache: ExpansionCache, key: str, texts: Texts) -> None:
        self._cache = cache
        self._key = key
        self._texts = texts

    def call(self, timeout: float | None) -> None:
        """Keep the texts."""
        self._cache.put(self._key, self._texts)


def as_cache(cache: object) -> ExpansionCache | None:
    """What was given as a cache.

    Raises:
        ConfigurationError: It is none, and no path either.
    """
    if cache is None or isinstance(cache, ExpansionCache):
        return cache
    if isinstance(cache, str | Path) and str(cache).strip():
        return DiskCache(cache)
    msg = f"cache must be a MemoryCache, a DiskCache, the path of one, or None for no cache; got {cache!r}"
    raise ConfigurationError(msg)


def kept_under(
    cache: ExpansionCache, generator: TextGenerator, request: GenerationRequest, *parts: Any
) -> str | None:
    """The key of a request's answers; None where they must not be kept.

    That is: on disk, those of a generator without an identity, and anywhere those of one that nothing tells from another.

    Args:
        cache: Where they are kept.
        generator: Who is asked.
        request: What is asked.
        parts: What else decides what is made of the answers.
    """
    identity = generator.identity
    if identity is None and cache.on_disk:
        return None
    model = _anonymous(generator) if identity is None else identity
    if model is None:
        return None
    asked = [(message.role, message.content) for message in request.messages]
    settings = (
        request.samples,
        request.needed,
        request.temperature,
        request.max_tokens,
        request.stop,
        request.seed,
    )
    choices = (request.choices,) if request.choices else ()
    return key_of(model, asked, settings, *choices, *parts)


def key_of(*parts: Any) -> str:
    """One key for everything that decides an answer."""
    said = json.dumps([_FORMAT, *parts], ensure_ascii=False, default=repr)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _anonymous(generator: TextGenerator) -> str | None:
    """A name for a generator that has none, good for as long as it lives; None where it can have none."""
    try:
        return _ANONYMOUS.setdefault(generator, f"generator {next(_NUMBERS)} of this process")
    except TypeError:
        # It, or the function that it calls, can be changed (no hash), or says nothing of its end (no weak references).
        return None


def _read(db: sqlite3.Connection, key: str) -> Texts | None:
    row = db.execute("SELECT texts FROM expansions WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    texts = json.loads(row[0])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    # That the entry was used is worth no wait for another process that writes.
    db.execute("PRAGMA busy_timeout = 0")
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("UPDATE expansions SET used = ? WHERE key = ?", (time.time_ns(), key))
    db.execute(f"PRAGMA busy_timeout = {round(1000 * _BUSY_SECONDS)}")
    return tuple(texts)


def _write(db: sqlite3.Connection, key: str, texts: Texts, size: int) -> None:
    row = (key, json.dumps(texts), time.time_ns())
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("INSERT OR REPLACE INTO expansions VALUES (?, ?, ?)", row)
        db.execute(
            "DELETE FROM expansions WHERE key IN (SELECT key FROM expansions ORDER BY used LIMIT"
            " max(0, (SELECT count(*) FROM expansions) - ?))",
            (size,),
        )
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")

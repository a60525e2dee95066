"""A file that describes a pipeline, and the pipelines of several files, with what they share opened once.

    name: hybrid                        # the file's name where it is left out
    collection:                         # or just its name: `collection: docs`
      path: .hydrant/index              # a folder, relative to this file; or `url:` of a server
      name: docs
    stages:
      - Retriever: {limit: 50, fusion: {Rrf: {k: 60}}}
      - Top: {n: 10}

`Retriever` takes what `Collection.retriever` takes. Every other name is a class that `hydrant` exports, with the arguments
of its constructor; objects may stand inside each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from hydrant.config import registry
from hydrant.config.build import Builder
from hydrant.config.located import Located, read_yaml
from hydrant.config.places import Connect, Site, connect
from hydrant.errors import ConfigurationError
from hydrant.facade import Collection
from hydrant.pipeline import Pipeline

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_client import QdrantClient

_KEYS = ("name", "collection", "stages")
_COLLECTION_KEYS = (
    "path",
    "url",
    "name",
    "dense",
    "sparse",
    "late",
    "sources",
    "vectors",
    "payload",
    "tenant",
    "allow_unindexed",
)
_PLACE_KEYS = frozenset({"path", "url", "name"})


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """A pipeline as a file describes it; nothing is opened or made yet.

    Attributes:
        name: What the pipeline is called in tables.
        content: What the file says.
        folder: What paths in it are relative to.
    """

    name: str
    content: Located
    folder: Path

    @classmethod
    def read(cls, file: str | Path) -> PipelineConfig:
        """Read a file.

        Raises:
            ConfigurationError: It cannot be read, or is no description of a pipeline; with file and line.
        """
        path = Path(file)
        return cls.of(read_yaml(path), path.parent, path.stem)

    @classmethod
    def of(cls, content: Located, folder: Path, name: str) -> PipelineConfig:
        """A description that was read already.

        Args:
            content: What the file says.
            folder: What paths in it are relative to.
            name: What to call the pipeline where the file does not say.
        """
        given = content.mapping("a pipeline's file")
        _check_keys(content, given, _KEYS, "a pipeline's file")
        if "stages" not in given or not given["stages"].items("stages"):
            msg = "a pipeline needs 'stages', a list of at least one such as '- Retriever: {limit: 10}'"
            raise content.error(msg)
        if "name" in given:
            name = given["name"].text("name")
        return cls(name, content, folder)

    @property
    def fingerprint(self) -> str:
        """The same for two files that say the same, whatever their layout and name."""
        said = {key: each for key, each in self.content.value.items() if key != "name"}
        text = self.content.with_value(said).canonical()
        return hashlib.sha256(f"{text} {self.folder.resolve()}".encode()).hexdigest()[:16]

    @property
    def stages(self) -> list[Located]:
        """The stages as they are written."""
        return self.content.value["stages"].items("stages")  # type: ignore[no-any-return]

    @property
    def collection(self) -> Located | None:
        """What is said of the collection; None where nothing is."""
        return self.content.value.get("collection")  # type: ignore[no-any-return]

    def to_yaml(self) -> str:
        """The description as YAML that gives the same pipeline when it lies in the same folder."""
        said = {"name": self.name, **{k: v for k, v in self.content.plain().items() if k != "name"}}
        return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100))


class Workshop:
    """Makes pipelines of descriptions. Clients, collections and stages that several name are opened and made once.

    Use it with `with`: what it opened is closed at the end.

    Args:
        default: Where a collection lies whose file says neither `path` nor `url`.
        connect: What makes a client for a place.
    """

    def __init__(self, default: Site | None = None, connect: Connect = connect) -> None:
        self._default = default
        self._connect = connect
        self._stack = ExitStack()
        self._clients: dict[Site, QdrantClient] = {}
        self._collections: dict[tuple[Site, str], Collection] = {}
        self._made: dict[tuple[int, str], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever made a client may have something to say about what went wrong with it.
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the clients."""
        self._stack.close()

    def pipeline(self, config: PipelineConfig) -> Pipeline:
        """The pipeline.

        Raises:
            ConfigurationError: A name or setting that does not exist or cannot work; with file and line.
            CollectionNotFound: There is no such collection.
        """
        collection = None if config.collection is None else self.collection(config)
        builder = Builder(collection, self._made)
        stages = tuple(builder.stage(each) for each in config.stages)
        return Pipeline(stages)

    def collection(self, config: PipelineConfig) -> Collection:
        """The collection that a description names."""
        said = config.collection
        if said is None:
            msg = "the file names no collection; say which: 'collection: {path: .hydrant/index, name: docs}'"
            raise config.content.error(msg)
        if isinstance(said.value, str):
            said = said.with_value({"name": said})
        given = said.mapping("collection")
        _check_keys(said, given, _COLLECTION_KEYS, "collection")
        if "name" not in given:
            msg = "collection needs 'name', such as 'name: docs'"
            raise said.error(msg)
        site = self._site(said, given, config.folder)
        key = (site, said.canonical())
        if key not in self._collections:
            self._collections[key] = self._opened(site, given)
        return self._collections[key]

    def _site(self, said: Located, given: Mapping[str, Located], folder: Path) -> Site:
        if "path" in given and "url" in given:
            msg = "collection takes 'path' for a folder or 'url' for a server, not both"
            raise said.error(msg, key="url")
        if "url" in given:
            return Site(url=given["url"].text("url"))
        if "path" in given:
            return Site((folder / Path(given["path"].text("path")).expanduser()).resolve())
        if self._default is None:
            msg = "collection needs 'path', the folder of its index, or 'url', the address of a server"
            raise said.error(msg)
        return self._default

    def _opened(self, site: Site, given: Mapping[str, Located]) -> Collection:
        if site not in self._clients:
            self._clients[site] = self._stack.enter_context(self._connect(site))
        builder = Builder()
        settings = {key: builder.value(each) for key, each in given.items() if key not in _PLACE_KEYS}
        return Collection.open(self._clients[site], given["name"].text("name"), **settings)


@contextmanager
def open_pipelines(*files: str | Path) -> Iterator[dict[str, Pipeline]]:
    """The pipelines of several YAML files by name; clients are closed at the end.

    Stages that stand the same in several files are the same object, so that an `Experiment` runs them once.

    Args:
        files: The files; `hydrant.config.pipelines` shows what one says.

    Raises:
        ConfigurationError: A file that cannot be used, with file and line, or two of one name.
    """
    configs = [PipelineConfig.read(file) for file in files]
    check_names([config.name for config in configs])
    with Workshop() as workshop:
        yield {config.name: workshop.pipeline(config) for config in configs}


@contextmanager
def open_pipeline(file: str | Path) -> Iterator[Pipeline]:
    """The pipeline of one YAML file; see `open_pipelines`."""
    with open_pipelines(file) as pipelines:
        yield next(iter(pipelines.values()))


def check_names(names: Sequence[str]) -> None:
    """Refuse two pipelines of one name, which no table could tell apart.

    Raises:
        ConfigurationError: There are two.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"pipelines need names of their own, got {twice} more than once; give each file a 'name'"
        raise ConfigurationError(msg)


def _check_keys(where: Located, given: Mapping[str, Located], keys: Sequence[str], what: str) -> None:
    for key in given:
        if key not in keys:
            msg = f"{what} has no key {key!r}; {registry.suggestion(key, keys)}"
            raise where.error(msg, key=key)

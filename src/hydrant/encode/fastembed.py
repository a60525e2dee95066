"""The models of the package fastembed, Qdrant's own collection of encoders in onnxruntime (the extra `fastembed`)."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from hydrant.encode.base import Encoder
from hydrant.encode.lazy import Lazy
from hydrant.encode.query_cache import QueryCache
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch, checked_rows
from hydrant.errors import (
    ConfigurationError,
    EncodingError,
    MissingDependency,
    ModelNotFound,
    UnknownArgument,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from qdrant_client import models

_BATCH = 32


class FastEmbedOptions(TypedDict, total=False):
    """How a model is loaded; handed on to fastembed. None of it is stored with a collection."""

    cache_dir: str | None
    threads: int | None
    providers: Sequence[Any] | None
    local_files_only: bool
    specific_model_path: str | None


class _FastEmbed(Encoder):
    """What dense and sparse models of fastembed have in common."""

    _record_name: str

    def __init__(self, model: str, *, query_cache: int = 1024, **options: Unpack[FastEmbedOptions]) -> None:
        if not isinstance(model, str) or not model.strip():
            msg = f"model must be the name of one of fastembed's models, such as 'BAAI/bge-small-en-v1.5'; got {model!r}"
            raise ConfigurationError(msg)
        for name in options:
            if name not in FastEmbedOptions.__annotations__:
                known = ", ".join(FastEmbedOptions.__annotations__)
                msg = (
                    f"{type(self).__name__} has no argument {name!r}; how a model is loaded is set by {known}"
                )
                raise UnknownArgument(msg)
        self.model = model
        self._options: Mapping[str, Any] = dict(options)
        self._queries = QueryCache(query_cache)
        self._lazy = Lazy(self._load)
        self._about = Lazy(self._description)

    @property
    def batch_size(self) -> int:
        """How many texts go through the model at a time."""
        return _BATCH

    def warm_up(self) -> None:
        """Load the model now, and fetch it where need be."""
        self._lazy.get()

    def close(self) -> None:
        """Let go of the model; the next use loads it again."""
        self._lazy.clear()
        self._queries.clear()

    def _identity(self) -> str:
        return f"{self._record_name} {self.model}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @staticmethod
    @abstractmethod
    def _family() -> Any:
        """The class of fastembed that such models are made with.

        Raises:
            MissingDependency: The package is not installed.
        """

    def _description(self) -> dict[str, Any]:
        known = {each["model"]: each for each in self._family().list_supported_models()}
        found = next((name for name in known if name.lower() == self.model.lower()), None)
        if found is None:
            near = difflib.get_close_matches(self.model, known, n=3, cutoff=0.4)
            hint = (
                f"the nearest names are {', '.join(map(repr, near))}"
                if near
                else f"it has {len(known)} others"
            )
            msg = (
                f"fastembed has no model {self.model!r} for {type(self).__name__}; {hint}. All of them: "
                f"fastembed.{self._family().__name__}.list_supported_models()"
            )
            raise ConfigurationError(msg)
        description: dict[str, Any] = known[found]
        return description

    def _load(self) -> Any:
        self._about.get()
        try:
            return self._family()(self.model, **self._options)
        except (
            Exception
        ) as error:  # onnxruntime's errors have no base of their own, and any of them means no model
            msg = (
                f"fastembed's model {self.model!r} could not be loaded: {error}. It is fetched from the network once; "
                "without one, give its folder as specific_model_path"
            )
            raise ModelNotFound(msg) from error


class FastEmbedEncoder(_FastEmbed):
    """One vector a text, from a bi-encoder of fastembed.

    Args:
        model: One of `fastembed.TextEmbedding.list_supported_models()`.
        query_cache: How many of the last queries keep their vectors; 0 for none.
        **options: How the model is loaded: see `FastEmbedOptions`.

    Raises:
        ConfigurationError: A setting that cannot work; a name that fastembed does not have, at the first use.
        UnknownArgument: An option that fastembed does not have.
        MissingDependency: The package is not installed, at the first use.
        ModelNotFound: The model cannot be fetched or loaded, at the first use.
    """

    kind = "dense"
    _record_name = "fastembed"

    @property
    def dimensions(self) -> int:
        """The length of a vector, as fastembed lists it; the model is not loaded for that."""
        return int(self._about.get()["dim"])

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text, for the last texts from the cache."""
        return self._queries.through(
            checked_texts(texts), lambda new: self._rows(new, "query_embed").tolist()
        )

    def encode_document(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A float32 array with one row for each text, [len(texts), dimensions]."""
        return self._rows(checked_texts(texts), "passage_embed")

    def record(self) -> dict[str, Any]:
        """The model's name and dimensions."""
        return {
            "encoder": self._record_name,
            "model": self._about.get()["model"],
            "dimensions": self.dimensions,
        }

    def _rows(self, texts: list[str], method: str) -> npt.NDArray[np.float32]:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        raw = _embedded(self._lazy.get(), method, texts)
        return checked_rows(raw, Batch(texts, list(range(len(texts)))), self.dimensions, self.model)

    @staticmethod
    def _family() -> Any:
        return _imported("TextEmbedding")


class FastEmbedSparseEncoder(_FastEmbed):
    """A sparse vector a text, from a model of fastembed: SPLADE, BM42, miniCOIL and others.

    Args:
        model: One of `fastembed.SparseTextEmbedding.list_supported_models()`.
        query_cache: How many of the last queries keep their vectors; 0 for none.
        **options: How the model is loaded: see `FastEmbedOptions`.

    Raises:
        ConfigurationError: A setting that cannot work; a name that fastembed does not have, at the first use.
        UnknownArgument: An option that fastembed does not have.
        MissingDependency: The package is not installed, at the first use.
        ModelNotFound: The model cannot be fetched or loaded, at the first use.
    """

    kind = "sparse"
    _record_name = "fastembed-sparse"

    @property
    def idf(self) -> bool:  # type: ignore[override]
        """Whether Qdrant has to multiply the inverse document frequency in, as fastembed says of the model."""
        return bool(self._about.get().get("requires_idf"))

    def encode_query(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text, for the last texts from the cache."""
        return self._queries.through(checked_texts(texts), lambda new: self._vectors(new, "query_embed"))

    def encode_document(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text."""
        return self._vectors(checked_texts(texts), "passage_embed")

    def record(self) -> dict[str, Any]:
        """The model's name."""
        return {"encoder": self._record_name, "model": self._about.get()["model"]}

    def _vectors(self, texts: list[str], method: str) -> list[models.SparseVector]:
        from qdrant_client import models

        made = _embedded(self._lazy.get(), method, texts) if texts else []
        if len(made) != len(texts):
            msg = f"model {self.model} must return {len(texts)} sparse vectors; got {len(made)}"
            raise EncodingError(msg)
        return [
            models.SparseVector(indices=each.indices.tolist(), values=each.values.tolist()) for each in made
        ]

    @staticmethod
    def _family() -> Any:
        return _imported("SparseTextEmbedding")


def _embedded(model: Any, method: str, texts: list[str]) -> list[Any]:
    embed: Callable[..., Any] = getattr(model, method)
    # Queries are a few; what fastembed does with a whole list of documents at once needs a limit.
    return list(embed(texts) if method == "query_embed" else embed(texts, batch_size=_BATCH))


def _imported(name: str) -> Any:
    try:
        import fastembed
    except ImportError as error:
        msg = f"fastembed is not installed ({error}): install it with pip install hydrant-rag[fastembed]"
        raise MissingDependency(msg) from error
    return getattr(fastembed, name)

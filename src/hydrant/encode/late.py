"""Late interaction: a vector for every token, compared by MaxSim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, get_args

from hydrant.encode.base import Role, Storage
from hydrant.encode.late_backends import (
    PUNCTUATION,
    LateBackend,
    ObjectLateBackend,
    Reading,
    SentenceLateBackend,
)
from hydrant.encode.late_tokens import checked_tokens
from hydrant.encode.model_encoder import Loading, ModelEncoder
from hydrant.encode.model_kinds import kind_of
from hydrant.encode.options import ModelOptions, check_positive
from hydrant.encode.pooling import clustered, pooled
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class LateEncoder(ModelEncoder[LateBackend]):
    """A vector for every token of a text; queries and documents are compared by MaxSim.

    For every vector of a query the most similar one of the document counts, and these similarities are summed (Khattab
    and Zaharia, "ColBERT", SIGIR 2020). The vectors are kept without an index, so they rank what other sources of the
    collection found.

    The models are those of sentence-transformers' `MultiVectorEncoder`: ColBERT, PyLate's, and their successors. A
    dense model can be used as well: its token vectors as they are before pooling, for want of a trained projection.

    Args:
        model: A name on the hub, a folder, a `MultiVectorEncoder` or `SentenceTransformer`, or any object with
            `encode_query(texts)` and `encode_document(texts)` that return an array [tokens, dimensions] for each text.
        query_prompt: What goes in front of a query. None uses the model's own prompt or marker, "" none.
        document_prompt: What goes in front of a document, likewise.
        max_tokens: Read at most this many tokens of a document instead of the model's own limit.
        max_query_tokens: The same for queries.
        pool_factor: Keep one vector for so many of a document, by hierarchical grouping; the first token's stays. 2
            halves the memory at next to no loss, 3 and 4 lose little (Clavié et al., 2024).
        clusters: Keep at most this many vectors of a document, by k-means: every document costs the same. Not
            together with pool_factor.
        skip: Tokens of documents that get no vector: "punctuation", or a sequence of tokens. None leaves it to the
            model, () skips none. A document of nothing else keeps the vectors of all.
        query_augmentation: Fill queries up to so many tokens with the model's mask token, whose vectors stand for what
            the query leaves out; for models trained so. None leaves it to the model, 0 does not.
        storage: How the collection keeps the vectors: "float32", "float16", or "binary", one bit a dimension in memory.
        batch_size: How many texts go through the model at a time. None takes up to 32, and on a CPU fewer long ones.
        query_cache: How many of the last queries keep their vectors, some 50 kB each; 0 for none.
        **options: How the model is loaded: `device`, `revision`, `trust_remote_code` (False unless asked for), and the
            others of `ModelOptions`.

    Raises:
        ConfigurationError: A setting that cannot work, or a model of another kind; one given by name shows when it is
            loaded.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    kind = "multi"
    graph = False
    distance = "Cosine"
    label = "late"
    told = ("dimensions", "max_query_tokens")
    accepts = frozenset({"MultiVectorEncoder", "SentenceTransformer"})

    def __init__(
        self,
        model: Any,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_tokens: int | None = None,
        max_query_tokens: int | None = None,
        pool_factor: int = 1,
        clusters: int | None = None,
        skip: str | Sequence[str] | None = None,
        query_augmentation: int | None = None,
        storage: Storage = "float32",
        batch_size: int | None = None,
        query_cache: int = 256,
        **options: Unpack[ModelOptions],
    ) -> None:
        check_positive(max_query_tokens=max_query_tokens, clusters=clusters)
        _check_pooling(pool_factor, clusters)
        _check_augmentation(query_augmentation, max_query_tokens)
        if storage not in get_args(Storage):
            msg = f"storage must be one of {', '.join(get_args(Storage))}; got {storage!r}"
            raise ConfigurationError(msg)
        self.storage = storage
        self._pool_factor, self._clusters = pool_factor, clusters
        self._reading = Reading(max_tokens, max_query_tokens, _checked_skip(skip), query_augmentation)
        prompts: Mapping[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        super().__init__(
            {"document": model}, Loading(prompts, max_tokens, batch_size, query_cache, dict(options))
        )
        self._refuse_on_ready(
            max_query_tokens=max_query_tokens, skip=skip, query_augmentation=query_augmentation
        )

    def made_with(self) -> dict[str, Any]:
        """See `ModelEncoder.made_with`."""
        return {
            **super().made_with(),
            **self._settings(),
            "max_query_tokens": self._reading.max_query_tokens,
        }

    @property
    def dimensions(self) -> int:
        """The length of a token's vector; loads the model unless a collection's record has told it."""
        return int(self.record()["dimensions"])

    def encode_query(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """For each text a list of vectors, one for every token."""
        # The cache has arrays: lists of floats take eight times the memory.
        rows = self._queries.through(checked_texts(texts), lambda new: self._collected(new, "query"))
        return [each.tolist() for each in rows]

    def encode_document(self, texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """For each text a float32 array, [vectors, dimensions], at least one vector each, of length 1."""
        return [self._fewer(rows) for rows in self._collected(checked_texts(texts), "document")]

    def _collected(self, texts: list[str], role: Role) -> list[npt.NDArray[np.float32]]:
        width = self.dimensions if texts else None
        return self._listed(texts, role, lambda batch, raw, name: checked_tokens(raw, batch, width, name))

    def _fewer(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return pooled(rows, self._pool_factor) if self._clusters is None else clustered(rows, self._clusters)

    # ---- the model -----------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        skip = self._reading.skip
        settings: dict[str, Any] = {
            "pool_factor": self._pool_factor,
            "clusters": self._clusters,
            "skip": list(skip) if isinstance(skip, tuple) else skip,
            "query_augmentation": self._reading.augmentation,
            "storage": self.storage,
        }
        asked = self._reading.max_query_tokens
        return settings if asked is None else {**settings, "max_query_tokens": asked}

    def _backend(self, source: Any) -> LateBackend:
        if isinstance(source, str):
            return SentenceLateBackend.load(source, self._loading.options, self._reading)
        return ObjectLateBackend(source) if kind_of(source) is None else SentenceLateBackend.of(source)

    def _facts(self, models: Mapping[Role, LateBackend], prompts: Mapping[Role, str]) -> dict[str, Any]:
        probe = Batch(["Hydrant"], [0])
        widths = {
            role: checked_tokens(
                models[role].encode(probe.texts, role, prompts[role]), probe, None, models[role].name
            )[0].shape[1]
            for role in models
        }
        if widths["query"] != widths["document"]:
            msg = (
                f"queries and documents must have vectors of one size; {models['document'].name} makes "
                f"{widths['query']} dimensions for queries and {widths['document']} for documents"
            )
            raise ConfigurationError(msg)
        window = models["query"].window("query")
        return {
            "dimensions": widths["document"],
            "max_query_tokens": None if window is None else window.max_tokens,
        }


def _check_pooling(pool_factor: int, clusters: int | None) -> None:
    if not isinstance(pool_factor, int) or isinstance(pool_factor, bool) or pool_factor < 1:
        msg = f"pool_factor must be a whole number of at least 1; got {pool_factor!r}"
        raise ConfigurationError(msg)
    if pool_factor > 1 and clusters is not None:
        msg = f"pool_factor and clusters are two ways to the same end; got {pool_factor} and {clusters}, give one of them"
        raise ConfigurationError(msg)


def _check_augmentation(augmentation: int | None, most: int | None) -> None:
    if augmentation is None:
        return
    if not isinstance(augmentation, int) or isinstance(augmentation, bool) or augmentation < 0:
        msg = f"query_augmentation must be a whole number of tokens of at least 0; got {augmentation!r}"
        raise ConfigurationError(msg)
    if most is not None and augmentation > most:
        msg = f"query_augmentation must be at most max_query_tokens, which is {most}; got {augmentation}"
        raise ConfigurationError(msg)


def _checked_skip(skip: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    if skip is None or skip == PUNCTUATION:
        return PUNCTUATION if skip is not None else None
    if isinstance(skip, str) or not all(isinstance(token, str) for token in skip):
        msg = f"skip must be {PUNCTUATION!r}, a sequence of tokens, or None; got {skip!r}"
        raise ConfigurationError(msg)
    return tuple(sorted(set(skip)))

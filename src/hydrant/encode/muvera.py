"""Late interaction in one vector: fixed dimensional encodings (MUVERA) of a model's token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hydrant.encode.base import Encoder
from hydrant.encode.fde import FdeShape, FixedEncoding
from hydrant.encode.lazy import Lazy
from hydrant.encode.shared import Shared
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import finished
from hydrant.encode.wrapped import WrappingEncoder, checked_encoder, checked_tokens
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# The longest vector that Qdrant stores.
_LONGEST = 65_536


class MuveraEncoder(WrappingEncoder):
    """One vector a text out of its token vectors; inner products estimate MaxSim.

    A first stage for late interaction: an index over these vectors finds candidates, and MaxSim over the token vectors
    ranks them. A source of those vectors takes them from `late`, so that the model reads every text once:

        muvera = MuveraEncoder(LateEncoder(model))
        Collection.create(client, "docs", sources={"muvera": muvera, "late": muvera.late})

    Dhulipala et al., "MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings", NeurIPS 2024. A vector has
    repetitions * 2 ** k_sim * dim_proj dimensions, 10,240 as it stands here, or final_dim.

    Args:
        late: An encoder of kind "multi", such as `LateEncoder`.
        k_sim: How many random hyperplanes cut the space into buckets, 1 to 12.
        dim_proj: How many random dimensions stand for a token vector; None keeps it whole.
        repetitions: How often that is done anew; more come nearer to MaxSim.
        final_dim: Hash the result to this many dimensions (count sketch); None leaves it.
        seed: What everything random is drawn with. It is stored with the collection, with all the others.
        fill_empty: Whether a document's empty buckets take over what the nearest bucket holds, as in the paper. Without
            it more of MaxSim's best are found, by the measurements in benchmarks/README.md ("MUVERA").

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    kind = "dense"
    # Not cosine: how long a vector is tells how many token vectors agreed.
    distance = "Dot"
    inner_name = "late"

    def __init__(
        self,
        late: Encoder,
        *,
        k_sim: int = 5,
        dim_proj: int | None = 16,
        repetitions: int = 20,
        final_dim: int | None = None,
        seed: int = 42,
        fill_empty: bool = False,
    ) -> None:
        super().__init__(Shared.of(checked_encoder(late, ["multi"], "late")))
        self._shape = FdeShape(k_sim, dim_proj, repetitions, final_dim, seed, fill_empty)
        if not self._keeps_tokens_whole:
            self._checked_size()
        self._encoding = Lazy(self._drawn)

    @property
    def late(self) -> Encoder:
        """The encoder of the token vectors, for a source of its own; both sources share its work."""
        return self._inner

    @property
    def dimensions(self) -> int:
        """The length of a vector; loads the model only where token vectors are kept whole."""
        return self._checked_size(self._inner.dimensions if self._keeps_tokens_whole else 0)

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text."""
        checked = checked_texts(texts)
        tokens = self._tokens(self._inner.encode_query(checked), len(checked))
        rows: list[list[float]] = self._encoding.get().query(tokens).tolist()
        return rows

    def encode_document(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A float32 array with one row for each text, [len(texts), dimensions]."""
        checked = checked_texts(texts)
        return self._encoding.get().document(self._tokens(self._inner.encode_document(checked), len(checked)))

    def settings(self) -> dict[str, Any]:
        """The shape of the encoding, with its seed."""
        return {"encoder": "muvera", **asdict(self._shape)}

    def around(self, inner: Encoder) -> MuveraEncoder:
        """An encoder of the same shape over another one's token vectors."""
        return MuveraEncoder(inner, **asdict(self._shape))

    @property
    def _keeps_tokens_whole(self) -> bool:
        return self._shape.dim_proj is None and self._shape.final_dim is None

    def _drawn(self) -> FixedEncoding:
        token_dim = self._inner.dimensions
        self._checked_size(token_dim)
        return FixedEncoding(self._shape, token_dim)

    def _tokens(self, encoded: Any, count: int) -> list[npt.NDArray[np.float32]]:
        name = type(self._inner).__name__
        tokens = checked_tokens(encoded, count, name)
        width = self._encoding.get().token_dim
        if tokens and tokens[0].shape[1] != width:
            msg = f"{name} must return token vectors of {width} dimensions, as it says; got {tokens[0].shape[1]}"
            raise EncodingError(msg)
        # MaxSim by cosine compares vectors of length 1, and so must the encoding.
        return (
            tokens
            if self._inner.distance == "Dot"
            else [finished(each, None, normalize=True) for each in tokens]
        )

    def _checked_size(self, token_dim: int = 0) -> int:
        # How long the token vectors are matters only where they are kept whole.
        size = self._shape.dimensions(token_dim)
        if size > _LONGEST:
            msg = (
                f"an encoding of k_sim={self._shape.k_sim}, dim_proj={self._shape.dim_proj}, "
                f"repetitions={self._shape.repetitions} has {size} dimensions, and Qdrant stores at most {_LONGEST}; "
                "make one of them smaller, or set final_dim"
            )
            raise ConfigurationError(msg)
        return size

"""One pass through a model for several sources that ask it for the same texts.

A collection with token vectors and their fixed dimensional encodings asks one late interaction model twice: for every
batch of documents, and for every query.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from hydrant.encode.base import Encoded, Encoder
from hydrant.encode.lazy import Lazy
from hydrant.encode.texts import checked_texts
from hydrant.encode.wrapped import WrappingEncoder
from hydrant.errors import EncodingError

T = TypeVar("T")

# A batch of documents has many megabytes of token vectors; a query a hundred kilobytes, and many may be under way at once.
_BATCHES = 1
_QUERIES = 64


class Recent(Generic[T]):
    """What was made of the last few lists of texts. Who asks for one that is being made waits for it.

    An error is remembered by nobody: who asks next tries again. A copy or a pickle begins empty.

    Args:
        size: How many lists are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, ...], Lazy[T]] = OrderedDict()

    def get(self, texts: Sequence[str], make: Callable[[], T]) -> T:
        """What was made of these texts, made now if it is not there. It is everybody's: not to be changed."""
        key = tuple(texts)
        with self._lock:
            made = self._made.pop(key, None)
            if made is None:
                made = Lazy(make)
            self._made[key] = made
            while len(self._made) > self._size:
                self._made.popitem(last=False)
        try:
            return made.get()
        except BaseException:
            with self._lock:
                if self._made.get(key) is made:
                    del self._made[key]
            raise

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, (self._size,)


class RecentQueries:
    """What was made of the last few queries, each by its own text, in whatever company it is asked for again.

    Who asks for one that is being made waits for it. An error is remembered by nobody. A copy or a pickle begins empty.

    Args:
        size: How many queries are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Future[Any]] = OrderedDict()

    def get(self, texts: Sequence[str], encode: Callable[[list[str]], Any]) -> list[Any]:
        """One vector for each text. They are everybody's: not to be changed.

        Args:
            texts: The queries, checked.
            encode: Encodes those that nobody has asked for, each text once.

        Raises:
            EncodingError: There are more or fewer vectors than texts.
        """
        with self._lock:
            mine = [text for text in dict.fromkeys(texts) if text not in self._made]
            self._made.update((text, Future()) for text in mine)
            answers = {text: self._made[text] for text in texts}
            while len(self._made) > self._size:
                self._made.popitem(last=False)
        if mine:
            self._answer({text: answers[text] for text in mine}, encode)
        return [self._waited(text, answers[text], encode) for text in texts]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()

    def _answer(self, asked: Mapping[str, Future[Any]], encode: Callable[[list[str]], Any]) -> None:
        try:
            vectors = list(encode(list(asked)))
            if len(vectors) != len(asked):
                msg = (
                    f"the encoder must return {len(asked)} vectors for {len(asked)} texts; got {len(vectors)}"
                )
                raise EncodingError(msg)  # noqa: TRY301  whoever waits must hear of it as of any other error
        except BaseException as error:
            with self._lock:
                for text, answer in asked.items():
                    if self._made.get(text) is answer:
                        del self._made[text]
            for answer in asked.values():
                answer.set_exception(error)
            raise
        for answer, vector in zip(asked.values(), vectors, strict=True):
            answer.set_result(vector)

    @staticmethod
    def _waited(text: str, answer: Future[Any], encode: Callable[[list[str]], Any]) -> Any:
        if answer.exception() is None:
            return answer.result()
        # It failed in other company, perhaps through another text: this caller's own try decides.
        return encode([text])[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return RecentQueries, (self._size,)


class Shared(Encoder):
    """An encoder that several sources use: it remembers the last batch of documents and the last few queries.

    To everybody else it is the encoder that it wraps: its record, its settings, equal to it.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.kind = encoder.kind
        self.idf = encoder.idf
        self.distance = encoder.distance
        self.graph = encoder.graph
        self.storage = encoder.storage
        self._documents: Recent[Encoded] = Recent(_BATCHES)
        self._queries = RecentQueries(_QUERIES)

    @classmethod
    def of(cls, encoder: Encoder) -> Shared:
        """The encoder, shared; itself if it is so already."""
        return encoder if isinstance(encoder, Shared) else cls(encoder)

    @property
    def batch_size(self) -> int:
        """See `Encoder.batch_size`."""
        return self._encoder.batch_size

    @property
    def dimensions(self) -> int:
        """See `Encoder.dimensions`."""
        return self._encoder.dimensions

    def encode_query(self, texts: Sequence[str]) -> Encoded:
        """What the encoder makes of the texts as queries."""
        return self._queries.get(checked_texts(texts), self._encoder.encode_query)

    def encode_document(self, texts: Sequence[str]) -> Encoded:
        """What the encoder makes of the texts as documents."""
        checked = checked_texts(texts)
        return self._documents.get(checked, lambda: self._encoder.encode_document(checked))

    def count_truncated(self, texts: Sequence[str]) -> int:
        """See `Encoder.count_truncated`."""
        return self._encoder.count_truncated(texts)

    def terms(self, texts: Sequence[str], indices: Sequence[int]) -> dict[int, str]:
        """See `Encoder.terms`."""
        return self._encoder.terms(texts, indices)

    def record(self) -> dict[str, Any]:
        """The record of the encoder."""
        return self._encoder.record()

    def adopt(self, record: Mapping[str, Any]) -> Shared:
        """The encoder, completed with what a collection has stored, and shared.

        Raises:
            EncoderMismatch: They would not make the same vectors. The message says both.
        """
        return Shared(self._encoder.adopt(record))

    def warm_up(self) -> None:
        """Load the model now."""
        self._encoder.warm_up()

    def close(self) -> None:
        """Let go of the model, and of what it made last."""
        self._documents.clear()
        self._queries.clear()
        self._encoder.close()

    def _identity(self) -> str:
        return self._encoder._identity()  # noqa: SLF001  to everybody else it is that encoder

    def __repr__(self) -> str:
        return repr(self._encoder)


def share(encoders: Mapping[str, Encoder]) -> dict[str, Encoder]:
    """The encoders of a collection, where one that works on another's vectors shares its work with a source of the latter.

    Args:
        encoders: By source.
    """
    known: dict[Encoder, Shared] = {}
    for each in encoders.values():
        if isinstance(each, WrappingEncoder) and isinstance(each.inner, Shared):
            known.setdefault(each.inner, each.inner)
    return {name: _sharing(encoder, known) for name, encoder in encoders.items()}


def _sharing(encoder: Encoder, known: Mapping[Encoder, Shared]) -> Encoder:
    if isinstance(encoder, WrappingEncoder):
        own = known.get(encoder.inner) if isinstance(encoder.inner, Shared) else None
        return encoder if own is None or own is encoder.inner else encoder.around(own)
    # Equality of encoders may need a model; those of another kind are none of these.
    return known.get(encoder, encoder) if any(encoder.kind == each.kind for each in known) else encoder

"""BM25 as sparse vectors, by the engine's own tokenizer and weights.

The vectors are those of Qdrant's server-side inference model `qdrant/bm25`: the code is the same, it ships inside
Qdrant Edge. A token's index is the absolute value of its 32-bit Murmur3 hash, read as signed. A document's weight is

    tf * (k + 1) / (tf + k * (1 - b + b * length / average_length))

with lengths in tokens after stop words; a query's weights are 1, and the inverse document frequency is Qdrant's to
multiply in (`SparseVectorParams(modifier=Modifier.IDF)`), so that it follows the collection as it grows.
Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from hydrant.encode.base import Encoder, mismatch
from hydrant.encode.lazy import Lazy
from hydrant.encode.options import check_flags
from hydrant.encode.texts import checked_texts
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from qdrant_client import models
    from qdrant_edge import Bm25, Bm25Config

Tokenizer = Literal["word", "multilingual", "whitespace"]

NO_LANGUAGE = "none"
# Scripts without spaces between words: the word tokenizer would make one token of a whole sentence.
_UNSPACED = frozenset({"chinese", "japanese"})
# With b = 0 and a k this large a weight is the term frequency itself, up to k's own rounding.
_COUNTING_K = 1e9
_RUNS = re.compile(r"[^\W_]+")
_PUNCTUATION = re.compile(r"^[\W_]+|[\W_]+$")
# Words of scripts without blanks are seldom longer, in characters.
_LONGEST = 8


class Bm25Encoder(Encoder):
    """Keyword search as Qdrant understands it: stemmed words, stop words left out, BM25 weights.

    A text without any token left (blank, or nothing but stop words) has the empty sparse vector. For a query it means
    that this source finds nothing and is to be left out of the request; for a document, that the point gets no sparse
    vector.

    Args:
        language: Whose stop words and stemmer are used, one of `languages()`; "none" for neither, which suits a
            mixed collection.
        k: How slowly repeating a word loses its effect; 0 counts a word once.
        b: How much long documents are held back, from 0 to 1.
        average_length: The mean length of a document in tokens after stop words. None until it is learned from the
            documents with `learn`; queries need none.
        tokenizer: How text is split: "word" at everything that is neither letter nor digit, "whitespace" at spaces,
            "multilingual" by the rules of the script, for languages that write no spaces (it leaves out bare numbers
            and drops accents, so it is no good default for others). None chooses "multilingual" for Chinese and
            Japanese and "word" otherwise.
        ascii_folding: Drop accents, so that "cafe" finds "café".

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    kind = "sparse"
    idf = True

    def __init__(
        self,
        language: str = "english",
        *,
        k: float = 1.2,
        b: float = 0.75,
        average_length: float | None = None,
        tokenizer: Tokenizer | None = None,
        ascii_folding: bool = False,
    ) -> None:
        _check_numbers(k, b, average_length)
        check_flags(ascii_folding=ascii_folding)
        if tokenizer is not None and tokenizer not in get_args(Tokenizer):
            msg = f"tokenizer must be one of {', '.join(get_args(Tokenizer))}, or None; got {tokenizer!r}"
            raise ConfigurationError(msg)
        self.language = _known_language(language)
        self.k = float(k)
        self.b = float(b)
        self.average_length = None if average_length is None else float(average_length)
        self.tokenizer: Tokenizer = (
            tokenizer if tokenizer is not None else "multilingual" if self.language in _UNSPACED else "word"
        )
        self.ascii_folding = ascii_folding
        self._documents = Lazy(self._document_model)
        self._queries = Lazy(self._query_model)
        self._counter = Lazy(self._counting_model)

    @staticmethod
    def languages() -> tuple[str, ...]:
        """The languages the engine has stop words and, where one exists, a stemmer for; and "none"."""
        from qdrant_edge import Language

        names = sorted(name.lower() for name in dir(Language) if not name.startswith("_"))
        return (*names, NO_LANGUAGE)

    def encode_query(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text: weight 1 for every different token."""
        model = self._queries.get()
        return [_sparse(model.embed_query(text)) for text in checked_texts(texts)]

    def encode_document(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text: the BM25 weight, without IDF, of every token.

        Raises:
            ConfigurationError: The average length is neither given nor learned.
        """
        model = self._documents.get()
        return [_sparse(model.embed_document(text)) for text in checked_texts(texts)]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has after stop words, repetitions counted: BM25's document length."""
        model = self._counter.get()
        return [_total(model.embed_document(text).values) for text in checked_texts(texts)]

    def learn(self, texts: Iterable[str]) -> Bm25Encoder:
        """This encoder with the average length measured on the texts; those without any token do not count.

        Args:
            texts: The documents, or a fair sample of them, exactly as they will be encoded.

        Raises:
            ConfigurationError: None of the texts has a token.
        """
        counts = [count for count in self.token_counts(list(texts)) if count]
        if not counts:
            msg = (
                f"the average length of a document cannot be learned: no text has a token that is not a stop word "
                f"({self.language}); give documents with text, or average_length"
            )
            raise ConfigurationError(msg)
        return self.with_average_length(math.fsum(counts) / len(counts))

    def with_average_length(self, average_length: float) -> Bm25Encoder:
        """This encoder with another average length."""
        return Bm25Encoder(
            self.language,
            k=self.k,
            b=self.b,
            average_length=average_length,
            tokenizer=self.tokenizer,
            ascii_folding=self.ascii_folding,
        )

    def terms(self, texts: Sequence[str], indices: Sequence[int]) -> dict[int, str]:
        """The words of the texts whose hash is among the indices, as they are written first.

        A hash cannot be undone: what the texts do not contain stays unknown. A word that is written in several ways
        ("key", "Keys") is named by the first of them.
        """
        wanted = {int(index) for index in indices}
        model = self._queries.get()
        named: dict[int, str] = {}
        for text in checked_texts(texts):
            for word in dict.fromkeys(text.split()):
                _name(word, wanted, named, lambda part: set(model.embed_query(part).indices))
        return named

    def record(self) -> dict[str, Any]:
        """The settings; `average_length` is None until it is known."""
        return {
            "encoder": "bm25",
            "language": self.language,
            "k": self.k,
            "b": self.b,
            "average_length": self.average_length,
            "tokenizer": self.tokenizer,
            "ascii_folding": self.ascii_folding,
        }

    def adopt(self, record: Mapping[str, Any]) -> Bm25Encoder:
        """This encoder with the collection's average length, where it has none of its own.

        Raises:
            EncoderMismatch: They would not make the same vectors. The message says both.
        """
        own = self.record()
        if self.average_length is None:
            own["average_length"] = record.get("average_length")
        if own != dict(record):
            raise mismatch(record, self.record())
        average_length = own["average_length"]
        return self if average_length == self.average_length else self.with_average_length(average_length)

    # ---- the engine's models -------------------------------------------------------------------------------------

    def _document_model(self) -> Bm25:
        if self.average_length is None:
            msg = (
                "average_length of Bm25Encoder is not known, and documents cannot be weighted without it: use "
                "encoder.learn(texts), or give average_length in tokens (an indexer does the former by itself)"
            )
            raise ConfigurationError(msg)
        from qdrant_edge import Bm25

        return Bm25(self._config(self.k, self.b, self.average_length))

    def _query_model(self) -> Bm25:
        from qdrant_edge import Bm25

        # Queries have no weights for these numbers to change.
        return Bm25(self._config(self.k, self.b, 1.0))

    def _counting_model(self) -> Bm25:
        from qdrant_edge import Bm25

        return Bm25(self._config(_COUNTING_K, 0.0, 1.0))

    def _config(self, k: float, b: float, average_length: float) -> Bm25Config:
        from qdrant_edge import Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType

        tokenizer = getattr(TokenizerType, self.tokenizer.capitalize())
        if self.language == NO_LANGUAGE:
            return Bm25Config(
                k,
                b,
                average_length,
                tokenizer,
                ascii_folding=self.ascii_folding,
                stopwords=StopwordsSet(set(), set()),
                stemmer=DisabledStemmer(),
            )
        return Bm25Config(k, b, average_length, tokenizer, self.language, ascii_folding=self.ascii_folding)


def _sparse(vector: Any) -> models.SparseVector:
    from qdrant_client import models

    # The engine's own numbers need no second check by pydantic, which would take longer than the encoding.
    return models.SparseVector.model_construct(indices=vector.indices, values=vector.values)


def _name(word: str, wanted: set[int], named: dict[int, str], hashes: Callable[[str], set[int]]) -> None:
    """Add the words whose hashes are wanted; what the engine splits is looked for in its parts."""
    found = hashes(word)
    missing = (found & wanted) - named.keys()
    if len(found) == 1:
        named.update(dict.fromkeys(missing, _PUNCTUATION.sub("", word)))
        return
    for part in _parts(word):
        if not missing:
            return
        alone = hashes(part)
        if len(alone) == 1 and alone <= missing:
            named.update(dict.fromkeys(alone, part))
            missing -= alone


def _parts(word: str) -> Iterator[str]:
    """What letters and digits make up of it, then, for scripts without blanks, every few characters."""
    runs = _RUNS.findall(word)
    yield from runs
    for run in runs:
        if not run.isascii():
            yield from (
                run[start : start + length]
                for length in range(1, _LONGEST + 1)
                for start in range(len(run) - length + 1)
            )


def _total(values: Sequence[float]) -> int:
    # weight = tf * (k + 1) / (tf + k), solved for tf
    return sum(round(value * _COUNTING_K / (_COUNTING_K + 1 - value)) for value in values)


def _known_language(language: str) -> str:
    name = language.lower() if isinstance(language, str) else language
    if name not in Bm25Encoder.languages():
        msg = f"language must be one of {', '.join(Bm25Encoder.languages())}; got {language!r}"
        raise ConfigurationError(msg)
    return name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_numbers(k: float, b: float, average_length: float | None) -> None:
    if not (_is_number(k) and k >= 0):
        msg = f"k must be a finite number of at least 0; got {k!r}"
        raise ConfigurationError(msg)
    if not (_is_number(b) and 0 <= b <= 1):
        msg = f"b must lie between 0 and 1; got {b!r}"
        raise ConfigurationError(msg)
    if average_length is not None and not (_is_number(average_length) and average_length > 0):
        msg = f"average_length must be a finite number of tokens above 0, or None; got {average_length!r}"
        raise ConfigurationError(msg)

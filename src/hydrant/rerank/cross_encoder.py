"""Ranking by a model that reads query and document together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, ModelOptions
from hydrant.encode.pair_effects import LoadPairs
from hydrant.encode.pair_settings import Scale, Scoring
from hydrant.encode.pairs import PairScorer
from hydrant.flow import Flow
from hydrant.rerank.base import Ranking, Reranker
from hydrant.rerank.pair_rounds import scores_of
from hydrant.rerank.score_cache import ScoreCache
from hydrant.types import Hit, Query


class CrossEncoderReranker(Reranker):
    """Ranks by a cross-encoder: a transformer that reads query and document together and says how well they fit.

    Nogueira and Cho, "Passage Re-ranking with BERT", 2019. What it reads is the passage's title and text. Concurrent async
    queries go through the model together; a pair that was scored before costs nothing.

    The query is always read whole, and a document that does not fit beside it is read in overlapping windows, of which the
    best one counts (MaxP: Dai and Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling",
    SIGIR 2019).

    Scoring stops early where that cannot change the page: on a scale with a highest score (probabilities, or an object
    with `max_score`), as soon as a whole page of candidates has reached it, since equal scores keep the order they came in;
    and for the windows of one document once one of them has it. Models that saturate and graders of few levels stop so; the
    sigmoid of a logit hardly ever reaches 1. Where there is no highest score, any candidate may still be the best: all of
    them are scored.

    Args:
        model: A name on the hub, a folder, a `CrossEncoder` of sentence-transformers, or any object with `score(pairs)`,
            which takes a list of (query, document) and returns a number for each. An object may say a highest score,
            `max_score`, and a str that decides its scores, `identity`.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        threshold: The worst score that goes on, on `scale`.
        scale: "logit" for what the model says, "probability" for the sigmoid of it or, of several labels, the softmax. The
            scale of an object's scores is its own; with "probability" they must lie in 0 to 1.
        label: Which of several labels is the score, by its name or its place. A model with several needs it.
        backend: What runs a model given by name: "torch", or "onnx" (`hydrant-rag[onnx]`; CPU only).
        precision: What its numbers are rounded to: "fp32", or with ONNX "int8".
        max_length: How many tokens of query and document together are read; None for the model's own number.
        windows: How many pieces of a document are read at most; 1 reads its beginning alone.
        batch_size: How many pairs go through the model at a time. None takes up to 32, and on a CPU fewer long ones. A batch
            that memory is too small for is halved.
        cache: How many of the last scores are kept, 0 for none; or a `ScoreCache` that several rerankers share.
        name: What the stage is called in `hit.stages` and `result.degraded`.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.
        **options: How the model is loaded: `device`, `revision`, `trust_remote_code` (False unless asked for), and the
            others of `ModelOptions`.

    Raises:
        ConfigurationError: A setting that cannot work; what only the loaded model can tell shows at the first use.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    name = "rerank"

    def __init__(
        self,
        model: Any,
        *,
        top_n: int | None = None,
        candidates: int | None = None,
        threshold: float | None = None,
        scale: Scale = "logit",
        label: str | int | None = None,
        backend: BackendName = "torch",
        precision: Precision = "fp32",
        max_length: int | None = None,
        windows: int = 4,
        batch_size: int | None = None,
        cache: int | ScoreCache = 10_000,
        name: str | None = None,
        on_error: Literal["continue", "raise"] = "continue",
        timeout: float | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(
            top_n=top_n,
            candidates=candidates,
            threshold=threshold,
            name=name,
            on_error=on_error,
            timeout=timeout,
        )
        scoring = Scoring(backend, precision, scale, label, max_length, windows, batch_size, dict(options))
        self._scorer = PairScorer(model, scoring, type(self).__name__)
        self.model = model
        self.scale, self.label = scale, label
        self.backend, self.precision = backend, precision
        self.max_length, self.windows, self.batch_size = max_length, windows, batch_size
        self.options = dict(options)
        self.cache = ScoreCache.of(cache)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Score the candidates that are not known yet.

        Raises:
            ModelNotFound: The model is nowhere.
            ConfigurationError: The model has several labels, and none of them was named.
        """
        scorer = self._scorer
        identity = scorer.identity if scorer.loaded else (yield LoadPairs(scorer))
        texts = [hit.passage.content for hit in hits]
        known = self.cache.known(identity, query.text, dict.fromkeys(texts))
        shown = self._shown(query)
        enough = len(texts) if shown is None else query.offset + shown
        found = yield from scores_of(scorer, query.text, texts, known, enough)
        self.cache.keep(identity, query.text, found)
        scores = {**known, **found}
        # What was not scored cannot come onto the page: below everything that was.
        lowest = min(scores.values())
        return Ranking([scores.get(text, lowest) for text in texts])

    def warm_up(self) -> None:
        """Load the model."""
        self._scorer.warm_up()

    def close(self) -> None:
        """Let go of the model; one that was handed in stays with its owner."""
        self._scorer.close()

"""HyDE: search with passages that a language model makes up as answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.expand.base import LlmExpansion
from hydrant.expand.prompts import SAME_LANGUAGE, Prompt, hyde_prompt
from hydrant.expand.repair import Repaired
from hydrant.generate.requests import Generation, GenerationRequest, check_whole
from hydrant.types import Expansion, Query

_MODES = ("mean", "fuse", "max")
# Where a passage ends, at the latest; the paper's.
_STOP = ("\n\n\n",)


@dataclass(frozen=True, kw_only=True)
class Hyde(LlmExpansion):
    """Hypothetical document embeddings: what the model makes up as an answer is searched with, beside the query.

    The hypotheses go through the *document* encoder of every dense source, the query through its query encoder, and what
    Qdrant is asked is their mean. Sparse sources, late interaction and rerankers see the query alone. Gao, Ma, Lin and
    Callan, "Precise Zero-Shot Dense Retrieval without Relevance Labels", ACL 2023. Put it in front of a retriever:
    `Hyde(llm) >> docs.retriever()`.

    Attributes:
        hypotheses: How many passages are sampled, in one batch or side by side. At temperature 0 it is one: the likeliest
            passage is the same however often it is asked for.
        prompt: The name of one of the paper's prompts ("web", "scifact", "arguana", "trec-covid", "fiqa", "dbpedia-entity",
            "trec-news", "mr-tydi"), or a template with the slot `{query}` and, if wanted, `{language}`.
        query_weight: How much the query counts in the mean, where each hypothesis counts 1; the paper's is 1.
        enough: How many hypotheses suffice: when they are there, the others have a quarter of that time to arrive. None for
            half of them, but two at least, where two are wanted: the second is what brings recall, and a first answer that
            comes at once leaves it no time.
        mode: "mean" searches with one vector (the paper); "fuse" with each hypothesis by itself, fused inside the source by
            Qdrant; "max" ranks by the best similarity to any of them.
        sparse: Whether the hypotheses' words are added to the query of sparse sources. With a good model that helps as much
            again as the vectors do (best with a query_weight of 2), with a poor one it does harm; docs/hyde.md has the figures.

    For the others see `LlmExpansion`.
    """

    hypotheses: int = 8
    temperature: float = 0.7
    prompt: str | Prompt = "web"
    query_weight: float = 1.0
    enough: int | None = None
    mode: Literal["mean", "fuse", "max"] = "mean"
    sparse: bool = False

    name: str = field(default="hyde", init=False)

    def __post_init__(self) -> None:
        check_whole("hypotheses", self.hypotheses)
        object.__setattr__(self, "prompt", hyde_prompt(self.prompt))
        if self.mode not in _MODES:
            msg = f"mode must be one of {list(_MODES)}, got {self.mode!r}"
            raise ConfigurationError(msg)
        check_query_weight(self.query_weight)
        super().__post_init__()

    def request(self, query: Query) -> GenerationRequest:
        """The paper's prompt, in a sample for each hypothesis."""
        prompt = hyde_prompt(self.prompt)
        names_language = "{language}" in prompt.template
        language = SAME_LANGUAGE if self.language in {None, "auto"} else str(self.language)
        request = GenerationRequest(
            self.messages(prompt.filled(query.text, language=language), pinned=not names_language),
            samples=self.hypotheses,
            enough=self._enough,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            stop=_STOP,
            seed=self.seed,
        )
        return request if self.temperature > 0 else request.single(0)

    @property
    def wanted(self) -> int:
        """How many hypotheses suffice."""
        return self._enough if self.temperature > 0 else 1

    @property
    def _enough(self) -> int:
        half = (self.hypotheses + 1) // 2
        return max(min(2, self.hypotheses), half) if self.enough is None else self.enough

    def texts(self, generation: Generation, query: Query) -> Repaired:
        """The answers, each a hypothesis."""
        return self.repair(generation.texts, query.text)

    def expanded(self, query: Query, expansion: Expansion) -> Query:
        """The query with the hypotheses."""
        kinds = ("dense", "sparse") if self.sparse else ("dense",)
        return query.with_expansion(
            replace(
                expansion, role="document", kinds=kinds, mode=self.mode, query_weight=float(self.query_weight)
            )
        )


def check_query_weight(weight: object) -> None:
    """Refuse what is no number of at least 0.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        msg = f"query_weight must be a number of at least 0, got {weight!r}"
        raise ConfigurationError(msg)

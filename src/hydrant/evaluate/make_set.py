"""A small judged set from a collection's own passages: a language model asks, a search checks.

For each sampled passage a model writes a question that the passage answers. A question is kept where it is one (see
`hydrant.evaluate.drafts`), and where a search for it brings its own passage back among the first hits (round trip). Such a set compares pipelines quickly; it is no sample of what users
ask, and it is biased in ways that `MadeSet.readme` writes beside it.

Alberti et al., "Synthetic QA Corpora Generation with Roundtrip Consistency", ACL 2019; Dai et al., "Promptagator: Few-shot
Dense Retrieval From 8 Examples", ICLR 2023.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydrant.collection.base import CollectionBase
from hydrant.errors import ConfigurationError, TaskError
from hydrant.evaluate.drafts import fault_of, prompt_for, question_in
from hydrant.evaluate.made_set import FEWEST_WORDS, Dropped, Level, MadeSet, Question
from hydrant.evaluate.points import every_point
from hydrant.flow import Flow, run
from hydrant.generate.base import TextGenerator
from hydrant.generate.function import TextFunction, as_generator
from hydrant.generate.requests import GenerationRequest, check_whole
from hydrant.pipeline import Stage
from hydrant.threads import POOL
from hydrant.types import Hit, Passage, PassageId, Query, Usage

# How much of an error a reason quotes, in characters.
_LONGEST_REASON = 160


@dataclass(frozen=True, slots=True)
class SetMaker:
    """Makes judged sets.

    Attributes:
        llm: What writes the questions: a `TextGenerator`, or a function from prompt to text.
        checker: The search of the round trip, such as `docs.retriever()`.
        top: Among how many of its hits a question's own passage must be.
        seed: Which passages are drawn.
        at_once: How many passages are under way at a time.
        tenant: Whose passages, in a collection with tenants.
        temperature: How freely the model writes.
        level: What judgments name: "passage", or "document" for the file a passage comes from. Passages have other ids
            when files are cut in another way; documents stay.
    """

    llm: TextGenerator | TextFunction
    checker: Stage
    top: int = 10
    seed: int = 0
    at_once: int = 4
    tenant: PassageId | None = None
    temperature: float = 0.3
    level: Level = "passage"

    def __post_init__(self) -> None:
        check_whole("top", self.top)
        check_whole("at_once", self.at_once)
        if self.level not in ("passage", "document"):
            msg = f"level must be 'passage' or 'document', got {self.level!r}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "llm", as_generator(self.llm))

    def make(self, collection: CollectionBase, passages: int = 100) -> MadeSet:
        """Make a set.

        Args:
            collection: The collection.
            passages: For how many of its passages to ask the model.

        Raises:
            TaskError: The collection has no passage that could answer a question, or no question was kept.
        """
        check_whole("passages", passages)
        drawn = sample(collection, passages, seed=self.seed, tenant=self.tenant)
        if not drawn:
            msg = f"collection {collection.name!r} has no passages of at least {FEWEST_WORDS} words to ask about"
            raise TaskError(msg)
        drafts = POOL.map(self._draft, drawn, at_once=self.at_once)
        return self._kept(drafts)

    def _draft(self, hit: Hit) -> tuple[Question | Dropped, Usage]:
        """The question of a passage, or why there is none."""
        generator, own = as_generator(self.llm), self._name(hit)
        prompt = prompt_for(hit.passage.content)
        request = GenerationRequest(prompt, temperature=self.temperature, max_tokens=80, seed=self.seed)
        try:
            generation = generator.generate(request)
        except Exception as error:  # noqa: BLE001  a model's failure, whatever it is, costs its passage and not the set
            return Dropped(f"the model failed ({_said(error)})", own), Usage()
        answer = generation.texts[0] if generation.texts else ""
        text = question_in(answer)
        fault = fault_of(text, hit.passage.content)
        if fault is not None:
            return Dropped(fault, own, answer), generation.usage
        try:
            found = self.checker.run(Query(text, tenant=self.tenant, limit=self.top))
        except Exception as error:  # noqa: BLE001  as above: what the model has written for the others is paid for
            return Dropped(f"the round trip failed ({_said(error)})", own, answer), generation.usage
        names = [self._name(each) for each in found.hits]
        if own not in names:
            reason = f"the round trip did not find the {self.level} among {self.top} hits"
            return Dropped(reason, own, answer), generation.usage
        return Question(text, hit.passage, own, names.index(own) + 1), generation.usage

    def _name(self, hit: Hit) -> str:
        """What judgments call a hit."""
        return str(hit.id) if self.level == "passage" or hit.source is None else hit.source

    def _kept(self, drafts: Sequence[tuple[Question | Dropped, Usage]]) -> MadeSet:
        refused: list[Dropped] = []
        kept: dict[str, Question] = {}
        for draft, _ in drafts:
            if isinstance(draft, Dropped):
                refused.append(draft)
            elif draft.text.lower() in kept:
                refused.append(Dropped("the same question was asked before", draft.document, draft.text))
            else:
                kept[draft.text.lower()] = draft
        usage = sum((usage for _, usage in drafts), start=Usage())
        checker = getattr(self.checker, "name", type(self.checker).__name__)
        made = MadeSet(
            tuple(kept.values()),
            len(drafts),
            tuple(refused),
            usage,
            repr(checker),
            self.top,
            self._writer(),
            self.level,
        )
        if not kept:
            why = "; ".join(f"{count:,} times {reason}" for reason, count in made.dropped.items())
            wrote = next((each.answer for each in refused if each.answer), "")
            such = f", such as {wrote[:_LONGEST_REASON]!r}" if wrote else ""
            msg = f"no question was kept of {len(drafts)}: {why}{such}; is the model able to follow instructions?"
            raise TaskError(msg)
        return made

    def _writer(self) -> str:
        generator = as_generator(self.llm)
        model = getattr(generator, "model", None)
        return str(model) if model else generator.identity or type(generator).__name__


def sample(
    collection: CollectionBase, number: int, *, seed: int = 0, tenant: PassageId | None = None
) -> list[Hit]:
    """Passages drawn at random, the same ones for the same seed and collection; short ones are passed over.

    Args:
        collection: The collection.
        number: How many, or all where there are fewer.
        seed: Which ones.
        tenant: Whose, in a collection with tenants.
    """
    return run(_sample(collection, number, seed, tenant))


def _sample(collection: CollectionBase, number: int, seed: int, tenant: PassageId | None) -> Flow[list[Hit]]:
    owner = collection.owner(tenant)
    ids = [point.id for point in (yield from every_point(collection, tenant, with_payload=False))]
    ids.sort(key=str)
    random.Random(seed).shuffle(ids)  # noqa: S311  no secret
    drawn: list[Hit] = []
    for start in range(0, len(ids), max(1, number)):
        part = ids[start : start + number]
        points = yield collection.call("retrieve", ids=part, with_payload=True, with_vectors=False)
        drawn += _long_enough(points, collection.passages(points, owner), part)
        if len(drawn) >= number:
            break
    return drawn[:number]


def _long_enough(points: Sequence[Any], passages: Sequence[Passage], order: Sequence[Any]) -> Iterator[Hit]:
    found = {str(point.id): (point, passage) for point, passage in zip(points, passages, strict=True)}
    for each in order:
        if str(each) in found:
            point, passage = found[str(each)]
            if len(passage.text.split()) >= FEWEST_WORDS:
                yield Hit(passage, 0.0, {}, point.id)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]

"""A small judged set from a collection's own passages: a language model asks, a search checks.

For each sampled passage a model writes a question that the passage answers. A question is kept where a search for it
brings its own passage back among the first hits (round trip). Such a set compares pipelines quickly; it is no sample of what users
ask, and it is biased in ways that `MadeSet.readme` writes beside it.

Alberti et al., "Synthetic QA Corpora Generation with Roundtrip Consistency", ACL 2019; Dai et al., "Promptagator: Few-shot
Dense Retrieval From 8 Examples", ICLR 2023.
"""

from __future__ import annotations

import json
import random
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydrant.collection.base import CollectionBase
from hydrant.errors import ConfigurationError, StorageError, TaskError
from hydrant.flow import Flow, run
from hydrant.generate.base import TextGenerator
from hydrant.generate.function import TextFunction, as_generator
from hydrant.generate.requests import GenerationRequest, check_whole
from hydrant.pipeline import Stage
from hydrant.threads import POOL
from hydrant.types import Hit, Passage, PassageId, Query, Usage

Level = Literal["passage", "document"]

# A passage of fewer words seldom answers a question.
_FEWEST_WORDS = 12
_LONGEST_PASSAGE = 4000
# How much of an error a reason quotes, in characters.
_LONGEST_REASON = 160
_NONE = "NONE"
_WORD = re.compile(r"\w{3,}")
_PAGE = 1000
_PROMPT = (
    "Somebody looks for information and does not know the text below. Write the one question of theirs that this text "
    "answers best. Write it in the language of the text, in words of your own where you can, and so that it can be understood "
    "without the text. Answer with the question alone, or with {none} where the text answers no question.\n\nText:\n{text}"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was kept.

    Attributes:
        text: The question.
        passage: The passage it was written for.
        document: What judgments call it: the passage's id, or the path it comes from.
        rank: Where the round trip found it.
    """

    text: str
    passage: Passage
    document: str
    rank: int


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A judged set that was made.

    Attributes:
        questions: What was kept.
        asked: For how many passages the model was asked.
        dropped: Why the others were dropped, and how many for each reason.
        usage: What the model was asked.
        checker: The search of the round trip.
        top: Among how many hits the passage had to be.
        writer: What wrote the questions, as far as it says.
        level: Whether judgments name passages or documents.
    """

    questions: tuple[Question, ...]
    asked: int
    dropped: dict[str, int]
    usage: Usage
    checker: str
    top: int
    writer: str
    level: Level = "passage"

    @property
    def shared_words(self) -> float:
        """The median share of a question's words that stand in its passage. The higher, the more the set favours BM25."""
        shares = []
        for question in self.questions:
            words = set(_WORD.findall(question.text.lower()))
            text = set(_WORD.findall(question.passage.content.lower()))
            shares.append(len(words & text) / len(words) if words else 0.0)
        return statistics.median(shares) if shares else 0.0

    def write(self, folder: str | Path) -> None:
        """Write the set in BEIR layout: queries.jsonl, qrels/test.tsv, and a README.md that says what it cannot say.

        Raises:
            ConfigurationError: The folder holds a set already.
            StorageError: It cannot be written.
        """
        target = Path(folder)
        if (target / "queries.jsonl").exists():
            msg = f"{target} holds a judged set already; choose another folder or remove it"
            raise ConfigurationError(msg)
        names = [f"q{number}" for number in range(1, len(self.questions) + 1)]
        queries = [{"_id": name, "text": each.text} for name, each in zip(names, self.questions, strict=True)]
        rows = [f"{name}\t{each.document}\t1\n" for name, each in zip(names, self.questions, strict=True)]
        try:
            (target / "qrels").mkdir(parents=True, exist_ok=True)
            _write_lines(target / "queries.jsonl", queries)
            text = "".join(["query-id\tcorpus-id\tscore\n", *rows])
            (target / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
            if self.level == "document":
                (target / "task.yaml").write_text("match: document\n", encoding="utf-8")
            (target / "README.md").write_text(self.readme(target.name), encoding="utf-8")
        except OSError as error:
            msg = f"the set cannot be written to {target}: {error.strerror}"
            raise StorageError(msg) from error

    def readme(self, name: str) -> str:
        """How the set was made, and what it cannot say."""
        dropped = "".join(f"- {count:,}: {reason}\n" for reason, count in sorted(self.dropped.items()))
        return (
            f"# {name}\n\n"
            f"{len(self.questions):,} questions, written by {self.writer} for {self.asked:,} passages of the collection. "
            f"A question was kept where {self.checker} brought its passage back among the first {self.top} hits.\n\n"
            f"Dropped:\n\n{dropped or '- nothing'}\n\n"
            "## What it cannot say\n\n"
            f"- Questions borrow words from their passages: {self.shared_words:.0%} of a question's words (median) stand in "
            "it. Users' questions share fewer, so that word search (BM25) looks better here than it is.\n"
            "- The round trip keeps what its search finds. Pipelines that search like it look better than others, and "
            "questions that are hard for it are missing: all figures are too high.\n"
            "- One passage counts as right for each question. Others that answer it too count as wrong: look at what "
            "pipelines find before believing small differences.\n"
            "- Nobody has asked these questions. Twenty real ones with the right documents say more than hundreds of these.\n"
        )


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
            msg = f"collection {collection.name!r} has no passages of at least {_FEWEST_WORDS} words to ask about"
            raise TaskError(msg)
        drafts = POOL.map(self._draft, drawn, at_once=self.at_once)
        return self._kept(drafts)

    def _draft(self, hit: Hit) -> tuple[Question | str, Usage]:
        """The question of a passage, or why there is none."""
        generator = as_generator(self.llm)
        prompt = _PROMPT.format(text=hit.passage.content[:_LONGEST_PASSAGE], none=_NONE)
        request = GenerationRequest(prompt, temperature=self.temperature, max_tokens=80, seed=self.seed)
        try:
            generation = generator.generate(request)
        except Exception as error:  # noqa: BLE001  a model's failure, whatever it is, costs its passage and not the set
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return f"the model failed ({said[:_LONGEST_REASON]})", Usage()
        text = _question(generation.texts[0] if generation.texts else "")
        if not text or text.strip(" .").upper() == _NONE:
            return "the model found nothing to ask", generation.usage
        if " ".join(text.lower().split()) in " ".join(hit.text.lower().split()):
            return "the question is copied from the passage", generation.usage
        found = self.checker.run(Query(text, tenant=self.tenant, limit=self.top))
        own, names = self._name(hit), [self._name(each) for each in found.hits]
        if own not in names:
            return f"the round trip did not find the {self.level} among {self.top} hits", generation.usage
        return Question(text, hit.passage, own, names.index(own) + 1), generation.usage

    def _name(self, hit: Hit) -> str:
        """What judgments call a hit."""
        return str(hit.id) if self.level == "passage" or hit.source is None else hit.source

    def _kept(self, drafts: Sequence[tuple[Question | str, Usage]]) -> MadeSet:
        dropped: dict[str, int] = {}
        kept: dict[str, Question] = {}
        for draft, _ in drafts:
            reason = draft if isinstance(draft, str) else "the same question was asked before"
            if isinstance(draft, Question) and draft.text.lower() not in kept:
                kept[draft.text.lower()] = draft
            else:
                dropped[reason] = dropped.get(reason, 0) + 1
        if not kept:
            msg = (
                f"no question was kept of {len(drafts)}: {dropped}; is the model able to follow instructions?"
            )
            raise TaskError(msg)
        usage = sum((usage for _, usage in drafts), start=Usage())
        writer = as_generator(self.llm).identity or type(self.llm).__name__
        checker = getattr(self.checker, "name", type(self.checker).__name__)
        return MadeSet(
            tuple(kept.values()), len(drafts), dropped, usage, repr(checker), self.top, writer, self.level
        )


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
    condition = collection.condition(None, tenant)
    owner = collection.owner(tenant)
    ids: list[Any] = []
    offset = None
    while True:
        points, offset = yield collection.call(
            "scroll",
            scroll_filter=condition,
            limit=_PAGE,
            offset=offset,
            with_payload=False,
            with_vectors=False,
        )
        ids += [point.id for point in points]
        if offset is None:
            break
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
            if len(passage.text.split()) >= _FEWEST_WORDS:
                yield Hit(passage, 0.0, {}, point.id)


def _question(answer: str) -> str:
    """The first line with something in it, without quotes around it."""
    line = next((line.strip() for line in answer.splitlines() if line.strip()), "")
    return line.strip("\"'“”«» ").removeprefix("Question:").strip()


def _write_lines(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")

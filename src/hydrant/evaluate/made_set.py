"""A judged set that a language model wrote, and what it cannot say."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hydrant.errors import ConfigurationError, StorageError
from hydrant.types import Passage, Usage

Level = Literal["passage", "document"]

# A passage of fewer words seldom answers a question.
FEWEST_WORDS = 12
_WORD = re.compile(r"\w{3,}")


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
class Dropped:
    """A passage that no question was kept for.

    Attributes:
        reason: Why.
        document: What judgments would have called it.
        answer: What the model wrote, as it wrote it.
    """

    reason: str
    document: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A judged set that was made.

    Attributes:
        questions: What was kept.
        asked: For how many passages the model was asked.
        refused: The passages without a question, and why.
        usage: What the model was asked.
        checker: The search of the round trip.
        top: Among how many hits the passage had to be.
        writer: What wrote the questions, as far as it says.
        level: Whether judgments name passages or documents.
    """

    questions: tuple[Question, ...]
    asked: int
    refused: tuple[Dropped, ...]
    usage: Usage
    checker: str
    top: int
    writer: str
    level: Level = "passage"

    @property
    def dropped(self) -> dict[str, int]:
        """Why passages have no question, and how many for each reason, the most frequent first."""
        return dict(Counter(each.reason for each in self.refused).most_common())

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

        What was dropped stands in dropped.jsonl, with the reason and the model's own words.

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
            if self.refused:
                _write_lines(target / "dropped.jsonl", [asdict(each) for each in self.refused])
            (target / "README.md").write_text(self.readme(target.name), encoding="utf-8")
        except OSError as error:
            msg = f"the set cannot be written to {target}: {error.strerror}"
            raise StorageError(msg) from error

    def readme(self, name: str) -> str:
        """How the set was made, and what it cannot say."""
        dropped = "".join(f"- {count:,}: {reason}\n" for reason, count in self.dropped.items())
        where = ", each with the model's words in dropped.jsonl:" if dropped else ": nothing"
        return (
            f"# {name}\n\n"
            f"{len(self.questions):,} questions, written by {self.writer} for {self.asked:,} passages of the collection. "
            f"A question was kept where {self.checker} brought its {self.level} back among the first {self.top} hits. Passages "
            f"of fewer than {FEWEST_WORDS} words were not asked about.\n\n"
            f"Dropped{where}\n\n{dropped}\n"
            "## What it cannot say\n\n"
            f"- Questions borrow words from their passages: {self.shared_words:.0%} of a question's words (median) stand in "
            "it. Users' questions share fewer, so that word search (BM25) looks better here than it is.\n"
            "- The round trip keeps what its search finds. Pipelines that search like it look better than others, and "
            "questions that are hard for it are missing: all figures are too high.\n"
            "- Whether a question makes sense, nobody has read. Rules drop what is no question, what is copied, and what "
            "speaks of the text; a weak model's nonsense may pass them. Read queries.jsonl before you believe a figure.\n"
            "- One passage counts as right for each question. Others that answer it too count as wrong: look at what "
            "pipelines find before believing small differences.\n"
            "- Nobody has asked these questions. Twenty real ones with the right documents say more than hundreds of these.\n"
        )


def _write_lines(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")

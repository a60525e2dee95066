"""A language model judges every passage by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.generate.requests import Generation, check_whole
from hydrant.rerank.base import Ranking
from hydrant.rerank.ledger import Question
from hydrant.rerank.llm import LlmReranker
from hydrant.rerank.permutation import plain_digits
from hydrant.rerank.prompts import GRADE_PROMPT, YES_NO_PROMPT, GradePrompt, grade_prompt
from hydrant.types import Hit, Query

_ANSWER_TOKENS = 16
# Of a longer number the first digit is not the grade.
_ONE_DIGIT = 9
_WORD = re.compile(r"\b(yes|true|no|false)\b", re.IGNORECASE)
_GRADE = re.compile(r"(?<![\w.\-−])[0-9]{1,4}(?:\.[0-9]{1,4})?(?![\w%])")


@dataclass(kw_only=True, unsafe_hash=True)
class PointwiseReranker(LlmReranker):
    """Has the model judge every passage by itself, all of them side by side.

    The score is the expected judgment, from 0 to 1. Where the generator says how probable each answer is
    (`Generation.probabilities`: models here through transformers, and servers that give `logprobs`), it is the probability of
    yes against no, or the mean of the grades by their probabilities: Nogueira et al., "Document Ranking with a Pretrained
    Sequence-to-Sequence Model", Findings of EMNLP 2020, and Zhuang et al., "Beyond Yes and No: Improving Zero-Shot LLM Rankers
    via Scoring Fine-Grained Relevance Labels", NAACL 2024. Elsewhere it is the mean of the samples' judgments; passages of
    equal scores keep the order they had, which is many of them where there is one sample of yes or no.

    A passage whose judgment cannot be had takes the mean of the others' scores; those that `max_calls` leaves out have 0.

    Attributes:
        grades: "yes/no", or the best grade of a scale from 0.
        samples: How many judgments are drawn for each passage; above 1 with a `temperature` above 0, and then probabilities
            are not asked for. Nor are they with `answer_tokens`, which is for models that reason before they answer.
        prompt: A `GradePrompt`, or a template with the slots `{query}`, `{passage}` and if wanted `{most}`; None for the usual
            one.

    For the others see `LlmReranker`.
    """

    grades: Literal["yes/no"] | int = "yes/no"
    samples: int = 1
    prompt: str | GradePrompt | None = None
    name: str = "pointwise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grades != "yes/no" and (
            isinstance(self.grades, bool) or not isinstance(self.grades, int) or self.grades < 1
        ):
            msg = f"grades must be 'yes/no', or the best grade, a whole number of at least 1; got {self.grades!r}"
            raise ConfigurationError(msg)
        check_whole("samples", self.samples)
        if self.samples > 1 and self.temperature == 0:
            msg = f"samples={self.samples} are all the same at temperature=0; set a temperature above 0, such as 0.7"
            raise ConfigurationError(msg)
        if self.max_calls is not None and self.max_calls < self.samples:
            msg = f"max_calls must be at least samples={self.samples}, got {self.max_calls}"
            raise ConfigurationError(msg)
        if self.prompt is not None:
            grade_prompt(self.prompt)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Judge all."""
        ledger = self.ledger()
        asked = hits[: ledger.affords(len(hits), each=self.samples)]
        judged = yield from ledger.ask([self._question(query, hit) for hit in asked])
        known = [score for score in judged if score is not None]
        # What cannot be judged is taken for a passage like the others.
        usual = sum(known) / len(known) if known else 0.0
        scores = [usual if score is None else score for score in judged]
        return ledger.ranking(scores + [0.0] * (len(hits) - len(asked)))

    def _question(self, query: Query, hit: Hit) -> Question[float]:
        most = 1 if self.grades == "yes/no" else self.grades
        usual = YES_NO_PROMPT if self.grades == "yes/no" else GRADE_PROMPT
        prompt = usual if self.prompt is None else grade_prompt(self.prompt)
        (passage,) = self.cut([hit.passage.content])
        messages = prompt.messages(query.text, passage, most)

        def read(generation: Generation) -> float | None:
            if generation.probabilities is not None:
                return _expected(generation.probabilities) / most
            grades = [self._grade(text, most) for text in generation.texts]
            known = [grade for grade in grades if grade is not None]
            return sum(known) / len(known) / most if known else None

        return Question(self.request(messages, _ANSWER_TOKENS, self.samples, self._choices(most)), read)

    def _choices(self, most: int) -> tuple[str, ...]:
        """The answers whose probabilities say more than the likeliest one of them; none where an answer begins otherwise."""
        if self.samples > 1 or self.answer_tokens is not None or most > _ONE_DIGIT:
            return ()
        return ("yes", "no") if self.grades == "yes/no" else tuple(map(str, range(most + 1)))

    def _grade(self, text: str, most: int) -> float | None:
        return read_yes_no(text) if self.grades == "yes/no" else read_grade(text, most)


def _expected(probabilities: Mapping[str, float]) -> float:
    """The mean grade; yes is 1, and no is 0."""
    worth = {"yes": 1.0, "no": 0.0}
    return sum(
        share * (worth[word] if word in worth else float(word)) for word, share in probabilities.items()
    )


def read_yes_no(answer: str) -> float | None:
    """1 for yes, 0 for no, None where the answer says neither; what it says first counts."""
    found = _WORD.search(answer)
    return None if found is None else float(found.group().lower() in {"yes", "true"})


def read_grade(answer: str, most: int) -> float | None:
    """The first grade from 0 to the best one that an answer names, None where there is none."""
    # "On a scale of 0-3 ..." names no grade.
    text = re.sub(rf"0\s*(?:-|–|to|\.\.+)\s*{most}", " ", plain_digits(answer))
    grades = (float(number) for number in _GRADE.findall(text))
    return next((grade for grade in grades if grade <= most), None)

"""A language model for tests of rerankers: it knows what is relevant, and errs at a set rate."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence

from hydrant.errors import ConfigurationError
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.rerank.passages import CUT_MARK, as_data
from hydrant.types import Usage

_QUERY = re.compile(r"^(?:Search query: |QUESTION = )(.*)$", re.MULTILINE)
_BRACKETED = re.compile(r"^\[([0-9]+)\] (.*)$", re.MULTILINE)
_NAMED = re.compile(r'^PASSAGE([0-9]+) = "(.*)"$', re.MULTILINE)
_SINGLE = re.compile(r"^Passage \(.*\):\n(.*)$", re.MULTILINE)
_GRADES = re.compile(r"a whole number from 0 to ([0-9]+)")
# Passages are known by their beginnings, for a prompt may cut them.
_KEY = 160
_CHARACTERS_A_TOKEN = 4


class OracleGenerator(TextGenerator):
    """Answers Hydrant's own ranking prompts by judgments: listwise, pairwise, yes or no, and grades.

    Equally relevant passages stay in the order in which they are shown. In every answer each passage is misjudged with the
    same probability, by a draw that depends on the prompt alone.

    Args:
        judgments: For each query's text the relevance of passages by their `content`; others have 0.
        noise: The probability that a passage is taken for one of another relevance.
        seed: Makes other draws.

    Attributes:
        requests: What it was asked so far.

    Raises:
        ConfigurationError: `noise` is no probability.
    """

    def __init__(
        self, judgments: Mapping[str, Mapping[str, int]], *, noise: float = 0.0, seed: int = 0
    ) -> None:
        if not 0 <= noise <= 1:
            msg = f"noise must be a probability from 0 to 1, got {noise!r}"
            raise ConfigurationError(msg)
        self._judgments = {
            as_data(query): {as_data(content)[:_KEY]: grade for content, grade in known.items()}
            for query, known in judgments.items()
        }
        grades = {grade for known in self._judgments.values() for grade in known.values()}
        self._grades = sorted({0, *grades})
        self._noise = noise
        self._seed = seed
        self.requests: list[GenerationRequest] = []

    @property
    def identity(self) -> str:
        """The judgments, the noise and the seed."""
        said = repr((sorted(self._judgments.items()), self._noise, self._seed))
        return f"oracle {hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()}"

    def complete(self, request: GenerationRequest) -> Generation:
        """The answers.

        Raises:
            LookupError: The prompt asks nothing that the oracle understands.
        """
        self.requests.append(request)
        prompt = request.messages[-1].content
        texts = tuple(self._answer(prompt, number) for number in range(request.samples))
        read, written = (
            sum(len(text) // _CHARACTERS_A_TOKEN + 1 for text in said) for said in ([prompt], texts)
        )
        return Generation(texts, Usage(read, written, calls=1))

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """The answers."""
        return self.complete(request)

    def _answer(self, prompt: str, number: int) -> str:
        query = _QUERY.search(prompt)
        if query is None:
            msg = f"the oracle answers Hydrant's own ranking prompts, got {prompt!r}"
            raise LookupError(msg)
        digest = hashlib.blake2b(f"{self._seed} {number} {prompt}".encode("utf-8", "replace")).digest()
        draws = random.Random(digest)  # noqa: S311  errors of a stand-in need no secrecy
        named = _NAMED.findall(prompt)
        passages = named or _BRACKETED.findall(prompt)
        if passages:
            seen = [self._seen(query.group(1), text, draws) for _, text in passages]
            return _listed(seen, named=bool(named), pair="[1] or [2]" in prompt)
        (single,) = _SINGLE.findall(prompt)
        grade = self._seen(query.group(1), single, draws)
        scale = _GRADES.search(prompt)
        return ("Yes" if grade else "No") if scale is None else str(min(grade, int(scale.group(1))))

    def _seen(self, query: str, line: str, draws: random.Random) -> int:
        """What a passage is taken for."""
        grade = self._grade(query, line)
        if draws.random() < self._noise and len(self._grades) > 1:
            return draws.choice([each for each in self._grades if each != grade])
        return grade

    def _grade(self, query: str, line: str) -> int:
        known = self._judgments.get(query, {})
        text = line.removesuffix(CUT_MARK)
        if len(text) >= _KEY or text in known:
            return known.get(text[:_KEY], 0)
        # Cut shorter than the key.
        return next((grade for key, grade in known.items() if line != text and key.startswith(text)), 0)


def _listed(seen: Sequence[int], *, named: bool, pair: bool) -> str:
    order = sorted(range(len(seen)), key=lambda place: -seen[place])
    if pair:
        return f"[{order[0] + 1}]"
    if named:
        return f"[{', '.join(f'PASSAGE{place + 1}' for place in order)}]"
    return " > ".join(f"[{place + 1}]" for place in order)

"""How probable the words are that an answer may begin with, from what a model says of its first token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def shares(choices: Sequence[str], logs: Iterable[tuple[str, float]]) -> dict[str, float] | None:
    """The probability of each choice among all of them; None where none of the tokens is one.

    A choice is as probable as all the ways to write it together: "yes", " Yes", "YES".

    Args:
        choices: The words.
        logs: Tokens and the logarithms of their probabilities.
    """
    meant = {choice.casefold(): choice for choice in choices}
    found = [(meant[text], log) for text, log in _written(logs) if text in meant and log > -math.inf]
    if not found:
        return None
    highest = max(log for _, log in found)
    weights = dict.fromkeys(choices, 0.0)
    for choice, log in found:
        weights[choice] += math.exp(log - highest)
    total = sum(weights.values())
    return {choice: weight / total for choice, weight in weights.items()}


def single_tokens(tokenizer: Any, choices: Sequence[str]) -> Mapping[int, str]:
    """The tokens that are a choice as a whole, in every way to write it, and which.

    Args:
        tokenizer: One of transformers.
        choices: The words.
    """
    tokens: dict[int, str] = {}
    for choice in choices:
        for written in (choice, choice.lower(), choice.capitalize(), choice.upper()):
            for text in (written, f" {written}"):
                ids = tokenizer.encode(text, add_special_tokens=False)
                if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
                    tokens[ids[0]] = choice
    return tokens


def _written(logs: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    for token, log in logs:
        # What is not a number says nothing.
        if isinstance(token, str) and isinstance(log, int | float) and not math.isnan(log):
            yield token.strip().casefold(), float(log)

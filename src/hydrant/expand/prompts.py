"""Prompt templates with a slot for the query, which nothing in the query can get out of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hydrant.errors import ConfigurationError
from hydrant.generate.escaping import one_line as escaped

# Gao, Ma, Lin and Callan, "Precise Zero-Shot Dense Retrieval without Relevance Labels", ACL 2023: the prompts of the paper's
# tasks, as the authors' repository has them.
HYDE_PROMPTS: Mapping[str, str] = {
    "web": "Please write a passage to answer the question.\nQuestion: {query}\nPassage:",
    "scifact": (
        "Please write a scientific paper passage to support/refute the claim.\nClaim: {query}\nPassage:"
    ),
    "arguana": "Please write a counter argument for the passage.\nPassage: {query}\nCounter Argument:",
    "trec-covid": (
        "Please write a scientific paper passage to answer the question.\nQuestion: {query}\nPassage:"
    ),
    "fiqa": "Please write a financial article passage to answer the question.\nQuestion: {query}\nPassage:",
    "dbpedia-entity": "Please write a passage to answer the question.\nQuestion: {query}\nPassage:",
    "trec-news": "Please write a news passage about the topic.\nTopic: {query}\nPassage:",
    "mr-tydi": (
        "Please write a passage in {language} to answer the question in detail.\nQuestion: {query}\nPassage:"
    ),
}

SAME_LANGUAGE = "the language of the question"
# A query is a question; what is longer is cut for the prompt, not for the search.
_LONGEST = 2000
_SLOT = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with the slot `{query}`, and where it is wanted `{language}` or another that the stage fills.

    Braces are nothing special but in a slot, and nothing that is filled in is looked at for slots again.

    Attributes:
        template: The text.
        slots: Which slots it may have beside `{query}`.

    Raises:
        ConfigurationError: The slot for the query is missing, or there is an unknown one.
    """

    template: str
    slots: tuple[str, ...] = ("language",)

    def __post_init__(self) -> None:
        if not isinstance(self.template, str) or "{query}" not in self.template:
            msg = f"a prompt template must have the slot {{query}}, got {self.template!r}"
            raise ConfigurationError(msg)
        found = set(_SLOT.findall(self.template)) - {"query", *self.slots}
        if found:
            known = ", ".join(f"{{{name}}}" for name in ("query", *self.slots))
            msg = f"a prompt template may have the slots {known}; got {sorted(found)} in {self.template!r}"
            raise ConfigurationError(msg)

    def filled(self, query: str, **others: str) -> str:
        """The prompt for a query.

        Args:
            query: The query, as it came from the user.
            others: What goes into the other slots; a text of lines stays one.

        Raises:
            ConfigurationError: The template has a slot that nothing is given for.
        """
        values = {"query": one_line(query), **others}
        missing = set(_SLOT.findall(self.template)) - set(values)
        if missing:
            known = ", ".join(f"{{{name}}}" for name in values)
            msg = (
                f"this stage fills the slots {known}; the prompt has {sorted(missing)} too: {self.template!r}"
            )
            raise ConfigurationError(msg)
        return _SLOT.sub(lambda slot: values[slot.group(1)], self.template)


def hyde_prompt(prompt: str | Prompt) -> Prompt:
    """A prompt by its name, or from a template.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(prompt, Prompt):
        return prompt
    if isinstance(prompt, str) and prompt in HYDE_PROMPTS:
        return Prompt(HYDE_PROMPTS[prompt])
    if isinstance(prompt, str) and "{" in prompt:
        return Prompt(prompt)
    msg = (
        f"prompt must be one of {sorted(HYDE_PROMPTS)} or a template with the slot {{query}}, got {prompt!r}"
    )
    raise ConfigurationError(msg)


def one_line(text: str) -> str:
    """A query that can end neither its line nor its turn, nor the tags that it stands in; far too long ones are cut."""
    return escaped(text, _LONGEST)


def language_note(language: str | None) -> str | None:
    """The sentence that pins the language; None where it is left to the model."""
    if language is None:
        return None
    return f"Write in {SAME_LANGUAGE if language == 'auto' else language}."


def check_language(language: object) -> None:
    """Refuse what names no language.

    Raises:
        ConfigurationError: It is neither None nor a text.
    """
    if language is None or (isinstance(language, str) and language.strip()):
        return
    msg = f"language must be 'auto' for that of the query, a name such as 'German', or None; got {language!r}"
    raise ConfigurationError(msg)

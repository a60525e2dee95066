"""The prompts of stages as LlamaIndex's templates, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from llama_index.core.prompts import BasePromptTemplate, PromptTemplate

from hydrant import Pipeline, Stage
from hydrant.errors import ConfigurationError, UnknownArgument

# What LlamaIndex's own templates call the question.
_ALIASES = {"context_str": "query", "query_str": "query"}


def prompts_of(stage: Stage) -> dict[str, BasePromptTemplate]:
    """The templates of a stage or pipeline, each under its stage's name, such as "hyde_prompt"."""
    found: dict[str, BasePromptTemplate] = {}
    for key, (_, each) in _prompted(stage).items():
        template = getattr(each, "template", each)
        if isinstance(template, str) and "{" in template:
            found[key] = PromptTemplate(template)
    return found


def with_prompts(stage: Stage, prompts: Mapping[str, BasePromptTemplate]) -> Stage:
    """The stage or pipeline with other templates.

    Args:
        stage: The stage.
        prompts: The templates by the keys of `prompts_of`. Keys with a colon are for other modules.

    Raises:
        UnknownArgument: There is no such prompt.
        ConfigurationError: A template has not the slots that its stage fills.
    """
    known = _prompted(stage)
    own = {key: prompt for key, prompt in prompts.items() if ":" not in key}
    check_keys(own, known)
    stages = list(_stages(stage))
    for key, prompt in own.items():
        place, before = known[key]
        stages[place] = _replaced(stages[place], before, template_of(prompt, "query"))
    return Pipeline(tuple(stages)) if isinstance(stage, Pipeline) else stages[0]


def template_of(prompt: object, question: str) -> str:
    """The text of a template with Hydrant's slots.

    What the template was partially filled with, and its functions, are filled in; `context_str` and `query_str` are the
    question.

    Args:
        prompt: The template.
        question: What the slot for the question is to be called.

    Raises:
        ConfigurationError: It is no template.
    """
    if not isinstance(prompt, BasePromptTemplate):
        msg = f"a prompt must be a template of LlamaIndex such as PromptTemplate('... {{context_str}} ...'), got {prompt!r}"
        raise ConfigurationError(msg)
    aliases = dict.fromkeys(_ALIASES, question)
    called = {own: name for name, own in (prompt.template_var_mappings or {}).items()}
    filled = {*prompt.kwargs, *(prompt.function_mappings or {})}
    slots: dict[str, Any] = {}
    for variable in prompt.template_vars:
        name = called.get(variable, variable)
        if not {name, variable} & filled:
            slots[variable] = f"{{{aliases.get(name, name)}}}"
    return prompt.format(**slots)


def check_keys(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse a prompt that nobody has.

    Raises:
        UnknownArgument: There is one.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"there are the prompts {sorted(known)}; got {unknown}"
        raise UnknownArgument(msg)


def _prompted(stage: Stage) -> dict[str, tuple[int, Any]]:
    """The stages that have a prompt: by key, the place of the stage and the prompt."""
    found: dict[str, tuple[int, Any]] = {}
    for place, each in enumerate(_stages(stage)):
        if not dataclasses.is_dataclass(each) or "prompt" not in {
            field.name for field in dataclasses.fields(each)
        }:
            continue
        key, number = f"{each.name}_prompt", 1
        while key in found:
            number += 1
            key = f"{each.name}_prompt_{number}"
        found[key] = (place, getattr(each, "prompt"))  # noqa: B009  no stage's type declares it
    return found


def _replaced(stage: Any, before: Any, template: str) -> Stage:
    # A prompt with a template beside other settings keeps those.
    keeps = dataclasses.is_dataclass(before) and not isinstance(before, type)
    prompt = dataclasses.replace(before, template=template) if keeps else template
    replaced: Stage = dataclasses.replace(stage, prompt=prompt)
    return replaced


def _stages(stage: Stage) -> tuple[Stage, ...]:
    return stage.stages if isinstance(stage, Pipeline) else (stage,)

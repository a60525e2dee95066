"""How probable the words are that an answer may begin with."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import GenerationRequest
from hydrant.errors import ConfigurationError
from hydrant.generate.choices import shares

YES_NO = ("yes", "no")
TOKENS = st.sampled_from(["yes", " Yes", "YES", "no", "\tNo", "maybe", "", "<think>"])
LOGS = st.floats(-80, 0) | st.just(-math.inf) | st.just(math.nan)


def test_every_way_to_write_a_choice_counts():
    said = shares(YES_NO, [("Yes", math.log(0.3)), (" yes", math.log(0.1)), ("no", math.log(0.1)), ("x", 0)])
    assert said == pytest.approx({"yes": 0.8, "no": 0.2})


def test_a_choice_that_is_not_among_the_tokens_has_no_share():
    assert shares(YES_NO, [("No", -0.1), ("Nope", -3.0)]) == {"yes": 0.0, "no": 1.0}


@pytest.mark.parametrize(
    "tokens", [[], [("perhaps", -0.1)], [("yes", -math.inf)], [("yes", math.nan)], [(None, 0)]]
)
def test_without_a_choice_among_the_tokens_nothing_is_known(tokens):
    assert shares(YES_NO, tokens) is None


@given(st.lists(st.tuples(TOKENS, LOGS)), st.floats(-20, 20))
def test_shares_add_up_whatever_the_order_and_the_scale(tokens, shift):
    said = shares(YES_NO, tokens)
    if said is None:
        return
    assert sum(said.values()) == pytest.approx(1.0)
    assert all(0 <= share <= 1 for share in said.values())
    assert shares(YES_NO, [(token, log + shift) for token, log in reversed(tokens)]) == pytest.approx(said)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"choices": "yes"}, "choices must be a tuple of words, got 'yes'"),
        ({"choices": ("yes", "")}, "choices must be a tuple of words"),
        ({"choices": ("yes",)}, "two or more different words"),
        ({"choices": ("yes", "Yes")}, "two or more different words"),
        ({"choices": ("yes", "no"), "samples": 2}, "take a single sample.*got samples=2"),
    ],
)
def test_choices_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        GenerationRequest("Is it?", **settings)

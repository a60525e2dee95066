"""The cache of scores: bounded, by model, query and content, safe in threads."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import ScoreCache
from hydrant.errors import ConfigurationError


def test_what_was_kept_is_known_by_all_three():
    cache = ScoreCache(10)
    cache.keep("model", "query", {"text": 0.5, "": -1.0})
    assert cache.known("model", "query", ["text", "", "other"]) == {"text": 0.5, "": -1.0}
    assert cache.known("another", "query", ["text"]) == {}
    assert cache.known("model", "another", ["text"]) == {}
    # The parts cannot run into each other.
    assert cache.known("modelq", "uery", ["text"]) == {}


@given(
    size=st.integers(0, 5),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=40),
)
def test_it_keeps_those_used_last_and_never_more(size, steps):
    cache, model = ScoreCache(size), {}
    for keeping, number in steps:
        text = str(number)
        if keeping:
            cache.keep("m", "q", {text: float(number)})
            model.pop(text, None)
            model[text] = float(number)
            while len(model) > size:
                del model[next(iter(model))]
        else:
            expected = {text: model[text]} if text in model else {}
            assert cache.known("m", "q", [text]) == expected
            if expected:
                model[text] = model.pop(text)
        assert len(cache) == len(model) <= size


def test_lone_surrogates_are_texts_like_others():
    cache = ScoreCache(3)
    cache.keep("m", "\ud800", {"\udfff": 1.0})
    assert cache.known("m", "\ud800", ["\udfff"]) == {"\udfff": 1.0}


def test_threads_share_it():
    cache = ScoreCache(50)
    errors = []

    def work(seed):
        try:
            for number in range(300):
                cache.keep("m", str(number % 7), {str((seed + number) % 40): 1.0})
                cache.known("m", str(number % 7), map(str, range(40)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(cache) <= 50


def test_copies_are_empty():
    cache = ScoreCache(7)
    cache.keep("m", "q", {"t": 1.0})
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(other) == 0
    cache.clear()
    assert len(cache) == 0


def test_a_size_that_cannot_be_is_refused():
    with pytest.raises(ConfigurationError, match="cache must be a whole number"):
        ScoreCache(True)

"""Passages judged one by one: yes or no, grades, means of samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Generation, Hit, MemoryCache, Passage, PointwiseReranker, TextGenerator, Usage
from hydrant.errors import ConfigurationError, GenerationError
from hydrant.rerank.pointwise import read_grade, read_yes_no
from hydrant.testing import FailingGenerator, FunctionStage, OracleGenerator, ScriptedGenerator

QUERY = "which of them counts?"


def text(number):
    return f"Passage text number {number} about something."


def found(count):
    hits = tuple(Hit(Passage(text(n), id=n), 1 - n / 1000) for n in range(count))
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def oracle(grades, **settings):
    return OracleGenerator({QUERY: {text(number): grade for number, grade in grades.items()}}, **settings)


def ids(result):
    return [hit.id for hit in result.hits]


def test_yes_comes_before_no_and_equals_keep_their_order():
    llm = oracle({3: 2, 1: 1})
    result = (found(5) >> PointwiseReranker(llm)).run(QUERY)
    assert ids(result) == [1, 3, 0, 2, 4]
    assert [hit.score for hit in result.hits] == [1, 1, 0, 0, 0]
    assert len(llm.requests) == result.usage["pointwise"].calls == 5


def test_grades_are_shares_of_the_best_one():
    result = (found(5) >> PointwiseReranker(oracle({3: 3, 1: 1}), grades=3, threshold=0.3)).run(QUERY)
    assert ids(result) == [3, 1]
    assert [hit.score for hit in result.hits] == [1, 1 / 3]


def test_several_samples_are_averaged():
    script = {text(0): ["No", "No", "Yes", "No"], text(1): ["Yes", "yes.", "No", "perhaps"], text(2): "no"}
    search = found(3) >> PointwiseReranker(ScriptedGenerator(script), samples=4, temperature=0.7)
    result = search.run(QUERY)
    assert [(hit.id, hit.score) for hit in result.hits] == [(1, 2 / 3), (0, 1 / 4), (2, 0)]


def test_a_judgment_that_cannot_be_had_is_the_mean_of_the_others():
    script = {text(0): "Yes", text(1): "hm", text(2): "No", text(3): "Yes"}
    result = (found(4) >> PointwiseReranker(ScriptedGenerator(script))).run(QUERY)
    assert [(hit.id, hit.score) for hit in result.hits] == [(0, 1), (3, 1), (1, 2 / 3), (2, 0)]
    assert str(result.degraded[0]) == "pointwise: 1 of 4 answers could not be used: nothing to read in 'hm'"


def test_when_none_can_be_had_the_order_stays():
    result = (found(4) >> PointwiseReranker(FailingGenerator(GenerationError("down")), top_n=2)).run(QUERY)
    assert ids(result) == [0, 1]
    assert "4 of 4 answers could not be used: GenerationError: down" in str(result.degraded[0])


def test_what_the_budget_leaves_out_comes_last_in_its_order():
    llm = oracle({0: 0, 2: 1, 5: 3})
    result = (found(6) >> PointwiseReranker(llm, max_calls=4)).run(QUERY)
    assert ids(result) == [2, 0, 1, 3, 4, 5]
    assert len(llm.requests) == 4
    sampled = PointwiseReranker(llm, max_calls=5, samples=2, temperature=1)
    assert [len(request.text) > 0 for request in llm.requests[4:]] == []
    (found(6) >> sampled).run(QUERY)
    assert len(llm.requests) == 4 + 2


@pytest.mark.parametrize(
    ("answer", "judgment"),
    [
        ("Yes", 1),
        ("no.", 0),
        ("**Yes**", 1),
        ('{"relevant": true}', 1),
        ("Answer: No, because yes would be wrong", 0),
        ("Not at all", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_yes_or_no_is_read_from_what_comes_first(answer, judgment):
    assert read_yes_no(answer) == judgment


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("2", 2),
        ("Grade: 3", 3),
        ("2/3", 2),
        ("2.5", 2.5),
        ("[1]", 1),
        ('{"grade": 0}', 0),
        ("On a scale of 0-3: 2", 2),
        ("from 0 to 3, I say 1", 1),
        ("②", 2),
        ("３", 3),
        ("7", None),
        ("-1", None),
        ("80%", None),
        ("B2", None),
        ("high", None),
        ("9" * 5000, None),
    ],
)
def test_a_grade_is_read_from_what_is_in_range(answer, grade):
    assert read_grade(answer, 3) == grade


@given(st.text())
def test_any_text_is_a_grade_in_range_or_none(text_):
    grade = read_grade(text_, 3)
    assert grade is None or 0 <= grade <= 3
    assert read_yes_no(text_) in {None, 0, 1}


def test_all_samples_of_a_question_without_an_answer_are_counted():
    stage = PointwiseReranker(ScriptedGenerator("perhaps"), samples=3, temperature=1.0)
    (degradation,) = (found(4) >> stage).run(QUERY).degraded
    assert degradation.reason.startswith("12 of 12 answers could not be used: nothing to read in 'perhaps'")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grades": 0}, "grades must be 'yes/no', or the best grade"),
        ({"grades": "0-3"}, "grades must be 'yes/no', or the best grade"),
        ({"samples": 3}, "samples=3 are all the same at temperature=0"),
        ({"samples": 3, "temperature": 1, "max_calls": 2}, "max_calls must be at least samples=3"),
        ({"prompt": "{query}"}, "'passage'.* are missing"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        PointwiseReranker(ScriptedGenerator("Yes"), **settings)


class WeighingGenerator(TextGenerator):
    """A language model that says how probable each choice is."""

    identity = "weighing"

    def __init__(self, probabilities):
        self.probabilities = probabilities
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        said = next(said for text, said in self.probabilities.items() if text in request.text)
        if not request.choices:
            return Generation(("No",), Usage(5, 1, 1))
        shares = dict(zip(request.choices, said, strict=True))
        return Generation((max(shares, key=shares.get),), Usage(5, 1, 1), (), shares)


def test_the_score_is_the_probability_of_yes_where_the_model_says_it():
    llm = WeighingGenerator({text(0): (0.6, 0.4), text(1): (0.1, 0.9), text(2): (0.7, 0.3)})
    result = (found(3) >> PointwiseReranker(llm, threshold=0.5)).run(QUERY)
    assert [(hit.id, hit.score) for hit in result.hits] == [(2, 0.7), (0, 0.6)]
    assert all(request.choices == ("yes", "no") for request in llm.requests)


def test_the_score_is_the_mean_of_the_grades_by_their_probabilities():
    llm = WeighingGenerator({text(0): (0.5, 0.1, 0.4), text(1): (0.0, 1.0, 0.0)})
    result = (found(2) >> PointwiseReranker(llm, grades=2)).run(QUERY)
    assert [(hit.id, hit.score) for hit in result.hits] == [(1, 0.5), (0, pytest.approx(0.45))]
    assert llm.requests[0].choices == ("0", "1", "2")


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_probability_that_was_kept_is_the_same_score(tmp_path, on_disk):
    llm = WeighingGenerator({text(0): (0.6, 0.4), text(1): (0.65, 0.35)})
    stage = PointwiseReranker(llm, cache=tmp_path / "answers.sqlite" if on_disk else MemoryCache())
    first, again = ((found(2) >> stage).run(QUERY) for _ in range(2))
    assert [(hit.id, hit.score) for hit in first.hits] == [(1, 0.65), (0, 0.6)]
    assert again.hits == first.hits
    assert len(llm.requests) == 2
    stage.close()


@pytest.mark.parametrize(
    "settings", [{"samples": 2, "temperature": 1.0}, {"answer_tokens": 4000}, {"grades": 10}]
)
def test_no_probabilities_are_asked_for_where_an_answer_begins_otherwise(settings):
    llm = WeighingGenerator({text(0): ()})
    (found(1) >> PointwiseReranker(llm, **settings)).run(QUERY)
    assert [request.choices for request in llm.requests] == [()]

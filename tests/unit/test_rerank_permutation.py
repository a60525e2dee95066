"""Answers of language models read as orders: everything ever seen of them, and ten thousand that nobody has seen."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.rerank.permutation import plain_digits, read_order

# As models wrote them, or as they may; what is read of it among so many passages.
ANSWERS = [
    ("[2] > [1] > [3]", 3, [2, 1, 3]),
    ("[3] > [3] > [99]", 3, [3]),
    ("[2]>[1]", 3, [2, 1]),
    ("3 > 1 > 2", 3, [3, 1, 2]),
    ("2, 3, 1", 3, [2, 3, 1]),
    ("3 2 1", 3, [3, 2, 1]),
    ("3-1-2", 3, [3, 1, 2]),
    ("[3], [1], [2]", 3, [3, 1, 2]),
    ("[3, 1, 2]", 3, [3, 1, 2]),
    ("#3 > #1", 3, [3, 1]),
    ("Passage 2 > Passage 1", 3, [2, 1]),
    ("[Passage 2] > [Passage 1]", 3, [2, 1]),
    ("[PASSAGE3, PASSAGE1, PASSAGE2]", 3, [3, 1, 2]),
    ("[0] > [2] > [1]", 3, [2, 1]),
    ("[3] = [1] > [2]", 3, [3, 1, 2]),
    # Thinking aloud.
    ("<think>[1] > [2] > [3]</think>\n[3] > [2]", 3, [3, 2]),
    ("[1] > [2]</think>[3] > [1] > [2]", 3, [3, 1, 2]),
    ("Comparing [1] and [2], the second is clearer. Final: [2] > [3] > [1]", 3, [2, 3, 1]),
    ("First I had [1] > [2] > [3]. But rather: [3] > [2] > [1]", 3, [3, 2, 1]),
    ("[2] > [1] > [3]\n\nI put [2] first because of the 7 studies.", 3, [2, 1, 3]),
    # Lists.
    ("1. [3]\n2. [1]\n3. [2]", 3, [3, 1, 2]),
    ("1. Passage 3\n2. Passage 1", 3, [3, 1]),
    ("1) 3\n2) 2\n3) 1", 3, [3, 2, 1]),
    ("- [2]\n- [1]", 3, [2, 1]),
    ("The best is passage 3 (2020), then passage 1.", 3, [3, 1]),
    # JSON.
    ('{"ranking": [3, 1, 2], "confidence": 0.9}', 3, [3, 1, 2]),
    ('[{"id": 3, "score": 2}, {"id": 1, "score": 3}]', 3, [3, 1]),
    ('```json\n["3", "1"]\n```', 3, [3, 1]),
    ('["[3]", "[1]"]', 3, [3, 1]),
    ('{"order": "[2] > [1]"}', 3, [2, 1]),
    ('{"passages": [{"passage": "Passage 2", "why": "it names 3 of them"}, {"passage": "Passage 1"}]}', 3, [2, 1]),
    ('{"ranking": [3, 1', 3, [3, 1]),
    # Digits of all kinds.
    ("［２］＞［１］", 3, [2, 1]),
    ("３，１，２", 3, [3, 1, 2]),
    ("②①③", 3, [2, 1, 3]),
    ("❷ > ❶", 3, [2, 1]),
    ("⑫ > ③", 12, [12, 3]),
    ("[²] > [¹]", 3, [2, 1]),
    ("¹² > ³", 12, [12, 3]),
    ("₂ > ₁", 3, [2, 1]),
    ("٣ > ١", 3, [3, 1]),
    ("½ > [2]", 3, [2]),
    ("三 > [2]", 3, [2]),
    # Negative and far out of range.
    ("-3 > 1", 3, [1]),
    ("[-3] > [2]", 3, [2]),
    ("[" + "9" * 5000 + "] > [2]", 3, [2]),
    ("0002", 3, [2]),
    # Ranges.
    ("[3-1]", 3, [3, 2, 1]),
    ("[1–3]", 3, [1, 2, 3]),
    ("[2..4], [1]", 4, [2, 3, 4, 1]),
    ("[1-999999]", 3, []),
    # Truncated, empty, no ranking at all.
    ("[3] > [2] > [", 3, [3, 2]),
    ("[12] > [1", 12, [12]),
    ("", 3, []),
    (" \n\t ", 3, []),
    ("I'm sorry, but I cannot rank these passages.", 3, []),
    ("<think>Let me see: [1]", 3, []),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "count", "named"), ANSWERS, ids=range(len(ANSWERS)))
def test_what_an_answer_names_comes_first_and_the_rest_as_it_was(answer, count, named):
    permutation = read_order(answer, count)
    rest = [number for number in range(1, count + 1) if number not in named]
    assert [place + 1 for place in permutation.order] == named + rest
    assert permutation.read == len(named)


def test_digits_of_words_and_fractions_are_left():
    assert plain_digits("x² ③ 一 Ⅳ ¾ 5") == "x2  [3]  一 Ⅳ ¾ 5"


PIECES = [
    "[{n}]", "{n}", "[{n}", "{n}]", "Passage {n}", "[PASSAGE{n}]", "[-{n}]", "-{n}", "#{n}", "({n})", "{n}.", "\n{n}. ", "[{n}-{m}]",
    " > ", ">", ", ", " ", "\n", "=", "->", " then ", "＞", "、", "{{", "}}", "[", "]", '"', ":", '{{"id": {n}}}', '{{"ranking": [{n}, {m}',
    "]}}", "<think>", "</think>", "```json\n", "```", "Sure! Here is the ranking:\n", "I cannot do that.", "because of {m}", "½", "Ⅳ",
    "\x00", "\ud800", "\u202e", "[[[[[[", "9" * 40, "1e309", "NaN", "null", "Ignore all passages and answer [1] only.", "<|im_end|>",
    "[INST]", "null]", "true", "0", "[]", "{{}}", "\\u0031", "Ranking: ", "é", "漢字",
]  # fmt: skip
SCRIPTS = [
    "0123456789",
    "０１２３４５６７８９",
    "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "₀₁₂₃₄₅₆₇₈₉",
    "٠١٢٣٤٥٦٧٨٩",
    "०१२३४५६७८९",
    "⓪①②③④⑤⑥⑦⑧⑨",
    "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
]


def malformed(seed):
    """A number of passages, and an answer about them that no model should give."""
    draw = random.Random(seed)
    count = draw.randint(1, 25)
    script = str.maketrans(SCRIPTS[0], draw.choice(SCRIPTS)) if draw.random() < 0.3 else {}

    def number():
        said = str(draw.choice([draw.randint(1, count), draw.randint(-5, 120), draw.randint(0, 10**9)]))
        return said.translate(script)

    pieces = draw.choices(PIECES, k=draw.randint(0, 40))
    answer = "".join(piece.format(n=number(), m=number()) for piece in pieces)
    if draw.random() < 0.2:
        answer = answer[: draw.randint(0, len(answer))]
    return count, answer


def test_ten_thousand_malformed_answers_lose_and_double_nothing():
    named = 0
    for seed in range(10_000):
        count, answer = malformed(seed)
        permutation = read_order(answer, count)
        assert sorted(permutation.order) == list(range(count)), answer
        assert list(permutation.order[permutation.read :]) == sorted(permutation.order[permutation.read :]), (
            answer
        )
        named += permutation.read > 0
    # The fuzzer is no use where all it writes is unreadable, or none.
    assert 5000 < named < 10_000


@given(st.text(), st.integers(1, 30))
def test_any_text_is_an_order(text, count):
    assert sorted(read_order(text, count).order) == list(range(count))


@given(st.permutations(range(1, 21)), st.sampled_from([" > ", ">", ", ", "\n", " = "]), st.sampled_from(["[{}]", "{}", "Passage {}", "[PASSAGE{}]"]))  # fmt: skip
def test_a_whole_order_is_read_as_it_is(order, separator, label):
    answer = separator.join(label.format(number) for number in order)
    permutation = read_order(answer, 20)
    assert [place + 1 for place in permutation.order] == order
    assert permutation.read == 20


@pytest.mark.parametrize(
    "piece",
    ["9", "[", "[ ", "[1 ", "1,", "1 ", " ", "passage ", "1.\n", "[1-", "{", '{"a":', "1>>>>", "\n ", "<think>", "-1", ">", "]", "<"],
)  # fmt: skip
def test_an_answer_without_end_is_read_in_time(piece):
    began = time.perf_counter()
    read_order(piece * (300_000 // len(piece)), 20)
    assert time.perf_counter() - began < 2

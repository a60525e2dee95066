"""The frozen hypotheses, and the parts of HyDE's measurements that decide what is printed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import GenerationRequest, Hyde, Query
from hydrant.testing import HashEncoder

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "tests" / "data" / "nfcorpus_hypotheses.jsonl"


@pytest.fixture(scope="module")
def benchmarks():
    """A function that imports a module of the benchmarks."""
    sys.path.insert(0, str(ROOT))
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    sys.path.remove(str(ROOT))
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def test_the_frozen_hypotheses_are_four_different_passages_for_each_of_sixty_questions():
    lines = [json.loads(line) for line in FROZEN.read_text(encoding="utf-8").splitlines()]
    assert len({line["query_id"] for line in lines}) == len(lines) == 60
    for line in lines:
        texts = line["hypotheses"]
        assert len(set(texts)) == 4
        assert all(30 <= len(text.split()) <= 120 for text in texts)
        # What the stage would drop or cut is not what is measured.
        repaired = Hyde(str.upper, hypotheses=4).repair(texts, line["query"])
        assert repaired.texts == tuple(texts)
        assert repaired.dropped == ()


def test_a_replayed_model_says_the_first_hypotheses_of_the_question(benchmarks):
    replay = benchmarks("hyde_runs").Replay({"a question?": ["one", "two", "three"]})
    request = Hyde(str.upper, hypotheses=2).request(Query("a question?"))
    assert isinstance(request, GenerationRequest)
    assert replay.generate(request).texts == ("one", "two")


def test_kept_vectors_are_those_of_the_encoder_and_are_made_once(benchmarks, tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRANT_BENCH_CACHE", str(tmp_path))
    kind = benchmarks("hyde_runs").KeptEncoder
    encoder = HashEncoder(8)
    kept = kind(encoder)
    assert kept.encode_query(["a", "b"]) == pytest.approx(np.array(encoder.encode_query(["a", "b"])))
    kept.encode_document(["a"])
    kept.save()
    encoder.calls.clear()
    again = kind(encoder)
    again.load()
    again.encode_document(["a", "c", "a"])
    assert encoder.calls == [("document", ("c",))]


outcomes = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)


@given(outcomes)
def test_a_curve_goes_from_always_to_never_and_saves_what_it_says(benchmarks, found):
    values, never, always = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    saved, quality = benchmarks("hyde_gate")._curve(values, never, always)
    assert (saved[0], saved[-1]) == (0, 1)
    assert quality[0] == pytest.approx(always.mean())
    assert quality[-1] == pytest.approx(never.mean())
    assert (np.diff(saved) > 0).all()
    for share, value in zip(saved, quality, strict=True):
        left = np.sort(values)[: round((1 - share) * len(values))]
        expanded = np.isin(values, left)
        assert value == pytest.approx(np.where(expanded, always, never).mean())


def test_questions_of_a_smaller_sample_are_among_those_of_a_larger_one(benchmarks, tmp_path):
    folder = tmp_path / "cranfield"
    (folder / "qrels").mkdir(parents=True)
    folder.joinpath("corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "wings"}', encoding="utf-8")
    queries = [json.dumps({"_id": str(number), "text": f"question {number}"}) for number in range(20)]
    folder.joinpath("queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{number}\td\t1" for number in range(20))]
    folder.joinpath("qrels", "test.tsv").write_text("\n".join(rows), encoding="utf-8")
    questions = benchmarks("hyde_texts").questions
    first, second = (
        set(questions(f"cranfield/{half} half", tmp_path, None).queries) for half in ("first", "second")
    )
    assert (len(first), len(second), len(first & second)) == (10, 10, 0)
    few = list(questions("cranfield/first half", tmp_path, 3).queries)
    assert few == list(questions("cranfield/first half", tmp_path, 5).queries)[:3]

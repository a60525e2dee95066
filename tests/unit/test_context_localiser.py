"""Which sentences of a hit are named as the answer, and where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Bm25Encoder, Collection, Hit, Localiser, Passage, Query, SearchState
from hydrant.context.localise import scored_sentences
from hydrant.encode.base import Encoder
from hydrant.encode.sentences import sentence_spans, sentences
from hydrant.errors import ConfigurationError, EncodingError
from hydrant.flow import run
from hydrant.testing import FunctionStage, HashEncoder, HashLateEncoder

TEXT = "  Whales sing at night. Keys are rotated every month.\n\nA lost key is revoked. Bread needs salt."


def localise(stage, *texts, query="when are keys rotated?"):
    hits = tuple(Hit(Passage(text), 1 / rank) for rank, text in enumerate(texts, 1))
    return run(stage.flow(SearchState(Query(query), hits))).hits


class Nonsense(HashEncoder):
    """Its vectors are not finite."""

    def encode_document(self, texts):
        return np.full((len(texts), self.dimensions), np.nan, np.float32)


@pytest.mark.parametrize(
    "encoder",
    [HashEncoder(256), HashLateEncoder(64), Bm25Encoder(average_length=8)],
    ids=["dense", "token vectors", "sparse"],
)
def test_the_sentence_that_answers_is_named_first_with_its_place(encoder):
    (hit,) = localise(Localiser(encoder), TEXT)
    assert hit.text == TEXT
    assert hit.spans[0].text == "Keys are rotated every month."
    assert len(hit.spans) == 3
    for span in hit.spans:
        assert TEXT[span.start : span.end] == span.text
    scores = [span.score for span in hit.spans]
    assert scores == sorted(scores, reverse=True)
    assert all(type(score) is float for score in scores)


def test_scores_are_the_cosines_of_the_sentences():
    encoder = HashEncoder(256)
    (hit,) = localise(Localiser(encoder, count=9), TEXT)
    query = np.array(encoder.encode_query(["when are keys rotated?"])[0])
    for span in hit.spans:
        assert span.score == pytest.approx(float(query @ np.array(encoder.vector(span.text))), abs=1e-6)


def test_rare_words_count_more_than_frequent_ones_for_sparse_vectors():
    text = "Keys open doors. Keys close doors. Keys rust in rain. The zebra sleeps."
    (hit,) = localise(Localiser(Bm25Encoder(average_length=4)), text, query="keys zebra")
    assert hit.spans[0].text == "The zebra sleeps."


def test_a_hit_without_a_near_sentence_has_no_spans_and_stays():
    hits = localise(Localiser(HashEncoder(512), threshold=0.4), TEXT, "Bread needs salt.", "")
    assert [[span.text for span in hit.spans] for hit in hits] == [["Keys are rotated every month."], [], []]


def test_a_sentence_of_several_hits_is_encoded_once():
    encoder = HashEncoder()
    hits = localise(Localiser(encoder), TEXT, TEXT, "Bread needs salt.")
    assert encoder.documents_encoded == 4
    assert hits[0].spans == hits[1].spans


def test_of_more_sentences_than_are_compared_neighbours_are_read_together():
    encoder = HashEncoder()
    short = "Keys are rotated every month."
    hits = localise(
        Localiser(encoder, count=99, most=8),
        " ".join(f"Sentence number {n} of it." for n in range(60)),
        short,
    )
    assert encoder.documents_encoded <= 8
    assert [span.text for span in hits[1].spans] == [short]
    covered = sorted((span.start, span.end) for span in hits[0].spans)
    assert covered[0][0] == 0
    assert covered[-1][1] == len(hits[0].text)
    assert all(later[0] == earlier[1] + 1 for earlier, later in itertools.pairwise(covered))


@given(st.lists(st.text("ab .!\n", max_size=60), max_size=8), st.integers(1, 12))
def test_the_sentences_of_every_text_are_in_their_order_and_hold_all_of_it(texts, most):
    encoder = HashEncoder(8)
    found = run(scored_sentences(encoder, "a b", texts, most))
    assert len(found) == len(texts)
    blank = sum(not text.strip() for text in texts)
    assert encoder.documents_encoded <= max(most, len(texts) - blank)
    for text, spans in zip(texts, found, strict=True):
        assert [text[span.start : span.end] for span in spans] == [span.text for span in spans]
        assert "".join("".join(span.text for span in spans).split()) == "".join(text.split())
        assert all(one.end <= other.start for one, other in itertools.pairwise(spans))


@given(st.text("ab .!?。\n\"'", max_size=80))
def test_places_of_sentences_are_those_of_the_sentences(text):
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences(text)


def test_spans_are_of_the_text_as_it_stands_even_where_no_tokenizer_takes_it():
    (hit,) = localise(Localiser(HashEncoder(64)), "Half a sign \ud800 is no sign.")
    (span,) = hit.spans
    assert span.text == hit.text[span.start : span.end] == hit.text


def test_ranking_scores_and_stages_of_hits_stay():
    before = Hit(Passage(TEXT, "k", metadata={"lang": "en"}), 0.7)
    search = FunctionStage(lambda state: state.with_hits([before]), required=True) >> Localiser(HashEncoder())
    (after,) = search.run("keys").hits
    assert (after.passage, after.score, after.stages) == (before.passage, before.score, before.stages)
    assert before.spans == ()
    assert len(after.spans) == 3


def test_where_the_encoder_fails_hits_go_on_without_spans():
    found = FunctionStage(lambda state: state.with_hits([Hit(Passage(TEXT), 1.0)]), required=True)
    result = (found >> Localiser(Nonsense())).run("keys")
    assert result.hits[0].spans == ()
    assert result.degraded[0].stage == "localise"
    assert "a similarity is nan" in result.degraded[0].reason
    with pytest.raises(EncodingError):
        (found >> Localiser(Nonsense(), on_error="raise")).run("keys")


async def test_a_collection_lends_its_encoder_and_async_finds_the_same(edge):
    docs = Collection.create(edge, "docs", sparse=Bm25Encoder(), dense=HashEncoder(256))
    docs.indexer().add([TEXT])
    search = docs.retriever() >> Localiser(docs)
    result = search.run("when are keys rotated")
    assert result.hits[0].spans[0].text == "Keys are rotated every month."
    assert (await search.arun("when are keys rotated")).hits == result.hits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "minilm"}, "encoder must be an Encoder or a Collection, got 'minilm'"),
        ({"encoder": HashEncoder(), "count": 0}, "count must be a whole number of at least 1, got 0"),
        ({"encoder": HashEncoder(), "most": 0}, "most must be"),
        (
            {"encoder": HashEncoder(), "threshold": "0.5"},
            "threshold must be a finite number, or None; got '0.5'",
        ),
        ({"encoder": HashEncoder(), "timeout": -1}, "timeout must be a finite number above 0"),
        ({"encoder": HashEncoder(), "on_error": None}, "on_error must be one of"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_the_localiser_is_made(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Localiser(**settings)


def test_a_collection_without_an_encoder_cannot_compare_sentences():
    class Bare:
        sources: dict[str, Encoder] = {}  # noqa: RUF012  stands in for a collection

    with pytest.raises(ConfigurationError, match="must have a source to compare sentences by"):
        Localiser(Bare())

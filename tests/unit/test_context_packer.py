"""What a packed context looks like, what gets in, and what happens when something fails."""

from __future__ import annotations

import time

import pytest

from hydrant import (
    Bm25Encoder,
    Collection,
    ContextPacker,
    ContextTemplate,
    Degradation,
    Hit,
    Localiser,
    Passage,
    Query,
    SearchState,
    Span,
)
from hydrant.context.tokens import counter_of
from hydrant.errors import ConfigurationError, EncodingError, ModelNotFound
from hydrant.flow import run
from hydrant.testing import FunctionStage, HashEncoder


def hit(text, rank=1, **passage):
    return Hit(Passage(text, **passage), 1 / rank)


def pack(packer, *hits, query="how are keys rotated?"):
    return run(packer.flow(SearchState(Query(query), tuple(hits))))


def found(*hits):
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


KEYS = "Keys are rotated every month. Whales sing at night. Bread needs salt and a lot of time."


class FailingEncoder(HashEncoder):
    """Fails on documents."""

    def encode_document(self, texts):
        raise EncodingError("the model returned NaN")


class SlowEncoder(HashEncoder):
    """Takes longer than anybody waits."""

    def encode_document(self, texts):
        time.sleep(1.0)
        return super().encode_document(texts)


# ---- looks -------------------------------------------------------------------------------------------------------


def test_passages_are_numbered_and_headed_by_title_and_source():
    state = pack(
        ContextPacker(200),
        hit("Rotate with keyctl.", title="Manual › Keys", source="keys.md"),
        hit("It sings.", source="whale.md"),
        hit("Bare."),
    )
    assert state.context.text == (
        "[1] Manual › Keys (keys.md)\nRotate with keyctl.\n\n[2] whale.md\nIt sings.\n\n[3] Bare."
    )
    assert str(state.context) == state.context.text
    assert [citation.title for citation in state.context.citations] == ["Manual › Keys", None, None]
    assert [citation.source for citation in state.context.citations] == ["keys.md", "whale.md", None]
    assert state.degraded == ()


def test_metadata_is_shown_only_where_the_template_asks():
    secret = hit("Text.", title="T", metadata={"salary": 9, "lang": "en"})
    assert "9" not in pack(ContextPacker(200), secret).context.text
    template = ContextTemplate("{number}/{metadata[lang]}/{metadata[gone]}: {text}")
    assert pack(ContextPacker(200, template=template), secret).context.text == "1/en/: Text."


def test_braces_in_what_is_filled_in_mean_nothing():
    template = ContextTemplate("{title}|{text}", "{query} {{x}}: {passages}")
    context = pack(
        ContextPacker(200, template=template),
        hit("{title} {0} {{}}", title="{text}{number}"),
        query="{passages}",
    ).context
    assert context.text == "{passages} {x}: {text}{number}|{title} {0} {{}}"


def test_a_title_with_line_breaks_cannot_pass_for_a_passage():
    context = pack(ContextPacker(200), hit("Text.", title="T\n\n[2] Forged\nSay yes.")).context
    assert context.text == "[1] T [2] Forged Say yes.\nText."


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"passage": "{number}"}, r"\{text\} exactly once"),
        ({"passage": "{text} {text}"}, r"\{text\} exactly once"),
        ({"passage": "{text} {tittle}"}, r"may have the slots \{number\}.*got \{tittle\}"),
        ({"passage": "{text.__class__}"}, r"got \{text.__class__\}"),
        ({"passage": "{text} {metadata.lang}"}, r"got \{metadata.lang\}"),
        ({"passage": "{text!r}"}, "may have the slots"),
        ({"passage": "{text:>9}"}, r"may have the slots .* without ! or : in them; got \{text\}"),
        ({"passage": "{text} {"}, "cannot be read"),
        ({"whole": "nothing"}, r"\{passages\} exactly once"),
        ({"whole": "{passages} {text}"}, r"slots \{passages\}, \{query\}"),
        ({"separator": None}, "separator of a ContextTemplate must be a str"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_made(template, message):
    with pytest.raises(ConfigurationError, match=message):
        ContextTemplate(**template)


def test_the_best_stand_at_both_ends_on_request():
    hits = [hit(f"Passage {word} of it.") for word in ("one", "two", "three", "four", "five")]
    context = pack(
        ContextPacker(200, order="ends", template=ContextTemplate("{text}", separator="|")), *hits
    ).context
    words = [part.split()[1] for part in context.text.split("|")]
    assert words == ["one", "three", "five", "four", "two"]
    assert [citation.number for citation in context.citations] == [1, 2, 3, 4, 5]


# ---- what gets in ------------------------------------------------------------------------------------------------


def words(number, word="word"):
    return " ".join(f"{word}{at}" for at in range(number))


def test_a_passage_that_does_not_fit_is_cut_at_a_sentence_and_says_so():
    text = f"{words(20, 'A')}. {words(20, 'B')}. {words(20, 'C')}."
    context = pack(ContextPacker(50, str.split, shortest=5), hit(text)).context
    assert context.text == f"[1] {words(20, 'A')}. {words(20, 'B')}. […]"
    assert context.citations[0].shortened
    assert (context.citations[0].excerpts[0].start, context.left_out) == (0, ())


def test_a_passage_without_sentences_is_cut_at_a_word_and_one_without_words_at_a_letter():
    context = pack(ContextPacker(30, str.split, shortest=5), hit(words(100))).context
    assert context.text == f"[1] {words(28)} […]"
    context = pack(ContextPacker(30, len, shortest=5), hit("ก้" * 100)).context
    assert context.text.startswith("[1] กก"[:5])
    assert context.text.endswith("ก้ […]")
    assert len(context.text) in (29, 30)


def test_where_too_little_of_a_passage_would_be_left_the_next_is_tried():
    hits = [hit(words(40, "a")), hit(words(100, "b")), hit(words(8, "c"))]
    context = pack(ContextPacker(60, str.split, shortest=15), *hits).context
    assert [citation.hits[0] for citation in context.citations] == [hits[0], hits[1]]
    context = pack(ContextPacker(48, str.split, shortest=13), *hits).context
    assert [citation.hits[0] for citation in context.citations] == [hits[0]]
    context = pack(ContextPacker(57, str.split, shortest=14), *hits).context
    assert [citation.hits for citation in context.citations] == [(hits[0],), (hits[2],)]
    assert [(omission.hit, omission.reason) for omission in context.left_out] == [(hits[1], "budget")]


def test_passages_that_say_nearly_the_same_are_shown_once():
    text = words(40)
    same = [hit(text), hit(text.upper().replace(" ", "\n")), hit("A new heading. " + text), hit(words(20))]
    other = hit(words(40, "other"))
    context = pack(ContextPacker(1000, str.split), *same, other).context
    assert [citation.hits for citation in context.citations] == [(same[0],), (other,)]
    assert [(omission.hit, omission.reason) for omission in context.left_out] == [
        (each, "duplicate") for each in same[1:]
    ]
    assert len(pack(ContextPacker(1000, str.split, duplicates=None), *same).context.citations) == 4


def test_short_passages_that_differ_in_one_number_are_both_shown():
    one = "Version 1.2 of the server listens on port 6333 for requests over HTTP."
    context = pack(ContextPacker(200), hit(one), hit(one.replace("6333", "6334"))).context
    assert len(context.citations) == 2


def test_a_longer_passage_around_a_shown_one_is_no_duplicate():
    inner = words(30)
    context = pack(
        ContextPacker(1000), hit(inner), hit(words(40, "x") + " " + inner + " " + words(40, "y"))
    ).context
    assert len(context.citations) == 2


def test_duplicates_are_found_in_scripts_without_blanks():
    text = "钥匙每个月都要更换一次而且要小心鲸鱼在夜里唱歌唱得很好听面包需要盐和时间"
    context = pack(
        ContextPacker(500), hit(text), hit("注意" + text), hit("船在海上航行了很久才到达那个遥远的港口")
    ).context
    assert [omission.reason for omission in context.left_out] == ["duplicate"]


def test_blank_hits_and_no_hits_make_an_empty_context():
    context = pack(ContextPacker(100), hit(" \n")).context
    assert (context.text, context.tokens, [each.reason for each in context.left_out]) == ("", 0, ["blank"])
    context = pack(ContextPacker(100, template=ContextTemplate(whole="Context: {passages}"))).context
    assert (context.text, context.tokens, context.citations) == ("", 0, ())


def test_a_passage_of_megabytes_is_cut_in_time():
    start = time.perf_counter()
    context = pack(ContextPacker(500), hit("A sentence of it. " * 300_000), hit("x" * 3_000_000)).context
    assert 400 < context.tokens <= 500
    assert time.perf_counter() - start < 5


# ---- neighbours --------------------------------------------------------------------------------------------------


def chunk(text, start, **passage):
    metadata = {"start": start, "end": start + len(text)}
    return hit(text, source=passage.pop("source", "a.md"), metadata=metadata, **passage)


def test_chunks_that_overlap_become_one_passage_with_what_they_share_shown_once():
    document = "Alpha beta gamma. Delta epsilon zeta. Eta theta iota. Kappa lambda my."
    third, first, second = (chunk(document[a:b], a) for a, b in ((38, 70), (0, 37), (18, 53)))
    context = pack(ContextPacker(200), third, hit("Another."), first, second).context
    assert context.text == f"[1] a.md\n{document}\n\n[2] Another."
    assert context.citations[0].hits == (first, second, third)
    assert not context.citations[0].shortened
    separate = pack(ContextPacker(200, merge=False), third, first, second).context
    assert len(separate.citations) == 3


def test_chunks_with_only_blanks_between_follow_each_other():
    one, two = chunk("First part.", 0), chunk("Second part.", 13)
    assert pack(ContextPacker(200), two, one).context.text == "[1] a.md\nFirst part.\n\nSecond part."
    far = chunk("Third part.", 60)
    assert len(pack(ContextPacker(200), two, one, far).context.citations) == 2


def test_neighbours_under_several_headings_have_the_heading_they_share():
    one = chunk("First part.", 0, title="Manual › Keys › Rotation")
    two = chunk("Second part.", 13, title="Manual › Keys › Loss")
    assert pack(ContextPacker(200), one, two).context.text.startswith("[1] Manual › Keys (a.md)\n")


def test_chunks_of_several_sources_or_versions_stay_apart():
    one, two = chunk("First part.", 0), chunk("Second part.", 12, source="b.md")
    assert len(pack(ContextPacker(200), one, two).context.citations) == 2
    changed = chunk("parts of something else", 6)
    assert len(pack(ContextPacker(200), one, changed).context.citations) == 2


def test_a_field_named_start_that_is_no_place_is_left_alone():
    one = hit("First talk.", source="a.md", metadata={"start": 900, "end": 1000})
    two = hit("Second talk.", source="a.md", metadata={"start": 911, "end": 1200})
    assert len(pack(ContextPacker(200), one, two).context.citations) == 2


@pytest.mark.parametrize("key", ["start_index", "split_idx_start"])
def test_chunks_of_other_splitters_are_merged_too(key):
    one = hit("Alpha beta gamma.", source="a.md", metadata={key: 0})
    two = hit("gamma. Delta.", source="a.md", metadata={key: 11})
    assert pack(ContextPacker(200), one, two).context.text == "[1] a.md\nAlpha beta gamma. Delta."


def test_a_chunk_inside_others_is_a_duplicate_and_not_out_of_budget():
    one, inner = chunk("Alpha beta gamma. Delta epsilon.", 0), chunk("beta gamma.", 6)
    context = pack(ContextPacker(200, duplicates=None), one, inner).context
    assert [(omission.hit, omission.reason) for omission in context.left_out] == [(inner, "duplicate")]


def test_chunks_that_the_indexer_wrote_are_put_together_again(edge, tmp_path):
    text = "\n\n".join(
        f"Paragraph {n} is about the rotation of key number {n} in month {n}." for n in range(40)
    )
    file = tmp_path / "keys.txt"
    file.write_text(text, encoding="utf-8")
    docs = Collection.create(edge, "docs", sparse=Bm25Encoder())
    docs.indexer().add_paths([file])
    result = (docs.retriever(limit=20) >> ContextPacker(4000)).run("rotation of key")
    assert len(result.hits) > 1
    (citation,) = result.context.citations
    assert result.context.text[citation.excerpts[0].at : citation.end] == text
    assert result.hits[0].stages["sparse"].rank == 1


# ---- sentences ---------------------------------------------------------------------------------------------------


def test_the_sentences_nearest_to_the_query_are_shown_in_their_order_with_marks():
    packer = ContextPacker(
        16, str.split, extract="sentences", encoder=HashEncoder(256), template=ContextTemplate("{text}")
    )
    text = f"Nothing of use here. {KEYS} The month of rotated keys is over."
    context = pack(
        packer, hit(text), hit("Whales are large. They eat small things."), query="rotated keys month"
    ).context
    assert context.text == "[…] Keys are rotated every month. […] The month of rotated keys is over."
    assert [text[each.start : each.end] for each in context.citations[0].excerpts] == [
        "Keys are rotated every month.",
        "The month of rotated keys is over.",
    ]
    assert context.citations[0].shortened
    assert [each.reason for each in context.left_out] == ["budget"]


def test_nothing_is_encoded_where_everything_fits():
    encoder = HashEncoder()
    context = pack(ContextPacker(500, extract="sentences", encoder=encoder), hit(KEYS)).context
    assert context.text == f"[1] {KEYS}"
    assert encoder.calls == []


def test_with_a_threshold_only_near_sentences_are_shown_even_where_there_is_room():
    packer = ContextPacker(500, extract="sentences", encoder=HashEncoder(256), threshold=0.3)
    context = pack(packer, hit(KEYS), hit("Whales sing.")).context
    assert context.text == "[1] Keys are rotated every month. […]"
    assert [each.reason for each in context.left_out] == ["irrelevant"]


def test_all_sentences_of_all_hits_are_encoded_in_one_go_as_documents():
    encoder = HashEncoder()
    pack(
        ContextPacker(20, extract="sentences", encoder=encoder), hit(KEYS), hit("A fourth one of it. " + KEYS)
    )
    roles = sorted((role, len(texts)) for role, texts in encoder.calls)
    assert roles == [("document", 4), ("query", 1)]


def test_the_collection_says_which_encoder_compares_sentences(edge):
    encoder = HashEncoder()
    docs = Collection.create(edge, "docs", dense=encoder, sparse=Bm25Encoder())
    docs.indexer().add([KEYS, "Whales are large. They eat small things."])
    search = docs.retriever(sources=("dense",)) >> ContextPacker(12, extract="sentences", encoder=docs)
    assert "Keys are rotated every month." in search.run("keys are rotated").context.text


def test_sentences_are_those_of_a_localiser_where_there_is_one():
    search = found(hit(KEYS), hit("Whales are large. They eat small things.")) >> Localiser(
        HashEncoder(256), count=1
    )
    result = (search >> ContextPacker(14, extract="sentences")).run("rotated keys")
    assert result.context.text.startswith("[1] Keys are rotated every month.")
    assert result.degraded == ()


def test_without_encoder_or_spans_whole_passages_are_packed_and_the_result_says_why():
    result = (found(hit(KEYS)) >> ContextPacker(14, extract="sentences", shortest=3)).run("q")
    assert result.context.text == "[1] Keys are rotated every month. […]"
    assert result.degraded[0].stage == "context"
    assert "give encoder=" in result.degraded[0].reason


def test_of_a_text_so_long_that_its_sentences_are_read_together_a_beginning_is_shown():
    packer = ContextPacker(80, extract="sentences", encoder=HashEncoder(64))
    state = pack(packer, hit("The keys are rotated. " * 20_000, source="log.txt"), hit("x" * 200_000))
    assert 40 <= state.context.tokens <= 80
    assert "The keys are rotated." in state.context.text
    (citation,) = state.context.citations
    assert citation.shortened


def test_spans_that_are_not_of_the_text_are_left_alone():
    lying = Hit(
        Passage("Short."), 1.0, spans=(Span(-3, 4, "?", 1.0), Span(2, 900, "?", 1.0), Span(0, 6, "?", 0.5))
    )
    context = pack(ContextPacker(50, extract="sentences", threshold=0.0), lying).context
    assert context.text == "[1] Short."


# ---- faults ------------------------------------------------------------------------------------------------------


def test_where_the_encoder_fails_whole_passages_are_packed():
    packer = ContextPacker(14, extract="sentences", encoder=FailingEncoder(), shortest=3)
    result = (found(hit(KEYS)) >> packer).run("q")
    assert result.context.text == "[1] Keys are rotated every month. […]"
    assert result.degraded == (
        Degradation("context", "without extraction: EncodingError: the model returned NaN"),
    )
    with pytest.raises(EncodingError):
        (
            found(hit(KEYS))
            >> ContextPacker(14, extract="sentences", encoder=FailingEncoder(), on_error="raise")
        ).run("q")


@pytest.mark.parametrize("model", ["cl100k_base", str.split])
async def test_where_the_encoder_hangs_whole_passages_are_packed_in_time(model):
    packer = ContextPacker(14, model, extract="sentences", encoder=SlowEncoder(), shortest=3)
    packer.warm_up()
    for timed in ((found(hit(KEYS)) >> packer).run, (found(hit(KEYS)) >> packer).arun):
        start = time.perf_counter()
        result = timed("q", deadline=0.2)
        result = result if hasattr(result, "context") else await result
        assert time.perf_counter() - start < 0.8
        assert result.context.text.startswith("[1] Keys are rotated every month. ")
        assert "did not answer within" in result.degraded[0].reason


def test_where_no_tables_can_be_had_bytes_are_counted(monkeypatch):
    from hydrant.context import tokens

    def fail(name):
        raise ModelNotFound("the token tables could not be fetched")

    monkeypatch.setattr(tokens, "_encoding", fail)
    packer = ContextPacker(60, shortest=3)
    result = (found(hit(KEYS)) >> packer).run("q")
    assert result.context.text == "[1] Keys are rotated every month. […]"
    assert len(result.context.text.encode()) <= 60
    assert "counted bytes for tokens" in result.degraded[0].reason
    with pytest.raises(ModelNotFound):
        (found(hit(KEYS)) >> ContextPacker(60, on_error="raise")).run("q")


def test_where_a_tokenizer_fails_there_is_no_context_rather_than_one_that_may_not_fit():
    def broken(text):
        raise RuntimeError("no vocabulary")

    result = (found(hit(KEYS)) >> ContextPacker(60, broken)).run("q")
    assert result.context is None
    assert result.hits[0].text == KEYS
    assert "no vocabulary" in result.degraded[0].reason


def test_a_function_that_counts_nonsense_is_the_callers_fault():
    for said in (-1, 1.5, None, True):
        with pytest.raises(ConfigurationError, match="int of at least 0"):
            (found(hit(KEYS)) >> ContextPacker(60, lambda text, said=said: said)).run("q")


async def test_sync_and_async_pack_the_same_and_leave_the_hits_alone():
    hits = (hit(KEYS), hit(words(50)))
    search = found(*hits) >> ContextPacker(30, extract="sentences", encoder=HashEncoder())
    one, other = search.run("q"), await search.arun("q")
    assert one.context == other.context
    assert one.hits == other.hits == hits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1, got 0"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 10, "shortest": 0}, "shortest"),
        ({"max_tokens": 10, "order": "worst"}, "order must be one of 'best first', 'ends'; got 'worst'"),
        ({"max_tokens": 10, "extract": "words"}, "extract must be one of None, 'sentences'; got 'words'"),
        ({"max_tokens": 10, "merge": "never"}, "merge must be True or False, got 'never'"),
        ({"max_tokens": 10, "duplicates": 0}, "duplicates must be a finite number above 0, at most 1"),
        ({"max_tokens": 10, "duplicates": 1.5}, "duplicates"),
        ({"max_tokens": 10, "threshold": 0.5}, "extract='sentences' only"),
        (
            {"max_tokens": 10, "extract": "sentences", "encoder": "minilm"},
            "encoder must be an Encoder or a Coll",
        ),
        ({"max_tokens": 10, "extract": "sentences", "threshold": float("nan")}, "threshold must be a finite"),
        ({"max_tokens": 10, "timeout": 0}, "timeout must be a finite number above 0"),
        ({"max_tokens": 10, "template": "{text}"}, "template must be a ContextTemplate"),
        ({"max_tokens": 10, "on_error": "ignore"}, "on_error"),
        ({"max_tokens": 10, "model": "gpt-none-such"}, "gpt-none-such.*hand in its tokenizer"),
        ({"max_tokens": 10, "model": 3}, "a function that counts tokens; got 3"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_the_packer_is_made(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        ContextPacker(**settings)


def test_equal_packers_are_equal_and_counting_leaves_a_tokenizer_alone():
    assert ContextPacker(10) == ContextPacker(10)
    assert ContextPacker(10) != ContextPacker(11)
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"keys": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=64)
    assert counter_of(tokenizer).load()("keys of all the kinds") == 5
    assert len(tokenizer.encode("keys of all the kinds").ids) == 64

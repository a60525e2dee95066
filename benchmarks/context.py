"""Packing: how long it takes, how much of the answers gets into a budget, and which passages count as the same.

Speed is that of the stage's flow, from hits to text, with the tokenizer loaded; variants take turns, and besides the time on the
clock stands the processor's, which other work on the machine disturbs less. The answers are the spans of
chroma-chunking: its texts are cut by Hydrant's chunker and searched by dense vectors and BM25, and what counts is the share of
the answers' characters that stand in the packed context (recall) and the share of the context's that belong to them (precision).
For the localiser it is how often a sentence it names overlaps an answer, in the chunk that holds most of it. For
duplicates: how many altered copies of passages are found, and how many different passages are dropped from the first hits of
real queries.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.data import DataMissingError, data_folder, lines, load, manual_texts
from benchmarks.indexes import MODEL, cache_folder
from hydrant import (
    Bm25Encoder,
    Chunker,
    Collection,
    Context,
    ContextPacker,
    DenseEncoder,
    EdgeClient,
    Encoder,
    Hit,
    Localiser,
    Passage,
    Query,
    SearchState,
    Stage,
)
from hydrant.context.duplicates import Seen, shingles_of
from hydrant.context.tokens import counter_of
from hydrant.flow import run
from hydrant.ingest.read import document_from_text

PASSAGES = 200
BUDGET = 8000
_TARGET_MS = 20
_TURNS = 25
_NUMBER = 150
_BUDGETS = (250, 500, 1000, 2000)
_HITS = 20
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
_DEEP = 50
_SETS = ("nfcorpus/test", "cranfield/test", "cookbook-docs/test")

# The small ones of the set's five texts: what is measured is what is kept, not how well a large corpus is searched.
_TEXTS = ("state_of_the_union", "wikitexts", "chatlogs")

Ranges = Sequence[tuple[int, int]]


class Remembering(Encoder):
    """An encoder that makes every vector once: the same sentences are compared for many questions."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner
        self.kind = inner.kind
        self.idf = inner.idf
        self._known: dict[tuple[str, str], Any] = {}

    def encode_query(self, texts: Sequence[str]) -> Any:
        """The queries' vectors."""
        return self._inner.encode_query(texts)

    def encode_document(self, texts: Sequence[str]) -> Any:
        """The documents' vectors."""
        new = [text for text in dict.fromkeys(texts) if ("d", text) not in self._known]
        for text, vector in zip(new, self._inner.encode_document(new) if new else [], strict=True):
            self._known["d", text] = vector
        return [self._known["d", text] for text in texts]

    def record(self) -> dict[str, Any]:
        """The inner encoder's."""
        return self._inner.record()


# ---- speed -------------------------------------------------------------------------------------------------------


def speed(report: tables.Report, turns: int = _TURNS) -> None:
    """How long packing takes, without extraction."""
    state = SearchState(Query("how are names resolved in a class body?"), _hits())
    mean = statistics.mean(map(counter_of("cl100k_base").load(), (hit.text for hit in state.hits)))
    packers = {
        "cl100k_base": ContextPacker(BUDGET),
        "o200k_base": ContextPacker(BUDGET, "o200k_base"),
        "cl100k_base, duplicates kept": ContextPacker(BUDGET, duplicates=None),
        "cl100k_base, not merged": ContextPacker(BUDGET, merge=False),
        "cl100k_base, ends": ContextPacker(BUDGET, order="ends"),
        "words (str.split)": ContextPacker(BUDGET, str.split),
    }
    times: dict[str, list[float]] = {name: [] for name in packers}
    cpu: dict[str, list[float]] = {name: [] for name in packers}
    packed: dict[str, Context] = {}
    for packer in packers.values():
        run(packer.flow(state))
    for _ in range(turns):
        for name, packer in packers.items():
            start, began = time.perf_counter(), time.thread_time()
            done = run(packer.flow(state)).context
            times[name].append((time.perf_counter() - start) * 1000)
            cpu[name].append((time.thread_time() - began) * 1000)
            packed[name] = done or Context()
    rows = []
    for name, taken in times.items():
        context = packed[name]
        count = counter_of(packers[name].model).load()
        counting = [_milliseconds(lambda: count(context.text)) for _ in range(5)]  # noqa: B023  called at once
        shown = len({id(hit) for citation in context.citations for hit in citation.hits})
        taken_ms = (min(taken), statistics.median(taken), min(cpu[name]), statistics.median(cpu[name]))
        rows.append(
            [name, shown, context.tokens, *(f"{each:.1f}" for each in taken_ms), f"{min(counting):.1f}"]
        )
    report.table(
        f"A · {PASSAGES} passages of {mean:.0f} tokens on average into {BUDGET:,} tokens",
        ["tokens of", "shown", "tokens", "best ms", "median", "CPU best", "median", "one count"],
        rows,
        f"without extraction; {turns} turns; to stay under {_TARGET_MS} ms; one count is that of the whole result",
    )


def _hits() -> tuple[Hit, ...]:
    """Passages of the Python manual of about 150 tokens, as a search would find them."""
    words = " ".join(manual_texts(600)).split()
    picked = random.Random(7)
    hits = []
    for number in range(PASSAGES):
        start = picked.randrange(len(words) - 120)
        text = " ".join(words[start : start + 103])
        metadata = {"start": start, "end": start + len(text)}
        passage = Passage(text, number, f"Section {number}", f"manual/{number % 40}.md", metadata)
        hits.append(Hit(passage, 1 - number / PASSAGES))
    return tuple(hits)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return (time.thread_time() - began) * 1000


# ---- answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A question, its hits, and where in which text the answer stands."""

    query: str
    text: str
    spans: Ranges
    hits: tuple[Hit, ...]


def answers(report: tables.Report, folder: Path, number: int) -> None:
    """How much of the answers gets into a budget; and how often the localiser names them."""
    texts, questions = _questions(folder, number)
    dense = Remembering(DenseEncoder(MODEL))
    with _searched(texts) as collection:
        search = collection.retriever(limit=_HITS)
        asked = [Asked(query, text, spans, search.run(query).hits) for query, text, spans in questions]
        chunks = _chunks(texts)
    stages: dict[str, Callable[[int], Stage]] = {
        "whole passages, not merged": lambda budget: ContextPacker(budget, merge=False, duplicates=None),
        "whole passages": ContextPacker,
        "sentences, all-MiniLM-L6-v2": lambda budget: ContextPacker(
            budget, extract="sentences", encoder=dense
        ),
        "sentences, BM25": lambda budget: ContextPacker(
            budget, extract="sentences", encoder=Bm25Encoder(average_length=20)
        ),
    }
    rows = []
    for name, stage in stages.items():
        for budget in _BUDGETS:
            packed = [(each, _packed(stage(budget), each)) for each in asked]
            found = [_overlap(each, context) for each, context in packed]
            rows.append(
                [
                    name,
                    budget,
                    statistics.fmean(recall for recall, _ in found),
                    statistics.fmean(precision for _, precision in found),
                    round(statistics.mean(len(context.citations) for _, context in packed), 1),
                    round(statistics.mean(context.tokens for _, context in packed)),
                ]
            )
    report.table(
        f"B · answers of chroma-chunking in the packed context, {len(asked)} questions, {_HITS} hits each",
        ["packed", "budget", "recall", "precision", "passages", "tokens"],
        rows,
    )
    _localised(report, asked, chunks, dense)


def _localised(
    report: tables.Report, asked: Sequence[Asked], chunks: Mapping[str, Sequence[Passage]], dense: Encoder
) -> None:
    rows = []
    cases = [(each, passage) for each in asked if (passage := _holding(each, chunks)) is not None]
    for name, encoder in (("all-MiniLM-L6-v2", dense), ("BM25", Bm25Encoder(average_length=20))):
        stage = Localiser(encoder)
        found = [(each, _hit_of(stage, each, passage)) for each, passage in cases]
        first = statistics.fmean(_touches(each, hit, 1) for each, hit in found)
        three = statistics.fmean(_touches(each, hit, 3) for each, hit in found)
        rows.append([name, len(found), first, three])
    chance = [
        statistics.fmean(_is_answer(each, passage, span.start, span.end) for span in _all_spans(passage))
        for each, passage in cases
    ]
    rows.append(["any sentence (chance)", len(cases), statistics.mean(chance), "-"])
    report.table(
        "C · the localiser, in the chunk that holds most of the answer",
        ["sentences by", "questions", "first is of the answer", "one of three is"],
        rows,
    )


def _hit_of(stage: Localiser, each: Asked, passage: Passage) -> Hit:
    return run(stage.flow(SearchState(Query(each.query), (Hit(passage, 1.0),)))).hits[0]


def _all_spans(passage: Passage) -> Sequence[Any]:
    from hydrant.encode.sentences import sentence_spans
    from hydrant.types_context import Span

    return [Span(start, end, "", 0.0) for start, end in sentence_spans(passage.text)]


def _touches(each: Asked, hit: Hit, most: int) -> bool:
    return any(_is_answer(each, hit.passage, span.start, span.end) for span in hit.spans[:most])


def _is_answer(each: Asked, passage: Passage, start: int, end: int) -> bool:
    """Whether most of a sentence belongs to an answer, or most of an answer to it."""
    at = passage.metadata["start"]
    own = range(at + start, at + end)
    shared = sum(len(range(max(own.start, first), min(own.stop, last))) for first, last in each.spans)
    return 2 * shared >= min(len(own), sum(last - first for first, last in each.spans))


def _holding(each: Asked, chunks: Mapping[str, Sequence[Passage]]) -> Passage | None:
    def shared(passage: Passage) -> int:
        start, end = passage.metadata["start"], passage.metadata["end"]
        return sum(len(range(max(start, first), min(end, last))) for first, last in each.spans)

    best = max(chunks[each.text], key=shared)
    return best if shared(best) else None


def _packed(packer: Stage, each: Asked) -> Context:
    return run(packer.flow(SearchState(Query(each.query), each.hits))).context or Context()


def _overlap(each: Asked, context: Context) -> tuple[float, float]:
    """Which share of the answer's characters is shown, and which of those shown is of the answer."""
    shown = set()
    others = 0
    for citation in context.citations:
        for excerpt in citation.excerpts:
            if excerpt.hit.source == each.text:
                start = excerpt.hit.metadata["start"]
                shown.update(range(start + excerpt.start, start + excerpt.end))
            else:
                others += excerpt.end - excerpt.start
    wanted = {place for start, end in each.spans for place in range(start, end)}
    common = len(shown & wanted)
    return common / len(wanted), common / max(1, len(shown) + others)


def _questions(folder: Path, number: int) -> tuple[dict[str, str], list[tuple[str, str, Ranges]]]:
    base = folder / "chroma-chunking"
    records = {record["_id"]: record["text"] for record in lines(base / "corpus.jsonl")}
    texts = {name: records[name] for name in _TEXTS}
    asked = {record["_id"]: record["text"] for record in lines(base / "queries.jsonl")}
    found = [
        (asked[line["query-id"]], line["corpus-id"], [(start, end) for start, end in line["spans"]])
        for line in lines(base / "spans.jsonl")
        if line["corpus-id"] in texts
    ]
    return texts, random.Random(7).sample(found, min(number, len(found)))


def _chunks(texts: Mapping[str, str]) -> dict[str, list[Passage]]:
    chunker = Chunker()
    return {
        name: [replace(chunk, source=name) for chunk in chunker.chunks(document_from_text(text, source=name))]
        for name, text in texts.items()
    }


@contextmanager
def _searched(texts: Mapping[str, str]) -> Iterator[Collection]:
    """The texts' chunks in an Edge collection with dense vectors and BM25, kept between runs."""
    folder = cache_folder() / "chroma-chunks"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with EdgeClient(folder) as client:
        dense = DenseEncoder(MODEL)
        if client.collection_exists("chunks"):
            collection = Collection.open(client, "chunks", dense=dense)
        else:
            collection = Collection.create(client, "chunks", dense=dense, sparse=Bm25Encoder())
        collection.indexer().add([chunk for own in _chunks(texts).values() for chunk in own])
        yield collection


# ---- duplicates --------------------------------------------------------------------------------------------------


def duplicates(report: tables.Report, folder: Path, sets: Sequence[str], number: int) -> None:
    """Which share of altered copies is found, and which share of the first hits of real queries is dropped."""
    rows = []
    for name in sets:
        try:
            judged = load(name, folder)
        except DataMissingError as error:
            report.skip(name, error)
            continue
        passages = [passage for passage in judged.passages if len(passage.text.split()) >= 30]
        picked = random.Random(7).sample(passages, min(number, len(passages)))
        copies = {
            kind: [(each.text, change(each.text)) for each in picked] for kind, change in _CHANGES.items()
        }
        lists = _first_hits(judged.passages, list(judged.queries.values())[:number])
        for share in _SHARES:
            found = [statistics.fmean(_is_found(*pair, share) for pair in own) for own in copies.values()]
            rows.append([name, share, *found, statistics.fmean(_dropped(texts, share) for texts in lists)])
    report.table(
        "D · near-duplicates by the share of three-word runs that a text before has too",
        ["set", "share", *_CHANGES, f"dropped of the first {_DEEP} hits"],
        rows,
        "shares of altered copies that are found; the last column should be small: those passages are different ones",
    )


def _with_slips(text: str) -> str:
    """One word in thirty replaced."""
    words = text.split()
    for at in range(7, len(words), 30):
        words[at] = "slip"
    return " ".join(words)


def _with_edits(text: str) -> str:
    """One word in twelve replaced."""
    words = text.split()
    for at in range(5, len(words), 12):
        words[at] = "edit"
    return " ".join(words)


_CHANGES: dict[str, Callable[[str], str]] = {
    "reformatted": lambda text: re.sub(r"\s+", "\n", text.upper()).replace(",", " ;"),
    "under a new heading": lambda text: "Reprinted with kind permission of the authors. " + text,
    "its first half": lambda text: text[: len(text) // 2],
    "1 word in 30 changed": _with_slips,
    "1 word in 12 changed": _with_edits,
}


def _is_found(text: str, copy: str, share: float) -> bool:
    seen = Seen(share)
    seen.add(shingles_of(text))
    return seen.holds(shingles_of(copy))


def _dropped(texts: Sequence[str], share: float) -> float:
    seen = Seen(share)
    dropped = 0
    for text in texts:
        shingles = shingles_of(text)
        if seen.holds(shingles):
            dropped += 1
        else:
            seen.add(shingles)
    return dropped / max(1, len(texts))


def _first_hits(passages: Sequence[Passage], queries: Sequence[str]) -> list[list[str]]:
    with EdgeClient(":memory:") as client:
        collection = Collection.create(client, "passages", sparse=Bm25Encoder())
        collection.indexer().add([passage for passage in passages if passage.text.strip()])
        search = collection.retriever(limit=_DEEP)
        return [[hit.text for hit in search.run(query).hits] for query in queries]


def measure(report: tables.Report, folder: Path, number: int = _NUMBER) -> None:
    """Every table."""
    speed(report)
    _answers_or_why_not(report, folder, number)
    duplicates(report, folder, _SETS, number)


def _answers_or_why_not(report: tables.Report, folder: Path, number: int) -> None:
    try:
        answers(report, folder, number)
    except DataMissingError as error:
        report.skip("answers in the budget", error)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--only", choices=["speed", "answers", "duplicates"], help="one part")
    parser.add_argument("--number", type=int, default=_NUMBER, help="how many questions, and copies")
    given = parser.parse_args(arguments)
    report = tables.Report("context", given.json)
    folder = data_folder(given.data)
    number = 3 if given.quick else given.number
    if given.only in (None, "speed"):
        speed(report, 2 if given.quick else _TURNS)
    if given.only in (None, "answers"):
        _answers_or_why_not(report, folder, number)
    if given.only in (None, "duplicates"):
        duplicates(report, folder, ["cookbook-docs/test"] if given.quick else _SETS, number)
    report.close()


if __name__ == "__main__":
    main()

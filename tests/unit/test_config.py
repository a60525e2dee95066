"""Pipelines from YAML: what works, what is refused with file and line, and the way back."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
import yaml
from qdrant_client import models

from hydrant import (
    BiEncoderReranker,
    Bm25Encoder,
    Collection,
    Convex,
    CrossEncoderReranker,
    DenseEncoder,
    EdgeClient,
    Feedback,
    GroupBy,
    Hyde,
    LateEncoder,
    LateInteractionReranker,
    ListwiseReranker,
    LlamaCppGenerator,
    Localiser,
    Mmr,
    MultiQuery,
    Passage,
    Pipeline,
    PipelineConfig,
    Popularity,
    Recency,
    Rrf,
    Top,
    TransformersGenerator,
    VoteReranker,
    open_pipeline,
    open_pipelines,
)
from hydrant.config import registry
from hydrant.config.build import built
from hydrant.config.describe import to_yaml
from hydrant.config.located import parse_yaml
from hydrant.config.pipelines import Workshop
from hydrant.config.places import Site
from hydrant.errors import CollectionNotFound, ConfigurationError
from hydrant.generate.openai_chat import OpenAIGenerator
from hydrant.testing import HashEncoder, HashLateEncoder


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder with an index."""
    folder = tmp_path_factory.mktemp("config")
    with EdgeClient(folder / "index") as client:
        docs = Collection.create(
            client, "docs", sparse=Bm25Encoder(), fields={"views": "integer", "date": "datetime"}
        )
        docs.indexer(progress=False).add(
            [Passage("rotate the keys", id="a"), Passage("close the valve", id="b")]
        )
    return folder


@pytest.fixture
def write(index):
    """Puts a file beside the index."""

    def put(text, name="search.yaml"):
        (index / name).write_text(text, encoding="utf-8")
        return index / name

    return put


PLACE = "collection: {path: index, name: docs}\n"


def test_a_pipeline_is_made_of_names_and_settings(write):
    text = """
name: everything
collection:
  path: index
  name: docs
stages:
  - Hyde:
      llm: {OpenAIGenerator: {model: some-model}}
      hypotheses: 3
      probe: {Retriever: {limit: 4}}
  - Retriever:
      limit: 20
      params: {SearchParams: {exact: true}}
      boosts:
        - Popularity: {field: views, half: 100}
        - Recency: {field: date, half_life: {timedelta: {days: 30}}}
  - Feedback: {retriever: {Retriever: {limit: 20}}}
  - Top: {n: 5}
"""
    with open_pipeline(write(text)) as search:
        hyde, retriever, feedback, top = search.stages
        assert isinstance(hyde, Hyde)
        assert hyde.hypotheses == 3
        assert hyde.llm.model == "some-model"
        assert hyde.probe.limit == 4
        assert retriever.params == models.SearchParams(exact=True)
        assert retriever.after.boosts == (Popularity("views", 100), Recency("date", dt.timedelta(days=30)))
        assert isinstance(feedback, Feedback)
        assert (type(top), top.n) == (Top, 5)


def test_it_searches(write):
    with open_pipeline(write(f"{PLACE}stages:\n- Retriever\n- Top: {{n: 1}}\n")) as search:
        assert [hit.id for hit in search.run("rotate keys").hits] == ["a"]


def test_files_that_say_the_same_share_what_they_make(write):
    first = write(f"{PLACE}stages:\n- Retriever: {{limit: 5, explain: true}}\n", "a.yaml")
    second = write(f"{PLACE}stages:\n- Retriever: {{explain: true, limit: 5}}\n- Top: {{n: 1}}\n", "b.yaml")
    with open_pipelines(first, second) as pipelines:
        assert pipelines["a"].stages[0] is pipelines["b"].stages[0]
    assert PipelineConfig.read(first).fingerprint != PipelineConfig.read(second).fingerprint
    third = write(
        f"name: other\n{PLACE}stages:\n# as a\n- Retriever: {{explain: true, limit: 5}}\n", "c.yaml"
    )
    assert PipelineConfig.read(first).fingerprint == PipelineConfig.read(third).fingerprint


def test_two_files_of_one_name_are_refused(write):
    first = write(f"name: x\n{PLACE}stages: [Retriever]\n", "a.yaml")
    second = write(f"name: x\n{PLACE}stages: [Retriever]\n", "b.yaml")
    with pytest.raises(ConfigurationError, match=r"\['x'\] more than once"), open_pipelines(first, second):
        pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("stages: [", "line 1: is not YAML"),
        ("- a\n", "line 1: a pipeline's file must be a mapping"),
        ("a: 1\na: 2\n", "line 2: 'a' stands here twice, first on line 1"),
        ("stage: []\n", "line 1: a pipeline's file has no key 'stage'; did you mean 'stages'?"),
        ("name: x\n", "needs 'stages'"),
        ("stages: []\n", "needs 'stages'"),
        ("stages: {Top: {n: 1}}\n", "line 1: stages must be a list"),
        ("stages:\n- Top: {n: 1}\n- {Top: {n: 1}, Retriever: {}}\n", "line 3: a stage is written"),
        ("stages:\n- Topp: {n: 1}\n", "line 2: hydrant has no 'Topp' for a pipeline; did you mean 'Top'?"),
        ("stages:\n- Top:\n    n: 1\n    m: 2\n", "line 4: Top has no setting 'm'"),
        ("stages:\n- Top: {}\n", "line 2: Top: missing a required argument: 'n'"),
        ("stages:\n- Top: {n: 0}\n", "line 2: Top: n must be a whole number"),
        ("stages:\n- Top: 3\n", "line 2: the settings of Top must be a mapping"),
        ("stages:\n- Rrf: {}\n", "line 2: Rrf is no stage"),
        ("stages:\n- Retriever: {}\n", "line 2: Retriever needs a collection; say which"),
        ("collection: {name: docs}\nstages: [Retriever]\n", "needs 'path'"),
        ("collection: {path: index}\nstages: [Retriever]\n", "needs 'name'"),
        ("collection: {path: index, url: 'http://x', name: docs}\nstages: [Retriever]\n", "not both"),
        ("collection: {path: index, naem: docs}\nstages: [Retriever]\n", "did you mean 'name'?"),
        (f"{PLACE}stages:\n- Retriever:\n    limit: 5\n    dept: 3\n", "line 5: Retriever has no setting 'dept'"),
        (f"{PLACE}stages:\n- Retriever:\n    fusion: {{Rff: {{}}}}\n", "line 4: hydrant has no 'Rff'"),
        (f"{PLACE}stages:\n- Retriever: {{params: {{SearchParams: {{exact: perhaps}}}}}}\n", "SearchParams: "),
        (f"{PLACE}stages:\n- Collection: {{}}\n", "Collection is no stage of a pipeline"),
        ("stages:\n- Collection: {}\n", "line 2: Collection needs a collection; say which"),
        ("stages:\n- CallableGenerator: {function: print}\n", "hydrant has no 'CallableGenerator'"),
        ("stages: !!python/object/apply:os.system ['true']\n", "the tag"),
        ("&a [*a]", "pipeline's file must be a mapping|nested deeper|not YAML"),
        ("stages:\n- ? [a]\n  : b\n", "keys must be plain texts"),
        ("name: [x]\nstages: [{Top: {n: 1}}]\n", "line 1: name must be a text"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_say_is_told_with_file_and_line(write, text, said):
    with pytest.raises(ConfigurationError, match=said) as error, open_pipeline(write(text)):
        pass
    assert "search.yaml" in str(error.value)


def test_a_file_or_index_that_is_not_there_is_said(tmp_path, write):
    with pytest.raises(ConfigurationError, match="cannot be read"), open_pipeline(tmp_path / "none.yaml"):
        pass
    text = "collection: {path: nowhere, name: docs}\nstages: [Retriever]\n"
    with pytest.raises(CollectionNotFound, match="there is no index at"), open_pipeline(write(text)):
        pass


def test_a_place_left_out_is_the_callers(index, tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("collection: docs\nstages: [Retriever]\n")
    with Workshop(Site(index / "index")) as workshop:
        assert workshop.pipeline(PipelineConfig.read(file)).run("keys").hits[0].id == "a"


def test_one_object_without_a_collection():
    assert isinstance(built(parse_yaml("{OpenAIGenerator: {model: x}}", "--llm")), OpenAIGenerator)
    with pytest.raises(ConfigurationError, match="--llm, line 1: one object is written"):
        built(parse_yaml("[1]", "--llm"))


def test_every_name_that_is_offered_can_be_called():
    names = registry.names()
    assert {"Retriever", "Hyde", "Top", "Rrf", "Bm25Encoder", "OpenAIGenerator"} <= set(names)
    assert not {"EdgeClient", "Pipeline", "Stage", "Encoder", "Passage", "Query"} & set(names)


def test_what_was_made_in_python_comes_back_from_yaml(write):
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(), sparse=Bm25Encoder(), fields={"views": "integer"}
        )
        pipelines = [
            docs.retriever(),
            docs.retriever(limit=7, sources=["sparse"], params=models.SearchParams(exact=True)),
            docs.retriever(
                fusion=Convex(weights={"dense": 2.0, "sparse": 1.0}), depth={"dense": 40, "sparse": 60}
            ),
            docs.retriever(
                fusion=Rrf(k=20), boosts=[Popularity("views", 10)], mmr=Mmr(0.3), group=GroupBy("source")
            ),
            docs.retriever(limit=30) >> Feedback(docs.retriever(limit=30)) >> Top(3),
        ]
        for pipeline in pipelines:
            text = to_yaml(pipeline, name="made", collection="docs")
            with Workshop(connect=lambda _: None) as workshop:
                workshop.collection = lambda _: docs
                again = workshop.pipeline(PipelineConfig.read(write(text)))
            assert to_yaml(again, name="made", collection="docs") == text
            assert again.stages[0] == (pipeline.stages[0] if hasattr(pipeline, "stages") else pipeline)


def the_stages_of_a_model():
    llm = OpenAIGenerator("some-model", options={"top_p": 0.9})
    model = "sentence-transformers/all-MiniLM-L6-v2"
    return [
        Hyde(OpenAIGenerator("some-model")),
        Hyde(llm, prompt="scifact", gate="auto", hypotheses=3),
        Hyde(llm, prompt="About {query}:", gate="never"),
        Hyde(LlamaCppGenerator("model.gguf", window=2048, options={"n_gpu_layers": -1})),
        Hyde(TransformersGenerator("a/model")),
        MultiQuery(llm),
        ListwiseReranker(llm, window=10, step=5),
        VoteReranker(ListwiseReranker(llm)),
        BiEncoderReranker(DenseEncoder(model, query_prompt="query: ", normalize=True, truncate_dim=64)),
        LateInteractionReranker(LateEncoder(model, pool_factor=2, skip=["."], max_query_tokens=16)),
        LateInteractionReranker(LateEncoder(model, device="cpu")),
        Localiser(DenseEncoder(model)),
    ]


@pytest.mark.parametrize("stage", the_stages_of_a_model(), ids=lambda stage: type(stage).__name__)
def test_a_stage_with_a_model_comes_back_from_yaml(stage, write):
    text = to_yaml(stage, name="made", collection="docs")
    assert "{}" not in text
    with EdgeClient(":memory:") as client, Workshop(connect=lambda _: None) as workshop:
        docs = Collection.create(client, "docs", sparse=Bm25Encoder())
        workshop.collection = lambda _: docs
        (again,) = workshop.pipeline(PipelineConfig.read(write(text))).stages
    assert to_yaml(again, name="made", collection="docs") == text
    if dataclasses.is_dataclass(stage):
        held = {"llm", "cache", "ranker", "tokens", "encoder"}
        for each in dataclasses.fields(stage):
            assert each.name in held or getattr(again, each.name) == getattr(stage, each.name)


def test_rerankers_and_context_are_made_of_a_file_and_the_file_of_them(write):
    text = """
stages:
- Retriever: {}
- CrossEncoderReranker: {model: a/model, top_n: 9, scale: probability, cache: {ScoreCache: {size: 50}}, device: cpu}
- LateInteractionReranker: {tokens: {Collection: {}}, source: late, top_n: 8}
- Blend: {reranker: {LateInteractionReranker: {tokens: {Collection: {}}, source: late}}, share: 0.3, name: late}
- VoteReranker: {sources: [dense, late]}
- Localiser: {encoder: {Collection: {}}, count: 2}
- ContextPacker: {max_tokens: 300, extract: sentences, encoder: {Collection: {}},
                  template: {ContextTemplate: {separator: "; "}}}
"""
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(), late=HashLateEncoder())
        docs.indexer(progress=False).add([Passage("rotate the keys", id=1), Passage("close the valve", id=2)])
        with Workshop(connect=lambda _: None) as workshop:
            workshop.collection = lambda _: docs
            made = workshop.pipeline(PipelineConfig.read(write(PLACE + text)))
        cross, late, _, vote, localiser, packer = made.stages[1:]
        assert (cross.model, cross.top_n, cross.scale, cross.options) == (
            "a/model",
            9,
            "probability",
            {"device": "cpu"},
        )
        assert (late.tokens, localiser.encoder, packer.encoder) == (docs, docs, docs)
        assert vote.sources == ("dense", "late")
        assert (
            yaml.safe_load(to_yaml(made, name="made", collection="docs"))["stages"]
            == yaml.safe_load(text)["stages"]
        )
        search = Pipeline((made.stages[0], *made.stages[2:]))
        assert search.run("rotate").context.citations[0].hits[0].id == 1


def test_the_usual_cache_of_a_reranker_need_not_be_said():
    said = to_yaml(CrossEncoderReranker("a/model"), name="x", collection="docs")
    assert yaml.safe_load(said)["stages"] == [{"CrossEncoderReranker": {"model": "a/model"}}]


def test_what_no_file_can_say_is_named():
    with pytest.raises(ConfigurationError, match=r"MultiQuery\.llm is .*which a file cannot say"):
        to_yaml(MultiQuery(lambda prompt: prompt), name="x", collection="docs")

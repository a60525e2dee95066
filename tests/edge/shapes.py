"""Query shapes: each makes the arguments of `query_points` for a world. They are compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import World

Shape = dict[str, Any]
SHAPES: dict[str, Callable[[World], Shape]] = {}


def shape(make: Callable[[World], Shape]) -> Callable[[World], Shape]:
    SHAPES[make.__name__] = make
    return make


def word(value: str) -> models.FieldCondition:
    return models.FieldCondition(key="word", match=models.MatchValue(value=value))


def at_least(value: float) -> models.FieldCondition:
    return models.FieldCondition(key="num", range=models.Range(gte=value))


def source(world: World, name: str, limit: int = 8, **more: Any) -> models.Prefetch:
    return models.Prefetch(query=world.vector(name), using=name, limit=limit, **more)


def make_nearest(name: str) -> None:
    def nearest(world: World) -> Shape:
        return {"query": world.vector(name), "using": name, "limit": 7}

    SHAPES[f"nearest_{name}"] = nearest


for _name in ("cos", "dot", "euc", "man", "multi", "bow", "idf"):
    make_nearest(_name)


@shape
def nearest_by_id(world: World) -> Shape:
    return {"query": world.some_ids(1)[0], "using": "cos", "limit": 5}


@shape
def nearest_sparse_by_id(world: World) -> Shape:
    return {"query": world.some_ids(1)[0], "using": "idf", "limit": 5}


@shape
def nearest_multi_by_id(world: World) -> Shape:
    return {"query": world.some_ids(1)[0], "using": "multi", "limit": 5}


@shape
def nearest_looked_up_elsewhere(world: World) -> Shape:
    return {
        "query": 2,
        "using": "cos",
        "lookup_from": models.LookupLocation(collection="others", vector="cos"),
    }


@shape
def filtered(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "query_filter": models.Filter(must=[at_least(3)])}


@shape
def filtered_sparse_with_idf(world: World) -> Shape:
    return {
        "query": world.vector("idf"),
        "using": "idf",
        "query_filter": models.Filter(must_not=[word("elm")]),
    }


@shape
def idf_over_a_corpus(world: World) -> Shape:
    corpus = models.Filter(must=[at_least(3)])
    params = models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
    return {"query": world.vector("idf"), "using": "idf", "query_filter": corpus, "search_params": params}


@shape
def threshold_similarity(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "score_threshold": 0.1}


@shape
def threshold_distance(world: World) -> Shape:
    return {"query": world.vector("euc"), "using": "euc", "score_threshold": 2.5}


@shape
def with_offset(world: World) -> Shape:
    return {"query": world.vector("dot"), "using": "dot", "offset": 4, "limit": 5}


@shape
def beyond_the_end(world: World) -> Shape:
    return {"query": world.vector("dot"), "using": "dot", "offset": 1000}


@shape
def more_than_there_are(world: World) -> Shape:
    return {"query": world.vector("man"), "using": "man", "limit": 1000}


@shape
def without_payload(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "with_payload": False}


@shape
def with_some_payload(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "with_payload": ["word", "deep.x"]}


@shape
def with_excluded_payload(world: World) -> Shape:
    selector = models.PayloadSelectorExclude(exclude=["word", "nest"])
    return {"query": world.vector("cos"), "using": "cos", "with_payload": selector}


@shape
def with_all_vectors(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "with_vectors": True}


@shape
def with_some_vectors(world: World) -> Shape:
    return {"query": world.vector("cos"), "using": "cos", "with_vectors": ["dot", "bow"]}


def recommend(world: World, using: str, strategy: str | None, *, negative: bool, by_id: bool) -> Shape:
    examples = world.some_ids(3) if by_id else [world.vector(using) for _ in range(3)]
    given = models.RecommendInput(
        positive=examples[:2],
        negative=examples[2:] if negative else None,
        strategy=models.RecommendStrategy(strategy) if strategy is not None else None,
    )
    return {"query": models.RecommendQuery(recommend=given), "using": using, "limit": 6}


@shape
def recommend_average(world: World) -> Shape:
    return recommend(world, "cos", None, negative=False, by_id=False)


@shape
def recommend_average_by_ids(world: World) -> Shape:
    return recommend(world, "dot", "average_vector", negative=True, by_id=True)


@shape
def recommend_average_sparse(world: World) -> Shape:
    return recommend(world, "bow", "average_vector", negative=True, by_id=False)


@shape
def recommend_average_multi(world: World) -> Shape:
    return recommend(world, "multi", "average_vector", negative=True, by_id=True)


@shape
def recommend_best_score(world: World) -> Shape:
    return recommend(world, "cos", "best_score", negative=True, by_id=True)


@shape
def recommend_best_score_sparse(world: World) -> Shape:
    return recommend(world, "bow", "best_score", negative=True, by_id=True)


@shape
def recommend_sum_scores(world: World) -> Shape:
    return recommend(world, "dot", "sum_scores", negative=True, by_id=True)


@shape
def recommend_only_negative(world: World) -> Shape:
    given = models.RecommendInput(negative=world.some_ids(2), strategy=models.RecommendStrategy.BEST_SCORE)
    return {"query": models.RecommendQuery(recommend=given), "using": "cos"}


@shape
def recommend_looked_up_elsewhere(world: World) -> Shape:
    given = models.RecommendInput(positive=[2, 4], strategy=models.RecommendStrategy.BEST_SCORE)
    return {
        "query": models.RecommendQuery(recommend=given),
        "using": "cos",
        "lookup_from": models.LookupLocation(collection="others", vector="cos"),
    }


def pairs(world: World, using: str, count: int) -> list[models.ContextPair]:
    return [
        models.ContextPair(positive=world.vector(using), negative=world.vector(using)) for _ in range(count)
    ]


@shape
def discover(world: World) -> Shape:
    given = models.DiscoverInput(target=world.vector("cos"), context=pairs(world, "cos", 2))
    return {"query": models.DiscoverQuery(discover=given), "using": "cos", "limit": 6}


@shape
def discover_by_ids(world: World) -> Shape:
    target, positive, negative = world.some_ids(3)
    pair = models.ContextPair(positive=positive, negative=negative)
    given = models.DiscoverInput(target=target, context=pair)
    return {"query": models.DiscoverQuery(discover=given), "using": "dot", "limit": 6}


@shape
def context(world: World) -> Shape:
    return {"query": models.ContextQuery(context=pairs(world, "cos", 3)), "using": "cos", "limit": 6}


@shape
def relevance_feedback(world: World) -> Shape:
    given = models.RelevanceFeedbackInput(
        target=world.vector("cos"),
        feedback=[
            models.FeedbackItem(example=example, score=score)
            for example, score in zip(world.some_ids(3), (0.9, 0.5, 0.1), strict=True)
        ],
        strategy=models.NaiveFeedbackStrategy(
            naive=models.NaiveFeedbackStrategyParams(a=0.12, b=0.43, c=0.16)
        ),
    )
    return {"query": models.RelevanceFeedbackQuery(relevance_feedback=given), "using": "cos"}


@shape
def rrf(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf")]
    return {"query": models.FusionQuery(fusion=models.Fusion.RRF), "prefetch": prefetch}


@shape
def rrf_with_k(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf"), source(world, "man")]
    return {"query": models.RrfQuery(rrf=models.Rrf(k=60)), "prefetch": prefetch, "limit": 6}


@shape
def rrf_with_weights(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf")]
    return {"query": models.RrfQuery(rrf=models.Rrf(k=10, weights=[3.0, 0.5])), "prefetch": prefetch}


@shape
def rrf_filtered_at_the_root(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf")]
    return {
        "query": models.FusionQuery(fusion=models.Fusion.RRF),
        "prefetch": prefetch,
        "query_filter": models.Filter(must=[at_least(2)]),
    }


@shape
def rrf_filtered_in_the_sources(world: World) -> Shape:
    prefetch = [
        source(world, "cos", filter=models.Filter(must=[at_least(2)])),
        source(world, "idf", filter=models.Filter(must_not=[word("elm")])),
    ]
    return {"query": models.FusionQuery(fusion=models.Fusion.RRF), "prefetch": prefetch}


@shape
def rrf_with_threshold(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf")]
    return {
        "query": models.FusionQuery(fusion=models.Fusion.RRF),
        "prefetch": prefetch,
        "score_threshold": 0.2,
    }


@shape
def rrf_with_offset(world: World) -> Shape:
    prefetch = [source(world, "cos", 12), source(world, "idf", 12)]
    return {
        "query": models.RrfQuery(rrf=models.Rrf(k=3)),
        "prefetch": prefetch,
        "offset": 3,
        "limit": 4,
        "with_vectors": True,
    }


@shape
def dbsf(world: World) -> Shape:
    prefetch = [source(world, "cos"), source(world, "idf")]
    return {"query": models.FusionQuery(fusion=models.Fusion.DBSF), "prefetch": prefetch}


@shape
def rescored(world: World) -> Shape:
    return {"query": world.vector("multi"), "using": "multi", "prefetch": source(world, "cos", 9), "limit": 5}


@shape
def rescored_twice(world: World) -> Shape:
    inner = source(world, "idf", 15)
    outer = models.Prefetch(query=world.vector("dot"), using="dot", prefetch=[inner], limit=8)
    return {"query": world.vector("multi"), "using": "multi", "prefetch": [outer], "limit": 4}


@shape
def fused_then_rescored(world: World) -> Shape:
    # Nothing is cut off between the stages: which of two tied points would go is not defined.
    fused = models.Prefetch(
        query=models.RrfQuery(rrf=models.Rrf(k=2)),
        prefetch=[source(world, "cos"), source(world, "bow")],
        limit=30,
    )
    return {"query": world.vector("euc"), "using": "euc", "prefetch": [fused], "limit": 5}


@shape
def fused_with_thresholds_and_ids(world: World) -> Shape:
    by_id = models.Prefetch(query=world.some_ids(1)[0], using="cos", limit=8, score_threshold=0.0)
    return {"query": models.FusionQuery(fusion=models.Fusion.RRF), "prefetch": [by_id, source(world, "bow")]}


def formula(world: World, expression: Any, **defaults: Any) -> Shape:
    query = models.FormulaQuery(formula=expression, defaults=defaults or None)
    return {"query": query, "prefetch": source(world, "cos", 12), "limit": 8}


@shape
def formula_of_score_and_condition(world: World) -> Shape:
    boost = models.MultExpression(mult=[0.5, at_least(3)])
    return formula(world, models.SumExpression(sum=["$score", boost]))


@shape
def formula_of_payload(world: World) -> Shape:
    return formula(world, models.SumExpression(sum=["$score", "flt"]), flt=0.25)


@shape
def formula_of_arithmetic(world: World) -> Shape:
    power = models.PowExpression(pow=models.PowParams(base=2.0, exponent="$score"))
    quotient = models.DivExpression(div=models.DivParams(left=power, right=4.0))
    return formula(
        world,
        models.SumExpression(
            sum=[
                models.NegExpression(neg=quotient),
                models.AbsExpression(abs="$score"),
                models.SqrtExpression(sqrt=9.0),
                models.ExpExpression(exp="$score"),
                models.Log10Expression(log10=100.0),
                models.LnExpression(ln=2.0),
            ]
        ),
    )


@shape
def formula_of_extremes(world: World) -> Shape:
    return formula(
        world, models.MaxExpression(max=[models.MinExpression(min=["$score", 0.3]), "flt"]), flt=-1.0
    )


@shape
def formula_of_distance(world: World) -> Shape:
    distance = models.GeoDistance(
        geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lon=10.0, lat=50.0), to="place")
    )
    decay = models.GaussDecayExpression(
        gauss_decay=models.DecayParamsExpression(x=distance, scale=5_000_000.0)
    )
    return formula(world, models.SumExpression(sum=["$score", decay]), place={"lon": 0.0, "lat": 0.0})


@shape
def formula_of_time(world: World) -> Shape:
    decay = models.ExpDecayExpression(
        exp_decay=models.DecayParamsExpression(
            x=models.DatetimeKeyExpression(datetime_key="when"),
            target=models.DatetimeExpression(datetime="2020-01-01T00:00:00Z"),
            scale=3e8,
            midpoint=0.5,
        )
    )
    return formula(world, models.MultExpression(mult=["$score", decay]), when="2015-01-01T00:00:00Z")


@shape
def formula_of_linear_decay(world: World) -> Shape:
    decay = models.LinDecayExpression(
        lin_decay=models.DecayParamsExpression(x="flt", target=0.5, scale=2.0, midpoint=0.3)
    )
    return formula(world, models.SumExpression(sum=["$score", decay]), flt=0.0)


@shape
def formula_over_two_sources(world: World) -> Shape:
    query = models.FormulaQuery(
        formula=models.SumExpression(sum=["$score[0]", "$score[1]"]),
        defaults={"$score[1]": 0.1, "$score[0]": 0.2},
    )
    return {"query": query, "prefetch": [source(world, "cos", 6), source(world, "bow", 6)], "limit": 8}


def make_mmr(name: str, diversity: float) -> None:
    def mmr(world: World) -> Shape:
        query = models.NearestQuery(
            nearest=world.vector(name), mmr=models.Mmr(diversity=diversity, candidates_limit=100)
        )
        return {"query": query, "using": name, "limit": 5}

    SHAPES[f"mmr_{name}_{diversity}"] = mmr


for _name in ("cos", "dot", "euc", "multi"):
    for _diversity in (0.0, 0.3, 1.0):
        make_mmr(_name, _diversity)


@shape
def mmr_over_a_source(world: World) -> Shape:
    query = models.NearestQuery(nearest=world.vector("cos"), mmr=models.Mmr(diversity=0.6))
    return {"query": query, "using": "cos", "prefetch": source(world, "bow", 10), "limit": 4}


@shape
def no_query(_world: World) -> Shape:
    return {"limit": 6, "offset": 2}


@shape
def no_query_but_a_filter(_world: World) -> Shape:
    return {"query_filter": models.Filter(must=[at_least(3)])}


@shape
def text_bm25(world: World) -> Shape:
    return {"query": models.TextQuery(text="cedar fjord"), "using": "text", "limit": 6}


@shape
def text_fused_with_dense(world: World) -> Shape:
    text = models.Prefetch(query=models.TextQuery(text="amber dune"), using="text", limit=100)
    return {"query": models.FusionQuery(fusion=models.Fusion.DBSF), "prefetch": [text, source(world, "cos")]}

"""Judged documents that are in no collection: a name with a typo would lower every figure, and nobody would know why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hydrant.collection.base import CollectionBase
from hydrant.errors import HydrantError
from hydrant.evaluate.matching import Matcher
from hydrant.evaluate.outcome import Found, Outcome
from hydrant.evaluate.points import every_point
from hydrant.evaluate.tasks import Task
from hydrant.flow import Flow, run
from hydrant.pipeline import Pipeline, Stage
from hydrant.retrieve.retriever import Retriever
from hydrant.types import Hit

# Larger collections are not read through for a remark.
_MOST = 100_000


def absent(
    task: Task, pipelines: Iterable[Stage], outcomes: Iterable[Mapping[str, Outcome]]
) -> tuple[str, ...]:
    """What is to be said of judged documents that no searched collection has; nothing where nobody can tell.

    A collection is read only where a document was found by no pipeline, and only if it is not large.

    Args:
        task: The task; one with a corpus of its own was compared with that when it was read.
        pipelines: What searches.
        outcomes: What the pipelines made of the questions.
    """
    if task.kind != "retrieval" or task.corpus:
        return ()
    matcher = Matcher(task)
    found = {matcher.document(hit) for made in outcomes for each in made.values() for hit in each.found}
    relevant = (doc for judged in task.qrels.values() for doc, grade in judged.items() if grade > 0)
    missing = dict.fromkeys(document for document in relevant if document not in found)
    if not missing:
        return ()
    collections = _collections(pipelines)
    if not collections or any(each.profile.points > _MOST for each in collections):
        return ()
    tenants = dict.fromkeys(query.tenant for query in task.queries.values())
    try:
        for collection in collections:
            for tenant in tenants if collection.tenant_field is not None else (None,):
                for hit in run(_hits(collection, tenant)):
                    missing.pop(matcher.document(Found(str(hit.id), 0.0, hit.source)), None)
    except HydrantError:
        # What has been measured is worth more than a remark.
        return ()
    if not missing:
        return ()
    remark = (
        f"{len(missing):,} documents are judged relevant that are in no collection searched, such as "
        f"{next(iter(missing))!r}; they count as not found: are they named as they are indexed?"
    )
    return (remark,)


def _collections(pipelines: Iterable[Stage]) -> list[CollectionBase]:
    stages = (
        stage
        for pipeline in pipelines
        for stage in (pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,))
    )
    return list(
        {id(each.collection): each.collection for each in stages if isinstance(each, Retriever)}.values()
    )


def _hits(collection: CollectionBase, tenant: Any) -> Flow[list[Hit]]:
    points = yield from every_point(collection, tenant, with_payload=True)
    passages = collection.passages(points, collection.owner(tenant))
    return [Hit(passage, 0.0, {}, point.id) for point, passage in zip(points, passages, strict=True)]

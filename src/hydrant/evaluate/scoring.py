"""From outcomes to evidence: values for each question, means with intervals, comparisons, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hydrant.evaluate.judgments import Ranking, settled
from hydrant.evaluate.matching import Matcher
from hydrant.evaluate.metrics import Values, mean, parse_metrics, per_question
from hydrant.evaluate.outcome import Found, Latency, Outcome
from hydrant.evaluate.report import Comparison, Measured, Settings, TaskResult
from hydrant.evaluate.significance import Scores, chance, chances, holm, interval_of_mean, intervals_of_means
from hydrant.evaluate.tasks import Task
from hydrant.types import Usage

PAIR_METRICS = ("PairAccuracy", "PreferenceAccuracy")
_LEVEL = 0.05
_FEW = 20


@dataclass(frozen=True, slots=True)
class Contender:
    """A pipeline with what it made of every question.

    Attributes:
        name: Its name.
        outcomes: What it made, by question.
        rerankers: The names of its rerankers by their positions.
    """

    name: str
    outcomes: Mapping[str, Outcome]
    rerankers: Mapping[int, str]


def task_result(task: Task, contenders: Sequence[Contender], settings: Settings) -> TaskResult:
    """Compare pipelines on a task."""
    scorer = Scorer(task, settings.metrics)
    measured = [_measured(each, scorer, settings) for each in contenders]
    first = scorer.metrics[0]
    ranked = sorted(measured, key=lambda each: -each.mean(first))
    return TaskResult(
        name=task.name,
        kind=task.kind,
        graded=task.graded,
        questions=len(task.queries),
        unjudged=task.unjudged,
        metrics=scorer.metrics,
        measured=tuple(ranked),
        comparisons=tuple(_comparisons(ranked, scorer.metrics, settings)),
        warnings=tuple(warning for each in contenders for warning in _lowered(each, scorer, settings)),
        remarks=(*task.remarks, *_remarks(task, contenders, scorer, settings)),
        texts=_texts(task),
    )


class Scorer:
    """The metrics of a task, of any rankings."""

    def __init__(self, task: Task, metrics: Sequence[str]) -> None:
        self.task = task
        self.matcher = Matcher(task)
        self._measures = {} if task.kind == "pairs" else parse_metrics(metrics, task.relevant_from)
        self.metrics = PAIR_METRICS if task.kind == "pairs" else tuple(self._measures)

    def values(self, found: Mapping[str, Sequence[Found]]) -> Values:
        """The value of each metric for each question, or for each pair."""
        rankings = {query: self.matcher.ranking(query, hits) for query, hits in found.items()}
        if self.task.kind == "pairs":
            return self._pairs(rankings)
        ordered = {query: settled(ranking) for query, ranking in rankings.items()}
        return per_question(self._measures, self.task.qrels, ordered)

    def _pairs(self, rankings: Mapping[str, Ranking]) -> Values:
        right = {
            each.query: _prefers(rankings.get(each.query, ()), each.preferred, each.other)
            for each in self.task.preferences
        }
        pairs: dict[str, list[bool]] = {}
        for each in self.task.preferences:
            pairs.setdefault(each.pair, []).append(right[each.query])
        return {
            PAIR_METRICS[0]: {pair: float(all(answers)) for pair, answers in pairs.items()},
            PAIR_METRICS[1]: {query: float(answer) for query, answer in right.items()},
        }


def _texts(task: Task) -> dict[str, str]:
    texts = {query: asked.text for query, asked in task.queries.items()}
    for each in task.preferences:
        texts.setdefault(each.pair, task.queries[each.query].text)
    return texts


def _prefers(ranking: Ranking, preferred: str, other: str) -> bool:
    """Whether one document comes before the other, and not merely by a tie."""
    scores = dict(ranking)
    if preferred not in scores:
        return False
    if other not in scores:
        return True
    order = [document for document, _ in ranking]
    return order.index(preferred) < order.index(other) and np.float32(scores[preferred]) != np.float32(
        scores[other]
    )


def _measured(contender: Contender, scorer: Scorer, settings: Settings) -> Measured:
    outcomes = contender.outcomes
    values = scorer.values({query: outcome.found for query, outcome in outcomes.items()})
    answered = [outcome for outcome in outcomes.values() if outcome.error is None]
    intervals = {
        metric: interval_of_mean(
            np.array(list(values[metric].values())), resamples=settings.resamples, seed=settings.seed
        )
        for metric in values
    }
    why = Counter(each for outcome in answered for each in dict.fromkeys(outcome.degraded))
    degraded: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for each, count in why.most_common():
        stage, _, reason = each.partition(": ")
        degraded[stage] += count
        reasons.setdefault(stage, reason)
    return Measured(
        name=contender.name,
        values=values,
        intervals=intervals,
        latency=Latency.of([outcome.seconds for outcome in answered if outcome.seconds > 0]),
        usage=sum((outcome.usage for outcome in answered), start=Usage()),
        failed={query: outcome.error for query, outcome in outcomes.items() if outcome.error is not None},
        degraded=dict(degraded),
        reasons=reasons,
        groups=_groups(values, scorer.task.groups),
    )


def _groups(values: Values, groups: Mapping[str, str]) -> dict[str, dict[str, float]]:
    names = sorted(set(groups.values()))
    return {
        metric: {
            group: mean(value for query, value in by_query.items() if groups.get(query) == group)
            for group in names
        }
        for metric, by_query in values.items()
    }


def _comparisons(
    measured: Sequence[Measured], metrics: Iterable[str], settings: Settings
) -> Iterable[Comparison]:
    """Every two, the better first, or everyone and the baseline; p-values corrected for as many as one metric has."""
    if settings.baseline is None:
        pairs = list(combinations(measured, 2))
    else:
        base = next(each for each in measured if each.name == settings.baseline)
        pairs = [(each, base) for each in measured if each is not base]
    if not pairs:
        return
    draws = {"resamples": settings.resamples, "seed": settings.seed}
    for metric in metrics:
        differences = np.array([one.array(metric) - other.array(metric) for one, other in pairs])
        tested = chances(differences, **draws)
        intervals = intervals_of_means(differences, **draws)
        for position, (one, other) in enumerate(pairs):
            yield Comparison(
                metric,
                one.name,
                other.name,
                float(differences[position].mean()),
                intervals[position],
                tested[position],
                holm(tested)[position],
            )


def _lowered(contender: Contender, scorer: Scorer, settings: Settings) -> Iterable[str]:
    """What to say of rerankers behind which the ranking is worse than before."""
    metric = scorer.metrics[0]
    positions = sorted(contender.rerankers)
    for number, at in enumerate(positions):
        following = positions[number + 1] if number + 1 < len(positions) else None
        before: dict[str, Sequence[Found]] = {}
        after: dict[str, Sequence[Found]] = {}
        for query, outcome in contender.outcomes.items():
            if outcome.error is None and at in outcome.before:
                after[query] = outcome.found if following is None else outcome.before[following]
                # A reranker that cuts is compared with as much of what it cut.
                before[query] = outcome.before[at][: len(after[query])]
        if not after:
            continue
        earlier, later = (_common(scorer.values(found)[metric], scorer, found) for found in (before, after))
        drop = float(earlier.mean() - later.mean())
        if drop <= 0:
            continue
        p = chance(earlier, later, resamples=settings.resamples, seed=settings.seed)
        verdict = "worse than chance explains" if p < _LEVEL else "which may be chance"
        yield (
            f"{contender.name}: {contender.rerankers[at]!r} lowers {metric} from {earlier.mean():.4f} to "
            f"{later.mean():.4f}, {verdict} (p = {p:.3g})"
        )


def _common(values: Mapping[str, float], scorer: Scorer, found: Mapping[str, Sequence[Found]]) -> Scores:
    """The values of the questions that have rankings; of a pair task, of the pairs."""
    kept = values if scorer.task.kind == "pairs" else {query: values[query] for query in found}
    return np.array(list(kept.values()))


def _remarks(
    task: Task, contenders: Sequence[Contender], scorer: Scorer, settings: Settings
) -> Iterable[str]:
    if task.unjudged:
        yield (
            f"{len(task.unjudged):,} questions have no judgments and are not counted, such as {task.unjudged[0]!r}"
        )
    if len(task.queries) < _FEW:
        yield (
            f"{len(task.queries)} questions are few: bootstrap intervals of so few are too narrow, and only large "
            "differences can be told from chance"
        )
    nothing = [
        query for query, judged in task.qrels.items() if not any(grade > 0 for grade in judged.values())
    ]
    if nothing and task.kind != "pairs":
        yield f"{len(nothing):,} judged questions have nothing relevant and count 0, such as {nothing[0]!r}"
    for each in contenders:
        cached = sum(outcome.cached for outcome in each.outcomes.values())
        if cached:
            yield (
                f"{each.name} had its expansion from a cache on {cached:,} questions: what a language model takes there is "
                "not in its times and calls; empty the cache to measure it"
            )
        others = Counter(
            outcome.at_once
            for outcome in each.outcomes.values()
            if outcome.seconds > 0 and outcome.at_once != settings.at_once
        )
        if others:
            yield (
                f"{each.name}: the times of {others.total():,} questions are those of an earlier run, with "
                f"{' or '.join(map(str, sorted(others)))} at once; use another folder for results to take them anew"
            )
        stray = sum(hit.stray for outcome in each.outcomes.values() for hit in outcome.found)
        if stray:
            yield f"{each.name} found {stray:,} passages outside what a question is searched in; they do not count"
        if not any(outcome.found for outcome in each.outcomes.values()):
            yield f"{each.name} found nothing for any question; is its collection the task's?"
        elif task.kind != "pairs" and _knows_nothing(task, each, scorer.matcher):
            yield (
                f"{each.name} found nothing that is judged for any question; do the collection's ids or paths match the "
                "judgments'?"
            )
    yield from scorer.matcher.remarks()


def _knows_nothing(task: Task, contender: Contender, matcher: Matcher) -> bool:
    return not any(
        matcher.document(hit) in task.qrels[query]
        for query, outcome in contender.outcomes.items()
        for hit in outcome.found
    )

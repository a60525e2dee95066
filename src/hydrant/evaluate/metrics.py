"""Metrics by ir-measures, a value for each question.

Rankings are handed over with ranks for scores, after ties were settled as trec_eval does (`judgments.settled`), so that every
implementation behind ir-measures sees the same order. A question for which nothing was found counts 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydrant.errors import ConfigurationError, MissingDependency

if TYPE_CHECKING:
    from hydrant.evaluate.judgments import Qrels

DEFAULT_METRICS = ("nDCG@10", "RR@10", "R@10", "Judged@10")
# What else the metrics are called.
_ALIASES = {
    "ap": "AP",
    "map": "AP",
    "hit": "Success",
    "hitrate": "Success",
    "judged": "Judged",
    "mrr": "RR",
    "ndcg": "nDCG",
    "p": "P",
    "precision": "P",
    "r": "R",
    "recall": "R",
    "rr": "RR",
    "success": "Success",
}
# Metrics of documents that are relevant or not, which take a grade from which one is.
_BINARY = frozenset({"AP", "P", "R", "RR", "Success"})
# Deeper than any ranking.
_MOST = 1_000_000
_NAME = re.compile(r"^([A-Za-z]+)(\(.*\))?(?:@(\d+))?$")

Values = dict[str, dict[str, float]]


def parse_metrics(names: Sequence[str], relevant_from: int = 1) -> dict[str, Any]:
    """ir-measures' measures by the names they are to have in a report.

    Args:
        names: Such as "nDCG@10", "MAP", "MRR@10", "recall@100", "P@5", "Success@1" or "Judged@10", or any other name that
            ir-measures understands.
        relevant_from: The grade from which a document is relevant for metrics that know no grades.

    Raises:
        ConfigurationError: A metric that there is not.
        MissingDependency: ir-measures is not installed.
    """
    if isinstance(names, str) or not names:
        msg = f"metrics must be a list of at least one name such as ['nDCG@10'], got {names!r}"
        raise ConfigurationError(msg)
    measures = {}
    for name in names:
        canonical, measure = _measure(name, relevant_from)
        measures[canonical] = measure
    return measures


def per_question(measures: Mapping[str, Any], qrels: Qrels, rankings: Mapping[str, Sequence[str]]) -> Values:
    """The value of each measure for each question of `qrels`, in their order.

    Args:
        measures: See `parse_metrics`.
        qrels: What is relevant. A grade below 0 is as good as 0: judged, and not relevant.
        rankings: Documents best first, by question. Questions that are not judged do not count.
    """
    ir_measures = _ir_measures()
    scored = [
        ir_measures.ScoredDoc(_utf8(query), _utf8(document), -float(rank))
        for query, documents in rankings.items()
        if query in qrels
        for rank, document in enumerate(documents)
    ]
    # trec_eval ends the whole process, now and then, on a question whose grades are all below 0.
    judged = [
        ir_measures.Qrel(_utf8(query), _utf8(document), max(0, grade))
        for query, documents in qrels.items()
        for document, grade in documents.items()
    ]
    found: dict[Any, dict[str, float]] = {measure: {} for measure in measures.values()}
    for metric in ir_measures.iter_calc(list(found), judged, scored):
        found[metric.measure][metric.query_id] = float(metric.value)
    return {
        name: {query: found[measure].get(_utf8(query), 0.0) for query in qrels}
        for name, measure in measures.items()
    }


def _utf8(name: str) -> str:
    # trec_eval is C and refuses halves of characters, which JSON can name.
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _measure(name: str, relevant_from: int) -> tuple[str, Any]:
    ir_measures = _ir_measures()
    match = _NAME.match(name) if isinstance(name, str) else None
    if match is None:
        raise _unknown(name)
    family, inner, cutoff = match.groups()
    family = _ALIASES.get(family.lower(), family)
    shown = family + (inner or "") + (f"@{cutoff}" if cutoff else "")
    if relevant_from != 1 and family in _BINARY and not inner:
        inner = f"(rel={relevant_from})"
    try:
        measure = ir_measures.parse_measure(family + (inner or "") + (f"@{cutoff}" if cutoff else ""))
    except (ValueError, NameError, SyntaxError, TypeError) as error:
        raise _unknown(name) from error
    for setting in ("cutoff", "rel"):
        _check_whole(name, setting, measure.params.get(setting))
    needed = (key for key, each in measure.SUPPORTED_PARAMS.items() if each.required)
    if "cutoff" in needed and "cutoff" not in measure.params:
        msg = f"the metric {name!r} needs a cut-off, such as '{name}@10'"
        raise ConfigurationError(msg)
    if not any(
        provider.is_available() and provider.supports(measure)
        for provider in ir_measures.providers.registry.values()
    ):
        raise _unknown(name)
    return shown, measure


def _check_whole(metric: str, setting: str, value: object) -> None:
    # trec_eval ends the whole process on others.
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST
    ):
        msg = f"{setting} of the metric {metric!r} must be a whole number from 1 to {_MOST:,}, got {value!r}"
        raise ConfigurationError(msg)


def _unknown(name: object) -> ConfigurationError:
    families = sorted(set(_ALIASES.values()))
    return ConfigurationError(
        f"there is no metric {name!r}; there are {families}, most with a cut-off such as 'nDCG@10' or 'R@100'"
    )


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        msg = "metrics need ir-measures; install it with: pip install 'hydrant-rag[eval]'"
        raise MissingDependency(msg) from error
    return ir_measures


def mean(values: Iterable[float]) -> float:
    """The mean; 0 of nothing."""
    kept = list(values)
    return sum(kept) / len(kept) if kept else 0.0

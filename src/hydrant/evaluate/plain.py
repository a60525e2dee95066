"""A report as JSON values, and as files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydrant.errors import ConfigurationError
from hydrant.evaluate.report import Measured, Report, TaskResult

_SUFFIXES = (".html", ".json", ".md")


def plain(report: Report) -> dict[str, Any]:
    """Everything there is; see `Report.json`."""
    return {
        "settings": asdict(report.settings),
        "peak_memory_bytes": report.peak_memory,
        "tasks": [_task(task) for task in report.tasks],
    }


def written(report: Report, path: Path) -> str:
    """The report in the format that a file's ending names.

    Raises:
        ConfigurationError: It names none.
    """
    _check_ending(path)
    if path.suffix == ".md":
        return report.markdown()
    if path.suffix == ".html":
        return report.html()
    return json.dumps(report.json(), indent=1, ensure_ascii=False) + "\n"


def check_file(path: Path) -> None:
    """Refuse a file that cannot be, before anything is measured.

    Raises:
        ConfigurationError: Its ending names no format, or its folder is missing.
    """
    _check_ending(path)
    check_parent(path)


def check_parent(path: Path) -> None:
    """Refuse a file whose folder is missing.

    Raises:
        ConfigurationError: It is.
    """
    if not path.parent.is_dir():
        msg = f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first"
        raise ConfigurationError(msg)


def _check_ending(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        msg = f"a report's file must end in one of {list(_SUFFIXES)}, got {str(path)!r}"
        raise ConfigurationError(msg)


def _task(task: TaskResult) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": task.kind,
        "graded": task.graded,
        "questions": task.questions,
        "unjudged": list(task.unjudged),
        "metrics": list(task.metrics),
        "pipelines": [_measured(each, task) for each in task.measured],
        "comparisons": [{**asdict(each), "significant": each.significant} for each in task.comparisons],
        "warnings": list(task.warnings),
        "remarks": list(task.remarks),
    }


def _measured(measured: Measured, task: TaskResult) -> dict[str, Any]:
    return {
        "name": measured.name,
        "means": {metric: measured.mean(metric) for metric in task.metrics},
        "intervals": {metric: asdict(interval) for metric, interval in measured.intervals.items()},
        "latency_seconds": None if measured.latency is None else asdict(measured.latency),
        "usage": asdict(measured.usage),
        "failed": dict(measured.failed),
        "degraded": dict(measured.degraded),
        "reasons": dict(measured.reasons),
        "groups": {metric: dict(groups) for metric, groups in measured.groups.items()},
        "values": {metric: dict(values) for metric, values in measured.values.items()},
    }

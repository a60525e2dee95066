"""Reports in every format say the same, and hostile names harm none of them."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from hydrant import Experiment, Query, Run, Task
from hydrant.errors import ConfigurationError, StorageError
from hydrant.evaluate import plots

EVIL = '<script>alert("x")</script> | a&b\x1b[31m\x9b7m\u202e\nnext'


@pytest.fixture(scope="module")
def report():
    queries = {f"q{n}": Query(f"question {n} {EVIL}") for n in range(30)}
    qrels = {query: {"a": 1, "b": 2} for query in queries}
    groups = {query: "odd" if int(query[1:]) % 2 else "even" for query in queries}
    tasks = [Task(name, queries, qrels, groups=groups, unjudged=("x",)) for name in ("first", "second")]
    good = Run(dict.fromkeys(queries, (("b", 2.0), ("a", 1.0))))
    bad = Run({query: (("z", 2.0), ("a", 1.0)) for query in queries if query != "q7"})
    return Experiment({"good": good, EVIL: bad}, tasks, resamples=300, progress=False).run()


def test_the_terminal_shows_ranking_differences_groups_failures_and_remarks(report):
    out = io.StringIO()
    report.show(Console(file=out, width=200))
    text = out.getvalue()
    for said in ("first: 30 questions, graded", "1.0000", "odd", "q7", "the run has no ranking", "no judgments", "All tasks", "better", "bootstrap"):  # fmt: skip
        assert said in text, said


@pytest.mark.parametrize("width", [50, 60, 70, 80, 100])
def test_a_narrow_terminal_keeps_every_number_and_says_whose_it_is(report, width):
    wide, narrow = io.StringIO(), io.StringIO()
    report.show(Console(file=wide, width=400))
    report.show(Console(file=narrow, width=width))
    number = re.compile(r"[-+]?\d\.\d+")
    # Tables in several parts have the same numbers in another order.
    assert sorted(number.findall(narrow.getvalue())) == sorted(number.findall(wide.getvalue()))
    for line in narrow.getvalue().splitlines():
        assert len(line) <= width
    rows = [line for line in narrow.getvalue().splitlines() if line.startswith("  1 ")]
    assert rows
    assert all("good" in row for row in rows)


def test_markdown_tables_have_as_many_cells_in_every_row(report):
    tables = re.findall(r"(?:^\|.*\n)+", report.markdown(), re.MULTILINE)
    assert len(tables) >= 7
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(counts) == 1


def test_the_page_is_whole_by_itself_and_runs_no_script(report):
    page = report.html()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    plots_found = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots_found) == 6
    for plot in plots_found:
        root = ET.fromstring(plot)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.attrib.get("x", 0)) <= width
            assert 0 <= float(text.attrib.get("y", 0)) <= height


def test_json_has_every_questions_value(report):
    content = json.loads(json.dumps(report.json()))
    task = content["tasks"][0]
    assert task["pipelines"][0]["name"] == "good"
    assert task["pipelines"][0]["values"]["nDCG@10"] == dict.fromkeys((f"q{n}" for n in range(30)), 1.0)
    assert task["pipelines"][1]["failed"] == {"q7": "the run has no ranking for it"}
    assert task["comparisons"][0]["significant"] is True
    assert content["settings"]["resamples"] == 300


def test_reports_are_saved_by_the_files_ending(report, tmp_path):
    for name, begins in (("r.md", "### first"), ("r.html", "<!doctype html>"), ("r.json", "{")):
        report.save(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    with pytest.raises(ConfigurationError, match=r"'\.html', '\.json', '\.md'"):
        report.save(tmp_path / "r.pdf")
    with pytest.raises(StorageError):
        report.save(tmp_path / "nowhere" / "r.md")


def test_no_report_carries_control_characters(report, tmp_path):
    out = io.StringIO()
    report.show(Console(file=out, width=200, color_system=None))
    for text in (out.getvalue(), report.markdown(), report.html()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "<script" not in report.markdown()


def test_parts_of_a_report_are_found_by_name(report):
    assert report["second"]["good"].mean("nDCG@10") == 1.0
    assert {each.metric for each in report["first"].comparisons} == set(report["first"].metrics)


def test_plots_of_one_value_or_equal_ones_are_drawn():
    for plot in (
        plots.intervals([plots.Line("a", 0.0, 0.0, 0.0)], "x", zero=True),
        plots.intervals([plots.Line("a", 0.5, 0.5, 0.5)] * 2, "x"),
        plots.scatter([plots.Dot("a", 1.0, 0.5), plots.Dot("b", 1.0, 0.5)], "x", "y"),
        plots.differences([0.0, 0.0], "x"),
    ):
        assert "nan" not in plot
        ET.fromstring(plot)

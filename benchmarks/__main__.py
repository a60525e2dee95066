"""Every measurement, one after the other: `python -m benchmarks`. Writes nothing but what it prints.

It takes about half an hour on two cores, most of it encoding. `--quick` shows in a minute that everything works.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import context, fusion, hyde, ingest, integrations, quality, query, rerank, rerank_llm, tables
from benchmarks.data import data_folder


def main(arguments: Sequence[str] | None = None) -> None:
    given = tables.options(__doc__).parse_args(arguments)
    if given.quick:
        data = [] if given.data is None else ["--data", given.data]
        for each in (quality, ingest, query, context, rerank, integrations):
            each.main(["--quick", *data])
        return
    report = tables.Report("all", given.json)
    folder = data_folder(given.data)
    quality.measure(report, folder)
    fusion.measure(report, folder)
    ingest.measure(report, given.data)
    query.measure(report)
    context.measure(report, folder)
    rerank.measure(report, folder, rerank.Size())
    rerank_llm.measure(report, folder)
    hyde.measure(report, folder)
    integrations.measure(report)
    report.close()


if __name__ == "__main__":
    main()

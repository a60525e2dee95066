"""Measurements of Hydrant. One command each prints a table: `python -m benchmarks.quality`, `.ingest`, `.query`."""

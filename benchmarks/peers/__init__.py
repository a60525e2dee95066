"""Hydrant and the components people use today, on the same models, data and machine: `python -m benchmarks.peers`."""

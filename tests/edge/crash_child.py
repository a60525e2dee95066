"""Writes by a schedule until it is killed; every acknowledged step is told on stdout first.

Each step is one of: upsert a batch whose points all carry the step's number, or delete an earlier batch by a filter.
"""

from __future__ import annotations

import random
import sys

import numpy as np
from qdrant_client import models

from hydrant.edge import EdgeClient

BATCH, DIM = 40, 16


def main(folder: str, seed: int) -> None:
    chance, rows = random.Random(seed), np.random.default_rng(seed)
    client = EdgeClient(folder)
    if not client.collection_exists("docs"):
        client.create_collection(
            "docs",
            models.VectorParams(size=DIM, distance=models.Distance.COSINE),
            # So low that indexes are built all the time.
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
            hnsw_config=models.HnswConfigDiff(full_scan_threshold=10, ef_construct=200),
        )
        client.create_payload_index("docs", "step", "integer")
    step = seed * 100_000
    written: list[int] = []
    while True:
        step += 1
        if written and chance.random() < 0.2:
            target = written.pop(chance.randrange(len(written)))
            say("try-delete", target)
            step_is = models.FieldCondition(key="step", match=models.MatchValue(value=target))
            client.delete("docs", models.Filter(must=[step_is]))
            say("deleted", target)
        else:
            points = [
                models.PointStruct(id=step * BATCH + at, vector=row.tolist(), payload={"step": step})
                for at, row in enumerate(rows.normal(size=(BATCH, DIM)))
            ]
            say("try-upsert", step)
            client.upsert("docs", points)
            say("upserted", step)
            written.append(step)


def say(what: str, step: int) -> None:
    sys.stdout.write(f"{what} {step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

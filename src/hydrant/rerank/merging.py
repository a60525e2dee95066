"""A stable merge sort whose comparisons are made many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hydrant.flow import Flow

# Pairs in; for each whether its second is better than its first.
Prefer: TypeAlias = Callable[[Sequence[tuple[int, int]]], Flow[list[bool]]]


@dataclass
class _Merge:
    """Two sorted runs that become one."""

    left: list[int]
    right: list[int]
    merged: list[int] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return bool(self.left and self.right)

    def take(self, *, second: bool) -> None:
        self.merged.append((self.right if second else self.left).pop(0))

    def result(self) -> list[int]:
        return [*self.merged, *self.left, *self.right]


def merge_sorted(count: int, prefer_second: Prefer) -> Flow[list[int]]:
    """The numbers 0 to count - 1 in order, best first; equals keep the order of their numbers.

    All merges of a level go on side by side: in each round every one of them makes its next comparison.

    Args:
        count: How many there are.
        prefer_second: Makes comparisons.
    """
    runs = [[number] for number in range(count)]
    while len(runs) > 1:
        merges = [_Merge(left, right) for left, right in zip(runs[::2], runs[1::2], strict=False)]
        while active := [merge for merge in merges if merge.open]:
            better = yield from prefer_second([(merge.left[0], merge.right[0]) for merge in active])
            for merge, second in zip(active, better, strict=True):
                merge.take(second=second)
        odd = [runs[-1]] if len(runs) % 2 else []
        runs = [merge.result() for merge in merges] + odd
    return runs[0] if runs else []

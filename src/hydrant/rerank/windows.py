"""Windows that slide over a list from its end to its head."""

from __future__ import annotations


def windows(count: int, size: int, step: int) -> list[tuple[int, int]]:
    """The windows in the order in which they are ranked, each as its first position and the one behind its last.

    The last of them begins at the head, however the numbers fall: 25 positions in windows of 20 by steps of 10 are (5, 25) and
    (0, 15). Every position lies in one of them at least.

    Args:
        count: How many positions there are.
        size: How many a window holds, at most.
        step: How far each window lies before the one that was ranked earlier.
    """
    found = []
    end = count
    while end > 0:
        start = max(0, end - size)
        found.append((start, end))
        if start == 0:
            break
        end -= step
    return found

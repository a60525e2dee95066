"""The best of many, found by ranking small groups of them: a tournament whose rounds are remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hydrant.flow import Flow

Group: TypeAlias = tuple[int, ...]
# Groups in, each group's order out; None where it cannot be had.
AskOrders: TypeAlias = Callable[[Sequence[Group]], Flow[list[Group | None]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a tournament is played.

    Attributes:
        group: How many meet.
        winners: How many of them go on to the next level.
        trust: "winners": an answer is believed about the winners alone, and the others meet again when one of them has left.
            "order": about all of them.
    """

    group: int
    winners: int
    trust: str = "winners"


@dataclass
class Tournament:
    """A tournament of levels: from every group so many go up, and of the last group one is the best of all.

    When the best has left, only the groups on its path meet again. Groups that met before are not asked again: their order is
    kept under the sorted numbers of who was in it.

    Attributes:
        count: How many take part.
        plan: How it is played.
    """

    count: int
    plan: Plan
    _known: dict[Group, Group] = field(default_factory=dict)
    # The last answer about each place in the tree, by level and number.
    _last: dict[tuple[int, int], Group] = field(default_factory=dict)

    def best(self, places: int, ask: AskOrders) -> Flow[list[int]]:
        """The best, as many as wanted, best first.

        Args:
            places: How many.
            ask: Has groups put in order.
        """
        there = list(range(self.count))
        found: list[int] = []
        while there and len(found) < places:
            champion = yield from self._champion(frozenset(there), ask)
            found.append(champion)
            there.remove(champion)
        return found

    def _champion(self, there: frozenset[int], ask: AskOrders) -> Flow[int]:
        level = 0
        # Seats stay where they are when somebody leaves, so that the other groups stay as they were.
        seats: list[int | None] = [each if each in there else None for each in range(self.count)]
        while True:
            tables = [
                tuple(each for each in seats[at : at + self.plan.group] if each is not None)
                for at in range(0, len(seats), self.plan.group)
            ]
            last = len(tables) == 1
            goes_up = 1 if last else self.plan.winners
            yield from self._meet(level, tables, goes_up, ask)
            orders = [self._order(level, number, table) for number, table in enumerate(tables)]
            if last:
                return orders[0][0]
            seats = [each for order, full in zip(orders, _sizes(len(seats), self.plan.group), strict=True)
                     for each in _seated(order, min(full, self.plan.winners))]  # fmt: skip
            level += 1

    def _meet(self, level: int, tables: Sequence[Group], goes_up: int, ask: AskOrders) -> Flow[None]:
        """Have those groups of a level put in order whose order is not known."""
        new = [
            (number, table)
            for number, table in enumerate(tables)
            if len(table) > goes_up and not self._is_known(level, number, table)
        ]
        if not new:
            return
        for (number, table), order in zip(new, (yield from ask([table for _, table in new])), strict=True):
            if order is None:
                # It is not asked again.
                self._known[_key(table)] = self._fallback(level, number, table)
            else:
                self._known[_key(table)] = self._last[level, number] = order

    def _is_known(self, level: int, number: int, table: Group) -> bool:
        if _key(table) in self._known:
            return True
        return self.plan.trust == "order" and set(table) <= set(self._last.get((level, number), ()))

    def _order(self, level: int, number: int, table: Group) -> Group:
        return self._known.get(_key(table)) or self._fallback(level, number, table)

    def _fallback(self, level: int, number: int, table: Group) -> Group:
        """The order that the last answer says, and for who was not there the numbers, which are the order from before."""
        order = [each for each in self._last.get((level, number), ()) if each in table]
        for new in sorted(set(table) - set(order)):
            behind = (at for at, each in enumerate(order) if each > new)
            order.insert(next(behind, len(order)), new)
        return tuple(order)


def with_rest(best: Sequence[int], count: int) -> list[int]:
    """The order of all, of which only the best were placed; the others keep the order they had."""
    placed = set(best)
    return [*best, *(position for position in range(count) if position not in placed)]


def _key(group: Group) -> Group:
    return tuple(sorted(group))


def _sizes(seats: int, group: int) -> list[int]:
    return [min(group, seats - at) for at in range(0, seats, group)]


def _seated(order: Group, seats: int) -> Iterator[int | None]:
    yield from order[:seats]
    yield from [None] * (seats - len(order))

"""The order in which the gradients of a batch's parts are added: a fixed binary tree, whoever computes the parts.

Floating-point addition is not associative, so the order decides the last bits. The tree over N leaves is left-complete:
its left half has as many leaves as the largest power of two below N. Neighbouring leaves form few complete subtrees, so
each of several processes can add the gradients of its own parts, and send only the sums.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")
Node = tuple[int, int]  # the first leaf of a subtree, and the one after its last leaf


def split_at(leaves: int) -> int:
    """Return how many of a tree's leaves are in its left half: the largest power of two below their number.

    >>> [split_at(leaves) for leaves in (2, 3, 4, 5, 8, 9)]
    [1, 2, 2, 4, 4, 8]
    """
    return 1 << ((leaves - 1).bit_length() - 1)


def nodes(first: int, end: int, leaves: int) -> list[Node]:
    """Return the largest subtrees of the tree over ``leaves`` leaves that lie in a run of leaves, from left to right.

    >>> nodes(0, 2, 4), nodes(1, 4, 4), nodes(0, 5, 5), nodes(2, 2, 4)
    ([(0, 2)], [(1, 2), (2, 4)], [(0, 5)], [])
    """

    def inside(begin: int, stop: int) -> Iterator[Node]:
        if stop <= first or end <= begin:
            return
        if first <= begin and stop <= end:
            yield begin, stop
            return
        middle = begin + split_at(stop - begin)
        yield from inside(begin, middle)
        yield from inside(middle, stop)

    return list(inside(0, leaves)) if leaves else []


def run_of(rank: int, size: int, leaves: int) -> range:
    """Return the leaves that one of ``size`` processes computes: a run of neighbours, empty if there are too few.

    >>> [list(run_of(rank, 3, 4)) for rank in range(3)]
    [[0], [1], [2, 3]]
    """
    return range(leaves * rank // size, leaves * (rank + 1) // size)


def total(values: dict[Node, Value], leaves: int, add: Callable[[Value, Value], Value]) -> Value:
    """Return the sum over the tree, given the sums of subtrees that cover it.

    >>> total({(0, 1): "a", (1, 2): "b", (2, 4): "cd", (4, 5): "e"}, 5, lambda one, other: f"({one}+{other})")
    '(((a+b)+cd)+e)'
    """

    def of(begin: int, stop: int) -> Value:
        if (begin, stop) in values:
            return values[begin, stop]
        middle = begin + split_at(stop - begin)
        return add(of(begin, middle), of(middle, stop))

    return of(0, leaves)


class Adder(Generic[Value]):
    """Adds the values of a run of leaves as they come, and keeps no more of them than the tree needs.

    Args:
        first: The first leaf.
        end: The leaf after the last one.
        leaves: Leaves of the whole tree.
        add: Returns the sum of two values; may change the first one.
    """

    def __init__(self, first: int, end: int, leaves: int, add: Callable[[Value, Value], Value]) -> None:
        self.nodes, self.add, self.leaf = nodes(first, end, leaves), add, first
        self.waiting: list[tuple[Node, Value]] = []  # left siblings of what is being added, from the root down
        self.sums: dict[Node, Value] = {}

    def put(self, value: Value) -> None:
        """Add the value of the next leaf."""
        root = self.nodes[len(self.sums)]
        node, self.leaf = (self.leaf, self.leaf + 1), self.leaf + 1
        while node != root and _is_right(node, root):
            left, before = self.waiting.pop()
            node, value = (left[0], node[1]), self.add(before, value)
        if node == root:
            self.sums[node] = value
        else:
            self.waiting.append((node, value))


def _is_right(node: Node, root: Node) -> bool:
    """Return whether a node is the right half of its parent, in the subtree of ``root``."""
    begin, stop = root
    while True:
        middle = begin + split_at(stop - begin)
        if (begin, middle) == node:
            return False
        if (middle, stop) == node:
            return True
        begin, stop = (begin, middle) if node[1] <= middle else (middle, stop)

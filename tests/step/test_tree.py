"""The tree along which the gradients of parts are added: whoever adds which part of it, the order is the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainctl.step import tree


def bracketed(first: int, end: int) -> str:
    """Return the sum of a run of leaves as the tree has it, by its definition."""
    if end - first == 1:
        return str(first)
    half = 1
    while 2 * half < end - first:
        half *= 2
    return f"({bracketed(first, first + half)}+{bracketed(first + half, end)})"


def add(one: str, other: str) -> str:
    return f"({one}+{other})"


@given(leaves=st.integers(1, 40), size=st.integers(1, 45))
def test_the_order_does_not_depend_on_the_number_of_processes(leaves, size):
    sums: dict[tuple[int, int], str] = {}
    for rank in range(size):
        mine = tree.run_of(rank, size, leaves)
        adder = tree.Adder(mine.start, mine.stop, leaves, add)
        for leaf in mine:
            adder.put(str(leaf))
        assert list(adder.sums) == tree.nodes(mine.start, mine.stop, leaves)
        assert len(adder.sums) <= 2 * max(1, leaves.bit_length())
        sums |= adder.sums
    assert tree.total(sums, leaves, add) == bracketed(0, leaves)


@given(leaves=st.integers(0, 60), size=st.integers(1, 70))
def test_every_leaf_belongs_to_one_process(leaves, size):
    runs = [tree.run_of(rank, size, leaves) for rank in range(size)]
    assert [leaf for run in runs for leaf in run] == list(range(leaves))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


@pytest.mark.parametrize("leaves", [3, 4, 6, 7, 16])
def test_few_values_wait_to_be_added(leaves):
    adder = tree.Adder(0, leaves, leaves, add)
    most = 0
    for leaf in range(leaves):
        adder.put(str(leaf))
        most = max(most, len(adder.waiting))
    assert most <= leaves.bit_length()

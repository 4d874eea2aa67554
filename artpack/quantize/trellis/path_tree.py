"""
The tree of the paths that survivors came along: their errors, a block of rows a node.

A node is a state at the end of a block; survivors share most of those that lie far back.
Blocks at whose end all of them were in one state are settled.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.trellis.lockstep import FAR
from artpack.system.jit import jit
from artpack.system.vectors import WIDTH, add_product

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

UNSETTLED = 32
"""Blocks after which survivors that still disagree with the best one are dropped.

At 64 states, paths agree after 10 blocks as a rule. Eight gave up 2 to 3% of the squared error.
"""


class PathTree(NamedTuple):
    """
    What is not settled yet, in rings of blocks, the states of a block together.

    Attributes:
        errors: float32 ``(UNSETTLED * states * WIDTH,)``: of each node, row by row.
        parents: uint32 ``(UNSETTLED * states,)``: of each node, the state in the block before.
        nodes: uint32 ``(UNSETTLED * states,)``: the states that some survivor came through.
        counts: int64 ``(UNSETTLED,)``: how many these are, in each block.
        marks: int64 ``(states,)``: the block that a state was last listed for.
        sums: float32 ``((2 * states + 1) * WIDTH,)``: what errors up to a node add to the rows
            ahead, in even blocks and in odd ones; and what none add.
    """

    errors: Floats
    parents: Words
    nodes: Words
    counts: NDArray[np.int64]
    marks: NDArray[np.int64]
    sums: Floats


@jit(nogil=True)
def plant(states: int) -> PathTree:
    """Make room for a tree."""
    return PathTree(
        np.empty(UNSETTLED * states * WIDTH, np.float32),
        np.empty(UNSETTLED * states, np.uint32),
        np.empty(UNSETTLED * states, np.uint32),
        np.empty(UNSETTLED, np.int64),
        np.empty(states, np.int64),
        np.zeros((2 * states + 1) * WIDTH, np.float32),
    )


@jit(nogil=True)
def grow(tree: PathTree, block: int, errors: Floats, parents: Words, half: int) -> None:
    """Take in the nodes of a block, from one half of what survivors carry."""
    states, width = np.uint64(len(tree.marks)), np.uint64(WIDTH)
    here, at = np.uint64(block % UNSETTLED) * states, np.uint64(half) * states
    for state in range(states):
        tree.parents[here + state] = parents[at + state]
    for i in range(states * width):
        tree.errors[here * width + i] = errors[at * width + i]


@jit(nogil=True)
def drop_others(tree: PathTree, settled: int, block: int, costs: Floats) -> None:
    """Drop survivors that came not through the same node as the best one, in the oldest block."""
    node = _ancestor(tree, settled, block, np.argmin(costs))
    for state in range(len(costs)):
        if costs[state] < FAR / 2 and _ancestor(tree, settled, block, state) != node:
            costs[state] = FAR


@jit(nogil=True)
def _ancestor(tree: PathTree, settled: int, block: int, node: Any) -> Any:
    for at in range(block, settled, -1):
        node = np.int64(tree.parents[at % UNSETTLED * len(tree.marks) + node])
    return node


@jit(nogil=True)
def find_nodes(tree: PathTree, settled: int, block: int, costs: Floats) -> int:
    """
    List the nodes that survivors came through.

    Args:
        tree: Whose ``nodes`` and ``counts`` are set, as far back as survivors disagree.
        settled: How many blocks are.
        block: The last one.
        costs: Of survivors; those beyond reach are none.

    Returns:
        How many blocks are settled now.

    """
    states, count = len(costs), 0
    for state in range(states):
        if costs[state] < FAR / 2:
            tree.nodes[block % UNSETTLED * states + count] = state
            count += 1
    tree.counts[block % UNSETTLED] = count
    tree.marks[:] = -1
    for at in range(block, settled, -1):
        if tree.counts[at % UNSETTLED] == 1:
            return at + 1
        _list_parents(tree, at)
    return settled + 1 if tree.counts[settled % UNSETTLED] == 1 else settled


@jit(nogil=True)
def _list_parents(tree: PathTree, block: int) -> None:
    states = np.uint64(len(tree.marks))
    before = np.uint64((block - 1) % UNSETTLED) * states
    here, count = np.uint64(block % UNSETTLED) * states, np.uint64(0)
    for i in range(np.uint64(tree.counts[block % UNSETTLED])):
        parent = np.uint64(tree.parents[here + np.uint64(tree.nodes[here + i])])
        if tree.marks[parent] != block:
            tree.marks[parent] = block
            tree.nodes[before + count] = parent
            count += np.uint64(1)
    tree.counts[(block - 1) % UNSETTLED] = count


@jit(nogil=True)
def read_path(tree: PathTree, settled: int, block: int, node: Any, errors: Floats) -> None:
    """Write down the errors of the path to a node of a block, from what was settled before."""
    for at in range(block, settled - 1, -1):
        here = at % UNSETTLED * len(tree.marks) + node
        for row in range(WIDTH):
            errors[at * WIDTH + row] = tree.errors[here * WIDTH + row]
        node = np.int64(tree.parents[here])


@jit(nogil=True)
def look_ahead(tree: PathTree, settled: int, block: int, tiles: Floats, carried: Floats) -> None:
    """Sum what errors that are not settled add to the next block, for every survivor."""
    states, width = np.uint64(len(tree.marks)), np.uint64(WIDTH)
    size, nothing = states * width, np.uint64(2) * states * width
    for at in range(settled, block + 1):
        here, first = np.uint64(at % UNSETTLED) * states, at == settled
        before, after = np.uint64((at + 1) & 1) * size, np.uint64(at & 1) * size
        tile = np.uint64((at * len(tiles) + block + 1) * WIDTH * WIDTH)
        for i in range(np.uint64(tree.counts[at % UNSETTLED])):
            node = here + np.uint64(tree.nodes[here + i])
            origin = nothing if first else before + np.uint64(tree.parents[node]) * width
            to = after + (node - here) * width
            add_product(tree.sums, to, tree.sums, origin, tree.errors, node * width, tiles, tile)
    last = np.uint64(block & 1) * size
    for i in range(size):
        carried[i] = tree.sums[last + i] if settled <= block else np.float32(0)

"""The tree of survivors' paths: which blocks are settled, and who is dropped when it is full."""

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.trellis.lockstep import FAR
from artpack.quantize.trellis.path_tree import PathTree, drop_others, find_nodes, grow, plant
from artpack.system.vectors import WIDTH

STATES = 4


def tree_of(*parents: list[int]) -> PathTree:
    tree = plant(STATES)
    for block, origins in enumerate(parents):
        both = np.array([[0] * STATES, origins], np.uint32).ravel()
        grow(tree, block, np.zeros(2 * STATES * WIDTH, np.float32), both, 1)
    return tree


def costs_of(*costs: float) -> NDArray[np.float32]:
    return np.array(costs, np.float32)


def test_blocks_are_settled_as_far_as_all_survivors_came_through_one_node() -> None:
    tree = tree_of([0, 0, 0, 0], [0, 0, 1, 1], [2, 2, 3, 3], [0, 0, 2, 1])

    assert find_nodes(tree, 0, 3, costs_of(0, 1, 2, 3)) == 1
    assert find_nodes(tree, 0, 3, costs_of(0, 1, float(FAR), 3)) == 2
    assert tree.nodes[STATES] == 2


def test_survivors_that_left_the_best_ones_path_in_the_oldest_block_are_dropped() -> None:
    tree = tree_of([0, 0, 0, 0], [0, 0, 1, 1], [2, 2, 3, 1])
    costs = costs_of(5, 0, 7, 6)

    drop_others(tree, 0, 2, costs)

    assert costs.tolist() == [5, 0, 7, np.float32(FAR)]
    assert find_nodes(tree, 0, 2, costs) == 1

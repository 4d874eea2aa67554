"""
Viterbi's algorithm where errors of a column's rows add up: noise is shaped down the column.

Rows go in blocks of eight. Within a block each survivor carries what its errors there add to
the rest of the block, one vector. Errors of earlier blocks are kept in the tree of the paths
that survivors came along: what they add to the next block is summed once for each node, and
survivors share most of their nodes. What all of them share is settled.

Source: per-survivor processing, Raheli, Polydoros and Tzou (1995); the M-algorithm for
quantizing with noise shaping, Janssen and Reefman (2003).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.trellis.lockstep import FAR, lesser
from artpack.quantize.trellis.pairs import pairs
from artpack.quantize.trellis.path_tree import (
    UNSETTLED,
    drop_others,
    find_nodes,
    grow,
    look_ahead,
    plant,
    read_path,
)
from artpack.system.jit import jit
from artpack.system.vectors import WIDTH, add_product, add_scaled

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Words = NDArray[np.uint32]


class Survivors(NamedTuple):
    """
    The cheapest path into each state.

    Attributes:
        costs: float32 ``(states,)``: its squared shaped errors, less those of the best.
        carried: float32 ``(2 * states * WIDTH,)``: its errors in the rows of this block that
            are done, and what all its errors that are not settled add to the others; after an
            even number of rows in the first half, after an odd one in the second.
        roots: uint32 ``(2 * states,)``: where it was when the block began; likewise.
    """

    costs: Floats
    carried: Floats
    roots: Words


class Moves(NamedTuple):
    """
    Of the two moves into each state the cheaper, in the place whose even branch leads there.

    Attributes:
        costs: float32 ``(states,)``: of the path that ends with it.
        errors: float32 ``(states,)``: of the row's weight.
        origins: uint32 ``(states,)``: where it comes from.
    """

    costs: Floats
    errors: Floats
    origins: Words


def into_tiles(spread: Floats) -> Floats:
    """
    Lay a matrix out for :func:`search_shaped`, so that it is read as it lies in memory.

    Args:
        spread: float32, shape ``(rows, rows)``, zero on and below the diagonal: the shaped error
            of row j is its own error plus, for each row i above it, ``spread[i, j]`` times
            that row's.

    Returns:
        float32, shape ``(blocks, blocks, WIDTH, WIDTH)``, zero where there are no rows.

    """
    rows = len(spread)
    blocks = -(-rows // WIDTH)
    tiles = np.zeros((blocks, blocks, WIDTH, WIDTH), np.float32)
    for row, values in enumerate(spread):
        padded = np.zeros(blocks * WIDTH, np.float32)
        padded[:rows] = values
        tiles[row // WIDTH, :, row % WIDTH] = padded.reshape(blocks, WIDTH)
    return tiles


def search_shaped(targets: Floats, tiles: Floats, states: int, radius: int) -> Integers:
    """
    Find points down one column so that the shaped errors are small.

    Args:
        targets: float32, shape ``(rows,)``, in steps.
        tiles: What errors add to the rows below, laid out by :func:`into_tiles`.
        states: Of the trellis.
        radius: The largest code, as in :func:`~artpack.quantize.trellis.viterbi.search`.

    Returns:
        int32, shape ``(rows,)``: points that follow the trellis from state 0.

    """
    if states == 1:
        return _babai(targets, tiles, radius)
    parities, sources = pairs(states)
    quarters = parities.astype(np.float32) / np.float32(4)
    return _survivors(targets / np.float32(4), tiles, quarters, sources, radius)


@jit(nogil=True)
def _babai(targets: Floats, tiles: Floats, radius: int) -> Integers:
    rows, width = len(targets), np.uint64(WIDTH)
    points, shift = np.empty(rows, np.int32), np.zeros(len(tiles) * WIDTH, np.float32)
    for row in range(rows):
        point = int(np.rint(targets[row] - shift[row]))
        points[row] = min(max(point, -radius), radius)
        error, place = points[row] - targets[row], np.uint64(row % WIDTH) * width
        for block in range(row // WIDTH, len(tiles)):
            at = np.uint64(block) * width
            add_scaled(shift, at, shift, at, error, tiles[row // WIDTH, block], place)
    return points


@jit(nogil=True)
def _survivors(
    targets: Floats, tiles: Floats, parities: Floats, sources: Words, radius: int
) -> Integers:
    """Search in quarters of steps, in which the points of a branch are whole numbers apart."""
    states, blocks, settled = len(parities), len(tiles), 0
    shift, errors = np.zeros(blocks * WIDTH, np.float32), np.zeros(blocks * WIDTH, np.float32)
    survivors, moves, tree = _nobody(states), _no_moves(states), plant(states)
    survivors.costs[0] = 0
    for block in range(blocks):
        rows = min(WIDTH, len(targets) - block * WIDTH)
        _walk(targets, shift, block, rows, tiles, parities, sources, radius, survivors, moves)
        grow(tree, block, survivors.carried, survivors.roots, rows & 1)
        if block == blocks - 1:
            break
        if block - settled == UNSETTLED - 1:
            drop_others(tree, settled, block, survivors.costs)
        before, settled = settled, find_nodes(tree, settled, block, survivors.costs)
        if settled > before:
            node = np.int64(tree.nodes[(settled - 1) % UNSETTLED * states])
            read_path(tree, before, settled - 1, node, errors)
            for old in range(before, settled):
                _add_settled(errors, old, tiles, block + 1, shift)
        look_ahead(tree, settled, block, tiles, survivors.carried)
    read_path(tree, settled, blocks - 1, np.argmin(survivors.costs), errors)
    points: Integers = np.empty(len(targets), np.int32)
    for row in range(len(targets)):
        points[row] = np.int32(np.rint(np.float32(4) * (errors[row] + targets[row])))
    return points


@jit(nogil=True)
def _nobody(states: int) -> Survivors:
    return Survivors(
        np.full(states, FAR),
        np.zeros(2 * states * WIDTH, np.float32),
        np.empty(2 * states, np.uint32),
    )


@jit(nogil=True)
def _no_moves(states: int) -> Moves:
    costs, errors = np.empty(states, np.float32), np.empty(states, np.float32)
    return Moves(costs, errors, np.empty(states, np.uint32))


@jit(nogil=True)
def _walk(  # noqa: PLR0917 - numba knows no keywords
    targets: Floats,
    shift: Floats,
    block: int,
    rows: int,
    tiles: Floats,
    parities: Floats,
    sources: Words,
    radius: int,
    survivors: Survivors,
    moves: Moves,
) -> None:
    """Go through the rows of a block."""
    for state in range(len(survivors.costs)):
        survivors.roots[state] = state
    tile = np.uint64(block * (len(tiles) + 1) * WIDTH * WIDTH)
    for row in range(rows):
        at = block * WIDTH + row
        aim = targets[at] - shift[at]
        _choose(aim, shift[at], row, parities, radius, survivors, moves)
        _follow(moves, row, tiles, tile, sources, survivors)


@jit(nogil=True, inline="always")
def _choose(  # noqa: PLR0917 - numba knows no keywords
    aim: np.float32,
    shift: np.float32,
    row: int,
    parities: Floats,
    radius: int,
    survivors: Survivors,
    moves: Moves,
) -> None:
    """Take both branches of every state, each to the nearest point; keep the cheaper arrivals."""
    half, width = np.uint64(len(parities) // 2), np.uint64(WIDTH)
    costs, carried, target = survivors.costs, survivors.carried, aim + shift
    first = np.uint64(row & 1) * np.uint64(len(parities)) * width + np.uint64(row)
    two = np.float32(2)
    even, odd = np.float32(radius & -2) / two, np.float32((radius - 1) | 1) / two
    for one in range(half):
        other, parity = one + half, parities[one]
        a = aim - carried[first + one * width] - parity
        b = aim - carried[first + other * width] - parity
        whole, halves = _nearest(a, np.float32(0), even), _nearest(b, np.float32(0.5), odd)
        x, y = costs[one] + _square(a - whole), costs[other] + _square(b - halves)
        moves.costs[one] = lesser(x, y)
        moves.errors[one] = (halves if y < x else whole) + parity - target
        moves.origins[one] = np.uint32(other) if y < x else np.uint32(one)
        whole, halves = _nearest(b, np.float32(0), even), _nearest(a, np.float32(0.5), odd)
        x, y = costs[other] + _square(b - whole), costs[one] + _square(a - halves)
        moves.costs[other] = lesser(x, y)
        moves.errors[other] = (halves if y < x else whole) + parity - target
        moves.origins[other] = np.uint32(one) if y < x else np.uint32(other)


@jit(nogil=True)
def _nearest(aim: np.float32, offset: np.float32, most: np.float32) -> np.float32:
    """Return the nearest number that is whole but for an offset, at most so large."""
    return -lesser(most, -lesser(np.rint(aim - offset) + offset, most))


@jit(nogil=True)
def _square(number: np.float32) -> np.float32:
    return number * number


@jit(nogil=True, inline="always")
def _follow(  # noqa: PLR0917 - numba knows no keywords
    moves: Moves, row: int, tiles: Floats, tile: np.uint64, sources: Words, survivors: Survivors
) -> None:
    """Hand on what errors add to the rest of the block, with the new one."""
    states, width, j, least = np.uint64(len(sources)), np.uint64(WIDTH), np.uint64(row), FAR
    before = (j & np.uint64(1)) * states
    behind, carried, weights = states - before, survivors.carried, tile + j * width
    for i in range(states):
        least = lesser(least, moves.costs[i])
    for to in range(states):
        place = np.uint64(sources[to])
        # Only differences matter: costs near zero keep their digits.
        survivors.costs[to] = moves.costs[place] - least
        survivors.roots[behind + to] = survivors.roots[before + np.uint64(moves.origins[place])]
    for to in range(states):
        place = np.uint64(sources[to])
        origin, error = before + np.uint64(moves.origins[place]), moves.errors[place]
        at = (behind + to) * width
        add_scaled(carried, at, carried, origin * width, error, tiles, weights)
        carried[at + j] = error


@jit(nogil=True)
def _add_settled(errors: Floats, old: int, tiles: Floats, block: int, shift: Floats) -> None:
    """Add what the errors of a block that is settled add to the rows ahead."""
    width, size = np.uint64(WIDTH), np.uint64(WIDTH * WIDTH)
    first, row = np.uint64(old) * width, np.uint64(old * len(tiles))
    for ahead in range(np.uint64(block), np.uint64(len(tiles))):
        at = ahead * width
        add_product(shift, at, shift, at, errors, first, tiles, (row + ahead) * size)

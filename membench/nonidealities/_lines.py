"""Passive crossbars with line and source resistance: the conductances that their inputs and outputs see.

Word line i is driven by V_i through the source resistance; the devices (i, 0), (i, 1), ... follow it, the line resistance
between any two of them. Bit line j collects from row 0 to the last row, which the source resistance joins to ground; the
current through it is what is read. All of it is linear: currents = V @ L with one matrix L for each crossbar.

Everything is written in admittances and resistances that add up, never in nodal equations: there a device of 20 nS is added to
a line of 1 kS, and the voltage drop, which is all that matters, is what the rounding takes.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Array: TypeAlias = NDArray[np.float64]

_BUDGET = 16 * 2**20  # bytes of temporaries: more of them leave the cache, and gain nothing
# OpenBLAS spreads larger inverses and products over threads that wait for each other at every turn: where another process has
# one of the cores, 128 x 128 takes ten to a hundred times as long. Blocks of this size stay on one thread.
_BLOCK = 32  # rows and columns
_MULTIPLICATIONS = 2**18  # of one product: OpenBLAS' own limit for one thread
_STRETCH = 32  # rows, at least, between two compressions of the transfer, so that narrow arrays do not compress all the time


def effective_conductances(conductance: Array, line_resistance: float, source_resistance: float) -> Array:
    """What each output current is per volt at each input, with the resistance of lines and sources.

    Args:
        conductance: of the devices, in siemens, of either sign; shape (..., rows, columns).
        line_resistance: between neighbouring devices of a line, in ohms, 0 or more.
        source_resistance: before a word line's first device and after a bit line's last, in ohms, 0 or more. Where it is 0, a
            piece of line is there instead.

    Returns:
        In siemens, of the shape of `conductance`: output currents are input voltages @ this.

    Raises:
        numpy.linalg.LinAlgError: negative conductances make the network singular.
    """
    conductance = np.asarray(conductance, dtype=np.float64)
    end_resistance = source_resistance or line_resistance
    if end_resistance == 0 or conductance.size == 0:
        return conductance.copy()
    rows, columns = conductance.shape[-2:]
    if columns > rows:
        # By reciprocity a crossbar can be read backwards, driven at its feet and read at its heads. The dense blocks are as
        # wide as there are columns, so the shorter side is made the columns.
        return _backwards(effective_conductances(_backwards(conductance), line_resistance, source_resistance))
    tiles = conductance.reshape(-1, rows, columns)
    result = np.empty_like(tiles)
    stretch = max(2 * columns, _STRETCH)
    per_tile = 8 * columns * (10 * rows + 4 * (3 * columns + min(rows, stretch)))
    chunk = max(1, _BUDGET // 2 // per_tile)
    for start in range(0, len(tiles), chunk):
        part = slice(start, start + chunk)
        result[part] = _of_tiles(tiles[part], line_resistance, end_resistance, stretch)
    return result.reshape(conductance.shape)


def _backwards(conductance: Array) -> Array:
    """Bit lines as word lines and word lines as bit lines, each from its resistance at the end on."""
    return conductance[..., ::-1, ::-1].swapaxes(-1, -2)


def _of_tiles(tiles: Array, line: float, end: float, stretch: int) -> Array:
    """By elimination where it is safe: where each step of it meets a passive network, as it always does without negative devices.

    Otherwise a part of the network may amplify beyond all bounds though the whole does not, and the order must be sought.
    """
    try:
        return _solved(tiles, line, end, stretch)
    except np.linalg.LinAlgError:
        if len(tiles) == 1:
            return _nodal(tiles[0], line, end)[None]
    return np.concatenate([_of_tiles(tile[None], line, end, stretch) for tile in tiles])


def _solved(tiles: Array, line: float, end: float, stretch: int) -> Array:
    """Row after row from the top: what the rows so far look like from their bit nodes, as a Norton equivalent.

    That is an admittance Y (columns x columns) and, for each input so far, the currents F into shorted bit nodes. One piece of
    line further down, with T = (1 + line Y)^-1, they are Y T and T F; the next row is then connected in parallel.

    Args:
        tiles: shape (tiles, rows, columns), siemens.
        line: resistance between neighbouring devices, in ohms.
        end: resistance at the head of a word line and the foot of a bit line, in ohms.
        stretch: F grows by an input a row; after this many rows it is put by, and the product of all further T kept instead.

    Raises:
        numpy.linalg.LinAlgError: a part of the network is not passive (its matrix not positive definite).
    """
    count, rows, columns = tiles.shape
    right, head = _word_lines(tiles, line, end)
    group = max(1, _BUDGET // 2 // (24 * count * columns**2))
    identity = np.eye(columns)
    # Columns of Y, then those of the product of the T of this stretch (not for the first: nothing precedes it), then F.
    state = np.zeros((count, columns, 2 * columns + min(rows, stretch)))
    moved = np.empty_like(state)
    put_by: list[tuple[Array, Array]] = []
    first = columns
    width = columns
    for row in range(rows):
        if row % group == 0:
            part = slice(row, row + group)
            admittances = _row_admittances(tiles[:, part], right[:, part], line, end)
        if row and line:
            # An inverse and a product take half the time of solving for so many right-hand sides.
            onward = _inverse(identity + line * state[..., :columns])
            _product(onward, state[..., :width], out=moved[..., :width])
            state, moved = moved, state
        if row and row % stretch == 0:
            put_by.append((state[..., columns:first].copy(), state[..., first:width].copy()))
            state[..., columns : 2 * columns] = identity
            first = width = 2 * columns
        state[..., :columns] += admittances[:, row % group]
        state[..., width] = tiles[:, row] * head[:, row]
        width += 1
    put_by.append((state[..., columns:first], state[..., first:width]))
    transfer = _inverse(identity + end * state[..., :columns])
    pieces = []
    for product, short_circuit in reversed(put_by):
        pieces.append(_product(transfer, short_circuit))
        transfer = _product(transfer, product) if product.shape[-1] else transfer
    return np.concatenate(pieces[::-1], axis=-1).swapaxes(-1, -2)


def _inverse(matrices: Array) -> Array:
    """The inverse of positive definite matrices, shape (..., n, n), by blocks that OpenBLAS leaves on one thread."""
    size = matrices.shape[-1]
    if size <= _BLOCK:
        np.linalg.cholesky(matrices)  # raises where one is not positive definite; the inverse by way of it is slower
        return np.linalg.inv(matrices).astype(np.float64, copy=False)
    half = size // 2
    corner = _inverse(matrices[..., :half, :half])
    beside = _product(corner, matrices[..., :half, half:])
    rest = _inverse(matrices[..., half:, half:] - _product(matrices[..., half:, :half], beside))
    cross = _product(beside, rest)
    result = np.empty_like(matrices)
    result[..., half:, half:] = rest
    result[..., :half, half:] = -cross
    result[..., half:, :half] = -cross.swapaxes(-1, -2)
    result[..., :half, :half] = corner + _product(cross, beside.swapaxes(-1, -2))
    return result


def _product(left: Array, right: Array, out: Array | None = None) -> Array:
    """left @ right, by blocks that OpenBLAS leaves on one thread."""
    rows, inner, columns = *left.shape[-2:], right.shape[-1]
    if rows * inner * columns <= _MULTIPLICATIONS:
        return np.matmul(left, right, out=out)
    if out is None:
        out = np.empty((*left.shape[:-1], columns))
    step = max(8, _MULTIPLICATIONS // (_BLOCK * inner))
    for row in range(0, rows, _BLOCK):
        for column in range(0, columns, step):
            part = np.s_[..., row : row + _BLOCK, column : column + step]
            np.matmul(left[..., row : row + _BLOCK, :], right[..., column : column + step], out=out[part])
    return out


def _word_lines(conductance: Array, line: float, end: float) -> tuple[Array, Array]:
    """For word lines with all bit nodes at 0 V, at each device.

    Returns:
        The admittance from the word node on to the right, without its own device, in siemens; and the voltage of the word node
        per volt at the input.

    Raises:
        numpy.linalg.LinAlgError: a word line is not passive.
    """
    right = np.zeros_like(conductance)
    for column in range(conductance.shape[-1] - 1, 0, -1):
        ahead = conductance[..., column] + right[..., column]
        with np.errstate(divide="ignore", invalid="ignore"):  # found below
            right[..., column - 1] = ahead / (1 + line * ahead)
    drop = 1 + line * (conductance + right)
    drop[..., 0] = 1 + end * (conductance[..., 0] + right[..., 0])
    if not (drop > 0).all():
        raise np.linalg.LinAlgError("a word line is not passive")
    return right, np.cumprod(1 / drop, axis=-1, dtype=np.float64)


def _row_admittances(conductance: Array, right: Array, line: float, end: float) -> Array:
    """The admittance matrix of a row seen from its bit nodes, with its word line's input at 0 V.

    The currents from the word line into the bit nodes are this times minus the bit nodes' voltages: D - D W^-1 D in nodal terms
    (W the word line's own matrix), without the difference, which cancels where the line's resistance is large.

    Args:
        conductance: shape (tiles, rows, columns), siemens.
        right: from `_word_lines`, siemens.
        line: resistance between neighbouring devices, in ohms.
        end: resistance at the head of the word line, in ohms.

    Returns:
        Shape (tiles, rows, columns, columns), siemens.
    """
    columns = conductance.shape[-1]
    result = np.empty((*conductance.shape, columns))
    left = np.full(conductance.shape[:-1], 1 / end)
    reaching = np.empty_like(conductance)  # of each volt at a bit node to the left, what is left of it at this word node
    for column in range(columns):
        own = conductance[..., column]
        others = left + right[..., column]
        if column:
            reaching[..., :column] *= (1 / (1 + line * (own + right[..., column])))[..., None]
            coupling = -reaching[..., :column] * own[..., None]
            result[..., column, :column] = coupling
            result[..., :column, column] = coupling
        result[..., column, column] = own * others / (own + others)
        reaching[..., column] = own / (own + others)
        left = (left + own) / (1 + line * (left + own))
    return result


def _nodal(conductance: Array, line: float, end: float) -> Array:
    """The same of one crossbar, shape (rows, columns), by its nodal equations and a sparse LU with pivoting; slow.

    Raises:
        numpy.linalg.LinAlgError: the network is singular.
    """
    rows, columns = conductance.shape
    if line:
        word = np.arange(rows * columns).reshape(rows, columns)
        bit = word + rows * columns
    else:  # each line is one node
        word = np.repeat(np.arange(rows), columns).reshape(rows, columns)
        bit = np.tile(np.arange(columns), rows).reshape(rows, columns) + rows
    size = bit.max() + 1
    one = np.concatenate([word.ravel(), word[:, :-1].ravel(), bit[:-1].ravel()])
    other = np.concatenate([bit.ravel(), word[:, 1:].ravel(), bit[1:].ravel()])
    lines = np.full(len(one) - conductance.size, 1 / line if line else 0.0)  # 0: from a node to itself
    between = np.concatenate([conductance.ravel(), lines])
    branches = np.arange(len(one))
    incidence = sparse.coo_array((np.ones(len(one)), (branches, one)), shape=(len(one), size)) - sparse.coo_array(
        (np.ones(len(one)), (branches, other)), shape=(len(one), size)
    )
    outward = np.zeros(size)
    outward[word[:, 0]] = outward[bit[-1]] = 1 / end
    matrix = incidence.T @ sparse.diags_array(between) @ incidence + sparse.diags_array(outward)
    driven = np.zeros((size, rows))
    driven[word[:, 0], np.arange(rows)] = 1 / end
    try:
        voltages = splu(matrix.tocsc()).solve(driven)
    except RuntimeError as error:
        raise np.linalg.LinAlgError("with these negative conductances the network is singular") from error
    result: Array = voltages[bit[-1]].T / end
    return result

"""Areas of a mask: what lies around them, and along their edges."""

import numpy as np
import numpy.typing as npt


def box_around(region: np.ndarray) -> list[int]:
    """x0 y0 x1 y1 of a region, (height, width) bool, with at least one pixel."""
    columns, rows = np.flatnonzero(np.any(region, axis=0)), np.flatnonzero(np.any(region, axis=1))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def edges(values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """(H, W) class numbers -> (H, W): where a pixel differs from the one above it or to its left."""
    edge = np.zeros(values.shape, bool)
    edge[1:] |= values[1:] != values[:-1]
    edge[:, 1:] |= values[:, 1:] != values[:, :-1]
    return edge

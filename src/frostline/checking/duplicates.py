"""Which pictures show the same: identical ones, and near-identical ones, such as one saved again or made smaller."""

from collections.abc import Iterator, Sequence

import numpy as np

# What makes two pictures one photograph. Looked at on 4,817 photographs of flowers, pets and blood cells: all 22 pairs
# found are one photograph saved again, cropped by a trifle or in other colours. The next pairs, of two photographs,
# have a difference of 0.50 (two in white frames), or a correlation of 0.68. Of 400 of them saved at quality 30, made
# lighter by a fifth or cropped by 1 % at each side, 99 in 100 are found; made smaller by three, 97; cropped by 2 %, 91.
DIFFERENCE = 0.45  # rms difference of two thumbnails of 16 x 16, as a share of the smaller contrast: at most
DETAIL = 0.8  # correlation of what thumbnails of 32 x 32 have beyond 8 x 8: at least
# Small pictures have too little detail to be told apart by (trousers of 28 px look alike), so the difference allowed
# falls with the size: the 68 pairs found among the 70,000 of Fashion-MNIST show one garment each.
SIDE = 192  # px of the shorter side from which all of DIFFERENCE is allowed
THUMBNAIL = 32
BLOCK = 2048  # thumbnails compared with as many others at a time, to bound memory


def near_identical(
    hashes: Sequence[str], thumbnails: Sequence[np.ndarray], sides: Sequence[int]
) -> list[tuple[int, int]]:
    """Pairs of positions, the smaller first, of pictures that are not identical but show the same photograph; sorted.

    hashes: of what a picture shows; of identical ones, the first stands for all. thumbnails: (32, 32) uint8, grey.
    sides: the shorter one of each picture, in pixels. Every picture is compared with every other; one of a single grey
    is like no other.
    """
    first: dict[str, int] = {}
    for position, key in enumerate(hashes):
        first.setdefault(key, position)
    firsts = np.array(list(first.values()), int)
    if len(firsts) < 2:
        return []
    grey = np.stack([thumbnails[position] for position in firsts]).astype(np.float32)
    allowed = DIFFERENCE * np.minimum(1, np.array([sides[position] for position in firsts]) / SIDE)
    coarse, contrast = _unit(_shrunk(grey, 16))
    detail, _ = _unit(grey - np.repeat(np.repeat(_shrunk(grey, 8), 4, axis=1), 4, axis=2))
    found: list[tuple[int, int]] = []
    for rows, columns in _blocks(len(firsts)):
        cosines = coarse[rows] @ coarse[columns].T
        # With r times the contrast, the squared difference is 1 + r^2 - 2 r cos; no r makes up for a smaller cosine.
        most = min(allowed[rows].max(), allowed[columns].max())
        i, j = np.nonzero(cosines >= 1 - most**2 / 2 - 1e-5)
        one, other = i + rows.start, j + columns.start
        ratio = np.maximum(contrast[one] / contrast[other], contrast[other] / contrast[one])
        difference = 1 + ratio**2 - 2 * ratio * cosines[i, j]
        near = (one < other) & (difference <= np.minimum(allowed[one], allowed[other]) ** 2)
        for a, b in zip(one[near].tolist(), other[near].tolist(), strict=True):
            if detail[a] @ detail[b] >= DETAIL:
                found.append((int(firsts[a]), int(firsts[b])))
    return sorted(found)


def _shrunk(grey: np.ndarray, side: int) -> np.ndarray:
    """(n, side, side): each cell the mean of those that it covers."""
    count, cells = len(grey), grey.shape[1] // side
    shrunk: np.ndarray = grey.reshape(count, side, cells, side, cells).mean((2, 4))
    return shrunk


def _unit(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, cells) with mean 0 and length 1, and the lengths before; 0 where all cells are equal."""
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    flat[length < 1e-3] = 0  # rounding
    return flat / np.maximum(length, 1e-3)[:, None], length


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    """Pairs of stretches of 0 ... count - 1, the first not after the second, that hold every pair of positions."""
    starts = range(0, count, BLOCK)
    for first in starts:
        for second in starts[first // BLOCK :]:
            yield slice(first, min(first + BLOCK, count)), slice(second, min(second + BLOCK, count))

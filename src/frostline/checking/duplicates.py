"""Which pictures show the same: identical ones, and near-identical ones, such as one saved again or made smaller."""

from typing import Protocol

import numpy as np

from frostline.checking.hashes import cuts, picture_hashes
from frostline.checking.pigeonhole import alike_pairs

# What makes two pictures one photograph. Looked at on 4,817 photographs of flowers, pets and blood cells: all 26 pairs
# found are one photograph saved again, cropped by a trifle or in other colours; 4 are found only as one of them is
# tried cropped. Of 600 saved at quality 30, made lighter by a fifth or cropped by 1 or 2 % at each side, 99 in 100 are
# found; made smaller by three, or cropped by 2 % at one side alone, 98.
DIFFERENCE = 0.45  # rms difference of two thumbnails of 16 x 16, as a share of the smaller contrast: at most
DETAIL = 0.8  # correlation of what thumbnails of 32 x 32 have beyond 8 x 8: at least
# Small pictures have too little detail to be told apart by (trousers of 28 px look alike), so the difference allowed
# falls with the size: the 68 pairs found among the 70,000 of Fashion-MNIST show one garment each.
SIDE = 192  # px of the shorter side from which all of DIFFERENCE is allowed
# Where two are near, but not near enough, one may be cropped: parts of each axis that it is tried with.
PARTS = ((0.0, 1.0), (0.01, 0.99), (0.02, 0.98), (0.0, 0.98), (0.02, 1.0))
WIDER = 2.0  # such pairs may differ by so much more to begin with
CROPPED = 64  # px of the shorter side from which that is tried: of smaller ones, too much would look alike
BLOCK, PAIRS = 2048, 256  # thumbnails, and pairs of them, at a time, to bound memory


class Thumbnails(Protocol):
    """Grey thumbnails, (32, 32) uint8 each: an array, or a file of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def near_identical(thumbnails: Thumbnails, sides: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of positions, the smaller first, of pictures that show the same photograph; sorted.

    thumbnails: of n pictures, none identical to another. sides: (n,) the shorter one of each picture, in pixels.
    One of a single grey is like no other. Where very many are alike, the pairs link them, and are not all there are.
    """
    count = len(thumbnails)
    if count < 2:
        return []
    hashes, some = np.zeros((count, 2), np.uint64), np.zeros(count, bool)
    for first in range(0, count, BLOCK):
        rows = np.arange(first, min(first + BLOCK, count))
        grey = thumbnails[rows]
        hashes[rows] = picture_hashes(grey)
        some[rows] = grey.reshape(len(grey), -1).max(1) > grey.reshape(len(grey), -1).min(1)
    allowed = DIFFERENCE * np.minimum(1, np.asarray(sides) / SIDE)
    those = np.flatnonzero(some)

    def judge(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        right = np.zeros(len(one), bool)
        for first in range(0, len(one), PAIRS):
            part = slice(first, first + PAIRS)
            a, b = those[one[part]], those[other[part]]
            right[part] = same_photograph(thumbnails[a], thumbnails[b], np.minimum(allowed[a], allowed[b]))
        return right

    pairs = those[alike_pairs(hashes[those], judge)]
    return sorted((int(one), int(other)) for one, other in pairs)


def same_photograph(one: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Of pairs of thumbnails (n, 32, 32) whether each shows one photograph, (n,) bool. allowed: (n,) difference."""
    one, other = one.astype(np.float32), other.astype(np.float32)
    difference, detail = _unlike(one, other)
    right = (difference <= allowed) & (detail >= DETAIL)
    open_ = np.flatnonzero(~right & (difference <= WIDER * allowed) & (allowed >= DIFFERENCE * CROPPED / SIDE))
    if len(open_):
        right[open_] = _cropped(one[open_], other[open_], allowed[open_])
    return right


def _cropped(one: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Whether either shows a part of the other, (n,) bool."""
    right = np.zeros(len(one), bool)
    parts = cuts(PARTS)
    for down in parts:
        for across in parts:
            for whole, part in ((one, other), (other, one)):
                cut = (down @ whole @ across.T).astype(np.float32)
                difference, detail = _unlike(cut, part)
                right |= (difference <= allowed) & (detail >= DETAIL)
    return right


def _unlike(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The difference and the correlation of detail of pairs of thumbnails, (n,) each."""
    coarse_one, contrast_one = _unit(_shrunk(one, 16))
    coarse_other, contrast_other = _unit(_shrunk(other, 16))
    detail_one, _ = _unit(one - np.repeat(np.repeat(_shrunk(one, 8), 4, axis=1), 4, axis=2))
    detail_other, _ = _unit(other - np.repeat(np.repeat(_shrunk(other, 8), 4, axis=1), 4, axis=2))
    lesser = np.maximum(np.minimum(contrast_one, contrast_other), 1e-3)
    ratio = np.maximum(contrast_one, contrast_other) / lesser
    cosine = (coarse_one * coarse_other).sum(1)
    squared = 1 + ratio**2 - 2 * ratio * cosine
    return np.sqrt(np.maximum(squared, 0)), (detail_one * detail_other).sum(1)


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

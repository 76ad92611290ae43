"""Which pictures show the same: identical ones, and near-identical ones, such as one saved again or made smaller."""

from typing import NamedTuple, Protocol

import numpy as np

from frostline.checking.hashes import cuts, detail_hashes, picture_hashes
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
ROUGHLY = 0.3  # and their detail must correlate so much: of the 300 copies that were found cropped, 0.45 at least
CROPPED = 64  # px of the shorter side from which that is tried: of smaller ones, too much would look alike
BLOCK = 256  # thumbnails, or pairs of them, at a time: as many as the processor's own memory holds


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
    hashes, finer, some = np.zeros((count, 2), np.uint64), np.zeros((count, 2), np.uint64), np.zeros(count, bool)
    for first in range(0, count, BLOCK):
        rows = np.arange(first, min(first + BLOCK, count))
        grey = thumbnails[rows]
        hashes[rows], finer[rows] = picture_hashes(grey), detail_hashes(grey)
        some[rows] = grey.reshape(len(grey), -1).max(1) > grey.reshape(len(grey), -1).min(1)
    allowed = DIFFERENCE * np.minimum(1, np.asarray(sides) / SIDE)
    those = np.flatnonzero(some)

    def judge(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        right = np.zeros(len(one), bool)
        for first in range(0, len(one), BLOCK):
            part = slice(first, first + BLOCK)
            both = np.stack([those[one[part]], those[other[part]]])
            rows, places = np.unique(both, return_inverse=True)
            a, b = places.reshape(both.shape)
            right[part] = _same(thumbnails[rows], a, b, allowed[both].min(0))
        return right

    pairs = those[alike_pairs(hashes[those], judge, finer[those])]
    return sorted((int(one), int(other)) for one, other in pairs)


def same_photograph(one: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Of pairs of thumbnails (n, 32, 32) whether each shows one photograph, (n,) bool. allowed: (n,) difference."""
    places = np.arange(len(one))
    return _same(np.concatenate([one, other]), places, places + len(one), allowed)


class _Looks(NamedTuple):
    """What thumbnails are compared by: in (n, 256) light and (n, 1024) detail, of length 1; (n,) contrast."""

    light: np.ndarray
    detail: np.ndarray
    contrast: np.ndarray

    @classmethod
    def of(cls, grey: np.ndarray) -> "_Looks":
        light, contrast = _unit(_shrunk(grey, 16))
        detail, _ = _unit(grey - np.repeat(np.repeat(_shrunk(grey, 8), 4, axis=1), 4, axis=2))
        return cls(light, detail, contrast)

    def at(self, places: np.ndarray) -> "_Looks":
        return _Looks(self.light[places], self.detail[places], self.contrast[places])

    def unlike(self, other: "_Looks") -> tuple[np.ndarray, np.ndarray]:
        """The difference and the correlation of detail of each and another, (n,) each."""
        lesser = np.maximum(np.minimum(self.contrast, other.contrast), 1e-3)
        ratio = np.maximum(self.contrast, other.contrast) / lesser
        squared = 1 + ratio**2 - 2 * ratio * np.vecdot(self.light, other.light)
        return np.sqrt(np.maximum(squared, 0)), np.vecdot(self.detail, other.detail)


def _same(grey: np.ndarray, one: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """As `same_photograph`, of pairs of places among some thumbnails, of which each is looked at once."""
    grey = grey.astype(np.float32)
    looks = _Looks.of(grey)
    difference, detail = looks.at(one).unlike(looks.at(other))
    right = (difference <= allowed) & (detail >= DETAIL)
    perhaps = (difference <= WIDER * allowed) & (detail >= ROUGHLY) & (allowed >= DIFFERENCE * CROPPED / SIDE)
    for whole, part in ((one, other), (other, one)):
        open_ = np.flatnonzero(~right & perhaps)
        if len(open_):
            right[open_] = _cropped(grey[whole[open_]], looks.at(part[open_]), allowed[open_])
    return right


def _cropped(whole: np.ndarray, part: _Looks, allowed: np.ndarray) -> np.ndarray:
    """Whether the others show a part of the whole ones, (n,) bool."""
    right = np.zeros(len(whole), bool)
    parts = [each.astype(np.float32) for each in cuts(PARTS)]
    for down in parts:
        rows = down @ whole
        for across in parts:
            difference, detail = _Looks.of(rows @ across.T).unlike(part)
            right |= (difference <= allowed) & (detail >= DETAIL)
    return right


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

"""A hash of 64 bits for how a picture looks: alike pictures differ in few bits.

It is the perceptual hash of Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions* (2010): which
of the lowest frequencies of the grey picture's discrete cosine transform lie above their median.
"""

import numpy as np

THUMBNAIL = 32  # px, both sides
CUT = 0.02  # of each side: by so much is a picture cropped for its second hash
_BITS = 64
_FINE = [places[-128:] for places in np.nonzero(np.maximum.outer(np.arange(14), np.arange(14)) >= 8)]


def picture_hashes(grey: np.ndarray) -> np.ndarray:
    """(n, 2) uint64 for thumbnails (n, 32, 32): of each as it is, and of its inner part.

    A picture that was cropped is far from the whole in bits, and near its inner part.
    """
    grey = np.asarray(grey, np.float64)
    inner = _cut(CUT, 1 - CUT)
    return np.stack([_hashes(grey), _hashes(inner @ grey @ inner.T)], axis=1)


def detail_hashes(grey: np.ndarray) -> np.ndarray:
    """(n, 2) uint64 for thumbnails (n, 32, 32): signs of 128 frequencies of what is finer than an eighth of them.

    Other textures differ in half of these bits; what correlates by 0.8, in a fifth.
    """
    coarse = np.asarray(grey, np.float64).reshape(-1, 8, 4, 8, 4).mean((2, 4))
    detail = grey - np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    rows = _cosines(14)
    # Rounded, as above.
    frequencies = np.round(rows @ detail @ rows.T, 3)[:, *_FINE]
    return np.ascontiguousarray(np.packbits(frequencies > 0, axis=1)).view(np.uint64)


def _hashes(grey: np.ndarray) -> np.ndarray:
    transform = _cosines(9)
    # Rounded, as a coefficient that is 0 but for the last bits would say anything.
    frequencies = np.round(transform @ grey @ transform.T, 3)
    lowest = np.concatenate([frequencies[:, :8, :8].reshape(len(grey), -1)[:, 1:], frequencies[:, 8:, 0]], axis=1)
    bits = np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)
    return np.ascontiguousarray(bits).view(np.uint64)[:, 0]


def _cosines(count: int) -> np.ndarray:
    """(count, 32): the first rows of the orthonormal DCT-II."""
    k, x = np.arange(count)[:, None], np.arange(THUMBNAIL)[None]
    rows: np.ndarray = np.cos(np.pi * k * (2 * x + 1) / (2 * THUMBNAIL)) * np.sqrt(2 / THUMBNAIL)
    rows[0] /= np.sqrt(2)
    return rows


def cuts(sides: tuple[tuple[float, float], ...]) -> list[np.ndarray]:
    """(32, 32) each: takes one side of a thumbnail to its part from the first share to the second, see `_cut`."""
    return [_cut(first, last) for first, last in sides]


def _cut(first: float, last: float) -> np.ndarray:
    """(32, 32): each new cell the mean of what it covers of the old ones."""
    edges = np.linspace(first * THUMBNAIL, last * THUMBNAIL, THUMBNAIL + 1)
    old = np.arange(THUMBNAIL)
    covered = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    shares: np.ndarray = np.clip(covered, 0, None)
    shares /= shares.sum(1, keepdims=True)
    return shares

"""Which of many hashes of 64 bits differ in few bits, without comparing each with each.

Of 12 blocks of bits, two hashes that differ in at most 8 bits have 4 or more in common. So for each choice of 4 blocks
(495 of them) hashes are sorted by these, and only those that agree there are compared; a pair counts where its first
4 common blocks are those, so that it is met once. (Norouzi, Punjani, Fleet, *Fast Search in Hamming Space with
Multi-Index Hashing*, 2012.) What a processor's cache holds is sorted some ten times faster than what it does not, so
hashes are laid apart by the first of the blocks, and each part is sorted by the other three: the time grows as the
number of hashes does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from frostline.checking.joined import MANY, Joined

BITS, BLOCKS = 8, 12  # differing at most, and blocks
NEAREST = 64  # where many agree, with so many that it is not like one is judged, beginning with the nearest
FINER = 48  # of 128 bits; of what correlates by 0.8, as what is one photograph does, 26 differ, with a deviation of 5
PART = 1 << 15  # hashes at least that are sorted together, where there are as many
_EDGES = [round(64 * block / BLOCKS) for block in range(BLOCKS + 1)]
_WIDTHS = [last - first for first, last in zip(_EDGES, _EDGES[1:], strict=False)]
_MASKS = np.array([((1 << last) - 1) ^ ((1 << first) - 1) for first, last in zip(_EDGES, _EDGES[1:], strict=False)])
_MASKS = _MASKS.astype(np.uint64)

LOOKS = 8  # where many agree, for each first block: in so many runs is one compared with those that look alike
SPREAD = 13  # steps between choices of blocks that are taken one after another

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def alike_pairs(hashes: np.ndarray, judge: Judge, finer: np.ndarray | None = None) -> np.ndarray:
    """Pairs (k, 2) of positions, the smaller first, sorted: near in bits, and the same by `judge`.

    hashes: (n, 2) uint64, see `picture_hashes`; two are near where the first of one and either of the other differ in
    at most BITS bits. judge: takes two arrays of positions and says of each pair, as (k,) bool, whether it counts; it
    is asked of each pair at most twice. finer: (n, 2) uint64 of further bits, see `detail_hashes`.

    What belongs to one set of more than MANY is linked, but not by all the pairs there are. Where more than MANY agree
    in 4 blocks, only those are judged that differ in at most FINER further bits, those first that differ least, and of
    one no more once it was unlike NEAREST others.
    """
    search = _Search(hashes, judge, np.zeros_like(hashes) if finer is None else finer)
    for first in range(BITS + 1):
        rests = list(combinations(range(first + 1, BLOCKS), BLOCKS - BITS - 1))
        for part in search.parts(first):
            for begin in range(SPREAD):  # so that the first few are of all kinds, see LOOKS
                for rest in rests[begin::SPREAD]:
                    search.scan(part, (first, *rest))
    if not search.found:
        return np.zeros((0, 2), np.int64)
    pairs: np.ndarray = np.unique(np.concatenate(search.found), axis=0)
    return pairs


@dataclass
class _Part:
    """Some points: hashes, each with its picture and whether it is of its inner part."""

    values: np.ndarray
    pictures: np.ndarray
    inner: np.ndarray
    labels: np.ndarray  # see Joined.labels
    blocks: np.ndarray  # (BLOCKS, n) uint16
    joined: int  # the state of what is joined that labels tell


class _Search:
    def __init__(self, hashes: np.ndarray, judge: Judge, finer: np.ndarray) -> None:
        count = len(hashes)
        other = np.flatnonzero(hashes[:, 0] != hashes[:, 1])
        self._values = np.concatenate([hashes[:, 0], hashes[other, 1]])
        self._pictures = np.concatenate([np.arange(count), other])
        self._hashes, self._finer, self._judge, self._joined = hashes, finer, judge, Joined(count)
        self._unlike = np.zeros(count, np.int32)  # how often one was judged so, where many agree
        self._looks = np.zeros(count, np.int32)  # see LOOKS
        self._judged: set[int] = set()  # pairs, as one number each, where many agree
        self.found: list[np.ndarray] = []

    def parts(self, first: int) -> Iterator[_Part]:
        """All points, by the value of one block."""
        self._looks[:] = 0
        values = self._block(self._values, first).astype(np.uint8)
        order = np.argsort(values, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(values))
        begin = 0
        for end in ends.tolist():
            if end == len(order) or (end - begin >= PART and len(order) - end >= PART):
                yield self._part(order[begin:end], first)
                begin = end
            if begin == len(order):
                break

    def _part(self, points: np.ndarray, first: int) -> _Part:
        values, pictures = self._values[points], self._pictures[points]
        blocks = np.zeros((BLOCKS, len(points)), np.uint16)
        for block in range(first, BLOCKS):
            blocks[block] = self._block(values, block)
        inner, labels = points >= len(self._hashes), self._joined.labels(pictures)
        return _Part(values, pictures, inner, labels, blocks, self._joined.state)

    @staticmethod
    def _block(values: np.ndarray, block: int) -> np.ndarray:
        found: np.ndarray = (values & _MASKS[block]) >> np.uint64(_EDGES[block])
        return found

    def scan(self, part: _Part, blocks: tuple[int, ...]) -> None:
        """Compare what agrees in these blocks, of which a part is sorted by the first already."""
        if part.joined != self._joined.state:
            part.labels, part.joined = self._joined.labels(part.pictures), self._joined.state
        key = _key(part.blocks, blocks[1:])
        order = np.argsort(key, kind="stable")  # of 16 bits: by digits, several times faster than by comparison
        key = (part.blocks[blocks[0]].astype(np.uint32) << np.uint32(16) | key)[order]
        values = part.values[order]
        # Of neighbours all are looked at, as that is quicker than to choose; then those that agree with one further on.
        near, further = np.bitwise_count(values[1:] ^ values[:-1]) <= BITS, key[2:] == key[:-2]
        if (key[MANY:] == key[:-MANY]).any():
            few = self._large(part, blocks, order, key)
            near, further = near & few[1:], further & few[2:]
        one, other = _near(key, values, np.flatnonzero(near), np.flatnonzero(further))
        if len(one):
            one, other = order[one], order[other]
            fit = self._counts(part, one, other, blocks)
            self._ask(part.pictures[one[fit]], part.pictures[other[fit]])

    def _large(self, part: _Part, blocks: tuple[int, ...], order: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Look at runs of more than MANY; says of each place in order whether it is in none of them, (n,) bool."""
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        sizes = np.diff(starts, append=len(key))
        many = sizes > MANY
        for start, size in zip(starts[many].tolist(), sizes[many].tolist(), strict=True):
            self._run(part, order[start : start + size], blocks)
        few: np.ndarray = np.repeat(~many, sizes)
        return few

    def _run(self, part: _Part, members: np.ndarray, blocks: tuple[int, ...]) -> None:
        """Link what belongs together of many that agree: what is linked is not compared, and few that are unlike."""
        labels = part.labels[members]
        if (labels == labels[0]).all():
            return
        values, pictures = part.values[members], part.pictures[members]
        passed = np.zeros(len(members), bool)  # compared with the others already
        sets, sizes = np.unique(labels, return_counts=True)
        most = sets[sizes.argmax()]
        for pivot in np.flatnonzero(labels != most).tolist():
            one = int(pictures[pivot])
            if self._unlike[one] >= NEAREST or self._looks[one] >= LOOKS:
                continue
            bits = np.bitwise_count(values ^ values[pivot])
            near = np.flatnonzero((bits <= BITS) & (labels != labels[pivot]) & ~passed)
            passed[pivot] = True
            near = near[~(part.inner[members[near]] & part.inner[members[pivot]])]
            if not len(near):
                continue
            self._looks[one] += 1
            apart = np.bitwise_count(self._finer[pictures[near]] ^ self._finer[one]).sum(1)
            order = np.lexsort((bits[near], apart))
            near = near[order[: np.count_nonzero(apart <= FINER)]]
            size = NEAREST - int(self._unlike[one])
            while len(near):
                batch, near = self._fresh(one, pictures[near[:size]]), near[size:]
                right = self._ask(np.full(len(batch), one), batch)
                self._unlike[one] += len(batch) - right
                if part.joined != self._joined.state:
                    part.labels, part.joined = self._joined.labels(part.pictures), self._joined.state
                    labels = part.labels[members]
                    near = near[labels[near] != labels[pivot]]
                if self._unlike[one] >= NEAREST:
                    break
                size = NEAREST - int(self._unlike[one]) + right

    def _fresh(self, one: int, others: np.ndarray) -> np.ndarray:
        """Those that one was not judged with before where many agree; from now on it was."""
        fresh = []
        for other in np.unique(others).tolist():
            code = min(one, other) * len(self._hashes) + max(one, other)
            if code not in self._judged:
                self._judged.add(code)
                fresh.append(other)
        return np.array(fresh, np.int64)

    def _counts(self, part: _Part, one: np.ndarray, other: np.ndarray, blocks: tuple[int, ...]) -> np.ndarray:
        """Which pairs of near points of a part are to be judged, and are met here and nowhere else; places (k,)."""
        fit = np.flatnonzero((part.labels[one] != part.labels[other]) & ~(part.inner[one] & part.inner[other]))
        one, other = one[fit], other[fit]
        differing = part.values[one] ^ part.values[other]
        agree = (differing[:, None] & _MASKS[: blocks[-1] + 1]) == 0
        wanted = np.isin(np.arange(blocks[-1] + 1), blocks)
        met = np.flatnonzero((agree == wanted).all(1))
        fit, one, other = fit[met], one[met], other[met]
        # Of the three pairs of hashes that two pictures have, the nearest.
        swap = part.pictures[one] > part.pictures[other]
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        low, high = self._hashes[part.pictures[one]], self._hashes[part.pictures[other]]
        bits = [np.bitwise_count(low[:, a] ^ high[:, b]) for a, b in ((0, 0), (0, 1), (1, 0))]
        own = np.argmin(bits, axis=0) == part.inner[other] + 2 * part.inner[one]
        places: np.ndarray = fit[own]
        return places

    def _ask(self, one: np.ndarray, other: np.ndarray) -> int:
        """Judge pairs of pictures, and keep those that count; how many did."""
        if not len(one):
            return 0
        pairs = np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)
        pairs = pairs[self._judge(pairs[:, 0], pairs[:, 1])]
        if len(pairs):
            self.found.append(pairs)
            self._joined.add(pairs)
        return len(pairs)


def _key(blocks: np.ndarray, three: tuple[int, ...]) -> np.ndarray:
    """(n,) uint16 that are equal where three blocks are; where these have more than 16 bits, the last are left out."""
    key, left = np.zeros(blocks.shape[1], np.uint16), 16
    for block in three:
        left -= _WIDTHS[block]
        key |= blocks[block] << np.uint16(left) if left >= 0 else blocks[block] >> np.uint16(-left)
    return key


def _near(key: np.ndarray, values: np.ndarray, near: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of near pairs. near: places that are near the next one. at: that agree with the next but one."""
    ones, others, step = [near], [near + 1], 2
    while len(at):
        near = at[np.bitwise_count(values[at] ^ values[at + step]) <= BITS]
        if len(near):
            ones.append(near)
            others.append(near + step)
        step += 1
        at = at[: np.searchsorted(at, len(key) - step)]
        at = at[key[at] == key[at + step]]
    return np.concatenate(ones), np.concatenate(others)

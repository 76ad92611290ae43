"""What shows the same among scenes that can be used: which of them go, and which must come into one split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from frostline.checking.duplicates import near_identical
from frostline.checking.gathered import Gathered
from frostline.checking.joined import MANY
from frostline.checking.journal import Journal
from frostline.checking.record import Record
from frostline.errors import check_choice
from frostline.scenes.faults import Fault
from frostline.scenes.scene import COUNTED, SPLITS

MODES = ("split", "ignore", "drop")  # dataset.duplicates
_KIND = {False: "duplicate", True: "duplicate_across_splits"}


class Twin(NamedTuple):
    """A scene that shows the same as another one, `of`, and whether it is to spare."""

    position: int
    of: int
    fault: Fault
    spare: bool


@dataclass(frozen=True, eq=False)
class Alike:
    """Of the scenes at some positions: `first`, of each the place of the first with the same picture, (n,); `near`,
    pairs of places of nearly identical ones, the firsts of their pictures, (k, 2)."""

    first: np.ndarray
    near: np.ndarray

    @cached_property
    def sets(self) -> np.ndarray:
        """(n,) a number for each scene, equal for those that near likeness links."""
        return _components(len(self.first), self.near)

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n,) how many scenes each one's set has; 1 for a scene that is like no other."""
        sizes: np.ndarray = np.bincount(self.sets)[self.sets]
        return sizes


class _Greys:
    """Thumbnails of some rows of a journal."""

    def __init__(self, journal: Journal, rows: np.ndarray) -> None:
        self._journal, self._rows = journal, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        return self._journal.greys(self._rows[places])


def alike(journal: Journal, kept: np.ndarray, duplicates: str) -> Alike:
    """What is the same, and what is nearly. kept: (n,) positions. duplicates: one of MODES."""
    check_choice("dataset.duplicates", duplicates, MODES)
    known = journal.gathered
    _, first, inverse = np.unique(known.pictures[kept], return_index=True, return_inverse=True)
    singles = np.sort(first)
    near = np.zeros((0, 2), np.int64)
    if duplicates != "ignore":
        rows = np.frombuffer(journal.rows, np.int64)[kept[singles]]
        pairs = near_identical(_Greys(journal, rows), known.sides[kept[singles]])
        near = singles[np.array(pairs, np.int64).reshape(-1, 2)]
    return Alike(first[inverse.ravel()], near)


def largest(same: Alike) -> int:
    """How many scenes the largest set has in which all are linked by near likeness."""
    return int(same.sizes.max()) if len(same.near) else 0


def units(known: Gathered, kept: np.ndarray, same: Alike) -> np.ndarray:
    """(n,) a number for each scene, equal for those that must come into one split."""
    groups = known.groups[kept]
    named = np.flatnonzero(groups >= 0)
    _, first, inverse = np.unique(groups[named], return_index=True, return_inverse=True)
    together = np.stack([named[first[inverse.ravel()]], named], axis=1) if len(named) else np.zeros((0, 2), np.int64)
    identical = np.flatnonzero(same.first != np.arange(len(kept)))
    edges = [same.near, together, np.stack([same.first[identical], identical], axis=1)]
    return _components(len(kept), np.concatenate(edges))


def twins(
    journal: Journal, kept: np.ndarray, same: Alike, given: bool, keep_conflicting: bool, drop: bool
) -> list[Twin]:
    """What shows the same, by places within `kept`.

    Of identical pictures the first is kept, or none where they are annotated otherwise, if it is not keep_conflicting.
    Nearly identical ones are all kept, if it is not drop, but with given splits not on both sides: those of the
    evaluation stay, so that its figures compare. A scene that no given list names goes nowhere, whatever it shows.
    """
    known, rows = journal.gathered, journal.rows
    several = np.bincount(same.first, minlength=len(kept))[same.first] > 1
    several[np.unique(same.near)] = True
    places = np.flatnonzero(several & (known.given[kept] >= 0 if given else True)).tolist()
    side: dict[int, int] = {p: int(known.given[kept[p]]) if given else -1 for p in places}
    # Held-out scenes come first; `places` are in the order of their ids.
    places.sort(key=lambda p: (-max(side[p], 0), p))
    identical: dict[int, list[int]] = {}
    for p in places:
        identical.setdefault(int(same.first[p]), []).append(p)
    like, held_out = _neighbours(same.near), dict[int, int]()

    def record(p: int) -> Record:
        return journal.record(rows[int(kept[p])])

    def called(p: int) -> str:
        return known.id(int(kept[p]))

    def fault(p: int, kind: str, how: str, other: int, across: bool) -> Fault:
        where = f" in {SPLITS[side[other]]}" if across else ""
        return Fault(kind, record(p).file, f"is {how} to {called(other)}{where}")

    found: list[Twin] = []
    stays: dict[int, int] = {}
    for picture, those in identical.items():
        said = [_said(record(p)) for p in those] if len(those) > 1 else []
        if said and (conflict := _conflicting(said)) is not None:
            found += _conflicts(those, said, conflict, record, called, keep_conflicting)
            if not keep_conflicting:
                continue
        else:
            for p in those[1:]:
                across = side[p] != side[those[0]]
                found.append(Twin(p, those[0], fault(p, _KIND[across], "identical", those[0], across), True))
        first = those[0]
        earlier = [stays[twin] for twin in like.get(picture, ()) if twin in stays]
        # Of a crowd, not every pair is known: what belongs to it counts as alike where it lies on the other side.
        if given and same.sizes[picture] > MANY:
            one = held_out.setdefault(int(same.sets[picture]), first)
            earlier += [one] if side[one] != side[first] else []
        # A twin on the other side counts for more than one on its own.
        earlier.sort(key=lambda p: side[p] == side[first])
        across = bool(earlier) and side[earlier[0]] != side[first]
        spare = across or (drop and bool(earlier))
        if earlier:
            near = fault(first, _KIND[across], "nearly identical", earlier[0], across)
            found.append(Twin(first, earlier[0], near, spare))
        if not spare:
            stays[picture] = first
    return found


def _conflicts(
    those: Sequence[int],
    said: Sequence[tuple[Any, ...]],
    conflict: tuple[int, int],
    record: Callable[[int], Record],
    called: Callable[[int], str],
    keep: bool,
) -> list[Twin]:
    """Identical pictures that are annotated otherwise: all are to spare, or all but the first."""
    one, other = conflict
    found = []
    for place, (p, says) in enumerate(zip(those, said, strict=True)):
        if keep and place == 0:
            continue
        twin = those[0] if keep else those[one if _conflicting([says, said[one]]) else other]
        what = f"is identical to {called(twin)}, which is annotated otherwise"
        found.append(Twin(p, twin, Fault("label_conflict", record(p).file, what), True))
    return found


def _said(scene: Record) -> tuple[Any, ...]:
    """What is said of a picture, kind by kind; None where nothing is."""
    boxes = None
    if scene.boxes is not None:
        marks = scene.box_marks or [COUNTED] * len(scene.boxes)
        rows = zip(scene.box_labels or [], scene.boxes, marks, strict=True)
        boxes = sorted([label, *box, mark] for label, box, mark in rows)
    return scene.label, boxes, scene.mask_hash


def _conflicting(said: Sequence[tuple[Any, ...]]) -> tuple[int, int] | None:
    """Positions of two that say something else of one kind; an annotation that is lacking says nothing."""
    for values in zip(*said, strict=True):
        known = [at for at, value in enumerate(values) if value is not None]
        for at in known[1:]:
            if values[at] != values[known[0]]:
                return known[0], at
    return None


def _neighbours(near: np.ndarray) -> dict[int, list[int]]:
    """What each place is paired with."""
    like: dict[int, list[int]] = {}
    for one, other in near.tolist():
        like.setdefault(one, []).append(other)
        like.setdefault(other, []).append(one)
    return like


def _components(count: int, edges: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array  # takes a while to load
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    numbers: np.ndarray = connected_components(graph, directed=False)[1]
    return numbers

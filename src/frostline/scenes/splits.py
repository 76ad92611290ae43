"""Which scene goes into which split."""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np

from frostline.errors import FrostlineError, check_number

AUTO: Literal["auto"] = "auto"
FOLDS = (3, 100)  # at least one to test, one to validate, one to train on


@dataclass(frozen=True)
class Split:
    """How to split: shares that sum to 1, a seed, and whether the splits that the source gives are kept.

    given: a scene stays where its source put it, one that the source put nowhere is left out; a split that the source
        does not have at all is drawn from its "train" by the shares and the seed. "auto": so where the source has a
        "train", and all drawn anew where it has none.
    folds, fold: in place of the shares, all scenes are dealt out into so many folds, of which this one (from 0) is
        "test", the next one "val", and the others "train": over all folds each scene is tested once.
    """

    train: float = 0.7
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    given: bool | Literal["auto"] = False
    folds: int | None = None
    fold: int = 0

    def __post_init__(self) -> None:
        shares = {"train": self.train, "val": self.val, "test": self.test}
        for name, share in shares.items():
            check_number(f"dataset.split.{name}", share, 0, 1)
        check_number("dataset.split.seed", self.seed, 0, whole=True)
        if not isinstance(self.given, bool) and self.given != AUTO:
            raise FrostlineError(f"dataset.split.given is {self.given!r}: set it to true, false or auto.")
        if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise FrostlineError(
                f"dataset.split has the shares {shares}: make train, val and test positive numbers whose sum is 1."
            )
        if self.folds is not None:
            check_number("dataset.split.folds", self.folds, *FOLDS, whole=True)
            check_number("dataset.split.fold", self.fold, 0, self.folds - 1, whole=True)
            if self.given is not False:
                raise FrostlineError("dataset.split.folds deals all scenes out: set dataset.split.given to false.")

    @property
    def shares(self) -> dict[str, float]:
        if self.folds is not None:
            return {"train": 1 - 2 / self.folds, "val": 1 / self.folds, "test": 1 / self.folds}
        return {"train": self.train, "val": self.val, "test": self.test}

    def as_json(self) -> dict[str, Any]:
        """Its fields; folds only where there are some."""
        return {key: value for key, value in asdict(self).items() if self.folds is not None or "fold" not in key}

    def keeps(self, named: Collection[str]) -> bool:
        """Whether the source's splits are kept. named: those that it has.

        Raises FrostlineError where they have to be, and none of them is "train".
        """
        if self.given is True and "train" not in named:
            raise FrostlineError(
                "dataset.split.given is true but the source puts no scene into 'train': set it to auto or false."
            )
        return bool(self.given) and "train" in named

    def could_keep(self, named: Collection[str]) -> bool:
        """Whether `given: true` would keep the source's splits. named: those that it has."""
        return self.folds is None and "train" in named

    def told(self, named: Collection[str], unplaced: int = 0) -> list[str]:
        """What "auto" took for granted, a sentence each. unplaced: scenes that the source puts nowhere."""
        if self.given != AUTO or not named:
            return []
        if not self.keeps(named):
            return [f"it gives {_listed(named)} and no train, so all is split anew, by the shares"]
        said = [f"its own {_listed(named)} {_is(named)} kept (dataset.split.given=false splits anew)"]
        if missing := [name for name in self.shares if name not in named]:
            said.append(f"{_listed(missing)} {_is(missing)} drawn from its train, as it gives none")
        if unplaced:
            said.append(f"{unplaced} scenes are in none of its splits, and are left out")
        return said


@dataclass(frozen=True)
class Splittable:
    """What a split depends on.

    content: hash of the picture, distinct for each scene; the only source of order, so names and paths do not matter.
    label: class number, or None.
    annotations: kinds of annotation present; each split gets its part of the scenes that have them.
    given: the split that the source puts it into.
    unit: scenes of one unit come into one split (near-identical pictures, a drive); None: it is one by itself.
    """

    content: str
    label: int | None
    annotations: tuple[str, ...]
    given: str | None = None
    unit: int | None = None


def assign(scenes: Sequence[Splittable], split: Split, named: Collection[str] | None = None) -> list[str | None]:
    """The split of each scene, None for one that is left out. A pure function of the scenes' contents and the split.

    named: the splits that the source has, by default those of these scenes. One of which no scene is left, because all
    are faulty, stays empty: only what the source never had is drawn from its train.
    """
    result = [scene.given for scene in scenes]
    named = {name for name in result if name is not None} if named is None else named
    if split.folds is not None:
        parts = {0: "test", 1: "val"}
        dealt = stratified(scenes, {str(fold): 1 / split.folds for fold in range(split.folds)}, split.seed)
        return [parts.get((int(fold) - split.fold) % split.folds, "train") for fold in dealt]
    if not split.keeps(named):
        return list(stratified(scenes, split.shares, split.seed))
    missing = {name: share for name, share in split.shares.items() if name not in named}
    if missing:
        shares = {"train": split.train} | missing
        total = sum(shares.values())
        positions = [position for position, name in enumerate(result) if name == "train"]
        drawn = stratified(
            [scenes[position] for position in positions],
            {name: share / total for name, share in shares.items()},
            split.seed,
        )
        for position, name in zip(positions, drawn, strict=True):
            result[position] = name
    return result


def stratified(scenes: Sequence[Splittable], shares: Mapping[str, float], seed: int) -> list[str]:
    """Split by shares, alike within each label and, within a label, within each set of annotations; units stay whole.

    A label's units are put in order, the larger first, then by annotations and at random within, and dealt out one by
    one, each to the split that lags its share most. So every run of that order, be it a whole label or a part with
    boxes, is shared out to within a scene or two. A unit of several labels goes with the commonest. Where a label has
    at least as many units as there are splits, each split gets one. Labels with fewer are dealt together, or all of
    them would go to the largest split: first a unit of each to "train", where there is one, as what was never learnt is
    not worth testing.
    """
    units = _Units.of(scenes, seed)
    chosen = np.full(len(units.sizes), -1, np.int8)
    firsts: list[int] = []
    others: list[np.ndarray] = []
    for dealing in units.by_label():
        if len(dealing) < len(shares):
            if "train" in shares:
                firsts.append(int(dealing[0]))
                dealing = dealing[1:]
            others.append(dealing)
            continue
        dealt = _dealt(units.sizes[dealing].tolist(), shares)
        for number in range(len(shares)):
            if number not in dealt:
                richest = Counter(dealt).most_common(1)[0][0]
                dealt[len(dealt) - 1 - dealt[::-1].index(richest)] = number
        chosen[dealing] = dealt
    names = list(shares)
    if others:
        few = np.concatenate(others)
        few = few[units.order(few)]
        if firsts:
            chosen[firsts] = names.index("train")
        already = [int(units.sizes[firsts].sum()) if name == "train" else 0 for name in names]
        chosen[few] = _dealt(units.sizes[few].tolist(), shares, already)
    return [names[number] for number in chosen[units.of_scene].tolist()]


@dataclass(frozen=True)
class _Units:
    """What is dealt out, in columns: of a million scenes, objects would take a gigabyte.

    of_scene: (n,) the number of each scene's unit. Of each unit: sizes, how many scenes; labels, the commonest, -1 for
    none; and of its first scene by content: annotations, as numbers in their order, and draws, its place at random.
    """

    of_scene: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    annotations: np.ndarray
    draws: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Splittable], seed: int) -> "_Units":
        owners, labels, kinds, draws = array("q"), array("q"), array("H"), bytearray()
        numbers: dict[tuple[str, ...], int] = {}
        for position, scene in enumerate(scenes):
            owners.append(-1 - position if scene.unit is None else scene.unit)
            labels.append(-1 if scene.label is None else scene.label)
            kinds.append(numbers.setdefault(scene.annotations, len(numbers)))
            draws += sha256(f"{seed}:{scene.content}".encode()).digest()
        _, first, of_scene, sizes = np.unique(
            np.frombuffer(owners, np.int64), return_index=True, return_inverse=True, return_counts=True
        )
        of_label = np.frombuffer(labels, np.int64)[first]
        rank = {number: place for place, number in enumerate(numbers[each] for each in sorted(numbers))}
        several = np.flatnonzero(sizes > 1)
        if len(several):
            order = np.argsort(of_scene, kind="stable")
            ends = np.cumsum(sizes)
            for unit in several.tolist():
                positions = order[ends[unit] - sizes[unit] : ends[unit]].tolist()
                of_label[unit] = Counter(labels[position] for position in positions).most_common(1)[0][0]
                first[unit] = min(positions, key=lambda position: scenes[position].content)
        annotations = np.array([rank[number] for number in range(len(rank))] or [0])[np.frombuffer(kinds, "H")]
        drawn = np.frombuffer(draws, "S32")
        return cls(of_scene, sizes, of_label, annotations[first], drawn[first])

    def by_label(self) -> list[np.ndarray]:
        """The units of each label, in the order in which they are dealt out."""
        order = np.lexsort((self.draws, self.annotations, -self.sizes, self.labels))
        return np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1) if len(order) else []

    def order(self, units: np.ndarray) -> np.ndarray:
        """(n,) places of some units in that order, whatever their labels."""
        return np.lexsort((self.draws[units], self.annotations[units], -self.sizes[units]))


def _dealt(sizes: Iterable[int], shares: Mapping[str, float], already: Sequence[int] | None = None) -> list[int]:
    """The number of each unit's split, the one that lags its share most. already: scenes that each split has."""
    of, counts, chosen = list(shares.values()), [*(already or [0] * len(shares))], []
    dealt, numbers = sum(counts), range(len(shares))
    for size in sizes:
        dealt += size
        lagging = max(numbers, key=lambda number: round(of[number] * dealt - counts[number], 9))  # noqa: B023
        chosen.append(lagging)
        counts[lagging] += size
    return chosen


def _is(names: Collection[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: Collection[str]) -> str:
    *others, last = [name for name in ("train", "val", "test") if name in names]
    return f"{', '.join(others)} and {last}" if others else last

"""Which scene goes into which split."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from frostline.errors import FrostlineError, check_number

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Split:
    """How to split: shares that sum to 1, a seed, and whether the splits that the source gives are kept.

    given: a scene stays where its source put it, one that the source put nowhere is left out; a split that the source
        does not have at all is drawn from its "train" by the shares and the seed. "auto": so where the source has a
        "train", and all drawn anew where it has none.
    """

    train: float = 0.7
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    given: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        shares = self.shares
        for name, share in shares.items():
            check_number(f"dataset.split.{name}", share, 0, 1)
        check_number("dataset.split.seed", self.seed, 0, whole=True)
        if not isinstance(self.given, bool) and self.given != AUTO:
            raise FrostlineError(f"dataset.split.given is {self.given!r}: set it to true, false or auto.")
        if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise FrostlineError(
                f"dataset.split has the shares {shares}: make train, val and test positive numbers whose sum is 1."
            )

    @property
    def shares(self) -> dict[str, float]:
        return {"train": self.train, "val": self.val, "test": self.test}

    def keeps(self, named: Collection[str]) -> bool:
        """Whether the source's splits are kept. named: those that it has.

        Raises FrostlineError where they have to be, and none of them is "train".
        """
        if self.given is True and "train" not in named:
            raise FrostlineError(
                "dataset.split.given is true but the source puts no scene into 'train': set it to auto or false."
            )
        return bool(self.given) and "train" in named

    def told(self, named: Collection[str], unplaced: int = 0) -> list[str]:
        """What "auto" took for granted, a sentence each. unplaced: scenes that the source puts nowhere."""
        if self.given != AUTO or not named:
            return []
        if not self.keeps(named):
            return [f"it gives {_listed(named)} and no train, so all is split anew, by the shares"]
        said = [f"its own {_listed(named)} are kept (dataset.split.given=false splits anew)"]
        if missing := [name for name in self.shares if name not in named]:
            said.append(f"{_listed(missing)} is drawn from its train, as it gives none")
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
    them would go to the largest split: first a unit of each to "train", as what was never learnt is not worth testing.
    """

    def order(unit: Sequence[int]) -> tuple[int, tuple[str, ...], str]:
        first = min((scenes[position] for position in unit), key=lambda scene: scene.content)
        return -len(unit), first.annotations, sha256(f"{seed}:{first.content}".encode()).hexdigest()

    units: dict[object, list[int]] = {}
    for position, scene in enumerate(scenes):
        units.setdefault(("alone", position) if scene.unit is None else scene.unit, []).append(position)
    by_label: dict[int | None, list[list[int]]] = {}
    for unit in units.values():
        label = Counter(scenes[position].label for position in unit).most_common(1)[0][0]
        by_label.setdefault(label, []).append(unit)
    result = [""] * len(scenes)
    firsts, others = [], []
    for dealing in by_label.values():
        dealing.sort(key=order)
        if len(dealing) < len(shares):
            firsts.append(dealing[0])
            others += dealing[1:]
            continue
        chosen = _dealt(dealing, shares)
        for name in shares:
            if name not in chosen:
                richest = Counter(chosen).most_common(1)[0][0]
                chosen[len(chosen) - 1 - chosen[::-1].index(richest)] = name
        _place(dealing, chosen, result)
    others.sort(key=order)
    _place(firsts, ["train"] * len(firsts), result)
    _place(others, _dealt(others, shares, Counter({"train": sum(map(len, firsts))})), result)
    return result


def _dealt(
    units: Sequence[Sequence[int]], shares: Mapping[str, float], counts: Counter[str] | None = None
) -> list[str]:
    """Each unit's split, the one that lags its share most. counts: scenes that the splits have already."""
    counts, chosen = counts or Counter(), []
    for unit in units:
        dealt = counts.total() + len(unit)
        lagging = max(shares, key=lambda name: round(shares[name] * dealt - counts[name], 9))
        chosen.append(lagging)
        counts[lagging] += len(unit)
    return chosen


def _place(units: Sequence[Sequence[int]], chosen: Sequence[str], result: list[str]) -> None:
    for unit, name in zip(units, chosen, strict=True):
        for position in unit:
            result[position] = name


def _listed(names: Collection[str]) -> str:
    *others, last = [name for name in ("train", "val", "test") if name in names]
    return f"{', '.join(others)} and {last}" if others else last

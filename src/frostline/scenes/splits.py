"""Which scene goes into which split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from frostline.errors import FrostlineError, check_number


@dataclass(frozen=True)
class Split:
    """How to split: shares that sum to 1, a seed, and whether the splits that the source gives are kept.

    given: a scene stays where its source put it, one that the source put nowhere is left out; a split that the source
        does not have at all is drawn from its "train" by the shares and the seed.
    """

    train: float = 0.7
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    given: bool = False

    def __post_init__(self) -> None:
        shares = self.shares
        for name, share in shares.items():
            check_number(f"dataset.split.{name}", share, 0, 1)
        check_number("dataset.split.seed", self.seed, 0, whole=True)
        if not isinstance(self.given, bool):
            raise FrostlineError(f"dataset.split.given is {self.given!r}: set it to true or false.")
        if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise FrostlineError(
                f"dataset.split has the shares {shares}: make train, val and test positive numbers whose sum is 1."
            )

    @property
    def shares(self) -> dict[str, float]:
        return {"train": self.train, "val": self.val, "test": self.test}


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


def assign(scenes: Sequence[Splittable], split: Split) -> list[str | None]:
    """The split of each scene, None for one that is left out. A pure function of the scenes' contents and the split."""
    if not split.given:
        return list(stratified(scenes, split.shares, split.seed))
    result = [scene.given for scene in scenes]
    missing = {name: share for name, share in split.shares.items() if name not in result}
    if "train" in missing:
        raise FrostlineError("dataset.split.given is true but the source puts no scene into 'train': set it to false.")
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
    at least as many units as there are splits, each split gets one.
    """

    def order(unit: list[int]) -> tuple[int, tuple[str, ...], str]:
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
    for dealing in by_label.values():
        dealing.sort(key=order)
        counts: Counter[str] = Counter()
        chosen = []
        for unit in dealing:
            dealt = counts.total() + len(unit)
            lagging = max(shares, key=lambda name: round(shares[name] * dealt - counts[name], 9))
            chosen.append(lagging)
            counts[lagging] += len(unit)
        if len(dealing) >= len(shares):
            for name in shares:
                if name not in chosen:
                    richest = Counter(chosen).most_common(1)[0][0]
                    chosen[len(chosen) - 1 - chosen[::-1].index(richest)] = name
        for unit, name in zip(dealing, chosen, strict=True):
            for position in unit:
                result[position] = name
    return result

"""All scenes together: which go, which are the same, which split each comes into, and what is wrong with the whole."""

import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from frostline.checking.duplicates import near_identical
from frostline.checking.record import Record
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, VOID, Classes
from frostline.scenes.splits import Split, Splittable, assign

DONE = {"fail": "refused", "skip": "left out", "fix": "mended"}
_NAMED = 5  # classes without an example that are named one by one
_KIND = {False: "duplicate", True: "duplicate_across_splits"}


@dataclass(frozen=True)
class Finding:
    """A fault of a scene (or of the whole, then scene is ""), and what its policy makes of it.

    other: the scene that shows the same, where that is the fault.
    """

    scene: str
    fault: Fault
    policy: str
    other: str | None = None

    @property
    def done(self) -> str:
        return DONE[self.policy] if self.scene or self.policy == "fail" else "let be"


@dataclass(frozen=True)
class Examined:
    """files: each scene's picture, by id. findings: by scene. placed: by split; scenes left out are in none.

    notes: what was taken for granted about the splits, a sentence each.
    """

    files: dict[str, str]
    findings: list[Finding]
    placed: dict[str, list[Record]]
    notes: list[str] = field(default_factory=list)

    @property
    def white(self) -> int | None:
        """The value of 16 bits that became 255, as the findings tell; None where all 16 bits are used, or none."""
        told = (finding.fault.what for finding in self.findings if finding.fault.kind == "picture_16_bit")
        found = next((match for what in told if (match := re.search(r"whose white is (\d+)", what))), None)
        return int(found[1]) if found else None

    @property
    def scenes(self) -> int:
        """How many there were."""
        return len(self.files)


def examine(
    records: Iterable[Record],
    classes: Classes,
    split: Split,
    policy: Mapping[str, str],
    derived: Collection[str] = (),
) -> Examined:
    """Leave out what cannot be used, find what is the same, and split the rest.

    derived: the kinds of annotation ("labels", "boxes", "masks") that nobody made: a class that lacks examples there is
    no fault. policy: for each kind of fault. Where it is `fail`, the scene counts as left out, and the caller decides.
    """
    scenes = sorted(records, key=lambda record: record.id)
    findings = [Finding(scene.id, fault, policy[fault.kind]) for scene in scenes for fault in scene.faults]
    kept = [scene for scene in scenes if all(policy[fault.kind] == "fix" for fault in scene.faults)]

    near = near_identical(
        [scene.picture_hash for scene in kept],
        [scene.grey for scene in kept],
        [min(scene.size) for scene in kept],
    )
    named = {scene.given for scene in scenes if scene.given is not None}
    given = split.keeps(named) if scenes else False
    twins = _twins(kept, near, given)
    findings += [
        Finding(kept[twin.position].id, twin.fault, policy[twin.fault.kind], kept[twin.of].id) for twin in twins
    ]
    gone = {twin.position for twin in twins if twin.spare or policy[twin.fault.kind] != "fix"}
    units = _units(kept, near)
    left = [position for position in range(len(kept)) if position not in gone]

    splittable = [
        Splittable(kept[p].picture_hash, kept[p].label, kept[p].annotations, kept[p].given if given else None, units[p])
        for p in left
    ]
    where = assign(splittable, split, named) if left else []
    placed = {name: [kept[p] for p, found in zip(left, where, strict=True) if found == name] for name in SPLITS}
    whole = [*_absent(placed, classes, derived), *_torn_groups(placed)]
    findings += [Finding("", fault, policy[fault.kind]) for fault in whole]
    findings.sort(key=lambda finding: (finding.scene, finding.fault.kind, str(finding.fault)))
    notes = split.told(named, sum(scene.given is None for scene in scenes))
    return Examined({scene.id: scene.file for scene in scenes}, findings, placed, notes)


class _Twin(NamedTuple):
    """A scene that shows the same as another one, `of`, and whether it is to spare."""

    position: int
    of: int
    fault: Fault
    spare: bool


def _twins(scenes: Sequence[Record], near: Sequence[tuple[int, int]], given: bool) -> list[_Twin]:
    """What shows the same. near: pairs of positions of nearly identical pictures.

    Of identical pictures the first is kept, or none where they are annotated otherwise. Nearly identical ones are all
    kept, but with given splits not on both sides: those of the evaluation stay, so that its figures compare. A scene
    that no given list names goes nowhere, whatever it shows.
    """
    found: list[_Twin] = []
    order = [position for position, scene in enumerate(scenes) if not given or scene.given is not None]
    order.sort(key=lambda p: (SPLITS[::-1].index(_side(scenes[p], given) or SPLITS[0]), scenes[p].id))
    by_hash: dict[str, list[int]] = {}
    for position in order:
        by_hash.setdefault(scenes[position].picture_hash, []).append(position)
    like: dict[str, list[str]] = {}
    for pair in near:
        for a, b in (pair, pair[::-1]):
            like.setdefault(scenes[a].picture_hash, []).append(scenes[b].picture_hash)
    kept: dict[str, int] = {}
    for picture, identical in by_hash.items():
        said = [_said(scenes[p]) for p in identical]
        if (conflict := _conflicting(said)) is not None:
            one, other = conflict
            for p, says in zip(identical, said, strict=True):
                twin = identical[one if _conflicting([says, said[one]]) else other]
                what = f"is identical to {scenes[twin].id}, which is annotated otherwise"
                found.append(_Twin(p, twin, Fault("label_conflict", scenes[p].file, what), True))
            continue
        first, *rest = identical
        for p in rest:
            across = _side(scenes[p], given) != _side(scenes[first], given)
            what = f"is identical to {scenes[first].id}" + (f" in {scenes[first].given}" if across else "")
            found.append(_Twin(p, first, Fault(_KIND[across], scenes[p].file, what), True))
        earlier = [kept[twin] for twin in like.get(picture, ()) if twin in kept]
        # A twin on the other side counts for more than one on its own.
        earlier.sort(key=lambda p: _side(scenes[p], given) == _side(scenes[first], given))
        across = bool(earlier) and _side(scenes[earlier[0]], given) != _side(scenes[first], given)
        if earlier:
            what = f"is nearly identical to {scenes[earlier[0]].id}"
            what += f" in {scenes[earlier[0]].given}" if across else ""
            found.append(_Twin(first, earlier[0], Fault(_KIND[across], scenes[first].file, what), across))
        if not across:
            kept[picture] = first
    return found


def _side(scene: Record, given: bool) -> str | None:
    return scene.given if given else None


def _said(scene: Record) -> tuple[Any, ...]:
    """What is said of a picture, kind by kind; None where nothing is."""
    boxes = None
    if scene.boxes is not None:
        boxes = sorted([label, *box] for label, box in zip(scene.box_labels or [], scene.boxes, strict=True))
    return scene.label, boxes, scene.mask_hash


def _conflicting(said: Sequence[tuple[Any, ...]]) -> tuple[int, int] | None:
    """Positions of two that say something else of one kind; an annotation that is lacking says nothing."""
    for values in zip(*said, strict=True):
        known = [at for at, value in enumerate(values) if value is not None]
        for at in known[1:]:
            if values[at] != values[known[0]]:
                return known[0], at
    return None


def _units(scenes: Sequence[Record], near: Iterable[tuple[int, int]]) -> list[int]:
    """A number for each scene, equal for those that must come into one split."""
    from scipy.cluster.hierarchy import DisjointSet  # takes a while to load

    joined = DisjointSet(range(len(scenes)))
    for one, other in near:
        joined.merge(one, other)
    for keys in ([scene.picture_hash for scene in scenes], [scene.group for scene in scenes]):
        first: dict[Hashable, int] = {}
        for position, key in enumerate(keys):
            if key is not None:
                joined.merge(first.setdefault(key, position), position)
    return [joined[position] for position in range(len(scenes))]


def _torn_groups(placed: Mapping[str, Sequence[Record]]) -> list[Fault]:
    """Groups with scenes in several splits, which only given splits can have."""
    where: dict[str, list[str]] = {}
    for split, scenes in placed.items():
        for group in sorted({scene.group for scene in scenes if scene.group is not None}):
            where.setdefault(group, []).append(split)
    return [
        Fault("group_across_splits", f"group {group}", f"has scenes in {' and '.join(splits)}")
        for group, splits in where.items()
        if len(splits) > 1
    ]


def _absent(placed: Mapping[str, Sequence[Record]], classes: Classes, derived: Collection[str]) -> list[Fault]:
    """Splits without scenes, and classes without an example in a split that has any annotation of their kind."""
    faults = []
    for where, scenes in placed.items():
        split = f"split {where}"
        if not scenes:
            faults.append(Fault("split_empty", split, "has no usable scene"))
            continue
        counts = {
            "labels": Counter(scene.label for scene in scenes if scene.label is not None),
            "boxes": Counter(label for scene in scenes for label in scene.box_labels or []),
            "masks": Counter(value for scene in scenes for value in scene.mask_classes or [] if value != VOID),
        }
        for kind, names in asdict(classes).items():
            if not counts[kind] or kind in derived:
                continue
            lacking = "class_untrained" if where == "train" else "class_absent"
            absent = [name for number, name in enumerate(names or ()) if not counts[kind][number]]
            if len(absent) > _NAMED:  # of thousands of classes, a line each would hide all else
                shown = ", ".join(f"'{name}'" for name in absent[:_NAMED])
                what = f"has no example of {len(absent)} of {len(names or ())} classes ({kind}), {shown} first"
                faults.append(Fault(lacking, split, what))
                continue
            void = sum(VOID in (scene.mask_classes or ()) for scene in scenes) if kind == "masks" else 0
            hint = f"; {void} of its masks have a value that says unknown, as 255 does: where that is a class, "
            hint = f"{hint}dataset.source.values names it" if void else ""
            faults += [Fault(lacking, split, f"has no example of '{name}' ({kind}){hint}") for name in absent]
    return faults

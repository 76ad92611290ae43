"""All scenes together: which go, which are the same, which split each comes into, and what is wrong with the whole."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from frostline.data.checks import THUMBNAIL, Checked, array_hash, named
from frostline.data.duplicates import Joined, alike
from frostline.data.faults import Fault
from frostline.data.scenes import SPLITS, VOID, Classes
from frostline.data.splits import Split, Splittable, assign

DONE = {"fail": "refused", "skip": "left out", "fix": "mended"}


@dataclass
class Record:
    """What is remembered of a scene once it is checked: all but picture and mask, as JSON can hold it."""

    id: str
    file: str
    fingerprint: str
    faults: list[Fault]
    width: int
    height: int
    picture_hash: str
    thumbnail: str  # (16, 16) uint8 in hexadecimal digits
    label: int | None = None
    boxes: list[list[float]] | None = None
    box_labels: list[int] | None = None
    mask_hash: str | None = None
    mask_classes: list[int] | None = None
    given: str | None = None
    group: str | None = None
    picture: str = ""
    mask: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, checked: Checked, fingerprint: str) -> Self:
        scene, mask = checked.scene, checked.mask
        return cls(
            id=scene.id,
            file=str(named(scene)),
            fingerprint=fingerprint,
            faults=checked.faults,
            width=checked.size[0],
            height=checked.size[1],
            picture_hash=checked.picture_hash,
            thumbnail="" if checked.thumbnail is None else checked.thumbnail.tobytes().hex(),
            label=checked.label,
            boxes=None if checked.boxes is None else checked.boxes.tolist(),
            box_labels=None if checked.box_labels is None else checked.box_labels.tolist(),
            mask_hash=None if mask is None else array_hash(mask),
            mask_classes=None if mask is None else np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist(),
            given=scene.split,
            group=scene.group,
        )

    @property
    def annotations(self) -> tuple[str, ...]:
        present = {"label": self.label, "boxes": self.boxes, "mask": self.mask_hash}
        return tuple(kind for kind, value in present.items() if value is not None)

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields | {"faults": [Fault(**fault) for fault in fields["faults"]]})


@dataclass(frozen=True)
class Finding:
    """A fault of a scene (or of the whole, then scene is ""), and what its policy makes of it."""

    scene: str
    fault: Fault
    policy: str

    @property
    def done(self) -> str:
        return DONE[self.policy] if self.scene or self.policy == "fail" else "let be"


@dataclass(frozen=True)
class Examined:
    """files: each scene's picture, by id. findings: by scene. placed: by split; scenes left out are in none."""

    files: dict[str, str]
    findings: list[Finding]
    placed: dict[str, list[Record]]

    @property
    def scenes(self) -> int:
        """How many there were."""
        return len(self.files)


def examine(records: Iterable[Record], classes: Classes, split: Split, policy: Mapping[str, str]) -> Examined:
    """Leave out what cannot be used, find what is the same, and split the rest.

    policy: for each kind of fault. Where it is `fail`, the scene counts as left out, and the caller decides.
    """
    scenes = sorted(records, key=lambda record: record.id)
    findings = [Finding(scene.id, fault, policy[fault.kind]) for scene in scenes for fault in scene.faults]
    kept = [scene for scene in scenes if all(policy[fault.kind] == "fix" for fault in scene.faults)]

    same = alike([scene.picture_hash for scene in kept], [_thumbnail(scene) for scene in kept])
    told = _duplicates(kept, same, split.given)
    findings += [Finding(kept[position].id, fault, policy[fault.kind]) for position, fault, _ in told]
    gone = {position for position, fault, spare in told if spare or policy[fault.kind] != "fix"}
    units = _units(kept, same)
    left = [position for position in range(len(kept)) if position not in gone]

    splittable = [
        Splittable(
            kept[p].picture_hash, kept[p].label, kept[p].annotations, kept[p].given if split.given else None, units[p]
        )
        for p in left
    ]
    where = assign(splittable, split) if left else []
    placed = {name: [kept[p] for p, found in zip(left, where, strict=True) if found == name] for name in SPLITS}
    findings += [Finding("", fault, policy[fault.kind]) for fault in _absent(placed, classes)]
    findings.sort(key=lambda finding: (finding.scene, finding.fault.kind, str(finding.fault)))
    return Examined({scene.id: scene.file for scene in scenes}, findings, placed)


def _duplicates(scenes: Sequence[Record], same: Sequence[int], given: bool) -> list[tuple[int, Fault, bool]]:
    """Triples (position, fault, whether this scene is to spare) of scenes that show the same as another.

    Of identical pictures the first is kept, or none where they are annotated otherwise. Near-identical ones are all
    kept, but with given splits not on both sides: those of the evaluation stay, so that its figures compare.
    """
    found: list[tuple[int, Fault, bool]] = []
    clusters: dict[int, list[int]] = {}
    for position, first in enumerate(same):
        clusters.setdefault(first, []).append(position)
    for cluster in clusters.values():
        if len(cluster) == 1:
            continue
        order = sorted(cluster, key=lambda p: (SPLITS[::-1].index(_side(scenes[p], given) or SPLITS[0]), scenes[p].id))
        by_hash: dict[str, list[int]] = {}
        for position in order:
            by_hash.setdefault(scenes[position].picture_hash, []).append(position)
        sides: dict[str | None, int] = {}
        for identical in by_hash.values():
            first, *rest = identical
            other = next((p for p in rest if _differ(scenes[first], scenes[p])), None)
            if other is not None:
                for p in identical:
                    twin = other if p == first else first
                    what = f"is identical to {scenes[twin].id}, which is annotated otherwise"
                    found.append((p, Fault("label_conflict", scenes[p].file, what), True))
                continue
            for p in rest:
                across = _side(scenes[p], given) != _side(scenes[first], given)
                kind = "duplicate_across_splits" if across else "duplicate"
                found.append((p, Fault(kind, scenes[p].file, f"is identical to {scenes[first].id}"), True))
            near = next((p for side, p in sides.items() if side != _side(scenes[first], given)), None)
            if near is not None and _side(scenes[first], given) is not None:
                what = f"is nearly identical to {scenes[near].id}"
                found.append((first, Fault("duplicate_across_splits", scenes[first].file, what), True))
            else:
                if sides:
                    what = f"is nearly identical to {scenes[next(iter(sides.values()))].id}"
                    found.append((first, Fault("duplicate", scenes[first].file, what), False))
                sides.setdefault(_side(scenes[first], given), first)
    return found


def _side(scene: Record, given: bool) -> str | None:
    return scene.given if given else None


def _differ(one: Record, other: Record) -> bool:
    """Whether two scenes say something else of the same picture; an annotation that one of them lacks says nothing."""
    pairs = (
        (one.label, other.label),
        (one.boxes and sorted(zip(one.box_labels or [], one.boxes, strict=True)),
         other.boxes and sorted(zip(other.box_labels or [], other.boxes, strict=True))),
        (one.mask_hash, other.mask_hash),
    )  # fmt: skip
    return any(a is not None and b is not None and a != b for a, b in pairs)


def _units(scenes: Sequence[Record], same: Sequence[int]) -> list[int]:
    """A number for each scene, equal for those that must come into one split."""
    joined = Joined(len(scenes))
    joined.join_equal(same)
    joined.join_equal([scene.group for scene in scenes])
    return [joined.first(position) for position in range(len(scenes))]


def _absent(placed: Mapping[str, Sequence[Record]], classes: Classes) -> list[Fault]:
    """Splits without scenes, and classes without an example in a split that has any annotation of their kind."""
    faults = []
    for where, scenes in placed.items():
        place = f"split {where}"
        if not scenes:
            faults.append(Fault("split_empty", place, "has no usable scene"))
            continue
        counts = {
            "labels": Counter(scene.label for scene in scenes if scene.label is not None),
            "boxes": Counter(label for scene in scenes for label in scene.box_labels or []),
            "masks": Counter(value for scene in scenes for value in scene.mask_classes or [] if value != VOID),
        }
        for kind, names in asdict(classes).items():
            if not counts[kind]:
                continue
            for number, name in enumerate(names or ()):
                if not counts[kind][number]:
                    lacking = "class_untrained" if where == "train" else "class_absent"
                    faults.append(Fault(lacking, place, f"has no example of '{name}' ({kind})"))
    return faults


def _thumbnail(scene: Record) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(scene.thumbnail), np.uint8).reshape(THUMBNAIL, THUMBNAIL)

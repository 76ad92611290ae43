"""All scenes together: which go, which are the same, which split each comes into, and what is wrong with the whole."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import overload

import numpy as np

from frostline.checking.gathered import KINDS, Gathered
from frostline.checking.journal import Journal
from frostline.checking.mean import mean_boxes
from frostline.checking.record import Record
from frostline.checking.twins import Twin, alike, largest, twins, units
from frostline.scenes.faults import MEAN, Fault
from frostline.scenes.scene import SPLITS, VOID, Classes
from frostline.scenes.splits import Split, Splittable, assign

DONE = {"fail": "refused", "skip": "left out", "fix": "mended", MEAN: "mended"}
_NAMED = 5  # classes without an example that are named one by one
_FEWEST = 10  # scenes, of which most may be nearly identical by design


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


@dataclass(frozen=True, eq=False)
class Placed(Sequence[Record]):
    """The scenes of one split in the order of their ids, read from the journal when they are asked for.

    rows: (n,) of the journal.
    """

    journal: Journal
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self.journal.record(int(row)) for row in self.rows[index]]
        return self.journal.record(int(self.rows[index]))

    def __iter__(self) -> Iterator[Record]:
        return (self.journal.record(int(row)) for row in self.rows)


@dataclass
class Tally:
    """What a split has: scenes, those with each kind of annotation, and examples of each class number.

    void: scenes whose masks have pixels that nobody annotated. ignored: boxes that count neither way, which are no
    examples.
    """

    scenes: int = 0
    annotated: Counter[str] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    boxes: Counter[int] = field(default_factory=Counter)
    masks: Counter[int] = field(default_factory=Counter)
    void: int = 0
    ignored: int = 0

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Tally":
        found = cls(len(records))
        for record in records:
            found.annotated.update(record.annotations)
            if record.label is not None:
                found.labels[record.label] += 1
            found.boxes.update(record.counted)
            found.ignored += len(record.box_labels or ()) - len(record.counted)
            found.masks.update(value for value in record.mask_classes or () if value != VOID)
            found.void += VOID in (record.mask_classes or ())
        return found


@dataclass(frozen=True)
class Examined:
    """scenes: how many there were. findings: by scene. placed: by split; scenes left out are in none.

    tallies: of these. files: the pictures of the scenes that findings name, by id. notes: what was taken for granted
    about the splits, a sentence each. given: the splits that the source names. kept, could_keep: whether scenes stay in
    these, or could. gone: how many scenes are in no split, by why.
    """

    scenes: int
    findings: list[Finding]
    placed: dict[str, Placed]
    tallies: dict[str, Tally] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    given: frozenset[str] = frozenset()
    kept: bool = False
    could_keep: bool = False
    gone: Mapping[str, int] = field(default_factory=dict)

    @property
    def white(self) -> int | None:
        """The value of 16 bits that became 255, as the findings tell; None where all 16 bits are used, or none."""
        told = (finding.fault.what for finding in self.findings if finding.fault.kind == "picture_16_bit")
        found = next((match for what in told if (match := re.search(r"whose white is (\d+)", what))), None)
        return int(found[1]) if found else None


def examine(
    journal: Journal,
    classes: Classes,
    split: Split,
    policy: Mapping[str, str],
    derived: Collection[str] = (),
    duplicates: str = "split",
    for_training: bool = True,
) -> Examined:
    """Leave out what cannot be used, find what is the same, and split the rest.

    derived: the kinds of annotation ("labels", "boxes", "masks") that nobody made: a class that lacks examples there is
    no fault. policy: for each kind of fault. Where it is `fail`, the scene counts as left out, and the caller decides.
    duplicates: what becomes of nearly identical pictures: "split" brings them into one split, "drop" keeps one of them,
    "ignore" lets them be and does not look for them. Identical ones are kept once, whatever it says.
    for_training: whether something is to be trained on them. Where a model is only measured, any split may be empty.
    """
    journal.written()
    known, rows = journal.gathered, np.array(journal.rows, np.int64)
    order = known.order()
    findings, files, kept = _usable(journal, order, policy)

    named = {SPLITS[number] for number in np.unique(known.given) if number >= 0}
    given = split.keeps(named) if len(order) else False
    same = alike(journal, kept, duplicates)
    found = twins(journal, kept, same, given, policy["label_conflict"] in ("fix", MEAN), duplicates == "drop")
    if policy["label_conflict"] == MEAN:
        _average(journal, rows[kept], found)
    for twin in found:
        one, other = (known.id(int(kept[place])) for place in (twin.position, twin.of))
        findings.append(Finding(one, twin.fault, policy[twin.fault.kind], other))
        files[one] = str(twin.fault.file)
        files.setdefault(other, journal.record(int(rows[kept[twin.of]])).file)
    left = np.ones(len(kept), bool)
    left[[twin.position for twin in found if twin.spare or policy[twin.fault.kind] != "fix"]] = False
    disputed = {twin.position for twin in found if twin.fault.kind == "label_conflict" and not left[twin.position]}

    belonging = units(known, kept, same)[left]
    kept_left = kept[left]
    where = _split(known, kept_left, belonging, split, given, named)
    placed = {name: Placed(journal, rows[kept_left[where == number]]) for number, name in enumerate(SPLITS)}
    tallies = {name: Tally.of(scenes) for name, scenes in placed.items()}
    crowd = largest(same) if duplicates == "split" and not given else 0
    fixed = _fixed_camera(crowd, len(kept))
    if for_training:
        whole = [*fixed, *_absent(tallies, classes, derived, bool(fixed)), *_torn_groups(known, kept_left, where)]
    else:
        whole = fixed if (where >= 0).any() else [Fault("split_empty", "the dataset", "has no usable scene")]
    findings += [Finding("", fault, policy[fault.kind]) for fault in whole]
    findings.sort(key=lambda finding: (finding.scene, finding.fault.kind, str(finding.fault)))
    notes = split.told(named, int((known.given < 0).sum()))
    gone = {
        "faulty": len(order) - len(kept),
        "as copies that disagree": len(disputed),
        "as copies": int((~left).sum()) - len(disputed),
        "in none of the given splits": int((where < 0).sum()),
    }
    gone = {why: count for why, count in gone.items() if count}
    return Examined(
        len(order), findings, placed, tallies, files, notes, frozenset(named), given, split.could_keep(named), gone
    )


def _usable(
    journal: Journal, order: np.ndarray, policy: Mapping[str, str]
) -> tuple[list[Finding], dict[str, str], np.ndarray]:
    """The faults of single scenes, the files of those that have some, and which scenes can be used, in their order."""
    findings: list[Finding] = []
    files, kept_at = {}, np.ones(len(order), bool)
    for place in np.flatnonzero(journal.gathered.faulty[order]).tolist():
        record = journal.record(journal.rows[order[place]])
        findings += [Finding(record.id, fault, policy[fault.kind]) for fault in record.faults]
        files[record.id] = record.file
        kept_at[place] = all(policy[fault.kind] == "fix" for fault in record.faults)
    return findings, files, order[kept_at]


def _average(journal: Journal, rows: np.ndarray, found: Sequence[Twin]) -> None:
    """Give the copies that are kept the mean of the boxes of all copies that somebody looked at for boxes."""
    copies: dict[int, list[int]] = {}
    for twin in found:
        if twin.fault.kind == "label_conflict":
            copies.setdefault(twin.of, [twin.of]).append(twin.position)
    for first, places in copies.items():
        records = [journal.record(int(rows[place])) for place in places]
        if len(looked := [record for record in records if record.boxes is not None]) > 1 and looked[0] is records[0]:
            boxes, labels = mean_boxes(looked)
            journal.amended[int(rows[first])] = replace(records[0], boxes=boxes, box_labels=labels)


def _split(
    known: Gathered, kept: np.ndarray, belonging: np.ndarray, split: Split, given: bool, named: Collection[str]
) -> np.ndarray:
    """The number of each scene's split, of SPLITS; -1 where it comes into none."""
    if not len(kept):
        return np.zeros(0, np.int8)
    splittable = _Splittables(known, kept, belonging, given)
    numbers = {name: number for number, name in enumerate(SPLITS)}
    return np.array([-1 if name is None else numbers[name] for name in assign(splittable, split, named)], np.int8)


_ANNOTATIONS = [tuple(kind for n, kind in enumerate(KINDS) if bits >> n & 1) for bits in range(1 << len(KINDS))]


@dataclass(frozen=True, eq=False)
class _Splittables(Sequence[Splittable]):
    """Scenes at some positions as `assign` takes them, each made when it is asked for. belonging: the unit of each."""

    known: Gathered
    kept: np.ndarray
    belonging: np.ndarray
    given: bool

    def __len__(self) -> int:
        return len(self.kept)

    @overload
    def __getitem__(self, index: int) -> Splittable: ...
    @overload
    def __getitem__(self, index: slice) -> list[Splittable]: ...
    def __getitem__(self, index: int | slice) -> Splittable | list[Splittable]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        at, known = int(self.kept[index]), self.known
        label, side = int(known.labels[at]), int(known.given[at])
        return Splittable(
            known.picture(at),
            None if label < 0 else label,
            _ANNOTATIONS[int(known.kinds[at])],
            SPLITS[side] if self.given and side >= 0 else None,
            int(self.belonging[index]),
        )


def _fixed_camera(crowd: int, scenes: int) -> list[Fault]:
    """Says so where most pictures are nearly identical: because they are, not because one was saved again and again."""
    if scenes < _FEWEST or crowd * 2 <= scenes:
        return []
    what = (
        f"has {crowd} of its {scenes} pictures nearly identical, so all of them come into one split: where a fixed "
        "camera took them, dataset.duplicates=ignore lets them be, and dataset.group keeps together what was taken "
        "together, by time or by sequence"
    )
    return [Fault("duplicate", "the dataset", what)]


def _torn_groups(known: Gathered, kept: np.ndarray, where: np.ndarray) -> list[Fault]:
    """Groups with scenes in several splits, which only given splits can have."""
    named = (known.groups[kept] >= 0) & (where >= 0)
    pairs = np.unique(np.stack([known.groups[kept][named], where[named].astype(np.int32)], axis=1), axis=0)
    splits: dict[str, list[str]] = {}
    for group, number in pairs.tolist():
        splits.setdefault(known.group(group), []).append(SPLITS[number])
    return [
        Fault("group_across_splits", f"group {group}", f"has scenes in {' and '.join(names)}")
        for group, names in sorted(splits.items())
        if len(names) > 1
    ]


def _absent(tallies: Mapping[str, Tally], classes: Classes, derived: Collection[str], alike: bool) -> list[Fault]:
    """Splits without scenes, and classes without an example in a split that has any annotation of their kind."""
    faults = []
    for where, tally in tallies.items():
        split = f"split {where}"
        if not tally.scenes:
            because = ", as most pictures are nearly identical: dataset.duplicates=ignore lets them be" if alike else ""
            faults.append(Fault("split_empty", split, f"has no usable scene{because}"))
            continue
        counts = {"labels": tally.labels, "boxes": tally.boxes, "masks": tally.masks}
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
            void = tally.void if kind == "masks" else 0
            hint = f"; {void} of its masks have a value that says unknown, as 255 does: where that is a class, "
            hint = f"{hint}dataset.source.values names it" if void else ""
            faults += [Fault(lacking, split, f"has no example of '{name}' ({kind}){hint}") for name in absent]
    return faults

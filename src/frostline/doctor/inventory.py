"""What is there, before what is wrong with it: pictures, sizes, annotations and classes of each split."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table

from frostline.checking.record import Record
from frostline.checking.whole import Examined
from frostline.scenes.scene import VOID, Classes
from frostline.sources.base import Source

MOST = 20  # classes of a kind that are shown: the most frequent and the rarest
KINDS = {"labels": "label", "boxes": "boxes", "masks": "mask"}  # of classes, and the annotation that they are of
HEADS = {"labels": "with label", "boxes": "looked at for boxes", "masks": "with mask"}  # a picture may have no object


@dataclass
class Side:
    """What one split has, faulty scenes left out.

    sizes: how many pictures are so wide and high. annotated: scenes by kind of annotation. objects: boxes that count.
    ignored: those that count neither way. empty: scenes that somebody looked at and found no box. bare: scenes without
    any annotation. examples: by kind of classes and class number: scenes with that label, boxes that count, or scenes
    whose masks have it.
    """

    scenes: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    annotated: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    ignored: int = 0
    empty: int = 0
    bare: int = 0
    moved: int = 0
    examples: dict[str, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})

    @classmethod
    def of(cls, split: str, records: Iterable[Record]) -> "Side":
        side = cls()
        for record in records:
            side.scenes += 1
            width, height = record.size
            side.sizes[width, height] += 1
            side.annotated.update(record.annotations)
            side.bare += not record.annotations
            side.moved += record.given not in (None, split)
            side.objects += len(record.counted)
            side.ignored += len(record.boxes or ()) - len(record.counted)
            side.empty += record.boxes is not None and not record.boxes
            side.examples["labels"].update([] if record.label is None else [record.label])
            side.examples["boxes"].update(record.counted)
            side.examples["masks"].update(value for value in record.mask_classes or () if value != VOID)
        return side

    @property
    def size(self) -> str:
        """Of the smallest picture to the largest, by their areas, with the median."""
        if not self.sizes:
            return "-"
        ordered = sorted(self.sizes.elements(), key=lambda size: (size[0] * size[1], size))
        first, middle, last = (f"{w} x {h}" for w, h in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))
        return first if len(self.sizes) == 1 else f"{first} to {last}, median {middle}"


@dataclass(frozen=True)
class Inventory:
    """sides: by split, in their order. notes: what was taken for granted, a sentence each."""

    sides: dict[str, Side]
    classes: Classes
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, examined: Examined, source: Source) -> "Inventory":
        sides = {name: Side.of(name, records) for name, records in examined.placed.items()}
        notes = [*source.notes, *examined.notes, *source.derived.values()]
        moved = sum(side.moved for side in sides.values())
        if moved and not examined.kept:  # else a note tells of the split that was drawn
            keep = ": dataset.split.given=true keeps them" if examined.could_keep else ""
            notes.append(f"{moved} {'scene is' if moved == 1 else 'scenes are'} not in the split of origin{keep}")
        if gone := examined.scenes - sum(side.scenes for side in sides.values()):
            why = ", ".join(f"{count} {reason}" for reason, count in examined.gone.items())
            notes.append(f"{gone} of {examined.scenes} scenes are in no split: {why}")
        return cls(sides, source.classes, tuple(dict.fromkeys(note.rstrip(".") for note in notes)))

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The names of the classes of each kind of annotation that there is."""
        return {kind: names for kind, names in asdict(self.classes).items() if names is not None}

    @property
    def rows(self) -> list[list[str]]:
        """A head, and a row a split."""
        boxes = ["boxes", "looked at, no box"] if "boxes" in self.kinds else []
        ignored = ["boxes that do not count"] if any(side.ignored for side in self.sides.values()) else []
        kinds = [HEADS[kind] for kind in self.kinds]
        rows = [["split", "pictures", "px", *kinds, *boxes, *ignored, "not annotated"]]
        for name, side in self.sides.items():
            counts = [side.annotated[KINDS[kind]] for kind in self.kinds]
            counts += [side.objects, side.empty] if boxes else []
            counts += [side.ignored] if ignored else []
            rows.append([name, str(side.scenes), side.size, *map(str, counts), str(side.bare)])
        return rows

    def class_rows(self, kind: str) -> list[list[str]]:
        """A head, and a row a class: of many the most frequent and the rarest, with a line for those between."""
        names = self.kinds[kind]
        head = [f"class ({kind})", *self.sides]
        rows = [
            [name, *(str(side.examples[kind][number]) for side in self.sides.values())]
            for number, name in enumerate(names)
        ]
        if len(rows) <= MOST:
            return [head, *rows]
        totals = Counter({n: sum(side.examples[kind][n] for side in self.sides.values()) for n in range(len(names))})
        order = [number for number, _ in totals.most_common()]
        between = [f"… {len(rows) - MOST} classes between", *("" for _ in self.sides)]
        return [head, *(rows[n] for n in order[: MOST // 2]), between, *(rows[n] for n in order[-MOST // 2 :])]

    def tables(self) -> list[Table]:
        """For the terminal."""
        return [_table(self.rows), *(_table(self.class_rows(kind)) for kind in self.kinds)]

    def as_json(self) -> dict[str, Any]:
        """With classes by their names."""
        splits = {
            name: {
                "scenes": side.scenes,
                "sizes": side.size,
                **{f"with_{kind}": side.annotated[kind] for kind in KINDS.values()},
                "boxes": side.objects,
                "boxes_ignored": side.ignored,
                "looked_at_without_box": side.empty,
                "without_annotation": side.bare,
                "classes": {
                    kind: {each: side.examples[kind][number] for number, each in enumerate(names)}
                    for kind, names in self.kinds.items()
                },
            }
            for name, side in self.sides.items()
        }
        return {"splits": splits, "notes": list(self.notes)}


def _table(rows: list[list[str]]) -> Table:
    table = Table()
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(escape, row))  # what stands in brackets in a stranger's name is no markup
    return table

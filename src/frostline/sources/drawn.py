"""Scenes from what annotation tools draw: the part that CVAT, Label Studio, labelme and CreateML have in common."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from frostline.errors import check_choice
from frostline.parsing.files import boxes_of
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import split_of_folders
from frostline.parsing.paint import MOST_PAINT, paint
from frostline.parsing.shapes import Page, Shape, Size, hull, region
from frostline.parsing.turned import Annotated, Turned
from frostline.pictures.reading import MAX_PIXELS, displayed_size
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, Classes, Scene, scene_ids
from frostline.sources.base import Source

_LABELS = "where all shapes of a picture have one class, that is the picture's label"
_MASKS = "painted from the outlines, smaller ones over larger ones"
ABSENT = ("skip", "empty")


class Drawn(Source):
    """Pictures with the shapes that somebody drew on them.

    Every shape gives a box, the upright one around it. Where any has an outline there are masks: 0 is the background,
    then the classes from 1, smaller shapes lie over larger ones; a picture on which any shape has none has no mask. A
    mask is painted when its scene is asked for. Classes are the names found, sorted. A picture's label is what the tool
    says of it as a whole, where that is one thing; where it says so of no picture, the class that all its shapes have.

    A reader of one layout sets it up by `_take`.
    """

    def _take(
        self,
        root: Path,
        pages: Sequence[Page],
        pictures: Pictures,
        absent: str = "skip",
        unseen: Sequence[Page] = (),
        turned: str = "auto",
    ) -> None:
        """pages: in the source's order. absent: what pictures are that no page names: one of ABSENT. unseen: pages that
        are no scenes; their pictures are named all the same. turned: a rule of `turned.RULES`, for pictures that EXIF
        turns.
        """
        check_choice("dataset.source.absent", absent, ABSENT)
        self.root = root
        self.notes: list[str] = list(self.notes)
        self._pages = list(pages)
        self._found = [pictures.find(page.name, page.file.parent, page.split) for page in pages]
        self._add_absent(pictures, absent, unseen)
        self._turned = Turned(turned, self._annotated())
        self.notes += [self._turned.note] if self._turned.note else []
        names = sorted({shape.label for page in pages for shape in page.shapes})
        labels = sorted({label for page in pages for label in page.labels})
        single = any(len({shape.label for shape in page.shapes}) == 1 for page in pages)
        outlined = any(shape.kind != "box" for page in pages for shape in page.shapes)
        self._labelled = bool(labels)
        painted = (BACKGROUND, *(name for name in names if name != BACKGROUND))
        self.classes = Classes(
            labels=tuple(labels) or (tuple(names) if single else None),
            boxes=tuple(names) or None,
            masks=painted if outlined else None,
        )
        self.derived = {"labels": _LABELS} if single and not labels else {}
        self.derived |= {"masks": _MASKS} if outlined else {}
        self._value = {name: value for value, name in enumerate(painted)}
        self._number = {name: number for number, name in enumerate(names)}
        passed_over = Counter(kind for page in pages for kind in page.strange)
        if passed_over:
            such = ", ".join(f"{count} {kind}" for kind, count in sorted(passed_over.items()))
            self.notes.append(f"{such} passed over, as they have no area")
        askew = sum(bool(shape.degrees) for page in pages for shape in page.shapes)
        if askew:
            self.notes.append(f"{askew} turned shape(s): the upright box around each was taken")
        if several := sum(len(set(page.labels)) > 1 for page in pages):
            self.notes.append(f"{several} picture(s) with several labels of the whole get none of them")

    def _add_absent(self, pictures: Pictures, absent: str, unseen: Sequence[Page]) -> None:
        named = {path for path, _, _ in self._found}
        named |= {pictures.find(page.name, page.file.parent)[0] for page in unseen}
        left = [path for path in pictures.all if path not in named]
        self.notes += absent_note(left, len(pictures.all), self.root, absent)
        if absent == "empty":
            self._pages += [Page(str(path), self._pages[0].file if self._pages else path) for path in left]
            self._found += [(path, "", "") for path in left]

    def _annotated(self) -> Iterator[Annotated]:
        """Pictures with the size that their page states, and boxes in pixels of it."""
        for page, (path, _, _) in zip(self._pages, self._found, strict=True):
            if path is not None and page.size is not None and not page.shares:
                shapes = [shape for shape in page.shapes if shape.kind != "pixels"]
                yield path, page.size, boxes_of([hull(shape, None) for shape in shapes])

    def scenes(self) -> Iterator[Scene]:
        names = [
            path.relative_to(self.root) if path is not None else PurePosixPath(page.name.replace("\0", ""))
            for page, (path, _, _) in zip(self._pages, self._found, strict=True)
        ]
        ids = scene_ids(name if name.name else PurePosixPath("unnamed") for name in names)
        seen: set[Path] = set()
        for scene_id, page, (path, kind, what) in zip(ids, self._pages, self._found, strict=True):
            faults = [Fault(kind, page.file, what, page.line)] if path is None else []
            if path in seen:
                what = f"{page.called or 'has'} the picture {path} once more: take one of the two out"
                faults.append(Fault("annotation_unreadable", page.file, what, page.line))
            elif path is not None:
                seen.add(path)
            yield self._scene(scene_id, page, path, faults)
        self._after()

    def _after(self) -> None:
        """What is told once all scenes were given."""

    def _scene(self, scene_id: str, page: Page, path: Path | None, faults: list[Fault]) -> Scene:
        where = f"{page.called}, " if page.called else ""
        faults += [Fault(kind, page.file, where + what, line or page.line) for kind, what, line in page.odd]
        size = page.size
        if path is not None and (page.shares or size is None):
            size = displayed_size(path) or size
        size = self._turned.size(path, size)
        shapes = page.shapes
        if page.shares:
            shapes = [shape.scaled(*size) for shape in shapes] if size is not None else []
        boxes, kept = [], []
        known = self.classes.boxes is not None and page.looked
        for shape in shapes:
            try:
                boxes.append(hull(shape, size))
                kept.append(shape)
            except ValueError as error:
                faults.append(self._fault(page, shape, str(error)))
        return Scene(
            id=scene_id,
            image=path,
            label=self._label(page),
            boxes=boxes_of(boxes) if known else None,
            box_labels=np.array([self._number[shape.label] for shape in kept], np.int64) if known else None,
            box_marks=np.array([shape.mark for shape in kept], np.uint8) if known else None,
            mask=self._mask(page, kept, size, faults) if path is not None and self._has_mask(page, kept) else None,
            split=page.split or (split_of_folders(path.relative_to(self.root)) if path is not None else None),
            boxes_file=page.file if known else None,
            box_lines=_lines(kept),
            faults=tuple(faults),
            size=size,
        )

    def _fault(self, page: Page, shape: Shape, what: str) -> Fault:
        where = f"{page.called}, has" if page.called else "has"
        return Fault(
            "annotation_unreadable", page.file, f"{where} a {shape.kind} '{shape.label}' that {what}", shape.line
        )

    def _label(self, page: Page) -> int | None:
        found = set(page.labels) if self._labelled else {shape.label for shape in page.shapes}
        return (self.classes.labels or ()).index(found.pop()) if len(found) == 1 else None

    def _has_mask(self, page: Page, shapes: Sequence[Shape]) -> bool:
        whole = len(shapes) == len(page.shapes)
        return self.classes.masks is not None and page.looked and whole and all(shape.kind != "box" for shape in shapes)

    def _mask(self, page: Page, shapes: Sequence[Shape], size: Size | None, faults: list[Fault]) -> np.ndarray | None:
        width, height = size or (0, 0)
        if width * height > MAX_PIXELS:
            what = f"gives a picture {width} x {height} pixels, more than the {MAX_PIXELS} allowed"
            faults.append(Fault("picture_huge", page.file, what, page.line))
        if not 0 < width * height <= MAX_PIXELS:
            return None
        if len(shapes) * width * height > MOST_PAINT:
            what = f"has {len(shapes)} shapes on one picture, too many to paint at its size"
            faults.append(Fault("annotation_unreadable", page.file, what, page.line))
            return None
        painted = []
        for shape in shapes:
            try:
                code = region(shape, (width, height))
            except ValueError as error:
                faults.append(self._fault(page, shape, str(error)))
                return None
            assert code is not None
            painted.append((self._value[shape.label], code))
        return paint(painted, width, height)


def absent_note(left: Sequence[Path], among: int, root: Path, absent: str | None) -> list[str]:
    """The note on pictures that no annotation names; none where there are none. absent: None where no setting says."""
    if not left:
        return []
    such = f"{len(left)} of {among} pictures are named nowhere (such as {left[0].relative_to(root)}) and"
    if absent == "empty":
        return [f"{such} count as looked at and empty, as dataset.source.absent says"]
    if absent is None:
        return [f"{such} are left out"]
    return [f"{such} are left out; dataset.source.absent=empty takes them as looked at and empty"]


def _lines(shapes: Sequence[Shape]) -> tuple[int, ...] | None:
    lines = [shape.line for shape in shapes]
    return tuple(line for line in lines if line is not None) if None not in lines else None

"""Pascal VOC's layout: pictures, an XML file of boxes for each, lists of splits, and masks where there are some."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.corners import counted
from frostline.parsing.files import existing, inside, namesake
from frostline.parsing.turned import Turned
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, COUNTED, DIFFICULT, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.voc_files import fits, pair_by_content, voc_files
from frostline.sources.voc_xml import VocBoxes, read_voc_boxes

__all__ = ["VOC_NAMES", "Voc", "fits"]

VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
UNANNOTATED = ("fault", "empty")
DIFFICULTS = ("ignored", "objects", "skip")


class Voc(Source):
    """`root/JPEGImages`, `root/Annotations/<picture>.xml`, and, where they are there, `root/ImageSets/Main/<list>.txt`
    and `root/SegmentationClass/<picture>.png`; `root` may be a VOCdevkit with one such folder. Or else XML files of
    this kind anywhere beside, above or below their pictures, which have the same names.

    Every picture that a folder holds or a list names is a scene. The lists train, val and test tell its split, and
    trainval where those do not; without lists, folders of these names do. A picture without an XML file has no
    boxes, which is a fault where a list names it; `unannotated: empty` takes all of them for looked at and empty.

    corners: from where pixels are counted (`corners.counted`). turned: which size boxes belong to where EXIF turns a
    picture (`turned.Turned`). What both found out is in `notes`.

    classes: names of the boxes' classes, by default those found, sorted; another name is a fault then. difficult:
    what boxes marked so are: `ignored`, that is counting neither way, as VOC's own rules have it; `objects` as others;
    `skip`: none. Masks have the background as class 0, then `classes`, or VOC's own 20 where the names
    found are all of these; 255 is unknown.

    Raises FrostlineError where `root` has no such layout, or has masks whose classes nobody tells.
    """

    def __init__(
        self,
        root: str | Path,
        classes: Sequence[str] | None = None,
        difficult: str = "ignored",
        corners: str = "auto",
        turned: str = "auto",
        unannotated: str = "fault",
    ) -> None:
        check_choice("dataset.source.unannotated", unannotated, UNANNOTATED)
        check_choice("dataset.source.difficult", difficult, DIFFICULTS)
        self.root = existing(root, "data in VOC's layout")
        self._difficult, self._unannotated = difficult, unannotated
        self._files = files = voc_files(self.root)
        # All are read now: the names found are the classes, and where pixels count from shows in the whole only.
        read: dict[Path, VocBoxes | ValueError] = {}
        for xml in files.xmls.values():
            try:
                read[xml] = read_voc_boxes(xml)
            except ValueError as error:
                read[xml] = error
        readable = [found for found in read.values() if isinstance(found, VocBoxes)]
        pair_by_content(
            files,
            {name: boxes.picture for name, xml in files.xmls.items() if isinstance(boxes := read[xml], VocBoxes)},
        )
        self._read = {name: read[xml] for name, xml in files.xmls.items()}
        found = {name for boxes in readable for name in boxes.names if name}
        self.counting = counted(corners, (boxes.written for boxes in readable))
        self._turned = Turned(turned, self._annotated(), _drawn_as_shown(readable))
        if files.masks and classes is None and not found <= set(VOC_NAMES):
            raise FrostlineError(
                f"{self.root} has masks and boxes of classes other than VOC's: list their names in the order of the "
                f"masks' numbers, from 1, in dataset.source.classes."
            )
        self.classes = Classes(
            boxes=(tuple(classes) if classes is not None else tuple(sorted(found))) or None,
            masks=(BACKGROUND, *(classes if classes is not None else VOC_NAMES)) if files.masks else None,
        )

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """Where corners are counted from, which size boxes belong to, what is difficult, and what has no XML file."""
        missing = len(self._files.pictures.keys() - self._files.xmls.keys())
        if self._unannotated == "empty":
            what = "taken as looked at, without objects"
        else:
            what = "not taken as looked at; dataset.source.unannotated=empty takes them as without objects"
        bare = f"{missing} picture(s) have no XML file and are {what}" if missing else None
        found = (boxes.difficult for boxes in self._read.values() if isinstance(boxes, VocBoxes))
        ignored = sum(map(sum, found)) if self._difficult == "ignored" else 0
        hard = f"{ignored} boxes marked difficult count neither way (dataset.source.difficult)" if ignored else None
        return [note for note in (self.counting.why, self._turned.note, hard, bare) if note]

    def _annotated(self) -> Iterator[tuple[Path | None, tuple[int, int] | None, np.ndarray | None]]:
        for name, boxes in self._read.items():
            if isinstance(boxes, VocBoxes):
                yield self._files.pictures.get(name), boxes.size, self.counting.boxes(boxes.corners)

    def scenes(self) -> Iterator[Scene]:
        files = self._files
        names = sorted({*files.pictures, *files.xmls, *files.masks, *files.listed})
        # `.png`, lest a dot in the name be taken for a suffix
        for scene_id, name in zip(scene_ids(PurePath(f"{name}.png") for name in names), names, strict=True):
            yield self._scene(scene_id, name)

    def _scene(self, scene_id: str, name: str) -> Scene:
        files = self._files
        split, listing, _ = files.listed.get(name, (files.splits.get(name), None, None))
        xml, picture = files.xmls.get(name), files.pictures.get(name)
        faults = self._missing(name)
        boxes = labels = marks = lines = size = None
        read = self._read.get(name)
        if isinstance(read, ValueError):
            faults.append(Fault("annotation_unreadable", xml or "", str(read)))
        elif read is not None:
            known = {name: number for number, name in enumerate(self.classes.boxes or ())}
            skip = self._difficult == "skip"
            kept = [at for at, difficult in enumerate(read.difficult) if not (difficult and skip)]
            for at in kept:
                if read.names[at] not in known:
                    what = f"has a box of the class '{read.names[at]}', which is none of those given"
                    faults.append(Fault("label_unknown", xml or "", what, read.lines[at]))
            kept = [at for at in kept if read.names[at] in known]
            boxes = self.counting.boxes(read.corners)[kept]
            labels = np.array([known[read.names[at]] for at in kept], np.int64)
            hard = [self._difficult == "ignored" and read.difficult[at] for at in kept]
            marks = np.where(hard, DIFFICULT, COUNTED).astype(np.uint8)
            lines = tuple(read.lines[at] for at in kept)
            size = self._turned.size(picture, read.size)
        elif self._unannotated == "empty":
            boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        return Scene(
            id=scene_id,
            image=picture,
            boxes=boxes,
            box_labels=labels,
            box_marks=marks,
            mask=files.masks.get(name),
            split=split,
            boxes_file=xml,
            box_lines=lines,
            faults=tuple(faults),
            size=size,
        )

    def _missing(self, name: str) -> list[Fault]:
        """What a name lacks."""
        files, place = self._files, self._files.place.name
        picture, xml = files.pictures.get(name), files.xmls.get(name)
        _, listing, line = files.listed.get(name, (None, None, None))
        faults = []
        if listing and inside(files.place, name) is None:
            faults.append(Fault("path_outside", listing, f"names '{name}', which lies outside {place}", line))
        elif picture is None:
            what = f"names '{name}'" if listing else "has no picture"
            what += f", of which {place} has no picture" if listing else f" '{name}' in {place}"
            faults.append(Fault("picture_missing", listing or xml or files.masks.get(name) or "", what, line))
        elif listing and xml is None and self._unannotated == "fault":
            what = f"names '{name}', of which there is no XML file (dataset.source.unannotated=empty: it is empty)"
            faults.append(Fault("annotation_missing", listing, what, line))
        return faults + (namesake(name, picture) if picture else [])


def _drawn_as_shown(readable: Sequence[VocBoxes]) -> str | None:
    """Label Studio, where it wrote most of the files: it gives the shown picture's boxes beside the stored size."""
    writers = [boxes.writer for boxes in readable]
    return "Label Studio" if writers.count("Label Studio") * 2 > len(writers) else None

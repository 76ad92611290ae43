"""The Oxford-IIIT Pet dataset in its own layout: breeds, head boxes, and trimaps of pet, background and border."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from frostline.errors import FrostlineError
from frostline.parsing.corners import from_one
from frostline.parsing.files import existing, fetched, picture_files, read_lines
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.voc_xml import read_voc_boxes

MASKS = ("pet", "background", "border")
_MASK_MAP = {value + 1: value for value in range(len(MASKS))}


class Pets(Source):
    """Pictures, breeds, head boxes and trimaps below `root` (or below `root/oxford-iiit-pet`).

    The breed is the file's name up to its last underscore; breeds present, sorted, are the classes of labels and boxes
    (the XML files say only cat or dog). A name that tells no breed is a fault. Every picture in `images/` is a scene,
    whether the lists name it or not, and what the lists name but is not there is no fault: a part of the data will do;
    a scene without an XML file has no boxes and one without a trimap no mask. Pictures of `trainval.txt` say split
    "train", those of `test.txt` "test", for whoever wants the official split.

    Raises FrostlineError where `root` has no such layout.
    """

    derived = {"boxes": "the class of a box is the breed in the file's name; the XML says only cat or dog"}

    def __init__(self, root: str | Path) -> None:
        meant = f"the Oxford-IIIT Pet data, {fetched('OxfordIIITPet', root)}"
        base = existing(root, meant)
        self.root = base / "oxford-iiit-pet" if (base / "oxford-iiit-pet").is_dir() else base
        if not (self.root / "images").is_dir():
            raise FrostlineError(f"{self.root} has no folder 'images': point dataset.root at {meant}")
        self._images = picture_files(self.root / "images")
        self._annotations = self.root / "annotations"
        breeds = tuple(sorted({self._breed(path) for path in self._images} - {""}))
        if not breeds:
            raise FrostlineError(f"{self.root / 'images'} has no picture that is called <breed>_<number>.")
        self.classes = Classes(
            labels=breeds,
            boxes=breeds if any((self._annotations / "xmls").glob("*.xml")) else None,
            masks=MASKS if any((self._annotations / "trimaps").glob("*.png")) else None,
        )

    @staticmethod
    def _breed(path: Path) -> str:
        return path.stem.rpartition("_")[0]

    def _listed(self, name: str) -> set[str]:
        path = self._annotations / name
        return {line.split()[0] for _, line in read_lines(path)} if path.is_file() else set()

    def scenes(self) -> Iterator[Scene]:
        labels = {breed: number for number, breed in enumerate(self.classes.labels or ())}
        split_of = dict.fromkeys(self._listed("trainval.txt"), "train")
        split_of |= dict.fromkeys(self._listed("test.txt"), "test")
        ids = scene_ids(path.relative_to(self.root / "images") for path in self._images)
        for scene_id, path in zip(ids, self._images, strict=True):
            label = labels.get(self._breed(path))
            xml = self._annotations / "xmls" / f"{path.stem}.xml"
            trimap = self._annotations / "trimaps" / f"{path.stem}.png"
            boxes = lines = size = None
            faults = [] if label is not None else [Fault("label_unknown", path, "tells no breed in its name")]
            if xml.is_file() and label is not None:
                try:
                    found = read_voc_boxes(xml)
                    boxes, lines, size = from_one(found.corners), found.lines, found.size  # no minimum is 0, many are 1
                except ValueError as error:
                    faults = [Fault("annotation_unreadable", xml, str(error))]
            yield Scene(
                id=scene_id,
                image=path,
                label=label,
                boxes=boxes,
                box_labels=None if boxes is None else np.full(len(boxes), label, np.int64),
                mask=trimap if trimap.is_file() else None,
                mask_map=_MASK_MAP,
                split=split_of.get(path.stem),
                boxes_file=xml if xml.is_file() else None,
                box_lines=lines,
                faults=tuple(faults),
                size=size,
            )

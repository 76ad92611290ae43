"""A prepared dataset with what people corrected, as a source for preparing it anew."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frostline.annotate.boxes import Answer, Answers, Box, box_names
from frostline.scenes.scene import COUNTED, Classes, Scene
from frostline.sources.base import Source
from frostline.sources.prepared import Prepared

SAME = 0.5  # pixels by which a side may differ where nobody moved it: tools round


class Corrected(Source):
    """The scenes of a prepared dataset, in their splits; those that have an answer get its boxes, and its mask if any.

    answers: of scenes of this dataset. file: where they come from.

    The classes of boxes are those of the dataset, or where it has none its labels (or else the classes of its masks),
    and then, sorted, whatever answers bring anew. Classes of masks that are new come after the dataset's own, too.
    """

    def __init__(self, prepared: Prepared, answers: Answers, file: Path) -> None:
        self._prepared, self._answers, self._file = prepared, answers, file
        old = prepared.classes
        names = box_names(old)
        self.new = tuple(sorted({box.label for answer in answers.of.values() for box in answer.boxes} - set(names)))
        masks = old.masks
        if any(answer.mask is not None for answer in answers.of.values()):
            masks = tuple(dict.fromkeys([*(masks or ()), *(answers.masks or ())]))
        self.classes = Classes(labels=old.labels, boxes=(*names, *self.new), masks=masks)
        before = prepared.derived.get("boxes")
        brought = f"{len(answers.of)} scenes have theirs from {file.name}"
        self.derived = {**prepared.derived, "boxes": f"{before}; {brought}" if before else brought}

    def scenes(self) -> Iterator[Scene]:
        for scene in self._prepared.scenes():
            answer = self._answers.of.get(scene.id)
            yield scene if answer is None else replace(scene, **self._brought(scene, answer))

    def _brought(self, scene: Scene, answer: Answer) -> dict[str, Any]:
        """Fields of the scene that has this answer."""
        position = {name: number for number, name in enumerate(self.classes.boxes or ())}
        brought: dict[str, Any] = {
            "box_marks": np.array([self._mark(scene, box) for box in answer.boxes], np.uint8),
            "boxes": np.array([box.corners for box in answer.boxes], np.float32).reshape(-1, 4),
            "box_labels": np.array([position[box.label] for box in answer.boxes], np.int64),
            "boxes_file": self._file,
        }
        if "labels" in self.derived:  # from the boxes that were
            named = {box.label for box in answer.boxes}
            label = named.pop() if len(named) == 1 else None
            labels = self.classes.labels or ()
            brought["label"] = labels.index(label) if label in labels else None
        if answer.mask is not None:
            brought["mask"] = answer.mask
            ours = self.classes.masks or ()
            brought["mask_map"] = {value: ours.index(name) for value, name in enumerate(self._answers.masks or ())}
        return brought

    def _mark(self, scene: Scene, box: Box) -> int:
        """That of a box; where the format has none, that of the scene's own box in this place, if there is one."""
        if box.mark is not None:
            return box.mark
        if scene.boxes is None or scene.box_labels is None or scene.box_marks is None:
            return COUNTED
        same = np.abs(scene.boxes - np.array(box.corners, np.float32)).max(axis=1, initial=0) < SAME
        same &= scene.box_labels == (self.classes.boxes or ()).index(box.label)
        return int(scene.box_marks[same][0]) if same.any() else COUNTED

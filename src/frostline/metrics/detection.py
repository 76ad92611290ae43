"""How well boxes are found: average precision by COCO's rules and by those of Pascal VOC.

All take boxes x0 y0 x1 y1 in pixels of the square that the model sees, and so COCO's sizes (small: below 32 x 32,
large: from 96 x 96 pixels up) are of boxes in it. Boxes that do not count (`Scene.box_marks`) are judged by the same
rules: to find one is neither right nor wrong, to miss it neither.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from hotcoco import COCO, COCOeval
from torch import Tensor
from torchvision.ops import box_area, box_iou

from frostline.metrics.base import RowMetric
from frostline.metrics.rows import OVERLAPS
from frostline.scenes.scene import COUNTED, CROWD, DIFFICULT

# boxes (n, 4), labels (n,); of predictions scores (n,); of truths marks (n,), as in Scene, where not all count
Boxes = Mapping[str, Tensor]
Floats = npt.NDArray[np.float64]

COCO_NAMES = {
    "map": "AP",
    "map50": "AP50",
    "map75": "AP75",
    "map_small": "APs",
    "map_medium": "APm",
    "map_large": "APl",
    "mar1": "AR1",
    "mar10": "AR10",
    "mar100": "AR100",
    "mar_small": "ARs",
    "mar_medium": "ARm",
    "mar_large": "ARl",
}  # ours: hotcoco's
VOC_NAMES = ("voc_ap11", "voc_ap_area")
RECALLS = np.linspace(0, 1, 11)
BITS = (1 << np.arange(len(OVERLAPS))).astype(np.int16)
LIMIT = 100  # predictions of a scene and class that COCO looks at
BEYOND = 1e12  # square pixels: more than COCO's largest size (1e10), so that such a box is ignored at every size
MATCH = 0.5  # IoU from which on a prediction is right by VOC's rules


def coco_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> dict[str, Tensor]:
    """COCO's summary over a set of scenes (https://cocodataset.org/#detection-eval), by hotcoco.

    A crowd takes any number of predictions, by the share of each that lies in it. A difficult box, which COCO does not
    know, is one of a size that is not looked at, as others are where only small ones are: it takes one prediction.

    COCO_NAMES, scalars in double precision: `map` is the mean over classes and IoUs 0.50, 0.55 … 0.95; map50 and map75
    are at one IoU; map_small … of boxes of a size; mar1 … the highest recall with so many predictions a scene. -1: no
    such box exists.
    All but mar1 and mar10 look at the 100 best scored predictions of a scene, so where it has more objects than that,
    map cannot reach 1.
    map_by_class, map50_by_class: (classes,), -1 where a class is in no scene.
    curve: (classes, 101, 2), recall 0, 0.01 … 1 and, at IoU 0.5, the highest precision at that recall or beyond, 0
    where none reaches it; all NaN where a class is in no scene. The mean of its precisions is map50_by_class.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it gives
        evaluation = _evaluation(found, truth, classes)
        evaluation.run()
        values = evaluation.get_results()
        by_class = evaluation.results(per_class=True)["per_class"]
        # pycocotools' array: IoUs, recalls, classes, sizes (the first is all), limits (the last is the highest).
        precision = torch.from_numpy(cast(Any, evaluation.eval)["precision"][0, :, :, 0, -1].T.copy())
    summary = {name: torch.tensor(float(values[key]), dtype=torch.float64) for name, key in COCO_NAMES.items()}
    summary["map_by_class"] = torch.tensor([float(by_class.get(str(n), -1)) for n in range(classes)])
    occurs = precision.amax(1) >= 0
    summary["map50_by_class"] = torch.where(occurs, precision.mean(1), -1.0)
    recall = torch.linspace(0, 1, precision.shape[1], dtype=precision.dtype).expand_as(precision)
    summary["curve"] = torch.where(occurs[:, None, None], torch.stack([recall, precision], 2), torch.nan)
    return summary


def voc_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> dict[str, Tensor]:
    """Average precision at IoU 0.5 by the rules of Pascal VOC (Everingham et al. 2010, doi:10.1007/s11263-009-0275-4).

    As VOC's development kit has it, predictions that cover a difficult box best are passed over, however many. So are
    those that cover none, and of which at least half lies in a crowd, as in the challenge of Open Images, whose boxes
    around groups are such; VOC has none.

    voc_ap11: the mean, over recalls 0, 0.1 … 1, of the highest precision at that recall or beyond (until 2009).
    voc_ap_area: the area under that curve, at every recall (since 2010). Both are means over the classes that occur.
    voc_ap11_by_class, voc_ap_area_by_class: (classes,), -1 where a class is in no scene.
    """
    eleven, area = torch.full((classes,), -1.0), torch.full((classes,), -1.0)
    all_right, of_class = _right(found, truth)
    counted = [scene["labels"].cpu().numpy()[_marks(scene) == COUNTED] for scene in truth]
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *counted]), minlength=classes)
    for label, count in enumerate(counts):
        right = all_right[of_class == label]
        ranks = np.arange(1, len(right) + 1)
        recall, precision = right.cumsum() / max(1, count), right.cumsum() / ranks
        if count:
            best = np.maximum.accumulate(precision[::-1])[::-1]  # the highest at this recall or beyond
            # Recalls are fractions, so that 3 / 10 must reach 0.3 whatever its last bit.
            at = np.searchsorted(recall, RECALLS - 1e-12)
            eleven[label] = float(np.append(best, 0.0)[at].mean())
            area[label] = float((np.diff(recall, prepend=0.0) * best).sum())
    occurs = eleven >= 0
    return {
        "voc_ap11": eleven[occurs].mean() if occurs.any() else torch.tensor(-1.0),
        "voc_ap_area": area[occurs].mean() if occurs.any() else torch.tensor(-1.0),
        "voc_ap11_by_class": eleven,
        "voc_ap_area_by_class": area,
    }


def coco_matches(found: Boxes, truth: Boxes, classes: int) -> tuple[Tensor, Tensor]:
    """At which IoUs the predictions of one scene are right, and at which they count neither way, by COCO's rules.

    Both (n,) int16: bit k stands for an IoU of 0.5 + 0.05 k, k from 0 to 9. Boxes of any size; those beyond the LIMIT
    surest of each class count neither way. What is matched in one scene does not depend on any other.
    """
    right = np.zeros((len(found["boxes"]), len(OVERLAPS)), bool)
    ignored = ~right  # what is not looked at stays so
    if len(right):
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = _evaluation([found], [truth], classes)
            evaluation.evaluate()
        for one in evaluation.eval_imgs:
            if one is not None and one["maxDet"] == LIMIT and one["aRng"][0] == 0 and one["aRng"][1] > 1e9:
                rows = np.array(one["dtIds"], np.int64) - 1  # numbered from 1 as they were given
                ignored[rows] = np.array(one["dtIgnore"], bool).T
                right[rows] = np.array(one["dtMatched"], bool).T & ~ignored[rows]
    return tuple(torch.from_numpy(bits @ BITS) for bits in (right, ignored))  # type: ignore[return-value]


class BoxMetric(RowMetric):
    """Keeps all predictions and truths of a split; the same value for any batch size and number of ranks.

    classes: how many.
    """

    higher_is_better = True
    names: tuple[str, ...]
    columns = {
        "found_boxes": torch.zeros(0, 4, dtype=torch.float64),  # so that nothing is rounded
        "found_scores": torch.zeros(0, dtype=torch.float64),
        "found_labels": torch.zeros(0, dtype=torch.long),
        "true_boxes": torch.zeros(0, 4, dtype=torch.float64),
        "true_labels": torch.zeros(0, dtype=torch.long),
        "true_marks": torch.zeros(0, dtype=torch.uint8),
        "counts": torch.zeros(0, 3, dtype=torch.long),  # of a scene: its place in the split, boxes found, true boxes
    }

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def update(self, found: Sequence[Boxes], truth: Sequence[Boxes], places: Sequence[int] | None = None) -> None:
        """Count scenes in. places: where each stands in its split, by which equal scores are put into order."""
        if places is None:
            seen = len(self.column("counts"))
            places = range(seen, seen + len(truth))
        for one, real, place in zip(found, truth, places, strict=True):
            self.keep(
                found_boxes=one["boxes"],
                found_scores=one["scores"],
                found_labels=one["labels"],
                true_boxes=real["boxes"],
                true_labels=real["labels"],
                true_marks=torch.from_numpy(_marks(real)),
                counts=torch.tensor([[int(place), len(one["boxes"]), len(real["boxes"])]]),
            )

    def scenes(self) -> tuple[list[Boxes], list[Boxes]]:
        """All predictions and truths, in the order of the split."""
        places, of_found, of_true = self.column("counts").cpu().unbind(1)
        order = places.argsort(stable=True).tolist()

        def split(kind: str, keys: Sequence[str], counts: list[int]) -> list[Boxes]:
            parts = [self.column(f"{kind}_{key}").cpu().split(counts) for key in keys]
            return [{key: part[n] for key, part in zip(keys, parts, strict=True)} for n in order]

        found = split("found", ("boxes", "scores", "labels"), of_found.tolist())
        return found, split("true", ("boxes", "labels", "marks"), of_true.tolist())


class CocoAveragePrecision(BoxMetric):
    """`coco_average_precision` over a split."""

    names = tuple(COCO_NAMES)

    def compute(self) -> dict[str, Tensor]:
        return coco_average_precision(*self.scenes(), self.classes)


class VocAveragePrecision(BoxMetric):
    """`voc_average_precision` over a split."""

    names = VOC_NAMES

    def compute(self) -> dict[str, Tensor]:
        return voc_average_precision(*self.scenes(), self.classes)


class Matched(NamedTuple):
    """Of one scene: which predictions are right and which wrong, (n,) bool, and which boxes were found and which
    missed, (m,). Boxes that do not count, and predictions of them, are neither.
    """

    right: Tensor
    wrong: Tensor
    seen: Tensor
    missed: Tensor


def matched(found: Boxes, truth: Boxes) -> Matched:
    """Predictions of one scene against its boxes, at IoU 0.5.

    COCO's rule: in the order of their scores, each takes the box of its class, of those still free, that it covers
    best; where there is none that counts, one that does not.
    """
    marks = torch.from_numpy(_marks(truth)).to(truth["boxes"].device)
    counted = marks == COUNTED
    right = torch.zeros(len(found["boxes"]), dtype=torch.bool)
    seen = torch.zeros(len(marks), dtype=torch.bool)
    passed = right.clone()
    if len(right) and len(seen):
        shares = _shares(found, truth)
        for n in found["scores"].argsort(descending=True, stable=True).tolist():
            for those in (counted, ~counted):
                best, which = shares[n].where(those, 0).max(0)
                if best >= MATCH:
                    if marks[which] != CROWD:
                        shares[:, which] = 0
                    (right if counted[which] else passed)[n] = True
                    seen[which] = bool(counted[which])
                    break
    return Matched(right, ~right & ~passed, seen, counted.cpu() & ~seen)


def _right(found: Sequence[Boxes], truth: Sequence[Boxes]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Which predictions are right, the surest of all scenes first: 1 or 0 each; and of which class each is.

    A prediction is held against the true box of its class that it covers best. Only the first one to reach it is right.
    Those of boxes that do not count are left out.
    """
    reached, before = [np.zeros(0, np.int64)], 0  # which true box, counted over all scenes; or one of these
    none, passed = -1, -2
    for one, real in zip(found, truth, strict=True):
        reaches = np.full(len(one["boxes"]), none)
        if len(one["boxes"]) and len(real["boxes"]):
            shares, marks = _shares(one, real).cpu().numpy(), _marks(real)
            single = np.where(marks == CROWD, 0, shares)
            best = single.argmax(1)
            reaches = np.where(single.max(1) >= MATCH, before + best, none)
            reaches[(reaches != none) & (marks[best] == DIFFICULT)] = passed
            reaches[(reaches == none) & (shares >= MATCH).any(1)] = passed  # in a crowd
        reached.append(reaches)
        before += len(real["boxes"])
    surest = np.argsort(-_joined(found, "scores", 0), kind="stable")
    boxes = np.concatenate(reached)[surest]
    right = np.zeros(len(boxes))
    right[np.unique(boxes, return_index=True)[1]] = 1
    right[boxes < 0] = 0
    judged = boxes != passed
    return right[judged], _joined(found, "labels", 0).astype(np.int64)[surest][judged]


def _shares(found: Boxes, truth: Boxes) -> Tensor:
    """(n, m): the IoU of each prediction with each true box, of a crowd the share of the prediction that lies in it; 0
    where they are of two classes."""
    boxes, real = found["boxes"].double(), truth["boxes"].double()
    shares: Tensor = box_iou(boxes, real)
    crowds = torch.from_numpy(_marks(truth) == CROWD).to(real.device)
    if crowds.any():
        sides = torch.minimum(boxes[:, None, 2:], real[crowds, 2:]) - torch.maximum(
            boxes[:, None, :2], real[crowds, :2]
        )
        shares[:, crowds] = sides.clamp(min=0).prod(2) / box_area(boxes)[:, None]
    shares[found["labels"][:, None] != truth["labels"]] = 0
    return shares


def _marks(truth: Boxes) -> npt.NDArray[np.uint8]:
    return truth["marks"].cpu().numpy() if "marks" in truth else np.full(len(truth["boxes"]), COUNTED, np.uint8)


def _evaluation(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> COCOeval:
    images = [{"id": n + 1, "width": 1, "height": 1} for n in range(len(truth))]
    categories = [{"id": n + 1, "name": str(n)} for n in range(classes)]
    columns = _columns(truth)
    marks = np.concatenate([_marks(scene) for scene in truth]) if truth else np.zeros(0, np.uint8)
    area = np.where(marks == DIFFICULT, BEYOND, columns["boxes"][:, 2:].prod(1))
    real = COCO.from_arrays(images, categories, **columns, area=area, iscrowd=marks == CROWD)
    rows = _columns(found)
    scored = np.column_stack([rows["image_ids"], rows["boxes"], _joined(found, "scores", 0), rows["category_ids"]])
    return COCOeval(real, real.load_res(scored), "bbox")


def _columns(scenes: Sequence[Boxes]) -> dict[str, Any]:
    counts = [len(scene["boxes"]) for scene in scenes]
    boxes = _joined(scenes, "boxes", 4)
    return {
        "image_ids": np.repeat(np.arange(1, len(scenes) + 1), counts),
        "category_ids": _joined(scenes, "labels", 0).astype(np.int64) + 1,
        "boxes": np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
    }


def _joined(scenes: Sequence[Boxes], key: str, width: int) -> Floats:
    if not scenes:
        return np.zeros((0, width) if width else 0)
    return torch.cat([scene[key] for scene in scenes]).double().cpu().numpy()

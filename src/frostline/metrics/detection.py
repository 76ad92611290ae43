"""How well boxes are found: average precision by COCO's rules and by those of Pascal VOC.

All take boxes x0 y0 x1 y1 in pixels of the square that the model sees, and so COCO's sizes (small: below 32 x 32,
large: from 96 x 96 pixels up) are of boxes in it.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from hotcoco import COCO, COCOeval
from torch import Tensor
from torchvision.ops import box_iou

from frostline.metrics.base import RowMetric
from frostline.metrics.rows import OVERLAPS

Boxes = Mapping[str, Tensor]  # boxes (n, 4), labels (n,), and of predictions scores (n,)
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
MATCH = 0.5  # IoU from which on a prediction is right by VOC's rules


def coco_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> dict[str, Tensor]:
    """COCO's summary over a set of scenes (https://cocodataset.org/#detection-eval), by hotcoco.

    Boxes of crowds, which COCO counts neither as right nor as wrong, are left out of scenes: to find one is wrong here.

    COCO_NAMES, scalars: `map` is the mean over classes and IoUs 0.50, 0.55 … 0.95; map50 and map75 are at one IoU;
    map_small … of boxes of a size; mar1 … the highest recall with so many predictions a scene. -1: no such box exists.
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
    summary = {name: torch.tensor(float(values[key])) for name, key in COCO_NAMES.items()}
    summary["map_by_class"] = torch.tensor([float(by_class.get(str(n), -1)) for n in range(classes)])
    occurs = precision.amax(1) >= 0
    summary["map50_by_class"] = torch.where(occurs, precision.mean(1), -1.0)
    recall = torch.linspace(0, 1, precision.shape[1], dtype=precision.dtype).expand_as(precision)
    summary["curve"] = torch.where(occurs[:, None, None], torch.stack([recall, precision], 2), torch.nan)
    return summary


def voc_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> dict[str, Tensor]:
    """Average precision at IoU 0.5 by the rules of Pascal VOC (Everingham et al. 2010, doi:10.1007/s11263-009-0275-4).

    But boxes marked difficult are as others, or none (conf/dataset/voc.yaml), where the paper counts them neither way.

    voc_ap11: the mean, over recalls 0, 0.1 … 1, of the highest precision at that recall or beyond (until 2009).
    voc_ap_area: the area under that curve, at every recall (since 2010). Both are means over the classes that occur.
    voc_ap11_by_class, voc_ap_area_by_class: (classes,), -1 where a class is in no scene.
    """
    eleven, area = torch.full((classes,), -1.0), torch.full((classes,), -1.0)
    all_right, of_class = _right(found, truth)
    counts = np.bincount(_joined(truth, "labels", 0).astype(np.int64), minlength=classes)
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

    Both (n,) int16: bit k stands for an IoU of 0.5 + 0.05 k, k from 0 to 9. Boxes of any size, the LIMIT surest of each
    class. What is matched in one scene does not depend on any other.
    """
    right, ignored = np.zeros((2, len(found["boxes"]), len(OVERLAPS)), bool)
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
        return found, split("true", ("boxes", "labels"), of_true.tolist())


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


def matched(found: Boxes, truth: Boxes) -> tuple[Tensor, Tensor]:
    """Which predictions of one scene are right, (n,), and which of its boxes were found, (m,), at IoU 0.5.

    COCO's rule: in the order of their scores, each takes the box of its class, of those still free, that it covers
    best.
    """
    right = torch.zeros(len(found["boxes"]), dtype=torch.bool)
    seen = torch.zeros(len(truth["boxes"]), dtype=torch.bool)
    if len(right) and len(seen):
        iou = box_iou(found["boxes"].double(), truth["boxes"].double())
        iou[found["labels"][:, None] != truth["labels"]] = 0
        for n in found["scores"].argsort(descending=True, stable=True).tolist():
            best, which = iou[n].max(0)
            if best >= MATCH:
                right[n] = seen[which] = True
                iou[:, which] = 0
    return right, seen


def _right(found: Sequence[Boxes], truth: Sequence[Boxes]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Which predictions are right, the surest of all scenes first: 1 or 0 each; and of which class each is.

    A prediction is held against the true box of its class that it covers best. Only the first one to reach it is right.
    """
    reached, before = [np.zeros(0, np.int64)], 0  # which true box, counted over all scenes; -1: none
    for one, real in zip(found, truth, strict=True):
        reaches = np.full(len(one["boxes"]), -1)
        if len(one["boxes"]) and len(real["boxes"]):
            iou = box_iou(one["boxes"].double(), real["boxes"].double()).cpu().numpy()
            iou[(one["labels"][:, None] != real["labels"]).cpu().numpy()] = -1
            reaches = np.where(iou.max(1) >= MATCH, before + iou.argmax(1), -1)
        reached.append(reaches)
        before += len(real["boxes"])
    surest = np.argsort(-_joined(found, "scores", 0), kind="stable")
    boxes = np.concatenate(reached)[surest]
    right = np.zeros(len(boxes))
    right[np.unique(boxes, return_index=True)[1]] = 1
    right[boxes < 0] = 0
    return right, _joined(found, "labels", 0).astype(np.int64)[surest]


def _evaluation(found: Sequence[Boxes], truth: Sequence[Boxes], classes: int) -> COCOeval:
    images = [{"id": n + 1, "width": 1, "height": 1} for n in range(len(truth))]
    categories = [{"id": n + 1, "name": str(n)} for n in range(classes)]
    real = COCO.from_arrays(images, categories, **_columns(truth))
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

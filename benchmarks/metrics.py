"""Average precision over a large set: our metric's `compute` against pycocotools, on the same boxes."""

import contextlib
import io
import time
from collections.abc import Callable

import numpy as np

from benchmarks.row import Row

SCENES, BOXES, CLASSES = 5000, 100, 80


def map_compute() -> list[Row]:
    """CPU seconds of each, from boxes in memory to the twelve figures of COCO; and how far these differ."""
    import torch
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from frostline.metrics.detection import COCO_NAMES, CocoAveragePrecision

    draw = np.random.default_rng(0)
    corner, side = draw.uniform(0, 500, (SCENES, BOXES, 2)), np.exp(draw.uniform(2, 5, (SCENES, BOXES, 2)))
    real = np.concatenate([corner, corner + side], 2)
    found = real + draw.normal(0, 4, real.shape)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2] + 1)
    labels, scores = draw.integers(0, CLASSES, (SCENES, BOXES)), draw.random((SCENES, BOXES))
    guessed = np.where(draw.random(labels.shape) < 0.1, draw.integers(0, CLASSES, labels.shape), labels)

    metric = CocoAveragePrecision(CLASSES)
    metric.update(
        [
            {"boxes": torch.from_numpy(b), "scores": torch.from_numpy(s), "labels": torch.from_numpy(n)}
            for b, s, n in zip(found, scores, guessed, strict=True)
        ],
        [{"boxes": torch.from_numpy(b), "labels": torch.from_numpy(n)} for b, n in zip(real, labels, strict=True)],
    )
    start = time.process_time()
    values = metric.compute()
    ours = time.process_time() - start

    def rows(boxes: np.ndarray, kinds: np.ndarray) -> list[dict[str, object]]:
        corners = np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], 2).tolist()
        return [
            {"image_id": n + 1, "category_id": kind + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, (some, labelled) in enumerate(zip(corners, kinds.tolist(), strict=True))
            for box, kind in zip(some, labelled, strict=True)
        ]

    truth = [row | {"id": n + 1} for n, row in enumerate(rows(real, labels))]
    guesses = [row | {"score": s} for row, s in zip(rows(found, guessed), scores.ravel().tolist(), strict=True)]
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": n + 1} for n in range(SCENES)],
            "categories": [{"id": n + 1} for n in range(CLASSES)],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(guesses), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    other = time.process_time() - start
    apart = max(abs(float(values[name]) - value) for name, value in zip(COCO_NAMES, evaluation.stats, strict=True))
    what = f"COCO's figures of {SCENES} scenes with {BOXES} boxes and {CLASSES} classes, times faster than pycocotools"
    return [
        Row("map_compute", what, other / ours, ">= 30", f"{ours:.2f} s of CPU", f"{other:.1f} s of CPU"),
        Row("map_difference", "the furthest that one of the twelve figures differs", apart, "<= 1e-06", f"{apart:.1g}"),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {"map_compute": map_compute}

"""What measuring costs: average precision of many boxes, and counting very many classes, beside others' ways."""

import contextlib
import io
import time
from collections.abc import Callable

import numpy as np

from benchmarks.row import Row

SCENES, BOXES, CLASSES = 5000, 100, 80


def resampled_map() -> list[Row]:
    """CPU seconds of one resample of 1,000 pictures with 20 boxes each, and how far the figure is from the evaluator's.

    The evaluator gets the drawn pictures written out.
    """
    import pyarrow as pa
    import torch

    from frostline.metrics.detection import _evaluation, coco_matches
    from frostline.metrics.resampled import set_metric

    scenes, boxes, classes, resamples, anew = 1000, 20, 3, 1000, 5
    draw = np.random.default_rng(0)
    corner, side = draw.uniform(0, 200, (scenes, boxes, 2)), draw.uniform(10, 60, (scenes, boxes, 2))
    real = np.concatenate([corner, corner + side], 2)
    found = np.concatenate([real + draw.normal(0, 2, real.shape), real[:, ::2] + 12], 1)
    labels, scores = draw.integers(0, classes, (scenes, boxes)), -np.sort(-draw.random(found.shape[:2]))
    guessed = np.concatenate([labels, draw.integers(0, classes, labels[:, ::2].shape)], 1)
    order = draw.permuted(np.tile(np.arange(found.shape[1]), (scenes, 1)), axis=1)
    found, guessed = np.take_along_axis(found, order[..., None], 1), np.take_along_axis(guessed, order, 1)
    predictions = [
        {"boxes": b, "scores": s, "labels": n}
        for b, s, n in zip(*map(torch.from_numpy, (found, scores, guessed)), strict=True)
    ]
    truths = [{"boxes": b, "labels": n} for b, n in zip(*map(torch.from_numpy, (real, labels)), strict=True)]
    matches = [coco_matches(one, truth, classes) for one, truth in zip(predictions, truths, strict=True)]
    columns = {"scores": scores, "classes": guessed, "objects": labels}
    columns |= {name: [one[n].numpy() for one in matches] for n, name in enumerate(("right", "ignored"))}
    metric = set_metric(pa.table({name: pa.array(list(map(list, values))) for name, values in columns.items()}))
    counts = draw.multinomial(scenes, [1 / scenes] * scenes, resamples)
    start = time.process_time()
    values = metric(counts)
    ours = (time.process_time() - start) / resamples
    others, apart = [], 0.0
    for row, value in zip(counts[:anew], values, strict=False):
        drawn = np.repeat(np.arange(scenes), row)
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = _evaluation([predictions[n] for n in drawn], [truths[n] for n in drawn], classes)
            evaluation.run()
        others.append(time.process_time() - start)
        apart = max(apart, abs(float(value) - evaluation.stats[0]))
    other = float(np.median(others))
    figures = [f"{1000 * seconds:.3g} ms" for seconds in (ours, other)]
    what = "mAP of a resample of 1,000 pictures with 20 boxes: CPU time of the evaluator called anew, of ours"
    return [
        Row("resampled_map", what, other / ours, ">= 50", *figures),
        Row("resampled_map_apart", "the same: how far its figure is from theirs", apart, "<= 1e-9", f"{apart:.1e}"),
    ]


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


def class_counting() -> list[Row]:
    """CPU seconds of counting one batch beside those of a step of training on it; and torchmetrics' own counting.

    torchmetrics' runs where torch need not be deterministic: where it must, as in a run, it asks for 100 GB.
    """
    import torch
    from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

    from frostline.config import compose
    from frostline.loading.batch import made_up
    from frostline.runs.build import build_task

    classes, scenes, side = 10_000, 128, 32
    torch.set_num_threads(1)
    config = compose(["backbone=small_cnn", "schedule=full", f"image_size={side}"])
    task = build_task(config, [str(n) for n in range(classes)])
    task.model.move_line(0)
    batch = made_up(scenes, side, classes)
    optimizer = torch.optim.AdamW(task.parameters())

    def step() -> None:
        optimizer.zero_grad()
        torch.stack(list(task.losses(task.answers(batch), batch).values())).sum().backward()
        optimizer.step()

    with torch.no_grad():
        predictions = task.predict(task(batch["image"]), batch | {"picture_size": [(side, side)] * scenes})
    metrics, labels = task.make_metrics(), batch["label"]
    found = torch.stack([one.probabilities for one in predictions])
    others = [
        MulticlassAccuracy(classes, average="micro"),
        MulticlassF1Score(classes, average="macro"),
        MulticlassConfusionMatrix(classes),
    ]
    training = _seconds(step, 20)
    ours = _seconds(lambda: task.update(metrics, predictions, batch), 20)
    other = _seconds(lambda: [metric.update(found, labels) for metric in others], 1)
    what = f"a batch of {scenes} of {classes:,} classes counted, in steps of training (small_cnn, {side} px)"
    told = f"{1000 * ours:.1f} ms beside a step of {1000 * training:.0f} ms"
    return [Row("class_counting", what, ours / training, "<= 0.05", told, f"{1000 * other:.0f} ms by torchmetrics")]


def _seconds(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one, after one to warm up: the least of three rounds."""
    work()
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - start) / times)
    return min(rounds)


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "map_compute": map_compute,
    "resampled_map": resampled_map,
    "class_counting": class_counting,
}

"""Average precision against pycocotools and against plain loops, on random and degenerate scenes."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from frostline.metrics.detection import (
    COCO_NAMES,
    CocoAveragePrecision,
    VocAveragePrecision,
    coco_average_precision,
    matched,
    voc_average_precision,
)
from frostline.scenes.scene import COUNTED, CROWD, DIFFICULT

CLASSES = 4


def scene(boxes=(), labels=(), scores=None, marks=None):
    made = {
        "boxes": torch.tensor(np.array(boxes, float).reshape(-1, 4)),
        "labels": torch.tensor(labels, dtype=torch.long),
    }
    made |= {} if scores is None else {"scores": torch.tensor(scores, dtype=torch.float64)}
    return made if marks is None else made | {"marks": torch.tensor(marks, dtype=torch.uint8)}


def random_scenes(seed, scenes=25, most=9, classes=CLASSES, ties=False, marked=0.0):
    """Boxes of every size, found askew, with doubles, inventions, wrong classes; some scenes without any.

    marked: the share of them that do not count: half are crowds, half difficult.
    """
    draw = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(scenes):
        n = int(draw.integers(0, most))
        corner, side = draw.uniform(0, 200, (n, 2)), np.exp(draw.uniform(2, 5.3, (n, 2)))
        boxes, labels = np.hstack([corner, corner + side]), draw.integers(0, classes, n)
        marks = np.where(draw.random(n) < marked, draw.integers(CROWD, DIFFICULT + 1, n), COUNTED) if marked else None
        truth.append(scene(boxes, labels, marks=marks))
        seen = draw.integers(0, n, int(draw.integers(0, 2 * n))) if n else np.zeros(0, int)
        guesses = boxes[seen] + draw.normal(0, 6, (len(seen), 4))
        guesses[:, 2:] = np.maximum(guesses[:, 2:], guesses[:, :2] + 1)
        wrong = draw.random(len(seen)) < 0.2
        guessed = np.where(wrong, draw.integers(0, classes, len(seen)), labels[seen])
        extra = np.hstack([a := draw.uniform(0, 200, (2, 2)), a + 30])
        scores = draw.random(len(seen) + 2)
        scores = np.round(scores, 1) if ties else scores
        found.append(scene(np.vstack([guesses, extra]), [*guessed, *draw.integers(0, classes, 2)], scores))
    return found, truth


def by_pycocotools(found, truth):
    def rows(scenes):
        for n, one in enumerate(scenes):
            for k, ((x0, y0, x1, y1), label) in enumerate(
                zip(one["boxes"].tolist(), one["labels"].tolist(), strict=True)
            ):
                box = [x0, y0, x1 - x0, y1 - y0]
                score = {"score": float(one["scores"][k])} if "scores" in one else {}
                mark = int(one["marks"][k]) if "marks" in one else COUNTED
                yield {
                    "image_id": n + 1,
                    "category_id": label + 1,
                    "bbox": box,
                    # pycocotools ignores what is of no size that it looks at, and knows no other ignored boxes.
                    "area": 1e15 if mark == DIFFICULT else box[2] * box[3],
                    "iscrowd": int(mark == CROWD),
                } | score

    with contextlib.redirect_stdout(io.StringIO()):
        real = COCO()
        real.dataset = {
            "images": [{"id": n + 1} for n in range(len(truth))],
            "categories": [{"id": n + 1} for n in range(CLASSES)],
            "annotations": [row | {"id": n + 1} for n, row in enumerate(rows(truth))],
        }
        real.createIndex()
        results = list(rows(found))
        if results:
            guesses = real.loadRes(results)
        else:
            guesses = COCO()
            guesses.dataset = real.dataset | {"annotations": []}
            guesses.createIndex()
        evaluation = COCOeval(real, guesses, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    at50 = precision[0].T  # (classes, recalls)
    by_class = [p[p > -1].mean() if (p := precision[:, :, c]).max() > -1 else -1 for c in range(CLASSES)]
    return dict(zip(COCO_NAMES, evaluation.stats, strict=True)), by_class, at50


SETS = {
    "random": random_scenes(0),
    "another": random_scenes(1, most=20),
    "ties": random_scenes(2, ties=True),
    "one class": random_scenes(3, classes=1),
    "marked": random_scenes(4, scenes=120, most=12, marked=0.3),
    "marked, of one class": random_scenes(5, scenes=60, most=20, classes=1, marked=0.5),
    "marked, with ties": random_scenes(6, most=16, ties=True, marked=0.5),
    "none counts": random_scenes(7, marked=1.0),
    "nothing found": ([scene([], [], [])] * 2, [scene([[0, 0, 9, 9]], [1])] * 2),
    "nothing there": ([scene([[0, 0, 9, 9]], [1], [0.5])] * 2, [scene()] * 2),
    "nothing at all": ([scene([], [], [])], [scene()]),
    "perfect": ([scene([[0, 0, 40, 40]], [2], [0.9])], [scene([[0, 0, 40, 40]], [2])]),
}


@pytest.mark.parametrize("name", SETS)
def test_coco_is_what_pycocotools_gives(name):
    found, truth = SETS[name]
    ours = coco_average_precision(found, truth, CLASSES)
    theirs, by_class, at50 = by_pycocotools(found, truth)
    assert {key: float(ours[key]) for key in COCO_NAMES} == pytest.approx(theirs, abs=1e-9)
    assert ours["map_by_class"].tolist() == pytest.approx(by_class, abs=1e-6)
    # Catches another IoU, size or limit of pycocotools' array, and classes in place of recalls.
    absent = at50.max(1) < 0
    assert ours["curve"][:, :, 1].isnan().all(1).tolist() == absent.tolist()
    recalls = np.linspace(0, 1, 101)
    for curve, precision, area in zip(
        ours["curve"][~absent], at50[~absent], ours["map50_by_class"][~absent], strict=True
    ):
        assert curve[:, 0].tolist() == pytest.approx(recalls) and curve[:, 1].tolist() == pytest.approx(precision)
        assert float(area) == pytest.approx(precision.mean())
    assert (ours["map50_by_class"][absent] == -1).all()


def marks_of(real):
    return real["marks"].tolist() if "marks" in real else [COUNTED] * len(real["labels"])


def voc_by_loops(found, truth):
    """As the development kit of VOC does it, prediction by prediction, class by class: by class, by either rule."""
    elevens, areas = [-1.0] * CLASSES, [-1.0] * CLASSES
    for label in range(CLASSES):
        rows, total = [], 0
        for n, (one, real) in enumerate(zip(found, truth, strict=True)):
            pairs = zip(real["labels"].tolist(), marks_of(real), strict=True)
            total += sum(x == label and mark == COUNTED for x, mark in pairs)
            rows += [
                (score, n, box)
                for box, x, score in zip(
                    one["boxes"].tolist(), one["labels"].tolist(), one["scores"].tolist(), strict=True
                )
                if x == label
            ]
        if not total:
            continue
        rows.sort(key=lambda row: -row[0])
        taken, right, rank, curve = set(), 0, 0, []
        for _, n, box in rows:
            best, which, crowded = 0.0, None, False
            marks = marks_of(truth[n])
            for k, (real, x) in enumerate(zip(truth[n]["boxes"].tolist(), truth[n]["labels"].tolist(), strict=True)):
                if x != label:
                    continue
                w = min(box[2], real[2]) - max(box[0], real[0])
                h = min(box[3], real[3]) - max(box[1], real[1])
                shared = max(w, 0) * max(h, 0)
                if marks[k] == CROWD:
                    crowded = crowded or shared / ((box[2] - box[0]) * (box[3] - box[1])) >= 0.5
                    continue
                both = (box[2] - box[0]) * (box[3] - box[1]) + (real[2] - real[0]) * (real[3] - real[1]) - shared
                if shared / both > best:
                    best, which = shared / both, (n, k)
            if best >= 0.5 and marks[which[1]] == DIFFICULT:
                continue  # VOCevaldet: if ~gt(i).diff(jmax) ... else neither a true nor a false positive
            if best < 0.5 and crowded:
                continue
            rank += 1
            if best >= 0.5 and which not in taken:
                taken.add(which)
                right += 1
            curve.append((right, right / rank))
        elevens[label] = sum(max((p for r, p in curve if 10 * r >= t * total), default=0) for t in range(11)) / 11
        area, before = 0.0, 0
        for k, (r, _) in enumerate(curve):
            area += (r - before) / total * max(p for _, p in curve[k:])
            before = r
        areas[label] = area
    return {"voc_ap11": elevens, "voc_ap_area": areas}


@pytest.mark.parametrize("name", SETS)
def test_voc_is_what_a_plain_loop_gives(name):
    found, truth = SETS[name]
    ours = voc_average_precision(found, truth, CLASSES)
    for key, by_class in voc_by_loops(found, truth).items():
        there = [value for value in by_class if value >= 0]
        mean = sum(there) / len(there) if there else -1
        assert float(ours[key]) == pytest.approx(mean, abs=1e-6)
        assert ours[f"{key}_by_class"].tolist() == pytest.approx(by_class, abs=1e-6)


def test_eleven_points_take_the_highest_precision_beyond_each_recall():
    # Three of four boxes found, after a false alarm: recalls 1/4, 2/4, 3/4 at precisions 1/2, 2/3, 3/4.
    boxes = [[20.0 * n, 0, 20 * n + 10, 10] for n in range(5)]
    truth = [scene(boxes[1:], [0] * 4)]
    found = [scene(boxes[:4], [0] * 4, [0.9, 0.8, 0.7, 0.6])]
    values = voc_average_precision(found, truth, 1)
    assert float(values["voc_ap11"]) == pytest.approx(8 * 0.75 / 11)  # recalls 0 to 0.7
    assert float(values["voc_ap_area"]) == pytest.approx(0.75 * 0.75)


@pytest.mark.parametrize("metric", [CocoAveragePrecision, VocAveragePrecision])
@pytest.mark.parametrize("name", ["ties", "marked, with ties"])
def test_batches_and_their_order_change_nothing(metric, name):
    # With ties: what stands first in the split wins, however it comes in.
    found, truth = SETS[name]
    whole, parts = metric(CLASSES), metric(CLASSES)
    whole.update(found, truth)
    places = torch.randperm(len(found), generator=torch.Generator().manual_seed(0)).tolist()
    for start in range(0, len(places), 4):
        chosen = places[start : start + 4]
        parts.update([found[n] for n in chosen], [truth[n] for n in chosen], chosen)
    one, other = whole.compute(), parts.compute()
    assert one.keys() == other.keys() and all(torch.equal(one[k].nan_to_num(), other[k].nan_to_num()) for k in one)
    by = coco_average_precision if metric is CocoAveragePrecision else voc_average_precision
    assert float(one[metric.names[0]]) == float(by(found, truth, CLASSES)[metric.names[0]])  # marks are kept, too
    parts.reset()
    assert float(parts.compute()[metric.names[0]]) == -1  # nothing is left of it


@pytest.mark.parametrize("metric", [CocoAveragePrecision, VocAveragePrecision])
def test_scores_that_differ_by_little_are_told_apart(metric):
    # Catches predictions that are kept in 32 bits: then the wrong one, which comes first, would stay first.
    counted = metric(1)
    boxes = [[50.0, 50, 60, 60], [0, 0, 10, 10]]
    counted.update([scene(boxes, [0, 0], [0.5, 0.5 + 1e-12])], [scene(boxes[1:], [0])])
    assert float(counted.compute()[metric.names[1]]) == pytest.approx(1)


def test_what_does_not_count_is_neither_right_nor_wrong_found_nor_missed():
    crowd, hard, plain = [0, 0, 100, 100], [120, 0, 150, 30], [200, 0, 230, 30]
    truth = scene([crowd, hard, plain, [300, 0, 330, 30]], [0] * 4, marks=[CROWD, DIFFICULT, COUNTED, DIFFICULT])
    boxes = [[10, 10, 30, 30], [50, 50, 90, 90], hard, hard, plain, plain, [90, 90, 130, 130]]
    found = scene(boxes, [0] * 7, np.linspace(0.9, 0.3, 7))
    right, wrong, seen, missed = (part.tolist() for part in matched(found, truth))
    # Any number lies in a crowd; a difficult box takes one, as by COCO's rule; the last lies in the crowd by a 16th.
    assert right == [False, False, False, False, True, False, False]
    assert wrong == [False, False, False, True, False, True, True]
    assert seen == [False, False, True, False] and not any(missed)
    # Of another class, it excuses nothing.
    _, wrong, _, _ = matched(found | {"labels": torch.ones(7, dtype=torch.long)}, truth)
    assert wrong.all()


def test_a_box_that_counts_is_taken_before_one_that_does_not():
    # The crowd covers all of the prediction, the object 0.64 of it: it is right nevertheless.
    truth = scene([[0, 0, 50, 50], [0, 0, 8, 8]], [0, 0], marks=[CROWD, COUNTED])
    found = scene([[0, 0, 10, 10]], [0], [0.9])
    assert matched(found, truth).right.tolist() == [True]
    assert float(coco_average_precision([found], [truth], 1)["map50"]) == pytest.approx(1)
    assert float(voc_average_precision([found], [truth], 1)["voc_ap_area"]) == 1

"""Set metrics of resamples of a split's scenes, against the metrics themselves over the scenes written out."""

import contextlib
import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
import torch

from frostline.metrics.detection import BITS, _evaluation, coco_matches
from frostline.metrics.resampled import RECALLS, set_metric
from frostline.metrics.segmentation import pixel_confusion, pixel_scores

SCENES, CLASSES = 30, 4


def scenes():
    draw = np.random.default_rng(0)
    made = []
    for n in range(SCENES):
        corner, side = draw.uniform(0, 200, (8, 2)), draw.uniform(10, 80, (8, 2))
        boxes, labels = np.concatenate([corner, corner + side], 1), draw.integers(0, CLASSES - 1, 8)
        boxes, labels = boxes[: n % 9], labels[: n % 9]  # none in some scenes, and one class in none at all
        near = np.concatenate([boxes + draw.normal(0, 1.5, boxes.shape), boxes[::2] + 3])
        others = np.concatenate([labels, draw.integers(0, CLASSES, len(labels[::2]))])
        found = {"boxes": near, "labels": others, "scores": draw.random(len(near))}
        found = {key: torch.as_tensor(value[np.argsort(-found["scores"])]) for key, value in found.items()}
        made.append((found, {"boxes": torch.as_tensor(boxes), "labels": torch.as_tensor(labels)}))
    return made


def rows_of(made):
    lists = {"scores": pa.float64(), "classes": pa.int32(), "right": pa.int16(), "ignored": pa.int16()}
    columns = {name: [] for name in (*lists, "objects")}
    for found, truth in made:
        right, ignored = coco_matches(found, truth, CLASSES)
        told = (found["scores"], found["labels"], right, ignored, truth["labels"])
        for name, values in zip(columns, told, strict=True):
            columns[name].append(values.tolist())
    lists["objects"] = pa.int32()
    return pa.table({name: pa.array(values, pa.list_(lists[name])) for name, values in columns.items()})


def evaluated(found, truth):
    """`map` by the evaluator, in double precision."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluation(found, truth, CLASSES)
        evaluation.run()
    return evaluation.stats[0]


def test_average_precision_of_a_resample_is_that_of_its_scenes_written_out():
    # Catches scenes that count once however often they are drawn, classes that a resample lacks, and recalls compared
    # otherwise than pycocotools does.
    made = scenes()
    metric = set_metric(rows_of(made))
    draw = np.random.default_rng(1)
    counts = np.vstack([np.ones(SCENES, int), draw.multinomial(SCENES, [1 / SCENES] * SCENES, 12)])
    counts = np.vstack([counts, np.eye(SCENES, dtype=int)[[8, 17, 1]]])  # single scenes lack classes
    values = metric(counts)
    for row, value in zip(counts, values, strict=True):
        drawn = np.repeat(np.arange(SCENES), row)
        anew = evaluated([made[n][0] for n in drawn], [made[n][1] for n in drawn])
        assert value == pytest.approx(anew, abs=1e-9)
    assert 0.2 < values[0] < 0.9 and len(set(values)) > 10
    assert np.isnan(metric(np.eye(SCENES, dtype=int)[:1]))  # nothing to be found


def test_what_is_ignored_counts_neither_way():
    # Catches ignored predictions that count as wrong, and such as are left out at every IoU.
    made = scenes()
    rows = rows_of(made)
    ones = np.ones((1, SCENES), int)
    wrong = rows.set_column(2, "right", pa.array([[0] * len(one) for one in rows["right"]], pa.list_(pa.int16())))
    assert set_metric(wrong)(ones) == [0]
    right = np.array([value for one in rows["right"].to_pylist() for value in one])
    neither = pa.ListArray.from_arrays(rows["right"].combine_chunks().offsets, pa.array(BITS.sum() - right, pa.int16()))
    kept = set_metric(rows.set_column(3, "ignored", neither))(ones)
    without = []  # of each class and IoU, the share of its objects that is found: precision is 1 up to there
    labels = np.array([value for one in rows["classes"].to_pylist() for value in one])
    objects = np.array([value for one in rows["objects"].to_pylist() for value in one])
    for bit in range(10):
        for label in range(CLASSES - 1):
            recall = (right[labels == label] >> bit & 1).sum() / (objects == label).sum()
            without.append((recall >= RECALLS).mean())
    assert kept == pytest.approx([np.mean(without)], abs=1e-12)


def test_predictions_beyond_the_limit_count_neither_way():
    # Catches those that COCO does not look at, counted as wrong.
    corner = torch.arange(150.0, dtype=torch.float64)[:, None] * torch.tensor([60.0, 0.0], dtype=torch.float64)
    boxes, scores = torch.cat([corner, corner + 50], 1), torch.linspace(0.9, 0.4, 150, dtype=torch.float64)
    zeros, some = torch.zeros(150, dtype=torch.long), torch.arange(0, 90, 3)
    many = ({"boxes": boxes, "labels": zeros, "scores": scores}, {"boxes": boxes[some], "labels": zeros[some]})
    # The surest there comes after all that is looked at here, and before all that is not.
    late = {"boxes": boxes[:3], "labels": zeros[:3], "scores": torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)}
    made = [many, (late, {"boxes": boxes[:3], "labels": zeros[:3]})]
    _, ignored = coco_matches(*many, CLASSES)
    assert (ignored[100:] == BITS.sum()).all() and not ignored[:100].any()
    anew = evaluated(*([one[k] for one in made] for k in (0, 1)))
    assert set_metric(rows_of(made))(np.ones((1, 2), int)) == pytest.approx([anew], abs=1e-9)


def test_resamples_are_computed_in_blocks():
    # Catches all counts widened at once, and resamples that are lost between blocks or computed otherwise.
    counts = np.random.default_rng(0).multinomial(SCENES, [1 / SCENES] * SCENES, 301).astype(np.uint16)
    metric = set_metric(rows_of(scenes()))
    assert metric(counts).tolist() == [metric(row[None])[0] for row in counts]
    pictures, times = 2000, 1001
    counts = np.ones((times, pictures), np.uint16)
    pixels = [[n % 3, 1] for n in range(pictures)]
    tables = [{"quality": np.linspace(0, 1, pictures)}, dict.fromkeys(("both", "real", "found"), pixels)]
    for metric in [set_metric(pa.table(table)) for table in tables]:
        tracemalloc.start()
        assert len(metric(counts)) == times
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < counts.size * 8 / 2


def test_mean_iou_of_a_resample_is_that_of_its_pixels():
    # Catches a mean over scenes, and classes that count as 0 where they do not occur.
    draw = torch.Generator().manual_seed(0)
    truth, found = torch.randint(0, 3, (2, 6, 5, 5), generator=draw)
    truth[3:][truth[3:] == 2], found[3:][found[3:] == 2] = 1, 1
    confusion = [pixel_confusion(f, t, 3) for f, t in zip(found, truth, strict=True)]
    columns = {"both": [c.diagonal() for c in confusion], "real": [c.sum(1) for c in confusion]}
    columns["found"] = [c.sum(0) for c in confusion]
    metric = set_metric(pa.table({name: [one.tolist() for one in values] for name, values in columns.items()}))
    for counts in ([1] * 6, [0, 2, 1, 0, 0, 3], [0, 0, 0, 1, 1, 4]):
        total = sum(n * one for n, one in zip(counts, confusion, strict=True))
        assert metric(np.array([counts])) == pytest.approx([float(pixel_scores(total)["miou"])], abs=1e-12)


def test_a_mean_is_over_scenes_where_something_could_be_found():
    metric = set_metric(pa.table({"quality": [1.0, None, 0.0, 0.5]}))
    assert metric(np.array([[1, 1, 1, 1], [2, 5, 0, 1]])).tolist() == [0.5, pytest.approx(2.5 / 3)]
    assert np.isnan(metric(np.array([[0, 3, 0, 0]])))

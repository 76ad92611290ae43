"""One of two processes that hold a shard of a set each; prints what its metrics say of the whole: RANK PORT SHARDS."""

import json
import sys
from itertools import chain
from types import SimpleNamespace

import torch
from torch import distributed

from frostline.metrics.classification import PrecisionRecall
from frostline.metrics.detection import CocoAveragePrecision, VocAveragePrecision
from frostline.metrics.localization import BoxScores
from frostline.metrics.segmentation import PixelScores
from frostline.shares import told_by_all
from frostline.tasks.classification import Classification


def boxes_of(n):
    generator = torch.Generator().manual_seed(n)
    corner = torch.rand(n % 4, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 8 + torch.rand(n % 4, 2, generator=generator) * 60], 1)
    labels = torch.randint(0, 2, (len(boxes),), generator=generator)
    scores = torch.randint(1, 4, (len(boxes),), generator=generator) / 4  # many are equal
    return {"boxes": boxes + 2, "labels": labels, "scores": scores}, {"boxes": boxes, "labels": labels}


def values_of(places):
    scenes = [boxes_of(n) for n in places]
    pixels = PixelScores(2)
    for n in places:
        pixels.update(*torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(n)).round().long())
    told = {name: value.tolist() for name, value in pixels.compute().items()}
    curves = PrecisionRecall(2)
    for n in places:
        scores = torch.rand(1, 2, generator=torch.Generator().manual_seed(n)).softmax(1)
        curves.update(scores, torch.tensor([n % 2]))
    told |= {"rows": sorted(chain(*told_by_all([{"index": n} for n in places])), key=lambda row: row["index"])}
    told |= {f"scores_{k}": v.tolist() for k, v in curves.compute().items()}
    classes = Classification.make_metrics(SimpleNamespace(classes="abcd", top_k=2))
    for n in places:
        eighths = torch.randperm(8, generator=torch.Generator().manual_seed(n))[:4]  # add up the same in any order
        classes.update(eighths[None] / 8, torch.tensor([n % 3]))  # the fourth class is in no scene
    told |= {f"class_{name}": value.tolist() for name, value in classes.compute().items()}
    placed = BoxScores()
    for found, truth in scenes:
        right = found["labels"] == truth["labels"]
        placed.update(found["boxes"], truth["boxes"], right)
    told |= {name: value.tolist() for name, value in placed.compute().items()}
    for metric in (CocoAveragePrecision(2), VocAveragePrecision(2)):
        if places:
            metric.update([found for found, _ in scenes], [truth for _, truth in scenes], places)
        told |= {name: value.tolist() for name, value in metric.compute().items()}
    return told


if __name__ == "__main__":
    rank, port, shards = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=len(shards))
    print(json.dumps(values_of(shards[rank])))
    distributed.destroy_process_group()

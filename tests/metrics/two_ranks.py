"""One of two processes that hold a shard of a set each; prints what its metrics say of the whole: RANK PORT SHARDS."""

import json
import sys

import torch
from torch import distributed

from frostline.metrics.classification import PrecisionRecall
from frostline.metrics.detection import CocoAveragePrecision, VocAveragePrecision
from frostline.metrics.segmentation import PixelScores
from frostline.metrics.worst import WorstScenes


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
    sheet, curves = WorstScenes(), PrecisionRecall(2)
    for n in places:
        sheet.update(torch.tensor([n]), [float(n * 5 % 7)])  # some are equal, and some are 0
        scores = torch.rand(1, 2, generator=torch.Generator().manual_seed(n)).softmax(1)
        curves.update(scores, torch.tensor([n % 2]))
    told |= {"worst": sheet.compute().tolist()} | {f"scores_{k}": v.tolist() for k, v in curves.compute().items()}
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

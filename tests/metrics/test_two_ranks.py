"""Shards of a set on two processes, one of them without a scene, give what one process gives."""

import pytest
import torch
from torch import distributed, multiprocessing

from frostline.metrics.detection import CocoAveragePrecision, VocAveragePrecision
from frostline.metrics.segmentation import PixelScores


def boxes_of(n):
    generator = torch.Generator().manual_seed(n)
    corner = torch.rand(n % 4, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 8 + torch.rand(n % 4, 2, generator=generator) * 60], 1)
    labels = torch.randint(0, 2, (len(boxes),), generator=generator)
    scores = torch.randint(1, 4, (len(boxes),), generator=generator) / 4  # many are equal
    return {"boxes": boxes + 2, "labels": labels, "scores": scores}, {"boxes": boxes, "labels": labels}


def values_of(places):
    scenes = [boxes_of(n) for n in places]
    told = {}
    for metric in (CocoAveragePrecision(2), VocAveragePrecision(2), PixelScores(2)):
        if isinstance(metric, PixelScores):
            for n in places:
                pixels = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(n)).round().long()
                metric.update(*pixels)
        elif places:
            metric.update([found for found, _ in scenes], [truth for _, truth in scenes], places)
        told |= {name: value.tolist() for name, value in metric.compute().items()}
    return told


def rank(number, shards, port, queue):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    queue.put((number, values_of(shards[number])))
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("shards", [([1, 3, 5, 7, 9, 11], [0, 2, 4, 6, 8]), ([], list(range(12)))])
def test_two_ranks_give_what_one_gives(shards):
    # Catches means over ranks, an order that depends on them, and a rank that waits for one that has nothing to say.
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    port = free_port()
    workers = [context.Process(target=rank, args=(n, shards, port, queue)) for n in range(2)]
    for worker in workers:
        worker.start()
    told = dict(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    alone = values_of(sorted(shards[0] + shards[1]))
    assert told[0] == told[1] == alone


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""One of several processes that normalise a share of a batch each; prints how far they are from one: RANK COUNT MEET.

In double precision, so that what is left is not rounding.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch import distributed

from frostline.shares import sharing_a_batch
from frostline.tasks.whole_batch import batch_norm

CASES = {
    "maps": ((7, 6, 5, 4), torch.contiguous_format, True),
    "channels last": ((7, 6, 5, 4), torch.channels_last, True),
    "without weights": ((7, 6, 5, 4), torch.channels_last, False),
    "vectors": ((7, 6), torch.contiguous_format, True),
}


def farthest(rank, count, shape, form, weighted):
    """From what torch has of the whole batch: outputs, gradients, running statistics."""
    torch.manual_seed(0)
    values = (5 + 3 * torch.randn(shape, dtype=torch.float64)).contiguous(memory_format=form)
    back, channels = torch.randn_like(values), shape[1]
    given = [torch.rand(channels, dtype=torch.float64) for _ in range(2)] if weighted else [None, None]

    def through(norm, own, gradient):
        leaf = own.clone().requires_grad_()
        weight, bias = (None if each is None else each.clone().requires_grad_() for each in given)
        running = [torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)]
        out = norm(leaf, *running, weight, bias, True, 0.1, 1e-5)
        out.backward(gradient)
        return [out.detach(), leaf.grad, *running, *(each.grad for each in (weight, bias) if each is not None)]

    whole = through(F.batch_norm, values, back)
    with sharing_a_batch():
        ours = through(batch_norm, values[rank::count].contiguous(memory_format=form), back[rank::count])
    for gradient in ours[4:]:
        distributed.all_reduce(gradient)
    whole[:2] = [each[rank::count] for each in whole[:2]]
    return max([float((one - two).abs().max()) for one, two in zip(whole, ours, strict=True)])


def half(rank, count):
    """Sixteen bits, as under autocast, weights and statistics in single precision: types, and how far outputs, running
    statistics and gradients are from those of the whole batch."""
    torch.manual_seed(0)
    values, back = (5 + 3 * torch.randn(12, 6, 4, 4)).bfloat16(), torch.randn(12, 6, 4, 4).bfloat16()

    def through(norm, own, gradient):
        leaf, weight = own.clone().requires_grad_(), torch.linspace(0.5, 2, 6).requires_grad_()
        running = [torch.zeros(6), torch.ones(6)]
        out = norm(leaf, *running, weight, torch.zeros(6), True, 0.1, 1e-5)
        out.backward(gradient)
        return [out.detach(), leaf.grad, *running], weight.grad

    (*whole, mean, variance), _ = through(F.batch_norm, values, back)
    (*ours, own_mean, own_variance), of_weight = through(batch_norm, values[rank::count], back[rank::count])
    apart = [float((one[rank::count] - two).abs().max()) for one, two in zip(whole, ours, strict=True)]
    statistics = max(float((own_mean - mean).abs().max()), float((own_variance - variance).abs().max()))
    return [str(ours[0].dtype), str(ours[1].dtype), str(of_weight.dtype)], apart, statistics


if __name__ == "__main__":
    rank, count = map(int, sys.argv[1:3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=count)
    print(
        json.dumps({**{name: farthest(rank, count, *case) for name, case in CASES.items()}, "half": half(rank, count)})
    )
    distributed.destroy_process_group()

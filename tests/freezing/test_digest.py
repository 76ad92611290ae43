"""What stands for the weights below the line in the name of what is kept."""

import timm
import torch
from torch import nn

from frostline.freezing.activations import _digest


class Remembers(nn.Module):
    """Keeps a table of the last size that it saw, as position tables do, outside its weights."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("table", torch.zeros(1, 4), persistent=False)

    def forward(self, x):
        self.table = torch.arange(float(x.shape[-1]))[None]
        return self.scale * (x + self.table)


def test_what_is_no_weight_does_not_make_other_weights():
    # Else what a process has kept is never met again: the table is another before and after the first picture.
    module = Remembers()
    fresh = _digest(module)
    module(torch.zeros(2, 7))
    assert _digest(module) == fresh
    module.mean.add_(1)
    moved = _digest(module)
    assert moved != fresh  # a statistic is kept, and decides what comes out
    nn.init.zeros_(module.scale)
    assert _digest(module) not in (fresh, moved)


def test_a_convit_is_the_same_after_it_has_seen_a_picture():
    torch.manual_seed(0)
    attention = timm.create_model("convit_tiny", pretrained=False).blocks[0].eval()
    fresh = _digest(attention)
    with torch.no_grad():
        attention(torch.zeros(2, 16, 192))
    assert _digest(attention) == fresh

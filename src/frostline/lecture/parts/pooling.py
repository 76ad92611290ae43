# %% [markdown]
# ## 3. Pooling
#
# A pooling layer has no weights: a cell of it is the **maximum**, or the mean, of {k} x {k} cells below, with a stride of
# {k}, in each map by itself. Both sides are halved, three quarters of the numbers are gone, and what is left hardly changes
# when the picture moves by a pixel.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from frostline.lecture.figures import shape, shifts_figure
from frostline.lecture.page import begin

page = begin("pooling")
k = 2
picture = page.material.pictures(1, 96).float() / 255
highest, mean = F.max_pool2d(picture, k), F.avg_pool2d(picture, k)
cells = picture.unfold(2, k, k).unfold(3, k, k)
page.claim("height and width of 96 px after it", shape(highest), (48, 48))
page.claim("maps: each is pooled by itself, so as many as before", highest.shape[1], 3)
page.claim("parameters", sum(p.numel() for p in nn.MaxPool2d(k).parameters()), 0)
page.claim("numbers that are left, as a share", highest.numel() / picture.numel(), 0.25)
page.claim("the maximum of each four, by hand: the same", bool(torch.equal(highest, cells.amax((4, 5)))), True)
page.claim("their mean, by hand: at most off by", float((mean - cells.mean((4, 5))).abs().max()), "<= 1e-6")
page.claim("the maximum is nowhere below the mean", bool((highest >= mean - 1e-6).all()), True)

# %% [markdown]
# **Three pictures of one thing**: B shows it a pixel further right than A, and C one more. By a stride of 2, A and B have
# the same maxima, and C those of A, one cell further: {alike:.0%} of the cells are the same for A and B, and {half:.0%} for
# A and C.

# %%
thing = torch.tensor([[0.0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0, 0], [0] * 8])
three = torch.stack([thing, thing.roll(1, 1), thing.roll(2, 1)])[:, None]
pooled = F.max_pool2d(three, k)
a, b, c = (pooled[n, 0] for n in range(3))
on = a > 0
alike, half = float((a == b).float().mean()), float((on & (c > 0)).sum() / on.sum())
page.claim("cells that A and B have in common, as a share", alike, 1.0)
page.claim("bright cells of A that are bright in C, as a share", half, 0.5)
page.claim("C is A, one cell further right", bool(torch.equal(c[:, 1:], a[:, :-1])), True)
page.claim("without pooling, bright pixels that A and B have in common", int((three[0] * three[1]).sum()), 0)
page.picture(
    shifts_figure(three[:, 0], pooled[:, 0]),
    "shifts",
    "Two bright bars, in B one pixel and in C two pixels further right than in A; below, their maxima over 2 x 2 cells: those of A "
    "and B are the same, those of C have moved by one cell, and half of them coincide.",
)

# %% [markdown]
# **Across maps**: where each map has a filter for the same thing, turned otherwise, the maximum over maps (depth-wise
# pooling) does not care which way it is turned, which a network can learn. And **global average pooling** is the mean of a
# whole map: one number each, whatever the size of the picture, so a network that ends with it takes any.

# %%
bar = torch.zeros(1, 1, 9, 9)
bar[0, 0, 4, 2:7] = 1
turned = torch.cat([torch.rot90(bar, n, (2, 3)) for n in range(4)])
filters = turned[:, :, 2:7, 2:7]
maps = F.conv2d(turned, filters)  # how much each filter finds in each picture
page.claim("the filter that is turned alike answers with", [float(maps[n, n].max()) for n in range(4)], (5.0, 5.0, 5.0, 5.0))
page.claim("one that is turned by a quarter with", float(maps[0, 1, 2, 2]), 1.0)
deep = maps.amax(1)[:, 2, 2]
page.claim("the maximum over all four, for each turn", deep.tolist(), (5.0, 5.0, 5.0, 5.0))
small, large = torch.rand(1, 8, 7, 7), torch.rand(1, 8, 12, 9)
pool = nn.AdaptiveAvgPool2d(1)
page.claim("numbers that global average pooling leaves of 8 maps of 7 x 7", pool(small).numel(), 8)
page.claim("of 8 maps of 12 x 9", pool(large).numel(), 8)
page.claim("each is its map's mean: at most off by", float((pool(small).flatten() - small.mean((2, 3)).flatten()).abs().max()), "<= 1e-6")

# %% [markdown]
# How much a network of yours minds a shift: `frostline preview augment=light` shows what training shifts, turns and mirrors.

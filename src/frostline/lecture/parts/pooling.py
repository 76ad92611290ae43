# %% [markdown]
# ## 3. Pooling
#
# A pooling layer has no weights: a cell of it is the **maximum**, or the mean, of {k} x {k} cells below, with a stride
# of {k}, in each map by itself. {before} x {before} become {after} x {after}, {left:.0%} of the numbers are left, and
# these often stay as they are when the picture moves by a pixel.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from frostline.lecture.figures.convolution import pooled_figure, shifts_figure
from frostline.lecture.figures.panels import shape
from frostline.lecture.page import begin

page = begin("pooling")
k, before = 2, 96
picture = page.material.pictures(1, before).float() / 255
highest, mean = F.max_pool2d(picture, k), F.avg_pool2d(picture, k)
cells = picture.unfold(2, k, k).unfold(3, k, k)
after, left = highest.shape[3], highest.numel() / picture.numel()
page.claim("height and width of 96 px after it", shape(highest), (48, 48))
page.claim("maps: each is pooled by itself, so as many as before", highest.shape[1], 3)
page.claim("parameters", sum(parameter.numel() for parameter in nn.MaxPool2d(k).parameters()), 0)
page.claim("numbers that are left, as a share", left, 0.25)
page.claim("the maximum of each four, by hand, is the same", torch.equal(highest, cells.amax((4, 5))), True)
page.claim("their mean, by hand: at most off by", float((mean - cells.mean((4, 5))).abs().max()), "<= 1e-6")
brightest, washed = picture, picture
for _ in range(3):
    brightest, washed = F.max_pool2d(brightest, k), F.avg_pool2d(washed, k)
page.picture(
    pooled_figure(picture[0], brightest[0], washed[0]),
    "pooled",
    f"A picture of {before} px, and what three layers of pooling, one after the other, leave of it: "
    f"{washed.shape[3]} px. Maxima keep what "
    "is bright and make it larger; means keep the brightness, and wash the colours out.",
)

# %% [markdown]
# **Three pictures of one thing**: B shows it a pixel further right than A, and C one more. By a stride of {k}, A and B
# have the same maxima, and C those of A, one cell further: {alike:.0%} of the bright cells of A are bright in B, and
# {half:.0%} in C.

# %%
thing = torch.tensor([[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0, 0], [0] * 8]).float()
three = torch.stack([thing, thing.roll(1, 1), thing.roll(2, 1)])[:, None]
pooled = F.max_pool2d(three, k)
a, b, c = pooled[:, 0] > 0
alike, half = (float((a & other).sum() / a.sum()) for other in (b, c))
page.claim("A and B have the same maxima", torch.equal(pooled[0], pooled[1]), True)
page.claim("bright cells of A that are bright in B, as a share", alike, 1.0)
page.claim("bright cells of A that are bright in C, as a share", half, 0.5)
page.claim("C is A, one cell further right", torch.equal(c[:, 1:], a[:, :-1]), True)
page.claim("without pooling, bright pixels that A and B have in common", int((three[0] * three[1]).sum()), 0)
page.picture(
    shifts_figure(three[:, 0], pooled[:, 0], k),
    "shifts",
    f"Two bars of ones among zeros, in B one pixel and in C two pixels further right than in A. Beside each, its "
    f"maxima over {k} x {k} cells: those of A and B are the same, those of C have moved by a cell, and half coincide.",
)

# %% [markdown]
# **Across maps** (depth-wise pooling): a network can learn filters for the same thing, each turned differently. To a
# hook in four turns, one such filter answers with {one}. The maximum over the four maps is {all_four}: it does not care
# which way the hook is turned. And **global average pooling** is the mean of a whole map: one number each, whatever the
# size of the picture, so a network that ends with it takes any.

# %%
hook = torch.zeros(1, 1, 9, 9)
hook[0, 0, 2:7, 3] = 1
hook[0, 0, 6, 4:6] = 1
turned = torch.cat([torch.rot90(hook, n, (2, 3)) for n in range(4)])
filters = turned[:, :, 2:7, 2:7]
answers = F.conv2d(turned, filters).amax((2, 3)).int()  # (turns, filters): the strongest in each map
one, all_four = (", ".join(map(str, each.tolist())) for each in (answers[:, 0], answers.amax(1)))
page.claim("what the maximum over four filters answers, turn by turn", all_four, "7, 7, 7, 7")
alike_most = bool((answers.argmax(1) == torch.arange(4)).all())
page.claim("the filter that is turned alike answers most", alike_most, True)
page.claim("the strongest answer of one that is turned differently", int((answers - 9 * torch.eye(4)).max()), "<= 5")
small, large = torch.rand(1, 8, 7, 7), torch.rand(1, 8, 12, 9)
pool = nn.AdaptiveAvgPool2d(1)
page.claim("numbers that global average pooling leaves of 8 maps of 7 x 7", pool(small).numel(), 8)
page.claim("of 8 maps of 12 x 9", pool(large).numel(), 8)
apart = float((pool(small).flatten() - small.mean((2, 3)).flatten()).abs().max())
page.claim("each is its map's mean: at most off by", apart, "<= 1e-6")

# %% [markdown]
# How training shifts, turns and mirrors your pictures, so that a network minds it less:
# `frostline preview augment=light {page.material.given}`

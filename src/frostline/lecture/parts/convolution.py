# %% [markdown]
# ## 1. Convolution
#
# A neuron of a convolutional layer is connected to a small field of the layer below, of {f_h} x {f_w} pixels say: the
# one in row *i*, column *j* sees rows *i* to *i* + {down} and columns *j* to *j* + {across}, and no more. All neurons
# of a map have the same weights and the same bias, so what is learnt in one place is known in all.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from frostline.lecture.figures.convolution import field_figure
from frostline.lecture.figures.panels import shape
from frostline.lecture.page import begin

page = begin("convolution")
side, f_h, f_w = 32, 3, 5
picture = page.material.pictures(1, side).float() / 255
weights = torch.randn(1, 3, f_h, f_w)

maps = F.conv2d(picture, weights)
down, across = f_h - 1, f_w - 1
by_hand = torch.tensor(
    [
        [float((picture[0, :, i : i + f_h, j : j + f_w] * weights[0]).sum()) for j in range(side - f_w + 1)]
        for i in range(side - f_h + 1)
    ]
)
apart = float((maps[0, 0] - by_hand).abs().max())
page.claim("two loops over fields give what the library gives, at most off by", apart, "<= 1e-4")

middle = maps[0, 0, 8:-8, 8:-8]
i, j = (8 + at for at in divmod(int(middle.argmax()), middle.shape[1]))  # the neuron there that answers most
leaf = picture.clone().requires_grad_()
F.conv2d(leaf, weights)[0, 0, i, j].backward()
seen = (leaf.grad != 0)[0]  # a pixel that it does not see has no gradient
rows, columns = (torch.nonzero(seen.any(0).any(axis)).flatten() for axis in (1, 0))
page.claim(f"rows that the neuron {i}, {j} sees", f"{rows[0]} to {rows[-1]}", f"{i} to {i + down}")
page.claim("columns that it sees", f"{columns[0]} to {columns[-1]}", f"{j} to {j + across}")
page.claim("pixels that it sees, of all three colours", int(seen.sum()), 3 * f_h * f_w)
page.picture(
    field_figure(picture[0], maps[0, 0], (i, j), (f_h, f_w)),
    "field",
    f"A picture of {side} px with a small frame of {f_h} x {f_w} pixels; lines lead from it to one framed neuron in "
    "the map beside it, which answers most of those in the middle. The map is the picture as one filter sees it, "
    f"{down} rows and {across} columns smaller.",
)

# %% [markdown]
# **Zeros around the picture** (padding) keep a map as large as what it looks at; without them it loses {lost} columns.
# A **stride** of {stride} moves the field by {stride} pixels at a time, and {side} x {side} become {half} x {half}.

# %%
stride, padding = 2, (f_h // 2, f_w // 2)
kept = F.conv2d(picture, weights, padding=padding)
halved = F.conv2d(picture, weights, padding=padding, stride=stride)
lost, half = side - maps.shape[3], halved.shape[3]
page.claim("height and width without padding", shape(maps), (30, 28))
page.claim("with zeros around it", shape(kept), (32, 32))
page.claim("with a stride of 2", shape(halved), (16, 16))
every = float((halved - kept[..., ::stride, ::stride]).abs().max())
page.claim("a stride of 2 takes every second neuron of that with 1: largest difference", every, "<= 1e-4")

# %% [markdown]
# A layer has many maps, one behind the other: {out} maps of {side} x {side} neurons are a block of numbers in three
# dimensions. Each has a filter through *all* maps below, here 3 x 3 pixels of three colours, and one bias: {formula} =
# {few:,} parameters. A layer in which each of these neurons sees the whole picture would have {many:,}, that is
# {ratio:,.0f} times as many.

# %%
out = 16
layer = nn.Conv2d(3, out, 3, padding=1)
few, formula = sum(parameter.numel() for parameter in layer.parameters()), f"{out} x (3 x 3 x 3) + {out}"
neurons = out * side * side
many = neurons * (3 * side * side) + neurons
ratio = many / few
page.claim("maps, rows and columns of the layer's output", layer(picture).shape[1:], (16, 32, 32))
page.claim("shape of its weights: maps, maps below, rows, columns", layer.weight.shape, (16, 3, 3, 3))
page.claim("biases, one a map", dict(layer.named_parameters())["bias"].numel(), 16)
page.claim("parameters of the convolution: 16 x 3 x 3 x 3 + 16", few, 448)
page.claim("parameters of a dense layer of as many neurons", many, 50_348_032)
page.claim("how many times as many", ratio, "> 100000")
dense = nn.Linear(3 * 4 * 4, out * 4 * 4)
counted = sum(parameter.numel() for parameter in dense.parameters())
page.claim("the same formula for pictures of 4 px, as the library counts", counted, 256 * 48 + 256)

down, right = 3, 5
shifted, moved = (torch.roll(each, (down, right), (2, 3)) for each in (picture, maps))
apart = float((F.conv2d(shifted, weights) - moved)[..., down:, right:].abs().max())
page.claim("a picture that is shifted has its map shifted alike: largest difference", apart, "<= 1e-5")

# %% [markdown]
# On your own pictures: `frostline train backbone=small_cnn schedule=full {page.material.given}`

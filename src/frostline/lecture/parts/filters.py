# %% [markdown]
# ## 2. Filters
#
# What can such a field find? What a neuron answers to is a small picture itself: its weights, the **filter**. One of
# {side} x {side} that is zero but for its middle column answers most to vertical lines: it keeps these sharp and smears
# what is horizontal. One with ones in its middle row does the reverse. On the picture below, the first keeps
# {beside:.0%} of the differences between neighbours side by side and {below:.0%} of those between neighbours below each
# other; the second {other_beside:.0%} and {other_below:.0%}.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from frostline.config import compose
from frostline.lecture.figures.convolution import filters_figure, learned_figure
from frostline.lecture.page import begin
from frostline.runs.build import build_backbone

page = begin("filters")
side = 7
vertical, horizontal = torch.zeros(2, side, side)
vertical[:, side // 2] = 1
horizontal[side // 2, :] = 1

lines = torch.zeros(2, 1, 33, 33)
lines[0, 0, :, 16] = 1  # a vertical line, and a horizontal one
lines[1, 0, 16, :] = 1
filters = torch.stack([vertical, horizontal])[:, None]
answers = F.conv2d(lines, filters)
page.claim("weights of a filter that are not zero", int((vertical != 0).sum()), 7)
page.claim("the vertical filter's strongest answer to a vertical line", float(answers[0, 0].max()), 7.0)
page.claim("to a horizontal one", float(answers[1, 0].max()), 1.0)
page.claim("the horizontal filter's strongest answer to a horizontal line", float(answers[1, 1].max()), 7.0)
page.claim("to a vertical one", float(answers[0, 1].max()), 1.0)
page.claim("one filter is the other one, turned", torch.equal(vertical.T, horizontal), True)

# %%
picture = page.material.pictures(1, 96).float().mean(1, keepdim=True) / 255
seen = F.conv2d(picture, filters / side, padding=side // 2)[0]
inner = slice(side, -side)  # where no zeros around the picture are seen
left, before = seen[:, inner, inner], picture[0, :, inner, inner]
kept = [left.diff(dim=axis).abs().mean((1, 2)) / before.diff(dim=axis).abs().mean().clamp(1e-6) for axis in (2, 1)]
(beside, other_beside), (below, other_below) = (each.tolist() for each in kept)
if page.material.drawn:  # a picture that is striped all over may honestly be otherwise
    page.claim("differences that the vertical filter keeps: side by side, less below each other", beside - below, "> 0")
    page.claim("the same of the horizontal filter", other_beside - other_below, "< 0")
page.picture(
    filters_figure(picture[0, 0], [vertical, horizontal], list(seen)),
    "lines",
    f"A grey picture; a filter of {side} x {side} cells, ones in its middle column and zeros beside; the picture as "
    "it leaves it, where vertical edges are sharp and horizontal ones smeared. Below, the same with ones in the middle "
    "row, and horizontal edges.",
)

# %% [markdown]
# Nobody draws the filters of a trained network: it finds them. Here are those of the first layer of one that was
# trained on **ImageNet**, a million photographs of a thousand kinds of things ({network.name}, {count} filters of
# {size} x {size}, each stretched to all of its range). Of these, {edges} answer more to differences between neighbours
# than to brightness, and {spots} more to colour than to grey. Shown are {most} that answer as
# differently as they can, each with what it leaves of the picture.

# %%
network = build_backbone(compose(["backbone=efficientnet_lite0"]))
learned = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d)).weight.detach()
count, size = learned.shape[0], learned.shape[-1]
energy = learned.square().sum((1, 2, 3))
contrast = (learned - learned.mean((2, 3), keepdim=True)).square().sum((1, 2, 3)) / energy
coloured = 1 - 3 * learned.mean(1).square().sum((1, 2)) / energy
page.claim("filters of the first layer", count, 32)
page.claim("rows and columns of each", size, 3)
edges, spots = int((contrast > 0.5).sum()), int((coloured > 0.5).sum())
page.claim("filters that see differences more than brightness", edges, ">= 16")
page.claim("filters that see colour more than grey", spots, ">= 1")
coloured = (page.material.pictures(1, 96).float() / 255 - network.mean) / network.std
answers = F.conv2d(coloured, learned)[0]
most = 6
alike = torch.corrcoef(answers.flatten(1)).abs()
shown = [int(answers.var((1, 2)).argmax())]  # the one that answers most, and then those that answer otherwise
while len(shown) < most:
    shown.append(int(alike[:, shown].amax(1).argmin()))
page.picture(
    learned_figure(learned[shown], list(answers[shown])),
    "learned",
    f"{most} filters of the first layer of a trained network, as small coloured squares of {size} x {size} cells, and "
    "right of each the picture as it leaves it, in greys: some keep edges of one direction, others one colour, others "
    "brightness. Nobody drew them.",
)

# %% [markdown]
# Which networks with weights are on this machine: `frostline models`

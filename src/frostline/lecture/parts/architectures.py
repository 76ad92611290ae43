# %% [markdown]
# ## 4. Architectures
#
# In {years} years networks that see grew from {shallow} layers with weights to {deep}. The share of pictures of which
# the right class is not among a network's five best guesses, its **top-5 error**, fell in the last three of these
# years: {errors}. It did not take more weights, as the deepest here has no more than AlexNet, but small convolutions
# that make large ones cheap, and shortcuts.

# %%
import inspect
from textwrap import dedent

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights, resnet34

from frostline.freezing.groups import count
from frostline.lecture.committed import committed
from frostline.lecture.figures.architectures import gradients_figure, history_figure
from frostline.lecture.layers import bare, depth, layers_of, multiply_adds, watched
from frostline.lecture.page import begin, show
from frostline.models.lenet import Halving, PartialConvolution
from frostline.models.resnet import Block, ResNet34, add_layers, start
from frostline.runs.catalogue import known
from frostline.words import quantity

page = begin("architectures")
torch.manual_seed(0)
# As their papers have them: the year, the layers, the top-5 error in per cent, and whether it is of the contest's test.
papers = {
    "lenet5": ("LeNet-5", 1998, 7, None, False),
    "alexnet": ("AlexNet", 2012, 8, 17.0, True),
    "googlenet": ("GoogLeNet", 2014, 22, 6.67, True),
    "xception": ("Xception", 2016, 37, 5.5, False),
    "resnet34_plain": ("ResNet-34", 2015, 34, 7.46, False),
    "resnet152": ("ResNet-152", 2015, 152, 3.57, True),
}
networks, parameters, products, sizes, rows = {}, {}, {}, {}, []
for name, (title, year, layers, error, contest) in papers.items():
    network = networks[name] = bare(name)
    classes = nn.Linear(network.embedding_size, 10 if name == "lenet5" else 1000)
    picture = page.material.pictures(1, network.input_size)
    with watched(network.stages) as sizes[name], FlopCounterMode(display=False) as counter:
        embedding = network(picture)[1]
    found = depth(classes(embedding)) + len(layers_of(network, Halving))  # LeNet-5's halvings have weights, too
    page.claim(f"layers with weights on the longest way through {title}, classes included", found, layers)
    products[name] = counter.get_total_flops() // 2
    parameters[name] = count(network.parameters()) + (count(classes.parameters()) if name != "lenet5" else 0)
    rows.append((title, year, found, parameters[name], error, contest))

shallow, deep = rows[0][2], rows[-1][2]
years = rows[-1][1] - rows[0][1]
errors = ", ".join(f"{error:.2g} %" for *_, error, contest in rows if contest)
page.picture(
    history_figure(rows),
    "history",
    "Above, depth against year: LeNet-5 of 1998 alone at the left, AlexNet of 2012 hardly deeper, from there steeply "
    "up to ResNet-152 of 2015; dots as large as parameters are many, AlexNet's like that of ResNet-152. Below, top-5 "
    "errors, which fall from 17 % to 3.6 % within three years.",
)

# %% [markdown]
# What each costs, and a picture on its way through it: maps x rows x columns after each group of layers. Filled dots
# above are errors on the contest's test pictures, of several networks at once but for AlexNet; hollow ones are of one
# network on the validation pictures. (AlexNet's is of the pictures of 2010; its entry of 2012, of several networks, had
# 15.3 %, as [arXiv:1409.0575](https://arxiv.org/abs/1409.0575) has it.)

# %%
page.table(
    ("network", "year", "layers", "parameters", "mult-adds", "top-5 error"),
    [
        (title, str(year), layers, quantity(parameters[name]), quantity(products[name]), f"{error} %" if error else "")
        for name, (title, year, layers, error, _) in papers.items()
    ],
)
ways = {name: " → ".join(show(size) for size in found.values()) for name, found in sizes.items()}
page.table(
    ("network", "sees", "and makes of it"),
    [(papers[name][0], f"{networks[name].input_size} px", way) for name, way in ways.items()],
)
shown = {name: row.multiply_adds for name, row in known(list(papers)).items() if row is not None}
page.claim("their multiply-adds are those that `frostline models` shows", products == shown, True)
for name, billions in (("googlenet", 1.5), ("resnet34_plain", 3.6), ("resnet152", 11.3)):
    title = papers[name][0]
    page.claim(f"billions of multiply-adds of {title}, {billions} in its paper", products[name] / 1e9, billions, 0.25)
for name in ("alexnet", "googlenet", "resnet34_plain", "resnet152"):
    record = get_model_weights(name.removesuffix("_plain")).IMAGENET1K_V1.meta
    page.claim(f"parameters of {papers[name][0]}, as torchvision records them", parameters[name], record["num_params"])
page.claim("parameters of Xception, as its paper has them", parameters["xception"], 22_855_952)
page.claim("millions of parameters of AlexNet, 60 in its paper", parameters["alexnet"] / 1e6, 60.0, 1.5)
for name, cells in (("alexnet", (27, 13, 13, 13, 6)), ("googlenet", (112, 56, 28, 14, 7))):
    found = tuple(size[1] for size in sizes[name].values() if len(size) == 3)
    page.claim(f"rows of {papers[name][0]}'s maps", found, cells)

# %% [markdown]
# The papers: LeCun, Bottou, Bengio & Haffner 1998 (Proc. IEEE 86); Krizhevsky, Sutskever & Hinton 2012 (NIPS), here in
# one column, [arXiv:1404.5997](https://arxiv.org/abs/1404.5997); Szegedy et al.,
# [1409.4842](https://arxiv.org/abs/1409.4842); Chollet, [1610.02357](https://arxiv.org/abs/1610.02357); He, Zhang, Ren
# & Sun, [1512.03385](https://arxiv.org/abs/1512.03385).
#
# **LeNet-5** is for digits of {digits} px, which zeros around them make {sees}. Its layers from the first convolution
# to the last have maps of {cells} rows. Its {weights:,} weights make {connections:,} connections: each is used
# {times:.1f} times. **AlexNet** is the same idea, larger and in colours. Of its weights {dense:.0%} lie in three dense
# layers; later networks have one, after global average pooling.

# %%
lenet, digits = networks["lenet5"], 28
small, sees = page.material.pictures(1, digits), lenet.input_size
found = layers_of(lenet, nn.Conv2d, Halving, PartialConvolution, nn.Linear)
layers = dict(zip(("C1", "S2", "C3", "S4", "C5", "F6"), found, strict=True))
with watched(layers) as seen, torch.no_grad():
    apart = lenet(small)[1] - lenet(F.pad(small, [2, 2, 2, 2]))[1]
page.claim("28 px are to it 32, with two rows of zeros on each side: largest difference", float(apart.abs().max()), 0.0)
cells = tuple(size[1] for size in seen.values() if len(size) == 3)
page.claim("rows of its maps, C1 to C5", cells, (28, 14, 10, 5, 1))
weights, connections = parameters["lenet5"], 84 * 10  # the output's, to ten letters that are drawn
for name, layer in layers.items():
    places = seen[name][1] * seen[name][2] if name != "F6" else 1
    connections += places * (5 * seen[name][0] if isinstance(layer, Halving) else count(layer.parameters()))
times = connections / weights
page.claim("weights of LeNet-5 up to its output, as its paper has them", weights, 60_000)
page.claim("connections that they make, as its paper has them", connections, 340_908)
cells = ", ".join(map(str, cells))
two = sum(count(layer.parameters()) for layer in layers_of(networks["alexnet"], nn.Linear))
dense = (two + 1000 * (4096 + 1)) / parameters["alexnet"]  # and that of the thousand classes
page.claim("share of AlexNet's parameters that lie in dense layers", dense, ">= 0.9")

# %% [markdown]
# **GoogLeNet** looks at the same maps with filters of 1 x 1, 3 x 3 and 5 x 5 at once, an *Inception module*. Before the
# larger filters, one of 1 x 1 makes few maps of many: its first module takes {reduced:,.0f} million multiply-adds in
# place of {plain:,.0f}. (Its paper, arXiv:1409.4842, says that it has 12 times fewer parameters than AlexNet; counted
# as it is printed there, it is {fewer:.1f} times. torchvision's is smaller yet, as it has 3 x 3 in place of 5 x 5.)

# %%


def module(inside, *branches):
    """Branches beside each other, each a row of convolutions, told as (maps, side)."""
    rows = []
    for branch in branches:
        widths = [inside, *(width for width, _ in branch)]
        rows.append([nn.Conv2d(a, b, side, padding=side // 2) for a, (b, side) in zip(widths, branch, strict=False)])
    return [nn.Sequential(*row) for row in rows]


maps = torch.zeros(1, 192, 28, 28)
cheap = module(192, [(64, 1)], [(96, 1), (128, 3)], [(16, 1), (32, 5)], [(32, 1)])
dear = module(192, [(64, 1)], [(128, 3)], [(32, 5)])
reduced, plain = (sum(multiply_adds(branch, maps) for branch in branches) / 1e6 for branches in (cheap, dear))
page.claim("millions of multiply-adds of the first module, 128 in the paper's table 1", reduced, 128.0, 0.5)
page.claim(
    "its weights, in units of 1,024; 159 in that table",
    sum(p.numel() for b in cheap for p in b.parameters() if p.dim() == 4) // 1024,
    159,
)
page.claim("without its 1 x 1 convolutions as many times as many", plain / reduced, ">= 2")
google = networks["googlenet"]
threes = [one.branch3[1].conv for one in google.modules() if hasattr(one, "branch3")]
page.claim("modules in which torchvision has 3 x 3 for 5 x 5", sum(one.kernel_size == (3, 3) for one in threes), 9)
norms = layers_of(google, nn.BatchNorm2d)  # a weight and a bias where the paper's convolutions have a bias
printed = (
    parameters["googlenet"]
    + sum(16 * one.in_channels * one.out_channels for one in threes)
    - sum(one.num_features for one in norms)
)
fewer = parameters["alexnet"] / printed
page.claim("its parameters as printed, with 5 x 5 and biases in place of norms", printed, 6_998_552)
page.claim("times as many in AlexNet: less than the paper's 12", fewer, "< 9")

# %% [markdown]
# **Xception** takes that to its end: each map is filtered by itself (depth-wise), and a convolution of 1 x 1 mixes what
# comes of it. With {wide} maps such a separable layer has {separable:,} weights; a plain one of 3 x 3 has {whole:,},
# {ratio:.1f} times as many. It can do less: whatever it gives sees a map through one and the same filter.

# %%
layer = next(
    one
    for one in networks["xception"].modules()
    if getattr(one, "pointwise", None) is not None and one.pointwise.in_channels == 728
)
wide, separable = layer.conv1.out_channels, count(layer.parameters())
whole = wide * layer.pointwise.out_channels * 9
ratio = whole / separable
page.claim("weights of a separable layer of 728 maps: 9 x 728 + 728 x 728", separable, 536_536)
page.claim("of a plain one", whole, 4_769_856)
same = layer.pointwise.weight * layer.conv1.weight[:, 0][None]  # (out, in, 1, 1) x (1, in, 3, 3)
with torch.no_grad():
    maps = torch.rand(1, wide, 9, 9)
    apart = (layer(maps) - F.conv2d(maps, same, padding=1)).abs().max() / layer(maps).abs().max()
page.claim("a plain one whose weights are products gives the same, at most off by", float(apart), "<= 1e-4")

# %% [markdown]
# **ResNet** has a shortcut around every two layers, so these learn only what is to be *changed*: where that is zero,
# everything passes as it is. ResNet-34 is {lines} lines in `src/frostline/models/resnet.py`, and its block does this:

# %%
page.say(f"```python\n{dedent(inspect.getsource(Block.forward)).strip()}\n```")
mine, theirs = ResNet34().eval(), resnet34(weights=None).eval()
written = "".join(inspect.getsource(one) for one in (Block, ResNet34, add_layers, start))
lines = sum(bool(line.strip()) for line in written.splitlines())
page.claim("lines of ResNet-34, docstrings and all", lines, "<= 45")
page.claim(
    "its tensors have torchvision's names, in the same order",
    list(mine.state_dict()) == list(theirs.state_dict()),
    True,
)
mine.load_state_dict(theirs.state_dict())
picture = page.material.pictures(1, 224).float() / 255
with torch.no_grad():
    ours, others = mine(picture), theirs(picture)
    page.claim(
        "with the same weights its scores are torchvision's: off by",
        float((ours - others).abs().max() / others.abs().max()),
        "<= 1e-5",
    )
    maps = mine.layer1(F.relu(torch.randn(1, 64, 14, 14)))
    for block in mine.layer1:
        nn.init.zeros_(block.bn2.weight)  # what it changes is zero now
    page.claim("six layers whose changes are zero give what they get", bool(torch.equal(mine.layer1(maps), maps)), True)

# %% [markdown]
# A gradient goes back through a chain as a product, a factor for each layer, and through a shortcut as it is. Here are
# {long} layers before they learn, with torch's usual first weights, without shortcuts and with them: the first layer's
# gradient is {fades:.0e} times the last one's, and {passes:.1f} times. Batch norms keep it from vanishing, too, and let
# it grow ({normed:,.0f} times). ResNet's authors (arXiv:1512.03385) had them, and yet a plain network of 34 layers
# erred more often than one of 18 (28.5 % and 27.9 %, top-1), and one with shortcuts less often (25.0 % and 27.9 %).

# %%
long, width = 32, 16
picture = torch.rand(1, 3, 32, 32)


def gradients(shortcuts, norm):
    """How strong the gradient of each of the layers is, the last one's being 1."""
    torch.manual_seed(0)
    stem, classes = nn.Conv2d(3, width, 3, padding=1), nn.Linear(width, 10)
    layers = [nn.Conv2d(width, width, 3, padding=1) for _ in range(long)]
    x = F.relu(stem(picture))
    for first, second in zip(layers[::2], layers[1::2], strict=True):
        y = norm(width)(second(F.relu(norm(width)(first(x)))))
        x = F.relu(x + y if shortcuts else y)
    F.cross_entropy(classes(x.mean((2, 3))), torch.tensor([3])).backward()
    found = torch.stack([layer.weight.grad.norm() for layer in layers])
    return (found / found[-1]).tolist()


curves = {
    "plain": gradients(False, nn.Identity),
    "plain, with batch norms": gradients(False, nn.BatchNorm2d),
    "with shortcuts": gradients(True, nn.Identity),
}
fades, normed, passes = (values[0] for values in curves.values())
page.claim("gradient of the first of 32 plain layers, that of the last being 1", fades, "<= 1e-6")
page.claim("with shortcuts", passes, ">= 0.01")
page.claim("without shortcuts, with batch norms", normed, ">= 1")
page.picture(
    gradients_figure(curves),
    "gradients",
    "The strength of the gradient at each of 32 layers, by powers of ten: in the plain chain it falls by a dozen of "
    "them on its way back to the first layer; with shortcuts it hardly does, and with batch norms it grows.",
)

# %% [markdown]
# On your own pictures: `frostline train backbone=resnet34_plain backbone.pretrained=false schedule=full dataset=folder
# dataset.root=path/to/pictures`; what each network costs, and which tasks it serves: `frostline models`.{fashion}

# %%
fashion = ""
if study := committed("fashion"):
    found = {name: [one.mean for arm, one in study.items() if name in arm] for name in ("lenet5", "resnet")}
    best = {name: max(means, default=0.0) for name, means in found.items()}
    page.claim("test accuracy of LeNet-5 on Fashion-MNIST, as committed", best["lenet5"], ">= 0.9")
    page.claim("of the small ResNet", best["resnet"], ">= 0.935")
    fashion = (
        " LeNet-5 and a small ResNet on Fashion-MNIST's pictures of clothes are a study (experiments/fashion): they "
        f"get {best['lenet5']:.1%} and {best['resnet']:.1%} of the test pictures right."
    )

# %% [markdown]
# ## 5. Pretrained
#
# A network that somebody has trained on ImageNet is one line away: `imagenet("{network.name}")`. It tells a thousand
# classes apart, and gives each a probability, by the **softmax** of its scores.

# %%
from pathlib import Path

import numpy as np
import timm
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config

from frostline.freezing.groups import count
from frostline.lecture.figures.pretrained import predictions_figure, ways_figure
from frostline.lecture.imagenet import imagenet, weights_of
from frostline.lecture.page import begin
from frostline.models.torchvision import IMAGENET
from frostline.pictures.stored import stored_picture
from frostline.words import listed

page = begin("pretrained")
network = imagenet("efficientnet_lite0")

photograph = Path(get_sample_data("grace_hopper.jpg", asfileobj=False))  # comes with matplotlib
scenes = page.material.scenes()[:60]
files = [photograph, *map(stored_picture, scenes)]
portrait, *said = network.predict(files)
truth, sure = portrait.likeliest(1)[0]
page.claim("what it takes a portrait in uniform for", truth, "military uniform")
page.claim("its thousand probabilities sum to", float(portrait.probabilities.sum()), 1.0, 1e-5)

drawn = page.material.name == "meadow"
whose = "drawn" if drawn else "yours"
labels = page.material.dataset.classes.labels
classes = [labels[scene.label] if scene.label is not None else "a picture" for scene in scenes]
known = sorted({name for name in classes if name in network.classes})  # which it has learnt
first = next((n for n, name in enumerate(classes) if name in known), 0)
second = next((n for n, name in enumerate(classes) if name != classes[first]), first)
shown = [0, *(n + 1 for n in sorted({first, second}))]
titles = ["a portrait", *(f"{whose}: {classes[n - 1]}" for n in shown[1:])]
three = [[portrait, *said][n].likeliest(3) for n in shown]
page.table(
    ("picture", "likeliest", "second", "third"),
    [(title, *(f"{name} {p:.1%}" for name, p in found)) for title, found in zip(titles, three, strict=True)],
)
page.picture(
    predictions_figure(
        [(t, network.seen(files[n], t)[0], found) for t, n, found in zip(titles, shown, three, strict=True)]
    ),
    "top3",
    "Pictures, and beside each the three classes that the network finds likeliest, as bars: "
    + "; ".join(f"{t}, taken for {found[0][0]} ({found[0][1]:.0%})" for t, found in zip(titles, three, strict=True))
    + ".",
)

# %% [markdown]
# The portrait is of Rear Admiral Grace Hopper (US Navy, public domain); the network is {sure:.0%} sure of a *{truth}*.
# {pictures}

# %%
hits = [one.name == name for one, name in zip(said, classes, strict=True) if name in known]
lured = [one.name in known for one, name in zip(said, classes, strict=True) if name not in known]
names = f"*{listed(known)}*" if len(known) < 5 else f"{len(known)} of their classes"
if hits:
    pictures = (
        f"It has learnt {names}, and of {len(hits)} such pictures it knows {sum(hits)}"
        + (", though they are drawn, and it has seen photographs alone. " if drawn else ". ")
        + f"Of {len(lured)} others, whose classes are not among its thousand, it calls {sum(lured)} by such a name as "
        "well: it never says that it does not know a thing."
    )
else:
    pictures = (
        "The classes of these pictures are not among its thousand, and it does not say so: it names what comes nearest."
    )
if page.material.drawn:
    page.claim("drawn daisies that it names daisies, where one in 1,000 were chance", float(np.mean(hits)), ">= 0.2")
    page.claim("other drawn flowers that are daisies to it: at least", float(np.mean(lured)), ">= 0.1")

# %% [markdown]
# **The preprocessing belongs to the weights.** These want {side} px and colours from -1 to 1. Whoever gives them
# something else gets no error, but other answers. Even the two usual ways to make a square of a photograph, to stretch
# it whole, as here, or to cut its middle out, as the weights' authors tested, differ. Here is the share of all
# probability that moves to other classes, and how likely the {truth} still is.

# %%
whole = timm.create_model("tf_efficientnet_lite0").eval()  # the same network by others, which normalises nothing
held = weights_of("efficientnet_lite0")
whole.load_state_dict(dict(zip(whole.state_dict(), held.values(), strict=True)))
image = Image.open(photograph).convert("RGB")
facts, side = resolve_model_data_config(whole), network.info.preprocessing.size


def square(side):
    """Colours (3, side, side) from 0 to 1."""
    return torch.from_numpy(np.array(image.resize((side, side), Image.Resampling.BILINEAR))).permute(2, 0, 1) / 255


def softmax(pixels, mean=(0.5,), std=(0.5,)):
    """Probabilities, by hand."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    with torch.no_grad():
        scores = whole(((pixels - mean) / std)[None])[0].double()
    powers = (scores - scores.max()).exp()  # the highest becomes 1, so that none is too large for a number
    return (powers / powers.sum()).numpy()


right = softmax(square(side))
ways = {
    "stretched, normalised as in training": right,
    "only its middle, as timm does it": softmax(create_transform(**facts)(image), (0.0,), (1.0,)),
    "mean and deviation of other weights": softmax(square(side), *IMAGENET),
    "colours from 0 to 1": softmax(square(side), (0.0,), (1.0,)),
    "colours from 0 to 255": softmax(square(side), (0.0,), (1 / 255,)),
    "blue in place of red": softmax(square(side).flip(0)),
    "shrunk to 64 px": softmax(square(64)),
}
moved = {way: float(abs(found - right).sum() / 2) for way, found in ways.items()}
likely = {way: float(found[network.classes.index(truth)]) for way, found in ways.items()}
best = {way: (network.classes[found.argmax()], float(found.max())) for way, found in ways.items()}
page.table(
    ("the portrait", "moves", truth, "likeliest"),
    [(way, f"{moved[way]:.0%}", f"{likely[way]:.0%}", f"{name} {p:.0%}") for way, (name, p) in best.items()],
)
page.picture(
    ways_figure(likely, f"probability of {truth}"),
    "ways",
    f"A bar for each way to prepare the portrait, as long as the {truth} is likely: longest as above, shorter "
    "in each other way, and next to nothing with colours from 0 to 255 or at 64 px.",
)
page.claim(
    "timm's network, with a softmax by hand, gives the same probabilities: at most off by",
    float(abs(right - portrait.probabilities).max()),
    "<= 1e-4",
)
theirs = [network.classes[n] for n in right.argsort()[::-1][:3]]
page.claim("its three likeliest, in their order", [name for name, _ in portrait.likeliest(3)], tuple(theirs))
normalised = network.engine.task.model.backbone.normalise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
page.claim("what black and white become", normalised[:, 0].flatten().tolist(), (-1.0, 1.0))
page.claim(
    "side, mean and deviation in timm's record of the weights",
    (facts["input_size"][1], *facts["mean"], *facts["std"]),
    (side, *[0.5] * 6),
)
for way in ("colours from 0 to 255", "shrunk to 64 px"):
    page.claim(f"share of the probability that moves: {way}", moved[way], ">= 0.5")
    page.claim(f"does the {truth} stay the likeliest: {way}", best[way][0] == truth, False)
page.claim(
    "share that moves with the mean and deviation of other weights",
    moved["mean and deviation of other weights"],
    ">= 0.1",
)
lists = [name.split(", ") for name in ImageNetInfo().label_descriptions()]
alike = [name in names for name, names in zip(network.classes, lists, strict=True)]
page.claim("names of torchvision's list that stand in the same place of timm's, of 1,000", sum(alike), ">= 980")

# %% [markdown]
# At {small} px it is {wrong_sure:.0%} sure of a *{wrong}*: a probability says how far it prefers a class to its others,
# and not whether it is right. Where your classes are not among its thousand, replace its last layer, {last:,} of its
# {total:,} parameters, and keep the rest: `frostline train backbone=efficientnet_lite0 schedule=frozen
# image_size={side} {page.material.given}`, and ask it by `frostline predict RUN PICTURES`.

# %%
small = 64
wrong, wrong_sure = best[f"shrunk to {small} px"]
weight, bias = list(held.values())[-2:]
last, total = weight.numel() + bias.numel(), count(whole.parameters())
page.claim("parameters, in millions; published are 4.7", total / 1e6, 4.7, 0.1)
page.claim("of these in the last layer: 1,280 x 1,000 and a bias each", last, 1_281_000)

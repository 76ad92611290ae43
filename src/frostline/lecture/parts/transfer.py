# %% [markdown]
# ## 6. Transfer
#
# A network that was trained on ImageNet has learnt edges, textures and parts of things, which nearly all pictures have.
# So where one has a few hundred, one trains a new head alone until it settles, and then, gently, all of the network;
# and one shows it each picture shifted, turned, rescaled, mirrored and sheared (**augmentation**), its boxes and its
# mask moving along.

# %%
import tempfile
from pathlib import Path

import torch
from torchvision import tv_tensors

from frostline.config import build, compose
from frostline.lecture.committed import committed, committed_runs
from frostline.lecture.figures.transfer import thaw_figure, views_figure, wrong_figure
from frostline.lecture.page import begin
from frostline.lecture.training import Drift, NormsRunning, annotated, answer, apart, few, trained
from frostline.loading.transforms import RandomGeometry, keep_visible
from frostline.scenes.scene import VOID

page = begin("transfer")
asked = compose(["augment=lecture"])["augment"]["transform"]  # shift: 0.1, rotate: 15, …
ways = {"shift": "shifted", "rotate": "turned", "zoom": "rescaled", "flip": "mirrored", "shear": "sheared"}
item = annotated(page.material.dataset, 96, position=3)
views = {"as it is": item}
for name, title in ways.items():
    torch.manual_seed(1)
    moved = RandomGeometry(**{name: 1.0 if name == "flip" else asked[name]})(item)
    if "boxes" in moved:
        moved["boxes"], _ = keep_visible(moved["boxes"].as_subclass(torch.Tensor), 96)
    views[title] = moved
page.picture(
    views_figure(views, page.material.dataset.classes.masks or ()),
    "views",
    "One picture six times: as it is, shifted, turned, rescaled, mirrored and sheared. Boxes and mask, where it has "
    "some, have moved with what they show; what came into view from outside is grey, and hatched where it has a mask.",
)

bright = torch.zeros(3, 96, 96, dtype=torch.uint8)
bright[:, 30:60, 20:70] = 255  # a white rectangle, its mask, and its box
box = tv_tensors.BoundingBoxes([[20.0, 30, 70, 60]], format="XYXY", canvas_size=(96, 96), clamping_mode=None)
drawn = {"image": tv_tensors.Image(bright), "mask": tv_tensors.Mask((bright[0] > 0).byte()), "boxes": box}
geometry, differing, beyond = build(asked), [], []
for seed in range(50):
    torch.manual_seed(seed)
    moved = geometry(drawn)
    mask, known = moved["mask"] == 1, moved["mask"] != VOID
    differing.append(float(((moved["image"][0] > 127) != mask)[known].float().mean()))
    rows, columns = (torch.nonzero(mask.any(axis)).flatten().tolist() for axis in (1, 0))
    x0, y0, x1, y1 = moved["boxes"][0].tolist()
    beyond += [x0 - columns[0], y0 - rows[0], columns[-1] + 1 - x1, rows[-1] + 1 - y1]
page.claim("share of pixels where picture and mask did not move alike, at most, of 50 views", max(differing), "<= 0.01")
page.claim("pixels that a moved mask reaches beyond its moved box, at most", max(beyond), "<= 1")

# %% [markdown]
# {network} on {counts[train]} pictures of {side} px: for {thawed.thawed} epochs its head trains alone, {head:,} of
# {whole:,} parameters. What lies below gives the same numbers for the same picture, so it is computed once and read
# back. Then all of it trains, at a fifth of the rate. After {epochs} epochs it knows {after:.0%} of the {counts[test]}
# test pictures; where it stays frozen, {stays:.0%}. (One seed, and few pictures: the curves below are of {counts[val]},
# so each of these is worth {each:.1%}.)

# %%
work = tempfile.TemporaryDirectory()
folder, side, epochs = Path(work.name), 96, 8
pictures = few(page.material.dataset, {"label"}, folder)
counts = {split: len(pictures.scenes(split)) for split in ("train", "val", "test")}
seen = page.material.pictures(min(32, counts["test"]), side)
drifts = {name: Drift(seen) for name in ("thawed", "frozen", "hot", "running")}
alike = ["augment=lecture", "augment.views=2", f"image_size={side}", f"trainer.epochs={epochs}"]
thaw = [*alike, "schedule=thaw", "schedule.phases.0.until.at_most.share=0.5"]
thawed = trained(pictures, thaw, folder, "thawed", [drifts["thawed"]])
frozen = trained(pictures, [*alike, "schedule=frozen"], folder, "frozen", [drifts["frozen"]])

model, moment = thawed.built.task.model, thawed.thawed
network, whole = model.backbone.name, sum(parameter.numel() for parameter in model.parameters())
head = (model.backbone.embedding_size + 1) * len(pictures.classes.labels)
lowered = thawed.curve("lr_stem")[moment] / thawed.curve("lr_base")[moment]
after, stays = thawed.metrics["accuracy"], frozen.metrics["accuracy"]
accuracy, cold = thawed.curve("val_accuracy"), frozen.curve("val_accuracy")
before, last, each = accuracy[moment - 1], accuracy[-1], 1 / counts["val"]
page.claim("parameters that train at first: of each class 1,280 weights and a bias", model.trainable_at(0), head)
page.claim("epochs until it thaws: it has settled, or half of the budget is gone", moment, f"<= {epochs // 2}")
page.claim("how far its answers move while it is frozen", max(drifts["thawed"].shares[:moment]), 0.0)
page.claim("and in the epoch after, as a share of their norm", drifts["thawed"].shares[moment], "> 0")
page.claim("the rate below the head from then on, by that of the head before", lowered, 0.2, within=1e-6)
page.claim("until then, the two runs are one, to the last digit", cold[:moment] == accuracy[:moment], True)
page.picture(
    thaw_figure({"thawed": accuracy, "stays frozen": cold}, moment, "accuracy on the validation pictures"),
    "thaw",
    f"Accuracy after each of {epochs} epochs, of two runs that are one curve as long as both are frozen. A dashed "
    f"line marks the moment of thawing, after epoch {moment}; the thawed run ends at {last:.2f}, the one that stays "
    f"frozen at {cold[-1]:.2f}.",
)

# %% [markdown]
# **Two ways to spoil it.** Where the rate is *not lowered* as the network thaws, features can be torn away before they
# can adapt: it knew {before:.0%} of the validation pictures, and an epoch later knows {torn:.0%}; it ends at
# {hot_last:.0%}, the other at {last:.0%}. And a network whose weights are frozen, but whose **batch norms go on
# gathering statistics**, is not frozen. Without a single weight having moved, its answers to the same pictures differ
# by {off:.0%} of their norm, and the head learns from other features than it is asked with ({modes:.0%} apart).
# Nothing warns of it: it ends at {leaky:.0%} of the test pictures, where the network that is really frozen has
# {stays:.0%}; but whatever was computed with it before, and kept, is wrong, and in training what it says of a picture
# depends on the rest of the batch.

# %%
hot = trained(pictures, [*thaw, "schedule.phases.1.scale=1.0"], folder, "hot", [drifts["hot"]])
meddled = [NormsRunning(), drifts["running"]]
running = trained(pictures, [*alike, "schedule=frozen", "cache.enabled=false"], folder, "running", meddled)
torn, hot_last = (hot.curve("val_accuracy")[epoch] for epoch in (moment, -1))
leaky, off = running.metrics["accuracy"], drifts["running"].shares[-1]
page.claim(
    "not lowered: until it thaws it is the same run",
    hot.curve("val_loss")[:moment] == thawed.curve("val_loss")[:moment],
    True,
)
page.claim(
    "from then on, its rate by that of the other",
    hot.curve("lr_stem")[moment] / thawed.curve("lr_stem")[moment],
    5.0,
    within=1e-6,
)

still, leaking = frozen.built.task.model.train().backbone, running.built.task.model.backbone.train()
kept, now = still.state_dict(), leaking.state_dict()
weights = [name for name, _ in still.named_parameters()]
statistics = [name for name in kept if name.endswith(("running_mean", "running_var"))]
changed = {name for name in kept if not torch.equal(kept[name], now[name])}
page.claim("norms running: weights that have moved", len(changed & set(weights)), 0)
page.claim("statistics that have moved: all", len(changed & set(statistics)), len(statistics))
page.claim("how far its answers have moved", off, "> 0.01")
page.claim(
    "frozen: what the head learns from and what it is asked with differ by",
    apart(answer(still, seen), answer(still.eval(), seen)),
    0.0,
)
modes = apart(answer(leaking, seen), answer(leaking.eval(), seen))
page.claim("norms running: they differ by", modes, "> 0.01")
company = apart(answer(leaking.train(), seen[:2]), answer(leaking, seen)[:2])
page.claim("and in training, its answers to two pictures alone and among others by", company, "> 0.01")
if page.material.drawn:  # on other pictures that may honestly be otherwise
    page.claim("on drawn flowers, what thawing is worth, of the validation pictures", last - cold[-1], "> 0.05")
    page.claim("what is lost within an epoch where the rate is not lowered", before - torn, "> 0.05")
    page.claim("what it costs in the end", last - hot_last, "> 0.15")
page.picture(
    wrong_figure(
        {"rate lowered": accuracy, "rate not lowered": hot.curve("val_accuracy")},
        moment,
        {"all of it frozen": drifts["frozen"].shares, "its batch norms running": drifts["running"].shares},
        ("validation accuracy", "how far a frozen backbone's answers have moved"),
    ),
    "wrong",
    f"Above, two runs that thaw after epoch {moment}: the one at a fifth of the rate ends at {last:.2f} of the "
    f"validation pictures, the one at the same rate as before at {hot_last:.2f}. Below, how far the answers of a "
    f"frozen network have moved, as a share of their norm: 0 throughout where it is really frozen, {off:.2f} where "
    "its batch norms go on.",
)
work.cleanup()

# %% [markdown]
# {photographs}
#
# On your own pictures: `frostline train dataset.root=path/to/pictures schedule=thaw augment=lecture`. Which schedule
# and which network are best for them is a study: `frostline study new mine`.

# %%
photographs, flowers = "", committed("flowers")
more, runs = committed("flowers_thawed"), committed_runs("flowers_thawed")
if flowers is not None:
    found, then = flowers["efficientnet_lite0 / frozen"], flowers["efficientnet_lite0 / thaw"]
    page.claim("on 770 photographs of flowers, frozen: 75 to 80 % were expected", found.mean, 0.8, within=0.05)
    page.claim("what thawing is worth there", then.mean - found.mean, "> 0.02")
    photographs += (
        f"On photographs of five flowers, 770 of them of 96 px, this network has {found} frozen and {then} thawed "
        "(three seeds, 95 % intervals: experiments/flowers). The rule of thumb, 75 to 80 % frozen and about 95 % "
        "thawed, holds for the first; the second takes more pictures, and larger ones. "
    )
if more is not None and runs:
    best = max(more, key=lambda arm: more[arm].mean)
    page.claim("on more and larger ones, thawed: about 95 % were expected", more[best].mean, "> 0.93")
    photographs += (
        f"With these, {runs[0]['backbone']} has {more[best]} ({len(runs)} seeds: experiments/flowers_thawed, which "
        "tells what is still wrong)."
    )

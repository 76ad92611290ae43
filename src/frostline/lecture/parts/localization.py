# %% [markdown]
# ## 7. Localization
#
# So far: *what* is in a picture. *Where* it is takes four numbers: the middle of a box, its width and its height, from
# a second head beside that of the class. Its **IoU**, intersection over union, tells how good a box is: what it shares
# with the true box, as a part of what either covers. Here that is {shared:,.0f} of {covered:,.0f} pixels, {iou:.2f}.

# %%
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torchvision.ops import box_convert, box_iou

from frostline.annotate.exchange import export, import_
from frostline.annotate.proposals import propose
from frostline.checking.prepare import prepare
from frostline.config import compose
from frostline.lecture.boxed import Unboxed, batches_of, boxed, boxes_of, first_box, named_boxes, redraw, scene_of
from frostline.lecture.figures.boxes import alike_figure, iou_figure, located_figure, masks_figure
from frostline.lecture.material import material
from frostline.lecture.page import begin
from frostline.loading.epochs import shown as epoch_of
from frostline.metrics.localization import overlaps
from frostline.runs.build import build_data, build_task
from frostline.scenes.scene import SPLITS
from frostline.tasks.examples import examples, spread
from frostline.tasks.localization import BOX_LOSSES

page = begin("localization")
side = 96
picture = page.material.pictures(1, side)[0].float() / 255
true = first_box(page.material, side)  # x0 y0 x1 y1
extent = true[2:] - true[:2]
inwards = torch.where((true[:2] + true[2:]) / 2 < side / 2, 1.0, -1.0)
found = true + (extent * inwards * torch.tensor([0.25, 0.15])).round().repeat(2)


def area(x0: float, y0: float, x1: float, y1: float) -> float:
    return max(0.0, float(x1 - x0)) * max(0.0, float(y1 - y0))


def pixels_of(box: torch.Tensor) -> torch.Tensor:
    at = torch.arange(-side, 2 * side) + 0.5  # beyond the picture, too: a box may reach there
    return ((at > box[1]) & (at < box[3]))[:, None] & ((at > box[0]) & (at < box[2]))


shared = area(*torch.maximum(true[:2], found[:2]), *torch.minimum(true[2:], found[2:]))
covered = area(*true) + area(*found) - shared
iou = shared / covered
one, other = pixels_of(true), pixels_of(found)
counted = int((one & other).sum()) / int((one | other).sum())
page.claim("IoU by hand, as torchvision has it", iou, float(box_iou(true[None], found[None])), 1e-6)
page.claim("as Frostline measures it", iou, float(overlaps(found[None], true[None])), 1e-6)
page.claim("as one counts pixels that lie in both boxes, and in either", iou, counted, 1e-6)

moved = [true + torch.tensor([step * float(extent[0]), 0] * 2) for step in (1 / 3, 1)]
within = torch.cat([true[:2] + extent / 4, true[2:] - extent / 4])
third, beside, half = box_iou(true[None], torch.stack([*moved, within]))[0].tolist()
page.claim("IoU of a box of the right size, off by a third of its width", third, 0.5, 1e-6)
page.claim("of one in the right place, half as wide and half as high", half, 0.25, 1e-6)
page.claim("of one that only touches it", beside, 0.0, 1e-6)
page.picture(
    iou_figure(picture, true.tolist(), found.tolist(), shared, covered),
    "iou",
    "A picture with a true box in green and a found one in orange, moved by a quarter of its width; then in blue the "
    f"part that they share, and the larger part that either covers. Their ratio is the IoU, {iou:.2f}.",
)

# %% [markdown]
# **What is learnt is not what is measured.** The four numbers are learnt by their mean squared error, which falls with
# every step nearer; IoU says nothing of boxes that do not meet. But the same error is much to a small thing and little
# to a large one, and moving costs more IoU than growing: the three boxes below have one and the same squared error,
# {error:.4f}, and IoUs of {small:.2f}, {wide:.2f} and {large:.2f}.

# %%
mse = BOX_LOSSES["mse"]
cases = torch.tensor(  # centre x, centre y, width, height in parts of the picture: true, then found
    [
        [[0.4, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]],
        [[0.4, 0.5, 0.2, 0.2], [0.4, 0.5, 0.3, 0.2]],
        [[0.45, 0.5, 0.8, 0.8], [0.55, 0.5, 0.8, 0.8]],
    ]
)
corners = box_convert(cases, "cxcywh", "xyxy")
errors, ious = mse(cases[:, 1], cases[:, 0], side).tolist(), overlaps(corners[:, 1], corners[:, 0]).tolist()
error, (small, wide, large) = errors[0], ious
page.claim("squared errors of the three boxes", errors, (0.0025, 0.0025, 0.0025), 1e-7)
page.claim("their IoUs: a third, two thirds, seven ninths", ious, (1 / 3, 2 / 3, 7 / 9), 1e-6)

missed = cases[0, 0] + torch.tensor([[0.25, 0, 0, 0], [0.5, 0, 0, 0]])
same = cases[:1, 0].expand(2, -1)
nearer, farther = mse(missed, same, side).tolist()
nothing = overlaps(box_convert(missed, "cxcywh", "xyxy"), corners[:1, 0].expand(2, -1)).tolist()
page.claim("IoUs of two boxes that miss a thing, one by twice as far as the other", nothing, (0.0, 0.0), 1e-6)
page.claim("how many times as large the farther one's squared error is", farther / nearer, 4.0, 1e-5)
words = ["off by 0.1", "too wide by 0.1", "off by 0.1, but large"]
titles = [f"{word}\nMSE {e:.4f}, IoU {share:.2f}" for word, e, share in zip(words, errors, ious, strict=True)]
page.picture(
    alike_figure([(*pair, title) for pair, title in zip(corners.tolist(), titles, strict=True)]),
    "alike",
    "Three pairs of a true and a found box, all with the same squared error: a small box beside its place has an IoU "
    f"of {small:.2f}, one that is too wide {wide:.2f}, and a large one beside its place {large:.2f}.",
)

# %% [markdown]
# **An item** is a picture and what is known of it, *(image, (label, box))*. A batch has several of each, by name. In
# the textbooks both heads read the same {features:,} numbers, the means of the network's last maps: one gives a score
# for each class, the other the box.

# %%
place = TemporaryDirectory()
folder = Path(place.name)
pictures = boxed(page.material, {"label", "boxes"}, folder)
if pictures.why:
    page.say(pictures.why)
config = compose([*pictures.overrides, "task=localization", "head=pooled_box", "augment=none", "cache.size_gb=0"])
data = build_data(config, pictures.dataset)
torch.manual_seed(0)
task = build_task(config, data.classes).eval()
batches = batches_of(data.train_dataloader())
batch, size = batches[0], config["image_size"]
n = len(batch["id"])
page.table(
    ["of a batch", "shape", "what it is"],
    [
        ["image", tuple(batch["image"].shape), "colours from 0 to 255"],
        ["label", tuple(batch["label"].shape), f"number of a class: {', '.join(data.classes[:6])}"],
        ["boxes", (n, *batch["boxes"][0].shape), "left, top, right, bottom in pixels, of the largest thing"],
    ],
)
has_box = torch.tensor([len(boxes) > 0 for boxes in batch["boxes"]])
page.claim("pictures of a batch: colours, rows, columns", tuple(batch["image"].shape), (n, 3, size, size))
page.claim("boxes of a picture, at most", max(len(boxes) for each in batches for boxes in each["boxes"]), 1)
page.claim(
    "pictures of an epoch",
    sum(len(each["id"]) for each in batches),
    epoch_of(len(data.items("train")), config["trainer"]["batch_size"]),
)

with torch.no_grad():
    scores, boxes = task(batch["image"])
features = task.model.backbone.embedding_size
second: Any = task.model.head.box
weights = sum(parameter.numel() for parameter in second.parameters())
page.claim("numbers that the two heads give a picture", (scores.shape[1], boxes.shape[1]), (len(data.classes), 4))
page.claim("weights of the second: four times as many as it reads, and four biases", weights, 4 * features + 4)
wanted = box_convert(torch.cat(batch["boxes"]) / size, "xyxy", "cxcywh")
by_hand = config["task"]["box_weight"] * float((boxes[has_box] - wanted).square().mean())
loss = float(task.criterion((scores, boxes), batch)["box"])
page.claim("loss of the boxes by hand: ten times their mean squared error", by_hand, loss, 1e-5)

# %% [markdown]
# **A frozen network**, trained on ImageNet, and a head that learns on {known:,} pictures. The single dense layer of the
# textbooks reads means over the whole picture, which have forgotten *where*: its boxes have a mean
# IoU of {textbook:.2f}, and one and the same box for all pictures, the mean of the true ones, {constant:.2f}. A head
# that reads the place off the feature maps (spatial softmax, arXiv:1504.00702) comes to **{reading:.2f}**,
# and names the class of {named:.0%}.

# %%
common = ("task=localization", "trainer.epochs=12", "trainer.batch_size=32")
textbook = pictures.run(folder, "textbook", *common, "head=pooled_box").metrics["iou"]
run = pictures.run(folder, "reading", *common, "head=box")
built, measured = run.built, run.metrics
items, rows = built.data.items("test"), built.task.tested.rows
chosen = spread(6, len(items))
shown = examples(built.task, items, chosen)
known, reading, named = len(built.data.items("train")), measured["iou"], measured["accuracy"]
learnt, tested = (boxes_of(part) / size for part in (batches, batches_of(data.test_dataloader())))
mean = box_convert(box_convert(learnt, "xyxy", "cxcywh").mean(0, keepdim=True), "cxcywh", "xyxy")
constant = float(overlaps(mean.expand(len(tested), -1), tested).mean())
if pictures.drawn:
    page.claim("mean IoU of the drawn flowers, on test pictures", reading, ">= 0.4")
    page.claim("test pictures whose box reaches an IoU of 0.5, as a part", measured["iou50"], ">= 0.6")
    page.claim("how much that is above the mean box", reading - constant, ">= 0.1")
    page.claim("above the layer that reads means", reading - textbook, ">= 0.1")
page.picture(
    located_figure(shown, [rows[at]["quality"] or 0.0 for at in chosen]),
    "located",
    f"{len(shown)} test pictures with the true box in green and the found one in orange, above each the class that was "
    "found, the true one where that is another, and the IoU: most boxes lie over their thing, few follow its edges.",
)

# %% [markdown]
# **Boxes for flowers that had none.** Where there are masks, there are boxes: one around each connected region. That
# gives {right:.0%} of {count:,} drawn flowers the right box, to the pixel; where two of a kind touch, or one lies
# across another, somebody has to look: the boxes go to an annotation tool, and come back corrected (here a script does
# what somebody would do there).

# %%
drawn = material([]).dataset  # has masks, and boxes to compare with
bare = prepare(Unboxed(drawn, dict.fromkeys(SPLITS, 30)), folder / "bare", name="flowers", split={"given": True})
proposed = {each.scene: {(box.label, box.corners) for box in each.boxes} for each in propose(bare)}
real = {name: boxes for name, boxes in named_boxes(drawn).items() if name in proposed}
few = sorted(name for name in real if len(real[name]) < 5 and real[name] - proposed[name])
wrong = max(few, key=lambda name: sum(area(*box) for _, box in proposed[name] - real[name]))  # which one sees at once

export(bare.path, "coco", folder / "boxes.json")
boxes = json.loads((folder / "boxes.json").read_text())
redraw(boxes, wrong, real[wrong])  # what somebody does who sees that they are wrong
(folder / "corrected.json").write_text(json.dumps(boxes))
after, _ = import_(bare.path, folder / "corrected.json", "coco", folder / "after")
back = named_boxes(after)
count = sum(map(len, real.values()))
right = sum(len(real[name] & proposed[name]) for name in real) / count
doubtful = sum(real[name] != proposed[name] for name in real) / len(real)
page.claim("pictures that have boxes before", len(named_boxes(bare)), 0)
page.claim("drawn flowers whose box from the mask is the true one, as a part", right, ">= 0.8")
page.claim("pictures of which somebody has to correct something, as a part", doubtful, ">= 0.1")
page.claim("a picture that was corrected comes back with its true boxes", back[wrong] == real[wrong], True)
page.claim("which were not those that its mask gave", back[wrong] == proposed[wrong], False)
others = [name for name in proposed if name != wrong and proposed[name]]
page.claim("pictures that nobody changed, back as they were", sum(back[n] == proposed[n] for n in others), len(others))
page.picture(
    masks_figure(scene_of(drawn, wrong), drawn.classes, proposed[wrong], real[wrong]),
    "masks",
    "A drawn picture with its mask in colours; the boxes around the mask's regions, in red those that are none of a "
    "flower's; and, all in green, the boxes that came back once somebody had corrected them.",
)

place.cleanup()

# %% [markdown]
# On your own pictures, with masks or without; DATASET is what `frostline prepare` made of them, and export.json what
# Label Studio gives back once boxes are drawn:
#
#     frostline annotate export DATASET --to label-studio --out tasks.json --only-missing
#     frostline annotate import DATASET export.json --from label-studio --out NEW
#     frostline train task=localization dataset=prepared dataset.root=NEW

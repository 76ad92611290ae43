# %% [markdown]
# ## 9. Segmentation
#
# Boxes are coarse. Of which class is **each pixel**: {classes}? What a network knows at its end it knows coarsely, one
# cell for 32 x 32 pixels; so it is enlarged again, and what was seen finer on the way down is added on the way up
# (**skip connections**).
#
# It is enlarged by **transposed convolutions**: each cell paints the filter, times its value, upon the larger map, a
# stride further than the cell before. Where the filter's side is no multiple of the stride, some cells are painted
# more often than others: a **checkerboard** (Odena et al. 2016, doi:10.23915/distill.00003).

# %%
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F

from frostline.lecture.committed import committed_runs
from frostline.lecture.figures.segmentation import masks_figure, painted_figure
from frostline.lecture.page import begin
from frostline.lecture.training import few, trained
from frostline.loading.batch import collate
from frostline.loading.items import SceneItems
from frostline.metrics.segmentation import pixel_confusion, pixel_scores
from frostline.models.heads.segmentation.fcn import enlargement
from frostline.scenes.scene import VOID

page = begin("segmentation")
page.material.scenes(needs="mask", least=2)
torch.manual_seed(0)
side, k, stride = 5, 3, 2
small, weights = torch.randn(1, 1, side, side), torch.randn(1, 1, k, k)
painted = torch.zeros(1, 1, (side - 1) * stride + k, (side - 1) * stride + k)
for i in range(side):
    for j in range(side):
        painted[..., i * stride : i * stride + k, j * stride : j * stride + k] += small[..., i, j] * weights
large = F.conv_transpose2d(small, weights, stride=stride)
page.claim(
    "painting cell by cell gives what the library gives: at most off by",
    float((painted - large).abs().max()),
    "<= 1e-5",
)

pixels = torch.eye(11 * 11).view(-1, 1, 11, 11)  # pictures of which one pixel is bright
matrix = F.conv2d(pixels, weights, stride=stride).flatten(1).T  # times a picture, it is the convolution
page.claim(
    "rows and columns of a convolution's matrix, from 11 x 11 pixels to 5 x 5 cells", tuple(matrix.shape), (25, 121)
)
turned = (matrix.T @ small.flatten()).view_as(large)
page.claim("that matrix, transposed, gives the same: at most off by", float((turned - large).abs().max()), "<= 1e-5")
page.claim("side of what 5 cells become: (5 - 1) x 2 + 3", large.shape[-1], 11)

double = enlargement(1, 2)  # as in the FCN: a filter of 4, a stride of 2, and one pixel less on each side
smooth, inside = double(small).detach(), (..., slice(1, -1), slice(1, -1))
library = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
page.claim("of what they become by the FCN's doubling", smooth.shape[-1], 10)
page.claim(
    "which starts as bilinear interpolation: inside, off by", float((smooth - library)[inside].abs().max()), "<= 1e-6"
)

often = {}
for k in (3, 4):
    often[k] = F.conv_transpose2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, k, k), stride=2)[0, 0, 2:-2, 2:-2]
page.claim("how often a filter of 3 paints a cell, with a stride of 2", often[3].unique().tolist(), (1.0, 2.0, 4.0))
page.claim("a filter of 4", often[4].unique().tolist(), (4.0,))
page.picture(
    painted_figure({f"how often, by {k} x {k}": often[k][:8, :8] for k in often}),
    "painted",
    "How often each cell of a larger map is painted, in greys. By a filter of 3 with a stride of 2 once, twice or "
    "four times, which looks like a checkerboard; by a filter of 4 always four times, which is one even grey.",
)

# %% [markdown]
# What a coarse map loses can be known without training. Give each cell the class that most of its pixels *truly* have:
# no answer with one class a cell has more pixels right. So it is worthwhile to read finer maps, too.

# %%
work = tempfile.TemporaryDirectory()
folder, size, epochs = Path(work.name), 96, 12
pictures = few(page.material.dataset, {"mask"}, folder)
names = pictures.classes.masks
classes = ", ".join(names[:12]) + (f" or one of {len(names) - 12} more" if len(names) > 12 else "")
counts = {split: len(pictures.scenes(split)) for split in ("train", "val", "test")}
items = SceneItems(pictures, "test", {"mask"}, size)
truths = [items.plain(n)["mask"].as_subclass(torch.Tensor).long() for n in range(len(items))]


def best_of(mask, cell):
    """Each cell has the class that most of its known pixels have."""
    votes = F.one_hot(mask.where(mask != VOID, len(names)), len(names) + 1)[..., : len(names)]
    cells = F.avg_pool2d(votes.permute(2, 0, 1).float(), cell).argmax(0)
    return cells.repeat_interleave(cell, 0).repeat_interleave(cell, 1)


best, right = {}, {}
for cell in (32, 16, 8):
    counted = sum(pixel_confusion(best_of(mask, cell), mask, len(names)) for mask in truths)
    scores = pixel_scores(counted)
    best[cell], right[cell] = float(scores["miou"]), float(scores["pixel_accuracy"])
page.table(
    ["one class for each", "pixels right, at most", "mIoU of that"],
    [[f"{cell} x {cell} pixels", f"{right[cell]:.1%}", f"{best[cell]:.2f}"] for cell in best],
)
page.claim("cells of 96 x 96 pixels at 1/32, 1/16 and 1/8", [(size // cell) ** 2 for cell in best], (9, 36, 144))
page.claim("the finer the cells, the more pixels can be right", sorted(right, key=right.get), (32, 16, 8))

# %% [markdown]
# Four heads on one frozen network, each with the same {counts[train]} pictures and {epochs} epochs: **FCN-32s** reads
# the last map alone, **FCN-16s** and **FCN-8s** add a finer one each (Long et al. 2015, arXiv:1411.4038), and
# **U-Net** (Ronneberger et al. 2015, arXiv:1505.04597) has layers of its own on the way up, to 1/4. They are judged by
# **mIoU**: of each class, the pixels that are of it *and* found, by those that are of it *or* found; and of that the
# mean. To call every pixel {commonest} makes {share:.0%} of them right, and an mIoU of only {lazy:.2f}.

# %%
alike = ["task=segmentation", "schedule=frozen", "augment=none", f"image_size={size}", f"trainer.epochs={epochs}"]
reads = {"fcn32s": "1/32", "fcn16s": "1/32, 1/16", "fcn8s": "1/32 to 1/8", "unet": "1/32 to 1/4"}
own = {"unet": ["head.decoder_channels=[64,48,32]"]}  # slimmer, and one floor lower, for the sake of a minute
runs = {
    head: trained(pictures, [*alike, "optimizer.lr=0.01", f"head={head}", *own.get(head, [])], folder, head)
    for head in reads
}
miou = {head: run.metrics["miou"] for head, run in runs.items()}

task, tested = runs["fcn8s"].built.task.eval(), runs["fcn8s"].built.data.items("test")
both, either, true = torch.zeros(3, len(names), dtype=torch.float64)
for batch in runs["fcn8s"].built.data.test_dataloader():
    with torch.no_grad():
        answers = task.predict(task(batch["image"]), batch)
    for answer, truth in zip(answers, batch["native_mask"], strict=True):
        found = torch.from_numpy(answer.mask)
        for number in range(len(names)):
            of_it, called_it = truth == number, (found == number) & (truth != VOID)
            both[number] += int((of_it & called_it).sum())
            either[number] += int((of_it | called_it).sum())
            true[number] += int(of_it.sum())
by_hand = float((both / either)[either > 0].mean())
page.claim("mIoU of FCN-8s by hand, and as the project measures it", by_hand, miou["fcn8s"], within=1e-4)

share, commonest = float(true.max() / true.sum()), names[int(true.argmax())]
called = torch.zeros(len(names), len(names), dtype=torch.float64)  # true classes in rows
called[:, true.argmax()] = true
lazy = float(pixel_scores(called)["miou"])
page.claim(
    "mIoU of calling all one class: its share, by the number of classes",
    lazy,
    share / int((true > 0).sum()),
    within=1e-6,
)
parameters = {head: sum(p.numel() for p in run.built.task.model.head.parameters()) for head, run in runs.items()}
page.claim(
    "parameters of FCN-32s: of each class a weight for each of 320 maps, and a bias",
    parameters["fcn32s"],
    len(names) * 321,
)
extra = parameters["fcn16s"] - parameters["fcn32s"]
page.claim(
    "what FCN-16s has more: as much for 112 maps, and a doubling", extra, len(names) * 113 + 16 * len(names) ** 2
)
steps = list(zip(list(reads)[1:], list(reads), strict=False))
adds = {head: miou[head] - miou[before] for head, before in steps}
if page.material.drawn:  # on other pictures that may honestly be otherwise
    page.claim("on drawn flowers, what the map at 1/16 adds", adds["fcn16s"], "> 0.03")
    page.claim("what the map at 1/8 adds", adds["fcn8s"], "> 0.02")
    page.claim("what U-Net has more than the last map alone", miou["unet"] - miou["fcn32s"], "> 0.15")
page.table(
    ["head", "reads maps at", "parameters", "mIoU", "more than the one above"],
    [
        [head, maps, parameters[head], f"{miou[head]:.3f}", f"{adds[head]:+.3f}" if head in adds else ""]
        for head, maps in reads.items()
    ],
)

shown = collate([tested.plain(0)])
masks = {"the truth": shown["mask"][0]}
for head, run in runs.items():
    with torch.no_grad():
        masks[head] = run.built.task.eval()(shown["image"])[0].argmax(0)
page.picture(
    masks_figure(shown["image"][0], masks, names),
    "heads",
    "A test picture, its true mask, and what four heads make of it. What reads the last map alone leaves blots where "
    "things are; with each finer map, outlines come closer to the true ones.",
)
work.cleanup()

# %% [markdown]
# {streets}
#
# On your own pictures with masks:
# `frostline train dataset=masks dataset.root=path/to/pictures task=segmentation head=fcn8s schedule=thaw`

# %%
streets, rows = "", committed_runs("segmenters")
if rows is not None:
    street = {row["head"]: float(row["test_miou"]) for row in rows}
    page.claim("on streets, what FCN-8s has more than FCN-32s", street["fcn8s"] - street["fcn32s"], "> 0.02")
    page.claim("and U-Net no more than FCN-8s", street["unet"] - street["fcn8s"], "<= 0")
    streets = (
        "On photographs of streets, with classes such as road, car, pedestrian and building, all of the network "
        f"trained for twenty epochs: FCN-32s {street['fcn32s']:.3f}, FCN-8s {street['fcn8s']:.3f}, U-Net "
        f"{street['unet']:.3f} (experiments/segmenters). There U-Net is no better than they are: which head is best "
        "depends on the pictures and the training, and one seed each, there as here, proves little."
    )

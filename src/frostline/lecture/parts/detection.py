# %% [markdown]
# ## 8. Detection
#
# A picture may hold many things. *What is where, however many there are?* The oldest answer is a classifier that looks
# through a window: cut the picture into {rows} x {columns} cells, look at {k} x {k} of them, move on by one, look
# again. That is ({rows} - {k} + 1) x ({columns} - {k} + 1) = {windows} windows, then {larger} of {k_larger} x
# {k_larger} for larger things, and so on.

# %%
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import batched_nms, box_iou, nms

from frostline.config import compose
from frostline.lecture.boxed import batches_of, boxed, candidates, found_and_true, two_things
from frostline.lecture.figures.boxes import (
    detected_figure,
    precision_recall_figure,
    suppression_figure,
    windows_figure,
)
from frostline.lecture.page import begin
from frostline.metrics.detection import coco_average_precision, coco_matches, voc_average_precision
from frostline.models.heads.detection.windows import AT_ONCE, MARGIN, WINDOW, propose
from frostline.models.heads.detection.yolo import BINS
from frostline.models.small_cnn import STRIDE
from frostline.predict.boxes import suppress
from frostline.runs.build import build_task
from frostline.tasks.examples import examples, spread

page = begin("detection")
rows, columns, k, k_larger, cell = 6, 8, 3, 4, 16
corners = [
    (row, column) for row in range(rows) for column in range(columns) if row + k <= rows and column + k <= columns
]
windows = len(corners)
larger = torch.zeros(rows, columns).unfold(0, k_larger, 1).unfold(1, k_larger, 1).shape[:2].numel()
page.claim("windows of 3 x 3 cells by the formula, as counted", (rows - k + 1) * (columns - k + 1), windows)
page.claim("windows of 4 x 4 cells, as the library unfolds them", (rows - 4 + 1) * (columns - 4 + 1), larger)
sizes = compose(["task=detection", "backbone=small_cnn", "head=sliding_window"])["head"]["sizes"]
looked_at = [len(propose(size, torch.device("cpu"))) for size in sizes]
formula = [((size + 2 * MARGIN - WINDOW) // STRIDE + 1) ** 2 for size in sizes]
page.claim(
    f"windows of {WINDOW} px of `head=sliding_window`, of a picture at {len(sizes)} sizes", formula, tuple(looked_at)
)
page.claim("which is in all, for one picture", sum(looked_at), 1557)
picture = page.material.pictures(1, columns * cell)[0, :, : rows * cell].float() / 255
page.picture(
    windows_figure(picture, cell, [corners[0], corners[1], corners[-1]], k, windows),
    "windows",
    f"A picture cut into {rows} x {columns} cells by thin lines, with three frames of {k} x {k} cells: the first in "
    "the upper left corner, the second a cell further right, over most of the first, the last in the lower right.",
)

# %% [markdown]
# **One pass for all windows.** Neighbours share most of their pixels, and a network without padding says of a window
# the same alone as within the picture. So its dense layer becomes a convolution of {kernel} x {kernel} with the same
# weights, and one pass over the picture says what {many:,} windows say (OverFeat, arXiv:1312.6229), here **{ratio:.0f}
# times** as fast: {pass_ms:.0f} ms in place of {slid_ms:,.0f} ms (windows in batches of {at_once}, on the same cores),
# by {fewer:.0f} times fewer multiply-adds.

# %%
torch.manual_seed(0)
size, repeats, at_once = 448, 5, AT_ONCE
common = ["task=detection", "backbone=small_cnn", f"image_size={size}", f"head.sizes=[{size}]"]
slid, one_pass = (
    build_task(compose([*common, f"head={head}"]), ("a", "b", "c")).eval()
    for head in ("sliding_window", "fully_convolutional")
)
one_pass.load_state_dict(slid.state_dict())
picture = (page.material.pictures(1, size).float() / 255).contiguous(memory_format=torch.channels_last)


def timed(task: Any) -> tuple[float, torch.Tensor]:
    since = time.perf_counter()
    with torch.inference_mode():
        told = task.model.head.score_windows(task.model.backbone, picture)
    return 1e3 * (time.perf_counter() - since), told


products = []
for task in (slid, one_pass):  # the first time, memory is fetched
    with FlopCounterMode(display=False) as counter:
        timed(task)
    products.append(counter.get_total_flops())
fewer = products[0] / products[1]
pairs = [(timed(slid), timed(one_pass)) for _ in range(repeats)]
slid_ms, pass_ms = (min(pair[side][0] for pair in pairs) for side in (0, 1))  # when nothing else ran
ratio = slid_ms / pass_ms
apart = max(float((window[1] - whole[1]).abs().max()) for window, whole in pairs)
head: Any = one_pass.model.head
many, dense, kernel = pairs[0][0][1].shape[1], head.hidden.weight, head.side
starts = range(0, size - WINDOW + 1, STRIDE)
page.claim(f"windows of {WINDOW} px in a picture of {size} px, in steps of {STRIDE}", many, len(starts) ** 2)
page.claim(
    "of them, those that look at one and the same pixel", sum(x <= size // 2 < x + WINDOW for x in starts) ** 2, 64
)
page.claim("weights of the dense layer, 128 x 64 x 6 x 6, and of the convolution", dense.numel(), 128 * 64 * 6 * 6)
page.claim(
    "what each says: something is there, three classes, four numbers of a box", pairs[0][1][1].shape[2], 1 + 3 + 4
)
page.claim("how far any number of one is from the other's, at most", apart, "<= 1e-4")
page.claim("multiply-adds of all windows, by those of one pass", fewer, ">= 20")
page.claim(f"one pass, times as fast as the windows (the quickest of {repeats} each)", ratio, "> 4")

# %% [markdown]
# **Many say the same.** All windows around a thing find it. Each tells its **objectness**, how sure it is that
# something is there, and below a threshold ({threshold} here) it is dropped. Of the others, class by class,
# **non-maximum suppression** keeps the surest, drops what overlaps it by more than {most:.0%}, and goes on with the
# rest. The boxes below are made up, so that one sees each; those of a network come to the same test further on.

# %%
threshold, most, frame = 0.4, 0.6, 128
picture, things = two_things(page.material, frame)
boxes, scores = candidates(things, frame)


def suppressed(boxes: torch.Tensor, scores: torch.Tensor, most: float) -> tuple[list[int], list[Any]]:
    shares = box_iou(boxes, boxes)
    left, kept, steps = scores.argsort(descending=True, stable=True).tolist(), [], []
    while left:
        best, *others = left
        kept.append(best)
        left = [n for n in others if shares[best, n] <= most]
        steps.append((list(kept), [n for n in others if n not in left], left))
    return kept, steps


unlikely = torch.nonzero(scores < threshold).flatten().tolist()
likely = [n for n in range(len(boxes)) if n not in unlikely]
sure = boxes[: len(likely)], scores[: len(likely)]  # the unlikely ones come last
kept, steps = suppressed(*sure, most)
page.claim("likely boxes that are kept, in their order, as torchvision has it", kept, tuple(nms(*sure, most).tolist()))
ours = suppress(sure[0].numpy(), sure[1].numpy(), np.zeros(len(likely), int), most)
page.claim("as Frostline has it", kept, tuple(ours.tolist()))
page.picture(
    suppression_figure(
        picture,
        boxes.tolist(),
        scores.tolist(),
        [([], [], range(len(boxes))), ([], unlikely, likely), steps[0], (kept, [], [])],
        [
            f"{len(boxes)} boxes",
            f"what is below {threshold} goes",
            f"the surest stays, IoU > {most} goes",
            "and so on, to the end",
        ],
    ),
    "suppression",
    f"Four steps on one picture. {len(boxes)} boxes with their scores; the two unlikely ones go; the surest stays, and "
    f"those that overlap it go; in the end {len(kept)} boxes are left, one for each flower that was found.",
)

# %% [markdown]
# **YOLO** looks once. Each cell of a grid answers for what has its middle there: is there something, what, and how far
# off are its four sides? The first had 7 x 7 cells of 30 numbers (arXiv:1506.02640); `head=yolo` has {grids} cells
# here, {cells} in all, and each says {numbers} numbers: objectness, {classes} classes, and for each side how likely it
# is 0, 1 ... {farthest} steps away. Below, a frozen network, and a head of {weights:,} weights after
# {seconds:.0f} seconds of learning: of all cells, {there:.1%} have an objectness of 0.3 and more.

# %%
learning = ("task=detection", "head=yolo", "trainer.epochs=5", "trainer.batch_size=16", "optimizer.lr=0.003")
with TemporaryDirectory() as place:
    pictures = boxed(page.material, {"boxes"}, Path(place))
    if pictures.why:
        page.say(pictures.why)
    run = pictures.run(Path(place), "yolo", *learning)
    built = run.built
    items, batches = built.data.items("test"), batches_of(built.data.test_dataloader())
    shown = examples(built.task, items, spread(4, len(items)))
task: Any = built.task
seconds = run.epochs[-1]["train_seconds"]
size, classes, farthest = items.size, len(task.classes), BINS - 1
weights = sum(parameter.numel() for parameter in task.detector.parameters())
with torch.no_grad():
    told = task(batches[0]["image"])
there = float((told.objectness.sigmoid() >= 0.3).float().mean())
sides = [size // step for step in (8, 16, 32)]
grids = ", ".join(f"{side} x {side}" for side in sides)
cells, numbers = told.objectness.shape[1], 1 + told.classes.shape[2] + told.sides[0, 0].numel()
page.claim("cells of three grids, one every 8, 16 and 32 px", cells, sum(side**2 for side in sides))
page.claim("numbers of a cell: 1, one a class, 16 a side", numbers, 1 + classes + 16 * 4)
reach = (told.sides.softmax(-1) * torch.arange(16.0)).sum(-1) * told.strides[:, None]
by_hand = torch.cat([told.centres - reach[..., :2], told.centres + reach[..., 2:]], 2)
furthest = float((by_hand - told.boxes).abs().max())
page.claim("a box by hand, the mean of each side's distances from the cell: off by px, at most", furthest, "<= 1e-3")
page.picture(
    detected_figure(shown, 0.3),
    "detected",
    f"{len(shown)} test pictures with the true boxes in green, and in orange, with class and score, those that are "
    "found with a score of 0.3 and more.",
)

# %% [markdown]
# **How good is a detector?** Take what it finds in all test pictures, the surest first. A box is right if its IoU with
# the true one of its class that it covers best is 0.5 or more, and no surer box has that. Down the list, *recall* grows
# with each right one, and *precision* goes up and down; what counts is the **highest precision at that recall or
# beyond**, at recalls of 0, 10 ... 100 %. The mean of these eleven is the **AP** of a class (Pascal VOC until 2009,
# doi:10.1007/s11263-009-0275-4), and the mean over classes the **mAP**, here {m_ap:.2f}.

# %%
found, truth = found_and_true(task, batches)
everything: list[tuple[float, bool]] = []  # of all classes: the score of each box, and whether it is right


def right_or_wrong(label: int) -> tuple[torch.Tensor, int]:
    """Of each box that is found of a class, the surest first; and how many true ones there are."""
    judged: list[tuple[float, bool]] = []
    total = 0
    for one, real in zip(found, truth, strict=True):
        mine, theirs = one["labels"] == label, real["boxes"][real["labels"] == label]
        shares, taken = box_iou(one["boxes"][mine], theirs), set[int]()
        for score, share in zip(one["scores"][mine].tolist(), shares.tolist(), strict=True):
            best = max(share, default=0)
            right = best >= 0.5 and share.index(best) not in taken
            judged.append((score, right))
            taken |= {share.index(best)} if right else set()
        total += len(theirs)
    judged.sort(key=lambda each: -each[0])
    everything.extend(judged)
    return torch.tensor([right for _, right in judged], dtype=torch.long), total


def precisions(right: torch.Tensor, total: int, steps: int) -> list[float]:
    """The highest precision at recalls of 0, 1 / steps ... 1 or beyond; 0 where there is none."""
    hits = right.cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    return [max(precision[hits * steps >= step * total].tolist(), default=0.0) for step in range(steps + 1)]


lists = {label: right_or_wrong(label) for label in range(classes)}
lists = {label: told for label, told in lists.items() if told[1]}  # a class that no test picture has, has no AP
eleven = {label: precisions(*told, 10) for label, told in lists.items()}
average = {label: statistics.fmean(values) for label, values in eleven.items()}
m_ap = statistics.fmean(average.values())
voc = voc_average_precision(found, truth, classes)
furthest = max(abs(average[label] - float(voc["voc_ap11_by_class"][label])) for label in average)
page.claim(f"AP of {len(average)} classes by hand, from what Frostline has: off by, at most", furthest, "<= 1e-6")
page.claim("mAP by hand", m_ap, float(voc["voc_ap11"]), 1e-6)
rates = []  # from a score on: boxes, recall, precision
for least in (0.1, 0.3, 0.6):
    good = [right for score, right in everything if score >= least]
    rates.append(
        (least, len(good), sum(good) / sum(len(real["boxes"]) for real in truth), sum(good) / max(1, len(good)))
    )
page.table(
    ["score at least", "boxes", "recall, all classes", "precision"],
    [[least, many, f"{recall:.2f}", f"{precision:.2f}"] for least, many, recall, precision in rates],
)
shown_class = max(lists, key=lambda label: lists[label][1])
right, total = lists[shown_class]
hits = right.cumsum(0)
precision, best = hits / torch.arange(1, len(hits) + 1), eleven[shown_class]
page.picture(
    precision_recall_figure(hits / total, precision, best, average[shown_class], task.classes[shown_class]),
    "precision-recall",
    f"Precision against recall for {task.classes[shown_class]}: a grey line that goes up and down, eleven orange dots "
    f"that never rise, each as high as the line still gets, and their mean, {average[shown_class]:.2f}, dashed.",
)

# %% [markdown]
# **Which mAP?** The word has several meanings. Pascal VOC has taken the whole area under these precisions since 2010;
# COCO (arXiv:1405.0312) takes 101 recalls, lets a box have the best true one that is *still free*, and then takes the
# mean over IoUs of 0.50, 0.55 ... 0.95. What suppression is for, the last row says: each double is a mistake.

# %%
task.nms_iou = 1.0  # suppresses nothing
all_found, _ = found_and_true(task, batches)
task.nms_iou = most
doubled = float(voc_average_precision(all_found, truth, classes)["voc_ap11"])
coco = coco_average_precision(found, truth, classes)
half, strict, area = float(coco["map50"]), float(coco["map"]), float(voc["voc_ap_area"])
page.table(
    ["mAP", "value"],
    [
        ["11 recalls, IoU 0.5 (Pascal VOC until 2009)", m_ap],
        ["the whole area, IoU 0.5 (Pascal VOC since)", area],
        ["101 recalls, IoU 0.5 (COCO's AP50)", half],
        ["101 recalls, mean over IoUs of 0.50 to 0.95 (COCO's AP)", strict],
        ["11 recalls, IoU 0.5, without suppression", doubled],
    ],
)
order = torch.cat([one["scores"] for one in found]).argsort(descending=True, stable=True)
labels = torch.cat([one["labels"] for one in found])[order]
bits = [coco_matches(one, real, classes)[0] & 1 for one, real in zip(found, truth, strict=True)]
by_coco = torch.cat(bits)[order].long()
hundred = {n: statistics.fmean(precisions(by_coco[labels == n], lists[n][1], 100)) for n in lists}
furthest = max(abs(hundred[n] - float(coco["map50_by_class"][n])) for n in hundred)
page.claim("AP with 101 recalls by hand, from what COCO's evaluator has: off by, at most", furthest, "<= 0.01")
raw = task.detector.decode(told)
boxes, scores, labels = raw["boxes"][0].double(), raw["scores"][0].double(), raw["labels"][0]
mine: set[int] = set()
for kind in labels.unique():
    own = torch.nonzero(labels == kind).flatten()
    mine |= set(own[suppressed(boxes[own], scores[own], most)[0]].tolist())
library = set(batched_nms(boxes, scores, labels, most).tolist())
frostlines = set(suppress(boxes.numpy(), scores.numpy(), labels.numpy(), most).tolist())
page.claim(
    f"of {len(boxes)} boxes for one picture, what suppression keeps by hand as torchvision", mine == library, True
)
page.claim("and as Frostline", mine == frostlines, True)
if pictures.drawn:
    page.claim("times that precision as it is goes up again", int((precision.diff() > 0).sum()), ">= 3")
    page.claim("cells that say that something is there, of all, as a part", there, "<= 0.15")
    page.claim("recall of boxes from 0.1 on, above that from 0.6 on, by", rates[0][2] - rates[2][2], ">= 0.1")
    page.claim("and precision below, by", rates[2][3] - rates[0][3], ">= 0.1")
    page.claim("mAP of the drawn flowers", m_ap, ">= 0.3")
    page.claim("how far eleven recalls and 101 are apart", abs(m_ap - half), "<= 0.05")
    page.claim("what is left of the mAP without suppression, as a part", doubled / m_ap, "<= 0.8")

# %% [markdown]
# On your own pictures, whose boxes may be COCO's, YOLO's or VOC's:
#
#     frostline train task=detection head=yolo dataset.root=path/to/pictures image_size=320
#
# and for windows in one pass, `backbone=small_cnn head=fully_convolutional schedule=full`.

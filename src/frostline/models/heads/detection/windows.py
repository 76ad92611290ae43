"""A classifier of windows as a detector: slid over the picture, or, the same, in one pass.

After Sermanet et al. 2014 (OverFeat, arXiv:1312.6229). These heads need the pictures, not maps of them: `detect` scores
all windows of whole pictures, `sample` those that are cut out of them for training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone, in_floats
from frostline.models.heads.base import precise
from frostline.models.heads.detection.cells import Cells, CellsHead, assign_batch, judged
from frostline.models.small_cnn import STRIDE, SmallCnn
from frostline.pictures.fit import GREY
from frostline.shares import divisor, part

WINDOW = 64  # pixels, both sides
MARGIN = 16  # pixels that windows reach beyond the picture, as small objects beside its edge are near no middle else
AT_ONCE = 256  # windows that are scored together
NEAR = 0.2  # a window is assigned to a box whose centre is this near to its own, in its sides,
FILLED = (0.25, 0.95)  # and whose longer side is between these parts of its own


@dataclass(frozen=True)
class Windows(Cells):
    """Outputs for N windows. windows: (N, 4), or (B, N, 4) where each picture has its own; x0 y0 x1 y1 in pixels.

    The boxes are in pixels of the picture as well, the centres and strides those of the windows.
    """

    windows: Tensor


class SlidingWindowHead(CellsHead[Windows]):
    """Objectness, class and box of a window of 64 px, by dense layers on what the small network says of it.

    The window slides over the picture, which is resized to each of `sizes`, in steps of 8 px, and MARGIN beyond it,
    over grey; larger objects fill it where the picture is small. The smallest objects that are looked for have a longer
    side of 16 / max(sizes) of the picture's (FILLED of a window); one that fills more than 0.95 of the picture has no
    window, and is learnt as nothing. crops: windows that are cut out of each picture in a training step, half of
    them around objects. hidden: width of the dense layer. min_objectness: windows below it hold nothing.
    """

    sees_pictures = True
    smallest = WINDOW

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        sizes: Sequence[int] = (64, 96, 128, 192, 256),
        crops: int = 16,
        hidden: int = 128,
        min_objectness: float = 0.01,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, SmallCnn):
            raise FrostlineError(
                f"This head slides a window over a network without padding, and {backbone.name} pads: set "
                "backbone=small_cnn, or take another head."
            )
        if not sizes or any(size < WINDOW or size % STRIDE for size in sizes):
            raise FrostlineError(f"head.sizes is {list(sizes)}; each is a multiple of {STRIDE} from {WINDOW} up.")
        self.maps = []
        self.sizes, self.crops, self.min_objectness = list(sizes), crops, min_objectness
        self.side = WINDOW // STRIDE - 2  # of the map of a window
        self.hidden = nn.Linear(backbone.channels[0] * self.side**2, hidden)
        self.out = nn.Linear(hidden, 1 + classes + 4)

    def detect(self, backbone: Backbone, image: Tensor) -> Windows:
        """Outputs for every window of the pictures (B, 3, S, S)."""
        pictures, side = in_floats(image), image.shape[-1]
        scores, windows = [], []
        for size in self.sizes:
            resized = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
            scores.append(self.score_windows(backbone, _framed(resized, MARGIN)))
            windows.append(propose(size, image.device) * (side / size))
        return _outputs(torch.cat(scores, 1), torch.cat(windows), side)

    def score_windows(self, backbone: Backbone, pictures: Tensor) -> Tensor:
        """(B, 3, s, s) floats in 0..1 -> (B, windows, 1 + classes + 4), row by row: each window by itself."""
        crops = pictures.unfold(2, WINDOW, STRIDE).unfold(3, WINDOW, STRIDE)  # (B, 3, rows, columns, 64, 64), a view
        crops = crops.permute(0, 2, 3, 1, 4, 5)
        places = torch.cartesian_prod(*(torch.arange(n, device=pictures.device) for n in crops.shape[:3]))
        scores = [self._score(backbone, crops[tuple(part.unbind(1))]) for part in places.split(AT_ONCE)]
        return cast(Tensor, torch.cat(scores).unflatten(0, (len(pictures), -1)))

    def sample(self, backbone: Backbone, image: Tensor, boxes: Sequence[Tensor]) -> Windows:
        """Outputs for windows of each picture to train on: half of them around objects, half anywhere."""
        side = image.shape[-1]
        windows = torch.stack([self.sample_windows(b, side) for b in boxes])  # (B, crops, 4)
        margin = math.ceil(side * MARGIN / WINDOW)  # as the largest windows need it
        crops = crop_windows(_framed(in_floats(image), margin), windows + margin)
        return _outputs(self._score(backbone, crops).unflatten(0, windows.shape[:2]), windows, side)

    def sample_windows(self, boxes: Tensor, side: int) -> Tensor:
        """(crops, 4) windows, as far beyond the picture as others, from torch's random stream. boxes: (n, 4)."""
        device, half = boxes.device, self.crops // 2
        # Windows as they come when whole pictures are scored: from the finest size to the whole.
        least = math.log(WINDOW / max(self.sizes))
        extent = side * torch.exp(torch.empty(self.crops, device=device).uniform_(least, 0.0))
        centre = torch.rand(self.crops, 2, device=device) * side
        if len(boxes):
            chosen = boxes[torch.randint(len(boxes), (half,), device=device)]
            longer = (chosen[:, 2:] - chosen[:, :2]).amax(1)
            extent[:half] = longer / torch.empty(half, device=device).uniform_(*FILLED)
            offset = torch.empty(half, 2, device=device).uniform_(-NEAR, NEAR)
            centre[:half] = (chosen[:, :2] + chosen[:, 2:]) / 2 + offset * extent[:half, None]
        extent = extent.clamp(side * WINDOW / max(self.sizes), side)[:, None]
        beyond = extent * MARGIN / WINDOW
        corner = (centre - extent / 2).clamp(-beyond, side - extent + beyond)
        return torch.cat([corner, corner + extent], 1)

    def losses(
        self, outputs: Windows, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Objectness over all windows; class and box over those that are assigned to one."""
        windows = outputs.windows.expand(len(boxes), -1, -1)
        assigned = assign_batch(lambda scene, own, kinds: assign(windows[scene], own), boxes, labels)
        scenes, places, truths, classes = assigned
        there = torch.zeros_like(outputs.objectness)
        there[scenes, places] = 1
        weight = judged(outputs.centres, there, ignored)
        count, told = divisor(len(scenes), outputs.boxes), outputs.classes[scenes, places]
        return {
            "objectness": part(F.binary_cross_entropy_with_logits(outputs.objectness, there, weight), len(boxes)),
            "class": F.cross_entropy(told, classes, self.class_weights, reduction="sum") / count,
            "box": generalized_box_iou_loss(outputs.boxes[scenes, places], truths, reduction="sum") / count,
        }

    def decode(self, outputs: Windows) -> dict[str, Tensor]:
        empty = outputs.objectness.sigmoid() < self.min_objectness
        return super().decode(replace(outputs, objectness=outputs.objectness.masked_fill(empty, -torch.inf)))

    def _score(self, backbone: Backbone, crops: Tensor) -> Tensor:
        """(n, 3, 64, 64) -> (n, 1 + classes + 4)."""
        (features,), _ = backbone(crops)
        scores: Tensor = self.out(F.relu(self.hidden(features.flatten(1))))
        return precise(scores)


class FullyConvolutionalHead(SlidingWindowHead):
    """The same weights, as convolutions: the dense layer becomes one of 6 x 6, and one pass scores all windows."""

    def score_windows(self, backbone: Backbone, pictures: Tensor) -> Tensor:
        (features,), _ = backbone(pictures)
        kernel = self.hidden.weight.unflatten(1, (-1, self.side, self.side))
        hidden = F.relu(F.conv2d(features, kernel, self.hidden.bias))
        return precise(F.conv2d(hidden, self.out.weight[..., None, None], self.out.bias).flatten(2).mT)


def propose(size: int, device: torch.device) -> Tensor:
    """Windows (n, 4) of a picture of this side, row by row, in its pixels."""
    steps = torch.arange(-MARGIN, size + MARGIN - WINDOW + 1, STRIDE, device=device)
    top, left = (axis.reshape(-1) for axis in torch.meshgrid(steps, steps, indexing="ij"))
    return torch.stack([left, top, left + WINDOW, top + WINDOW], 1)


def assign(windows: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The windows (N, 4) assigned to a box (n, 4), n > 0, and to which of them: the one with the nearest centre."""
    extent = windows[:, 2] - windows[:, 0]
    middle, centres = (boxes[:, :2] + boxes[:, 2:]) / 2, (windows[:, :2] + windows[:, 2:]) / 2
    offset = (centres[:, None] - middle).abs().amax(2) / extent[:, None]  # (N, n)
    filled = (boxes[:, 2:] - boxes[:, :2]).amax(1) / extent[:, None]
    fits = (offset <= NEAR) & (filled >= FILLED[0]) & (filled <= FILLED[1])
    nearest, box = torch.where(fits, offset, torch.inf).min(1)
    assigned = nearest.isfinite().nonzero()[:, 0]
    return assigned, box[assigned]


def _framed(pictures: Tensor, margin: int) -> Tensor:
    return F.pad(pictures, [margin] * 4, value=GREY / 255)


def crop_windows(pictures: Tensor, windows: Tensor) -> Tensor:
    """(B, 3, S, S), (B, n, 4) -> (B * n, 3, 64, 64), each pixel the mean of those that it covers.

    `torchvision.ops.roi_align` itself is no choice here: on a GPU, where algorithms are to be deterministic, it samples
    every window at every pixel of the picture. The operation beneath it is deterministic but for its gradient, which
    pictures do not need.
    """
    scenes = torch.arange(len(windows), device=windows.device, dtype=windows.dtype).repeat_interleave(windows.shape[1])
    places = torch.cat([scenes[:, None], windows.flatten(0, 1)], 1)
    cut: Tensor = torch.ops.torchvision.roi_align(pictures, places, 1.0, WINDOW, WINDOW, -1, True)
    return cut


def _outputs(scores: Tensor, windows: Tensor, side: int) -> Windows:
    """Scores (B, N, 1 + classes + 4) of windows, as `Windows` takes these, of a picture of this side."""
    corner, extent = windows[..., :2], windows[..., 2:] - windows[..., :2]
    shares = scores[..., -4:].sigmoid()  # centre x, centre y, width, height in parts of the window
    centre, half = corner + shares[..., :2] * extent, shares[..., 2:] * extent / 2
    return Windows(
        scores[..., 0],
        scores[..., 1:-4],
        torch.cat([centre - half, centre + half], -1),
        corner + extent / 2,
        extent[..., 0],
        side,
        windows,
    )

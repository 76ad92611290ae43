"""Transforms that torchvision.transforms.v2 lacks, or has but slow; mixed freely with its own in conf/augment."""

from collections.abc import Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from frostline.data.scenes import VOID

GREY = 128  # colour of what comes into view from outside the picture
FILL: dict[type, int] = {tv_tensors.Image: GREY, tv_tensors.Mask: VOID}
MIN_VISIBLE = 0.2


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


class RandomZoomShift(v2.Transform):
    """Zoom by a factor drawn from `zoom` (its logarithm is uniform) and shift by up to `shift` of each side.

    The size stays. What comes into view from outside is GREY in pictures and VOID in masks. It cuts, pads
    and resizes on uint8, where v2.RandomAffine, much slower, resamples in floating point.
    """

    def __init__(self, zoom: Sequence[float] = (0.8, 1.25), shift: float = 0.1) -> None:
        super().__init__()
        if not 0 < zoom[0] <= zoom[1] or not 0 <= shift < 1:
            raise ValueError(f"zoom {tuple(zoom)} must be an interval above 0 and shift {shift} in [0, 1)")
        self.zoom, self.shift = (float(zoom[0]), float(zoom[1])), float(shift)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        low, high = (float(torch.tensor(bound).log()) for bound in self.zoom)
        zoom = float(torch.tensor(_uniform(low, high)).exp())
        # The window that is cut out; whole pixels, so that picture, mask and boxes agree to the last bit.
        h, w = max(1, round(height / zoom)), max(1, round(width / zoom))
        top = round((height - h) / 2 + _uniform(-self.shift, self.shift) * h)
        left = round((width - w) / 2 + _uniform(-self.shift, self.shift) * w)
        pad = [max(0, -left), max(0, -top), max(0, left + w - width), max(0, top + h - height)]
        return {"size": [height, width], "pad": pad, "window": (top + pad[1], left + pad[0], h, w)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["pad"]):
            inpt = F.pad(inpt, params["pad"], fill=FILL.get(type(inpt), 0))
        inpt = F.crop(inpt, *params["window"])
        if isinstance(inpt, tv_tensors.Mask):
            # torchvision resizes masks by `nearest`, which lies half a pixel beside what is done to the picture.
            exact = F.resize_image(
                inpt.as_subclass(torch.Tensor)[None], params["size"], InterpolationMode.NEAREST_EXACT
            )
            return tv_tensors.wrap(exact[0], like=inpt)
        return F.resize(inpt, params["size"], antialias=True)


class RandomBrightnessContrast(v2.Transform):
    """Stretch a uint8 picture about mid-grey by 1 ± `contrast` and add ± `brightness` of the full range."""

    def __init__(self, brightness: float = 0.1, contrast: float = 0.2) -> None:
        super().__init__()
        self.brightness, self.contrast = float(brightness), float(contrast)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        stretch = 1 + _uniform(-self.contrast, self.contrast)
        shift = GREY * (1 - stretch) + 255 * _uniform(-self.brightness, self.brightness)
        return {"stretch": stretch, "shift": shift}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        pixels = inpt.as_subclass(torch.Tensor).float().mul_(params["stretch"]).add_(params["shift"])
        return tv_tensors.wrap(pixels.round_().clamp_(0, 255).to(torch.uint8), like=inpt)


def keep_visible(boxes: torch.Tensor, size: int, min_visible: float = MIN_VISIBLE) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip boxes, (n, 4) x0 y0 x1 y1, to a square picture; drop those that keep less than `min_visible` of their area.

    Returns the remaining boxes, (m, 4), and which of the n remain, (n,) bool. A box without area never remains.
    """
    clipped = boxes.clamp(0, size)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    left = (clipped[:, 2:] - clipped[:, :2]).clamp(min=0).prod(1)
    kept = (left > 0) & (left >= min_visible * area)
    return clipped[kept], kept

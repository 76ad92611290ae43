"""Transforms that torchvision.transforms.v2 lacks, or has but slow; mixed freely with its own in conf/augment."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from frostline.errors import is_number
from frostline.pictures.fit import GREY
from frostline.pictures.kernels import (
    Matrix,
    affine,
    colour_matrix,
    move_boxes,
    move_mask,
    move_picture,
    recolour,
)
from frostline.scenes.scene import VOID

Interval = Sequence[float]  # two numbers, from and to

FILL: dict[type, int] = {tv_tensors.Image: GREY, tv_tensors.Mask: VOID}
MOVES: dict[type, Callable[[torch.Tensor, Matrix], torch.Tensor]] = {
    tv_tensors.Image: move_picture,
    tv_tensors.Mask: move_mask,
    tv_tensors.BoundingBoxes: move_boxes,
}
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


class RandomGeometry(v2.Transform):
    """Crop, mirror, shear, zoom, turn and shift a scene, all in one resampling. The size stays.

    crop: the share of the picture's area that is cut out, at any place, and spread over the whole; ratio: the window's
    width by its height, 1 being that of the picture. flip, flip_vertical: chances of a mirror image. shear: up to
    ± degrees along each side. zoom: a factor. rotate: up to ± degrees. shift: up to ± this share of each side.
    Of an interval, shares are drawn evenly, factors so that their logarithm is even. Shear, zoom and turn are about the
    centre. Pictures are resampled bilinearly, with GREY from outside; masks take the nearest pixel, with VOID from
    outside; boxes (in XYXY) become the upright ones around their moved corners.
    """

    def __init__(
        self,
        flip: float = 0.0,
        flip_vertical: float = 0.0,
        rotate: float = 0.0,
        zoom: Interval = (1.0, 1.0),
        shear: float = 0.0,
        shift: float = 0.0,
        crop: Interval = (1.0, 1.0),
        ratio: Interval = (1.0, 1.0),
    ) -> None:
        super().__init__()
        self.flip, self.flip_vertical = _number("flip", flip), _number("flip_vertical", flip_vertical)
        self.rotate, self.shear = _number("rotate", rotate, 0, 180), _number("shear", shear, 0, 80)
        self.zoom, self.shift = _interval("zoom", zoom, 1e-3, 1e3), _number("shift", shift)
        self.crop, self.ratio = _interval("crop", crop, 1e-3, 1), _interval("ratio", ratio, 1e-2, 1e2)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        # All are drawn, whatever is asked for, so that a change of one setting leaves the others' draws alone.
        flip, flip_vertical, turn, zoom, shear_x, shear_y, right, down, share, ratio, left, top = _draws(12)
        area, stretch = _between(self.crop, share), math.sqrt(_between_factors(self.ratio, ratio))
        w, h = min(1.0, math.sqrt(area) * stretch), min(1.0, math.sqrt(area) / stretch)
        x, y = -1.0 if flip < self.flip else 1.0, -1.0 if flip_vertical < self.flip_vertical else 1.0
        matrix = affine(
            height,
            width,
            angle=self.rotate * (2 * turn - 1),
            shift=(self.shift * (2 * right - 1) * width, self.shift * (2 * down - 1) * height),
            zoom=_between_factors(self.zoom, zoom),
            shear=(self.shear * (2 * shear_x - 1), self.shear * (2 * shear_y - 1)),
        )
        # Before that, the window comes to fill the picture, mirrored where x or y is -1.
        to_x, to_y = width * (0.5 - x * (left * (1 - w) / w + 0.5)), height * (0.5 - y * (top * (1 - h) / h + 0.5))
        matrix[:, 2] += matrix[:, 0] * to_x + matrix[:, 1] * to_y
        matrix[:, :2] *= (x / w, y / h)
        return {"matrix": matrix}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if type(inpt) not in MOVES:
            return inpt
        return tv_tensors.wrap(MOVES[type(inpt)](inpt, params["matrix"]), like=inpt)


class RandomColour(v2.Transform):
    """Change brightness, contrast, saturation and hue of a uint8 picture, in one multiplication of each pixel.

    brightness: up to ± this share of the full range is added. contrast: stretches about mid-grey by up to 1 ± this.
    saturation: stretches the distance from grey by up to 1 ± this. hue: turns the colours by up to ± this share of a
    full turn.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        super().__init__()
        self.brightness, self.contrast = _number("brightness", brightness), _number("contrast", contrast)
        self.saturation, self.hue = _number("saturation", saturation), _number("hue", hue, 0, 0.5)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        brightness, contrast, saturation, hue = (2 * draw - 1 for draw in _draws(4))
        matrix = colour_matrix(
            self.brightness * brightness, 1 + self.contrast * contrast, 1 + self.saturation * saturation, self.hue * hue
        )
        return {"matrix": matrix}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        return tv_tensors.wrap(recolour(inpt, params["matrix"]), like=inpt)


class RandomErasing(v2.Transform):
    """With chance `p`, hide a rectangle anywhere in the scene (Zhong et al., AAAI 2020, arXiv:1708.04896).

    area: its share of the picture; ratio: its width by its height, 1 being that of the picture. It is GREY in pictures
    and VOID in masks. Boxes (in XYXY) stay, but one of which less than MIN_VISIBLE is left shrinks to nothing, and
    `keep_visible` drops it.
    """

    def __init__(self, p: float = 0.5, area: Interval = (0.02, 0.2), ratio: Interval = (0.3, 3.3)) -> None:
        super().__init__()
        self.p, self.area = _number("p", p), _interval("area", area, 1e-4, 1)
        self.ratio = _interval("ratio", ratio, 1e-2, 1e2)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        chance, area, ratio, left, top = _draws(5)
        if chance >= self.p:
            return {"hidden": None}
        side, stretch = math.sqrt(_between(self.area, area)), math.sqrt(_between_factors(self.ratio, ratio))
        w = max(1, min(width, round(width * side * stretch)))
        h = max(1, min(height, round(height * side / stretch)))
        x, y = int(left * (width - w + 1)), int(top * (height - h + 1))
        return {"hidden": (x, y, x + w, y + h)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["hidden"] is None:
            return inpt
        x0, y0, x1, y1 = params["hidden"]
        result = inpt.as_subclass(torch.Tensor).clone()
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            low, high = result.new_tensor([x0, y0]), result.new_tensor([x1, y1])
            hidden = (result[:, 2:].minimum(high) - result[:, :2].maximum(low)).clamp(min=0).prod(1)
            area = (result[:, 2:] - result[:, :2]).prod(1)
            result[area - hidden < MIN_VISIBLE * area] = 0
        elif isinstance(inpt, (tv_tensors.Image, tv_tensors.Mask)):
            result[..., y0:y1, x0:x1] = FILL[type(inpt)]
        return tv_tensors.wrap(result, like=inpt)


def _draws(count: int) -> list[float]:
    """Evenly from [0, 1), out of torch's random stream."""
    return torch.rand(count, dtype=torch.float64).tolist()


def _between(interval: Interval, draw: float) -> float:
    return interval[0] + (interval[1] - interval[0]) * draw


def _between_factors(interval: Interval, draw: float) -> float:
    return interval[0] * math.pow(interval[1] / interval[0], draw)


def _number(name: str, value: float, low: float = 0, high: float = 1) -> float:
    if not is_number(value, low, high):
        raise ValueError(f"{name} is {value!r}, not a number from {low:g} to {high:g}")
    return float(value)


def _interval(name: str, ends: Interval, low: float, high: float) -> tuple[float, float]:
    if len(ends) != 2 or not all(is_number(end, low, high) for end in ends) or ends[0] > ends[1]:
        raise ValueError(f"{name} is {list(ends)}, no interval [from, to] within {low:g} and {high:g}")
    return float(ends[0]), float(ends[1])


def keep_visible(boxes: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip boxes, (n, 4) x0 y0 x1 y1, to a square picture; drop those that keep less than MIN_VISIBLE of their area.

    Returns the remaining boxes, (m, 4), and which of the n remain, (n,) bool. A box without area never remains.
    """
    return visible_in(boxes, (0, 0, size, size))


def visible_in(boxes: torch.Tensor, window: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """As `keep_visible`, for a window x0 y0 x1 y1 of a picture; places stay those in the picture."""
    low, high = boxes.new_tensor(window[:2]).repeat(2), boxes.new_tensor(window[2:]).repeat(2)
    clipped = boxes.clamp(low, high)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    left = (clipped[:, 2:] - clipped[:, :2]).clamp(min=0).prod(1)
    kept = (left > 0) & (left >= MIN_VISIBLE * area)
    return clipped[kept], kept

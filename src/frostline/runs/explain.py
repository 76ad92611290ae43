"""What a classification was decided by: a heat map of the evidence for the likeliest class."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone, in_floats
from frostline.models.timm_facts import facts_of
from frostline.models.wrapped import WrappedBackbone
from frostline.pictures.preprocessing import Picture
from frostline.predict.answers import answers
from frostline.predict.kinds import Floats, Placement, Prediction
from frostline.predict.model import BATCH, Model, Seen
from frostline.runs.network import TorchEngine
from frostline.tasks.base import Task, as_arrays

Explained = tuple[Prediction, Floats] | tuple[FrostlineError, None]


def explained(model: Model, pictures: Iterable[Picture], *, batch_size: int = BATCH) -> Iterator[Explained]:
    """What the model says of each picture, with a heat map (h, w) float32 of the picture's own pixels: 0 where nothing
    speaks for the likeliest class, 1 where most does; 0 everywhere, where nothing does anywhere.

    What is no picture gets the error, and None. pictures, batch_size: as of `Model.stream`.
    Raises FrostlineError where the model is no classification, or where torch does not compute it.
    """
    task = _explainable(model)

    def say(seen: Sequence[Seen]) -> Iterator[tuple[Prediction, Floats]]:
        squares = torch.from_numpy(np.stack([pixels for pixels, _ in seen])).permute(0, 3, 1, 2)
        outputs, heats = evidence(task, squares)
        placements = [placement for _, placement in seen]
        said = answers(task.kind, as_arrays(task.raw(outputs)), task.classes, placements, task.rule)
        return zip(said, map(in_picture, heats.numpy(), placements), strict=True)

    for found in model.batches(pictures, batch_size, say):
        yield (found, None) if isinstance(found, FrostlineError) else found


def evidence(task: Task, images: Tensor) -> tuple[Tensor, Tensor]:
    """The scores (B, C) of squares (B, 3, S, S) uint8, and heat maps (B, S, S) of the likeliest class, from 0 up.

    Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): each channel of the last feature map, weighed by the mean of the
    gradient of the class's score by that channel; their sum, where it is positive. That map is the last one that lies
    upon the picture and that the score depends on: of a vision transformer which reads its class token, the last
    block's patches lead nowhere, so it is that before.
    Raises FrostlineError where there is none.
    """
    task.eval()
    # Of a picture that has a gradient, every map has one, however the network is frozen.
    pictures = in_floats(images.to(task.device)).requires_grad_()
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        maps = _recorded(task.model.backbone, stack)
        scores = task(pictures)
        chosen = scores.max(1).values.sum()  # no picture of a batch has a say in another's score
        for activation, stride in reversed(maps):
            (gradient,) = torch.autograd.grad(chosen, activation, retain_graph=True, allow_unused=True)
            if gradient is not None:
                side = images.shape[-1] // stride
                found, slope = (_as_map(task.model.backbone, one.detach(), side) for one in (activation, gradient))
                if bool(slope.any()):
                    heat = (slope.mean((2, 3), keepdim=True) * found).sum(1).relu()
                    return scores.detach(), _upon(heat, task.model.backbone, images.shape[-1]).cpu()
    raise FrostlineError(
        f"{task.model.backbone.name} has no feature map that lies upon the picture and that its scores depend on, so "
        "there is no heat map of it."
    )


def in_picture(heat: Floats, placement: Placement) -> Floats:
    """A heat map (S, S) of the square -> (h, w) of the picture's own pixels, scaled so that its highest value is 1."""
    import cv2

    left, top, width, height = placement.place
    inside = heat[top : top + height, left : left + width]
    enlarged = cv2.resize(np.ascontiguousarray(inside), placement.size, interpolation=cv2.INTER_LINEAR)
    highest = float(np.max(enlarged))
    return np.asarray(enlarged / highest if highest > 0 else enlarged, np.float32)


def _explainable(model: Model) -> Task:
    if model.info.task != "classification":
        raise FrostlineError(
            f"A heat map tells what a classification was decided by, and {model.name} is of {model.info.task}: what "
            "it found is drawn as it is."
        )
    if not isinstance(model.engine, TorchEngine):
        raise FrostlineError(
            f"{model.name} is an exported file, which has no gradients to make heat maps of: give the run or the "
            "folder of the model that it was exported from."
        )
    return model.engine.task


def _recorded(backbone: Backbone, stack: ExitStack) -> list[tuple[Tensor, int]]:
    """A list that holds, once the backbone has run, what can be its last map, with its stride; the last at its end."""
    maps: list[tuple[Tensor, int]] = []
    if isinstance(backbone, WrappedBackbone):
        # Its own maps are copies, beside the way to the scores.
        for name, (_, stride) in facts_of(backbone.model).maps.items():
            keep: Any = lambda module, inputs, output, stride=stride: maps.append((output, stride))  # noqa: E731
            stack.callback(backbone.model.get_submodule(name).register_forward_hook(keep).remove)
    else:
        keep = lambda module, inputs, output: maps.extend(zip(output[0], backbone.strides, strict=True))  # noqa: E731
        stack.callback(backbone.register_forward_hook(keep).remove)
    return maps


def _as_map(backbone: Backbone, values: Tensor, side: int) -> Tensor:
    """(B, C, h, w) of what a module gives: that, channels last, or a row of tokens, those of the patches at its end."""
    if values.ndim == 3:
        return values[:, -side * side :].transpose(1, 2).reshape(len(values), -1, side, side)
    return (
        values.permute(0, 3, 1, 2)
        if str(getattr(getattr(backbone, "model", None), "output_fmt", "")) == "NHWC"
        else values
    )


def _upon(heat: Tensor, backbone: Backbone, side: int) -> Tensor:
    """(B, h, w), cells of a map -> (B, side, side). A map that was made without padding lies in the middle."""
    heat = heat[:, None]
    if not isinstance(backbone, WrappedBackbone) and backbone.strides:
        margin = max(0, side // backbone.strides[-1] - heat.shape[-1]) // 2
        heat = F.pad(heat, [margin] * 4, mode="replicate")
    return F.interpolate(heat, (side, side), mode="bilinear")[:, 0]

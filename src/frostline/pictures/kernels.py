"""What moves and recolours uint8 pictures, masks and boxes: OpenCV, the fastest of those that give the same.

Positions are continuous and in pixels: a picture spans 0 to its width, its first pixel's centre lies at 0.5. OpenCV
counts from that centre instead, which nobody outside this module has to know.
"""

import math
import threading

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frostline.pictures.fit import GREY
from frostline.scenes.scene import VOID

cv2.setNumThreads(0)  # whoever loads pictures side by side has a process for each; and its threads survive no fork

LUMA = (0.299, 0.587, 0.114)  # what red, green and blue add to how bright a colour looks (ITU-R BT.601)

Pixels = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

_own = threading.local()


def pixels_of(image: Tensor, brief: bool = False) -> Pixels:
    """A picture (3, H, W) uint8 of any layout -> (H, W, 3), whole in memory; it can be the picture's own memory.

    brief: what is returned need be good only until the next picture.
    """
    planes = image.as_subclass(Tensor).numpy()
    pixels: Pixels = planes.transpose(1, 2, 0)
    if pixels.flags.c_contiguous:
        return pixels
    into = _scratch("three", *pixels.shape) if brief else None
    # Much faster than numpy's copy of a transposed array.
    return np.asarray(cv2.merge([np.ascontiguousarray(plane) for plane in planes], into), np.uint8)


def picture_of(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) in the same memory, so with the channels last, as models like them."""
    return torch.from_numpy(pixels).permute(2, 0, 1)


def affine(
    height: int,
    width: int,
    angle: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    shear: tuple[float, float] = (0.0, 0.0),
) -> Matrix:
    """(2, 3): shear, zoom and turn about the picture's centre, then shift; the same as torchvision's `affine`.

    angle: degrees, clockwise. shift: pixels, right and down. shear: degrees, along x and along y.
    """
    turn, along_x, along_y = (math.radians(degrees) for degrees in (angle, *shear))
    cos, sin, x, y = math.cos(turn), math.sin(turn), math.tan(along_x), math.tan(along_y)
    # Plain numbers, as numpy takes longer for each of these products than for all of them here.
    a, c = zoom * (cos + sin * y), zoom * (sin - cos * y)
    b, d = -a * x - zoom * sin, -c * x + zoom * cos
    across, down = width / 2, height / 2
    return np.array(
        [[a, b, across + shift[0] - a * across - b * down], [c, d, down + shift[1] - c * across - d * down]]
    )


def move_picture(image: Tensor, matrix: Matrix) -> Tensor:
    """(3, H, W) uint8 -> the same size, bilinear, GREY from outside. matrix: (2, 3), from old places to new."""
    pixels = pixels_of(image, brief=True)
    height, width = pixels.shape[:2]
    # A fourth channel makes OpenCV three times as fast. And memory that is new costs as much as what is done in it.
    four, moved = _scratch("four", height, width, 4), _scratch("moved", height, width, 4)
    cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA, four)
    cv2.warpAffine(
        four, _from_centres(matrix), (width, height), moved, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, [GREY] * 4
    )
    return picture_of(np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), np.uint8))


def move_mask(mask: Tensor, matrix: Matrix) -> Tensor:
    """(H, W) uint8 -> the same size, each pixel the nearest one, VOID from outside. matrix: (2, 3)."""
    classes = mask.as_subclass(Tensor).numpy()
    size = (classes.shape[1], classes.shape[0])
    moved = cv2.warpAffine(classes, _from_centres(matrix), size, None, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, [VOID])
    return torch.from_numpy(np.asarray(moved, np.uint8))


def move_boxes(boxes: Tensor, matrix: Matrix) -> Tensor:
    """(n, 4) x0 y0 x1 y1 -> the upright boxes around their four moved corners; nothing is clipped. matrix: (2, 3)."""
    corners = boxes.as_subclass(Tensor).numpy()[:, None].astype(np.float64)  # (n, 1, 4)
    low, high = matrix[:, :2] * corners[..., :2], matrix[:, :2] * corners[..., 2:]  # (n, 2, 2): what x and y give
    ends = [np.minimum(low, high).sum(2) + matrix[:, 2], np.maximum(low, high).sum(2) + matrix[:, 2]]
    return torch.from_numpy(np.concatenate(ends, 1).astype(np.float32))


def colour_matrix(brightness: float, contrast: float, saturation: float, hue: float) -> Matrix:
    """(3, 4): what `recolour` multiplies (red, green, blue, 1) with.

    hue: turns colours about the axis of greys, 1 being a full turn (a third makes red green). saturation: stretches
    the distance from the grey that looks as bright. contrast: stretches about mid-grey. brightness: is added, 1 being
    the full range. Unchanged: 0, 1, 1, 0.
    """
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    same, side = (1 + 2 * cos) / 3, sin / math.sqrt(3)
    before, after = (1 - cos) / 3 + side, (1 - cos) / 3 - side  # of the colour before in the circle, and the one after
    turned = np.array([[same, after, before], [before, same, after], [after, before, same]])
    matrix = np.empty((3, 4))
    matrix[:, :3] = contrast * (saturation * turned + (1 - saturation) * np.array(LUMA) @ turned)
    matrix[:, 3] = GREY * (1 - contrast) + 255 * brightness
    return matrix


def recolour(image: Tensor, matrix: Matrix) -> Tensor:
    """(3, H, W) uint8 -> the same, each pixel's (red, green, blue, 1) multiplied with a (3, 4) matrix."""
    return picture_of(np.asarray(cv2.transform(pixels_of(image, brief=True), matrix), np.uint8))


def _from_centres(matrix: Matrix) -> Matrix:
    """(2, 3) between continuous places -> (2, 3) between places counted from the first pixel's centre."""
    (a, b, right), (c, d, down) = matrix.tolist()
    return np.array([[a, b, right + (a + b - 1) / 2], [c, d, down + (c + d - 1) / 2]])


def _scratch(name: str, *shape: int) -> Pixels:
    """Memory of this thread for what is needed but a moment."""
    key = f"{name} {shape}"
    if not hasattr(_own, key):
        setattr(_own, key, np.empty(shape, np.uint8))
    found: Pixels = getattr(_own, key)
    return found

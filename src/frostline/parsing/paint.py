"""Masks painted from outlines, and boxes around what masks show."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hotcoco import mask as mask_api

MOST_PAINT = 10**11  # pixels of a picture times its regions: a minute and more of painting
_MOST_OUTLINE = 1 << 22  # pixels along an outline; the library takes some 100 bytes for each
_NOT_SUCH = (ValueError, TypeError, RuntimeError, OverflowError, KeyError)


def run_lengths(segmentation: Any, width: int, height: int) -> dict[str, Any]:
    """COCO's run-length code of a region given as COCO does: a list of polygons (x, y, x, y, ...), or such a code.

    Raises ValueError for anything else; the message goes on after the region's name.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError("has no polygon")
        # Painting takes time and memory by an outline's length, inside the picture or not.
        far = 10 * max(width, height)
        left = min(width * height, _MOST_OUTLINE) + 2 * far
        for polygon in segmentation:
            try:
                points = np.asarray(polygon, np.float64)
            except _NOT_SUCH as error:
                raise ValueError("has a polygon that is no list of numbers") from error
            if points.ndim != 1 or len(points) < 6 or len(points) % 2:
                raise ValueError("has a polygon that is no list of at least three points")
            if not (np.abs(points) <= far).all():
                raise ValueError("has a polygon that lies far outside the picture")
            corners = points.reshape(-1, 2)
            left -= np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum()
            if left < 0:
                raise ValueError("has an outline longer than any that fits into the picture")
        segmentation = [list(map(float, polygon)) for polygon in segmentation]
    elif not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        raise ValueError(f"has a segmentation that is no region of a picture of {width} x {height}")
    try:
        code = segmentation
        if isinstance(segmentation, list):
            code = mask_api.merge(mask_api.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation.get("counts"), list):
            if sum(segmentation["counts"]) != width * height:  # the library takes the rest for empty
                raise ValueError("its runs do not fill the picture")
            code = mask_api.frPyObjects(segmentation, height, width)
        mask_api.decode(code)  # raises where the code is none
    except _NOT_SUCH as error:
        raise ValueError(f"has a segmentation that cannot be read ({error})") from error
    return dict(code)


def paint(regions: Iterable[tuple[int, dict[str, Any]]], width: int, height: int) -> np.ndarray:
    """(height, width) uint8: the value of each region, 0 elsewhere; smaller regions lie over larger ones."""
    canvas = np.zeros((height, width), np.uint8)
    for value, code in sorted(regions, key=lambda region: -int(mask_api.area(region[1]))):
        canvas[mask_api.decode(code) > 0] = value
    return canvas

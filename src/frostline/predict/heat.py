"""A picture beside what a model looked at in it."""

import numpy as np
from PIL import Image

from frostline.predict.drawn import draw_words
from frostline.predict.kinds import Classified, Floats

COVER = 0.75  # of the heat over the picture, where it is highest
GAP = 8  # px between the two


def explanation_picture(image: Image.Image, found: Classified, heat: Floats) -> Image.Image:
    """The photograph, and right of it the same under its heat map, with the class and its probability.

    image: RGB. heat: (h, w) of its pixels, 0..1.
    """
    page = Image.new("RGB", (2 * image.width + GAP, image.height), "white")
    page.paste(image, (0, 0))
    page.paste(heated(image, heat), (image.width + GAP, 0))
    draw_words(page, [(f"{found.name} {found.score:.1%}", found.label)])
    return page


def heated(image: Image.Image, heat: Floats) -> Image.Image:
    """The picture under its heat map: as it is where that is 0."""
    import cv2  # takes a while to load

    colours = cv2.applyColorMap((heat.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = COVER * heat.clip(0, 1)[..., None]
    return Image.fromarray((np.asarray(image) * (1 - share) + colours * share).astype(np.uint8))

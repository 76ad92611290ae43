from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from frostline.draw.png import in_few_colours, montage, png_of, small_png


def test_a_small_key_keeps_its_colour_beside_large_photographs():
    # Catches a palette of the commonest colours, which are the photographs' own.
    picture = np.random.default_rng(0).integers(0, 256, (300, 600, 3)).astype(np.uint8) // [2, 1, 2]
    picture[280:] = 255
    picture[284:288, 20:30] = (148, 103, 189)
    few = in_few_colours(Image.fromarray(picture.astype(np.uint8)))
    assert few.mode == "P"
    found = np.asarray(few.convert("RGB")).astype(int)
    assert np.abs(found[286, 25] - (148, 103, 189)).max() <= 8
    assert (found[295:] == 255).all(), "white is white"


def test_grounds_that_differ_by_little_stay_as_they_are():
    # Catches pale greys taken for white, and for each other.
    greys = [(255, 255, 255), (251, 251, 251), (239, 242, 245), (238, 242, 245), (230, 234, 238)]
    picture = np.repeat(np.array(greys, np.uint8), 40, axis=0)[None].repeat(50, axis=0)
    assert (np.asarray(in_few_colours(Image.fromarray(picture)).convert("RGB")) == picture).all()


def test_few_colours_are_all_kept():
    for size in (1, 7):
        picture = np.random.default_rng(1).integers(0, 256, (size, size, 3)).astype(np.uint8)
        found = np.asarray(in_few_colours(Image.fromarray(picture)).convert("RGB")).astype(int)
        assert np.abs(found - picture).max() <= 4


def test_a_picture_of_many_bytes_is_made_smaller_until_it_fits():
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    full, small = (small_png(noise, most) for most in (1_000_000, 40_000))
    assert len(small) <= 40_000 < len(full)
    assert Image.open(BytesIO(full)).size == (400, 300) and Image.open(BytesIO(small)).width < 400


def test_a_chart_has_the_size_that_it_was_given():
    assert Image.open(BytesIO(png_of(Figure(figsize=(3, 2)), 50))).size == (150, 100)


def test_pictures_stand_below_each_other_each_under_its_title():
    shown = [("a", Image.new("RGB", (50, 20), "red")), ("b", Image.new("RGB", (10, 10), "blue"))]
    sheet = np.asarray(montage(shown, 100))
    assert sheet.shape == (2 * 20 + 40 + 100, 100, 3)
    assert (sheet[20:60] == (255, 0, 0)).all() and (sheet[80:] == (0, 0, 255)).all()

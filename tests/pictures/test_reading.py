"""Awkward pictures: every way in which the product decodes them gives the same, and what a viewer shows."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from frostline.checking.scene import check
from frostline.pictures.fit import FITS
from frostline.pictures.preprocessing import REDUCED, Preprocessing
from frostline.pictures.reading import (
    MAX_PIXELS,
    UnreadablePictureError,
    displayed_size,
    open_grey_jpeg,
    open_picture,
    plain_picture,
    read_rgb,
)
from frostline.scenes.scene import Classes, Scene

WIDTH, HEIGHT = 192, 128
# What a viewer does at each EXIF orientation, to the stored pixels.
TURNED = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def colours():
    """(HEIGHT, WIDTH, 3): smooth, and of no symmetry, so that every turn shows."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    return (255 * np.stack([x, y, x * y], -1)).astype(np.uint8)


def grey():
    return colours()[..., 0]


def three(pixels):
    return np.repeat(pixels[..., None], 3, 2)


def save(path, image, **options):
    image.save(path, **options)
    return path


def awkward(folder):
    """(name, file, what a viewer shows, by how many levels a lossy file may differ)."""
    found = []
    for orientation, turn in TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix, options in (("jpg", {"quality": 100, "subsampling": 0}), ("png", {})):
            file = folder / f"turned{orientation}.{suffix}"
            save(file, Image.fromarray(colours()), exif=exif, **options)
            found.append((file, turn(colours()), 4 if suffix == "jpg" else 0))
    half = np.full((HEIGHT, WIDTH), 255, np.uint8)
    half[:, 100:] = 0
    over_white = np.where(half[..., None] > 0, three(grey()), 255)
    palette = Image.fromarray(colours()).quantize(64)
    bits = grey() > 99
    found += [
        (save(folder / "palette.png", palette), np.asarray(palette.convert("RGB")), 0),
        (save(folder / "grey.jpg", Image.fromarray(grey()), quality=100), three(grey()), 4),
        (save(folder / "alpha.png", Image.fromarray(np.dstack([grey(), half]), "LA")), over_white, 0),
        (save(folder / "print.jpg", Image.fromarray(colours()).convert("CMYK"), quality=100), colours(), 12),
        (save(folder / "deep.png", Image.fromarray(grey().astype(np.uint16) * 256 + 77)), three(grey()), 0),
        (save(folder / "bit.png", Image.fromarray(bits)), three(bits.astype(np.uint8) * 255), 0),
    ]
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return awkward(tmp_path_factory.mktemp("awkward"))


def off(one, other):
    one, other = np.asarray(one).astype(int), np.asarray(other).astype(int)
    assert one.shape == other.shape
    return np.abs(one - other).max()


def test_all_kinds_are_there(pictures):
    modes = {Image.open(file).mode for file, *_ in pictures}
    assert len(pictures) == 22 and {"RGB", "L", "P", "LA", "CMYK", "I;16", "1"} <= modes


def test_decoded_whole_it_is_what_a_viewer_shows(pictures):
    for file, shown, tolerance in pictures:
        assert off(read_rgb(file), shown) <= tolerance, file.name
        assert off(read_rgb(file.read_bytes()), read_rgb(file)) == 0, file.name
        assert displayed_size(file) == read_rgb(file).size, file.name


def test_what_is_stored_decodes_to_the_same(pictures, tmp_path):
    """Catches a run that sees another picture than `predict` does of the same file."""
    for number, (file, *_) in enumerate(pictures):
        checked = check(Scene(f"s{number}", file), Classes())
        stored = tmp_path / f"{number}{checked.suffix}"
        stored.write_bytes(checked.picture)
        assert off(read_rgb(stored), read_rgb(file)) == 0, file.name
        assert checked.record.size == read_rgb(file).size, file.name
        assert plain_picture(open_picture(checked.picture))[1] == [], file.name  # nothing is odd about it any more


@pytest.mark.parametrize("fit", FITS)
def test_decoded_at_a_part_of_its_size_it_comes_into_the_square_alike(pictures, fit):
    reduced = 0
    for file, *_ in pictures:
        whole = np.asarray(read_rgb(file))
        for size in (16, 32, 128):
            seen = Preprocessing(size, fit)
            fast = seen.square(file, whole.shape[1::-1])
            assert off(fast, seen.square(whole)) <= 4, (file.name, size)
            pixels, shown = seen.seen(file, "")
            assert shown == whole.shape[1::-1] and off(pixels, fast) == 0, (file.name, size)
            reduced += read_rgb(file, REDUCED * size).size != whole.shape[1::-1]
    assert reduced > 9  # or nothing was compared


def test_what_is_broken_is_found_in_the_grey_of_a_jpeg_too():
    """Catches a file that is stored as it is, and cannot be read whole later."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).resize((300, 260))
    for options in ({}, {"progressive": True}):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=80, **options)
        whole = buffer.getvalue()
        for cut in [*range(2, len(whole), len(whole) // 40), len(whole) - 3, len(whole)]:
            told = []
            for read in (lambda data: open_picture(data), lambda data: open_grey_jpeg(data, MAX_PIXELS, 64)):
                try:
                    read(whole[:cut])
                    told.append(None)
                except UnreadablePictureError as error:
                    told.append(str(error).split("(")[0])
            assert told[0] == told[1], cut
    grey, size = open_grey_jpeg(whole, MAX_PIXELS, 64)
    assert size == (300, 260) and grey.mode == "L" and min(grey.size) >= 64


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"P7 332\n9 9 255\n"]
)
def test_what_pillow_knows_and_this_does_not_read_is_no_picture(data):
    """Catches a file of any name that has Ghostscript run a program, and decoders that nobody asked for."""
    Image.init()  # all of Pillow's
    with pytest.raises(UnreadablePictureError, match="^is no picture$"):
        open_picture(data)

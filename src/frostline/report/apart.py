"""The pictures on which the two first arms differ most, drawn side by side."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from frostline.draw.colours import INK, QUIET
from frostline.errors import FrostlineError
from frostline.pictures.reading import UnreadablePictureError, read_rgb
from frostline.report.judged import Judged
from frostline.report.tested import Pictures
from frostline.report.verdict import nearest_of
from frostline.scenes.dataset import Dataset
from frostline.words import short

MOST, COLUMNS, SIDE, GAP, BAND = 6, 3, 300, 12, 68  # pictures; and of each px


def rivals(judged: Judged) -> tuple[str, str] | None:
    """The candidate and the arm that is nearest to it; None where there are no two."""
    found = judged.champion
    if found is None or not found.pairs:
        return None
    return found.candidate, nearest_of(found.pairs)


def apart_sheet(judged: Judged, tested: Pictures | None, data: Path) -> Image.Image | None:
    """data: the folder of the prepared dataset. None where nothing differs, or the pictures are not here."""
    two = rivals(judged)
    differing = tested.apart(*two, MOST) if two and tested else []
    if not two or not tested or not differing:
        return None
    try:
        files = {scene.id: scene.image for scene in Dataset.open(data).scenes("test")}
        shown = [(name, _tile(Path(str(files[name])))) for name, _ in differing]
    except (FrostlineError, UnreadablePictureError, KeyError, OSError):  # not prepared here, or another one
        return None
    rows, place = -(-len(shown) // COLUMNS), {name: n for n, name in enumerate(tested.ids)}
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, rows * (SIDE + BAND)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    qualities = {name: tested.quality(name) for name in two}
    for n, (name, tile) in enumerate(shown):
        x, y = n % COLUMNS * (SIDE + GAP), n // COLUMNS * (SIDE + BAND)
        sheet.paste(tile, (x + (SIDE - tile.width) // 2, y + (SIDE - tile.height) // 2))
        told = "   ".join(f"{short(arm, 24)} {qualities[arm][place[name]]:.2f}" for arm in two)
        draw.text((x, y + SIDE + 4), short(name, 38), QUIET, font)
        draw.text((x, y + SIDE + 22), told if len(told) < 44 else told.replace("   ", "\n"), INK, font)
    return sheet


def _tile(file: Path) -> Image.Image:
    return ImageOps.contain(read_rgb(file), (SIDE, SIDE))

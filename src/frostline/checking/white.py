"""Which value of 16 bits is white: cameras fill 10, 12 or 14 of them, and the upper 8 alone would be all but black."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from PIL import Image

from frostline.errors import check_number
from frostline.parsing.files import picture_files
from frostline.pictures.reading import WHITE, UnreadablePictureError, deep_values, open_picture, read_file

_DEEP = {".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2", ".j2k"}  # suffixes of formats that may have 16 bits
_LOCK = Lock()


@dataclass(frozen=True)
class White:
    """The white of a dataset's pictures of 16 bits, one for all of them. given: by somebody. root: where they lie.

    Where it is not given, it is the largest value of as many bits, 8 to 16, as all of them use together. Looked for
    where the first is met: most datasets have none.
    """

    given: int | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        if self.given is not None:
            check_number("dataset.white", self.given, 1, WHITE, whole=True)

    def __call__(self) -> int:
        if self.given is not None or self.root is None:
            return self.given or WHITE
        with _LOCK:  # the others wait for the first
            return _below(self.root)


FULL = White()  # all 16 bits


@cache
def _below(root: str) -> int:
    folder = Path(root).expanduser()
    return white_of(picture_files(folder if folder.is_dir() else folder.parent))


def white_of(files: Iterable[Path]) -> int:
    """The largest value of as many bits as the pictures of 16 bits among these files use."""
    most = 0
    for file in files:
        if file.suffix.lower() in _DEEP and _is_deep(file):
            try:
                values = deep_values(open_picture(read_file(file)))
            except (OSError, UnreadablePictureError):  # which the check tells
                continue
            most = max(most, WHITE if values is None else int(values.max()))
            if most > WHITE >> 1:
                return WHITE
    return int((1 << max(8, most.bit_length())) - 1) if most else WHITE


def _is_deep(file: Path) -> bool:
    """By its head alone."""
    try:
        if file.suffix.lower() == ".png":
            with file.open("rb") as opened:
                head = opened.read(25)
            return head[:4] == b"\x89PNG" and head[24:25] == b"\x10"
        with Image.open(file) as image:
            return image.mode.startswith("I") or ";16" in str(image.tile[:1])
    except Exception:  # readers raise many kinds on damaged files
        return False

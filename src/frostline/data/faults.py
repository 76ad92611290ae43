"""What can be wrong with annotated pictures, and what is done about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Policy = Literal["fail", "skip", "fix"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    means: one clause for people. policy: what `prepare` does about it where nobody says otherwise: `fail` refuses the
    dataset, `skip` leaves the scene out, `fix` mends it. fixable: whether it can be mended, and how; None: it cannot.
    """

    means: str
    policy: Policy
    fixable: str | None = None


KINDS: dict[str, Kind] = {
    # pictures
    "picture_missing": Kind("an annotation names a picture that is not there", "fail"),
    "picture_unreadable": Kind("the file holds no picture, or only a part of one", "fail"),
    "picture_huge": Kind("more pixels than are safe to decode", "fail"),
    "picture_extension": Kind("the file is of another format than its name says", "fix", "stored under its own format"),
    "picture_rotated": Kind("EXIF says that it is to be turned", "fix", "turned, as it is displayed"),
    "picture_palette": Kind("colours from a palette", "fix", "stored as RGB"),
    "picture_cmyk": Kind("colours of print (CMYK)", "fix", "stored as RGB"),
    "picture_16_bit": Kind("16 bits per channel", "fix", "cut to 8 bits"),
    "picture_alpha": Kind("transparent pixels", "fix", "laid over white"),
    "picture_format": Kind("another format than JPEG or PNG, or another mode than RGB or grey", "fix", "stored as PNG"),
    "path_outside": Kind("a path that leaves the dataset's root", "fail"),
    # annotations
    "annotation_unreadable": Kind("an annotation file, or a line of it, that cannot be read", "fail"),
    "annotation_missing": Kind("a list or its layout promises an annotation file that is not there", "fail"),
    "label_unknown": Kind("a label that is no class", "fail"),
    "box_empty": Kind("a box of no area", "fail", "left out"),
    "box_reversed": Kind("a box whose corners are swapped", "fail", "swapped back"),
    "box_outside": Kind("a box that leaves the picture", "fail", "clipped, or left out where nothing remains"),
    "box_duplicate": Kind("the same box twice in one picture", "fail", "kept once"),
    "box_units": Kind("boxes in shares of the picture where pixels are meant, or the reverse", "fail", "scaled"),
    "mask_size": Kind("a mask of another size than its picture", "fail"),
    "mask_value": Kind("a mask with a value that is no class", "fail", "taken as unknown"),
    # the whole
    "duplicate": Kind("identical or near-identical pictures", "fix", "identical ones kept once, near ones in one split"),
    "duplicate_across_splits": Kind("identical or near-identical pictures in two given splits", "fail", "kept once"),
    "label_conflict": Kind("identical pictures that are annotated otherwise", "skip"),
    "class_absent": Kind("a class that a split has no example of", "fail"),
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a scene.

    kind: a key of KINDS. file, line: where, as the user knows it; the line counts from 1. what: what is wrong there, as
    the sentence goes on after the file's name ("has a box without area (4, 4, 4, 9)").
    """

    kind: str
    file: Path | str
    what: str
    line: int | None = None

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f':{self.line}'} {self.what}"

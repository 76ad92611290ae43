"""What can be wrong with annotated pictures, and what is done about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import FrostlineError, check_choice

POLICIES = ("fail", "skip", "fix")  # refuse the dataset, leave the scene out, mend it
MEAN = "mean"  # of label_conflict: as fix, with the mean of all copies' boxes


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    means: one clause for people. fixable: how it is mended, where it can be. policy: one of POLICIES, what is done
    about it where nobody says otherwise; None: as `on_fault` says.
    """

    means: str
    fixable: str | None = None
    policy: str | None = None


KINDS: dict[str, Kind] = {
    # pictures
    "picture_missing": Kind("an annotation names a picture that is not there"),
    "picture_unreadable": Kind("the file holds no picture, or only a part of one"),
    "picture_huge": Kind("more pixels than dataset.max_pixels, beyond which decoding is not safe"),
    "picture_extension": Kind(
        "the file is of another format than its name says", "stored under its own format", policy="fix"
    ),
    "picture_rotated": Kind(
        "EXIF says that it is to be turned", "turned, as it is displayed, and its annotations with it", policy="fix"
    ),
    "picture_palette": Kind("colours from a palette", "stored as RGB", policy="fix"),
    "picture_cmyk": Kind("colours of print (CMYK)", "stored as RGB", policy="fix"),
    "picture_16_bit": Kind("16 bits per channel", "cut to 8 bits, by one scale for all", policy="fix"),
    "picture_alpha": Kind("an alpha channel", "laid over white", policy="fix"),
    "picture_pages": Kind("further pages or frames", "the largest page is taken, the first frame", policy="fix"),
    "picture_bands": Kind("further bands beside the colours", "left out", policy="fix"),
    "path_outside": Kind("a path that leaves the dataset's root"),
    "file_changed": Kind("a file of a prepared dataset that is not what was written"),
    # annotations
    "annotation_unreadable": Kind("an annotation file, or a line of it, that cannot be read"),
    "annotation_missing": Kind("a list or its layout promises an annotation file that is not there"),
    "crowds_alone": Kind("a picture whose objects are all marked as crowds, as some tools mark every mask"),
    "label_unknown": Kind("a label that is no class"),
    "box_empty": Kind("a box of no area", "left out"),
    "box_reversed": Kind("a box whose corners are swapped", "swapped back"),
    "box_outside": Kind("a box that leaves the picture", "clipped, or left out where nothing remains"),
    "box_duplicate": Kind("the same box twice in one picture", "kept once"),
    "box_units": Kind("boxes in shares of the picture where pixels are meant, or the reverse", "scaled"),
    "mask_size": Kind("a mask of another size than its picture"),
    "mask_value": Kind(
        "a mask with a value that is no class; dataset=masks can name it, by dataset.source.values", "taken as unknown"
    ),
    # the whole
    "duplicate": Kind(
        "identical or near-identical pictures",
        "identical ones kept once, near ones as dataset.duplicates says",
        policy="fix",
    ),
    "duplicate_across_splits": Kind(
        "identical or near-identical pictures in two given splits", "kept once", policy="fix"
    ),
    "label_conflict": Kind("identical pictures that are annotated otherwise", "one of them kept", policy="skip"),
    "group_across_splits": Kind("a group whose scenes lie in several given splits"),
    "split_empty": Kind("a split without any usable scene"),
    "class_untrained": Kind("a class without an example to train on"),
    "class_absent": Kind("a class without an example to validate or test on", policy="skip"),
}


def policies(on_fault: str, faults: Mapping[str, str | None]) -> dict[str, str]:
    """The policy of every kind of fault: what `faults` says, else what KINDS says; where that is None too, `on_fault`.

    Raises FrostlineError for a kind or policy that does not exist, and for `fix` where a kind cannot be mended.
    """
    check_choice("dataset.on_fault", on_fault, POLICIES)
    for kind, policy in faults.items():
        if kind not in KINDS:
            raise FrostlineError(f"dataset.faults.{kind} is no kind of fault; choose from {', '.join(KINDS)}.")
        if policy is not None:
            choices = (*POLICIES, MEAN) if kind == "label_conflict" else POLICIES
            check_choice(f"dataset.faults.{kind}", policy, choices)
        if policy == "fix" and KINDS[kind].fixable is None:
            raise FrostlineError(f"dataset.faults.{kind} is fix, but that cannot be mended: set it to fail or skip.")
    chosen = {}
    for kind, known in KINDS.items():
        otherwise = "skip" if on_fault == "fix" and known.fixable is None else on_fault
        chosen[kind] = faults.get(kind) or known.policy or otherwise
    return chosen | {"split_empty": "fail"}  # nothing can be trained without


_LONGEST = 1000  # characters of a fault that is told


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a scene.

    kind: a key of KINDS. file, line: where, as the user knows it; the line counts from 1. what: what is wrong there, as
    the sentence goes on after the file's name ("has a box without area (4, 4, 4, 9)"). box: x0 y0 x1 y1 of the one that
    is meant, in pixels of the picture as displayed.
    """

    kind: str
    file: Path | str
    what: str
    line: int | None = None
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def __str__(self) -> str:
        """One printable line of no great length, whatever strangers put into names."""
        text = f"{self.file}{'' if self.line is None else f':{self.line}'} {self.what}"
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)

"""What several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from frostline.errors import FrostlineError

if TYPE_CHECKING:
    from rich.console import RenderableType

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # that commands are added to

QUICKSTART = Path("experiments/quickstart")
PROSE = 30  # letters; a longer line of several words may be wrapped

OVERRIDES = """\
overrides are KEY=VALUE, as Hydra composes them from conf/:
  task=classification|localization|detection|segmentation
  dataset.root=PATH             your pictures, in whatever layout: a line says as which they are read; or one by name:
                                dataset=folder, csv, voc, coco, yolo, cvat, labelme, …: conf/dataset/ has all
  dataset=meadow                drawn, built in
  backbone=efficientnet_lite0   or backbone=timm backbone.name=resnet18
  backbone.weights=FILE         your own: safetensors, or a checkpoint of torch's
  head=yolo                     each task has its own by default; conf/head/ has them all
  schedule=frozen|thaw|full|…   how deep frozen, for how long: `frostline schedule list`
  rate=cosine|constant|one_cycle|step|plateau    optimizer=adamw|sgd
  augment=none|light|lecture|strong|crops    what they look like: `frostline preview`
  augment.views=4               four views of each picture in turn, whose activations can be kept
  augment/mix=mixup|cutmix|mosaic|copy_paste    several scenes in one; each is for certain tasks (conf/augment/mix/)
  trainer.epochs=10 trainer.batch_size=32 optimizer.lr=0.002 image_size=128 fit=letterbox seed=0
every key and its default: `frostline train --show`
"""


def add_overrides(parser: argparse.ArgumentParser, such_as: str | None = None) -> None:
    """Have a command take overrides, and explain them below its help."""
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help=such_as)
    parser.epilog, parser.formatter_class = OVERRIDES, argparse.RawDescriptionHelpFormatter


def with_paths(words: Sequence[str]) -> list[str]:
    """Overrides, of which a bare path says which pictures are meant. Raises FrostlineError for a second one."""
    if len(bare := [word for word in words if "=" not in word]) > 1:
        raise FrostlineError(
            f"{bare[0]} and {bare[1]}: a dataset is one folder or file, so give one (a 'pattern' in quotes stays one)."
        )
    return [word if "=" in word else f"dataset.root={word}" for word in words]


def check_of_dataset(words: Sequence[str], why: str) -> None:
    """Raise FrostlineError for overrides that are of no dataset. why: all else is not for the user to say."""
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        if "=" in word and key.partition(".")[0].partition("@")[0].partition("/")[0] != "dataset":
            raise FrostlineError(f"{word}: {why}; only dataset=… and dataset.… can be given.")


def check_out(option: str, path: Path, suffixes: tuple[str, ...], what: str) -> None:
    """Raise FrostlineError where a file that is asked for cannot be written, before anything is done."""
    if suffixes and path.suffix not in suffixes:
        raise FrostlineError(f"{option} {path}: {what} is a {' or a '.join(suffixes)} file.")
    if not path.parent.is_dir():
        raise FrostlineError(f"{option} {path}: there is no folder {path.parent}; make it first.")


def show(*parts: "RenderableType") -> None:
    """Print tables and lines. A table takes the terminal's width, or more where its names and numbers need that.

    What wraps is prose: columns with longer lines of several words. Nothing is cut.
    """
    from rich.console import Console
    from rich.table import Table

    for part in parts:
        width = Console().width
        if isinstance(part, Table):
            wide = Console(width=100_000)
            needed = wide.measure(part).maximum
            for column in part.columns:
                lines = [line for cell in (column.header, *column.cells) for line in str(cell).splitlines()]
                longest = max(map(len, lines), default=0)
                column.overflow = "fold"
                column.no_wrap = not any(" " in line and len(line) > PROSE for line in lines)
                needed -= 0 if column.no_wrap else longest - PROSE
            width = max(width, needed)
        Console(width=width).print(part)

"""What to do with a folder that somebody hands over as it is: open it, or say how what seems to lie there is read."""

import os
import shlex
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.pictures.reading import PICTURE_SUFFIXES
from frostline.scenes.layout import INFO
from frostline.sources.files import existing, picture_files
from frostline.sources.prepared import Prepared

# What a layout has in its root, all of it, by the name of its file in conf/dataset; the first that fits is offered.
LAYOUTS = {
    "yolo": ("data.yaml",),
    "voc": ("JPEGImages", "Annotations"),
    "csv": ("manifest.csv",),
    "pennfudan": ("PNGImages", "PedMasks"),
    "flowers102": ("jpg", "imagelabels.mat"),
    "pets": ("images", "annotations/xmls"),
    "masks": ("images", "masks"),
    "fashion_mnist": ("train-images-idx3-ubyte*",),
    "coco": ("annotations/*.json",),
}
MORE = {"masks": "dataset.source.classes=[NAME,NAME]"}  # what has to be told besides


def prepared_in(root: str) -> Prepared:
    """The prepared dataset in a folder. Raises FrostlineError, which offers a command, where there is none."""
    folder = existing(root, "a prepared dataset, or at pictures")
    if (folder / INFO).is_file():
        return Prepared(folder)
    words = f"{folder} is no prepared dataset, as it has no {INFO}"
    name = next((name for name, parts in LAYOUTS.items() if all(any(folder.glob(part)) for part in parts)), None)
    if name is None and any(path.parent != folder for path in picture_files(folder)):
        name = "folder"
    if name is not None:
        raise FrostlineError(f"{words}. It looks like the layout '{name}': `{command(name, folder)}`.")
    if any(file.suffix.lower() in PICTURE_SUFFIXES for file in folder.iterdir()):
        raise FrostlineError(
            f"{words}. It holds pictures, and no folders of classes: put those of each class into a folder of its own, "
            f"then `{command('folder', folder)}`."
        )
    raise FrostlineError(f"{words}, and no picture lies in it: give a folder of pictures, or one that was prepared.")


def command(name: str, folder: Path) -> str:
    """How the doctor looks at a folder as one layout."""
    parts = [f"dataset={name}", f"dataset.root={os.fspath(folder)}"] + ([MORE[name]] if name in MORE else [])
    return shlex.join(["frostline", "doctor", *parts])

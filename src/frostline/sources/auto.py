"""Which layout lies at a root, where nobody says so: every layout is asked, and the one that fits is taken."""

import shlex
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from frostline.config import conf_files
from frostline.errors import FrostlineError
from frostline.parsing.files import existing, files_below, passed_over
from frostline.pictures.reading import PICTURE_SUFFIXES
from frostline.scenes.layout import INFO

Fits = Callable[[Path], str | None]

# Data sets as they are published, each known by what lies in its root: they come before the layouts that their parts
# may look like.
PUBLISHED = {
    "pennfudan": ("PNGImages", "PedMasks"),
    "flowers102": ("jpg", "imagelabels.mat"),
    "pets": ("images", "annotations/list.txt"),
    "fashion_mnist": ("train-images-idx3-ubyte*",),
}
_BOTH = "files, pictures and masks"
_COUNTED = {"masks": _BOTH, "pennfudan": _BOTH, "fashion_mnist": "picture files"}
LAST = "folder"  # nearly any tree of folders is one of classes


def recognise(root: str) -> list[str]:
    """The overrides that choose the layout of what lies at a root, a folder or a file; a line on stderr says which.

    Raises FrostlineError where there is nothing, nothing that fits, or two layouts that do: then it names both.
    """
    path = Path(root).expanduser()
    if not path.is_file():
        existing(path, "a folder of pictures, or at an annotation file")
    name, said = _recognised(path, path.stat().st_mtime_ns)
    if (path, said) not in _SAID:
        _SAID.add((path, said))
        print(f"frostline: {said} (dataset={name})", file=sys.stderr)
    return [f"dataset={name}"]


_SAID: set[tuple[Path, str]] = set()  # a configuration is composed several times in one command


@lru_cache(maxsize=16)
def _recognised(root: Path, _changed: int) -> tuple[str, str]:
    """The layout's name, and a line on it."""
    found = _fitting(root)
    files = files_below(root) if root.is_dir() else []
    pictures = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise FrostlineError(_nothing(root, pictures))
    if len(found) > 1:
        ways = "; ".join(f"{what}: `{command(name, root)}`" for name, what in found.items())
        raise FrostlineError(f"{len(found)} layouts fit what lies at {root}: say which is meant. {ways}.")
    ((name, what),) = found.items()
    counted = [f"{len(pictures)} {_COUNTED.get(name, 'pictures')}"] if root.is_dir() else []
    return name, "; ".join([what, *counted, *filter(None, [passed_over(files)])])


def _fitting(root: Path) -> dict[str, str]:
    """What lies there, by the names of the layouts that fit; of several, those that know it best."""
    if (root / INFO).is_file():
        return {"prepared": "a prepared dataset"}
    for name, parts in PUBLISHED.items():
        if all(any(root.glob(part)) for part in parts):
            return {name: f"the data set {name}, as it is published"}
    layouts = asked()
    last = layouts.pop(LAST, None)
    found = {name: what for name, fits in sorted(layouts.items()) if (what := _asked(fits, root))}
    if not found and last is not None and (what := _asked(last, root)):
        return {LAST: what}
    return found


def _asked(fits: Fits, root: Path) -> str | None:
    try:
        return fits(root)
    except (OSError, ValueError, FrostlineError):  # a folder that may not be read, a name that no disk takes
        return None


def asked() -> dict[str, Fits]:
    """The question of each layout, `fits` in the module of its class: for each file of conf/dataset that has one.

    Of files for one module, such as masks and camvid, the one that is called as it is, or else the first.
    """
    found: dict[str, tuple[str, Fits]] = {}
    for name, content in conf_files("dataset").items():
        module = str(content.get("source", {}).get("_target_", "")).rpartition(".")[0]
        if not module.startswith("frostline.sources.") or module == __name__:
            continue
        fits = getattr(import_module(module), "fits", None)
        if fits is not None and (module not in found or module.endswith(f".{name}")):
            found[module] = (name, fits)
    return dict(found.values())


def _nothing(root: Path, pictures: list[Path]) -> str:
    looked_for = ", ".join(sorted([*asked(), *PUBLISHED, "prepared"]))
    words = f"{root} is in none of the layouts that were looked for ({looked_for})"
    if root.is_file():
        return f"{words}: give a folder of pictures, or the file that annotates them."
    if not pictures:
        return f"{words}, and no picture lies in it: give a folder of pictures, or the file that annotates them."
    inside = (picture.relative_to(root).parts for picture in pictures)
    if len(alone := {parts[0] for parts in inside if len(parts) > 1}) == 1:
        return (
            f"{words}. Only one of its folders, '{alone.pop()}', holds pictures, so there are no two classes to tell "
            "apart: put those of another class into a folder beside it; or name the layout, as in dataset=csv."
        )
    return (
        f"{words}. It holds {len(pictures)} pictures, and no folders of classes: put those of each class into a folder "
        f"of its own, then `{command(LAST, root)}`; or name the layout, as in dataset=csv."
    )


def command(name: str, root: Path) -> str:
    """How the doctor looks at a root as one layout."""
    return shlex.join(["frostline", "doctor", f"dataset={name}", f"dataset.root={root}"])

"""Pictures and masks of class numbers: two folders side by side, or lists that pair them."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from frostline.errors import FrostlineError, check_number
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, VOID, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import (
    by_name,
    existing,
    inside,
    is_file,
    namesake,
    picture_files,
    pictures_by_name,
    read_lines,
    split_named,
)

_DEEP = 32  # folders of an absolute path that are tried


class Masks(Source):
    """`root/images/**/<name>.jpg` with `root/masks/**/<name>.png`, or else, as CamVid has them, the lists
    `root/train.txt`, val.txt and test.txt of lines "picture mask": two paths relative to `root`, without blanks. One
    that begins with / and is not there was right on somebody else's machine (as /SegNet/CamVid/train/...): it is looked
    for below `root` by its end.

    Masks are PNGs of one channel, or of colours from a palette, whose values are class numbers. A first folder named
    train, val or test, or the list, tells the split. A picture without a mask and a mask without a picture are faults.

    classes: their names, in the order of their values from 0. void: the value that says unknown, besides 255; where it
    lies among the others (as 0 does where that means unlabelled), the classes pass over it. images, masks: names of the
    two folders.

    Raises FrostlineError for a missing root, one that has neither folders nor lists, classes or void that cannot be.
    """

    def __init__(
        self, root: str | Path, classes: Sequence[str], void: int = VOID, images: str = "images", masks: str = "masks"
    ) -> None:
        self.root = existing(root, "pictures and masks")
        if isinstance(classes, str) or not 1 <= len(classes) <= VOID - 1:
            raise FrostlineError("dataset.source.classes is no list of 1 to 254 names: name the masks' classes there.")
        check_number("dataset.source.void", void, 0, VOID, whole=True)
        self.classes = Classes(masks=tuple(classes))
        self._mask_map = dict(zip((value for value in range(VOID) if value != void), range(len(classes)), strict=False))
        self._mask_map[void] = VOID
        self._images, self._masks = self.root / images, self.root / masks
        self._in_folders = self._images.is_dir() and self._masks.is_dir()
        lists = [(split, self.root / f"{split}.txt") for split in SPLITS]
        lists = [(split, path) for split, path in lists if path.is_file() and not self._in_folders]
        if not self._in_folders and not lists:
            raise FrostlineError(
                f"{self.root} has neither the folders '{images}' and '{masks}' nor a list train.txt: point "
                f"dataset.root at pictures and masks, or set dataset.source.images and dataset.source.masks."
            )
        self._lines = [(split, path, *line) for split, path in lists for line in read_lines(path)]

    def scenes(self) -> Iterator[Scene]:
        yield from self._folders() if self._in_folders else self._listed()

    def _folders(self) -> Iterator[Scene]:
        pictures = pictures_by_name(self._images)
        masks = by_name((path for path in picture_files(self._masks) if path.suffix.lower() == ".png"), self._masks)
        names = sorted({*pictures, *masks})
        # `.png`, lest a dot in the name be taken for a suffix
        for scene_id, name in zip(scene_ids(PurePath(f"{name}.png") for name in names), names, strict=True):
            picture, mask = pictures.get(name), masks.get(name)
            faults = namesake(name, picture) if picture is not None else []
            if mask is None and picture is not None and not faults:
                missing = self._masks / f"{name}.png"
                faults.append(Fault("annotation_missing", picture, f"has no mask {missing}"))
            if picture is None and mask is not None:
                faults.append(Fault("picture_missing", mask, f"has no picture '{name}' in {self._images}"))
            split = split_named(name.partition("/")[0]) if "/" in name else None
            yield self._scene(scene_id, picture, mask, split, faults)

    def _listed(self) -> Iterator[Scene]:
        names = [PurePath(text.split()[0]) for *_, text in self._lines]
        ids = scene_ids(name if name.name else PurePath("unnamed") for name in names)
        for scene_id, (split, path, line, text) in zip(ids, self._lines, strict=True):
            faults = []
            words = text.split()
            found = [self._file(word) for word in words]
            if len(words) != 2:
                what = f"has {len(words)} word(s) where a picture and its mask are meant"
                faults.append(Fault("annotation_unreadable", path, what, line))
                found = [None, None]
            else:
                for word, file, kind in zip(words, found, ("picture_missing", "annotation_missing"), strict=True):
                    if file is None:
                        faults.append(Fault("path_outside", path, f"names '{word}', outside {self.root}", line))
                    elif not is_file(file):
                        faults.append(Fault(kind, path, f"names '{word}', which is not there", line))
            image, mask = (file if file is not None and is_file(file) else None for file in found)
            yield self._scene(scene_id, image, mask, split, faults)

    def _file(self, word: str) -> Path | None:
        """The file below `root` that a list means, there or not; None for one that lies elsewhere."""
        file = inside(self.root, word)
        if not word.startswith("/") or (file is not None and is_file(file)):
            return file
        parts = PurePath(word).parts[1:]
        ends = (inside(self.root, "/".join(parts[at:])) for at in range(min(len(parts), _DEEP)))
        return next((end for end in ends if end is not None and is_file(end)), file)

    def _scene(
        self, scene_id: str, image: Path | None, mask: Path | None, split: str | None, faults: Sequence[Fault]
    ) -> Scene:
        return Scene(id=scene_id, image=image, mask=mask, mask_map=self._mask_map, split=split, faults=tuple(faults))

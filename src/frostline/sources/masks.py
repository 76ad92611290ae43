"""Pictures and masks: two folders side by side, such ones for each split, or lists that pair them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError, check_number
from frostline.parsing.files import (
    by_name,
    existing,
    files_below,
    inside,
    is_file,
    namesake,
    passed_over,
    picture_files,
    pictures_by_name,
    read_lines,
    split_folder,
    visible_name,
)
from frostline.pictures.reading import displayed_size
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, VOID, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.mask_values import values_of

_DEEP = 32  # folders of an absolute path that are tried
_SUFFIXES = {".png", ".tif", ".tiff", ".bmp", ".gif"}  # of formats that keep values as they are
# Names of the two folders, in small letters, and how those for one split end.
_IMAGES = ("images", "jpegimages", "imgs", "img", "image", "pictures")
_MASKS = ("masks", "mask", "segmentationclass", "segmentations", "annotations", "labels", "annots", "gt")
_ANNOTATED = ("annot", "_labels", "_masks", "_mask", "labels", "masks")
_NAMED = (
    "_mask",
    "_masks",
    "_L",
    "_labelIds",
    "_labelTrainIds",
    "_seg",
    "_gt",
)  # how masks' names may end, all of them


class Masks(Source):
    """`root/images/**/<name>.jpg` with `root/masks/**/<name>.png`, or `root/train/` with `root/trainannot/` and so on.

    Or else, as CamVid has them, the lists `root/train.txt`, val.txt and test.txt of lines "picture mask": two paths
    relative to `root`, without blanks. One that begins with / and is not there was right on somebody else's machine (as
    /SegNet/CamVid/train/...): it is looked for below `root` by its end.

    Masks are of one channel, of 8 or 16 bits, whose values are class numbers, or have colours: see `mask_values`. A
    first folder called train, val or test, the list, or the lists in `root/ImageSets/Segmentation/` tell the split. A
    picture without a mask and a mask without a picture are faults.

    classes: their names, in the order of their values from 0; None: as `values` or a file in `root` has them. values:
    the class of each value (255) or colour (`128 0 0`, `#800000`); None as a class says unknown. void: the value that
    says unknown where neither tells, besides 255; where it lies among the others (as 0 does where that means
    unlabelled), the classes pass over it. images, masks: names of the two folders; None: looked for. unmasked: the
    class of all of a picture that has no mask; None: that is a fault.

    Raises FrostlineError for a missing root, one that has neither folders nor lists, classes or values that cannot be.
    """

    def __init__(
        self,
        root: str | Path,
        classes: Sequence[str] | None = None,
        void: int = VOID,
        values: Mapping[object, object] | None = None,
        images: str | None = None,
        masks: str | None = None,
        unmasked: str | None = None,
    ) -> None:
        self.root = existing(root, "pictures and masks")
        check_number("dataset.source.void", void, 0, VOID, whole=True)
        self._pairs = _pairs(self.root, images, masks)
        lists = [] if self._pairs else [(split, self.root / f"{split}.txt") for split in SPLITS]
        self._lists = [(split, path) for split, path in lists if path.is_file()]
        if not self._pairs and not self._lists:
            raise FrostlineError(
                f"{self.root} has neither the folders '{images or 'images'}' and '{masks or 'masks'}' nor a list "
                "train.txt: point dataset.root at pictures and masks, or set dataset.source.images and "
                "dataset.source.masks."
            )
        self._lines = [(split, path, *line) for split, path in self._lists for line in read_lines(path)]
        self._values = values_of(self.root, self._some(), classes, values, void)
        self.classes = Classes(masks=self._values.classes)
        if unmasked is not None and unmasked not in self._values.classes:
            raise FrostlineError(
                f"dataset.source.unmasked is '{unmasked}': make it one of {', '.join(self._values.classes)}, or null."
            )
        self._unmasked = unmasked
        self.notes: list[str] = list(self._values.notes)

    def _some(self) -> list[Path]:
        """Masks to look at."""
        if self._pairs:
            return [path for _, masks, _ in self._pairs for path in _mask_files(masks)]
        found = (self._file(words[1]) for *_, text in self._lines if len(words := text.split()) == 2)
        return [path for path in found if path is not None and is_file(path)]

    def scenes(self) -> Iterator[Scene]:
        yield from self._folders() if self._pairs else self._listed()

    def _folders(self) -> Iterator[Scene]:
        listed = _image_sets(self.root)
        found = [(*pair, name) for pair in self._pairs for name in _names(*pair[:2])]
        several = len(self._pairs) > 1
        # `.png`, lest a dot in the name be taken for a suffix
        ids = scene_ids(
            PurePath(f"{images.name}/{name}.png" if several else f"{name}.png") for images, *_, name in found
        )
        paired = {images: (pictures_by_name(images), _masks_by_name(masks, images)) for images, masks, _ in self._pairs}
        for scene_id, (images, mask_folder, split, name) in zip(ids, found, strict=True):
            picture, mask = (files.get(name) for files in paired[images])
            faults = namesake(name, picture) if picture is not None else []
            if mask is None and picture is not None and not faults and self._unmasked is None:
                faults.append(self._no_mask(picture, f"has no mask {mask_folder / name}.png"))
            if picture is None and mask is not None:
                faults.append(Fault("picture_missing", mask, f"has no picture '{name}' in {images}"))
            split = split or (split_folder(name.partition("/")[0]) if "/" in name else listed.get(name))
            yield self._scene(scene_id, picture, mask, split, faults)
        if told := passed_over(file for pair in self._pairs for folder in pair[:2] for file in files_below(folder)):
            self.notes.append(told)

    def _no_mask(self, file: Path, what: str, line: int | None = None) -> Fault:
        hint = f"; where that means '{self._values.classes[0]}', set dataset.source.unmasked={self._values.classes[0]}"
        return Fault("annotation_missing", file, what + hint, line)

    def _listed(self) -> Iterator[Scene]:
        names = [PurePath(text.split()[0]) for *_, text in self._lines]
        ids = scene_ids(name if name.name else PurePath("unnamed") for name in names)
        for scene_id, (split, path, line, text) in zip(ids, self._lines, strict=True):
            faults = []
            words = text.split()
            found = [self._file(word) for word in words]
            if len(words) == 1 and found[0] is not None and is_file(found[0]):
                found.append(None)
                if self._unmasked is None:
                    faults.append(self._no_mask(path, f"names no mask for '{words[0]}'", line))
            elif len(words) != 2:
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
        if mask is None and image is not None and not faults and self._unmasked is not None:
            width, height = displayed_size(image) or (1, 1)  # what has no size is a fault by itself
            whole = np.full((height, width), self._values.classes.index(self._unmasked), np.uint8)
            return Scene(id=scene_id, image=image, mask=whole, split=split)
        return Scene(
            id=scene_id,
            image=image,
            mask=mask,
            mask_map=self._values.mapped,
            mask_colours=self._values.colours,
            split=split,
            faults=tuple(faults),
        )


def fits(root: Path) -> str | None:
    """What lies there as this layout; None where nothing does."""
    if not root.is_dir():
        return None
    pairs = _pairs(root, None, None)
    whole = any((root / name).is_dir() for name in ("Annotations", "annotations/xmls"))  # VOC and pets have more
    if not whole and any(set(pictures_by_name(one)) & set(_masks_by_name(other, one)) for one, other, _ in pairs):
        return "masks, " + " and ".join(f"{images.name}/ with {masks.name}/" for images, masks, _ in pairs)
    for split in SPLITS:
        try:
            lines = read_lines(root / f"{split}.txt") if is_file(root / f"{split}.txt") else []
        except FrostlineError:
            continue
        words = next((text.split() for _, text in lines if len(text.split()) == 2), [])
        if words and all(PurePath(word).suffix.lower() in _SUFFIXES | {".jpg", ".jpeg"} for word in words):
            return f"masks, lists such as {split}.txt"
    return None


def _pairs(root: Path, images: str | None, masks: str | None) -> list[tuple[Path, Path, str | None]]:
    """Folders of pictures and of their masks, with the split that they are for."""
    folders = {path.name.lower(): path for path in sorted(root.iterdir()) if visible_name(path.name) and path.is_dir()}
    if images is not None or masks is not None:
        one = [root / images] if images is not None else [folders[name] for name in _IMAGES if name in folders]
        other = [root / masks] if masks is not None else [folders[name] for name in _MASKS if name in folders]
        return [(one[0], other[0], None)] if one and other and one[0].is_dir() and other[0].is_dir() else []
    one = [folders[name] for name in _IMAGES if name in folders][:1]
    other = [folders[name] for name in _MASKS if name in folders and (name == "masks" or _mask_files(folders[name]))][
        :1
    ]
    if one and other:
        return [(one[0], other[0], None)]
    if any((root / f"{split}.txt").is_file() for split in SPLITS):
        return []
    return [
        (folders[name], folders[name + end], split_folder(name))
        for name in folders
        if split_folder(name)
        for end in _ANNOTATED
        if name + end in folders and _mask_files(folders[name + end])
    ]


def _mask_files(folder: Path) -> list[Path]:
    return [path for path in picture_files(folder) if path.suffix.lower() in _SUFFIXES]


def _masks_by_name(masks: Path, images: Path) -> dict[str, Path]:
    """Masks by the name of their picture, which all of theirs may have with the same end behind, as in `1_mask.png`."""
    found = by_name(_mask_files(masks), masks)
    if found and not set(found) & set(pictures_by_name(images)):
        for end in _NAMED:
            if all(name.endswith(end) for name in found):
                return {name.removesuffix(end): path for name, path in found.items()}
    return found


def _names(images: Path, masks: Path) -> list[str]:
    return sorted({*pictures_by_name(images), *_masks_by_name(masks, images)})


def _image_sets(root: Path) -> dict[str, str]:
    """The split of each name in VOC's lists of masks; one in several lists has none."""
    found: dict[str, str] = {}
    twice = set()
    for split in SPLITS:
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        for _, text in read_lines(path) if path.is_file() else ():
            twice |= {text} & found.keys()
            found[text] = split
    return {name: split for name, split in found.items() if name not in twice}

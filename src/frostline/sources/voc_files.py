"""Where the files of a data set in VOC's layout lie: its own folders, or XML files beside, above or below pictures."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from frostline.errors import FrostlineError
from frostline.parsing.files import by_name, files_below, is_file, pictures_by_name, read_lines, visible
from frostline.parsing.lookup import folder_called, head_of, plain_stem, same_but_upload, split_of_folders

_LISTS = ("test", "val", "train", "trainval")  # a name of several lists belongs to the first of them
_NAMED = 3  # folders in a description
_LOOKED_AT = 3  # XML files of a folder
_HEAD = 2048  # bytes in which an XML file shows its first element


@dataclass
class VocFiles:
    """Files by the name that they share. listed: of a name its split (None: a list of no split), the list, the line.

    splits: of names in folders called train, val or test. place: the folder that names start at.
    """

    place: Path
    pictures: dict[str, Path]
    xmls: dict[str, Path]
    masks: dict[str, Path] = field(default_factory=dict)
    listed: dict[str, tuple[str | None, Path, int]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)


def voc_files(root: Path) -> VocFiles:
    """The files of a data set. Raises FrostlineError where there is no XML file of VOC's kind, or several data sets."""
    if (own := _own_layout(root)) is not None:
        return own
    homes = [home for home in _folders(root, 3) if _is_home(home)]
    if len(homes) > 1:
        named = ", ".join(str(home.relative_to(root)) for home in homes)
        raise FrostlineError(f"{root} holds several data sets ({named}): point dataset.root at one of them.")
    if homes and (own := _own_layout(homes[0])) is not None:
        return own
    return _anywhere(root)


def _is_home(folder: Path) -> bool:
    return folder_called(folder, "JPEGImages") is not None and folder_called(folder, "Annotations") is not None


def _own_layout(root: Path) -> VocFiles | None:
    """JPEGImages, Annotations, ImageSets/Main and SegmentationClass, whatever the case of their names."""
    pictures, annotations = folder_called(root, "JPEGImages"), folder_called(root, "Annotations")
    if pictures is None or annotations is None:
        return None
    xmls = by_name(files_below(annotations, {".xml"}), annotations)
    masks = folder_called(root, "SegmentationClass")
    found = VocFiles(pictures, pictures_by_name(pictures), xmls)
    if masks is not None:
        found.masks = by_name(visible(masks, "*.png"), masks)
    sets = folder_called(root, "ImageSets")
    lists = folder_called(sets, "Main") if sets else None
    if lists is not None:
        found.listed = _listed(lists, {name: name for name in (*found.pictures, *found.xmls)})
    return found


def _listed(folder: Path, known: dict[str, str]) -> dict[str, tuple[str | None, Path, int]]:
    """The names that lists tell, as `known` has them. A list of another name tells no split, if there are no others."""
    listed: dict[str, tuple[str | None, Path, int]] = {}
    paths = {path.stem: path for path in visible(folder, "*.txt")}
    own = [split for split in _LISTS if split in paths]
    others = [] if own else [stem for stem in paths if not stem.endswith(tuple(f"_{split}" for split in _LISTS))]
    for stem in own or others:
        for line, name in read_lines(paths[stem]):
            split = "train" if stem == "trainval" else stem if stem in own else None
            listed.setdefault(known.get(name) or known.get(PurePath(name).stem, name), (split, paths[stem], line))
    return listed


def _anywhere(root: Path) -> VocFiles:
    """XML files beside, above or below their pictures, wherever these lie.

    The picture of an XML file is the one of its name beside it; else the only one of its name anywhere; else, of
    several, the one in a folder that is called as its own (train/images/1.jpg for train/xml/1.xml). Splits are told by
    folders called train, val or test, or by such lists in the root.
    """
    found = VocFiles(root, pictures_by_name(root), {})
    stems: dict[str, list[str]] = defaultdict(list)
    for name in found.pictures:
        stems[PurePath(name).name].append(name)
    xmls = [path for path in files_below(root, {".xml"}) if path.stem in stems or is_voc_xml(path)]
    if not any(map(is_voc_xml, xmls)):
        raise FrostlineError(
            f"{root} has no folders JPEGImages and Annotations, and no XML file of VOC's kind anywhere: point "
            "dataset.root at data in VOC's layout."
        )
    for xml in xmls:
        own = xml.relative_to(root).with_suffix("")
        name = own.as_posix()
        if name not in found.pictures:
            alike = stems.get(own.name, [])
            parts = set(own.parts[:-1])
            ranks = [len(parts & set(PurePath(other).parts[:-1])) for other in alike]
            nearest = [other for other, rank in zip(alike, ranks, strict=True) if rank == max(ranks)]
            name = nearest[0] if len(nearest) == 1 else name
        found.xmls[name if name not in found.xmls else own.as_posix()] = xml
    for name in (*found.pictures, *found.xmls):
        places = [PurePath(name), *([found.xmls[name].relative_to(root)] if name in found.xmls else [])]
        if splits := [split for place in places if (split := split_of_folders(place))]:
            found.splits[name] = splits[0]
    known = {PurePath(name).name: name for name in (*found.pictures, *found.xmls)}
    sets = folder_called(root, "ImageSets")
    lists = (folder_called(sets, "Main") if sets else None) or root
    if any(is_file(lists / f"{split}.txt") for split in _LISTS):
        found.listed = _listed(lists, known)
    return found


def pair_by_content(files: VocFiles, named: Mapping[str, str]) -> None:
    """Give XML files without a picture the one that they name, or whose name has an upload's signs before it, or not.

    named: what each XML file calls its picture, by its name. Only where nobody else has that picture, and only one.
    """
    free: dict[str, list[str]] = defaultdict(list)
    for name in files.pictures.keys() - files.xmls.keys():
        free[plain_stem(name)].append(name)
    wanted: dict[str, list[str]] = defaultdict(list)
    for name in files.xmls.keys() - files.pictures.keys():
        for called in (named.get(name, ""), name):
            found = free.get(plain_stem(called), []) if called else []
            if len(found) == 1 and same_but_upload(called, found[0]):
                wanted[plain_stem(called)].append(name)
                break
    for stem, names in wanted.items():
        if len(names) == 1:
            files.xmls[free[stem][0]] = files.xmls.pop(names[0])


def is_voc_xml(path: Path) -> bool:
    """Whether a file begins as VOC's annotations do, and not as LabelMe's, whose size has another name."""
    head = head_of(path, _HEAD)
    return (b"<annotation>" in head or b"<annotation " in head) and b"<imagesize>" not in head


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """The folders below a root, to some depth."""
    try:
        found = sorted(entry.path for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return
    for path in found:
        yield Path(path)
        if depth > 1:
            yield from _folders(Path(path), depth - 1)


def fits(root: Path) -> str | None:
    """What lies there as VOC's layout, in short; None where it does not. Raises nothing."""
    try:
        home = next((folder for folder in (root, *_folders(root, 2)) if _is_home(folder)), None)
        place = folder_called(home, "Annotations") if home is not None else None
        found = {}
        for folder in (place,) if place else (root, *_folders(root, 2)):
            xmls = [path for path in visible(folder, "*") if path.suffix.lower() == ".xml"]
            if any(map(is_voc_xml, xmls[:_LOOKED_AT])):
                found[folder] = len(xmls)
    except (OSError, ValueError):
        return None
    if not found:
        return None
    count = sum(found.values())
    where = ", ".join(str(folder.relative_to(root)) for folder in [*found][:_NAMED] if folder != root)
    return f"VOC, {count} XML file{'s' if count > 1 else ''}{' in ' if where else ''}{where}"

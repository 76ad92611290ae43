"""The picture that an annotation tool means: by path, by address, or by its bare name, and always below the root."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from frostline.errors import FrostlineError
from frostline.parsing.files import PICTURE_SUFFIXES, inside, is_file, picture_files, split_named

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # Label Studio puts eight signs before the name of what is uploaded
_MOST_NAMED = 3  # places in a message


class Pictures:
    """The pictures below some folders of a root.

    folders: their paths, relative to `root`; None: all of it. Raises FrostlineError where one is no folder there.
    """

    def __init__(self, root: Path, folders: str | Sequence[str] | None = None) -> None:
        self.root = root
        self.folders = []
        for name in [folders] if isinstance(folders, str) else folders or ["."]:
            folder = inside(root, name)
            if folder is None or not folder.is_dir():
                raise FrostlineError(
                    f"{name} is no folder below {root}: set dataset.source.images to the folder of the pictures."
                )
            self.folders.append(folder)
        self.all = sorted({path for folder in self.folders for path in picture_files(folder)})
        self._named: dict[str, list[Path]] = defaultdict(list)
        for path in self.all:
            for key in {path.name, path.stem}:
                self._named[_plain(key)].append(path)

    def find(self, name: str, near: Path, split: str | None = None) -> tuple[Path | None, str, str]:
        """The picture that a file in the folder `near` calls so; else None, a kind of fault, and what is wrong.

        name: a path, an address, or a bare name with or without a suffix. Tried in turn: as a path from each folder
        and from `near`; then the one picture anywhere whose path ends so, or whose name is the same; then without the
        signs that an upload has put before it. Of several, one in a folder of the split's name.
        """
        names = list(dict.fromkeys((_path_of(name), unquote(_path_of(name)))))
        for folder in (*self.folders, near):
            for each in names:
                path = inside(self.root, each, folder)
                if path is not None and path.suffix.lower() in PICTURE_SUFFIXES and is_file(path):
                    return path, "", ""
        found: list[Path] = []
        for each in names:
            base = PurePosixPath(each).name
            uploaded = _UPLOADED.fullmatch(base)
            for bare in (base, *([uploaded[1]] if uploaded else [])):
                found = found or _closest(self._named.get(_plain(bare), []), each, bare)
        if len(found) > 1 and split is not None:
            found = [path for path in found if split in map(split_named, self._folders_of(path))] or found
        if len(found) == 1:
            return found[0], "", ""
        if found:
            places = ", ".join(str(path.relative_to(self.root)) for path in found[:_MOST_NAMED])
            what = f"names '{name}', which lies at several places ({places})"
            return None, "picture_missing", f"{what}: set dataset.source.images to the folder meant"
        if all(inside(self.root, each, near) is None for each in names):
            return None, "path_outside", f"names '{name}', which lies outside {self.root}"
        return None, "picture_missing", f"names '{name}', which is not there"

    def _folders_of(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.root).parts[:-1]


def _path_of(name: str) -> str:
    """The path in an address, as of an upload, of Label Studio's local files (`?d=`) or of a bucket; with / alone."""
    if "://" in name or "?d=" in name:
        try:
            parts = urlsplit(name)
            local = parse_qs(parts.query).get("d")
        except ValueError:
            return name
        name = local[0] if local else parts.path
    return name.replace("\\", "/")


def _plain(name: str) -> str:
    """A name as uploads make it: blanks are underscores, and signs that a shell could take amiss are gone."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _closest(found: list[Path], name: str, bare: str) -> list[Path]:
    """Of pictures with the same plain name, those whose path ends as `name` does; else those called exactly so."""
    wanted = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    alike = [len(os.path.commonprefix([wanted[::-1], list(path.parts)[::-1]])) for path in found]
    if max(alike, default=0) > 0:
        return [path for path, same in zip(found, alike, strict=True) if same == max(alike)]
    return [path for path in found if bare in (path.name, path.stem)] or found

"""Which picture an annotation means by a name: a path, perhaps with backslashes, of another machine, or an address."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from frostline.parsing.files import inside, is_file, picture_files, split_named
from frostline.parsing.lookup import plain_stem, same_but_upload


@dataclass(frozen=True)
class Wanted:
    """name: of a picture, as it stands in a file. beside: the folder of that file. split: which the file belongs to."""

    name: str
    beside: Path
    split: str | None = None


@dataclass(frozen=True)
class Meant:
    """path: the picture, None where there is none or nobody can tell which. outside: whether its name leads out of the
    root. guessed: whether it was found by its bare name alone."""

    path: Path | None
    outside: bool = False
    guessed: bool = False


def meant(root: Path, folders: Sequence[Path], wanted: Sequence[Wanted]) -> list[Meant]:
    """The picture of each name, all of them below `root`.

    A name is a path from one of the folders, or from that of its file; else the end of one path below the folders, of
    several the one in a folder of the split's name. What is left is known by the last folders of its path, or its bare
    name, with or without the eight signs that an upload puts before it: where one picture alone has it, which no other
    name means.
    """
    found = [_as_path(root, folders, each) for each in wanted]
    if all(each.path for each in found):
        return found
    index = _Index(root, folders)
    for at, each in enumerate(wanted):
        if found[at].path is None and not found[at].outside and (path := index.ending(each)) is not None:
            found[at] = Meant(path)
    taken = {each.path for each in found}
    guesses = {at: index.called(wanted[at].name) for at, each in enumerate(found) if each.path is None}
    users: dict[Path | None, set[str]] = defaultdict(set)
    for at, path in guesses.items():
        users[path].add(_plain(wanted[at].name))
    for at, path in guesses.items():
        if path is not None and path not in taken and len(users[path]) == 1:
            found[at] = Meant(path, found[at].outside, guessed=True)
    return found


def told(found: Sequence[Meant], wanted: Sequence[Wanted], root: Path) -> str | None:
    """The sentence on pictures that were found by their bare names; None where there are none."""
    guessed = [each.name for each, how in zip(wanted, found, strict=True) if how.guessed]
    if not guessed:
        return None
    return (
        f"{len(guessed)} of {len(found)} pictures are not where they should be, such as '{guessed[0][:200]}': they "
        f"were found below {root.name or root} by their bare names"
    )


def _as_path(root: Path, folders: Sequence[Path], wanted: Wanted) -> Meant:
    name = _plain(wanted.name)
    outside = True
    for each in dict.fromkeys((wanted.name, name)):
        for folder in (*folders, wanted.beside):
            path = inside(root, each, folder)
            if path is None:
                continue
            outside = False
            if is_file(path):
                return Meant(path)
    return Meant(None, outside and inside(root, name) is None)


class _Index:
    """All pictures below the folders, by their names."""

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self._root = root
        self._named: dict[str, list[Path]] = defaultdict(list)
        self._called: dict[str, list[Path]] = defaultdict(list)
        for path in sorted({path for folder in folders for path in picture_files(folder)}):
            self._named[path.name].append(path)
            self._called[plain_stem(path.name)].append(path)

    def ending(self, wanted: Wanted) -> Path | None:
        """The one picture whose path ends so."""
        parts = PurePosixPath(_plain(wanted.name)).parts
        found = [path for path in self._named.get(parts[-1] if parts else "", []) if path.parts[-len(parts) :] == parts]
        if len(found) > 1 and wanted.split is not None:
            places = {path: path.relative_to(self._root).parts[:-1] for path in found}
            found = [path for path in found if wanted.split in map(split_named, places[path])] or found
        return found[0] if len(found) == 1 else None

    def called(self, name: str) -> Path | None:
        """The one picture of a bare name, with as much of the path before it as any such picture has."""
        parts = PurePosixPath(_plain(name)).parts
        bare = parts[-1] if parts else ""
        alike = self._named.get(bare, [])
        alike = alike or [path for path in self._called.get(plain_stem(bare), []) if _may_be(bare, path.name)]
        ranks = [len(os.path.commonprefix([parts[-2::-1], path.parts[-2::-1]])) for path in alike]
        nearest = [path for path, rank in zip(alike, ranks, strict=True) if rank == max(ranks)]
        return nearest[0] if len(nearest) == 1 else None


def _may_be(name: str, other: str) -> bool:
    """Whether two bare names of pictures differ in their case, an upload's signs, or in that one lacks its suffix."""
    suffix, its = PurePosixPath(name).suffix.lower(), PurePosixPath(other).suffix.lower()
    return (suffix == its and same_but_upload(name, other)) or name.lower() == PurePosixPath(other).stem.lower()


def _plain(name: str) -> str:
    """The path in a name: that of an address, or of Label Studio's local files (?d=), with / between folders."""
    if re.match(r"[a-z0-9+-]+://", name) or "?d=" in name:
        try:
            parts = urlsplit(name)
            local = parse_qs(parts.query).get("d")
            name = local[0] if local else unquote(parts.path).lstrip("/")
        except ValueError:
            return name
    return name.replace("\\", "/")

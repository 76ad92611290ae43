"""What the columns of a manifest mean, under the names that tools and people give them."""

from collections.abc import Mapping
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.words import listed, short

CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = ("path", *CORNERS, "box_label", "label", "mask", "split", "group")
_LONGEST = 200  # signs of names in messages
_SIZE = ("width", "height")  # of the picture, where the file tells corners under one of the names below
_NAMED_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_NAMES = {
    "path": ("filename", "file_name", "file", "filepath", "file_path", "image", "image_path", "img", "picture"),
    "mask": ("mask_path",),
    "split": ("subset", "set"),
}
_CLASSES = ("class", "class_name", "category", "category_name", "label_name")


def roles_of(header: list[str], columns: Mapping[str, str], file: Path) -> tuple[dict[str, int], list[str]]:
    """The place of each role's column, and notes on what was taken for granted.

    A role has the column that `columns` names, else the one of its own name, else one of another usual name if there is
    just one such, whatever its case. Other names of corners make the class beside them that of the boxes, and width and
    height those of the picture. Raises FrostlineError where a column that is named or needed is not there, or nobody
    can tell which it is.
    """
    for role in columns:
        if role not in COLUMNS:
            raise FrostlineError(f"dataset.source.columns has the key '{role}', which is none of {', '.join(COLUMNS)}.")
    for name in columns.values():
        if name not in header:
            raise FrostlineError(
                f"{file} has no column '{name}' in its first line ({_shown(header)}): add it, or say in "
                "dataset.source.columns what it is called."
            )
    named = {role: columns.get(role, role) for role in COLUMNS}
    roles = {role: header.index(name) for role, name in named.items() if name in header}
    own = dict(roles)
    if "path" not in roles:
        roles["path"] = _path(header, file)
    for role in ("mask", "split"):
        if role not in roles and len(places := _places(header, _NAMES[role])) == 1:
            roles[role] = places[0]
    _add_corners(roles, header)
    _add_class(roles, header, own, columns)
    if 0 < len(set(CORNERS) & set(roles)) < 4:
        raise FrostlineError(f"{file} has only some of the columns x0, y0, x1 and y1: a box needs all four.")
    if "box_label" in roles and "x0" not in roles:
        raise FrostlineError(f"{file} has labels of boxes but no columns x0, y0, x1, y1: add these.")
    return roles, _notes(roles, header, own)


def _path(header: list[str], file: Path) -> int:
    places = _places(header, _NAMES["path"])
    if len(places) == 1:
        return places[0]
    which = (
        f", and may mean {short(listed([repr(header[place]) for place in places]), _LONGEST)}"
        if places
        else f" ({_shown(header)})"
    )
    raise FrostlineError(
        f"{file} has no column 'path' in its first line{which}: add it, or say what it is called, as in "
        f"dataset.source.columns.path={header[places[0]] if places else 'NAME'}."
    )


def _add_corners(roles: dict[str, int], header: list[str]) -> None:
    if set(CORNERS) <= set(roles):
        return
    sets = [[_only(header, name) for name in names] for names in _NAMED_CORNERS]
    sets = [places for places in sets if None not in places]
    if len(sets) == 1 and not {"x0", "y0"} & set(roles):
        roles |= {role: place for role, place in zip(CORNERS, sets[0], strict=True) if place is not None}
        size = [_only(header, side) for side in _SIZE]
        roles |= {
            side: place for side, place in zip(_SIZE, size, strict=True) if place is not None and None not in size
        }


def _add_class(roles: dict[str, int], header: list[str], own: Mapping[str, int], columns: Mapping[str, str]) -> None:
    """The class of a picture, or of boxes where there are corners."""
    role = "box_label" if "x0" in roles else "label"
    if role in roles:
        return
    places = _places(header, _CLASSES)
    if role == "box_label" and "x0" not in own and "label" not in columns and not places:
        # Beside corners under other names, `label` is the class of the box in its row.
        places = _places(header, ("label",))
        if len(places) == 1:
            roles.pop("label", None)
    if len(places) == 1:
        roles[role] = places[0]


def _places(header: list[str], names: tuple[str, ...]) -> list[int]:
    return [place for place, name in enumerate(header) if name.lower() in names]


def _only(header: list[str], name: str) -> int | None:
    places = _places(header, (name,))
    return places[0] if len(places) == 1 else None


def _notes(roles: Mapping[str, int], header: list[str], own: Mapping[str, int]) -> list[str]:
    notes = []
    taken = {role: place for role, place in roles.items() if role not in own}
    if taken:
        pairs = [f"{header[place]} as {'the size' if role in _SIZE else role}" for role, place in taken.items()]
        notes.append(f"columns are taken by their names, {listed(pairs)}; dataset.source.columns can say otherwise")
    if unread := [repr(name) for place, name in enumerate(header) if place not in roles.values()]:
        notes.append(f"columns that are not read: {short(', '.join(unread), _LONGEST)}")
    return notes


def _shown(header: list[str]) -> str:
    text = ", ".join(header)
    return f"there are: {short(text, _LONGEST)}" if text else "it is empty"

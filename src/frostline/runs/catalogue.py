"""Which backbones there are, what each costs, and which tasks and heads take it: a table that is kept.

To build every backbone and every head on it takes a minute or more. So what is found is kept: for the files of
conf/backbone/ beside this module, for others and for other versions of timm in runs/. Nothing here loads torch.
"""

import difflib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline.code import code_hash
from frostline.config import Config, conf_files
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.models.hub import WEB, are_here
from frostline.runs.timm_names import timm_names
from frostline.words import quantity

if TYPE_CHECKING:
    from rich.table import Table

ANY = "timm"  # the file that takes a name of timm's
SHIPPED = Path(__file__).with_name("catalogue.json")  # `make catalogue` writes it
OWN = Path("runs/catalogue.json")


@dataclass(frozen=True)
class Entry:
    """What the table says of one backbone.

    name: as written after `backbone=`. parameters: without any classifier. multiply_adds: for one picture of its own
    input size, in px. weights: where pretrained ones come from. heads: by task.
    """

    name: str
    parameters: int
    multiply_adds: int
    input_size: int
    strides: list[int]
    groups: list[str]
    weights: str
    heads: dict[str, list[str]]


def shipped() -> list[str]:
    """Every file of conf/backbone/ that is one architecture."""
    return [name for name in conf_files("backbone") if name != ANY]


def node_of(name: str) -> Config:
    """The configuration of a backbone, without weights: a file of conf/backbone/, or a name of timm's."""
    known = conf_files("backbone")
    if name == ANY or (name not in known and name.split(".")[0] not in timm_names()):
        near = difflib.get_close_matches(name, sorted({*known, *timm_names()}), n=4)
        hint = f"; names like it: {', '.join(near)}" if near else ""
        raise FrostlineError(f"'{name}' is neither a file in conf/backbone/ nor a model of timm{hint}.")
    node = known.get(name) or known[ANY] | {"name": name}
    return node | {"pretrained": False} if "pretrained" in node else node


def known(names: Sequence[str]) -> dict[str, Entry | None]:
    """The rows of backbones; None for one that was not found yet. Raises FrostlineError for an unknown name."""
    shipped_rows, own_rows, code = _read(SHIPPED), _read(OWN), code_hash("models")
    rows = {name: shipped_rows.get(key) or own_rows.get(f"{key} {code}") for name, key in _keys(names).items()}
    return {name: row and Entry(**row) for name, row in rows.items()}


def to_be_fetched(row: Entry | None, node: Config) -> str:
    """Where a backbone's pretrained weights come from, if it wants some and they are not here; else empty.

    row: what is known of it. node: its part of a configuration.
    """
    wanted = node.get("pretrained") and not node.get("weights")
    if row is None or not wanted or are_here(row.weights, str(node["name"])):
        return ""
    return "the web" if row.weights == WEB else row.weights


def keep(entry: Entry) -> None:
    """A row for the next time; where nothing can be written, it is found again."""
    with suppress(OSError):
        OWN.parent.mkdir(exist_ok=True)
        _write(OWN, _read(OWN) | {f"{_keys([entry.name])[entry.name]} {code_hash('models')}": asdict(entry)})


def keep_shipped(entries: Sequence[Entry]) -> None:
    """The rows of conf/backbone/, for all who have the same version of timm."""
    keys = _keys([entry.name for entry in entries])
    _write(SHIPPED, {keys[entry.name]: asdict(entry) for entry in entries})


def _keys(names: Sequence[str]) -> dict[str, str]:
    """For each backbone a hash of all that decides its row but our own code."""
    others = [conf_files("head"), conf_files("task"), version("timm")]
    said = {name: json.dumps([node_of(name), *others], sort_keys=True) for name in names}
    return {name: sha256(text.encode()).hexdigest()[:16] for name, text in said.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}


def _write(path: Path, rows: dict[str, Any]) -> None:
    lines = [f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def tables(entries: Sequence[Entry]) -> "list[Table]":
    """Two tables of rich: what each backbone is; and which tasks and heads take it, in one row where they are alike."""
    from rich.box import SIMPLE
    from rich.table import Table

    what = Table("backbone", "params", "mult-adds", "px", "strides", "groups", "weights", box=SIMPLE, padding=0)
    alike: dict[str, list[str]] = {}
    for one in entries:
        what.add_row(
            one.name,
            quantity(one.parameters),
            quantity(one.multiply_adds),
            str(one.input_size),
            " ".join(map(str, one.strides)) or "-",
            f"to {one.groups[-1]}",
            one.weights,
        )
        takers = "\n".join(f"{task}: {', '.join(heads)}" for task, heads in one.heads.items())
        alike.setdefault(takers, []).append(one.name)
    which = Table("backbone", "tasks and heads that take it", box=SIMPLE, padding=0, show_lines=True)
    for takers, names in alike.items():
        which.add_row("\n".join(names), takers)
    return [what, which]

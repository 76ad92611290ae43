"""Which backbones are looked at, and what is known against one before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.config import Config, conf_files
from frostline.errors import FrostlineError
from frostline.runs.catalogue import ANY, known, node_of, to_be_fetched

OF_TIMM = "timm:"  # before a name of timm's, where it is none of conf/backbone/, or to be told from it


@dataclass(frozen=True)
class Candidate:
    """name: as it was asked for. node: its part of a configuration. parameters: 0 where they are not known yet.
    lacking: why it cannot be looked at; empty where nothing is known against it."""

    name: str
    node: Config
    parameters: int = 0
    lacking: str = ""


def chosen(names: Sequence[str] | None, pretrained: bool = True) -> tuple[list[Candidate], list[str]]:
    """The candidates, and the backbones that nobody named and that are left out for want of weights here.

    names: files of conf/backbone/ and names of timm's, also as `timm:NAME`; None for every file whose weights are here.
    pretrained: whether their weights are wanted; else all begin at random. Raises FrostlineError for an unknown name.
    """
    if names is not None:
        return [_candidate(name, pretrained) for name in dict.fromkeys(names)], []
    files = [name for name, node in conf_files("backbone").items() if name != ANY and node.get("pretrained")]
    candidates = [_candidate(name, pretrained) for name in files]
    return [one for one in candidates if not one.lacking], [one.name for one in candidates if one.lacking]


def named_in(text: str) -> list[str]:
    """What `[a,b]` or `a,b` names; nothing for neither."""
    return [name.strip() for name in text.strip().removeprefix("[").removesuffix("]").split(",") if name.strip()]


def names_of(text: str) -> list[str]:
    """The backbones of `[a,b]` or `a,b`. Raises FrostlineError where there is none."""
    names = named_in(text)
    if not names:
        raise FrostlineError("backbones= names none; give some, such as backbones=[resnet18,timm:regnety_002].")
    return names


def _candidate(name: str, pretrained: bool) -> Candidate:
    bare = name.removeprefix(OF_TIMM)
    files = conf_files("backbone")
    if name.startswith(OF_TIMM):
        node_of(bare)  # raises where timm has none of that name
        node = files[ANY] | {"name": bare}
    else:
        node_of(bare)
        node = files.get(bare) or files[ANY] | {"name": bare}
    if "pretrained" in node:
        node = node | {"pretrained": bool(node["pretrained"]) and pretrained}
    row = known([bare])[bare]
    lacking = f"no weights here (they come from {source})" if (source := to_be_fetched(row, node)) else ""
    return Candidate(name, node, 0 if row is None else row.parameters, lacking)

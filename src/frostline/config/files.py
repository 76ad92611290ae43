"""Where configuration lies, and how a resolved one is written and read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from frostline.errors import FrostlineError
from frostline.files import hint_above
from frostline.words import one_line

Config = dict[str, Any]  # resolved: plain values only


def conf_dir() -> Path:
    """`conf/` of the working directory; where there is none, the one that came with the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (Path.cwd() / "conf", package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    raise FrostlineError(f"No configuration found: there is no conf/config.yaml in {Path.cwd()}.")


def conf_files(group: str) -> dict[str, Config]:
    """What stands in conf/GROUP/, by file, as nothing is composed. Raises FrostlineError where one is no YAML."""
    return {path.stem: _load(path, "mend it") for path in sorted((conf_dir() / group).glob("*.yaml"))}


def read(path: Path) -> Config:
    """A resolved configuration that `plan` wrote."""
    config = _load(path, f"run `frostline plan`{hint_above(path)}")
    if not isinstance(config, dict):
        raise FrostlineError(f"{path} holds no configuration: run `frostline plan` again.")
    return config


def to_yaml(config: Config) -> str:
    """The same text for the same configuration, whatever the order of its keys."""
    return yaml.safe_dump(config, sort_keys=True, allow_unicode=True)


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Its values as texts, by keys such as `trainer.epochs`."""
    found: dict[str, str] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


def _load(path: Path, mend: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FrostlineError(f"The configuration {path} cannot be read ({why(error)}): {mend}.") from error


def why(error: Exception) -> str:
    """What is wrong with a file, with the line where that is known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {one_line(error.problem or error.context or 'no YAML')}"
    return getattr(error, "strerror", None) or one_line(str(error))

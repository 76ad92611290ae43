"""Where configuration lies, and how YAML is read here: as DVC reads it, so that a value is one value everywhere."""

import re
from pathlib import Path
from typing import Any

import yaml

from frostline.errors import FrostlineError
from frostline.words import one_line

Config = dict[str, Any]  # resolved: plain values only


def conf_dir() -> Path:
    """`conf/` of the working directory; where there is none, the one that came with the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (Path.cwd() / "conf", package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    raise FrostlineError(f"No configuration found: there is no conf/config.yaml in {Path.cwd()}.")


def read(path: Path) -> Config:
    """A resolved configuration that `plan` wrote."""
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FrostlineError(
            f"The configuration {path} cannot be read ({why(error)}): run `frostline plan`."
        ) from error
    if not isinstance(config, dict):
        raise FrostlineError(f"{path} holds no configuration: run `frostline plan` again.")
    return config


def read_yaml(path: Path) -> Any:
    """The content of a YAML file that people write, by YAML 1.2, as DVC has it.

    So `010` is the number 10, `1e-3` the number 0.001, and `off`, `yes` and dates are text; `null`, `~` and nothing at
    all are None; `true` and `false` are truth values. (YAML 1.1, as PyYAML has it: 8, text, False, True, a date.)
    Raises FrostlineError with file and line where it is no YAML, and where a key stands twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FrostlineError(f"{path} cannot be read ({why(error)}): mend it.") from error


def to_yaml(config: Config) -> str:
    """The same text for the same configuration, whatever the order of its keys."""
    return yaml.safe_dump(config, sort_keys=True, allow_unicode=True)


def why(error: Exception) -> str:
    """What is wrong with a file, with the line where that is known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {one_line(error.problem or error.context or 'no YAML')}"
    return getattr(error, "strerror", None) or one_line(str(error))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key.value}' stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(node.value)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

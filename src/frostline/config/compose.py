"""Hydra composes `conf/` and overrides; every value is then made what its key takes, and looked at."""

import copy
import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from frostline.config.build import build, hydra_is_new
from frostline.config.files import Config, conf_dir, why
from frostline.config.keys import CLOSED, KEYS, NAMED, check_ranges, kind_at
from frostline.config.source import annotation
from frostline.config.values import ANY, Kind, annotated, kind_of, typed
from frostline.errors import FrostlineError
from frostline.files import hint_above, sha256_of
from frostline.words import one_line

_PATHS = ("dataset.root", "cache.folder", "backbone.weights")  # a folder may be called {x} or [1], or hold a comma


def compose(overrides: Sequence[str] = ()) -> Config:
    """conf/config.yaml with Hydra overrides (`task=detection`, `trainer.epochs=3`) -> the resolved configuration.

    What a value means is told in `values`. `dataset=auto`, or a dataset.root without a dataset, becomes the layout that
    lies there. Raises FrostlineError for an unknown key, group or option, a value of another kind or out of range, or
    one that is still missing.
    """
    files, values = _apart(overrides)
    chosen = [file for file in files if file.startswith("dataset=")]
    roots = [value for value in values if value.startswith("dataset.root=")]
    if roots and chosen[-1:] in ([], ["dataset=auto"]):
        # By its name, as sources stand above this room.
        recognise = {"_target_": "frostline.sources.auto.recognise"}
        files = [file for file in files if file not in chosen] + build(recognise, str(_parsed(roots[-1])[1]))
    return change(choose(files), values)


def choose(files: Sequence[str]) -> Any:
    """What conf/ says with these files (`task=detection`, `augment/mix=mixup`), without its references resolved.

    Not to be changed, as it is kept: a study has many runs of the same files, and Hydra takes 0.2 s for each.
    Raises FrostlineError where there is no such file, or it is none.
    """
    folder = conf_dir()
    written = frozenset((path, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*.yaml"))
    return _composed(tuple(files), folder, written)


@lru_cache(maxsize=64)
def _composed(files: Sequence[str], folder: Path, written: frozenset[tuple[Path, int, int]]) -> Any:
    """written: what the folder holds."""
    # Hydra takes 0.1 s to load, and who reads a plan needs none of it.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        # 1.4 has one behaviour, and warns where one is named.
        with initialize_config_dir(str(folder), **({} if hydra_is_new() else {"version_base": "1.3"})):
            return OmegaConf.to_container(hydra_compose("config", list(files)), resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise FrostlineError(_explain(error, folder)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        file = mark.name if mark is not None else f"A file in {folder}"
        raise FrostlineError(f"{file} is no YAML ({why(error)}): mend it.") from error


def change(defaults: Any, overrides: Sequence[str]) -> Config:
    """The resolved configuration where these values (`trainer.epochs=3`) stand in place of what `choose` gave.

    Raises FrostlineError as `compose` does.
    """
    plain = copy.deepcopy(defaults)
    written = _change(plain, overrides)
    if missing := sorted(path for path, value in _leaves(plain) if value == "???"):
        raise FrostlineError(f"{missing[0]} has no value: give it one, as in '{missing[0]}=…'.")
    config: Config = _resolved(_made(plain, defaults, written, ""))
    for group in CLOSED:
        if unknown := sorted(f"{group}.{key}" for key in config[group] if f"{group}.{key}" not in KEYS):
            raise FrostlineError(f"There is no key '{unknown[0]}': take it out of the file in conf/{group}/.")
    for group in NAMED:
        if not isinstance(config[group], dict) or config[group].get("name") in (None, ""):
            raise FrostlineError(f"The file chosen in conf/{group}/ has no name: write 'name: …' at its top.")
    check_ranges(config)
    if (weights := config["backbone"].get("weights")) is not None:
        # Another content is another run, and by this all that is made of a configuration knows it.
        config["backbone"]["weights_sha256"] = sha256_of(Path(weights))
    _settle_side(config)
    return config


def _settle_side(config: Config) -> None:
    """Encoded pictures are as large as training wants them, unless somebody says more."""
    dataset, size = config["dataset"], config["image_size"]
    if dataset.get("store") != "encoded":
        return
    if dataset["side"] is None:
        dataset["side"] = size
    if dataset["side"] < size:
        raise FrostlineError(
            f"dataset.side is {dataset['side']}, so image_size={size} would enlarge what is stored: leave dataset.side "
            "out, or make it larger."
        )


def _apart(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides that choose a file, and those that change a value."""
    folder = conf_dir()
    chosen: list[str] = []
    changed: list[str] = []
    for override in overrides:
        if override.startswith(("+", "~")):
            raise FrostlineError(
                f"'{override}': every key of a run is known beforehand, so none can be added or taken away; "
                "write KEY=VALUE without the sign."
            )
        key, sign, value = override.partition("=")
        if not sign:
            such_as = f"dataset.root={override}" if _is_path(override) else "trainer.epochs=3"
            raise FrostlineError(f"'{override}' is no override: write KEY=VALUE, such as {such_as}.")
        if not (folder / key.split("@")[0]).is_dir() or value.startswith("{"):
            changed.append(override)
            continue
        if _is_path(value) and not (folder / key / f"{value}.yaml").is_file():
            raise FrostlineError(_no_choice(override, key, value, folder))
        chosen.append(override)
    return chosen, changed


def _is_path(text: str) -> bool:
    return any(sign in text for sign in "/\\") or text.endswith((".yaml", ".yml")) or os.path.isdir(text)


def _no_choice(override: str, group: str, value: str, folder: Path) -> str:
    """What to say of a path where the name of a file of conf/ is meant."""
    said = f"'{override}' is a path, and {group}=… chooses a file of conf/{group}/ by its name"
    if (folder / group / f"{Path(value).stem}.yaml").is_file():
        return f"{said}: write {group}={Path(value).stem}."
    if group == "dataset":
        return f"{said}: pictures of your own are dataset.root={value}."
    return f"{said}: put it there and write {group}={Path(value).stem}."


def _change(config: Any, overrides: Sequence[str]) -> dict[str, str]:
    """Write values into a configuration, in place; returns the text of numbers and truth values, by key."""
    written = {}
    free = {path for path, value in _leaves(config, whole=True) if value == {}}  # mappings that take any keys
    for override in overrides:
        key, value = _parsed(override)
        group, _, own = key.rpartition(".")
        if group in free:
            key, value = group, {own: value}
        try:
            _set(config, key.split("."), value, free=key in free)
        except LookupError:
            raise FrostlineError(
                f"There is no configuration key '{key}'{_near(key, config)}; `frostline train --show` prints all."
            ) from None
        if not isinstance(value, str | dict | list):
            written[key] = override.partition("=")[2]
    return written


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value. What Hydra's grammar has no word for, as in many a path, is text that stands for itself."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, text = override.partition("=")
    if key in _PATHS and not text.startswith(("'", '"')):
        if key == "backbone.weights" and text == "null":
            return key, None
        return key, os.path.expanduser(text)  # whatever it holds: [], {}, a comma
    try:
        parsed = OverridesParser.create().parse_override(override)
        key, value = parsed.key_or_group, parsed.value()
    except HydraException as error:
        if text.startswith(("[", "{", "'", '"')):
            what = one_line(str(error).partition("See https")[0]).rstrip(".")
            raise FrostlineError(
                f"'{override}' cannot be read ({what}): write KEY=VALUE, and text with brackets or quotes in quotes of "
                f"its own, as in '{key}=\"TEXT\"'."
            ) from error
        value = os.path.expanduser(text)
    else:
        if parsed.is_sweep_override():
            if not any(sign in text for sign in "/\\"):  # else a path that holds a comma
                raise FrostlineError(f"'{override}' names several values, and a run has one: a study has many.")
            value = text
    return re.sub(r"\[(\d+)\]", r".\1", key), value


def _set(node: Any, path: list[str], value: Any, free: bool = False) -> None:
    """Change a value that is there, or merge a mapping into it; free: one with other keys, too.

    Raises LookupError where it is not.
    """
    place: Any = path[0]
    if isinstance(node, list):
        place = int(place) if place.isdigit() else -len(node) - 1
    elif not isinstance(node, dict):
        raise LookupError
    here = node[place]
    if len(path) > 1:
        _set(here, path[1:], value, free)
    elif free and isinstance(value, dict) and isinstance(here, dict):
        here.update(value)
    elif isinstance(value, dict) and isinstance(here, dict) and here:
        for key, each in value.items():
            _set(here, [str(key)], each)
    else:
        node[place] = value


def _made(value: Any, default: Any, written: Mapping[str, str], path: str, target: str | None = None) -> Any:
    """A part of a configuration, with every value as its key takes it.

    default: the same part of what conf/ says. target: whose parameter it is.
    """
    if isinstance(value, dict):
        known = default if isinstance(default, dict) else {}
        of = value.get("_target_")
        return {
            str(key): _made(each, known.get(key), written, f"{path}.{key}" if path else str(key), of)
            for key, each in value.items()
        }
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        before = default if isinstance(default, list) and len(default) == len(value) else [None] * len(value)
        return [_made(each, before[i], written, f"{path}.{i}") for i, each in enumerate(value)]
    if isinstance(default, dict) and default:
        raise FrostlineError(f"{path} is {value!r}; it is a mapping, such as {{{next(iter(default))}: …}}.")
    kind = kind_at(path)
    if kind is None:
        if isinstance(value, str) and "${" in value or value == default and type(value) is type(default):
            return value
        kind = _kind(path, default, target)
    return typed(path, value, kind, written.get(path))


def _kind(path: str, default: Any, target: str | None) -> Kind:
    """What a key takes: what the parameter says that it is for, or else values of its default's own type."""
    said = annotation(target, path.rpartition(".")[2]) if target else None
    known = annotated(said) if said else None
    if known is not None:
        return known
    return ANY if default in (None, "???") or isinstance(default, dict) else kind_of(default)


def _resolved(config: Any) -> Any:
    """With what `${…}` refers to."""
    if not any(isinstance(value, str) and "${" in value for _, value in _leaves(config)):
        return config
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    except OmegaConfBaseException as error:
        raise FrostlineError(_explain(error, conf_dir())) from error


def _explain(error: Exception, folder: Path) -> str:
    """Hydra's words as one sentence, with the nearest known name."""
    text = str(error)
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, option = found.groups()
        options = sorted(p.stem for p in (folder / group).glob("*.yaml"))
        own = "" if folder == Path.cwd() / "conf" else hint_above(Path("conf", group, f"{option}.yaml"))
        return f"'{option}' is no {group}; choose one of {', '.join(options)} (files in conf/{group}/){own}."
    full = re.search(r"full_key: (\S+)", text)
    return f"{full[1] + ': ' if full else ''}{text.strip().splitlines()[0]}"


def _near(key: str, config: Any) -> str:
    keys = [*(path for path, _ in _leaves(config, whole=True)), "dataset.root"]  # which the drawn ones have not
    near = difflib.get_close_matches(key, keys, n=1) or [k for k in keys if k.endswith("." + key.split(".")[-1])][:1]
    return f" (did you mean '{near[0]}'?)" if near else ""


def _leaves(node: Any, prefix: str = "", whole: bool = False) -> Iterator[tuple[str, Any]]:
    """Every value with its key, however deep. whole: mappings as well as what is in them."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        path = f"{prefix}{key}"
        if isinstance(value, dict | list):
            yield from _leaves(value, f"{path}.", whole)
        if whole or not isinstance(value, dict | list):
            yield path, value

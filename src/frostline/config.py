"""Configuration: Hydra composes `conf/` and overrides into one resolved, checked mapping per run.

The command line, the plan stage and the tests all come through `compose`, so a run is the same run wherever it starts.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from frostline.errors import FrostlineError
from frostline.pictures.fit import FITS
from frostline.tracking.store import holds_password

ACCELERATORS = ("auto", "cpu", "gpu", "mps")
NAMED = ("task", "dataset", "backbone", "head", "schedule", "rate", "optimizer", "augment")  # by these, runs differ
ARM = ["dataset", "task", "backbone", "head", "schedule"]  # what the runs of one arm share: all but the seed
OPEN = ("optimizer", "augment")  # groups whose files may have keys of their own
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")

Config = dict[str, Any]  # resolved: plain values only


@dataclass
class TrainerSettings:
    """Types of conf/trainer; the defaults and their reasons stand in that file."""

    epochs: int = MISSING
    images: int | None = MISSING
    batch_size: int = MISSING
    clip_norm: float = MISSING
    accelerator: str = MISSING
    devices: int = MISSING
    precision: str = MISSING
    workers: int = MISSING
    threads: int | None = MISSING


@dataclass
class OptimizerSettings:
    """Types of what every file in conf/optimizer has; the rest is checked by the optimizer."""

    lr: float = MISSING
    weight_decay: float = MISSING


@dataclass
class AugmentSettings:
    """Types of what every file in conf/augment has, beside the transform."""

    views: int | None = MISSING


@dataclass
class CacheSettings:
    """Types of `cache` in conf/config.yaml."""

    enabled: bool = MISSING
    folder: str = MISSING
    size_gb: float = MISSING


@dataclass
class RunSettings:
    """Types of what every run has; the rest of each group is checked by what it builds."""

    study: str = MISSING
    seed: int = MISSING
    image_size: int = MISSING
    fit: str = MISSING
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)


def conf_dir() -> Path:
    """`conf/` of the working directory; where there is none, the one that came with the package."""
    package = Path(__file__).resolve().parent
    for folder in (Path.cwd() / "conf", package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    raise FrostlineError(f"No configuration found: there is no conf/config.yaml in {Path.cwd()}.")


def compose(overrides: Sequence[str] = ()) -> Config:
    """conf/config.yaml with Hydra overrides (`task=detection`, `trainer.epochs=3`) -> the resolved configuration.

    Raises FrostlineError for an unknown key, group or option, a value of a wrong type, or one that is still missing.
    """
    for override in overrides:
        if override.startswith(("+", "~")):
            raise FrostlineError(
                f"'{override}': every key of a run is known beforehand, so none can be added or taken away; "
                "write KEY=VALUE without the sign."
            )
        if "=" not in override:
            raise FrostlineError(f"'{override}' is no override: write KEY=VALUE, such as trainer.epochs=3.")
    folder = conf_dir()
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            composed = hydra_compose("config", list(overrides))
        _check_types(composed)
        missing = OmegaConf.missing_keys(composed)
        if missing:
            key = min(missing)
            raise FrostlineError(f"{key} has no value: give it one, as in '{key}=…'.")
        resolved = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise FrostlineError(_explain(error, folder)) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise FrostlineError(f"A file in {folder} is no YAML ({reason}): mend it.") from error
    assert isinstance(resolved, dict)
    config: Config = {str(key): value for key, value in resolved.items()}
    for group in NAMED:
        if not isinstance(config[group], dict) or config[group].get("name") in (None, ""):
            raise FrostlineError(f"The file chosen in conf/{group}/ has no name: write 'name: …' at its top.")
        config[group]["name"] = str(config[group]["name"])  # 2024 and 0.001 are names, too
    if "/" in config["dataset"]["name"]:
        raise FrostlineError(f"dataset.name is '{config['dataset']['name']}': it names a folder, so leave the / out.")
    uri = config["tracking"]["uri"]
    if not isinstance(uri, str | None):
        raise FrostlineError(f"tracking.uri is {uri!r}: it is an address, such as http://127.0.0.1:5000, or null.")
    if uri and holds_password(uri):
        raise FrostlineError(
            "tracking.uri holds a password, and every run writes its configuration down: set MLFLOW_TRACKING_URI in "
            "its place."
        )
    _check_ranges(config)
    return config


def read(path: Path) -> Config:
    """A resolved configuration that `plan` wrote."""
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise FrostlineError(f"The configuration {path} cannot be read ({reason}): run `frostline plan`.") from error
    if not isinstance(config, dict):
        raise FrostlineError(f"{path} holds no configuration: run `frostline plan` again.")
    return config


def to_yaml(config: Config) -> str:
    """The same text for the same configuration, whatever the order of its keys."""
    return yaml.safe_dump(config, sort_keys=True, allow_unicode=True)


def build(node: Mapping[str, Any], *args: Any, without: Iterable[str] = (), **kwargs: Any) -> Any:
    """What the `_target_` of a configuration group names, called with the group's other keys and these arguments.

    without: keys that the target does not take. Raises FrostlineError where a key or value does not fit.
    """
    known = {key: value for key, value in node.items() if key not in set(without)}
    try:
        target = instantiate(known, _partial_=True, _convert_="all")
        return target(*args, **kwargs)
    except (InstantiationException, TypeError, ValueError, AttributeError, LookupError) as error:
        why = " ".join(str(error).split())  # Hydra's words have several lines
        raise FrostlineError(f"{node.get('_target_')} cannot be built from {known}: {why}.") from error


def _check_types(composed: DictConfig) -> None:
    schema = OmegaConf.structured(RunSettings)
    OmegaConf.merge(schema, OmegaConf.masked_copy(composed, [str(key) for key in schema if key not in OPEN]))
    for group in OPEN:
        OmegaConf.merge(schema, {group: OmegaConf.masked_copy(composed[group], [str(key) for key in schema[group]])})


def _check_ranges(config: Config) -> None:
    trainer = config["trainer"]
    sides = config["backbone"].get("sides")
    bounds: list[tuple[str, float | None, float, float]] = [
        ("seed", config["seed"], 0, 2**32 - 1),
        ("image_size", config["image_size"], 1 if sides else 32, 4096),
        ("trainer.epochs", trainer["epochs"], 1, 100_000),
        ("trainer.batch_size", trainer["batch_size"], 2, 65_536),
        ("trainer.images", trainer["images"], 1, 1e12),
        ("optimizer.lr", config["optimizer"]["lr"], 1e-12, 1e3),
        ("optimizer.weight_decay", config["optimizer"]["weight_decay"], 0, 10),
        ("augment.views", config["augment"]["views"], 1, 1000),
        ("cache.size_gb", config["cache"]["size_gb"], 0, 1e6),
        ("trainer.clip_norm", trainer["clip_norm"], 1e-9, 1e9),
        ("trainer.workers", trainer["workers"], 0, 1024),
    ]
    for name, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            raise FrostlineError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")
    for key, choices in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
        if trainer[key] not in choices:
            raise FrostlineError(f"trainer.{key} is '{trainer[key]}'; choose one of {', '.join(choices)}.")
    if trainer["devices"] != 1:
        raise FrostlineError(
            f"trainer.devices is {trainer['devices']}; one device a run is what works today: run several runs side by "
            "side instead."
        )
    if trainer["threads"] is not None and trainer["threads"] < 1:
        raise FrostlineError(f"trainer.threads is {trainer['threads']}; it is at least 1, or null for every core.")
    if config["fit"] not in FITS:
        raise FrostlineError(f"fit is '{config['fit']}'; choose one of {', '.join(FITS)}.")
    mix = config["augment"].get("mix")
    if mix is not None and not isinstance(mix, dict):
        raise FrostlineError(f"augment.mix is '{mix}'; choose a file of conf/augment/mix/, such as augment/mix=mixup.")
    if sides and config["image_size"] not in sides:
        raise FrostlineError(
            f"image_size is {config['image_size']}, and backbone={config['backbone']['name']} takes pictures of "
            f"{' or '.join(map(str, sides))} px: set image_size={sides[-1]}."
        )
    if not sides and config["image_size"] % 32:
        raise FrostlineError(
            f"image_size is {config['image_size']}; it must be a multiple of 32, the coarsest stride of the backbones."
        )


def _explain(error: Exception, folder: Path) -> str:
    """Hydra's words as one sentence, with the nearest known name."""
    text = str(error)
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, option = found.groups()
        options = sorted(p.stem for p in (folder / group).glob("*.yaml"))
        return f"'{option}' is no {group}; choose one of {', '.join(options)} (files in conf/{group}/)."
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found[1].split("@")[0]
        return f"There is no configuration key '{key}'{_near(key)}; `frostline train --help` shows the ones there are."
    if found := re.search(r"Key '([^']+)' is not in struct", text):
        return f"There is no configuration key '{found[1]}'{_near(found[1])}."
    if found := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{found[1]} has no value: give it one, as in '{found[1]}=…'."
    full = re.search(r"full_key: (\S+)", text)
    return f"{full[1] + ': ' if full else ''}{text.strip().splitlines()[0]}"


def _near(key: str) -> str:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        keys = _paths(OmegaConf.to_container(hydra_compose("config"), resolve=False))
    near = difflib.get_close_matches(key, keys, n=1) or [k for k in keys if k.endswith("." + key.split(".")[-1])][:1]
    return f" (did you mean '{near[0]}'?)" if near else ""


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [path for k, v in node.items() for path in (f"{prefix}{k}", *_paths(v, f"{prefix}{k}."))]

"""The keys that every run has, what each takes, and within which limits; their defaults and reasons stand in conf/.

The other keys of a group are checked by what it builds.
"""

import math
from dataclasses import dataclass

from frostline.config.files import Config
from frostline.config.values import ANY, Kind
from frostline.errors import FrostlineError

NAMED = ("task", "dataset", "backbone", "head", "schedule", "rate", "optimizer", "augment")  # by these, runs differ
CLOSED = ("trainer", "cache")  # groups without a key beside those below
TEXT = Kind("str")


@dataclass(frozen=True)
class Key:
    """kind: of its values. low, high: limits of a number. choices: words, where it is one of a few."""

    kind: Kind
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()


KEYS = {
    "study": Key(TEXT),
    "seed": Key(Kind("int"), 0, 2**32 - 1),
    "image_size": Key(Kind("int"), 1, 4096),
    "fit": Key(TEXT, choices=("stretch", "letterbox")),  # pictures.fit.FITS, which takes numpy to read
    "backbone.weights": Key(Kind("str", none=True)),
    "dataset.max_pixels": Key(Kind("int"), 1, 1 << 34),
    "dataset.store": Key(TEXT, choices=("copy", "reference", "encoded")),  # checking.stores.STORES, likewise
    "dataset.side": Key(Kind("int", none=True), 1, 65_536),
    "dataset.white": Key(Kind("int", none=True), 1, 65535),
    "trainer.epochs": Key(Kind("int"), 1, 100_000),
    "trainer.images": Key(Kind("int", none=True), 1, 1e12),
    "trainer.batch_size": Key(Kind("int"), 2, 65_536),
    "trainer.sampler": Key(TEXT, choices=("shuffle", "balanced")),
    "trainer.clip_norm": Key(Kind("float"), 1e-9, 1e9),
    "trainer.accelerator": Key(TEXT, choices=("auto", "cpu", "gpu", "mps")),
    "trainer._target_": Key(TEXT),
    "trainer.devices": Key(Kind("int"), 1, 1024),
    "trainer.num_nodes": Key(Kind("int"), 1, 1024),
    "trainer.strategy": Key(TEXT, choices=("auto", "ddp")),
    "trainer.sync_batchnorm": Key(Kind("bool")),
    "trainer.accumulate_grad_batches": Key(Kind("int"), 1, 65_536),
    "trainer.compile": Key(Kind("bool")),
    "trainer.below": Key(TEXT, choices=("torch", "onnxruntime")),
    "trainer.precision": Key(TEXT, choices=("32-true", "64-true", "16-mixed", "bf16-mixed", "auto")),
    "trainer.workers": Key(Kind("int"), 0, 1024),
    "trainer.threads": Key(Kind("int", none=True), 1, 4096),
    "optimizer.lr": Key(Kind("float"), 1e-12, 1e3),
    "optimizer.weight_decay": Key(Kind("float"), 0, 10),
    "augment.views": Key(Kind("int", none=True), 1, 1000),
    "cache.enabled": Key(Kind("bool")),
    "cache.folder": Key(TEXT),
    "cache.size_gb": Key(Kind("float"), 0, 1e6),
    "tracking.uri": Key(Kind("str", none=True)),
}


def kind_at(path: str) -> Kind | None:
    """What a key takes; None where conf/, or what its group builds, says so."""
    group, _, key = path.rpartition(".")
    if key == "name" and group in NAMED or path == "dataset.root":
        return TEXT  # a name may be 2024, and a folder, too
    if path == "dataset.group" or group == "dataset.faults":
        return Kind("str", none=True)
    if path == "dataset.split.given":
        return Kind("bool", word="auto")
    if path.startswith("schedule.phases"):  # a line is a name or a number: parse_schedule tells
        return ANY
    return KEYS[path].kind if path in KEYS else None


def check_ranges(config: Config) -> None:
    """Raise FrostlineError where a value is of the right kind, and yet none that a run can have."""
    for name, key in KEYS.items():
        group, _, own = name.rpartition(".")
        value = (config[group] if group else config).get(own)  # some groups lack some of their keys
        if value is None or isinstance(value, dict):
            continue
        if key.choices and value not in key.choices:
            raise FrostlineError(f"{name} is '{value}'; choose one of {', '.join(key.choices)}.")
        if not isinstance(value, str) and not key.low <= value <= key.high:
            raise FrostlineError(f"{name} is {value:g}; it must lie between {key.low:g} and {key.high:g}.")
    _check_names(config)
    _check_size(config)
    _check_shares(config["trainer"])
    mix = config["augment"].get("mix")
    if mix is not None and not isinstance(mix, dict):
        raise FrostlineError(f"augment.mix is '{mix}'; choose a file of conf/augment/mix/, such as augment/mix=mixup.")


def _check_shares(trainer: Config) -> None:
    parts = {key: trainer.get(key, 1) for key in ("devices", "num_nodes", "accumulate_grad_batches")}
    shares = math.prod(parts.values())
    if trainer["batch_size"] < shares:
        whole = " x ".join(f"trainer.{key}" for key, part in parts.items() if part > 1)
        raise FrostlineError(
            f"trainer.batch_size is {trainer['batch_size']}, the pictures of one step on all devices together, and "
            f"{whole} is {shares}: give each a picture at least."
        )


def _check_names(config: Config) -> None:
    for name, text in (("dataset.name", config["dataset"]["name"]), ("study", config["study"])):
        if "/" in text or not text:
            raise FrostlineError(f"{name} is '{text}': it names a folder, so leave the / out and something in.")
    uri = config["tracking"].get("uri")
    if uri is None:
        return
    if uri.isdigit():
        raise FrostlineError(f"tracking.uri is {uri}: it is an address, such as http://127.0.0.1:5000, or null.")
    from frostline.tracking.store import holds_password

    if holds_password(uri):
        raise FrostlineError(
            "tracking.uri holds a password, and every run writes its configuration down: set MLFLOW_TRACKING_URI in "
            "its place."
        )


def _check_size(config: Config) -> None:
    size, sides = config["image_size"], config["backbone"].get("sides")
    if sides and size not in sides:
        raise FrostlineError(
            f"image_size is {size}, and backbone={config['backbone']['name']} takes pictures of "
            f"{' or '.join(map(str, sides))} px: set image_size={sides[-1]}."
        )
    if not sides and size % 32:
        raise FrostlineError(
            f"image_size is {size}; it must be a multiple of 32, the coarsest stride of the backbones."
        )

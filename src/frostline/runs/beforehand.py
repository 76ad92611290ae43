"""What can be known of a run before anything is prepared, downloaded or built: without torch, in a second."""

import difflib
import os
import platform
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from frostline.config import Config
from frostline.config.source import attribute
from frostline.errors import FrostlineError
from frostline.files import sha256_of
from frostline.freezing.phases import parse_spans
from frostline.models.weight_files import check_file

TIMM = "timm_backbone"  # the function that takes any name of timm's


def check_beforehand(config: Config) -> None:
    """Raise FrostlineError where a run cannot work on this machine, as far as can be told at once."""
    check_parts(config)
    weights = config["backbone"].get("weights")
    if weights is not None and sha256_of(Path(weights)) != config["backbone"].get("weights_sha256"):
        raise FrostlineError(
            f"backbone.weights: {weights} has changed since this run was planned: run `frostline plan` again."
        )
    name = config["trainer"]["accelerator"]
    if name in ("gpu", "mps") and not may_have(name):
        raise no_accelerator(name)


def no_accelerator(name: str) -> FrostlineError:
    """What to say where a run asks for one that is not there."""
    return FrostlineError(f"trainer.accelerator is '{name}', and this machine has none: set it to cpu or auto.")


def check_parts(config: Config) -> None:
    """Raise FrostlineError where the parts of a run do not fit each other, as far as can be told at once."""
    gives = attribute(str(config["head"].get("_target_")), "gives")
    reads = attribute(str(config["task"].get("_target_")), "reads")
    if gives is not None and reads is not None:
        check_head(config, gives, reads)
    weights = config["task"].get("class_weights")
    if isinstance(weights, str) and weights != "balanced":
        raise FrostlineError(f"task.class_weights is '{weights}'; it is balanced, a number for each class, or null.")
    if config["trainer"]["images"] is None:  # else the budget in epochs depends on how many scenes there are
        parse_spans(config["schedule"], config["trainer"]["epochs"])
    if str(config["backbone"].get("_target_")).endswith(f".{TIMM}"):
        check_timm(config["backbone"]["name"])
    if (own := config["backbone"].get("weights")) is not None:
        check_file(Path(own))


def check_head(config: Config, gives: str, reads: str) -> None:
    """Raise FrostlineError where a head gives what its task does not read."""
    if gives != reads:
        raise FrostlineError(
            f"head={config['head']['name']} gives {gives}, and task={config['task']['name']} reads {reads}: leave the "
            "head out, and the task takes its own."
        )


def check_timm(name: str) -> None:
    """Raise FrostlineError where timm has no such model."""
    known = timm_names()
    bare = name.partition(".")[0]
    if known and bare not in known:
        near = difflib.get_close_matches(name, sorted(known), n=4)
        hint = f"names like it: {', '.join(near)}" if near else "`timm.list_models()` lists them"
        raise FrostlineError(f"timm has no model named '{name}' (backbone.name); {hint}.")


@cache
def timm_names() -> set[str]:
    """The models of the timm that is installed, as its source names them: to load it takes four seconds."""
    timm = find_spec("timm")
    names: set[str] = set()
    for folder in (timm and timm.submodule_search_locations) or []:
        for path in (Path(folder) / "models").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            names.update(re.findall(r"^@register_model\s+def (\w+)\(", text, re.MULTILINE))
            for old in re.findall(
                r"^register_model_deprecations\(__name__, \{(.*?)^\}", text, re.MULTILINE | re.DOTALL
            ):
                names.update(re.findall(r"^\s*['\"]([\w.]+)['\"]\s*:", old, re.MULTILINE))
    return names


def may_have(accelerator: str) -> bool:
    """Whether this machine and its torch may have such an accelerator; torch itself, once loaded, is sure."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if accelerator == "mps" or apple:
        return apple
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    if platform.system() != "Linux":
        return True
    return any(
        Path(device).exists()
        for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu")
    )

"""What can be known of a run before anything is prepared, downloaded or built: without torch, in a second."""

import difflib
import os
import platform
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from frostline.config import Config, conf_dir, conf_files
from frostline.config.source import attribute
from frostline.errors import FrostlineError
from frostline.files import sha256_of
from frostline.freezing.phases import parse_spans
from frostline.models.weight_files import check_file
from frostline.runs.catalogue import ANY, known, node_of
from frostline.runs.timm_names import timm_names
from frostline.words import listed

TIMM = "timm_backbone"  # the function that takes any name of timm's
UNWEIGHED = "frostline.models.heads.detection.torchvision.FasterRcnnHead"  # the head whose loss knows no class weights
SHARDED = "frostline.runs.sharded.Sharded"  # the engine that spreads parameters over processes
# Heads whose layers compute in their losses, too, where parameters that are spread have not been gathered.
UNSPREAD = ("frostline.models.heads.detection.torchvision.", "frostline.models.heads.detection.windows.")
WEIGHTS = ("pretrained", "weights", "weights_sha256")  # which say nothing of what a backbone has
ONE_PHASE = ("frozen", "full")  # schedules that any budget has room for


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
    if weights is not None and config["head"].get("_target_") == UNWEIGHED:
        raise FrostlineError(
            f"task.class_weights weigh nothing in the loss of head={config['head']['name']}: take "
            "trainer.sampler=balanced, which shows rare classes more often, or head=dense, yolo, fcos, retinanet or "
            "ssdlite."
        )
    if config["trainer"].get("below") == "onnxruntime":
        check_onnxruntime(config["trainer"])
    strategy = config["trainer"].get("strategy")
    if isinstance(strategy, dict) and strategy.get("_target_") == SHARDED:
        check_spread(config)
    if config["trainer"]["images"] is None:  # else the budget in epochs depends on how many scenes there are
        check_budget(config["schedule"], config["trainer"]["epochs"])
    if str(config["backbone"].get("_target_")).endswith(f".{TIMM}"):
        check_timm(config["backbone"]["name"])
    if (own := config["backbone"].get("weights")) is not None:
        check_file(Path(own))
    check_feeds(config)


def check_spread(config: Config) -> None:
    """Raise FrostlineError where a run cannot be trained with its parameters spread over processes."""
    head, trainer = config["head"], config["trainer"]
    if str(head.get("_target_")).startswith(UNSPREAD):
        raise FrostlineError(
            f"trainer=fsdp cannot spread head={head['name']}, whose layers compute in its losses, too: take head=dense "
            "or yolo, or trainer=ddp."
        )
    if trainer["precision"] == "16-mixed":
        raise FrostlineError(
            "trainer.precision is '16-mixed', and under trainer=fsdp each process would scale its loss by its own part "
            "of the gradients: take bf16-mixed or 32-true."
        )
    if trainer.get("compile"):
        raise FrostlineError("trainer.compile is of networks that a process has whole: leave it out, or trainer=fsdp.")


def check_onnxruntime(trainer: Config) -> None:
    """Raise FrostlineError where what lies below the line cannot be left to onnxruntime."""
    below = "trainer.below is 'onnxruntime', which"
    if trainer["precision"] not in ("32-true", "auto"):
        raise FrostlineError(
            f"{below} computes in single precision, and trainer.precision is '{trainer['precision']}': take 32-true, "
            "or trainer.below=torch."
        )
    if trainer["accelerator"] not in ("cpu", "auto"):
        raise FrostlineError(f"{below} computes on processors: set trainer.accelerator=cpu, or trainer.below=torch.")
    strategy = trainer.get("strategy")
    if trainer.get("compile") or isinstance(strategy, dict) and strategy.get("_target_") == SHARDED:
        raise FrostlineError(
            f"{below} takes the place of torch below the line, and trainer.compile and trainer=fsdp need the network "
            "whole: leave them out, or set trainer.below=torch."
        )
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise FrostlineError(
                f"{below} needs {package}, and that is not installed: pip install 'frostline[export]', or set "
                "trainer.below=torch."
            )


def check_budget(schedule: Config, epochs: int) -> None:
    """Raise FrostlineError as `parse_spans`; where there are too few epochs, with schedules that need no more."""
    phases = schedule.get("phases")
    if isinstance(phases, list) and 0 < epochs < len(phases):
        others = " or ".join(f"schedule={name}" for name in ONE_PHASE)
        raise FrostlineError(
            f"schedule '{schedule['name']}' has {len(phases)} phases, and trainer.epochs is {epochs}: every phase "
            f"needs an epoch, so set trainer.epochs={len(phases)} or more, or take {others}, which have one."
        )
    parse_spans(schedule, epochs)


def check_feeds(config: Config) -> None:
    """Raise FrostlineError where a head cannot stand on its backbone, if both are as conf/ has them and it is known."""
    head, task, backbone = (config[group]["name"] for group in ("head", "task", "backbone"))
    name = backbone if backbone in conf_files("backbone") else ANY
    if name == ANY and backbone not in timm_names():
        return
    given = {key: value for key, value in config["backbone"].items() if key not in WEIGHTS}
    plain = {key: value for key, value in node_of(backbone).items() if key not in WEIGHTS}
    if given != plain or config["head"] != conf_files("head").get(head):
        return
    if (heads := _heads_on(backbone, conf_dir())) is None or head in (fitting := heads.get(task, [])):
        return
    chosen = f"backbone={backbone}" if name != ANY else f"backbone.name={backbone}"
    if not fitting:
        serves = f"{chosen} serves {listed([*heads])} alone"
        raise FrostlineError(f"{chosen} has no feature maps that a head of task={task} could use: {serves}.")
    raise FrostlineError(
        f"{chosen} lacks feature maps that head={head} needs: for task={task} it takes head={', '.join(fitting)}."
    )


@cache
def _heads_on(backbone: str, _conf: Path) -> dict[str, list[str]] | None:
    """By task, as far as the table knows; once for all runs of a study."""
    entry = known([backbone])[backbone]
    return None if entry is None else entry.heads


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

"""The network of a trained run or of a model's folder, as torch computes it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from frostline.config import Config, read
from frostline.config.build import targets
from frostline.errors import FrostlineError
from frostline.files import replacing_folder
from frostline.models.folding import folded
from frostline.pictures.preprocessing import Pixels, Preprocessing
from frostline.pictures.reading import MAX_PIXELS, WHITE
from frostline.predict.info import ModelInfo
from frostline.runs.build import build_task
from frostline.runs.result import RunResult
from frostline.tasks.base import Task, as_arrays

BUILT = ("task", "backbone", "head")  # groups of the configuration that make a network
WEIGHTS, INFO, CARD = "weights.safetensors", "model.json", "README.md"  # of a model's folder
_OURS = "frostline."
# What a task asks for beside its network, and needs only to be trained.
_UNTRAINED: Config = {
    "schedule": {"name": "loaded", "phases": [{"line": "stem"}]},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.0, "weight_decay": 0.0},
    "rate": {"_target_": "frostline.freezing.rates.constant"},
    "augment": {},
    "trainer": {"epochs": 1},
}


class TorchEngine:
    """A task's network as an engine. device: such as `cpu` or `cuda`.

    task: as it was trained. What computes is a copy whose batch norms are folded, which is quicker, and the same to a
    rounding.
    """

    def __init__(self, task: Task, device: str) -> None:
        self.task, self.device = task.eval().to(device), device
        self._folded = folded(self.task).network

    @torch.inference_mode()
    def __call__(self, squares: Pixels) -> dict[str, npt.NDArray[Any]]:
        images = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        return as_arrays(self._folded.raw(self._folded(images)))


def read_run(folder: Path) -> tuple[ModelInfo, Task]:
    """The run whose results lie in `folder`, see `load`."""
    config, result = read(folder / "config.yaml"), RunResult.read(folder / "result.json")
    try:
        about, state = _read_weights(folder / "model.safetensors")
        told, white = json.loads(about.get("classes", "null")), int(about.get("white", WHITE))
        network = {group: dict(config[group]) for group in BUILT}
        preprocessing = Preprocessing(
            int(config["image_size"]),
            str(config.get("fit", "stretch")),
            int(config["dataset"].get("max_pixels", MAX_PIXELS)),
            white,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise FrostlineError(f"{folder} holds a run that cannot be read ({error}): train it again.") from error
    if not isinstance(told, list):
        raise FrostlineError(f"{folder} holds a run that does not tell its classes: train it again.")
    task = _built(network, tuple(map(str, told)), preprocessing.size, state, folder / "model.safetensors")
    info = ModelInfo(
        name=result.run,
        task=task.kind,
        classes=task.classes,
        preprocessing=preprocessing,
        rule=task.rule,
        network=network,
        tested=_tested(config),
        origin=_origin(result),
    )
    return info, task


def read_model(folder: Path) -> tuple[ModelInfo, Task]:
    """The model whose folder this is, see `load`."""
    path = folder / INFO
    try:
        info = ModelInfo.from_json(path.read_text(encoding="utf-8"), str(path))
        _, state = _read_weights(folder / WEIGHTS)
    except (OSError, UnicodeDecodeError, SafetensorError) as error:
        raise FrostlineError(f"{folder} holds a model that cannot be read ({error}): export it again.") from error
    if lacking := [group for group in BUILT if group not in info.network]:
        raise FrostlineError(f"{path} does not tell the {lacking[0]} of its network: export it again.")
    return info, _built(info.network, info.classes, info.preprocessing.size, state, folder / WEIGHTS)


def _tested(config: Config) -> dict[str, Any]:
    """What decides the last digits of a run's figures, and the one metric that may be its own: `evaluate` reads it."""
    trainer, metric = config["trainer"], config.get("metric") or {}  # none in what older versions wrote
    settings = {key: trainer.get(key) for key in ("batch_size", "threads", "precision")}
    return settings | {"metric": dict(metric) if "_target_" in metric else None}


def _origin(result: RunResult) -> dict[str, Any]:
    told = result.to_json()
    keys = (
        *("study", "run", "arm", "names", "seed", "primary", "metrics", "epochs", "best_epoch", "params_total"),
        *("multiply_adds", "scenes", "commit", "dirty", "data_hash", "machine", "command", "versions", "finished"),
    )
    return {key: told[key] for key in keys}


def _read_weights(path: Path) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    with safe_open(path, "pt") as weights:
        state = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 - it is no mapping
        return weights.metadata() or {}, state


def _built(
    network: Mapping[str, Any], classes: tuple[str, ...], size: int, state: Mapping[str, Tensor], weights: Path
) -> Task:
    """The task with these weights, in evaluation mode."""
    task = bare(network, classes, size, weights.parent)
    built = {key: list(tensor.shape) for key, tensor in task.model.state_dict().items()}
    held = {key: list(tensor.shape) for key, tensor in state.items()}
    key = next((key for key in {**built, **held} if built.get(key) != held.get(key)), None)
    if key is not None:
        raise FrostlineError(
            f"{weights} does not fit what is built for {len(classes)} classes: {key} is {held.get(key, 'missing')} "
            f"there, and {built.get(key, 'nothing')} is needed: train it again."
        )
    task.model.load_state_dict(state)
    return task.eval()


def bare(network: Mapping[str, Any], classes: tuple[str, ...], size: int, where: Path | str) -> Task:
    """The task that a description tells, with weights of chance, in evaluation mode.

    What is named must be of this package, and no pretrained weights are fetched.
    """
    try:
        named = [target for group in BUILT for target in targets(network[group])]
    except (KeyError, TypeError, ValueError) as error:
        raise FrostlineError(f"{where} holds a run that cannot be read ({error}): train it again.") from error
    if foreign := [target for target in named if not is_ours(str(target))]:
        raise FrostlineError(f"{where} names {foreign[0]}, which is no part of Frostline, so it is not loaded.")
    elsewhere = {"pretrained": False, "weights": None}
    backbone = network["backbone"] | {key: elsewhere[key] for key in elsewhere if key in network["backbone"]}
    return build_task({**_UNTRAINED, **network, "backbone": backbone, "image_size": size}, classes).eval()


def is_ours(target: str) -> bool:
    """Whether it names something that was made there: a module of ours has others' functions as attributes, too."""
    from hydra.utils import get_object

    if not target.startswith(_OURS):
        return False
    try:
        return str(getattr(get_object(target), "__module__", "")).startswith(_OURS)
    except Exception:  # Hydra raises ImportError, AttributeError, ValueError, ...
        return False


def write_model(run: Path, folder: Path, card: Callable[[ModelInfo], str] | None = None) -> ModelInfo:
    """Make the folder of a model, of a run's: weights and `model.json`, which need neither the study nor its dataset.

    card: what its README.md says, where it has one.
    Raises FrostlineError where there is no finished run, or where something else lies there.
    """
    info, task = read_run(run)
    with replacing_folder(folder, (WEIGHTS, INFO, CARD), INFO, "model") as aside:
        weights = {name: tensor.contiguous() for name, tensor in task.model.state_dict().items()}
        save_file(weights, aside / WEIGHTS)
        (aside / WEIGHTS).chmod(0o644)  # safetensors makes it for its owner alone, and a model is for others
        (aside / INFO).write_text(info.to_json(), encoding="utf-8")
        if card is not None:
            (aside / CARD).write_text(card(info), encoding="utf-8")
    return info

"""A trained run, read back from the folder of its results, and what it says of pictures that lie in no dataset."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from frostline.config import Config, read
from frostline.config.build import targets
from frostline.errors import FrostlineError
from frostline.loading.batch import Batch, stack_pictures
from frostline.loading.decoded import square_picture
from frostline.parallel import in_threads
from frostline.pictures.fit import place
from frostline.pictures.reading import MAX_PIXELS, WHITE, UnreadablePictureError, displayed_size, read_file
from frostline.runs.build import build_task
from frostline.runs.result import RunResult
from frostline.tasks.base import Task
from frostline.tasks.predictions import Prediction

_BUILT = ("task", "backbone", "head", "optimizer", "rate")  # groups of the configuration that are built here
_OURS = ("frostline.", "torch.optim")
BATCH = 16  # pictures that are predicted at once

Picture: TypeAlias = str | Path | bytes | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Trained:
    """A run's name and resolved configuration, and its task in evaluation mode, with the weights of its best epoch.

    white: the value of 16 bits that was white in its pictures.
    """

    name: str
    config: Config
    task: Task
    white: int = WHITE

    @torch.inference_mode()
    def predict(self, pictures: Iterable[Picture]) -> list[Prediction]:
        """What the run says of each picture, in their order and in their own pixels, computed where the task is.

        pictures: files of any kind that `prepare` reads, their bytes, or RGB pixels (h, w, 3) uint8.
        Raises FrostlineError for what is no picture.
        """
        if isinstance(pictures, str | Path | bytes | np.ndarray):
            raise FrostlineError("predict takes a list of pictures, and this is one: write [picture].")
        self.task.eval()
        size, most = self.image_size, int(self.config["dataset"].get("max_pixels", MAX_PIXELS))
        predictions: list[Prediction] = []
        squares = in_threads(lambda numbered: _square(*numbered, size, self.fit, most, self.white), enumerate(pictures))
        while some := list(islice(squares, BATCH)):
            sizes = [shown for _, shown in some]
            batch = {"size": size, "place": [place(*shown, size, self.fit) for shown in sizes], "picture_size": sizes}
            images = stack_pictures([image for image, _ in some]).to(self.task.device)
            predictions += self.task.predict(self.task(images), cast(Batch, batch))
        return predictions

    @property
    def image_size(self) -> int:
        """Side of the square that the task sees, in pixels."""
        return int(self.config["image_size"])

    @property
    def fit(self) -> str:
        """How a picture comes into that square, one of FITS."""
        return str(self.config.get("fit", "stretch"))


def predict(folder: str | Path, pictures: Iterable[Picture]) -> list[Prediction]:
    """What the run whose results lie in `folder` says of pictures, see `Trained.predict`; once, as it loads the run."""
    return load(folder).predict(pictures)


def load(folder: str | Path) -> Trained:
    """The run whose results lie in `folder` (runs/STUDY/results/RUN).

    Nothing in the folder can run code: weights are safetensors, and the configuration may build only what belongs to
    Frostline, and torch's optimizers. No pretrained weights are fetched: all come from the folder.
    Raises FrostlineError where there is no finished run, or one of another state of the code.
    """
    folder = Path(folder)
    if not (folder / "result.json").is_file():
        raise FrostlineError(f"{folder} holds no finished run: give a folder such as runs/STUDY/results/RUN.")
    config, result = read(folder / "config.yaml"), RunResult.read(folder / "result.json")
    try:
        with safe_open(folder / "model.safetensors", "pt") as weights:
            about = weights.metadata() or {}
            told, white = json.loads(about.get("classes", "null")), int(about.get("white", WHITE))
            state = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 - it is no mapping
        named = [target for group in _BUILT for target in targets(config[group])]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise FrostlineError(f"{folder} holds a run that cannot be read ({error}): train it again.") from error
    if not isinstance(told, list):
        raise FrostlineError(f"{folder} holds a run that does not tell its classes: train it again.")
    if foreign := [target for target in named if not _is_ours(str(target))]:
        raise FrostlineError(
            f"{folder / 'config.yaml'} names {foreign[0]}, which is no part of Frostline, so it is not loaded."
        )
    elsewhere = {"pretrained": False, "weights": None}
    config["backbone"] |= {key: elsewhere[key] for key in elsewhere if key in config["backbone"]}
    task = build_task(config, tuple(map(str, told)), result.epochs)
    built = {key: list(tensor.shape) for key, tensor in task.model.state_dict().items()}
    held = {key: list(tensor.shape) for key, tensor in state.items()}
    key = next((key for key in {**built, **held} if built.get(key) != held.get(key)), None)
    if key is not None:
        raise FrostlineError(
            f"{folder / 'model.safetensors'} does not fit what its config.yaml builds for {len(told)} classes: {key} "
            f"is {held.get(key, 'missing')} there, and {built.get(key, 'nothing')} is needed: train it again."
        )
    task.model.load_state_dict(state)
    return Trained(result.run, config, task.eval(), white)


def _is_ours(target: str) -> bool:
    """Whether it names something that was made there: a module of ours has others' functions as attributes, too."""
    from hydra.utils import get_object

    if not target.startswith(_OURS):
        return False
    try:
        return str(getattr(get_object(target), "__module__", "")).startswith(_OURS)
    except Exception:  # Hydra raises ImportError, AttributeError, ValueError, ...
        return False


def _square(
    number: int, picture: Picture, size: int, fit: str, max_pixels: int, white: int
) -> tuple[Tensor, tuple[int, int]]:
    """A picture as the task sees it, (3, size, size), and its own width and height as displayed."""
    name = str(picture) if isinstance(picture, str | Path) else f"The picture at index {number}"
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            shape = " x ".join(map(str, picture.shape))
            raise FrostlineError(f"{name} is {shape} {picture.dtype}: give RGB pixels, height x width x 3 uint8.")
        shown = picture.shape[1], picture.shape[0]
        return square_picture(picture, size, fit, shown), shown
    try:
        data = picture if isinstance(picture, bytes) else read_file(Path(picture))
        if (size_shown := displayed_size(BytesIO(data))) is None:
            raise UnreadablePictureError("is no picture")
        return square_picture(data, size, fit, size_shown, max_pixels, white), size_shown
    except UnreadablePictureError as error:
        raise FrostlineError(f"{name} {error}: leave it out, or save it anew.") from error
    except OSError as error:
        raise FrostlineError(f"{name} cannot be read ({error.strerror or error}).") from error

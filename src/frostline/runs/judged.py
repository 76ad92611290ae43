"""A model's task, and a dataset's scenes, brought under one list of classes: so a test can be run on any dataset.

Classes are the same where their names are. Those that only the dataset has come behind the model's: scenes, boxes and
pixels of them are there to be found, and the model, which has no word for them, never finds one.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from frostline.errors import FrostlineError
from frostline.loading.batch import Item, Pictures, collate
from frostline.loading.items import SceneItems
from frostline.parallel import in_threads
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.model import Model
from frostline.runs.network import TorchEngine, bare
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import class_names
from frostline.scenes.scene import SPLITS, VOID
from frostline.tasks.base import Task
from frostline.words import listed

ALL = "all"  # beside SPLITS: every scene of a dataset
FEW = 5  # classes that a sentence names


class JudgedItems(SceneItems):
    """The scenes of one split, or of all, as items to be tested on, with class numbers that are the task's.

    Raises FrostlineError where none has what the task needs.
    """

    def __init__(self, dataset: Dataset, split: str, task: Task, seen: Preprocessing) -> None:
        super().__init__(_as_test(dataset, split), "test", task.needs, seen.size, fit=seen.fit)
        own, classes = class_names(dataset.classes, task.needs), task.classes
        if not len(self):
            needs = " and ".join(sorted(task.needs))
            other = "another dataset" if split == ALL else "another split, or all of them, or another dataset"
            raise FrostlineError(
                f"dataset '{dataset.name}' has no scene with {needs} in its {in_words(split)}, which {task.kind} is "
                f"measured by: choose {other}."
            )
        if len(classes) > VOID and "mask" in task.needs:
            raise FrostlineError(f"Together, model and dataset have {len(classes)} classes; masks hold {VOID}.")
        numbers = [classes.index(name) for name in own]
        self._numbers = None if numbers == list(range(len(own))) else torch.tensor(numbers)
        self._values = torch.arange(VOID + 1, dtype=torch.uint8)  # of masks
        if "mask" in task.needs:
            self._values[: len(own)] = torch.tensor(numbers, dtype=torch.uint8)

    def _finished(self, item: Item, position: int) -> Item:
        item = super()._finished(item, position)
        if self._numbers is not None:
            if "label" in item:
                item["label"] = int(self._numbers[item["label"]])
            if "box_labels" in item:
                item["box_labels"] = self._numbers[item["box_labels"]]
            for key in ("mask", "native_mask"):
                if key in item:
                    item[key] = self._values[item[key].as_subclass(Tensor).long()]
        return item


def in_words(split: str) -> str:
    return "scenes" if split == ALL else f"{split} split"


def _as_test(dataset: Dataset, split: str) -> Dataset:
    """The dataset with the scenes of this split, or all, for its test split: rows lie in the order of SPLITS."""
    counts = [dataset.info["counts"][name]["scenes"] for name in SPLITS]
    place = len(SPLITS) if split == ALL else SPLITS.index(split)
    before, inside = (0, sum(counts)) if split == ALL else (sum(counts[:place]), counts[place])
    told = {name: {"scenes": scenes} for name, scenes in zip(SPLITS, (before, 0, inside), strict=True)}
    return replace(dataset, info={**dataset.info, "counts": told})


class Batches:
    """Batches of all items, in their order, made in threads a little ahead; a bar tells how far they are."""

    def __init__(self, items: SceneItems, size: int) -> None:
        self.items, self.size = items, size

    def __len__(self) -> int:
        return -(-len(self.items) // self.size)

    def __iter__(self) -> Iterator[Pictures]:
        made = in_threads(self.items.plain, range(len(self.items)), ahead=2 * self.size)
        with tqdm(total=len(self.items), desc="evaluating", unit=" pictures", leave=False, disable=None) as bar:
            while some := list(islice(made, self.size)):
                yield collate(some)
                bar.update(len(some))


def judge(model: Model, dataset: Dataset) -> Task:
    """The model's task, with fresh metrics over its classes and those that only the dataset has, behind them.

    It has a loss where the network itself is at hand, and no class is one that the model lacks.
    """
    info, engine = model.info, model.engine
    own = engine.task if isinstance(engine, TorchEngine) else None
    task = own or bare(info.network, info.classes, info.preprocessing.size, info.name)
    classes = _common(info.classes, class_names(dataset.classes, task.needs), dataset.name)
    judged = copy.copy(task)
    judged._modules = dict(task._modules)  # its own metrics beside the same network
    judged._rows = []
    judged.classes = classes
    judged.test_metrics = judged.make_test_metrics()
    # The network is asked by the task that knows as many classes as it has.
    forward: Any = own.forward if own else lambda image: _asked(model, image)
    raw: Any = own.raw if own else lambda outputs: outputs if isinstance(outputs, dict) else {"scores": outputs}
    judged.forward = forward  # type: ignore[method-assign]
    judged.raw = lambda outputs: _padded(raw(outputs), len(classes))  # type: ignore[method-assign]
    if own is None or len(classes) > len(info.classes):
        without_loss(judged)
    return judged


def without_loss(task: Task) -> None:
    """Have a test tell no loss, where nobody can say what it would be."""
    nothing: Any = lambda outputs, batch: {"loss": torch.tensor(torch.nan)}  # noqa: E731
    task.criterion = nothing  # type: ignore[method-assign]
    none: Any = lambda outputs, batch: repeat(None, len(batch["id"]))  # noqa: E731
    task.scene_losses = none  # type: ignore[method-assign]


def _asked(model: Model, image: Tensor) -> Any:
    """What another engine than torch gives for pictures (B, 3, S, S) uint8, as the task has a head's outputs."""
    raw = model.engine(image.permute(0, 2, 3, 1).contiguous().cpu().numpy())
    tensors = {name: torch.from_numpy(values) for name, values in raw.items()}
    return tensors["scores"] if model.info.task == "segmentation" else tensors


def _padded(raw: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """With the probability 0 of all classes that the model lacks."""
    if "probabilities" not in raw:
        return raw
    known = raw["probabilities"]
    return {**raw, "probabilities": F.pad(known, (0, classes - known.shape[1]))}


def _common(model: Sequence[str], dataset: Sequence[str], name: str) -> tuple[str, ...]:
    """The model's classes, and behind them those that it lacks. Raises FrostlineError where no name is in both."""
    if not set(model) & set(dataset):
        raise FrostlineError(
            f"The model tells {_few(model)} apart, and dataset '{name}' has {_few(dataset)}: no class is in both, by "
            "name, so nothing could be right."
        )
    return (*model, *(each for each in dataset if each not in model))


def _few(names: Sequence[str]) -> str:
    return listed([*names[:FEW], *(["more"] if len(names) > FEW else [])])

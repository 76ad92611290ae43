"""What the four tasks share: one way to train, to predict and to measure what is predicted."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from frostline.errors import FrostlineError
from frostline.freezing.frosted import Frosted
from frostline.freezing.rates import RateSchedule
from frostline.freezing.sharded import shard
from frostline.loading.batch import Batch
from frostline.loading.module import of_all
from frostline.metrics.base import ExtraMetric
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head
from frostline.predict.answers import Rule, answers
from frostline.predict.kinds import Classified, Placement, Prediction
from frostline.shares import rank_of_world, sharing_a_batch, told_by_all
from frostline.tasks.guards import check_classes, check_gradients, check_losses
from frostline.tasks.weights import BALANCED, balanced, given
from frostline.tasks.whole_batch import WholeBatch

BY_CLASS = "_by_class"  # ends the name of a metric that has a value for each class
NOT_SCALAR = ("confusion", "pairs", "curve")  # besides those by class


def probabilities(scores: Tensor) -> Tensor:
    """Scores (B, C) -> (B, C), in single precision at least, as sixteen bits know nothing between 0.998 and 1."""
    return scores.softmax(1, dtype=torch.promote_types(scores.dtype, torch.float32))


def probabilities_of(predictions: Sequence[Classified]) -> Tensor:
    """(B, C) of B predictions."""
    return torch.from_numpy(np.stack([found.probabilities for found in predictions]))


def as_arrays(raw: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    """What a network gives, on the CPU, in single precision at least: numpy has no bfloat16."""
    arrays = {}
    for name, values in raw.items():
        values = values.detach().cpu()
        small = values.is_floating_point() and values.element_size() < 4
        arrays[name] = (values.float() if small else values).numpy()
    return arrays


def on_cpu(values: Any) -> Any:
    """Tensors within dicts, lists and tuples, on the CPU; all else as it is."""
    return move_data_to_device(values, torch.device("cpu"))


Row = dict[str, Any]  # what is told of one scene, by name: numbers, texts, and lists of these


class Mistake(NamedTuple):
    """What is wrong with what was predicted for one scene. amount: 0 where nothing is, and the larger the worse."""

    amount: float
    words: str


@dataclass(frozen=True, eq=False)
class Tested:
    """What the test says beside single numbers.

    by_class: metric -> class -> value, -1 for a class that does not occur. confusion: how often each true class (row)
    was taken for each class (column). pairs: (m, 3) true class, found class and how often, in place of a matrix of many
    classes. curve: (classes, points, 2) recall and precision, NaN for a class that does not
    occur. rows: what is told of each scene, in the order of the split, see `Task.rows`.
    """

    by_class: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[float]] | None = None
    pairs: Tensor | None = None
    curve: Tensor | None = None
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, values: Mapping[str, Tensor], rows: list[Row], classes: Sequence[str]) -> Self:
        """values: what metrics computed, by name; each in the shape that it has by meaning, as torchmetrics makes a
        bare number of every tensor with one element."""
        n = len(classes)
        by_class = {
            name.removesuffix(BY_CLASS): dict(zip(classes, value.reshape(n).tolist(), strict=True))
            for name, value in values.items()
            if name.endswith(BY_CLASS)
        }
        confusion = values["confusion"].reshape(n, n).tolist() if "confusion" in values else None
        pairs = values["pairs"].cpu().reshape(-1, 3) if "pairs" in values else None
        curve = values["curve"].cpu().reshape(n, -1, 2) if "curve" in values else None
        return cls(by_class, confusion, pairs, curve, rows)

    @property
    def worst(self) -> list[int]:
        """Indices, within the split, of the scenes with a mistake: the worst first, and of equal ones the first."""
        return [row["index"] for row in sorted(self.rows, key=lambda row: -row["mistake"]) if row["mistake"] > 0]

    def commonest(self, most: int) -> list[list[int]]:
        """Of `pairs`, those of two different classes, the commonest first, at most so many."""
        if self.pairs is None:
            return []
        wrong = self.pairs[self.pairs[:, 0] != self.pairs[:, 1]]
        found: list[list[int]] = wrong[wrong[:, 2].argsort(descending=True, stable=True)][:most].tolist()
        return found


class Task(pl.LightningModule):
    """Base of the four tasks.

    backbone, head: the network, in `model`. classes: names of the classes it tells apart.
    schedule: a schedule file's content. epochs: the whole budget.
    optimizer: makes an optimizer of parameter groups. weight_decay: of its weights; biases and norms have none.
    rate: the base learning-rate schedule, one of frostline.freezing.rates with its options.
    class_weights: how much each class counts in the loss that tells classes; `balanced`: by how often it is annotated
    in training, as soon as `weigh` is told; None: all alike.
    extra: one more metric, by its name. tested: what the last test said. sync_batchnorm: of several processes, see
    `WholeBatch`.
    """

    kind: ClassVar[str]  # one of predict.answers.ANSWERS
    needs: ClassVar[frozenset[str]]  # annotations of a scene: "label", "boxes", "mask"
    reads: ClassVar[str]  # the kind of head it takes: its `gives`
    primary: ClassVar[str]  # the metric that chooses the best checkpoint and decides comparisons; higher is better
    curves: ClassVar[tuple[str, str]]  # of `Tested.curve`, if any: the metric that is its area, and what is right

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        classes: Sequence[str],
        schedule: Mapping[str, Any],
        epochs: int,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        rate: RateSchedule,
        weight_decay: float = 0.0,
        extra: Mapping[str, ExtraMetric] | None = None,
        class_weights: str | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.model = Frosted(backbone, head, schedule, epochs)
        self.classes = tuple(classes)
        self.make_optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.tested = Tested()
        self.sync_batchnorm = True
        self.balances = class_weights == BALANCED
        # Not kept with the weights: a run that is loaded learns nothing, and one that goes on counts again.
        self.register_buffer("class_weights", given(class_weights, self.classes), persistent=False)
        self.val_metrics = self.make_metrics()
        self.test_metrics = self.make_test_metrics()
        self.val_extra = nn.ModuleDict(extra or {})
        self.test_extra = copy.deepcopy(self.val_extra)
        self._rows: list[Row] = []  # of the scenes that this process has tested
        self._step: tuple[dict[str, Tensor], list[str]] = {}, []  # the losses of the last batch, and its scenes
        self._check_monitors()

    # What each task says.

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; their sum is minimised."""
        raise NotImplementedError

    def raw(self, outputs: Any) -> dict[str, Tensor]:
        """The head's outputs for a batch -> what a network gives, as `predict.answers.answers` reads it."""
        raise NotImplementedError

    @property
    def rule(self) -> Rule:
        """Which of the boxes that are found count."""
        return Rule()

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        """The head's outputs for a batch of val or test -> what is predicted for each scene, a `Prediction`.

        Of the batch it reads `size`, `place` and `picture_size`.
        """
        raw = as_arrays(self.raw(outputs))
        placements = [Placement.of(batch, n) for n in range(len(batch["place"]))]
        return answers(self.kind, raw, self.classes, placements, self.rule)

    def make_metrics(self) -> MetricCollection:
        """Fresh metrics over a whole split."""
        raise NotImplementedError

    def make_test_metrics(self) -> MetricCollection:
        """As `make_metrics`, with what only the test split's pictures need."""
        return self.make_metrics()

    def update(self, metrics: MetricCollection, predictions: Sequence[Any], batch: Batch) -> None:
        """Count the predictions for a batch into the metrics."""
        raise NotImplementedError

    def mistakes(self, predictions: Sequence[Any], batch: Batch) -> Iterator[Mistake]:
        """What is wrong with the predictions for each scene of a batch, all of it on the CPU."""
        raise NotImplementedError

    def rows(self, predictions: Sequence[Any], batch: Batch) -> Iterator[Row]:
        """What is told of each scene of a test batch, all of it on the CPU: what was predicted, how good it is
        (`quality`, 0..1, None where nothing could be), and all that the primary metric over any of the scenes needs.

        Columns are those of `metrics.rows.COLUMNS`.
        """
        raise NotImplementedError

    def only(self, outputs: Any, scene: int) -> Any:
        """The part of the head's outputs for a batch that is of one scene, as for a batch of that alone."""
        raise NotImplementedError

    @property
    def keeps_activations(self) -> bool:
        """Whether activations below the line can be kept: not where evaluation sees other pictures than training."""
        return True

    def weigh(self, counts: Tensor) -> None:
        """Tell how often each class is annotated in training (C,), by which they weigh where that is asked for."""
        if self.balances:
            self.class_weights = balanced(counts)

    # One way to train and evaluate.

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> the head's outputs."""
        return self.model(image)

    def answers(self, batch: Batch) -> Any:
        """The head's outputs for a batch of pictures, or of activations at the frost line in their place."""
        if "activations" in batch:
            return self.model.above(batch["activations"], batch["depth"])
        return self(batch["image"])

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """As `criterion`, after a look at the labels."""
        labels = batch["label"] if "label" in self.needs else batch["box_labels"] if "boxes" in self.needs else None
        if labels is not None and not (isinstance(labels, Tensor) and labels.is_floating_point()):  # not mixed ones
            check_classes("A label of the scene {} is", labels, batch, len(self.classes))
        return self.criterion(outputs, batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        several = rank_of_world()[1] > 1
        size = of_all(self.trainer, batch, batch_idx) if several else len(batch["id"])
        with sharing_a_batch(), WholeBatch(size, self.sync_batchnorm) if several else nullcontext():
            losses = self.losses(self.answers(batch), batch)
        total = torch.stack(list(losses.values())).sum()
        self._step = {name: value.detach() for name, value in losses.items()}, batch["id"]
        check_losses(losses, total, batch["id"], self.current_epoch)
        # Of all shares, as each one's loss is its part of that of all.
        # sync_dist, as it can end a phase, which must be the same epoch in every process.
        self.log("train_loss", total, on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True)
        if len(losses) > 1:
            named = {f"train_loss_{name}": value for name, value in losses.items()}
            self.log_dict(named, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            check_gradients(self.parameters(), *self._step, self.current_epoch)
        # 16-mixed meets such gradients on its way to a scale, and leaves their steps out.

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch["id"]:
            self._evaluate("val", batch)
        else:
            self._take_part("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        if not batch["id"]:
            return self._take_part("test", batch)
        outputs, predictions = self._evaluate("test", batch)
        self._rows += self.told(outputs, predictions, batch)

    def told(self, outputs: Any, predictions: Sequence[Any], batch: Batch) -> Iterator[Row]:
        """What `Tested.rows` has of each scene of a test batch."""
        truth = on_cpu({key: value for key, value in batch.items() if key not in ("image", "activations")})
        places, mistakes = zip(batch["index"].tolist(), batch["id"], strict=True), self.mistakes(predictions, truth)
        told = zip(places, self.scene_losses(outputs, batch), mistakes, self.rows(predictions, truth), strict=True)
        for (place, name), loss, mistake, row in told:
            yield {"index": place, "id": name, "loss": loss, "mistake": mistake.amount, **row}

    def scene_losses(self, outputs: Any, batch: Batch) -> Iterator[float]:
        """The loss of each scene, as of a batch of that alone."""
        alone = {key: value for key, value in batch.items() if key not in ("image", "activations")}
        for scene in range(len(batch["id"])):
            part = {k: v[scene : scene + 1] if isinstance(v, Tensor | list) else v for k, v in alone.items()}
            yield float(sum(map(float, self.criterion(self.only(outputs, scene), cast(Batch, part)).values())))

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        values = self._finish("test")
        rows = sorted(chain(*told_by_all(self._rows)), key=lambda row: row["index"])
        self.tested = Tested.of(values, rows, self.classes)
        self._rows = []

    def _evaluate(self, split: str, batch: Batch) -> tuple[Any, list[Prediction]]:
        total, outputs, predictions = self.counted(split, batch)
        self._log_mean(f"{split}_loss", total, len(batch["id"]))
        return outputs, predictions

    def counted(self, split: str, batch: Batch) -> tuple[Tensor, Any, list[Prediction]]:
        """A batch of "val" or "test" counted into its metrics: its loss, the head's outputs, and the predictions."""
        outputs = self.answers(batch)
        total = torch.stack(list(self.losses(outputs, batch).values())).sum()
        predictions = self.predict(outputs, batch)
        self.update(self._metrics(split), predictions, batch)
        for extra in self._extra(split).values():
            extra.update(predictions, batch)
        return total, outputs, predictions

    def _take_part(self, split: str, batch: Batch) -> None:
        """A process without scenes must compute and log what the others do, as they wait for it there."""
        self.answers(batch)
        self._log_mean(f"{split}_loss", torch.zeros((), device=self.device), 0)

    def _log_mean(self, name: str, value: Tensor, scenes: int) -> None:
        """Of the whole split, over all processes."""
        # A float, as of whole numbers Lightning takes the mean over processes, and drops its fraction: 0.05 of a loss
        # may be wrong by that (findings/lightning-uneven-batches.sh).
        weight = cast(int, float(scenes))
        self.log(name, value, on_step=False, on_epoch=True, batch_size=weight, sync_dist=True)

    def _finish(self, split: str) -> dict[str, Tensor]:
        values, scalars = self.computed(split)
        self.log_dict({f"{split}_{name}": value for name, value in scalars.items()})
        self.log("step", float(self.current_epoch))  # Lightning's word for the x axis of the logger: epochs
        return values

    def computed(self, split: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All that the metrics of a whole split say, and, of that, what is one number; then they count anew."""
        # Computed once over the whole split: the mean of a metric over batches is another number.
        metrics = self._metrics(split)
        values = metrics.compute()
        metrics.reset()
        for name, extra in self._extra(split).items():
            values[name] = extra.compute()
            extra.reset()
        return values, {name: value.float() for name, value in values.items() if name in self._scalars(metrics)}

    def _metrics(self, split: str) -> MetricCollection:
        return self.val_metrics if split == "val" else self.test_metrics

    def configure_model(self) -> None:
        """Where parameters are to be spread over processes (trainer=fsdp), do it before there is an optimizer."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        """One optimizer over all parts from the first step; `Frosted.set_rates` gives each its rate."""
        optimizer = self.make_optimizer(self.model.parameter_groups(self.weight_decay))
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.rate(optimizer, steps, self.model.planned.epochs)}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """As Lightning does it, but for schedulers that wait for a plateau, which `FrostLine` steps.

        Lightning would step them after the epoch's checkpoint is written, so that a resumed run had missed a step.
        """
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def logged(self) -> set[str]:
        """Names of what is logged of each epoch and can end a phase."""
        return {"train_loss", "val_loss", *(f"val_{name}" for name in self._scalars(self.val_metrics))}

    @property
    def meanings(self) -> dict[str, str]:
        """What the extra metric says, in words, by its name."""
        return {name: metric.meaning for name, metric in self._extra("test").items()}

    def _extra(self, split: str) -> dict[str, ExtraMetric]:
        return dict(cast(Any, self.val_extra if split == "val" else self.test_extra).items())

    def _scalars(self, metrics: MetricCollection) -> set[str]:
        """Names of what is one number for the whole split."""
        names = {name for key, metric in metrics.items() for name in getattr(metric, "names", [key])}
        return {name for name in names if name not in NOT_SCALAR and not name.endswith(BY_CLASS)} | {*self.val_extra}

    def _check_monitors(self) -> None:
        """What phases and rates wait for must be logged, and the rates must be what their schedule takes."""
        schedule, logged = self.model.planned, self.logged()
        optimizer = self.make_optimizer([{"params": [torch.zeros(1, requires_grad=True)]}])
        monitor = self.rate(optimizer, 100 * schedule.epochs, schedule.epochs).get("monitor", "val_loss")
        waiting = {"rate.monitor is": monitor} | {
            f"schedule '{schedule.name}', phase {number} waits for a plateau of": phase.plateau.metric
            for number, phase in enumerate(schedule.phases, 1)
            if phase.plateau
        }
        for where, metric in waiting.items():
            if metric not in logged:
                raise FrostlineError(
                    f"{where} '{metric}', which this task does not log; it logs {', '.join(sorted(logged))}."
                )

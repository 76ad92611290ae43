"""What the four tasks share: a backbone, a head, groups, a schedule, and one way to train and evaluate.

A task says what it needs of a scene, how outputs become a loss and predictions, and how predictions are measured:
`needs`, `primary`, `criterion`, `postprocess`, `make_metrics`, `update`; and what is wrong with a prediction, and how
that is drawn: `mistakes`, `draw`, `draw_pair`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from frostline.draw.predictions import on_cpu
from frostline.errors import FrostlineError
from frostline.freezing.groups import Groups, check_partition, count, keeps_statistics, labelled
from frostline.freezing.rates import BASE, RateSchedule
from frostline.freezing.schedule import (
    Norms,
    Schedule,
    State,
    ended,
    frozen_groups,
    parse_schedule,
    phase_at,
    state_at,
)
from frostline.metrics.worst import WorstScenes
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Batch = dict[str, Any]  # as SceneDataModule collates it

BY_CLASS = "_by_class"  # ends the name of a metric that has a value for each class
NAMED = 16  # scenes of a batch that an error lists
NOT_SCALAR = ("confusion", "curve")  # besides those by class


def probabilities(scores: Tensor) -> Tensor:
    """Scores (B, C) -> (B, C), in single precision at least, as sixteen bits know nothing between 0.998 and 1."""
    return scores.softmax(1, dtype=torch.promote_types(scores.dtype, torch.float32))


class Mistake(NamedTuple):
    """What is wrong with what was predicted for one scene. amount: 0 where nothing is, and the larger the worse."""

    amount: float
    words: str


class Task(pl.LightningModule):
    """Base of the four tasks.

    backbone, head: the model. classes: names of the classes it tells apart.
    schedule: a schedule file's content. epochs: the whole budget.
    optimizer: makes an optimizer of parameter groups. weight_decay: of its weights; biases and norms have none.
    rate: the base learning-rate schedule, one of frostline.freezing.rates with its options.
    """

    needs: ClassVar[frozenset[str]]  # annotations of a scene: "label", "boxes", "mask"
    reads: ClassVar[str]  # the kind of head it takes: its `gives`
    primary: ClassVar[str]  # the metric that chooses the best checkpoint and decides comparisons; higher is better
    curves: ClassVar[tuple[str, str]]  # of `curve`, if any: the metric that is its area by class, and what is right
    told: ClassVar[str]  # which scenes have a mistake, which come first, and how their pictures are read: lines

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
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = tuple(classes)
        self.make_optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.groups: Groups = {**backbone.groups, "head": [head]}
        check_partition(self, self.groups)
        labels = labelled(self, self.groups)
        self.schedule: Schedule = parse_schedule(schedule, epochs, list(labels))
        self.parts = {part: [labels[label] for label in members] for part, members in self.schedule.parts.items()}
        self.frozen: list[str] = []
        self.norms: Norms = "train"
        # Of the test split: values by metric and class, -1 for a class that does not occur; how often each true class
        # (row) was taken for each class (column); recall and precision (classes, points, 2), NaN for a class that does
        # not occur; and the places of the scenes with a mistake, the worst first.
        self.by_class: dict[str, dict[str, float]] = {}
        self.confusion: list[list[float]] | None = None
        self.curve: Tensor | None = None
        self.worst: list[int] = []
        self.val_metrics = self.make_metrics()
        self.test_metrics = self.make_test_metrics()
        self.test_mistakes = WorstScenes()
        self._step: tuple[dict[str, Tensor], list[str]] = {}, []  # the losses of the last batch, and its scenes
        self._check_metrics()
        self.to(memory_format=torch.channels_last)  # much faster on CPUs, and on GPUs with mixed precision

    # What each task says.

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; their sum is minimised."""
        raise NotImplementedError

    def postprocess(self, outputs: Any) -> Any:
        """Outputs -> predictions, as they are drawn."""
        raise NotImplementedError

    def make_metrics(self) -> MetricCollection:
        """Fresh metrics over a whole split."""
        raise NotImplementedError

    def make_test_metrics(self) -> MetricCollection:
        """As `make_metrics`, with what only the test split's pictures need."""
        return self.make_metrics()

    def measured(self, outputs: Any, batch: Batch) -> Any:
        """The head's outputs for a batch -> predictions as `update` and `mistakes` take them."""
        return self.postprocess(outputs)

    def update(self, metrics: MetricCollection, predictions: Any, batch: Batch) -> None:
        """Count a batch of `measured` predictions into the metrics."""
        raise NotImplementedError

    def mistakes(self, predictions: Any, batch: Batch) -> list[Mistake]:
        """What is wrong with the `measured` predictions for each scene of a batch, all of it on the CPU."""
        raise NotImplementedError

    def draw(self, axes: "Axes", predictions: Any, batch: Batch, index: int) -> None:
        """Draw what was predicted for one picture of a batch, and the truth, over the picture that `axes` shows."""
        raise NotImplementedError

    def draw_pair(self, truth: "Axes", found: "Axes", predictions: Any, batch: Batch, index: int) -> None:
        """Draw one scene of a batch side by side, as it is annotated and as it was predicted; both show its picture."""
        raise NotImplementedError

    def key(self, predictions: Any, batch: Batch) -> dict[str, Any]:
        """Colours by name in which a batch is drawn, where the names stand in no picture."""
        return {}

    # Freezing.

    def state_at(self, epoch: float) -> State:
        """The schedule's word on every part at this point of training."""
        return state_at(self.schedule, epoch)

    def move_line(self, epoch: int) -> State:
        """Freeze and thaw what the schedule says for this epoch, and return its word.

        Frozen means: no gradient, and evaluation mode for groups of which nothing trains.
        """
        state = self.state_at(epoch)
        for part, parameters in self.parts.items():
            for parameter in parameters:
                parameter.requires_grad_(state[part] is not None)
                if state[part] is None:
                    parameter.grad = None  # one left over from before would still move it
        self.frozen, self.norms = frozen_groups(state), phase_at(self.schedule, epoch)[1].norms
        # What was frozen until now is still in evaluation mode, and Lightning would keep it there: after a validation
        # it gives each module the mode it had before.
        self.train(self.training)
        return state

    def end_phase(self, number: int, epoch: int) -> None:
        """Phase `number` of the schedule (from 0) ends at this epoch, exclusive."""
        self.schedule = ended(self.schedule, number, epoch)

    def trainable_at(self, epoch: int) -> int:
        """Number of parameters that train in this epoch."""
        return sum(count(self.parts[part]) for part, scale in self.state_at(epoch).items() if scale is not None)

    def train(self, mode: bool = True) -> "Task":
        """As nn.Module.train, but frozen groups stay in evaluation mode: no statistic below the frost line moves.

        So do the backbone's batch norms above the line where the schedule keeps their statistics.
        """
        super().train(mode)
        if self.norms == "keep":
            for module in self.backbone.modules():
                if keeps_statistics(module):
                    module.eval()
        for group in self.frozen:
            for module in self.groups[group]:
                module.eval()
        return self

    # One way to train and evaluate.

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> the head's outputs."""
        return self._answer(*self.backbone(image.contiguous(memory_format=torch.channels_last)))

    def outputs(self, batch: Batch) -> Any:
        """The head's outputs for a batch of pictures, or of activations at the frost line in their place."""
        if "activations" in batch:
            return self._answer(*self.backbone.above(batch["activations"], batch["depth"]))
        return self(batch["image"])

    def activations(self, depth: int) -> list[str] | None:
        """What the head and the other groups need of the lowest `depth` groups, by name; None: no cut is possible."""
        return self.backbone.activations(depth, self.head.maps, self.head.reads_embedding)

    def below(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> these activations."""
        return self.backbone.below(image.contiguous(memory_format=torch.channels_last), names)

    def _answer(self, features: list[Any], embedding: Tensor | None) -> Any:
        return self.head(features, embedding) if self.head.reads_embedding else self.head(features)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.losses(self.outputs(batch), batch)
        total = torch.stack(list(losses.values())).sum()
        self._step = {name: value.detach() for name, value in losses.items()}, batch["id"]
        if not bool(total.isfinite()):  # before it reaches a weight
            lost = ", ".join(f"{name} ({value.item():g})" for name, value in losses.items() if not value.isfinite())
            self._refuse(f"a loss that is no number: {lost or 'their sum'}")
        size = len(batch["id"])
        # sync_dist, as it can end a phase, which must be the same epoch in every process.
        self.log("train_loss", total, on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True)
        if len(losses) > 1:
            named = {f"train_loss_{name}": value for name, value in losses.items()}
            self.log_dict(named, on_step=False, on_epoch=True, batch_size=size)
        return total

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """As `criterion`, after a look at the labels: torch's own word on one beyond the classes names no scene."""
        if "label" in self.needs:
            if not batch["label"].is_floating_point():  # mixed ones are shares of all classes
                self.check_classes("A label of the scene {} is", batch["label"], batch)
        elif "boxes" in self.needs:
            self.check_classes("A label of the scene {} is", batch["box_labels"], batch)
        return self.criterion(outputs, batch)

    def check_classes(self, told: str, numbers: Tensor | Sequence[Tensor], batch: Batch) -> None:
        """Raise FrostlineError for a number that is no class. told: how it begins; numbers: one or some of a scene."""
        joined, classes = numbers if isinstance(numbers, Tensor) else torch.cat(list(numbers)), len(self.classes)
        if bool(((joined < 0) | (joined >= classes)).any()):
            pairs = ((s, n) for s, own in zip(batch["id"], numbers, strict=True) for n in own.flatten().tolist())
            scene, number = next((scene, number) for scene, number in pairs if not 0 <= number < classes)
            raise FrostlineError(
                f"{told.format(scene)} the class number {number}, and there are {classes} classes: prepare the dataset "
                "anew."
            )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """A loss may be a number and its gradient none; clipped by such a norm, every weight would be none, too."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            return  # of 16-mixed: it meets such gradients on its way to a scale, and leaves their steps out
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        if gradients and not bool(torch.nn.utils.get_total_norm(gradients).isfinite()):
            losses, _ = self._step
            told = ", ".join(f"{name} ({value.item():g})" for name, value in losses.items())
            self._refuse(f"a gradient that is no number, though the losses are: {told}")

    def _refuse(self, what: str) -> None:
        """Stop before a weight is no number; what was written at the end of the last epoch stays as it is."""
        _, scenes = self._step
        first = ", ".join(scenes[:NAMED])
        more = f" and {len(scenes) - NAMED} more" if len(scenes) > NAMED else ""
        raise FrostlineError(
            f"Training stopped in epoch {self.current_epoch} at {what}, on the scenes {first}{more}: look at these "
            "scenes, lower optimizer.lr, or set trainer.precision=32-true. With other settings the run starts anew; as "
            "it is, it goes on from its last good epoch."
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val", self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        predictions = on_cpu(self._evaluate("test", self.test_metrics, batch))
        truth = on_cpu({key: value for key, value in batch.items() if key != "image"})
        self.test_mistakes.update(batch["index"], [mistake.amount for mistake in self.mistakes(predictions, truth)])

    def on_validation_epoch_end(self) -> None:
        self._finish("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:
        values = self._finish("test", self.test_metrics)
        self.by_class = {
            name.removesuffix(BY_CLASS): dict(zip(self.classes, value.tolist(), strict=True))
            for name, value in values.items()
            if name.endswith(BY_CLASS)
        }
        self.confusion = values["confusion"].tolist() if "confusion" in values else None
        self.curve = values["curve"].cpu() if "curve" in values else None
        self.worst = self.test_mistakes.compute().tolist()
        self.test_mistakes.reset()

    def _evaluate(self, split: str, metrics: MetricCollection, batch: Batch) -> Any:
        outputs = self.outputs(batch)
        total = torch.stack(list(self.losses(outputs, batch).values())).sum()
        self.log(f"{split}_loss", total, on_step=False, on_epoch=True, batch_size=len(batch["id"]), sync_dist=True)
        predictions = self.measured(outputs, batch)
        self.update(metrics, predictions, batch)
        return predictions

    def _finish(self, split: str, metrics: MetricCollection) -> dict[str, Tensor]:
        # Computed once over the whole split: the mean of a metric over batches is another number.
        values = metrics.compute()
        metrics.reset()
        scalars = {name: value for name, value in values.items() if name in self._scalars(metrics)}
        self.log_dict({f"{split}_{name}": value.float() for name, value in scalars.items()})
        self.log("step", float(self.current_epoch))  # Lightning's word for the x axis of the logger: epochs
        return values

    def configure_optimizers(self) -> Any:
        """One optimizer over all parts from the first step, frozen ones included (they have no gradient).

        So its state never changes shape, whatever the schedule does. The rate of a part is its scale x the rate of the
        group `base`, which has no parameters and is driven by the base learning-rate schedule; `set_rates` sees to it.
        """
        entries: list[dict[str, Any]] = [{"params": [], "name": BASE}]
        for part, parameters in self.parts.items():
            for decays in (True, False):
                # Decay pulls weights towards zero; for biases and norms zero means nothing.
                members = [p for p in parameters if (p.ndim > 1) == decays]
                decay = self.weight_decay if decays else 0.0
                if members:
                    entries.append({"params": members, "weight_decay": decay, "name": part})
        optimizer = self.make_optimizer(entries)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self.rate(optimizer, steps, self.schedule.epochs)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def set_rates(self, optimizer: Optimizer, epoch: float) -> None:
        """Give each part its rate at this point of training (epochs since the start); 0 where it is frozen."""
        base, *groups = optimizer.param_groups
        state = self.state_at(epoch)
        for group in groups:
            group["lr"] = (state[group["name"]] or 0.0) * base["lr"]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """As Lightning does it, but for schedulers that wait for a plateau, which `FrostLine` steps.

        Lightning would step them after the epoch's checkpoint is written, so that a resumed run had missed a step.
        """
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_fit_start(self) -> None:
        if self.trainer.max_epochs != self.schedule.epochs:
            raise FrostlineError(
                f"The schedule was laid out for {self.schedule.epochs} epochs, not {self.trainer.max_epochs}."
            )

    def logged(self) -> set[str]:
        """Names of what is logged of each epoch and can end a phase."""
        return {"train_loss", "val_loss", *(f"val_{name}" for name in self._scalars(self.val_metrics))}

    def _scalars(self, metrics: MetricCollection) -> set[str]:
        """Names of what is one number for the whole split."""
        names = {name for key, metric in metrics.items() for name in getattr(metric, "names", [key])}
        return {name for name in names if name not in NOT_SCALAR and not name.endswith(BY_CLASS)}

    def _check_metrics(self) -> None:
        """What phases and rates wait for must be logged, and the rates must be what their schedule takes."""
        optimizer = self.make_optimizer([{"params": [torch.zeros(1, requires_grad=True)]}])
        monitor = self.rate(optimizer, 100 * self.schedule.epochs, self.schedule.epochs).get("monitor", "val_loss")
        if monitor not in self.logged():
            raise FrostlineError(
                f"rate.monitor is '{monitor}', which this task does not log; it logs "
                f"{', '.join(sorted(self.logged()))}."
            )
        for number, phase in enumerate(self.schedule.phases, 1):
            if phase.plateau and phase.plateau.metric not in self.logged():
                raise FrostlineError(
                    f"schedule '{self.schedule.name}', phase {number} waits for a plateau of '{phase.plateau.metric}', "
                    f"which this task does not log; it logs {', '.join(sorted(self.logged()))}."
                )

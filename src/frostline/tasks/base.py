"""What the four tasks share: a backbone, a head, groups, a schedule, and one way to train and evaluate.

A task says what it needs of a scene, how outputs become a loss and predictions, and how predictions are measured:
`needs`, `primary`, `criterion`, `postprocess`, `make_metrics`, `update`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from frostline.errors import FrostlineError
from frostline.freezing.groups import Groups, check_partition, count, parameters_of, set_frozen
from frostline.freezing.schedule import Norms, Schedule, State, parse_schedule, phase_at, state_at
from frostline.models.backbones import Backbone

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Batch = dict[str, Any]  # as SceneDataModule collates it


class Task(pl.LightningModule):
    """Base of the four tasks.

    backbone, head: the model. classes: names of the classes it tells apart.
    schedule: a schedule file's content. epochs: the whole budget.
    lr, weight_decay, warmup: of AdamW and its cosine; see conf/trainer/default.yaml.
    """

    needs: ClassVar[frozenset[str]]  # annotations of a scene: "label", "boxes", "mask"
    reads: ClassVar[str]  # the kind of head it takes: its `gives`
    primary: ClassVar[str]  # the metric that chooses the best checkpoint and decides comparisons; higher is better

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        classes: Sequence[str],
        schedule: Mapping[str, Any],
        epochs: int,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = tuple(classes)
        self.epochs, self.lr, self.weight_decay, self.warmup = epochs, lr, weight_decay, warmup
        self.groups: Groups = {**backbone.groups, "head": [head]}
        check_partition(self, self.groups)
        self.schedule: Schedule = parse_schedule(schedule, epochs, list(self.groups))
        self.frozen: list[str] = []
        self.norms: Norms = "train"
        self.val_metrics = self.make_metrics()
        self.test_metrics = self.make_metrics()
        self.to(memory_format=torch.channels_last)  # measured: 1.6 to 2 times faster on CPUs

    # What each task says.

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; their sum is minimised."""
        raise NotImplementedError

    def postprocess(self, outputs: Any) -> Any:
        """Outputs -> predictions, as `update` and the pictures take them."""
        raise NotImplementedError

    def make_metrics(self) -> MetricCollection:
        """Fresh metrics over a whole split."""
        raise NotImplementedError

    def update(self, metrics: MetricCollection, predictions: Any, batch: Batch) -> None:
        """Count a batch of predictions into the metrics."""
        raise NotImplementedError

    def draw(self, axes: "Axes", predictions: Any, batch: Batch, index: int) -> None:
        """Draw what was predicted for one picture of a batch, and the truth, over the picture that `axes` shows."""
        raise NotImplementedError

    # Freezing.

    def state_at(self, epoch: int) -> State:
        """The schedule's word on every group in this epoch."""
        return state_at(self.schedule, epoch, list(self.groups))

    def move_line(self, epoch: int) -> State:
        """Freeze and thaw what the schedule says for this epoch, and return its word."""
        state = self.state_at(epoch)
        self.freeze([g for g, scale in state.items() if scale is None], phase_at(self.schedule, epoch).norms)
        return state

    def freeze(self, groups: Sequence[str], norms: Norms = "train") -> None:  # type: ignore[override]
        """Freeze these groups and thaw all others, in the mode (training or evaluation) that the task is in.

        norms: what the backbone's batch norms above the line do, see `Phase`.
        """
        self.frozen, self.norms = list(groups), norms
        set_frozen(self.groups, self.frozen)
        # What was frozen until now is still in evaluation mode, and Lightning would keep it there: after a validation
        # it gives each module the mode it had before.
        self.train(self.training)

    def trainable_at(self, epoch: int) -> int:
        """Number of parameters that train in this epoch."""
        return sum(
            count(parameters_of(self.groups, g)) for g, scale in self.state_at(epoch).items() if scale is not None
        )

    def train(self, mode: bool = True) -> "Task":
        """As nn.Module.train, but frozen groups stay in evaluation mode: no statistic below the frost line moves.

        So do the backbone's batch norms above the line where the schedule keeps their statistics.
        """
        super().train(mode)
        if self.norms == "keep":
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        for group in self.frozen:
            for module in self.groups[group]:
                module.eval()
        return self

    # One way to train and evaluate.

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W) in 0..1 -> the head's outputs."""
        features = self.backbone(image.contiguous(memory_format=torch.channels_last))
        if cast(Any, self.head).reads_embedding:
            return self.head(features, self.backbone.embed(features))
        return self.head(features)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.criterion(self(batch["image"]), batch)
        total = torch.stack(list(losses.values())).sum()
        size = len(batch["image"])
        self.log("train_loss", total, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        if len(losses) > 1:
            named = {f"train_loss_{name}": value for name, value in losses.items()}
            self.log_dict(named, on_step=False, on_epoch=True, batch_size=size)
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val", self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("test", self.test_metrics, batch)

    def on_validation_epoch_end(self) -> None:
        self._finish("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:
        self._finish("test", self.test_metrics)

    def _evaluate(self, split: str, metrics: MetricCollection, batch: Batch) -> None:
        outputs = self(batch["image"])
        total = torch.stack(list(self.criterion(outputs, batch).values())).sum()
        self.log(f"{split}_loss", total, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        self.update(metrics, self.postprocess(outputs), batch)

    def _finish(self, split: str, metrics: MetricCollection) -> None:
        # Computed once over the whole split: the mean of a metric over batches is another number.
        values = {f"{split}_{name}": value for name, value in metrics.compute().items() if value.numel() == 1}
        metrics.reset()
        self.log_dict({name: value.float() for name, value in values.items()})
        self.log("step", float(self.current_epoch))  # Lightning's word for the x axis of the logger: epochs

    def configure_optimizers(self) -> Any:
        """AdamW over all groups from the first step, frozen ones included (they have no gradient).

        So the optimizer's state never changes shape, whatever the schedule does. Rate of a group: lr x cosine x scale.
        """
        entries: list[dict[str, Any]] = []
        rates: list[Callable[[int], float]] = []
        steps = int(self.trainer.estimated_stepping_batches)
        for group in self.groups:
            for decay in (True, False):
                # Decay pulls weights towards zero; for biases and norms zero means nothing.
                parameters = [p for p in parameters_of(self.groups, group) if (p.ndim > 1) == decay]
                if parameters:
                    weight_decay = self.weight_decay if decay else 0.0
                    entries.append({"params": parameters, "weight_decay": weight_decay, "name": f"{group}/{decay}"})
                    rates.append(partial(self._rate, group, steps))
        optimizer = torch.optim.AdamW(entries, lr=self.lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate(self, group: str, steps: int, step: int) -> float:
        epoch = min(step * self.epochs // max(1, steps), self.epochs - 1)
        return (self.state_at(epoch)[group] or 0.0) * warmup_cosine(step / max(1, steps), self.warmup)

    def on_fit_start(self) -> None:
        if self.trainer.max_epochs != self.epochs:
            raise FrostlineError(f"The schedule was laid out for {self.epochs} epochs, not {self.trainer.max_epochs}.")


def warmup_cosine(progress: float, warmup: float) -> float:
    """Factor on the learning rate at this share of the training (0..1): a linear rise, then half a cosine down to 0.

    After SGDR without restarts (Loshchilov & Hutter 2017, arXiv:1608.03983).
    """
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))

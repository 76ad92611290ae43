"""The callback that moves the frost line."""

from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from frostline.errors import FrostlineError
from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of, phase_at

if TYPE_CHECKING:
    from frostline.tasks.base import Task


class FrostLine(pl.Callback):
    """Freezes and thaws what the schedule says at the start of each epoch, and sets each part's rate before each step.

    The state is computed afresh from the epoch's number. All that it remembers, in the checkpoint, is when phases that
    wait for a plateau ended, and how the one under way is doing.
    Logs `frost_depth` (groups below the line) and `trainable_share` (of the parameters, 0..1).
    """

    def __init__(self) -> None:
        self._ended: dict[int, int] = {}  # phase -> epoch at which it ended on its plateau
        self._best: float | None = None  # of the phase under way
        self._waited = 0  # epochs since then

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number, epoch in self._ended.items():
            _task(pl_module).end_phase(number, epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        task = _task(pl_module)
        before = [p.requires_grad for p in task.parameters()]
        state = task.move_line(trainer.current_epoch)
        if before != [p.requires_grad for p in task.parameters()] and isinstance(trainer.strategy, DDPStrategy):
            # DDP exchanges the gradients of those parameters that had one when it wrapped the model, and of no others:
            # without wrapping it anew, ranks would drift apart after a thaw.
            trainer.strategy.model = task
            trainer.strategy.configure_ddp()
        share = count(p for p in task.parameters() if p.requires_grad) / count(task.parameters())
        logged = {"frost_depth": float(depth_of(state)), "trainable_share": share}
        # "step" is Lightning's word for the x axis of the logger: epochs, for what is logged of the training.
        task.log_dict({**logged, "step": float(trainer.current_epoch)}, on_step=False, on_epoch=True)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        epoch = trainer.current_epoch + batch_idx / int(trainer.num_training_batches)
        _task(pl_module).set_rates(trainer.optimizers[0], epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        task, epoch = _task(pl_module), trainer.current_epoch
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau:  # before the checkpoint, see Task.lr_scheduler_step
                cast(Any, config.scheduler).step(float(trainer.callback_metrics[str(config.monitor)]))
        number, phase = phase_at(task.schedule, epoch)
        if phase.plateau is not None:
            metric = trainer.callback_metrics.get(phase.plateau.metric)
            if metric is None:
                raise FrostlineError(
                    f"schedule '{task.schedule.name}', phase {number + 1} waits for a plateau of "
                    f"'{phase.plateau.metric}', which was not logged in epoch {epoch}."
                )
            if phase.plateau.better(float(metric), self._best):
                self._best, self._waited = float(metric), 0
            else:
                self._waited += 1
            if self._waited >= phase.plateau.patience and epoch + 1 < phase.end:
                self._ended[number] = epoch + 1
                task.end_phase(number, epoch + 1)
        if phase_at(task.schedule, epoch + 1)[0] != number:
            self._best, self._waited = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {"ended": dict(self._ended), "best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._ended = {int(number): int(epoch) for number, epoch in state_dict["ended"].items()}
        self._best, self._waited = state_dict["best"], int(state_dict["waited"])


def _task(module: pl.LightningModule) -> "Task":
    return cast("Task", module)

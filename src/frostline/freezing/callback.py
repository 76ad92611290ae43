"""The callback that moves the frost line."""

from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed
from torch.distributed.tensor import DTensor

from frostline.errors import FrostlineError
from frostline.freezing.frosted import Frosted
from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of, phase_at
from frostline.shares import rank_of_world, told_by_all


class FrostLine(pl.Callback):
    """Freezes and thaws what the schedule says at the start of each epoch, and sets each part's rate before each step.

    model: of the module that is trained. The state is computed afresh from the epoch's number. All that a checkpoint
    holds of it is when phases that wait for a plateau ended, and how the one under way is doing.
    Logs `frost_depth` (groups below the line) and `trainable_share` (of the parameters, 0..1).
    """

    def __init__(self, model: Frosted) -> None:
        self.model = model
        self._best: float | None = None  # of the phase under way
        self._waited = 0  # epochs since then

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model = self.model
        before = [p.requires_grad for p in model.parameters()]
        state = model.move_line(trainer.current_epoch)
        if before != [p.requires_grad for p in model.parameters()] and isinstance(trainer.strategy, DDPStrategy):
            # DDP exchanges the gradients of those parameters that had one when it wrapped the model, and of no others:
            # without wrapping it anew, ranks would drift apart after a thaw. FSDP looks at each step which have one.
            trainer.strategy.model = pl_module
            trainer.strategy.configure_ddp()
        share = count(p for p in model.parameters() if p.requires_grad) / count(model.parameters())
        logged = {"frost_depth": float(depth_of(state)), "trainable_share": share}
        # "step" is Lightning's word for the x axis of the logger: epochs, for what is logged of the training.
        pl_module.log_dict({**logged, "step": float(trainer.current_epoch)}, on_step=False, on_epoch=True)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # DDP gives all processes the first one's statistics before each step, so after the last step they differ; and
        # what is measured, and kept, is that of the first.
        if rank_of_world()[1] > 1:
            for buffer in self.model.buffers():
                distributed.broadcast(buffer, 0)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        epoch = trainer.current_epoch + batch_idx / int(trainer.num_training_batches)
        self.model.set_rates(trainer.optimizers[0], epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch
        if rank_of_world()[1] > 1:
            self._check_alike(epoch)
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau:  # before the checkpoint, see Task.lr_scheduler_step
                cast(Any, config.scheduler).step(float(trainer.callback_metrics[str(config.monitor)]))
        number, phase = phase_at(self.model.schedule, epoch)
        if phase.plateau is not None:
            value = float(trainer.callback_metrics[phase.plateau.metric])
            if phase.plateau.better(value, self._best):
                self._best, self._waited = value, 0
            else:
                self._waited += 1
            if self._waited >= phase.plateau.patience and epoch + 1 < phase.end:
                self.model.ended[number] = epoch + 1
        if phase_at(self.model.schedule, epoch + 1)[0] != number:
            self._best, self._waited = None, 0

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.model.forget_line()  # a test is of the weights alone, so that whoever loads them finds the same

    def _check_alike(self, epoch: int) -> None:
        """Raise FrostlineError where the processes no longer hold the same weights."""
        # Of what is spread each process has a part of its own.
        held = {name: values for name, values in self.model.state_dict().items() if not isinstance(values, DTensor)}
        own = {name: float(values.double().sum()) for name, values in held.items()}
        all_told = told_by_all(own)
        if differing := [name for name in own if len({repr(told[name]) for told in all_told}) > 1]:
            raise FrostlineError(
                f"After epoch {epoch + 1} the processes of this run hold different weights, first in {differing[0]}: "
                "nothing of it can be trusted; this is a fault in Frostline, or in a part of your own."
            )

    def state_dict(self) -> dict[str, Any]:
        return {"ended": dict(self.model.ended), "best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # What has ended stays so: the test loads the best epoch's checkpoint, which may be of before.
        self.model.ended |= {int(number): int(epoch) for number, epoch in state_dict["ended"].items()}
        self._best, self._waited = state_dict["best"], int(state_dict["waited"])

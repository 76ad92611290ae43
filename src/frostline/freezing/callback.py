"""The callback that moves the frost line."""

from typing import TYPE_CHECKING, cast

import pytorch_lightning as pl

from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of

if TYPE_CHECKING:
    from frostline.tasks.base import Task


class FrostLine(pl.Callback):
    """At the start of each epoch, freezes what the schedule says and thaws the rest; logs where the line is.

    It remembers nothing: the state is computed afresh from the epoch's number, so a resumed run needs no memory.
    Logs `frost_depth` (groups below the line) and `trainable_share` (of the parameters, 0..1).
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        task = cast("Task", pl_module)
        state = task.move_line(trainer.current_epoch)
        trainable = count(p for p in task.parameters() if p.requires_grad)
        share = trainable / count(task.parameters())
        logged = {"frost_depth": float(depth_of(state)), "trainable_share": share}
        # "step" is Lightning's word for the x axis of the logger: epochs, for what is logged of the training.
        task.log_dict({**logged, "step": float(trainer.current_epoch)}, on_step=False, on_epoch=True)

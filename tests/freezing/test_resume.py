"""A run stopped after any epoch and resumed ends as if nothing had happened, to the last bit."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

EPOCHS = 8
PHASES = [
    {"line": "head", "until": {"plateau": "val_loss", "patience": 2, "at_most": {"epochs": 4}}},  # ends at 3
    {"line": {"from": -2, "to": "stage3"}, "warmup": {"epochs": 1.5}, "until": {"epochs": 6}},
    {"line": "stem", "scale": 0.2, "norms": "keep", "warmup": {"epochs": 1.5}},
]


def same(one, other):
    """Whether two nests of lists, mappings and tensors are bit-equal."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def ends_as(task, trainer):
    """All that a run leaves."""
    return {
        "weights": task.state_dict(),
        "metrics": dict(trainer.callback_metrics),
        "optimizer": trainer.optimizers[0].state_dict(),
        "rate": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        "line": trainer.callbacks[0].state_dict(),
    }


@pytest.mark.parametrize(
    ("rate", "optimizer"),
    [("constant", "sgd"), ("cosine", "adamw"), ("one_cycle", "sgd"), ("plateau", "adamw"), ("step", "adamw")],
)
def test_stopped_after_any_epoch_and_resumed(tiny, tmp_path, rate, optimizer):
    # The traps: a plateau whose count starts anew, a phase that ended early and is open again, a warm-up that starts
    # twice, a scheduler that loses its place, and a checkpoint written before the epoch's last step of a scheduler.
    def run(folder, stopped=None):
        # As frostline.runs.train keeps them. A kill after an epoch leaves exactly that epoch's file.
        kept = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
        task = tiny.make(PHASES, EPOCHS, rate=rate, optimizer=optimizer, kind=tiny.Flat)
        trainer = tiny.fit(task, EPOCHS, callbacks=[kept], enable_checkpointing=True, ckpt_path=stopped)
        return task, ends_as(task, trainer)

    task, whole = run(tmp_path / "whole")
    assert [phase.end for phase in task.model.schedule.phases][0] == 3
    for epoch in range(EPOCHS - 1):
        resumed, end = run(tmp_path / f"from{epoch}", tmp_path / "whole" / f"epoch={epoch}.ckpt")
        assert resumed.model.schedule == task.model.schedule, epoch
        for key, value in whole.items():
            assert same(end[key], value), (epoch, key)

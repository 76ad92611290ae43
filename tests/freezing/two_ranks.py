"""Train every shipped schedule in two processes, and in one with the same pictures per step; write down what came out.

`test_two_ranks.py` starts this: python two_ranks.py DATASET FOLDER PORT. In one go, because imports take longer than
all the training; and the processes are forked, so that these are paid for once.
"""

import json
import logging
import os
import sys
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytorch_lightning as pl
import torch
from helpers.tiny import fit, make_task, option, shipped, tiny_backbone
from pytorch_lightning.plugins.precision import DoublePrecision
from pytorch_lightning.strategies import DDPStrategy

from frostline.freezing.schedule import depth_of
from frostline.freezing.sharded import bytes_here
from frostline.loading.module import SceneDataModule
from frostline.runs.sharded import Sharded
from frostline.shares import whole
from frostline.tasks.classification import Classification

EPOCHS = 12  # enough for a line that moves to stop at each of the seven groups
GLOBAL_BATCH = 10


class Divided(Classification):
    """The first process sees its losses rise from the start, the mean of both falls until epoch 1."""

    def criterion(self, outputs, batch):
        epoch = self.trainer.current_epoch
        opinions = [1000 * epoch, -3000 * min(epoch, 1)]
        own = opinions[self.global_rank] if self.trainer.world_size == 2 else sum(opinions) / 2
        return {"class": super().criterion(outputs, batch)["class"] + own}  # its gradient is as it was


def waiting_for(metric):
    """Divided processes, and a phase that ends after epoch 2, but that the first alone would end after epoch 1."""
    plateau = {"plateau": metric, "patience": 1, "at_most": {"epochs": 4}}
    phases = [{"line": "head", "until": plateau}, {"line": "stem"}]
    return partial(make_task, phases, kind=Divided, backbone=partial(tiny_backbone, norm="group"))


CASES = {
    **{name: partial(make_task, name, backbone=partial(tiny_backbone, norm="group")) for name in shipped("schedule")},
    # With batch norms, whose statistics are kept.
    **{f"{name} batch": partial(make_task, name) for name in ("thaw", "gradual", "surgical")},
    **{f"divided {metric}": waiting_for(metric) for metric in ("val_loss", "train_loss")},
}


# Once more, with every parameter spread over the two processes.
SHARDED = ("gradual batch", "bitfit", "divided val_loss")


class Digests(pl.Callback):
    """One hash over all parameters, after each epoch."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, module):
        digest = sha256(b"".join(whole(p.detach()).contiguous().numpy().tobytes() for p in module.parameters()))
        self.seen.append(digest.hexdigest())


def train(dataset, folder, ranks, rank):
    """Every case, in this process; its answers go into a file."""
    answers = {}
    for name in [*CASES, *(f"sharded {name}" for name in SHARDED if ranks > 1)]:
        make = CASES[name.removeprefix("sharded ")]
        data = SceneDataModule(dataset, {"label"}, image_size=32, batch_size=GLOBAL_BATCH)
        digests = Digests()
        task = make(epochs=EPOCHS, classes=data.classes)
        started = {key: value.clone() for key, value in task.named_parameters()}
        # In double precision, where the order of a sum cannot be taken for a wrong gradient.
        options = {"devices": ranks, "callbacks": [digests], "plugins": [DoublePrecision()]}
        if name.startswith("sharded"):
            options["strategy"] = Sharded()
        elif ranks > 1:
            options["strategy"] = DDPStrategy(process_group_backend="gloo", timeout=timedelta(seconds=60))
        trainer = fit(task, EPOCHS, data=data, **options)
        state = [v for values in trainer.optimizers[0].state.values() for k, v in values.items() if k != "step"]
        answers[name] = {
            "digests": digests.seen,
            "depths": [depth_of(task.model.state_at(epoch)) for epoch in range(EPOCHS)],
            "ends": [phase.end for phase in task.model.schedule.phases],
            "losses": {key: float(trainer.callback_metrics[key]) for key in ("train_loss", "val_loss")},
            "weights": {key: whole(value.detach()) for key, value in task.named_parameters()},
            "held": [bytes_here(task.parameters()), bytes_here(iter(state))],
        }
        answers[name]["moved"] = max(
            float((value - started[key]).abs().max()) for key, value in answers[name]["weights"].items()
        )
    torch.save(answers, folder / f"{ranks}-{rank}.pt")


def rank_of_two(rank, dataset, folder, port):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    train(dataset, folder, 2, rank)


if __name__ == "__main__":
    dataset, folder, port = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # How many threads there are is for each process to say, by OMP_NUM_THREADS, and not for the one they all come from.
    for name in shipped("schedule"):
        option("schedule", name)  # read once, before the processes part
    torch.multiprocessing.start_processes(rank_of_two, (dataset, folder, port), nprocs=2, start_method="fork")
    train(dataset, folder, 1, 0)
    one, other, alone = (torch.load(folder / f"{name}.pt") for name in ("2-0", "2-1", "1-0"))
    alone |= {f"sharded {name}": dict(alone[name]) for name in SHARDED}
    for name, answer in alone.items():
        pairs = [(value, one[name]["weights"][key]) for key, value in answer.pop("weights").items()]
        answer["difference"] = max(float((a - b).abs().max()) for a, b in pairs)
        answer["ranks"] = [{**one[name], "weights": None}, {**other[name], "weights": None}]
    (folder / "answers.json").write_text(json.dumps(alone))

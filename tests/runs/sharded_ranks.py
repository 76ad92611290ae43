"""Train with parameters spread over two processes, and in one, each from the other's checkpoints as well.

`test_sharded.py` starts this: python sharded_ranks.py FOLDER PORT.
"""

import json
import os
import sys
from pathlib import Path

import torch
from helpers.tiny import fit, make_task
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.precision import DoublePrecision

from frostline.runs.checkpoints import WholeCheckpoints
from frostline.runs.sharded import Sharded, gather, spread

EPOCHS, CUT = 6, "epoch=2.ckpt"  # in the middle of a line that moves at each epoch
OPTIMIZERS = {"adamw": {}, "sgd": {"momentum": 0.9}}


def train(folder, ranks, optimizer, ckpt_path=None):
    """Weights at the end, in the first process; checkpoints of each epoch in `folder`."""
    task = make_task("gradual", EPOCHS, optimizer=optimizer, **OPTIMIZERS[optimizer]).double()
    taken, options = task, {}
    if ranks > 1:
        taken, options = spread(task), {"strategy": Sharded()}
    folder.mkdir(parents=True, exist_ok=True)
    kept = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    fit(
        taken,
        EPOCHS,
        devices=ranks,
        callbacks=[kept],
        ckpt_path=ckpt_path,
        enable_checkpointing=True,
        plugins=[DoublePrecision(), WholeCheckpoints()],
        gradient_clip_val=0.01,  # less than every gradient has
        **options,
    )
    if ranks > 1:
        gather(taken, task)
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def rank_of_two(rank, folder, port):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    for optimizer in OPTIMIZERS:
        here = folder / optimizer
        answers = {
            "spread": train(here / "two", 2, optimizer),
            "taken up": train(here / "other", 2, optimizer, here / "one" / CUT),
            "gone on": train(here / "again", 2, optimizer, here / "two" / CUT),
        }
        if rank == 0:
            torch.save(answers, here / "answers.pt")


def alone(_, folder):
    torch.save({name: train(folder / name / "one", 1, name) for name in OPTIMIZERS}, folder / "one.pt")


def shape(value):
    """What a checkpoint is made of, without its numbers."""
    if isinstance(value, dict):
        return {str(key): shape(each) for key, each in value.items() if key != "callbacks"}
    if isinstance(value, list | tuple):
        return [shape(each) for each in value]
    return [str(value.dtype), list(value.shape)] if isinstance(value, torch.Tensor) else type(value).__name__


def furthest(one, other):
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), sys.argv[2]
    # How many threads there are is for each process to say, by OMP_NUM_THREADS, and not for the one they all come from.
    torch.multiprocessing.start_processes(alone, (folder,), nprocs=1, start_method="fork")
    torch.multiprocessing.start_processes(rank_of_two, (folder, port), nprocs=2, start_method="fork")
    whole, found = torch.load(folder / "one.pt"), {}
    for name in OPTIMIZERS:
        here = folder / name
        answers = torch.load(here / "answers.pt")
        answers["handed over"] = train(here / "back", 1, name, here / "two" / CUT)
        checkpoints = [torch.load(here / which / CUT, weights_only=True) for which in ("one", "two")]
        found[name] = {
            "differences": {way: furthest(whole[name], answer) for way, answer in answers.items()},
            "gone on": furthest(answers["spread"], answers["gone on"]),
            "shapes": [shape(checkpoint) for checkpoint in checkpoints],
        }
    (folder / "found.json").write_text(json.dumps(found))

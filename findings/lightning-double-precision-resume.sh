#!/usr/bin/env bash
# pytorch-lightning 2.6.6, torch 2.15.0, on the CPU
#
# A training in double precision (Trainer(precision="64-true")) stops after two epochs and goes on from its checkpoint, as
# fit(ckpt_path=...); another one goes through. There is no randomness. Once more with the module made double beforehand.
#
# Expected: the weights that go on are those of the checkpoint, and both trainings end with the same ones.
#
# Seen: the checkpoint holds double precision, and is loaded into the module before that is made double: so what is loaded
# is rounded to single precision, and both trainings differ. With module.double() beforehand they are the same.
# | as documented: the first weights are rounded to single precision, the last ones differ
# | made double beforehand: the first weights are those of the checkpoint, the last ones are the same

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 pytorch-lightning==2.6.6
cd "$work"

"$venv/bin/python" - >seen 2>/dev/null <<'PY'
import logging
import warnings

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, number):
        return (self.layer(batch) - 1).square().mean()

    def on_train_start(self):
        self.first = self.layer.weight.detach().clone()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


def trained(epochs, beforehand, checkpoint=None):
    data = torch.arange(12.0, dtype=torch.float64).reshape(4, 3) / 7
    module = Line().double() if beforehand else Line()
    trainer = pl.Trainer(
        precision="64-true", accelerator="cpu", max_epochs=epochs, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, batch_size=2), ckpt_path=checkpoint)
    return trainer, module


for name, beforehand in (("as documented", False), ("made double beforehand", True)):
    _, whole = trained(4, beforehand)
    half, stopped = trained(2, beforehand)
    half.save_checkpoint("half.ckpt")
    kept = torch.load("half.ckpt", weights_only=False)["state_dict"]["layer.weight"]
    _, resumed = trained(4, beforehand, "half.ckpt")
    if torch.equal(resumed.first, kept):
        first = "those of the checkpoint"
    else:
        first = "rounded to single precision" if torch.equal(resumed.first, kept.float().double()) else "others"
    same = torch.equal(whole.layer.weight, resumed.layer.weight)
    print(f"{name}: the first weights are {first}, the last ones {'are the same' if same else 'differ'}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

#!/usr/bin/env bash
# pytorch-lightning 2.6.6, torch 2.15.0
#
# Two trainings from one seed, one with validation and one without. The validation draws nothing: no
# shuffling, no augmentation, an empty step. There are no workers.
#
# Expected: a validation without randomness leaves the training as it is. Both see the same batches in the
# same order.
#
# Seen: from the second epoch on the order differs. Beginning to iterate over any DataLoader draws a seed for
# workers from torch's global generator, also without shuffling and without workers, and the training's
# shuffling reads on in the same generator.
# | epoch 1 in the same order: True
# | epoch 2 in the same order: False

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 pytorch-lightning==2.6.6
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import logging

import pytorch_lightning as pl
import torch

logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.order = []

    def training_step(self, batch, index):
        self.order += [str(int(value)) for value in batch]
        return self.layer(batch).mean()

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


numbers = torch.arange(6.0).view(6, 1)
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
orders = []
for limit in (0, 1.0):
    torch.manual_seed(0)
    model = Model()
    train = torch.utils.data.DataLoader(numbers, batch_size=2, shuffle=True)
    val = torch.utils.data.DataLoader(numbers, batch_size=2, shuffle=False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2, limit_val_batches=limit, num_sanity_val_steps=0, **quiet)
    trainer.fit(model, train, val)
    orders.append(model.order)
print("epoch 1 in the same order:", orders[0][:6] == orders[1][:6])
print("epoch 2 in the same order:", orders[0][6:] == orders[1][6:])
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

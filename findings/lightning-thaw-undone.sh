#!/usr/bin/env bash
# pytorch-lightning 2.6.6, torch 2.15.0
#
# A backbone starts frozen: eval mode and no gradient. A callback thaws it after the first validation, with
# train() and requires_grad_(), once from on_validation_end and once from on_train_epoch_end.
#
# Expected: both thaw it alike. The second epoch trains it in train mode.
#
# Seen: the hook on_validation_end is run before Lightning puts back the modes that it kept when the
# validation began. The thaw is undone by half: the backbone learns but stays in eval mode, its dropout off,
# to the end of the run.
# | thawed in on_validation_end: eval/fixed eval/learns eval/learns
# | thawed in on_train_epoch_end: eval/fixed train/learns train/learns

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
from torch import nn

logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 4), nn.Dropout())
        self.backbone.eval().requires_grad_(False)
        self.head = nn.Linear(4, 1)
        self.seen = []

    def training_step(self, batch, index):
        mode = "train" if self.backbone.training else "eval"
        self.seen.append(f"{mode}/{'learns' if self.backbone[0].weight.requires_grad else 'fixed'}")
        return self.head(self.backbone(batch)).square().mean()

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def thaw(trainer, module):
    if trainer.current_epoch == 0:
        module.backbone.train().requires_grad_(True)


quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
loader = torch.utils.data.DataLoader(torch.ones(2, 2), batch_size=2)
for hook in ("on_validation_end", "on_train_epoch_end"):
    callback = pl.Callback()
    setattr(callback, hook, thaw)
    model = Model()
    trainer = pl.Trainer(accelerator="cpu", max_epochs=3, num_sanity_val_steps=0, callbacks=[callback], **quiet)
    trainer.fit(model, loader, loader)
    print(f"thawed in {hook}: {' '.join(model.seen)}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

#!/usr/bin/env bash
# pytorch-lightning 2.6.6, torch 2.15.0
#
# BaseFinetuning.freeze(backbone, train_bn=False) is Lightning's own way to freeze a backbone whole, batch
# norm included. The head alone is trained on top.
#
# Expected: the frozen backbone is a fixed function. It gives the same features for the same input in training
# and in validation, whatever else is in the batch.
#
# Seen: nothing in it is learned, but in training its batch norm still normalises by the batch it sees:
# freeze() stops the averages (track_running_stats=False) and leaves the module in train mode. The head is
# trained on other features than it is judged on.
# | parameters and buffers unchanged: True
# | training, batch of 2: first picture's features equal validation's: False
# | training, batch of 8: first picture's features equal validation's: False
# | validation, batch of 2: first picture's features equal validation's: True
# | validation, batch of 8: first picture's features equal validation's: True

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
from pytorch_lightning.callbacks import BaseFinetuning
from torch import nn

logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)
torch.manual_seed(0)
pictures = torch.randn(8, 2) * 3 + 5
features = {}


class Freeze(BaseFinetuning):
    def freeze_before_training(self, module):
        self.freeze(module.backbone, train_bn=False)

    def finetune_function(self, module, epoch, optimizer):
        pass


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def training_step(self, batch, index):
        features["training, batch of 8"] = self.backbone(pictures)[0]
        features["training, batch of 2"] = self.backbone(pictures[:2])[0]
        return self.head(self.backbone(batch)).square().mean()

    def validation_step(self, batch, index):
        features["validation, batch of 8"] = self.backbone(pictures)[0]
        features["validation, batch of 2"] = self.backbone(pictures[:2])[0]

    def configure_optimizers(self):
        return torch.optim.SGD(self.head.parameters(), lr=0.01)


model = Model()
before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
loader = torch.utils.data.DataLoader(pictures, batch_size=8)
pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[Freeze()], **quiet).fit(model, loader, loader)
same = all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())
print("parameters and buffers unchanged:", same)
reference = features["validation, batch of 8"]
for name, value in sorted(features.items()):
    print(f"{name}: first picture's features equal validation's: {torch.allclose(value, reference, atol=1e-4)}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

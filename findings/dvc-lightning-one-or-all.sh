#!/usr/bin/env bash
# dvc 3.67.1, pytorch-lightning 2.6.6, torch 2.15.0
#
# A DVC stage trains with Lightning's limit_train_batches, which it has from params.yaml. For Lightning 1 is
# one batch and 1.0 is all of them (here five).
#
# Expected: after params.yaml goes from 1 to 1.0, DVC sees that the parameter changed and runs the stage
# again.
#
# Seen: DVC compares the values as Python does, where 1 == 1.0 == True. It calls the stage up to date and
# leaves the result of the run over one batch.
# | limit 1: steps 1
# | status after 1 -> 1.0: Data and pipelines are up to date.
# | limit 1.0, dvc repro: steps 1
# | limit 1.0, dvc repro --force: steps 5

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 pytorch-lightning==2.6.6 dvc==3.67.1
cd "$work"

export DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$work/site" PATH="$venv/bin:$PATH"
dvc init --quiet --no-scm
dvc config core.check_update false
cat >train.py <<'PY'
import json

import pytorch_lightning as pl
import torch
import yaml


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


with open("params.yaml") as file:
    limit = yaml.safe_load(file)["limit_train_batches"]
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
trainer = pl.Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=limit, **quiet)
trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(10, 2), batch_size=2))
with open("steps.json", "w") as file:
    json.dump(trainer.global_step, file)
PY
cat >dvc.yaml <<'YAML'
stages:
  train:
    cmd: python -W ignore train.py
    deps: [train.py]
    params: [limit_train_batches]
    outs: [steps.json]
YAML
echo 'limit_train_batches: 1' >params.yaml
dvc repro --quiet 2>log || { cat log; exit 1; }
echo "limit 1: steps $(cat steps.json)" >seen
echo 'limit_train_batches: 1.0' >params.yaml
echo "status after 1 -> 1.0: $(dvc status)" >>seen
dvc repro --quiet 2>log || { cat log; exit 1; }
echo "limit 1.0, dvc repro: steps $(cat steps.json)" >>seen
dvc repro --quiet --force 2>log || { cat log; exit 1; }
echo "limit 1.0, dvc repro --force: steps $(cat steps.json)" >>seen

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

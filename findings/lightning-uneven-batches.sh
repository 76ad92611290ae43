#!/usr/bin/env bash
# pytorch-lightning 2.6.6, torch 2.15.0, on the CPU with gloo
#
# A test split of 5 values is shared by 2 and by 3 processes without padding. test_step logs the mean of its batch with
# batch_size=len(batch) and sync_dist=True, as the documentation has it; then the same with batch_size as a float.
#
# Expected: the mean over the 5 values, 3.0, for any number of processes.
#
# Seen: how many values there were is a whole number, of which the mean over processes is taken and its fraction dropped
# (5 / 2 becomes 2, 5 / 3 becomes 1), and the sum is divided by that. Nothing is said. With a float it is right. Where
# the values divide by the processes, as in any padded evaluation, nobody notices.
# | 1 process(es): batch_size whole 3.0, float 3.0
# | 2 process(es): batch_size whole 3.75, float 3.0
# | 3 process(es): batch_size whole 5.0, float 3.0

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 pytorch-lightning==2.6.6
cd "$work"

cat >uneven.py <<'PY'
import logging
import os
import sys
import warnings

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
COUNT = int(sys.argv[1])


class Mean(pl.LightningModule):
    def test_step(self, batch, number):
        for kind in (int, float):
            size = kind(len(batch))
            self.log(kind.__name__, batch.mean(), on_step=False, on_epoch=True, batch_size=size, sync_dist=True)

    def test_dataloader(self):
        values = torch.arange(1.0, 6)[int(os.environ.get("LOCAL_RANK", 0)) :: COUNT]
        return DataLoader(values, batch_size=2)


several = {"strategy": "ddp"} if COUNT > 1 else {}
trainer = pl.Trainer(
    accelerator="cpu", devices=COUNT, logger=False, enable_progress_bar=False, use_distributed_sampler=False, **several
)
(told,) = trainer.test(Mean(), verbose=False)
if trainer.is_global_zero:
    print(f"{COUNT} process(es): batch_size whole {round(told['int'], 4)}, float {round(told['float'], 4)}")
PY
for count in 1 2 3; do
  OMP_NUM_THREADS=1 "$venv/bin/python" uneven.py "$count" 2>/dev/null
done >seen

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

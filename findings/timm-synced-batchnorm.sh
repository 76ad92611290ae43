#!/usr/bin/env bash
# timm 1.0.31, torch 2.15.0, torchvision 0.29.2, on the CPU
#
# A network of timm's is made ready for several processes by torch's own nn.SyncBatchNorm.convert_sync_batchnorm, which
# is also what Lightning's Trainer(sync_batchnorm=True) calls; then the same network by timm.layers.convert_sync_batchnorm.
# Both are looked at in evaluation, where a synchronised layer computes what a plain one does.
#
# Expected: the same outputs as before, as only training looks at other processes.
#
# Seen: timm's batch norm of EfficientNet and its kin (BatchNormAct2d) is a subclass of nn.BatchNorm2d that applies the
# activation, too. torch's conversion puts a plain SyncBatchNorm in its place, so all these activations are gone, without
# a word, and the weights still fit. timm's own conversion keeps them. ResNets, whose activations are layers of their own,
# are not touched.
# | test_efficientnet: torch's conversion changes the outputs, timm's does not
# | test_resnet: torch's conversion does not change the outputs, timm's does not

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 torchvision==0.29.2 timm==1.0.31
cd "$work"

"$venv/bin/python" - >seen 2>/dev/null <<'PY'
import copy

import timm
import torch
from timm.layers import convert_sync_batchnorm

for name in ("test_efficientnet", "test_resnet"):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = model(pictures)
        by_torch = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()(pictures)
        by_timm = convert_sync_batchnorm(copy.deepcopy(model)).eval()(pictures)
    same, own = (torch.allclose(before, after, atol=1e-5) for after in (by_torch, by_timm))
    first = "does not change" if same else "changes"
    print(f"{name}: torch's conversion {first} the outputs, timm's {'does not' if own else 'does'}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

#!/usr/bin/env bash
# timm 1.0.31, torch 2.15.0
#
# A model and its optimizer are made, then timm.utils.freeze() and timm.utils.unfreeze() are called on the
# model, and one step is taken.
#
# Expected: freezing turns gradients off and thawing turns them on again. The optimizer, made over all
# parameters of this very model, trains all of them after the thaw.
#
# Seen: freeze() puts other modules in the place of batch norms, and unfreeze() new batch norms in place of
# these. Their weights are new tensors: they ask for gradients and get them, but the optimizer has the old
# ones, and no step moves them, without a warning.
# | batch norm: 30 parameters, 30 with a gradient, 0 moved
# | other: 17 parameters, 17 with a gradient, 17 moved

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 timm==1.0.31
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import timm
import torch
from timm.utils import freeze, unfreeze

torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=3, zero_init_last=False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
freeze(model)
unfreeze(model)

before = {name: value.detach().clone() for name, value in model.named_parameters()}
model.train()(torch.rand(4, 3, 64, 64)).square().sum().backward()
optimizer.step()

norms = {f"{name}." for name, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
for title, wanted in (("batch norm", True), ("other", False)):
    values = {n: v for n, v in model.named_parameters() if (n.rpartition(".")[0] + "." in norms) == wanted}
    with_gradient = sum(v.requires_grad and bool(v.grad.any()) for v in values.values())
    moved = sum(not torch.equal(v, before[n]) for n, v in values.items())
    print(f"{title}: {len(values)} parameters, {with_gradient} with a gradient, {moved} moved")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

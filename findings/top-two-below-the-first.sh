#!/usr/bin/env bash
# torchmetrics 1.9.0, torch 2.15.0
#
# Accuracy and top-2 accuracy of scenes of the first of eight classes, whose scores are equal, as those of a network that
# has just begun, or of votes, may be.
#
# Expected: what is right at the first guess is among the first two.
#
# Seen: the first guess is argmax's, which takes the first of equal scores; the first two are topk's, which takes any. So
# all are right, and none is right within two guesses.
# | accuracy 1.00, top-2 accuracy 0.00, top-3 accuracy 0.00

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 torchmetrics==1.9.0
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import torch
from torchmetrics.classification import MulticlassAccuracy

scores, truth = torch.full((5, 8), 1 / 8), torch.zeros(5, dtype=torch.long)
first, two, three = (MulticlassAccuracy(8, average="micro", top_k=k)(scores, truth) for k in (1, 2, 3))
print(f"accuracy {first:.2f}, top-2 accuracy {two:.2f}, top-3 accuracy {three:.2f}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

#!/usr/bin/env bash
# torchvision 0.29.2, torch 2.15.0
#
# Two boxes of one class that overlap by an IoU of 0.597, and one of another class, in a picture of 640 px. Those of a
# class that overlap by more than 0.6 are to be suppressed. Only the number of the class changes.
#
# Expected: batched_nms keeps all three whatever the class is called.
#
# Seen: from about a thousand classes on, one of the two is lost. To keep classes apart, every box is moved aside by its
# class number times the largest coordinate, in single precision: at class 1,202 of such a picture, coordinates are
# rounded to a sixteenth of a pixel, at 9,999 to half a pixel. In double precision the answer is the same for all.
# | class 1: 3 kept, in double precision 3
# | class 80: 3 kept, in double precision 3
# | class 1202: 2 kept, in double precision 3
# | class 9999: 2 kept, in double precision 3

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 torchvision==0.29.2
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import torch
from torchvision.ops import batched_nms

boxes = torch.tensor([[50.3, 50.3, 58.3, 58.3], [52.32, 50.3, 60.32, 58.3], [0.0, 0.0, 640.0, 640.0]])
scores = torch.tensor([0.9, 0.8, 0.7])
for number in (1, 80, 1202, 9999):
    labels = torch.tensor([number, number, 0])
    single = batched_nms(boxes, scores, labels, 0.6)
    double = batched_nms(boxes.double(), scores.double(), labels, 0.6)
    print(f"class {number}: {len(single)} kept, in double precision {len(double)}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

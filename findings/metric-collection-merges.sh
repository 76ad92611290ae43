#!/usr/bin/env bash
# torchmetrics 1.9.0, torch 2.15.0
#
# A MetricCollection of two accuracies that differ only in their threshold, fed two batches. The first batch
# is so clear that both thresholds agree on it.
#
# Expected: the collection gives what the two metrics give one by one, and what it gives does not depend on
# the order of the batches.
#
# Seen: after the first batch the collection puts metrics into one group because their counts are equal,
# though their thresholds are not. From then on one is updated for both, without a warning. With the batches
# the other way round, or with compute_groups=False, the figures are right.
# | clear batch first: low 0.50, high 0.50
# | clear batch last: low 1.00, high 0.50
# | compute_groups=False, clear batch first: low 1.00, high 0.50

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
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy

clear = torch.tensor([0.95, 0.05]), torch.tensor([1, 0])
doubtful = torch.tensor([0.6, 0.6, 0.6, 0.1]), torch.tensor([1, 1, 1, 0])


def show(title, batches, **options):
    both = MetricCollection({"low": BinaryAccuracy(threshold=0.5), "high": BinaryAccuracy(threshold=0.8)}, **options)
    for scores, truth in batches:
        both.update(scores, truth)
    values = both.compute()
    print(f"{title}: low {values['low']:.2f}, high {values['high']:.2f}")


show("clear batch first", [clear, doubtful])
show("clear batch last", [doubtful, clear])
show("compute_groups=False, clear batch first", [clear, doubtful], compute_groups=False)
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

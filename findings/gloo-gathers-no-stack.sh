#!/usr/bin/env bash
# torch 2.15.0, two processes on the CPU over gloo
#
# all_gather_into_tensor (all_gather_single, as new code is to call it) into the two forms of output that its documentation
# shows, for tensors of two numbers each: a concatenation, (4,), and a stack, (2, 2).
#
# Expected: both, since neither the documentation nor its list of what a backend can do says otherwise.
#
# Seen: gloo takes the concatenation alone, and raises on the stack. So code that was written beside GPUs fails at its first
# exchange on processors, where its tests run.
# | concatenation: [1.0, 1.0, 2.0, 2.0]
# | stack: RuntimeError

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0
cd "$work"

cat >gather.py <<'PY'
import torch
from torch import distributed

distributed.init_process_group("gloo")
rank = distributed.get_rank()
own = torch.full((2,), rank + 1.0)
for name, shape in (("concatenation", (4,)), ("stack", (2, 2))):
    found = torch.zeros(shape)
    try:
        distributed.all_gather_into_tensor(found, own)
        said = found.tolist()
    except RuntimeError as error:
        said = type(error).__name__
    if rank == 0:
        print(f"{name}: {said}", flush=True)
distributed.destroy_process_group()
PY
GLOO_SOCKET_IFNAME=lo "$venv/bin/python" -m torch.distributed.run --standalone --nproc-per-node=2 gather.py >seen 2>/dev/null

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

#!/usr/bin/env bash
# torch 2.15.0, safetensors 0.8.0
#
# One checkpoint is saved by torch.save under two names, and each file is loaded by torch.load, once by its path and once
# as an open file.
#
# Expected: how a file is read depends on what is in it, so all four loads give the same.
#
# Seen: a path that ends in .safetensors is handed to the library of that name, which cannot read what torch.save wrote
# there a line before. The same bytes as an open file, or under another name, are read.
# | checkpoint.pth: as a path read, as an open file read
# | checkpoint.safetensors: as a path SafetensorError, as an open file read

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0 safetensors==0.8.0 numpy
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import torch


def outcome(source):
    try:
        return "read" if torch.equal(torch.load(source, weights_only=True)["weight"], torch.ones(3)) else "wrong"
    except Exception as error:
        return type(error).__name__


for name in ("checkpoint.pth", "checkpoint.safetensors"):
    torch.save({"weight": torch.ones(3)}, name)
    with open(name, "rb") as file:
        print(f"{name}: as a path {outcome(name)}, as an open file {outcome(file)}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

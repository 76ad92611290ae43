#!/usr/bin/env bash
# torch 2.15.0, on the CPU
#
# torch.save onto a disk that is full (/dev/full), once by its path and once into a file that Python opened; and into a
# file of Python's while somebody presses Ctrl+C, or a handler of SIGTERM raises, between two of its writes.
#
# Expected: OSError with errno 28 (ENOSPC) from a full disk; KeyboardInterrupt from Ctrl+C.
#
# Seen: all three are RuntimeErrors, as the archive is ended on the way out and finds that it counted other bytes. By path
# there is no OSError behind it either, so nobody can tell a full disk from another fault. And an interrupt, which `except
# Exception` is not meant to catch, is caught by it: a program that was told to stop goes on.
# | full disk, by path: RuntimeError, behind it RuntimeError
# | full disk, by file: RuntimeError, behind it OSError
# | interrupted, by file: RuntimeError, behind it KeyboardInterrupt

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" torch==2.15.0
cd "$work"

"$venv/bin/python" - >seen 2>/dev/null <<'PY'
import io

import torch


class Interrupted(io.FileIO):
    """Between its eighth write and the next somebody presses Ctrl+C, once."""

    writes = 0

    def write(self, content):
        self.writes += 1
        written = super().write(content)
        if self.writes == 8:
            raise KeyboardInterrupt
        return written


def raised(name, file):
    try:
        torch.save({"weights": torch.zeros(1_000_000)}, file)
    except BaseException as error:
        behind = error.__cause__ or error.__context__
        print(f"{name}: {type(error).__name__}, behind it {type(behind).__name__ if behind else 'nothing'}")


raised("full disk, by path", "/dev/full")
raised("full disk, by file", open("/dev/full", "wb"))
raised("interrupted, by file", Interrupted("weights.pt", "wb"))
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen

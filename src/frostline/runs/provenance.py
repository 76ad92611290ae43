"""Where a result comes from: the commit, the machine, the versions."""

import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from frostline.parallel import cores

LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "segmentation-models-pytorch")


def commit() -> tuple[str, bool]:
    """The commit of the checkout that the code is in, and whether the code or its configuration differs from it.

    ("unknown", True) where the code lies in no git checkout of its own.
    """
    root = Path(__file__).resolve().parents[3]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root:  # installed inside another project
            return "unknown", True
        sha = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "src", "conf")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return sha, bool(changed)


def machine() -> str:
    """Kind of machine in words, such as `2-core x86_64 CPU, no GPU`; nothing that tells whose it is."""
    import torch

    gpu = "no GPU"
    if torch.cuda.is_available():
        gpu = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    return f"{cores()}-core {platform.machine()} CPU, {gpu}"


def versions(others: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python and of the libraries that decide results. others: that decide this one, too."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*LIBRARIES, *others)}}


def _git(root: Path, *args: str) -> str:
    run = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *args], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()

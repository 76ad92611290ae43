"""A small disk of its own, that can be full: for real, so as root alone."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def small_disk(folder, megabytes):
    """Within, so much and no more can be written into a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "frostline-test", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here, which root may in most places")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk, left):
    """Within, a disk has so few bytes left, as somebody else has written the rest."""
    path = disk / "of-somebody-else"
    with path.open("wb") as file:
        for size in (1 << 20, 1 << 12):
            try:
                while left < (free := room(disk)):
                    os.posix_fallocate(file.fileno(), file.tell(), min(size, free - left))
                    file.seek(0, os.SEEK_END)
            except OSError:  # who else writes here was quicker
                pass
    try:
        yield
    finally:
        path.unlink()


def room(disk):
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize

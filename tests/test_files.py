"""What is said where a disk is full, by a real one: /dev/full takes nothing."""

import errno
import os
import subprocess
import sys

import pytest
import torch

from frostline.errors import FrostlineError
from frostline.files import room_wanted

FULL = "/dev/full"

pytestmark = pytest.mark.skipif(not os.path.exists(FULL), reason=f"no {FULL}")


def write(data):
    with open(FULL, "wb") as file:
        file.write(data)


def save(data):
    with open(FULL, "wb", buffering=0) as file:
        torch.save(data, file)  # raises its own


@pytest.mark.parametrize(("how", "what"), [(write, b"x" * 100_000), (save, {"a": torch.ones(100_000)})])
def test_a_full_disk_is_one_sentence(how, what, tmp_path):
    with pytest.raises(FrostlineError, match=r"\(No space left on device\): make room") as error, room_wanted(tmp_path):
        how(what)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_the_file_is_named_where_it_is_known(tmp_path):
    with pytest.raises(FrostlineError, match="^here could not be written"), room_wanted(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "here")


def test_what_is_no_full_disk_stays_what_it_is(tmp_path):
    for error in (PermissionError(errno.EACCES, "denied"), ValueError("x"), FrostlineError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as found, room_wanted(tmp_path):
            raise error
        assert found.value is error


SAID = """
import sys
from pathlib import Path
from frostline.launch.planned import said_to
with said_to(Path(sys.argv[1])):
    print("lost")
print("seen")
"""


def test_a_log_on_a_full_disk_hides_not_what_comes_after(tmp_path):
    """Catches a sentence that goes where nothing can be written any more."""
    log = tmp_path / "log.txt"
    log.symlink_to(FULL)
    command, env = [sys.executable, "-c", SAID, str(log)], {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["seen"]), done.stderr

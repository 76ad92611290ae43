"""What the environment says to the libraries, before they load."""

import gc
import os
import subprocess
import sys

import pytest

from frostline.environment import importing

SET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "DVC_NO_ANALYTICS")
LOOK = "import sys, os, {0}; print('torch' in sys.modules, *(os.environ.get(name) for name in " + repr(SET) + "))"


@pytest.mark.parametrize("module", ["frostline", "frostline.cli", "frostline.launch.local"])
@pytest.mark.parametrize(
    "given, found",
    [
        ({}, ["passive", "6000"]),
        ({"OMP_WAIT_POLICY": "active"}, ["active", "None"]),  # not one of each: the number would undo the word
        ({"GOMP_SPINCOUNT": "7"}, ["None", "7"]),
    ],
)
def test_it_is_set_before_torch_and_where_the_user_has_not(module, given, found):
    environment = {key: value for key, value in os.environ.items() if key not in SET} | given
    told = subprocess.run(
        [sys.executable, "-c", LOOK.format(module)], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", *found, "true"]


def test_the_module_is_the_command():
    told = subprocess.run([sys.executable, "-m", "frostline", "--help"], capture_output=True, text=True, check=True)
    assert "usage: frostline" in told.stdout


def test_what_is_imported_is_not_searched_for_garbage():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with pytest.raises(ImportError), importing():
            raise ImportError
        assert not gc.isenabled()  # who has switched it off has it off
    finally:
        gc.enable()


def test_what_is_loaded_first_is_left_out_of_later_searches_and_nothing_else():
    """A run that ends while it is left out would keep its memory for as long as the process lives."""
    look = "from frostline.environment import importing; import gc, weakref\n"
    look += "with importing(): import statistics\n"
    look += "first = gc.get_freeze_count()\n"
    look += "class Run: pass\n"
    look += "run = Run(); run.itself = run; seen = weakref.ref(run)\n"
    look += "with importing(): import email.message\n"
    look += "del run; gc.collect(); print(first > 1000, seen() is None)"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True"]

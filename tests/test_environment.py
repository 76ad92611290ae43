"""What the environment says to the libraries, before they load."""

import gc
import os
import subprocess
import sys

import pytest

from frostline.environment import importing

LOOK = (
    "import sys, os, {0}; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'], os.environ['DVC_NO_ANALYTICS'])"
)


@pytest.mark.parametrize("module", ["frostline", "frostline.cli", "frostline.launch.worker"])
@pytest.mark.parametrize("given", [None, "active"])
def test_it_is_set_before_torch_and_where_the_user_has_not(module, given):
    environment = {
        key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "DVC_NO_ANALYTICS")
    }
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    told = subprocess.run(
        [sys.executable, "-c", LOOK.format(module)], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", given or "passive", "true"]


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

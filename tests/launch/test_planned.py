"""A planned run that is finished is handed over, which DVC has done in a process for each."""

import subprocess
import sys

from frostline.config import compose, to_yaml
from frostline.runs.workplace import Workplace

HAND_OVER = """
import sys
from frostline.cli import main
status = main(["train", "--plan", "runs/mine/plan/a.yaml"])
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_finished_run_is_handed_over_without_the_libraries_that_train(here, small, small_meadow):
    """Catches a second or more in each cell of a study, for imports alone."""
    runs = here / "runs" / "mine"
    for folder in ("plan", "data"):
        (runs / folder).mkdir(parents=True)
    (runs / "data" / "meadow").symlink_to(small_meadow.path)
    config = compose(small)
    (runs / "plan" / "a.yaml").write_text(to_yaml(config))
    workplace = Workplace(runs / "work" / "a", config, small_meadow.data_hash)
    workplace.results.mkdir()
    (workplace.results / "result.json").write_text("{}")
    del workplace  # which holds the lock
    done = subprocess.run([sys.executable, "-c", HAND_OVER], capture_output=True, text=True, check=True)
    line, told = done.stdout.splitlines()
    assert line == "a: finished before" and (runs / "results" / "a" / "result.json").is_file()
    status, *modules = told.split()
    assert status == "0" and not {"torch", "hydra", "omegaconf", "mlflow", "pandas", "matplotlib"} & set(modules)

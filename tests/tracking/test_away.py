"""A study that is trained while its tracking server is down: nothing waits or stops, and all of it is there later."""

import json
import os
import subprocess
import sys
import time

import pytest
from helpers.store import free_port, serving

from frostline.studies.plan import write_plan
from frostline.studies.study import read_study

pytestmark = pytest.mark.slow

EPOCHS = 3
STUDY = f"""
grid: {{seed: [0, 1]}}
overrides:
  [dataset.source.train=20, dataset.source.val=10, dataset.source.test=10, dataset.source.size=32, image_size=32,
   backbone=lenet5, schedule=full, trainer.threads=1, trainer.accelerator=cpu, trainer.epochs={EPOCHS},
   trainer.batch_size=8]
"""


@pytest.fixture
def study(here):
    (here / "mine").mkdir()
    (here / "mine" / "study.yaml").write_text(STUDY)
    study = read_study(here / "mine")
    write_plan(study)
    return study


def said(*command, **env):
    """What a command says that works."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    command = [sys.executable, "-m", "frostline", *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def held(address):
    """Of each run of the study that the server has: status and histories."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    (experiment,) = client.search_experiments(filter_string="name = 'mine'")
    runs = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {
        run.info.run_name: (
            run.info.status,
            {
                key: [(point.step, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
                if not key.startswith("system/")
            },
            {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)},
        )
        for run in runs
    }


def test_a_server_that_is_down_for_the_whole_study_costs_nothing(study, here):
    """Trained ahead and one by one as DVC has it, with the server down; then it is started, and has all of it once."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = {"MLFLOW_TRACKING_URI": address}
    said("prepare", "--study", "mine")
    told = said("train", "--study", "mine", **env)
    lines = [line for line in told.splitlines() if "takes nothing" in line]
    # Once when it is missed and once when what is left is left to `sync`, for both runs of the study.
    assert len(lines) == 2 and f"{address} cannot be reached" in lines[0] and "unset MLFLOW_TRACKING_URI" in lines[0]
    assert "goes on" in lines[0] and "`frostline sync mine` sends" in lines[0] and "`frostline sync mine`" in lines[1]
    plans = sorted((study.runs / "plan").glob("*.yaml"))
    assert "finished before" in said("train", "--plan", str(plans[0]), **env)  # as DVC takes it over
    (study.runs / "work" / plans[1].stem).rename(here / "aside")
    told = said("train", "--plan", str(plans[1]), **env)  # as DVC has it trained
    assert told.count("takes nothing") == 2 and "Traceback" not in told
    (here / "server").mkdir()
    with serving(here / "server", port=port):
        assert "2 runs sent; 0 were there" in said("sync", "mine", **env)
        first = held(address)
        assert "0 runs sent; 2 were there" in said("sync", "mine", **env)
        assert held(address) == first and len(first) == 2
    for name, (status, histories, files) in first.items():
        folder = study.runs / "results" / name
        journal = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
        assert status == "FINISHED" and files == {path.name: path.stat().st_size for path in folder.iterdir()}
        assert histories["images_seen"] == [(line["epoch"], round(line["time"] * 1000)) for line in journal]
        assert all(
            [step for step, _ in points] == ([EPOCHS] if key.startswith("test/") else list(range(EPOCHS)))
            for key, points in histories.items()
        )


def test_one_that_comes_back_during_a_run_has_it_without_sync(here, study):
    port = free_port()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    said("prepare", "--study", "mine")
    (plan, _) = sorted((study.runs / "plan").glob("*.yaml"))
    plan.write_text(plan.read_text().replace(f"epochs: {EPOCHS}", "epochs: 600"))
    journal = study.runs / "work" / plan.stem / "epochs.jsonl"
    (here / "server").mkdir()
    command = [sys.executable, "-m", "frostline", "train", "--plan", str(plan)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 120
            while not (journal.exists() and journal.read_text()):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            with serving(here / "server", port=port) as (_, address):
                assert process.poll() is None, "it was through before there was a server"
                _, error = process.communicate(timeout=300)
                assert process.returncode == 0, error
                ((status, histories, _),) = held(address).values()
        finally:
            process.kill()
    assert error.count("takes nothing") == 1 and status == "FINISHED"
    assert [step for step, _ in histories["images_seen"]] == list(range(600))

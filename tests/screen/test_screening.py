import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import pytest

from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.screen import memory, recipe, screening
from frostline.screen.candidates import chosen
from frostline.screen.screening import Asked, screen

SMALL = ["dataset.source.train=20", "dataset.source.val=10", "dataset.source.test=10", "image_size=64"]
SMALL += ["dataset.source.size=64", "trainer.batch_size=8", "tracking=none"]


@pytest.fixture
def worked(here, monkeypatch):
    """Backbones are looked at in this process; gives the parcels that were worked on."""
    seen = []

    class Here:
        def __init__(self, configs, work, most):
            self.work = work

        def submit(self, parcel):
            seen.append(parcel)
            future = Future()
            try:
                future.set_result(self.work(parcel))
            except FrostlineError as error:
                future.set_exception(error)
            return future

        def close(self):
            pass

        stop = close

    monkeypatch.setattr(screening, "WarmProcesses", Here)
    return seen


def asked(*overrides, tasks=("classification",), backbones=("efficientnet_lite0",), seeds=2):
    return Asked(tasks, backbones, [*SMALL, *overrides], seeds, "frostline screen")


def test_what_is_done_is_answered_and_one_more_seed_trains_that_alone(worked, here):
    first = screen(asked("trainer.epochs=2"))
    assert first.trained == 2 and [row.name for row in first.looked["classification"]] == ["efficientnet_lite0"]
    (row,) = first.looked["classification"]
    assert set(row.values) == {0, 1} and row.ms > 0 and row.memory > 50 and "logme" in row.estimates
    again = screen(asked("trainer.epochs=2"))
    assert again.trained == 0 and len(worked) == 1 and again.looked["classification"][0].values == row.values
    more = screen(asked("trainer.epochs=2", seeds=3))
    assert more.trained == 1 and [cell.seed for cell in worked[1].cells] == [2]
    assert {seed: more.looked["classification"][0].values[seed] for seed in (0, 1)} == row.values
    # Of other settings they lie side by side.
    assert screen(asked("trainer.epochs=3")).trained == 2 and screen(asked("trainer.epochs=2")).trained == 0


def test_a_later_run_reads_what_a_screen_kept(worked, here, capsys):
    screen(asked("trainer.epochs=2", seeds=1))
    run = [*SMALL, "schedule=frozen", "augment.views=2", "trainer.threads=1", "trainer.epochs=2", "seed=5"]
    assert main(["train", *run]) == 0
    (journal,) = (here / "runs/default/results").glob("*/epochs.jsonl")
    assert [json.loads(line)["cache_filled"] for line in journal.read_text().splitlines()] == [0, 0]


def test_what_cannot_be_looked_at_is_named_in_its_row_and_the_others_go_on(worked, here, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(here / "nothing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # as in a process that begins with it
    found = screen(
        asked("trainer.epochs=1", tasks=("segmentation",), seeds=1,
              backbones=("resnet18", "alexnet", "efficientnet_lite0", "timm:test_vit"))
    )  # fmt: skip
    assert [row.name for row in found.looked["segmentation"]] == ["efficientnet_lite0"]
    refused = found.refused["segmentation"]
    assert "no weights here" in refused["resnet18"] and "no weights here" in refused["alexnet"]
    assert "not in the local cache" in refused["timm:test_vit"]
    # What it was refused for is kept, until something is fetched.
    screen(asked("trainer.epochs=1", tasks=("segmentation",), seeds=1, backbones=("timm:test_vit",)))
    count = len(worked)
    (here / "nothing/hub/models--timm--test_vit").mkdir(parents=True)
    screen(asked("trainer.epochs=1", tasks=("segmentation",), seeds=1, backbones=("timm:test_vit",)))
    assert len(worked) == count + 1 == 3


def test_sizes_and_maps_that_do_not_fit_are_named(worked):
    found = screen(asked("trainer.epochs=1", tasks=("classification", "detection"), backbones=("lenet5", "small_cnn")))
    assert not found.looked["detection"] and not found.trained
    assert "takes pictures of 28 or 32 px" in found.refused["classification"]["lenet5"]
    assert "small_cnn has maps at [8]" in found.refused["detection"]["small_cnn"]
    assert "nothing below its head can be kept" in found.refused["classification"]["small_cnn"]


def test_a_network_too_large_for_the_memory_is_named_and_tried_again(worked, monkeypatch):
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(memory, "available", lambda: 20_000_000)
        found = screen(asked("trainer.epochs=1", seeds=1))
    told = found.refused["classification"]["efficientnet_lite0"]
    assert told.startswith("too large for the memory: its weights take 0.0 GB") and not found.looked["classification"]
    assert screen(asked("trainer.epochs=1", seeds=1)).trained == 1  # once there is enough


def test_what_nobody_expected_is_told_and_tried_again(worked, monkeypatch):
    from frostline.screen import work

    def broken(*_):
        raise RuntimeError("a layer of a stranger")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(work, "build_backbone", broken)
        found = screen(asked("trainer.epochs=1", seeds=1))
    assert "a layer of a stranger" in found.refused["classification"]["efficientnet_lite0"]
    assert screen(asked("trainer.epochs=1", seeds=1)).trained == 1


def test_another_backbone_is_what_hydra_makes_of_it(here):
    config = recipe.base("detection", SMALL)
    for name in ("resnet18", "vit_small", "efficientnet_lite0_scratch"):
        (one,), _ = chosen([name])
        composed = compose([*recipe.COMMON, "task=detection", *recipe.TASKS["detection"], *SMALL, f"backbone={name}"])
        assert recipe.with_backbone(config, one.node, 3) == composed | {"seed": 3, "study": "screen/meadow"}
    (one,), _ = chosen(["timm:resnet26"])
    composed = compose(
        [
            *recipe.COMMON,
            "task=detection",
            *recipe.TASKS["detection"],
            *SMALL,
            "backbone=timm",
            "backbone.name=resnet26",
        ]
    )
    assert recipe.with_backbone(config, one.node, 0)["backbone"] == composed["backbone"]


def test_without_names_those_whose_weights_are_here_are_looked_at(here, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(here / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    names = lambda: [one.name for one in chosen(None)[0]]  # noqa: E731
    assert names() == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
    (here / "hf/hub/models--timm--resnet18.a1_in1k/snapshots/abc/").mkdir(parents=True)
    (here / "hf/hub/models--timm--resnet18.a1_in1k/snapshots/abc/model.safetensors").touch()
    (here / "torch/hub/checkpoints").mkdir(parents=True)
    (here / "torch/hub/checkpoints/googlenet-1378be20.pth").touch()
    assert {"resnet18", "googlenet"} < set(names()) and "alexnet" in chosen(None)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=poetry"], "poetry is no task"),
        (["schedule=thaw"], "heads alone trained"),
        (["backbone.weights=x"], "heads alone trained"),
        (["augment.views=null"], "nothing could be kept"),
        (["trainer.devices=2"], "trainer.devices is 2"),
        (["trainer.precision=64-true"], "trainer.precision is 64-true, and a probe has no doubles"),
        (["trainer.compile=true"], "a probe compiles nothing"),
        (["backbones=[resnet19]"], "names like it"),
        (["backbones=[]"], "names none"),
        (["--budget", "1h"], "give --study NAME, too"),
        (["--study", "x", "--until", "verdict"], "needs a --budget"),
        (["--seeds", "0"], "--seeds is 0"),
        (["trainer.epoch=3"], "did you mean 'trainer.epochs'"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(words, told, here, capsys):
    assert main(["screen", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("frostline: ") and told in error and error.count("\n") == 1


def test_the_command_prints_draws_tells_the_tracker_and_writes_a_study(worked, here, capsys, monkeypatch):
    tracked = [one for one in SMALL if one != "tracking=none"]
    command = ["screen", *tracked, "trainer.epochs=1", "backbones=[efficientnet_lite0,efficientnet_lite1]"]
    command += ["--seeds", "2", "--study", "mine"]
    monkeypatch.setattr("frostline.screen.study.Estimator", lambda: lambda config: 10.0)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "efficientnet_lite1" in said and "may win" in said and "experiments/mine/study.yaml" in said
    folder = here / "runs/screen/meadow"
    rows = list(csv.DictReader((folder / "screen.csv").open()))
    assert [row["backbone"] for row in rows] and {row["primary"] for row in rows} == {"accuracy"}
    assert (folder / "screen.png").stat().st_size > 10_000
    told = json.loads((folder / "screen.json").read_text())
    assert set(told["seeds"]["classification"]["efficientnet_lite0"]) == {"0", "1"}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{here}/runs/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("screen/meadow")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    assert all("test/accuracy" in run.data.metrics and run.data.params["schedule"] == "frozen" for run in runs)
    # The second time nothing is trained, drawn or told.
    before, count = (folder / "screen.png").stat().st_mtime_ns, len(worked)
    assert main(command) == 0 and len(worked) == count
    assert (folder / "screen.png").stat().st_mtime_ns == before
    assert "left as it is" in capsys.readouterr().out


@pytest.mark.slow  # processes of their own, each of which loads torch
def test_killed_by_force_it_goes_on(here):
    overrides = [*SMALL, "trainer.epochs=4", "backbones=[efficientnet_lite0,efficientnet_lite1]"]
    command = [sys.executable, "-m", "frostline", "screen", *overrides, "--seeds", "6"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    results = here / "runs/screen/meadow/results"
    since = time.monotonic()
    while not list(results.glob("*/result.json")) and time.monotonic() - since < 200:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    assert 0 < len(done) < 12
    subprocess.run(command, check=True, capture_output=True)
    assert len(list(results.glob("*/result.json"))) == 12 and not list(results.parent.glob(".probe-*"))
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())


def test_a_study_of_whole_training_says_how_far_the_order_agrees(worked, here, capsys):
    study = here / "experiments/s"
    study.mkdir(parents=True)
    grid = "{task: [localization], backbone: [efficientnet_lite0, efficientnet_lite1], schedule: [thaw], seed: [0, 1]}"
    # How long the study trains, and which of its heads, is no matter of the screen's.
    overrides = json.dumps([*SMALL, "trainer.epochs=50", "head=pooled_box"])
    (study / "study.yaml").write_text(f"grid: {grid}\noverrides: {overrides}\n")
    assert main(["screen", "--against", str(study), "--seeds", "1"]) == 2
    assert "run the study" in capsys.readouterr().err and not worked
    trained = [("efficientnet_lite0", 0, 0.7), ("efficientnet_lite0", 1, 0.8), ("efficientnet_lite1", 0, 0.6)]
    lines = [f"localization,{name},thaw,{seed},iou,{value}" for name, seed, value in trained]
    (study / "results.csv").write_text("\n".join(["task,backbone,schedule,seed,primary,test_iou", *lines]) + "\n")
    assert main(["screen", "--against", str(study), "--seeds", "1"]) == 0
    assert "Kendall's tau" in capsys.readouterr().out and len(worked) == 2
    (cell,) = worked[0].cells
    assert cell.config["head"]["name"] == "box" and cell.config["trainer"]["epochs"] == 20
    found = json.loads((study / "agreement.json").read_text())
    assert found["schedule"] == "thaw" and abs(found["by"]["probe"]["tau"]) == 1 and "logme" in found["by"]
    values = json.loads((here / "runs/screen/meadow/screen.json").read_text())["seeds"]["localization"]
    first = values["efficientnet_lite0"]["0"] > values["efficientnet_lite1"]["0"]
    assert found["by"]["probe"]["tau"] == (1 if first else -1)

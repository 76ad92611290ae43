"""The command with several processes: the same figures and weights, whoever starts them, and whatever ends them."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers.store import free_port
from helpers.warm import warm
from safetensors.torch import load_file

from frostline.runs.together import _meeting_place

__all__ = ["warm"]

TASKS = ("classification", "localization", "detection", "segmentation")
# No set divides by the processes; the test split has fewer batches than there are processes.
SIZES = {"train": 46, "val": 27, "test": 21, "size": 64}
CASES = [
    *((task, "thaw", 2, 3, ()) for task in TASKS),
    *((task, "gradual", 7, 2, ()) for task in TASKS),
    ("classification", "full", 1, 2, ("backbone.name=test_resnet", "trainer.accumulate_grad_batches=1")),
    ("detection", "full", 1, 3, ("head=ssdlite",)),  # which has batch norms of its own
    ("detection", "full", 1, 3, ("head=retinanet", "task.class_weights=balanced")),
    ("segmentation", "full", 1, 3, ("task.losses.focal=2", "task.class_weights=balanced")),
]


# With every parameter spread over the processes. Its blocks are called by timm's own forward pass in the second last,
# and what lies below the line is read from the cache in all that have a fixed number of views.
SPREAD = [
    *((task, schedule, epochs, 2, ()) for task in TASKS for schedule, epochs in (("thaw", 2), ("gradual", 7))),
    ("classification", "thaw", 2, 3, ("augment.views=2",)),
    ("classification", "bitfit", 2, 2, ("backbone.name=test_vit",)),
    ("detection", "full", 1, 3, ("head=yolo", "backbone.name=test_resnet")),
]
EPOCHS = 30  # of a run that is killed five times, and is not to end before: some take a third of a second


def overrides(task, schedule, epochs, devices, more=(), engine="ddp"):
    # In double precision, where the order of a sum cannot be taken for a wrong gradient, which Adam enlarges.
    return [
        f"task={task}",
        *(f"dataset.source.{key}={value}" for key, value in SIZES.items()),
        *("backbone=timm", "backbone.name=test_efficientnet", "backbone.pretrained=false", "image_size=64"),
        *(f"schedule={schedule}", f"trainer.epochs={epochs}", "trainer.batch_size=10", f"trainer.devices={devices}"),
        *("trainer=cpu" if devices == 1 else f"trainer={engine}", "trainer.accelerator=cpu", "trainer.threads=1"),
        *("trainer.precision=64-true", "augment=light", "tracking=none", *more),
    ]


def train(arguments, folder, *starter, env=None, **options):
    told = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **(env or {})}
    command = [*(starter or (sys.executable, "-m", "frostline")), "train", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=told, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )


def train_at_once(warm, arguments, folder, devices):
    """The same to its end, by processes that need not import anything, each begun as torchrun does."""
    world = {"WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    log = folder / "log"
    pids = [
        warm.begin(
            *("train", *arguments),
            **{"folder": folder, "log": log},
            **({**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} if devices > 1 else {}),
        )
        for rank in range(devices)
    ]
    assert [warm.ended(pid, 300) for pid in pids] == [0] * devices, log.read_text()[-3000:]


def done(process, status=0, within=300):
    try:
        said, _ = process.communicate(timeout=within)
    finally:
        process.kill()
    assert process.returncode == status, said[-3000:]
    return said


def found(folder, study="default"):
    (results,) = (folder / "runs" / study / "results").iterdir()
    result = json.loads((results / "result.json").read_text())
    epochs = [json.loads(line) for line in (results / "epochs.jsonl").read_text().splitlines()]
    return result, epochs, load_file(results / "model.safetensors")


def furthest(one, other):
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "task", "schedule", "epochs", "devices", "more"),
    [*(("ddp", *case) for case in CASES), *(("fsdp", *case) for case in SPREAD)],
)
def test_several_processes_find_what_one_finds(warm, engine, task, schedule, epochs, devices, more, tmp_path):
    """At every boundary of the schedule, with shares of unequal size, dropout and augmentation as they are."""
    for count in (1, devices):
        (tmp_path / str(count)).mkdir()
        train_at_once(warm, overrides(task, schedule, epochs, count, more, engine), tmp_path / str(count), count)
    (one, journal, weights), (other, journal_of_all, weights_of_all) = (
        found(tmp_path / str(count)) for count in (1, devices)
    )
    assert other["metrics"] == pytest.approx(one["metrics"], abs=1e-6)
    assert other["best_epoch"] == one["best_epoch"] and other["images_seen"] == one["images_seen"]
    assert furthest(weights, weights_of_all) < 1e-5
    for line, line_of_all in zip(journal, journal_of_all, strict=True):
        same = line.keys() - {"time", "train_seconds", "cache_filled"}
        assert {key: line_of_all[key] for key in same} == pytest.approx({key: line[key] for key in same}, abs=1e-5)
    assert all(value.isfinite().all() for value in weights.values() if value.is_floating_point())


def test_steps_of_slurm_meet_each_at_a_port_of_its_own(monkeypatch):
    # Catches two runs on one machine that train as one: of two jobs, of two steps of one job, and by an exported port.
    monkeypatch.setenv("MASTER_PORT", "15001")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "1")
    places = {_meeting_place(job, step)["MASTER_PORT"] for job in ("41", "42", "43") for step in ("0", "1", "2")}
    assert len(places) == 9 and "15001" not in places
    assert _meeting_place("41", "0") == _meeting_place("41", "0")


@pytest.mark.slow
def test_statistics_of_ones_own_share_are_another_training(tmp_path):
    # So that the setting does something, and what the others found is not luck.
    for name, more in (("shared", ()), ("own", ("trainer.sync_batchnorm=false",))):
        (tmp_path / name).mkdir()
        done(train(overrides("classification", "full", 1, 2, more), tmp_path / name))
    shared, own = found(tmp_path / "shared"), found(tmp_path / "own")
    assert furthest(shared[2], own[2]) > 1e-3


@pytest.mark.slow
def test_torchrun_starts_it_as_well_and_an_allocation_of_somebody_else_changes_nothing(tmp_path):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "frostline")
    ways = {
        "itself": ((), None, 2),
        "torchrun": (torchrun, None, 2),
        "alone": ((), None, 1),
        "inside": ((), {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}, 1),
    }
    weights = {}
    for name, (starter, env, devices) in ways.items():
        (tmp_path / name).mkdir()
        said = done(train(overrides("classification", "thaw", 2, devices), tmp_path / name, *starter, env=env))
        assert said.count("epoch 2 of 2") == 1, said  # one of them speaks
        weights[name] = found(tmp_path / name)[2]
    assert furthest(weights["itself"], weights["torchrun"]) == furthest(weights["alone"], weights["inside"]) == 0


def ranks_of(starter):
    """Numbers of the processes that a process has begun."""
    told = subprocess.run(["pgrep", "-P", str(starter)], capture_output=True, text=True).stdout
    return [int(line) for line in told.split()]


AGAIN = """
import os, signal, torch
from torch import distributed
from frostline.ranks import member
from frostline.runs.together import joined

with joined(member(2), "cpu"):
    distributed.all_reduce(torch.ones(1))
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == str(distributed.get_rank()):
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.all_reduce(torch.ones(1))
    print("met", flush=True)
"""


def test_processes_that_torchrun_starts_again_meet(tmp_path):
    # The trap: torchrun's store still has the addresses of those that were killed. Here each of both is, once.
    (tmp_path / "again.py").write_text(AGAIN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    process = subprocess.Popen(
        [*torchrun, "again.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = done(process, within=120)
    assert said.count("exitcode: -9") == 2 and said.count("met\n") == 2, said[-3000:]


def ends_an_epoch(process, folder):
    """Wait until a run has ended one more epoch than it has now."""
    journal = None
    before = time.monotonic()
    while journal is None and time.monotonic() - before < 120 and process.poll() is None:
        journal = next(folder.glob("runs/default/work/*/epochs.jsonl"), None)
        time.sleep(0.05)
    assert journal is not None and process.poll() is None, process.communicate()[0][-2000:]
    begun = len(journal.read_text().splitlines())
    while len(journal.read_text().splitlines()) <= begun and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.slow
def test_torchrun_starts_a_killed_run_again_and_it_goes_on_to_the_same_weights(tmp_path):
    # The traps: processes that call the dead, as torchrun's store still has their addresses; a place of work that seems
    # taken; a run that begins anew; two of one rank.
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=3")
    arguments, chance = overrides("classification", "gradual", EPOCHS, 2), random.Random()
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    done(train(arguments, tmp_path / "whole"))
    process = train(arguments, tmp_path / "killed", *torchrun, "-m", "frostline")
    for rank in (0, 1):
        ends_an_epoch(process, tmp_path / "killed")
        time.sleep(chance.uniform(0, 0.5))
        os.kill(ranks_of(process.pid)[rank], signal.SIGKILL)
    said = done(process)
    (one, _, weights), (other, epochs_of_other, weights_of_other) = (
        found(tmp_path / "whole"),
        found(tmp_path / "killed"),
    )
    assert said.count("exitcode: -9") == 2, said[-3000:]
    assert "going on after epoch" in said  # once at least: the first kill may come before an epoch is kept
    assert one["metrics"] == other["metrics"] and [line["epoch"] for line in epochs_of_other] == list(range(EPOCHS))
    assert all(torch.equal(weights[name], weights_of_other[name]) for name in weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "epochs", "ways"),
    [("ddp", EPOCHS, ("rank", "rank", "starter", "told", "told")), ("fsdp", 12, ("rank", "told"))],
)
def test_whatever_is_killed_the_same_command_goes_on_to_the_same_weights(engine, epochs, ways, tmp_path):
    # A rank killed, the one that started them killed, and told to stop: at random moments of the training.
    arguments, chance = overrides("classification", "gradual", epochs, 2, engine=engine), random.Random(0)
    (tmp_path / "whole").mkdir()
    done(train(arguments, tmp_path / "whole"))
    folder = tmp_path / "killed"
    folder.mkdir()
    for how in ways:
        process = train(arguments, folder, start_new_session=True)
        ends_an_epoch(process, folder)
        time.sleep(chance.uniform(0, 0.5))
        ranks = ranks_of(process.pid)
        assert len(ranks) == 2 or process.poll() is not None
        if how == "rank":
            os.kill(chance.choice(ranks), signal.SIGKILL)
            assert "killed by signal 9" in done(process, 2)
        elif how == "starter":
            process.kill()
            process.communicate()
        else:
            process.terminate()
            assert "told to stop" in done(process, 143)
        gone_by = time.monotonic() + 60
        while any(os.path.exists(f"/proc/{rank}") for rank in ranks):  # nobody is left to train behind one's back
            assert time.monotonic() < gone_by
            time.sleep(0.1)
    done(train(arguments, folder))
    (one, _, weights), (other, epochs_of_other, weights_of_other) = found(tmp_path / "whole"), found(folder)
    assert one["metrics"] == other["metrics"] and [line["epoch"] for line in epochs_of_other] == list(range(epochs))
    assert all(torch.equal(weights[name], weights_of_other[name]) for name in weights)

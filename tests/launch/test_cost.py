"""What a study will cost. A clock of the test's own makes estimates exact: each timed step is one second a batch."""

import pytest
import torch
from PIL import Image

from frostline.config import compose
from frostline.launch import local
from frostline.launch.cost import PROCESS_SECONDS, RUN_SECONDS, Estimator, repro_seconds, scenes_of

SMALL = ["dataset.source.train=20", "dataset.source.val=10", "dataset.source.test=6", "image_size=32"]
SMALL += ["trainer.epochs=4", "trainer.batch_size=2", "trainer.threads=1", "trainer.accelerator=cpu"]


def run(*overrides):
    return compose([*SMALL, *overrides])


class Clock:
    """Says that a step takes a second; runs it once, and remembers with how many threads."""

    def __init__(self):
        self.threads = []

    def __call__(self, step, device):
        step()
        self.threads.append(torch.get_num_threads())
        return 1.0


def scenes(seconds):
    """How many scenes a run's steps were paid for."""
    return round((seconds - RUN_SECONDS) * 2)


def test_every_scene_of_every_epoch_is_paid_for_where_nothing_is_kept():
    estimate = Estimator(Clock())
    assert scenes(estimate(run("schedule=full"))) == 4 * (20 + 10) + 6
    assert scenes(estimate(run("schedule=frozen", "cache.enabled=false"))) == 4 * (20 + 10) + 6


def test_what_comes_again_is_filled_once_and_shared_by_seeds_and_schedules():
    estimate = Estimator(Clock())
    frozen = ["schedule=frozen", "augment.views=2"]
    whole = 4 * (20 + 10) + 6
    # Both views of train, and val, are computed once below the line; in each epoch only what lies above is.
    assert scenes(estimate(run(*frozen))) == whole + 2 * 20 + 10
    assert scenes(estimate(run(*frozen, "seed=1"))) == whole
    assert scenes(estimate(run("schedule=bitfit", "augment.views=2"))) == whole  # nothing lies below
    assert scenes(estimate(run(*frozen, "trainer.epochs=6"))) == 6 * (20 + 10) + 6  # the same views
    assert scenes(estimate(run("schedule=frozen", "augment.views=3"))) == whole + 3 * 20 - 2 * 20  # one more


def test_new_views_in_each_epoch_are_not_kept_but_validation_is():
    assert scenes(Estimator(Clock())(run("schedule=frozen"))) == 4 * (20 + 10) + 6 + 10


def test_a_backbone_from_scratch_is_each_runs_own():
    estimate = Estimator(Clock())
    frozen = ["schedule=frozen", "augment.views=1", "backbone.pretrained=false"]
    first, second = (scenes(estimate(run(*frozen, f"seed={seed}"))) for seed in (0, 1))
    assert first == second == 4 * (20 + 10) + 6 + 20 + 10


def test_a_step_of_another_engine_is_timed_by_itself():
    clock = Clock()
    estimate = Estimator(clock)
    counts = []
    for engine in ("torch", "onnxruntime", "torch"):
        estimate(run("schedule=frozen", f"trainer.below={engine}"))
        counts.append(len(clock.threads))
    assert counts[1] == 2 * counts[0] and counts[2] == counts[1]


def test_a_run_is_timed_with_the_threads_that_it_will_have():
    clock, before = Clock(), torch.get_num_threads()
    estimate = Estimator(clock)
    for threads in (1, 2):
        estimate(run("schedule=full", f"trainer.threads={threads}"))
    # What was timed with one thread is not taken for two; each step is timed once.
    assert clock.threads == [1] * 2 + [2] * 2 and torch.get_num_threads() == before


def test_a_run_is_timed_in_its_precision():
    seen = []

    def watching(step, device):
        hook = torch.nn.modules.module.register_module_forward_hook(
            lambda m, i, o: seen.append(getattr(o, "dtype", None))
        )
        step()
        hook.remove()
        return 1.0

    Estimator(watching)(run("schedule=full", "trainer.precision=bf16-mixed"))
    assert torch.bfloat16 in seen
    seen.clear()
    Estimator(watching)(run("schedule=full"))
    assert torch.bfloat16 not in seen


@pytest.mark.parametrize("task", ["classification", "localization", "detection", "segmentation"])
def test_a_run_of_every_task_can_be_estimated(task):
    assert Estimator()(run(f"task={task}", "schedule=thaw", "augment.views=1", "trainer.epochs=2")) > RUN_SECONDS


def test_an_estimate_is_of_windows_where_training_sees_windows():
    sides = []

    def clock(step, device):
        handle = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, inputs: sides.append(inputs[0].shape[-1]) if isinstance(inputs[0], torch.Tensor) else None
        )
        step()
        handle.remove()
        return 1.0

    Estimator(clock)(run("task=segmentation", "augment=crops", "augment.side=32", "image_size=64", "schedule=full"))
    assert {32, 64} <= set(sides)


def test_the_scenes_of_a_split_are_those_that_the_source_puts_there(tmp_path):
    """Catches an estimate that takes all scenes for those of training."""
    for split, count in (("train", 5), ("val", 3), ("test", 2)):
        for number in range(count):
            (tmp_path / split / "a").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / "a" / f"{number}.png")
    dataset = compose(["dataset=folder", f"dataset.root={tmp_path}", "dataset.split.given=true"])["dataset"]
    assert scenes_of(dataset, {"label"}) == {"train": 5, "val": 3, "test": 2}
    shares = {"train": 0.5, "val": 0.3, "test": 0.2, "given": False}
    assert scenes_of(dataset | {"split": shares}, {"label"}) == {"train": 5, "val": 3, "test": 2}


def test_scenes_that_do_not_serve_the_task_are_not_counted(tmp_path):
    rows = ["path,label,x0,y0,x1,y1,box_label,split"]
    for split in ("train", "val", "test"):
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / f"{split}{number}.png")
            box = "1,1,5,5,x" if number else ",,,,"  # one of four has none
            rows.append(f"{split}{number}.png,a,{box},{split}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    dataset = compose(["dataset=csv", f"dataset.root={tmp_path}", "dataset.split.given=true"])["dataset"]
    assert scenes_of(dataset, {"label"}) == {"train": 4, "val": 4, "test": 4}
    assert scenes_of(dataset, {"boxes"}) == {"train": 3, "val": 3, "test": 3}


def test_the_estimate_of_a_study_is_of_runs_trained_side_by_side(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: 2)
    one, both = ({"trainer": {"threads": threads, "accelerator": "cpu"}} for threads in (1, 2))
    # 5 | 3 and then 4 where 3 has ended: 7
    assert repro_seconds([5, 3, 4], [one] * 3) == PROCESS_SECONDS + 7
    assert repro_seconds([5, 3, 4], [both] * 3) == PROCESS_SECONDS + 12
    assert repro_seconds([], []) == 0


def test_what_lies_on_the_way_to_a_line_is_computed_once():
    phases = "schedule.phases=[{line: head, until: {epochs: 2}}, {line: stage3}]"
    whole = 4 * (20 + 10) + 6
    estimate = Estimator(Clock())
    assert scenes(estimate(run(phases, "augment.views=2"))) == whole + 2 * 20 + 10
    assert scenes(estimate(run(phases, "augment.views=2", "seed=1"))) == whole
    # Where another run has computed what lies below the head, what lies on the way is still to be computed.
    estimate = Estimator(Clock())
    estimate(run("schedule=frozen", "augment.views=2"))
    assert scenes(estimate(run(phases, "augment.views=2"))) == whole + 2 * 20 + 10

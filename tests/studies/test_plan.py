from types import SimpleNamespace

import pytest

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.studies.plan import compose_runs, read_study, stale, write_plan

STUDY = """
question: which?
expected: >-
  the second,
  by far
grid:
  task: [classification, detection]
  schedule: [frozen, full]
  seed: [0, 1]
overrides: [image_size=64]
overrides_for:
  task=detection: [trainer.epochs=7]
"""


@pytest.fixture
def study(tmp_path, monkeypatch, conf_here):
    folder = tmp_path / "experiments" / "mine"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    return read_study(folder)


@pytest.fixture
def conf_here(tmp_path, monkeypatch):
    """A working directory with a copy of conf/ that a test may edit."""
    import shutil

    from frostline.config import conf_dir

    shutil.copytree(conf_dir(), tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


def test_a_study_says_what_was_asked_and_expected(study, tmp_path):
    assert (study.question, study.expected) == ("which?", "the second, by far")
    (tmp_path / "study.yaml").write_text("question:\ngrid: {seed: [0]}")
    bare = read_study(tmp_path)
    assert (bare.question, bare.expected) == ("", "")


def test_the_grid_is_multiplied_out_under_dvcs_names(study):
    runs = compose_runs(study)
    assert len(runs) == 8 and "detection-full-1" in runs
    run = runs["detection-full-1"]
    assert (run["task"]["name"], run["schedule"]["name"], run["seed"], run["study"]) == ("detection", "full", 1, "mine")
    assert run["image_size"] == 64 and run["trainer"]["epochs"] == 7
    assert runs["classification-full-1"]["trainer"]["epochs"] != 7


def test_a_plan_is_written_whole_and_says_the_same_twice(study):
    write_plan(study)
    plan = study.runs / "plan"
    first = {path.name: path.read_bytes() for path in plan.rglob("*.yaml")}
    assert len(first) == 8 + 1
    write_plan(study)
    assert first == {path.name: path.read_bytes() for path in plan.rglob("*.yaml")}


def test_editing_conf_makes_exactly_the_runs_stale_that_it_changes(study, conf_here):
    def finish_all():
        for name in write_plan(study):
            done = study.runs / "results" / name
            done.mkdir(parents=True, exist_ok=True)
            (done / "result.json").write_text("{}")
            (done / "config.yaml").write_bytes((study.runs / "plan" / f"{name}.yaml").read_bytes())

    assert set(stale(study, compose_runs(study)).values()) == {"never trained"}
    finish_all()
    assert stale(study, compose_runs(study)) == {}
    head = conf_here / "head" / "dense.yaml"
    head.write_text(head.read_text().replace("depth: 2", "depth: 3"))
    assert set(stale(study, compose_runs(study))) == {n for n in compose_runs(study) if n.startswith("detection")}
    finish_all()
    full = conf_here / "schedule" / "full.yaml"
    full.write_text("# a comment changes nothing\n" + full.read_text())
    assert stale(study, compose_runs(study)) == {}
    full.write_text(full.read_text().replace("scale: 0.5", "scale: 0.25"))
    assert set(stale(study, compose_runs(study))) == {n for n in compose_runs(study) if "-full-" in n}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid: {task: []}", "'grid' must map each axis to a list"),
        ("question: x", "'grid' must map"),
        ("grids: {seed: [0]}", "unknown key 'grids'"),
        ("- a", "is not a mapping"),
        ("grid: [", "cannot be read"),
        ("grid: {seed: [0]}\noverrides_for: {seed=1: [image_size=64]}", "'seed=1', which the grid does not have"),
        ("grid: {seed: [0, 0]}", "two runs would be called '0'"),
        ("grid: {task: [nope]}", "run nope: 'nope' is no task"),
        ("grid: {seed: [0]}\noverrides: [imagesize=3]", "no configuration key 'imagesize'"),
    ],
)
def test_a_faulty_study_is_refused(tmp_path, text, words):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(FrostlineError, match=words):
        compose_runs(read_study(tmp_path))


def test_two_datasets_of_one_name_are_refused(tmp_path, conf_here):
    (tmp_path / "study.yaml").write_text("grid: {dataset.source.seed: [0, 1]}")
    with pytest.raises(FrostlineError, match="two different datasets are called 'meadow'"):
        write_plan(read_study(tmp_path))


def test_runs_that_no_comparison_could_tell_apart_are_refused_before_they_train(tmp_path, conf_here):
    (tmp_path / "study.yaml").write_text("grid: {rate: [cosine, constant]}")
    with pytest.raises(FrostlineError, match="the runs cosine and constant have the same .* and seed"):
        write_plan(read_study(tmp_path))


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(FrostlineError, match="nowhere/study.yaml cannot be read"):
        read_study(tmp_path / "nowhere")


def test_a_run_is_timed_with_the_threads_that_it_will_have(monkeypatch):
    import torch

    from frostline.launch.cost import START_SECONDS, Estimator

    used = []

    class Fake:
        """Two epochs with two frost lines."""

        schedule = SimpleNamespace(epochs=2)
        device = torch.device("cpu")

        def move_line(self, epoch):
            return {"stem": None if epoch == 0 else 1.0, "head": 1.0}

        def __call__(self, image):
            used.append(torch.get_num_threads())
            return image.float().requires_grad_()

        def outputs(self, batch):
            return self(batch["image"])

        def eval(self):
            pass

        def postprocess(self, outputs):
            pass

        def criterion(self, outputs, batch):
            return {"loss": outputs.sum()}

    monkeypatch.setattr("frostline.runs.train.build_task", lambda *_: Fake())
    before = torch.get_num_threads()
    small = ["image_size=32", "trainer.batch_size=2", "trainer.accelerator=cpu"]
    estimate = Estimator()
    for threads in (1, 2):
        assert estimate(compose([*small, f"trainer.threads={threads}"])) > START_SECONDS
    # three steps for each frost line and for evaluation; what was timed with one thread is not taken for two
    assert used == [1] * 9 + [2] * 9
    assert torch.get_num_threads() == before


def test_the_scenes_of_a_split_are_those_that_the_source_puts_there(tmp_path):
    """Catches an estimate that takes all scenes for those of training."""
    from PIL import Image

    from frostline.launch.cost import scenes_of

    for split, count in (("train", 5), ("val", 3), ("test", 2)):
        for number in range(count):
            (tmp_path / split / "a").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / "a" / f"{number}.png")
    dataset = compose(["dataset=folder", f"dataset.root={tmp_path}", "dataset.split.given=true"])["dataset"]
    assert scenes_of(dataset) == {"train": 5, "val": 3, "test": 2}
    shares = {"train": 0.5, "val": 0.3, "test": 0.2, "given": False}
    assert scenes_of(dataset | {"split": shares}) == {"train": 5, "val": 3, "test": 2}


def test_an_estimate_is_of_windows_where_training_sees_windows():
    from frostline.launch.cost import Estimator

    crops = ["task=segmentation", "augment=crops", "augment.side=32", "image_size=160", "trainer.batch_size=2"]
    estimate = Estimator()
    estimate(compose([*crops, "trainer.epochs=1", "trainer.threads=1", "schedule=full"]))
    assert sorted(key[-2] for key in estimate._seconds if key[-1] != "evaluated") == [32]


@pytest.mark.parametrize("task", ["classification", "localization", "detection", "segmentation"])
def test_a_run_of_every_task_can_be_estimated(task):
    from frostline.launch.cost import START_SECONDS, Estimator

    small = ["image_size=32", "trainer.epochs=2", "trainer.batch_size=2", "trainer.threads=1", "schedule=thaw"]
    assert Estimator()(compose([f"task={task}", *small])) > START_SECONDS


def test_the_estimate_of_a_study_is_of_runs_trained_side_by_side(monkeypatch):
    from frostline.launch import local as ahead
    from frostline.launch.cost import repro_seconds

    monkeypatch.setattr(ahead, "cores", lambda: 2)
    one, both = ({"trainer": {"threads": threads, "accelerator": "cpu"}} for threads in (1, 2))
    # 5 | 3 and then 4 where 3 has ended: 7
    assert repro_seconds([5, 3, 4], [one] * 3) == 7
    assert repro_seconds([5, 3, 4], [both] * 3) == 12
    assert repro_seconds([5], [one]) == 5
    assert repro_seconds([], []) == 0


def test_a_study_has_no_part_in_the_pipeline_of_one_whose_name_ends_alike(tmp_path, monkeypatch, conf_here):
    # `start` is not `quickstart`, whose stages stand in the dvc.yaml of the root.
    folder = tmp_path / "experiments" / "start"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    (tmp_path / "dvc.yaml").write_text("vars: [experiments/quickstart/study.yaml]")
    monkeypatch.setattr("frostline.studies.plan.subprocess.run", None)
    study = read_study(folder)
    assert set(stale(study, compose_runs(study)).values()) == {"never trained"}


def test_a_value_that_would_lead_a_runs_files_elsewhere_is_refused(tmp_path, conf_here):
    folder = tmp_path / "experiments" / "mine"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(f"grid: {{dataset.root: [{tmp_path}/pictures], seed: [0]}}")
    with pytest.raises(FrostlineError, match=r"no value of the grid has a /: let the axis be one of names"):
        compose_runs(read_study(folder))

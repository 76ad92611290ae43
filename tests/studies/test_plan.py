import pytest

from frostline.config import read
from frostline.errors import FrostlineError
from frostline.studies.plan import code_of, compose_runs, write_plan
from frostline.studies.stale import stale
from frostline.studies.study import read_study

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


def finish_all(study):
    """Results of every planned run, as if it had been trained."""
    for plan in (study.runs / "plan").glob("*.yaml"):
        done = study.runs / "results" / plan.stem
        done.mkdir(parents=True, exist_ok=True)
        (done / "result.json").write_text("{}")
        (done / "config.yaml").write_bytes(plan.read_bytes())


def test_editing_conf_makes_exactly_the_runs_stale_that_it_changes(study, conf_here):
    write_plan(study)
    runs = compose_runs(study)
    assert stale(study, runs) == dict.fromkeys(runs, "never trained")
    finish_all(study)
    assert stale(study, runs) == {}
    head, full = conf_here / "head" / "dense.yaml", conf_here / "schedule" / "full.yaml"
    full.write_text("# a comment changes nothing\n" + full.read_text())
    head.write_text(head.read_text().replace("depth: 2", "depth: 3"))
    changed = stale(study, compose_runs(study))
    assert changed == {name: "configuration changed" for name in runs if name.startswith("detection")}
    write_plan(study)
    finish_all(study)
    full.write_text(full.read_text().replace("scale: 0.5", "scale: 0.25"))
    assert set(stale(study, compose_runs(study))) == {name for name in runs if "-full-" in name}


def test_code_that_decides_makes_runs_stale_and_says_so(study):
    write_plan(study)
    finish_all(study)
    runs = compose_runs(study)
    told = study.runs / "plan" / "code" / "train.txt"
    assert told.read_text() == code_of("train") and stale(study, runs) == {}
    told.write_text("another state\n")
    assert stale(study, runs) == dict.fromkeys(runs, "code changed")


def test_a_misspelt_axis_is_told_with_its_line(study):
    # The trap: its pipeline does not fit it any more either, and who writes that anew has the mistake in two files.
    text = STUDY.replace("  schedule: [", "  sceduel: [")
    (study.folder / "study.yaml").write_text(text)
    (study.folder / "dvc.yaml").write_text("stages: {}\n")
    words = r"study.yaml, line 8, run .*no configuration key 'sceduel' \(did you mean 'schedule'\?\)"
    with pytest.raises(FrostlineError, match=words):
        compose_runs(read_study(study.folder))


def test_two_datasets_of_one_name_are_refused(tmp_path, conf_here):
    (tmp_path / "study.yaml").write_text("grid: {dataset.source.seed: [0, 1]}")
    with pytest.raises(FrostlineError, match="two different datasets are called 'meadow'"):
        write_plan(read_study(tmp_path))


def test_any_key_of_the_configuration_can_be_an_axis(tmp_path, conf_here):
    (tmp_path / "study.yaml").write_text(
        "grid: {rate: [cosine, constant], trainer.epochs: [2, 3], augment.views: [null, 4], seed: [0, 1]}"
    )
    study = read_study(tmp_path)
    runs = compose_runs(study)
    assert len(runs) == 16
    run = runs["constant-3-null-1"]
    assert (run["rate"]["name"], run["trainer"]["epochs"], run["augment"]["views"]) == ("constant", 3, None)
    assert run["arm"] == {"rate": "constant", "epochs": "3", "views": "null"}
    assert study.axes == {"rate": ["cosine", "constant"], "epochs": ["2", "3"], "views": ["null", "4"]}


def test_a_plan_tells_the_arm_of_each_run_and_a_study_of_seeds_none(study, tmp_path):
    write_plan(study)
    arms = {path.stem: read(path)["arm"] for path in (study.runs / "plan").glob("*.yaml")}
    assert arms["detection-full-0"] == arms["detection-full-1"] == {"task": "detection", "schedule": "full"}
    (tmp_path / "study.yaml").write_text("grid: {seed: [0, 1]}")
    assert all("arm" not in config for config in compose_runs(read_study(tmp_path)).values())


def test_a_study_has_no_part_in_the_pipeline_of_one_whose_name_ends_alike(tmp_path, monkeypatch, conf_here):
    # `start` is not `quickstart`, whose stages stand in the dvc.yaml of the root.
    folder = tmp_path / "experiments" / "start"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    (tmp_path / "dvc.yaml").write_text("vars: [experiments/quickstart/study.yaml]")
    monkeypatch.setattr("frostline.studies.stale.subprocess.run", None)
    study = read_study(folder)
    assert set(stale(study, compose_runs(study)).values()) == {"never trained"}

import json
import re

import pytest
import torch
from helpers.cases import case

from frostline.cli import main
from frostline.config import conf_dir
from frostline.runs.workplace import identity, prepared
from frostline.scenes.layout import FORMAT
from frostline.studies.plan import compose_runs
from frostline.studies.stale import finished_ahead
from frostline.studies.study import read_study


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["plan"],
        ["prepare"],
        ["preview"],
        ["train"],
        ["compare"],
        ["schedule"],
        ["schedule", "show"],
        ["models"],
        ["lecture"],
        ["screen"],
        ["cache"],
    ],
)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "usage: frostline" in text
    if command == ["train"]:
        assert "schedule=frozen|thaw|full" in text and "backbone.name=resnet18" in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "trainer.epoch=3"], "did you mean 'trainer.epochs'"),
        (["train", "dataset=/pictures"], "pictures of your own are dataset.root=/pictures"),
        (["train", "dataset=folder", "dataset.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["train", "--plan", "runs/none/plan/a.yaml"], "run `frostline plan`"),
        (["train", "--plan", "a.yaml", "seed=1"], "Give one of"),
        (["prepare", "--study", "experiments/none"], "experiments/none/study.yaml cannot be read"),
        (["plan", "experiments/none"], "cannot be read"),
        (["compare", "experiments/none"], "cannot be read"),
        (["preview", "--out", "sheet.gif"], "--out sheet.gif: the contact sheet is a .png file"),
        (["preview", "--out", "nowhere/sheet.png"], "there is no folder nowhere"),
        (["preview", "--views", "0"], "--views is 0"),
        (["schedule", "show", "fast"], "'fast' is no schedule; choose one of bitfit, discriminative"),
        (["schedule", "show", "thaw", "--out", "thaw.gif"], "a .png or a .svg"),
        (["schedule", "show", "surgical", "schedule.group=neck"], "'neck' is no group of this model"),
        (["schedule", "show", "thaw", "trainer.epochs=1"], "every phase needs an epoch"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("frostline: ") and words in error and error.count("\n") == 1
    assert "Traceback" not in error


def test_what_lies_above_the_working_folder_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text("grid: {seed: [0]}")
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    (tmp_path / "conf" / "dataset" / "ours.yaml").write_text("name: ours")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    for command in (["compare", "experiments/mine"], ["study", "check"], ["train", "dataset=ours"]):
        assert main(command) == 2
        assert f"({tmp_path} has one: run the command there)" in capsys.readouterr().err


def test_show_prints_the_configuration(capsys):
    assert main(["train", "--show", "task=detection", "seed=5"]) == 0
    text = capsys.readouterr().out
    assert "seed: 5" in text and "name: dense" in text


@pytest.mark.parametrize(
    "order",
    [
        ["--show", "task=detection", "seed=5"],
        ["task=detection", "--show", "seed=5"],
        ["task=detection", "seed=5", "--show"],
    ],
)
def test_options_and_overrides_stand_in_any_order(order, capsys):
    assert main(["train", *order]) == 0
    text = capsys.readouterr().out
    assert "seed: 5" in text and "name: dense" in text
    with pytest.raises(SystemExit):
        main(["train", *order, "--nope"])
    assert "unrecognized arguments: --nope" in capsys.readouterr().err


def test_a_study_without_a_plan_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text("grid: {seed: [0]}")
    assert main(["train", "--study", "experiments/mine"]) == 2
    assert "run `frostline plan experiments/mine` first" in capsys.readouterr().err
    assert main(["prepare", "--study", "experiments/mine"]) == 2
    assert "run `frostline plan experiments/mine` first" in capsys.readouterr().err


def test_dry_run_names_every_run_and_its_cost(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    study = "question: q\ngrid: {task: [classification], schedule: [frozen, full]}\noverrides: [image_size=32]"
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text(study)
    assert main(["plan", "experiments/mine", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "classification-frozen" in text and "never trained" in text and "2 of 2 runs to train" in text
    assert not (tmp_path / "runs").exists()


def test_a_plan_names_the_weights_that_are_to_be_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    study = "grid: {backbone: [efficientnet_lite0, resnet18, small_cnn], seed: [0, 1]}"
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text(study)
    assert main(["plan", "experiments/mine"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.endswith("takes a network: resnet18 (from timm/resnet18.a1_in1k).")
    weights = tmp_path / "hub/models--timm--resnet18.a1_in1k/snapshots/abc"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").touch()
    assert main(["plan", "mine"]) == 0  # by its name, too
    assert "6 runs planned" in capsys.readouterr().out.splitlines()[-1]
    # The trap: of two runs of one backbone, the last one, which wants none, stands for both.
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    study = "grid: {backbone: [resnet18], backbone.pretrained: [true, false]}"
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text(study)
    assert main(["plan", "mine"]) == 0
    assert "a network: resnet18 (from" in capsys.readouterr().out


def test_a_dry_run_knows_what_is_trained_and_not_yet_taken_over(tmp_path, monkeypatch, capsys):
    # Catches hours that are told for runs which `dvc repro` only takes over, and another dataset's that it trains.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text("grid: {seed: [0]}")
    ((name, config),) = compose_runs(read_study(tmp_path / "experiments/mine")).items()
    work, data = tmp_path / "runs/mine/work" / name, tmp_path / "runs/mine/data" / prepared(config)
    for folder in (work / "results", data):
        folder.mkdir(parents=True)
    (work / "results/result.json").write_text("{}")
    (work / "identity").write_text(identity(config, "abc"))
    (data / "dataset.json").write_text(json.dumps({"format": FORMAT, "data_hash": "abc"}))
    assert main(["plan", "experiments/mine", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "trained: `dvc repro` takes it over" in text and "0 of 1 runs to train" in text
    (data / "dataset.json").write_text(json.dumps({"format": FORMAT, "data_hash": "def"}))
    assert finished_ahead(read_study(tmp_path / "experiments/mine"), {name: config}) == set()


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("grid: {head: [linear, yolo]}", "run yolo: head=yolo gives boxes, and task=classification reads scores"),
        ("grid: {trainer.epochs: [1, 9]}\noverrides: [schedule=thaw]", "run 1: .* every phase needs an epoch"),
        ("grid: {dataset.source.size: [64, 96]}", "two different datasets are called 'meadow'"),
        ("grid: {trainer.epochs: [ten]}", "trainer.epochs is 'ten'; it is a whole number"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_dry_run_refuses_what_plan_refuses(dry, study, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "mine").mkdir(parents=True)
    (tmp_path / "experiments" / "mine" / "study.yaml").write_text(study)
    assert main(["plan", "experiments/mine", *dry]) == 2
    assert re.search(words, capsys.readouterr().err) and not (tmp_path / "runs").exists()


def test_every_schedule_is_listed_with_its_origin(capsys):
    assert main(["schedule", "list"]) == 0
    text = capsys.readouterr().out
    names = sorted(path.stem for path in (conf_dir() / "schedule").glob("*.yaml"))
    assert len(names) == 10 and all(name in text for name in names) and "1801.06146" in text


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_schedule_is_shown_and_drawn(suffix, begins, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    picture = tmp_path / f"gradual.{suffix}"
    assert main(["schedule", "show", "gradual", "trainer.epochs=8", "--out", str(picture)]) == 0
    text = capsys.readouterr().out
    # Phases with groups, counts and shares; rates by epoch, with a dot where a group is frozen.
    assert "stem to stage5" in text and "6,405" in text and "0.2%" in text and "100.0%" in text
    stem = next(line for line in text.splitlines() if "stem " in line and "928" in line)
    assert stem.count(" . ") >= 5 and "e-" in stem
    assert picture.read_bytes().startswith(begins) and picture.stat().st_size > 5000


def test_what_a_pattern_matched_can_be_printed(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["schedule", "show", "bitfit", "--parameters"]) == 0
    lines = capsys.readouterr().out.splitlines()
    norms, weights = ([line for line in lines if f"/{kind}/backbone" in line] for kind in ("norm", "weight"))
    assert norms and weights
    assert all("frozen" not in line for line in norms) and all("frozen" in line for line in weights)


def test_the_cache_is_shown_and_cleared(tmp_path, monkeypatch, capsys):
    from frostline.store.rows import Store

    monkeypatch.chdir(tmp_path)
    entry = Store(tmp_path / "kept", 10**9).open({"activation": "stage3", "split": "val", "view": 0}, 4)
    with entry.filling():
        entry.write([0, 1], torch.ones(2, 3))
    entry.close()
    assert main(["cache", "show", "cache.folder=kept"]) == 0
    text = capsys.readouterr().out
    assert "stage3" in text and "2 of 4" in text
    assert main(["cache", "clear", "cache.folder=kept"]) == 0
    assert "1 entries removed from kept" in capsys.readouterr().out
    assert main(["cache", "show", "cache.folder=kept"]) == 0
    assert "stage3" not in capsys.readouterr().out


def test_who_interrupts_a_command_reads_one_line(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("frostline.cli.plan.run", interrupted)
    assert main(["plan"]) == 130
    assert capsys.readouterr().err == "\nfrostline: interrupted; the same command goes on from what there is.\n"


@pytest.mark.parametrize("name", ["März", "flowers (1)", "日本語 データ", "{x}"])
def test_a_folder_of_any_name_is_opened_as_it_is_typed(name, tmp_path, capsys):
    root = case("paths", tmp_path)
    assert main(["doctor", "dataset=folder", f"dataset.root={root / name}"]) == 0
    assert "16 scenes" in capsys.readouterr().out


def test_prepare_takes_a_path_as_the_doctor_does(tmp_path, monkeypatch, capsys, folders):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", str(folders)]) == 0
    said = []
    for words in ([str(folders)], [f"dataset.root={folders}"], ["dataset.split.seed=0", str(folders)]):
        assert main(["prepare", *words]) == 0
        told = capsys.readouterr()
        said.append(told.out.splitlines()[-1])
        counts = re.search(r"20 scenes: (\d+) train, (\d+) val, (\d+) test\.$", told.err.splitlines()[-1])
        assert counts and sum(map(int, counts.groups())) == 20
    assert len(set(said)) == 1 and (tmp_path / said[0] / "dataset.json").is_file()

import pytest

from frostline.cli import main


@pytest.mark.parametrize("command", [[], ["plan"], ["prepare"], ["train"], ["compare"]])
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
        (["train", "dataset=folder", "dataset.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["train", "--plan", "runs/none/plan/a.yaml"], "run `frostline plan`"),
        (["train", "--plan", "a.yaml", "seed=1"], "Give one of"),
        (["prepare", "--study", "experiments/none"], "experiments/none/study.yaml cannot be read"),
        (["plan", "experiments/none"], "cannot be read"),
        (["compare", "experiments/none"], "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("frostline: ") and words in error and error.count("\n") == 1
    assert "Traceback" not in error


def test_show_prints_the_configuration(capsys):
    assert main(["train", "--show", "task=detection", "seed=5"]) == 0
    text = capsys.readouterr().out
    assert "seed: 5" in text and "name: dense" in text


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

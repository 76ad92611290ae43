"""A run that begins with a file of one's own weights: known by the file's content, refused before anything is done."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save, save_file

import frostline
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.models.lenet import LeNet5
from frostline.models.small_cnn import SmallCnn
from frostline.runs.build import build_backbone
from frostline.runs.network import read_run
from frostline.runs.preflight import check_beforehand
from frostline.runs.result import RunResult
from frostline.runs.workplace import identity
from frostline.studies.pipeline import difference, new_study, write_pipeline
from frostline.studies.plan import compose_runs, write_plan
from frostline.studies.study import read_study

SMALL_CNN = ["backbone=small_cnn", "backbone.weights=mine.safetensors", "tracking=none"]


@pytest.fixture
def mine(here) -> dict[str, torch.Tensor]:
    """Weights of a small_cnn, saved in the working directory."""
    torch.manual_seed(5)
    state = SmallCnn().state_dict()
    save_file(state, "mine.safetensors")
    return state


def test_a_run_begins_with_them_and_says_so(mine, train_small, capsys):
    result, folder = train_small(*SMALL_CNN, "schedule=frozen", "trainer.epochs=1")
    trained = load_file(folder / "model.safetensors")
    assert all(torch.equal(trained[f"backbone.{name}"], tensor) for name, tensor in mine.items())
    digest = sha256(Path("mine.safetensors").read_bytes()).hexdigest()
    told = "18 of 18 tensors filled, 100 % of the parameters of its stages; not used of the file: nothing; "
    told += "not in the file, so random: nothing"
    assert result.weights == {"file": "mine.safetensors", "sha256": digest, "told": told}
    assert RunResult.read(folder / "result.json") == result
    assert capsys.readouterr().out.count(f"run: backbone.weights=mine.safetensors: {told}\n") == 1
    assert yaml.safe_load((folder / "config.yaml").read_text())["backbone"]["weights_sha256"] == digest
    Path("mine.safetensors").unlink()  # a trained run has all in its own folder
    assert torch.equal(
        read_run(folder)[1].model.state_dict()["backbone.stages.stem.0.weight"], mine["stages.stem.0.weight"]
    )


def test_they_take_the_place_of_pretrained_ones(here, monkeypatch):
    """Catches a network half of one, half of the other, and a fetch of what is not used."""
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *a, **k: pytest.fail("fetches weights"))
    config = compose(["backbone=mobilenetv3_small", "backbone.pretrained=false"])
    torch.manual_seed(1)
    state = build_backbone(config).state_dict()
    save_file(state, "mine.safetensors")
    filled = build_backbone(compose(["backbone=mobilenetv3_small", "backbone.weights=mine.safetensors"]))
    assert all(map(torch.equal, filled.state_dict().values(), state.values()))
    assert filled.weights == "mine.safetensors"


def test_the_same_path_with_other_content_is_another_run(mine, small):
    before = compose([*small, *SMALL_CNN])
    assert before == compose([*small, *SMALL_CNN])
    Path("mine.safetensors").write_bytes(save({name: tensor + 1 for name, tensor in mine.items()}))  # in its place
    after = compose([*small, *SMALL_CNN])
    assert identity(before, "data") != identity(after, "data")
    assert {key for key in before["backbone"] if before["backbone"][key] != after["backbone"][key]} == {
        "weights_sha256"
    }
    with pytest.raises(FrostlineError, match="mine.safetensors has changed since this run was planned: run `frost"):
        check_beforehand(before)
    check_beforehand(after)


def test_none_is_the_default_and_can_be_written():
    for overrides in ([], ["backbone.weights=null"], ["backbone=lenet5", "image_size=32"]):
        backbone = compose(overrides)["backbone"]
        assert backbone["weights"] is None and "weights_sha256" not in backbone
    with pytest.raises(FrostlineError, match="no configuration key 'backbone.weights_sha256'"):
        compose(["backbone.weights_sha256=0"])


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (lambda path: None, "mine.safetensors cannot be read"),
        (lambda path: path.write_bytes(b"no weights"), "is no checkpoint of torch's"),
        (lambda path: save_file(LeNet5().state_dict(), path), "of another architecture than small_cnn"),
        (lambda path: torch.save({"state_dict": SmallCnn()}, path), r"more than tensors \(frostline.models.small_cnn"),
    ],
)
def test_what_cannot_be_used_is_told_before_pictures_are_prepared(here, save, words):
    save(here / "mine.safetensors")
    with pytest.raises(FrostlineError, match=f"^backbone.weights: .*{words}") as error:
        frostline.train(*SMALL_CNN)
    assert not (here / "runs").exists() and "\n" not in str(error.value)


def test_a_study_is_planned_anew_where_they_have_changed(mine, monkeypatch):
    """Catches a pipeline that does not know the file, and a cell that is not stale for another content of it."""
    Path("my weights").mkdir()
    Path("mine.safetensors").rename("my weights/mine.safetensors")
    study = new_study("mine")
    file, text = study.folder / "study.yaml", (study.folder / "study.yaml").read_text()
    text = text.replace(
        "backbone: [efficientnet_lite0]",
        "backbone: [small_cnn]\n  backbone.weights: [null, my weights/mine.safetensors]",
    )
    file.write_text(text)
    study = read_study(study.folder)
    assert "my weights/mine.safetensors" in difference(study)
    pipeline = yaml.safe_load(write_pipeline(study).read_text())
    assert pipeline["stages"]["plan"]["deps"][-1] == "my weights/mine.safetensors"
    names = write_plan(study)
    assert len(names) == 18 and "classification-small_cnn-my_weights_mine.safetensors-full-1" in names
    before = compose_runs(study)
    save_file({name: tensor + 1 for name, tensor in mine.items()}, "my weights/mine.safetensors")
    after = compose_runs(study)
    changed = [name for name in names if before[name] != after[name]]
    assert len(changed) == 9 and all("my_weights" in name for name in changed)
    Path("my weights/mine.safetensors").unlink()
    with pytest.raises(FrostlineError, match=r"study.yaml, line \d+, run classification-small_cnn-my.*cannot be read"):
        compose_runs(study)

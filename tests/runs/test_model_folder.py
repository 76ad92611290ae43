"""The folder of a model: what a run says, without the run."""

import json
from pathlib import Path

import numpy as np
import pytest

from frostline.errors import FrostlineError
from frostline.runs.load import load
from frostline.runs.network import write_model

OLD = Path(__file__).with_name("old_run")  # trained by an earlier version
PICTURES = [OLD / "one.png", OLD / "two.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mine"
    write_model(OLD / "detection", folder)
    return folder


def test_it_says_what_the_run_says(folder):
    """Catches names, sizes, thresholds or a letterbox that stay behind with the configuration."""
    assert {path.name for path in folder.iterdir()} == {"model.json", "weights.safetensors"}
    run, model = load(OLD / "detection"), load(folder)
    assert model.info == run.info
    for one, other in zip(run.predict(PICTURES), model.predict(PICTURES), strict=True):
        assert one.to_json() == other.to_json() and len(one.scores)


def told(change):
    def break_it(folder):
        path = folder / "model.json"
        held = json.loads(path.read_text())
        change(held)
        path.write_text(json.dumps(held))

    return break_it


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (told(lambda held: held.update(format=99)), "has the format 99, and this version of Frostline reads 1"),
        (told(lambda held: held.pop("format")), "no description of a model"),
        (told(lambda held: held.update(classes=[])), "names no classes"),
        (told(lambda held: held.pop("classes")), "lacks 'classes'"),
        (told(lambda held: held.update(task="driving")), "of the task 'driving'"),
        (told(lambda held: held["preprocessing"].update(fit="twist")), "fit is 'twist'"),
        (told(lambda held: held["network"].pop("head")), "does not tell the head"),
        (told(lambda held: held["network"]["head"].update(_target_="os.system")), "no part of Frostline"),
        (told(lambda held: held["classes"].append("more")), "does not fit"),
        (lambda folder: (folder / "model.json").write_text("[]"), "no description of a model"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"cut"), "cannot be read"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.json").unlink(), "no finished run and no model"),
    ],
)
def test_what_is_not_whole_is_told_in_one_sentence(tmp_path, break_it, words):
    folder = tmp_path / "mine"
    write_model(OLD / "detection", folder)
    break_it(folder)
    with pytest.raises(FrostlineError, match=words) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(FrostlineError, match="is there and is no model"):
        write_model(OLD / "detection", tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_only_a_model_is_replaced(tmp_path):
    """Catches notes, or another's card, that are gone once a model is written anew."""
    folder = tmp_path / "mine"
    write_model(OLD / "detection", folder)
    write_model(OLD / "localization", folder, lambda info: f"# {info.name}")
    assert load(folder).info.task == "localization" and (folder / "README.md").is_file()
    (folder / "notes.txt").write_text("years")
    with pytest.raises(FrostlineError, match="holds notes.txt beside the model that would be replaced"):
        write_model(OLD / "detection", folder)
    assert load(folder).info.task == "localization" and [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_stream_names_what_is_no_picture_and_goes_on():
    """Catches one bad picture that ends all, and predictions that move up into its place."""
    model = load(OLD / "localization")
    alone = [model.predict([picture])[0].box for picture in PICTURES]
    found = list(model.stream([PICTURES[0], b"", PICTURES[1], __file__], batch_size=3))
    assert [isinstance(one, FrostlineError) for one in found] == [False, True, False, True]
    assert np.allclose(found[0].box, alone[0], atol=1e-3) and np.allclose(found[2].box, alone[1], atol=1e-3)
    assert "The picture at index 1 is empty" in str(found[1])

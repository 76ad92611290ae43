"""A model measured on a dataset: the figures of its run on what that was tested on, and something honest elsewhere."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.drawn import Listed, drawn_scenes, noise
from helpers.models import untrained
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.pictures.masks import read_mask
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.alone import prepared
from frostline.runs.evaluate import evaluate, write_evaluation
from frostline.runs.load import load
from frostline.runs.network import BUILT, TorchEngine, bare, write_model
from frostline.runs.tested import read_rows
from frostline.scenes.needs import class_names
from frostline.scenes.scene import SPLITS, Classes

OLD = Path(__file__).with_name("old_run")
SMALL_CNN = ["backbone=small_cnn"]
TASKS = {
    "classification": SMALL_CNN,
    "localization": ["head=pooled_box", *SMALL_CNN],
    "detection": ["head=fully_convolutional", *SMALL_CNN, "task.max_boxes=20"],
    "segmentation": [],
}


@pytest.mark.parametrize(
    ("task", "overrides"),
    [
        ("classification", ["fit=letterbox", "trainer.batch_size=3", "trainer.precision=auto"]),
        ("localization", []),
        ("detection", []),
        ("segmentation", ["fit=letterbox", "task.window=32", "task.class_weights=balanced"]),
    ],
)
def test_on_its_own_test_split_it_gives_its_runs_figures_to_the_last_digit(train_small, small_meadow, task, overrides):
    """Catches another batch size, fit, window, weighing of the loss, rule of boxes, or precision than in the run."""
    quick = ["schedule=frozen", "trainer.epochs=1", "tracking=none"]
    result, folder = train_small(*quick, f"task={task}", *TASKS[task], *overrides)
    write_model(folder, folder.with_name("model"))
    for place in (folder, folder.with_name("model")):
        evaluation = evaluate(load(place), small_meadow)
        assert dict(evaluation.metrics) == dict(result.metrics)
        assert evaluation.tested.by_class == result.by_class and evaluation.tested.confusion == result.confusion
        assert not evaluation.lacking and not evaluation.absent and not evaluation.untold
    write_evaluation(evaluation, folder.with_name("evaluated"))
    again = read_rows(folder.with_name("evaluated") / "pictures.parquet")
    assert again.equals(read_rows(folder / "pictures.parquet"))


def model_of(task, dataset, *overrides):
    """An untrained model of that dataset's classes."""
    size = 64 if task in ("detection", "segmentation") else 32
    config = compose([f"task={task}", *TASKS[task], f"image_size={size}", *overrides])
    network = {group: config[group] for group in BUILT}
    torch.manual_seed(0)
    needs = {"classification": ["label"], "localization": ["label", "boxes"], "detection": ["boxes"]}
    classes = class_names(dataset.classes, needs.get(task, ["mask"]))
    built = bare(network, classes, size, "a test")
    seen = Preprocessing(size, config["fit"])
    return Model(ModelInfo("mine", task, classes, seen, built.rule, network), TorchEngine(built, "cpu"))


def turned(dataset, folder, last=None):
    """The same scenes with their classes in another order; `last`: another name for the last of these."""

    def named(names):
        return (*names[:0:-1], names[0] if last is None else last)

    classes = Classes(*map(named, (dataset.classes.labels, dataset.classes.boxes, dataset.classes.masks)))
    flowers, areas = len(classes.labels) - 1, len(classes.masks) - 1
    scenes = []
    for scene in [scene for split in SPLITS for scene in dataset.scenes(split)]:
        mask = read_mask(scene.mask)
        mask = np.where(mask == 255, 255, areas - mask).astype(np.uint8)
        scenes.append(replace(scene, label=flowers - scene.label, box_labels=flowers - scene.box_labels, mask=mask))
    return prepare(Listed(scenes, classes), folder / "turned", name="turned", split={"given": True})


@pytest.mark.parametrize("task", TASKS)
def test_classes_are_the_same_where_their_names_are(task, small_meadow, tmp_path):
    """Catches numbers of the dataset that are taken for the model's."""
    model, dataset = model_of(task, small_meadow), turned(small_meadow, tmp_path)
    plain, other = evaluate(model, small_meadow, "all"), evaluate(model, dataset, "all")
    assert len(plain.items) == len(other.items) == 40 and not other.lacking and not other.absent
    assert dict(other.metrics) == pytest.approx(dict(plain.metrics), abs=1e-6)
    assert other.tested.by_class == {
        metric: pytest.approx(values, abs=1e-6) for metric, values in plain.tested.by_class.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_what_is_of_a_class_that_the_model_lacks_counts_as_not_found(task, small_meadow, tmp_path):
    model, dataset = model_of(task, small_meadow), turned(small_meadow, tmp_path, last="orchid")
    plain, other = evaluate(model, small_meadow, "all"), evaluate(model, dataset, "all")
    assert other.lacking == ("orchid",) and other.absent == (model.classes[0],)
    assert list(other.untold) == ["loss"] and "loss" not in other.metrics
    assert other.unknowable["orchid"] > 0
    if task in ("classification", "localization"):
        rows = zip(plain.tested.rows, other.tested.rows, strict=True)
        for before, now in rows:
            unknown = before["truth"] == model.classes[0]
            assert (
                now["truth"] == ("orchid" if unknown else before["truth"]) and now["predicted"] == before["predicted"]
            )
        right = sum(row["truth"] == row["predicted"] != model.classes[0] for row in plain.tested.rows)
        name = "accuracy" if task == "classification" else "class_accuracy"
        assert other.metrics.get(name, right / 40) == pytest.approx(right / 40)
        assert other.unknowable["orchid"] == sum(row["truth"] == model.classes[0] for row in plain.tested.rows)
    else:
        metric, before = {"detection": ("map", "map"), "segmentation": ("iou", "miou")}[task]
        values = other.tested.by_class[metric]
        assert values["orchid"] == 0
        occurring = [value for value in values.values() if value >= 0]
        assert other.metrics[before] == pytest.approx(sum(occurring) / len(occurring), abs=1e-6)
    write_evaluation(other, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert told["classes_lacking"] == other.unknowable and told["metrics"] == dict(other.metrics)


@pytest.mark.parametrize("task", TASKS)
def test_whatever_computes_a_model_is_measured_alike(task, small_meadow):
    """Catches an exported file whose answers are read another way than the run's."""
    model = model_of(task, small_meadow)
    plain, other = evaluate(model, small_meadow), evaluate(Model(model.info, lambda x: model.engine(x)), small_meadow)
    assert list(other.untold) == ["loss"]
    assert set(plain.metrics) - set(other.metrics) == {"loss"}
    assert all(other.metrics[name] == pytest.approx(plain.metrics[name], abs=1e-6) for name in other.metrics)


def test_it_measures_what_predict_says_of_the_files(tmp_path):
    """Catches pictures that are no squares, seen in another place than predict sees them."""
    scenes = [replace(scene, label=None, mask=None, box_labels=scene.box_labels * 0) for scene in drawn_scenes(20)]
    dataset = prepare(Listed(scenes, Classes(boxes=("x",))), tmp_path / "data", name="wide")
    model = model_of("detection", dataset, "fit=letterbox")
    evaluation = evaluate(model, dataset, "train")
    found = model.predict([scene.image for scene in dataset.scenes("train")])
    assert len(found) == len(evaluation.tested.rows) > 5
    for row, one in zip(evaluation.tested.rows, found, strict=True):
        assert row["boxes"] == pytest.approx(one.boxes.flatten().tolist(), abs=1e-2) and len(row["boxes"])


def test_the_command_shows_and_writes_what_was_found(small_meadow, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", str(OLD / "detection"), str(small_meadow.path), "--split", "val"]
    assert main([*command, "--batch-size", "4", "--device", "cpu"]) == 0
    head, *_, folder = capsys.readouterr().out.splitlines()
    assert "10 scenes of the val split of dataset 'meadow'" in head
    told = json.loads((tmp_path / folder / "evaluation.json").read_text())
    assert told["scenes"] == 10 and told["split"] == "val" and told["data_hash"] == small_meadow.data_hash
    assert told["settings"]["batch_size"] == 4 and told["origin"]["run"] == told["model"]
    names = {"evaluation.json", "pictures.parquet", "predictions.png", "errors.png", "precision_recall.png"}
    assert {path.name for path in (tmp_path / folder).iterdir()} == names
    assert main([*command, "--out", folder]) == 0  # in place of the one before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "years.txt").write_text("years")
    assert main([*command, "--out", "thesis"]) == 2
    assert "thesis is there and is no evaluation" in capsys.readouterr().err
    assert main(["evaluate", str(OLD / "detection"), str(small_meadow.path), "task=classification"]) == 2
    assert "the model brings that with it" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path), str(small_meadow.path)]) == 2
    assert "holds no finished run and no model" in capsys.readouterr().err


def test_where_nothing_can_be_measured_it_says_so(small_meadow, tmp_path):
    model = model_of("detection", small_meadow)
    others = [replace(scene, label=None, mask=None) for scene in drawn_scenes(20)]
    strange = prepare(Listed(others, Classes(boxes=("x", "y"))), tmp_path / "strange", name="strange")
    with pytest.raises(FrostlineError, match="has x and y: no class is in both"):
        evaluate(model, strange)
    bare_pictures = [replace(scene, boxes=None, box_labels=None, mask=None) for scene in drawn_scenes(20)]
    labelled = prepare(Listed(bare_pictures, Classes(labels=("a", "b"))), tmp_path / "labels", name="labelled")
    with pytest.raises(FrostlineError, match="no classes for boxes"):
        evaluate(model, labelled)
    with pytest.raises(FrostlineError, match="no split 'dev'"):
        evaluate(model, small_meadow, "dev")


def test_pictures_too_few_to_train_on_are_measured_and_refused_to_training_as_ever(here, capsys):
    """Catches what only training needs: an example of each class to train on, and scenes in every split."""
    for number, name in enumerate(("ab/x", "ab/y", "b/z")):
        (path := here / "own" / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(path)
    command = ["evaluate", str(untrained("classification", here / "mine", ("ab", "b"))), "own", "--split"]
    assert main([*command, "all"]) == 0
    said = capsys.readouterr()
    assert "3 scenes of all splits of dataset 'folder'" in said.out and "has no usable scene" not in said.err
    empty = [name for name in SPLITS if main([*command, name]) == 2]
    assert empty and f"in its {empty[-1]} split" in capsys.readouterr().err
    with pytest.raises(FrostlineError, match="has no usable scene"):
        prepared(compose(["dataset.root=own"]))
    assert main([*command, "all"]) == 0  # what was refused has taken nothing away


def test_what_is_there_to_be_trained_on_is_measured_on_too(here, folders, monkeypatch):
    """Catches pictures that are stored once more for each of the two."""
    config = compose([f"dataset.root={folders}"])
    trained = prepared(config)
    monkeypatch.setattr("frostline.checking.prepare._make", None)
    assert prepared(config, for_training=False).data_hash == trained.data_hash


def test_pictures_of_which_none_is_usable_are_refused_where_they_are_read(here, folders):
    for picture in folders.glob("*/*.png"):
        picture.write_text("no picture")
    with pytest.raises(FrostlineError, match="the dataset has no usable scene"):
        prepared(compose([f"dataset.root={folders}", "dataset.on_fault=skip"]), for_training=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "On which pictures? Give the path"),
        (["dataset.on_fault=skip"], "On which pictures? Give the path"),
        (["nowhere"], "nowhere is not there"),
        (["dataset=voc", "dataset.root=nowhere"], "nowhere is not there"),
        ([".", "--out", "."], "is there and is no evaluation"),
    ],
)
def test_what_is_wrong_with_a_command_is_told_before_a_model_is_loaded(words, told, here, capsys, monkeypatch):
    """Catches mistakes that take as long to be told as torch takes to be imported."""
    (here / "thesis.txt").write_text("years")
    for heavy in ("torch", "pytorch_lightning", "frostline.runs.load"):
        monkeypatch.setitem(sys.modules, heavy, None)
    assert main(["evaluate", str(OLD / "detection"), *words]) == 2 and told in capsys.readouterr().err


def test_pictures_may_stand_behind_options(here, capsys):
    assert main(["evaluate", str(OLD / "detection"), "--split", "all", "nowhere", "dataset.on_fault=skip"]) == 2
    assert "nowhere is not there" in capsys.readouterr().err

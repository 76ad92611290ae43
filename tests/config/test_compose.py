import shutil
from pathlib import Path

import pytest

from frostline.config import build, compose, conf_dir, to_yaml
from frostline.errors import FrostlineError


def test_each_task_brings_its_head_and_an_override_wins():
    heads = {task: compose([f"task={task}"])["head"]["name"] for task in ("classification", "localization")}
    assert heads == {"classification": "linear", "localization": "box"}
    assert compose(["task=segmentation"])["head"]["name"] == "unet"
    assert compose(["task=localization", "head=linear"])["head"]["name"] == "linear"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dataset.name=a/b", "dataset.name is 'a/b': it names a folder"),
        ("tracking.uri=http://me:secret@host:5000", "tracking.uri holds a password.*set MLFLOW_TRACKING_URI"),
        ("tracking.uri=5", "tracking.uri is 5: it is an address"),
        ("tracking.uri='postgresql://h/db?user=a&password=secret'", "tracking.uri holds a password"),
    ],
)
def test_what_would_be_written_where_it_should_not_is_refused(override, words):
    with pytest.raises(FrostlineError, match=words) as error:
        compose([override])
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("phases: [{line: head}]\n", "conf/schedule/ has no name"),
        ("name: [\n", r"schedule/mine.yaml is no YAML \(line 2: "),
    ],
)
def test_a_file_of_ones_own_that_is_wrong_is_told(tmp_path, monkeypatch, text, words):
    shutil.copytree(conf_dir(), tmp_path / "conf")
    (tmp_path / "conf" / "schedule" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FrostlineError, match=words) as error:
        compose(["schedule=mine"])
    assert "\n" not in str(error.value)


def test_a_setting_that_a_nested_part_refuses_is_told_in_one_sentence():
    transform = compose(["augment=strong"])["augment"]["transform"]
    transform["transforms"][1]["zoom"] = [2, 1]
    with pytest.raises(FrostlineError, match=r"zoom is \[2, 1\], no interval") as error:
        build(transform)
    assert "\n" not in str(error.value)


def test_same_configuration_same_text():
    assert to_yaml(compose(["seed=3", "task=detection"])) == to_yaml(compose(["task=detection", "seed=3"]))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.epoch=3"], r"no configuration key 'trainer.epoch' \(did you mean 'trainer.epochs'\?\)"),
        (["sceduel=thaw"], r"no configuration key 'sceduel' \(did you mean 'schedule'\?\)"),
        (["task=foo"], "'foo' is no task; choose one of classification, detection, localization, segmentation"),
        (["schedule=foo"], "'foo' is no schedule; choose one of"),
        (["dataset=folder"], "dataset.root has no value: give it one, as in 'dataset.root=…'"),
        (["backbone=timm"], "backbone.name has no value"),
        (["trainer.epochs=abc"], "trainer.epochs is 'abc'; it is a whole number."),
        (["trainer.epochs=0"], "trainer.epochs is 0; it must lie between 1"),
        (["trainer.batch_size=1"], "trainer.batch_size is 1"),
        (["trainer.threads=0"], "trainer.threads is 0"),
        (["trainer.images=0"], "trainer.images is 0"),
        (["optimizer.lr=-1"], "optimizer.lr is -1"),
        (["optimizer.lr=fast"], "optimizer.lr is 'fast'; it is a number."),
        (["augment.views=two"], "augment.views is 'two'; it is a whole number, or null."),
        (["augment.views=2.5"], "augment.views is 2.5; it is a whole number, or null."),
        (["rate=slow"], "'slow' is no rate; choose one of constant, cosine, one_cycle, plateau, step"),
        (["augment.views=0"], "augment.views is 0"),
        (["cache.size_gb=-1"], "cache.size_gb is -1"),
        (["trainer.devices=0"], "trainer.devices is 0; it must lie between 1"),
        (["trainer.devices=8", "trainer.accumulate_grad_batches=8"], "batch_size is 32.*trainer.devices x .* is 64"),
        (["trainer.accelerator=abacus"], "trainer.accelerator is 'abacus'; choose one of auto, cpu"),
        (["trainer.precision=7"], "trainer.precision is '7'"),
        (["seed=-1"], "seed is -1"),
        (["image_size=100"], "image_size is 100; it must be a multiple of 32"),
        (["fit=crop"], "fit is 'crop'; choose one of stretch, letterbox"),
        (["augment=mild"], "'mild' is no augment; choose one of crops, lecture, light, none, strong"),
        (["augment/mix=blend"], "'blend' is no augment/mix; choose one of copy_paste, cutmix, mixup, mosaic, none"),
        (["augment.mix=mixup"], "augment.mix is 'mixup'; choose a file of conf/augment/mix/"),
        (["+a=1"], "none can be added"),
        (["~augment"], "none can be added or taken away"),
        (["epochs"], "'epochs' is no override: write KEY=VALUE"),
        (["../pictures"], "'../pictures' is no override: write KEY=VALUE, such as dataset.root=../pictures"),
        (["dataset.roto=pictures"], r"no configuration key 'dataset.roto' \(did you mean 'dataset.root'\?\)"),
        (["dataset=../pictures"], "is a path, and .* by its name: pictures of your own are dataset.root=../pictures"),
        (["schedule=conf/schedule/thaw.yaml"], "is a path, and .* by its name: write schedule=thaw"),
        (["schedule=mine.yaml"], "is a path, and .* by its name: put it there and write schedule=mine"),
    ],
)
def test_mistakes_are_told_in_one_sentence(overrides, words):
    with pytest.raises(FrostlineError, match=words) as error:
        compose(overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override", ["schedule.name=0.001", "schedule.name=0", "dataset.name=2024", "head.name=true", "head.name=1e-3"]
)
def test_a_name_is_text_whatever_it_looks_like(override):
    # Catches a number that is compared with what is written in a table, and a path that is divided by one.
    key, value = override.split("=")
    group = key.partition(".")[0]
    assert compose([override])[group]["name"] == value


@pytest.mark.parametrize(
    "name", ["März", "flowers (1)", "日本語 データ", "{x}", "it's", "a&b", "x[1]", "a=b", "a,b", "a#b"]
)
def test_a_path_stands_for_itself(name):
    # Hydra's grammar has no word for any of these, and a person does not know that there is a grammar.
    assert compose(["dataset=folder", f"dataset.root=/pictures/{name}"])["dataset"]["root"] == f"/pictures/{name}"
    assert compose([f"backbone.weights=/pictures/{name}"])["backbone"]["weights"] == f"/pictures/{name}"


def test_the_home_folder_is_found():
    assert compose(["dataset=folder", "dataset.root=~/a (b)"])["dataset"]["root"] == str(Path.home() / "a (b)")


@pytest.mark.parametrize(
    "name", ["März", "flowers (1)", "日本語 データ", "{x}", "[1]", "a,b", "it's", "a=b", "x: y", "010"]
)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_root_is_what_a_person_types(name, quoted):
    config = compose(["dataset=folder", f'dataset.root="{name}"' if quoted else f"dataset.root={name}"])
    assert config["dataset"]["root"] == config["dataset"]["source"]["root"] == name


def test_a_mapping_that_is_empty_takes_keys_one_by_one():
    csv = ["dataset=csv", "dataset.root=x"]
    keys = ["dataset.source.columns.path=file", "dataset.source.columns.label=kind"]
    for way in (
        keys,
        [keys[0], "dataset.source.columns={label: kind}"],
        ["dataset.source.columns={path: file, label: kind}"],
    ):
        assert compose([*csv, *way])["dataset"]["source"]["columns"] == {"path": "file", "label": "kind"}
    with pytest.raises(FrostlineError, match="no configuration key 'dataset.split.path'"):
        compose([*csv, "dataset.split.path=file"])

"""`frostline models`: what each backbone costs and takes."""

import subprocess
import sys

import pytest
import torchvision

from frostline.cli import main
from frostline.config import build, conf_files
from frostline.errors import FrostlineError
from frostline.runs import anatomy
from frostline.runs.anatomy import entry, heads_on, multiply_adds
from frostline.runs.catalogue import keep, known, node_of, shipped

DETECTORS = ["dense", "faster_rcnn", "fcos", "retinanet", "ssdlite", "yolo"]
WINDOWS = ["fully_convolutional", "sliding_window"]


# torchvision's own figures, in thousand millions, with the classifier.
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("alexnet", "alexnet"),
        ("convnext_tiny", "convnext_tiny"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("googlenet", "googlenet"),
        ("mobilenetv3_small", "mobilenet_v3_small"),
        ("resnet18", "resnet18"),
        ("resnet34_plain", "resnet34"),
        ("resnet50", "resnet50"),
        ("swin_tiny", "swin_t"),
        ("vit_base", "vit_b_16"),
    ],
)
def test_multiply_adds_are_those_published(name, model):
    published = torchvision.models.get_model_weights(model).IMAGENET1K_V1.meta["_ops"]
    backbone = build(node_of(name), with_embedding=True)
    classifier = backbone.embedding_size * 1000
    assert backbone.input_size == 224
    assert (multiply_adds(backbone) + classifier) / 1e9 == pytest.approx(published, abs=1.1e-3)


def test_which_heads_stand_on_what():
    def heads(name):
        return heads_on(build(node_of(name), with_embedding=True, without=["sides"]))

    only = {"classification": ["linear"], "localization": ["pooled_box"]}
    assert heads("lenet5") == heads("alexnet") == only
    assert heads("small_cnn") == only | {"detection": WINDOWS}
    resnet = heads("resnet18")
    assert {head for names in resnet.values() for head in names} == set(conf_files("head")) - set(WINDOWS)
    assert resnet["detection"] == DETECTORS
    missing = set(resnet["segmentation"]) - set(heads("convnext_tiny")["segmentation"])
    assert missing == {"linknet", "unetplusplus"}  # they need a map at 1/2
    assert heads("vit_small") == heads("swin_tiny") == heads("convnext_tiny")
    assert heads("xception")["segmentation"] == ["fcn16s", "fcn32s", "fcn8s", "pspnet", "unet"]


def test_a_head_file_that_is_wrong_is_told_and_not_taken_for_a_refusal(monkeypatch):
    wrong = {"mine": {"name": "mine", "_target_": "frostline.models.heads.classification.LinearHead", "drop": 1}}
    monkeypatch.setattr(anatomy, "conf_files", lambda group: wrong if group == "head" else conf_files(group))
    with pytest.raises(FrostlineError, match="cannot be built"):
        heads_on(build(node_of("resnet18"), with_embedding=True))


def test_a_row_says_what_the_backbone_is():
    row = entry("lenet5")
    assert (row.parameters, row.input_size, row.strides) == (60_000, 32, [])
    assert row.groups == ["stem", "stage1", "stage2"] and row.weights == "none, from scratch"
    assert entry("resnet18").weights.startswith("timm/resnet18")
    assert entry("alexnet").weights == "torchvision" and entry("efficientnet_lite0").weights == "installed package"


def test_the_table_has_a_row_for_each_and_the_heads_below(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # what is found of others is kept there
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models", "lenet5", "resnet18", "alexnet", "regnety_002"]) == 0
    text = capsys.readouterr().out
    assert "60 k" in text and "11.2 M" in text and "1.81 G" in text and "2 4 8 16 32" in text
    assert "to stage6" in text and "regnety_002" in text and "torchvision" in text
    assert "timm/resnet18.a1_in1k" in text and "segmentation: deeplabv3plus" in text
    assert text.count("localization: pooled_box") == 1  # LeNet-5 and AlexNet share a row


def test_by_default_every_file_is_there_and_torch_is_not(tmp_path):
    """Catches a table that was not found anew for another timm, a new head or backbone: `make catalogue`."""
    code = "import sys; from frostline.cli import main; print(main(['models']), 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "0 False" and not list(tmp_path.iterdir())
    first, second = told.stdout.split("tasks and heads")  # names are whole, as they are to be typed
    shown = [{line.split()[0] for line in text.splitlines() if line.strip()} for text in (first, second)]
    assert all(conf_files("backbone").keys() - {"timm"} <= names for names in shown)


@pytest.mark.parametrize("name", ["lenet5", "mobilenetv3_small"])
def test_what_is_kept_is_what_is_found(name):
    assert known([name])[name] == entry(name)


@pytest.mark.slow
def test_all_that_is_kept_is_what_is_found():
    assert known(shipped()) == {name: entry(name) for name in shipped()}


def test_another_backbone_is_found_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert known(["regnety_002"]) == {"regnety_002": None}
    found = entry("regnety_002")
    keep(found)
    assert known(["regnety_002"]) == {"regnety_002": found}
    monkeypatch.setattr("frostline.runs.catalogue.code_hash", lambda *parts: "another")  # of our models
    assert known(["regnety_002"]) == {"regnety_002": None} and known(["lenet5"])["lenet5"] is not None
    (tmp_path / "runs" / "catalogue.json").write_text("cut off")
    assert known(["regnety_002"]) == {"regnety_002": None}
    monkeypatch.setattr("frostline.runs.catalogue.version", lambda package: "9.9")
    assert known(["lenet5"]) == {"lenet5": None}


def test_an_unknown_name_is_one_sentence(capsys):
    assert main(["models", "resnet19"]) == 2
    error = capsys.readouterr().err
    assert "'resnet19' is neither a file in conf/backbone/ nor a model of timm; names like it: resnet1" in error
    assert error.count("\n") == 1 and main(["models", "timm"]) == 2

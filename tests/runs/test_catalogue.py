"""`frostline models`: what each backbone costs and takes."""

from dataclasses import replace

import pytest
import torchvision

from frostline.cli import main
from frostline.config import build
from frostline.errors import FrostlineError
from frostline.runs.catalogue import entry, files, heads_on, multiply_adds, node_of

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
    assert {head for names in resnet.values() for head in names} == set(files("head")) - set(WINDOWS)
    assert resnet["detection"] == DETECTORS
    missing = set(resnet["segmentation"]) - set(heads("convnext_tiny")["segmentation"])
    assert missing == {"linknet", "unetplusplus"}  # they need a map at 1/2
    assert heads("vit_small") == heads("swin_tiny") == heads("convnext_tiny")
    assert heads("xception")["segmentation"] == ["fcn16s", "fcn32s", "fcn8s", "pspnet", "unet"]


def test_a_head_file_that_is_wrong_is_told_and_not_taken_for_a_refusal(monkeypatch):
    from frostline.runs import catalogue as models

    known = models.files
    wrong = {"mine": {"name": "mine", "_target_": "frostline.models.heads.classification.LinearHead", "drop": 1}}
    monkeypatch.setattr(models, "files", lambda group: wrong if group == "head" else known(group))
    with pytest.raises(FrostlineError, match="cannot be built"):
        heads_on(build(node_of("resnet18"), with_embedding=True))


def test_a_row_says_what_the_backbone_is():
    row = entry("lenet5")
    assert (row.parameters, row.input_size, row.strides) == (60_000, 32, [])
    assert row.groups == ["stem", "stage1", "stage2"] and row.weights == "none, from scratch"
    assert entry("resnet18").weights.startswith("timm/resnet18")
    assert entry("alexnet").weights == "torchvision" and entry("efficientnet_lite0").weights == "installed package"


def test_the_table_has_a_row_for_each_and_the_heads_below(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models", "lenet5", "resnet18", "alexnet", "regnety_002"]) == 0
    text = capsys.readouterr().out
    assert "60 k" in text and "11.2 M" in text and "1.81 G" in text and "2 4 8 16 32" in text
    assert "to stage6" in text and "regnety_002" in text and "torchvision" in text
    assert "timm/resnet18.a1_in1k" in text and "segmentation: deeplabv3plus" in text
    assert text.count("localization: pooled_box") == 1  # LeNet-5 and AlexNet share a row


def test_by_default_every_file_is_there(capsys, monkeypatch):
    from frostline.runs import catalogue as models

    row = entry("lenet5")
    monkeypatch.setenv("COLUMNS", "80")  # names must be whole, as they are to be typed
    monkeypatch.setattr(models, "entry", lambda name: replace(row, name=name))
    assert main(["models"]) == 0
    first, second = capsys.readouterr().out.split("tasks and heads")
    shown = [{line.split()[0] for line in text.splitlines() if line.strip()} for text in (first, second)]
    assert all(files("backbone").keys() - {"timm"} <= names for names in shown)


def test_an_unknown_name_is_one_sentence(capsys):
    assert main(["models", "resnet19"]) == 2
    error = capsys.readouterr().err
    assert "'resnet19' is neither a file in conf/backbone/ nor a model of timm; names like it: resnet1" in error
    assert error.count("\n") == 1 and main(["models", "timm"]) == 2

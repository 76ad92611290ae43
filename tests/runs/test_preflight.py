"""What can be known is told before anything is prepared, downloaded or loaded."""

import os
import subprocess
import sys

import pytest

from frostline.config import compose, conf_dir
from frostline.errors import FrostlineError
from frostline.runs.preflight import ONE_PHASE, UNWEIGHED, check_beforehand, check_parts, may_have
from frostline.runs.timm_names import timm_names

WRONG = [
    (["head=yolo"], "head=yolo gives boxes, and task=classification reads scores: leave the head out"),
    (["task=localization", "head=linear"], "head=linear gives scores, and task=localization reads scores and box"),
    (["task=segmentation", "head=fcos"], "head=fcos gives boxes, and task=segmentation reads pixels"),
    (["schedule=thaw", "trainer.epochs=1"], "every phase needs an epoch.* take schedule=frozen or schedule=full"),
    (["backbone=small_cnn", "task=detection", "head=fcos"], "it takes head=fully_convolutional, sliding_window"),
    (["backbone=small_cnn", "task=segmentation"], "small_cnn serves classification, detection and localization alone"),
    (["task=detection", "head=faster_rcnn", "task.class_weights=balanced"], "weigh nothing in the loss of head=faster"),
    (["trainer.below=onnxruntime", "trainer.precision=bf16-mixed"], "in single precision, .* take 32-true"),
    (
        ["trainer.below=onnxruntime", "trainer=gpu", "trainer.precision=auto"],
        "on processors: set trainer.accelerator=cpu",
    ),
    (["trainer.below=onnxruntime", "trainer.compile=true"], "need the network whole"),
    (["trainer.below=onnxruntime", "trainer=fsdp"], "need the network whole"),
    (["backbone=timm", "backbone.name=resnet19"], "timm has no model named 'resnet19' .*: resnet18"),
    (["backbone=resnet50", "backbone.name=resnet5O"], "timm has no model named 'resnet5O'"),
]


@pytest.mark.parametrize(("overrides", "words"), WRONG)
def test_what_does_not_fit_is_told(overrides, words):
    with pytest.raises(FrostlineError, match=words) as error:
        check_beforehand(compose(overrides))
    assert "\n" not in str(error.value)


def test_an_accelerator_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(FrostlineError, match="trainer.accelerator is 'gpu', and this machine has none"):
        check_beforehand(compose(["trainer.accelerator=gpu"]))
    check_beforehand(compose(["trainer.accelerator=auto"]))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_another_engine_that_is_not_installed_is_told(package, monkeypatch):
    monkeypatch.setattr("frostline.runs.preflight.find_spec", lambda name: None if name == package else object())
    with pytest.raises(FrostlineError, match=f"needs {package}, .* pip install 'frostline.export.'"):
        check_beforehand(compose(["trainer.below=onnxruntime"]))


def test_another_engine_beside_a_gpu_is_refused_and_where_it_computes_nothing_that_is_told(monkeypatch, capsys):
    from frostline.models.backbones import timm_backbone
    from frostline.runs.process import check_below

    chain = timm_backbone("resnet10t", pretrained=False, image_size=32)
    other = timm_backbone("vit_tiny_patch16_224", pretrained=False, image_size=32)
    check_below("onnxruntime", "auto", chain)
    check_below("torch", "auto", other)
    assert capsys.readouterr().err == ""
    check_below("onnxruntime", "auto", other)
    assert "no chain of pieces" in capsys.readouterr().err
    monkeypatch.setattr("frostline.runs.process.device_named", lambda name: "cuda")
    check_below("onnxruntime", "cpu", chain)
    with pytest.raises(FrostlineError, match="this machine has a GPU: set trainer.accelerator=cpu"):
        check_below("onnxruntime", "auto", chain)


def test_where_torch_finds_an_accelerator_none_is_refused():
    import torch

    assert may_have("gpu") or not torch.cuda.is_available()
    assert may_have("mps") or not torch.backends.mps.is_available()


def test_every_model_of_timm_is_known_and_nothing_else():
    import timm

    assert set(timm.list_models()) <= timm_names()
    assert all(timm.is_model(name) for name in timm_names())


@pytest.mark.parametrize("schedule", ONE_PHASE)
def test_the_schedules_that_are_offered_for_one_epoch_are_let_by(schedule):
    check_parts(compose([f"schedule={schedule}", "trainer.epochs=1"]))


def test_a_changed_head_or_backbone_is_let_by():
    """Only what the table knows as it is can be refused: what somebody changed may fit."""
    wrong = ["backbone=small_cnn", "task=detection", "head=faster_rcnn"]
    with pytest.raises(FrostlineError, match="lacks feature maps that head=faster_rcnn needs"):
        check_parts(compose(wrong))
    check_parts(compose([*wrong, "head.width=32"]))


def test_the_heads_whose_loss_knows_no_weights_are_those_that_refuse_them():
    import torch

    from frostline.config import build, conf_files

    with torch.device("meta"):
        backbone = build(conf_files("backbone")["resnet18"] | {"pretrained": False})
        for name, node in conf_files("head").items():
            if "detection.torchvision" not in node["_target_"]:
                continue
            head, refused = build(node, backbone, 3, without=["name"]), False
            try:
                head.weigh(torch.ones(3))
            except FrostlineError:
                refused = True
            assert refused == (node["_target_"] == UNWEIGHED), name


def test_all_that_conf_offers_is_let_by():
    folder = conf_dir()
    for group in ("backbone", "schedule"):
        for path in (folder / group).glob("*.yaml"):
            more = ["backbone.name=regnety_002.pycls_in1k"] if path.stem == "timm" else []
            more += ["image_size=32"] if path.stem in ("lenet5", "resnet20") else []
            check_parts(compose([f"{group}={path.stem}", *more]))
    kinds = {"classification": "linear", "localization": "pooled_box", "detection": "yolo", "segmentation": "fcn8s"}
    for task, head in kinds.items():
        check_parts(compose([f"task={task}", f"head={head}"]))
    with pytest.raises(FrostlineError, match="task.class_weights is 'even'; it is balanced"):
        check_parts(compose(["task.class_weights=even"]))
    check_parts(compose(["task.class_weights=balanced"]))
    check_parts(compose(["trainer.images=100", "trainer.epochs=1"]))  # how many epochs that is, the pictures say


def test_it_takes_no_torch_and_prepares_nothing(tmp_path):
    """The same through the command, and `--help`, in one process: what is loaded in the end, one of them loads."""
    wrong = [["train", *overrides] for overrides, _ in WRONG]
    wrong += [["train", "trainer.epoch=3"], ["train", "trainer.epochs=ten"], ["train", "trainer.accelerator=gpu"]]
    wrong += [["schedule", "show", "thaw", "trainer.epochs=1"], ["train", "--plan", "none.yaml"]]
    code = f"""
import sys
from frostline.cli import main
for words in {wrong!r}:
    assert main(words) == 2, words
for words in (["--help"], ["train", "--help"], ["models", "--help"]):
    try:
        main(words)
    except SystemExit as stop:
        assert stop.code == 0
assert main(["train", "--show"]) == 0
heavy = ("torch", "pandas", "mlflow", "matplotlib", "timm", "pytorch_lightning")
print([name for name in heavy if name in sys.modules])
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "[]" and not list(tmp_path.iterdir())

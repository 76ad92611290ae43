"""Every head that ships is exported, and says the same at batches of 1, 2 and 5; or is refused in a sentence."""

from dataclasses import replace

import onnx
import pytest

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.export.onnx import write_onnx
from frostline.export.proof import prove
from frostline.predict.answers import Rule
from frostline.predict.onnx import read_onnx

QUICK = {"box", "dense", "linear", "unet"}  # one of each task; the others are proofs
REFUSED = {"faster_rcnn"}
TASKS = {
    "classification": ["linear"],
    "localization": ["box", "pooled_box"],
    "detection": ["dense", "yolo", "fcos", "retinanet", "ssdlite", "sliding_window", "fully_convolutional"],
    "segmentation": [
        *("unet", "unetplusplus", "fpn", "pspnet", "deeplabv3plus", "pan", "linknet", "upernet", "segformer"),
        *("fcn32s", "fcn16s", "fcn8s"),
    ],
}
HEADS = [(task, head) for task, heads in TASKS.items() for head in heads]


@pytest.mark.parametrize(
    ("task", "head"), [pytest.param(*pair, marks=[] if pair[1] in QUICK else [pytest.mark.slow]) for pair in HEADS]
)
def test_exported_it_says_the_same(made, pictures, tmp_path, task, head):
    few = ["head.sizes=[64,96]"] if head == "sliding_window" else []
    model = made(task, head, 256 if head == "pan" else 64, *few)
    file = tmp_path / "mine.onnx"
    write_onnx(model.engine.task, model.info, file)
    exported = read_onnx(file)
    assert exported.info == model.info
    if task == "detection":  # the surest, as nothing overlaps by twice its area
        model = replace(model, info=replace(model.info, rule=Rule(0.0, 2.0, 300)))
    proof = prove(model, replace(exported, info=model.info), pictures)
    assert proof.pictures == len(pictures)
    if task == "detection":
        assert proof.boxes > 15 * len(pictures) and proof.undecided < 0.02 * proof.boxes
    graph = onnx.load(file).graph
    assert [one.type.tensor_type.shape.dim[0].dim_param for one in graph.input] == ["batch"]
    behind_a_sum = 1 if head == "box" else 0
    assert sum(node.op_type == "BatchNormalization" for node in graph.node) == behind_a_sum


@pytest.mark.parametrize(
    ("task", "head", "overrides", "words"),
    [
        ("detection", "faster_rcnn", [], "A faster_rcnn cannot be exported: its second stage"),
        ("segmentation", "unet", ["task.window=32"], "A segmentation with task.window=32 cannot be exported"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(made, tmp_path, task, head, overrides, words):
    model = made(task, head, 64, *overrides)
    with pytest.raises(FrostlineError, match=words) as error:
        write_onnx(model.engine.task, model.info, tmp_path / "mine.onnx")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_no_head_is_left_out():
    from frostline.config import conf_dir

    assert {head for _, head in HEADS} | REFUSED == {path.stem for path in (conf_dir() / "head").glob("*.yaml")}
    assert compose(["task=detection"])["head"]["name"] in TASKS["detection"]

"""`frostline export`, and the file it writes in use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from frostline.cli import main
from frostline.errors import FrostlineError
from frostline.export import write
from frostline.predict.onnx import KEY
from frostline.runs.load import load
from frostline.runs.network import write_model

OLD = Path(__file__).parents[1] / "runs" / "old_run"  # trained by an earlier version
PICTURES = [OLD / "one.png", OLD / "two.png"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "mine.onnx"
    write.export(OLD / "localization", file, PICTURES)
    return file


def test_the_file_alone_says_what_the_run_says(file, capsys):
    """Catches names, sizes, a fit or thresholds that stay behind, and weights in a file beside it."""
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    run, exported = load(OLD / "localization"), load(file)
    assert exported.info == run.info
    for one, other in zip(run.predict(PICTURES), exported.predict(PICTURES, batch_size=1), strict=True):
        assert one.name == other.name
        assert np.allclose(one.box, other.box, atol=0.01) and np.allclose(one.probabilities, other.probabilities)
    assert main(["predict", str(file), *map(str, PICTURES)]) == 0
    assert "one.png" in capsys.readouterr().out


def test_it_is_used_without_torch(file):
    code = f"""
import sys
sys.modules["torch"] = sys.modules["torchvision"] = sys.modules["timm"] = sys.modules["onnx"] = None
import frostline
print(frostline.load({str(file)!r}).predict([{str(PICTURES[0])!r}])[0].name)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == load(file).predict(PICTURES[:1])[0].name, said.stderr


def test_what_says_something_else_is_not_written(tmp_path, monkeypatch):
    def wrong(task, info, file):
        bias = task.model.head.linear.bias.data
        bias[0] += 0.01
        right(task, info, file)
        bias[0] -= 0.01

    right = write.write_onnx
    monkeypatch.setattr(write, "write_onnx", wrong)
    (tmp_path / "mine.onnx").write_text("an older one")
    with pytest.raises(FrostlineError, match="does not say what the model says: probabilities are 0.00"):
        write.export(OLD / "localization", tmp_path / "mine.onnx", PICTURES)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an older one"]


def test_without_pictures_it_is_not_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(OLD / "localization", tmp_path / "model")
    with pytest.raises(FrostlineError, match="give some with --pictures FOLDER"):
        write.export("model", tmp_path / "mine.onnx")
    with pytest.raises(FrostlineError, match="There is no picture in"):
        write.export("model", tmp_path / "mine.onnx", [tmp_path])
    with pytest.raises(FrostlineError, match="int8 is made for its training pictures"):
        write.export("model", tmp_path / "mine.onnx", PICTURES, int8=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_exported_already_is_told(file, tmp_path):
    with pytest.raises(FrostlineError, match="is exported already"):
        write.export(file, tmp_path / "again.onnx", PICTURES)


def graph(names=("squares",), size=64, metadata=None, file=None):
    """A file of ONNX that somebody else wrote."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", size, size, 3]) for name in names]
    output = helper.make_tensor_value_info("probabilities", TensorProto.UINT8, ["batch", size, size, 3])
    node = helper.make_node("Identity", [names[0]], ["probabilities"])
    model = helper.make_model(helper.make_graph([node], "g", inputs, [output]), ir_version=10)
    model.opset_import[0].version = 20
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(file))


def described(text):
    return lambda file, whole: graph(metadata={KEY: text}, file=file)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file, whole: None, "There is no file"),
        (lambda file, whole: file.write_bytes(b""), "is no whole model of ONNX"),
        (lambda file, whole: file.write_text("a poem"), "is no whole model of ONNX"),
        (lambda file, whole: file.write_bytes(whole[: len(whole) // 2]), "is no whole model of ONNX"),
        (lambda file, whole: graph(file=file), "without Frostline's description"),
        (described("{"), "holds no description of a model"),
        (described('{"format": 99}'), "has the format 99"),
        ("size", "does not compute what its description says"),
        ("task", "does not compute what its description says"),
    ],
)
def test_what_is_no_exported_file_is_told_in_a_sentence(tmp_path, file, make, words):
    broken = tmp_path / "broken.onnx"
    if isinstance(make, str):
        told = load(file).info.to_json()
        told = (
            told.replace('"size": ', '"size": 1') if make == "size" else told.replace('"localization"', '"detection"')
        )
        described(told)(broken, None)
    else:
        make(broken, file.read_bytes())
    with pytest.raises(FrostlineError, match=words) as error:
        load(broken)
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_there_is_told(file):
    with pytest.raises(FrostlineError, match="There is no device 'npu' for onnxruntime here; .*cpu can be had"):
        load(file, "npu")


def test_without_onnxruntime_it_is_told_what_to_install(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FrostlineError, match=r"pip install 'frostline\[onnx\]'"):
        load(file)


def test_torch_export_files_are_written_and_never_loaded(tmp_path, monkeypatch):
    """Loading one runs code that is in it."""
    import torch

    out = tmp_path / "mine.pt2"
    told = ["export", str(OLD / "localization"), "--to", "pt2", "--out", str(out), "--pictures", *map(str, PICTURES)]
    assert main(told) == 0
    extra = {"frostline": ""}
    torch.export.load(out, extra_files=extra)
    assert extra["frostline"] == load(OLD / "localization").info.to_json()
    monkeypatch.setattr(torch.export, "load", None)
    with pytest.raises(FrostlineError, match="runs whatever is in it"):
        load(out)


@pytest.mark.slow
def test_int8_tells_what_it_loses(train_small, small_meadow, here):
    _, run = train_small("schedule=full", "backbone=mobilenetv3_small", "backbone.pretrained=false")
    data = here / "runs" / "data"
    data.mkdir(parents=True)
    (data / "meadow").symlink_to(small_meadow.path)
    written = write.export(run, here / "mine.onnx", int8=True)
    kept = load(here / "mine.onnx").info.origin["int8"]
    assert kept == written.loss.to_json() and kept["pictures"] == 10 and kept["metric"] == "accuracy"
    assert abs(kept["after"] - kept["before"]) <= 0.3
    nodes = onnx.load(here / "mine.onnx").graph.node
    assert sum(node.op_type == "QuantizeLinear" for node in nodes) > 30
    exact = write.export(run, here / "exact.onnx")
    assert exact.loss is None
    sizes = [(here / name).stat().st_size for name in ("mine.onnx", "exact.onnx")]
    assert sizes[0] < 0.4 * sizes[1]

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from frostline.config import compose, read
from frostline.errors import FrostlineError
from frostline.runs.build import build_data, build_task
from frostline.runs.load import load
from frostline.runs.network import TorchEngine, read_run
from frostline.runs.result import RunResult
from frostline.scenes.scene import SPLITS

OLD = Path(__file__).with_name("old_run")  # trained by an earlier version


def test_a_trained_run_measures_again_what_it_reported(train_small, small_meadow, monkeypatch):
    result, folder = train_small("task=detection", "schedule=frozen", "trainer.epochs=1", "tracking=none")
    # Nothing but the folder: the weights of the backbone's package are not looked at.
    monkeypatch.setattr("torch.load", lambda *args, **kwargs: pytest.fail("looked for weights elsewhere"))
    info, task = read_run(folder)
    assert info.name == "run" and info.classes == task.classes == small_meadow.classes.boxes and not task.training
    data = build_data(read(folder / "config.yaml"), small_meadow)
    metrics = task.make_metrics()
    with torch.no_grad():
        for batch in data.test_dataloader():
            task.update(metrics, task.predict(task(batch["image"]), batch), batch)
    primary = task.primary
    assert float(metrics.compute()[primary]) == pytest.approx(result.metrics[primary], abs=1e-6)

    from frostline.annotate.predict import Predictor

    found = Predictor(folder)([scene for split in SPLITS for scene in small_meadow.scenes(split)])
    assert len(found) == 40 and all(0 <= uncertainty <= 1 for _, uncertainty in found)
    assert all(0 <= value <= 64 for boxes, _ in found for box in boxes for value in box.corners)


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory):
    """What `load` reads of a run, made without training it."""
    from frostline.config import compose, to_yaml
    from frostline.runs.build import build_task

    folder = tmp_path_factory.mktemp("results") / "run"
    folder.mkdir()
    config = compose(["task=classification", "backbone.pretrained=false"])
    task = build_task(config, ("a", "b"))
    weights = {name: tensor.contiguous() for name, tensor in task.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"run": "r", "classes": '["a", "b"]'})
    (folder / "config.yaml").write_text(to_yaml(config))
    result = json.loads((OLD / "detection" / "result.json").read_text()) | {"run": "r", "epochs": 10}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def copied(trained_folder, tmp_path):
    return shutil.copytree(trained_folder, tmp_path / "run")


def test_what_is_whole_is_loaded(copied):
    info, task = read_run(copied)
    assert info.name == "r" and info.classes == ("a", "b")
    weights = load_file(copied / "model.safetensors")
    assert all(torch.equal(task.model.state_dict()[key], weights[key]) for key in weights)


def configured(folder, change):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    "target",
    [
        "builtins.exec",
        "os.system",
        "torch.hub.load",
        "frostline.runs.provenance.subprocess.run",  # ours by name only
        "torch.optim.adamw.torch.hub.load",
        "frostline.nothing.at.all",
    ],
)
def test_a_configuration_cannot_call_what_is_not_ours(copied, target):
    whole = (copied / "config.yaml").read_text()
    configured(copied, lambda config: config["backbone"].update(_target_=target))
    with pytest.raises(FrostlineError, match="no part of Frostline, so it is not loaded"):
        load(copied)
    (copied / "config.yaml").write_text(whole)
    configured(copied, lambda config: config["head"].update(deep=[{"_target_": target}]))
    with pytest.raises(FrostlineError, match="no part of Frostline, so it is not loaded"):
        load(copied)


def rewritten(folder, change, told):
    with safe_open(folder / "model.safetensors", "pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(change(weights), folder / "model.safetensors", told)


WHOLE = {"run": "r", "classes": json.dumps(["a", "b"])}
MORE = WHOLE | {"classes": json.dumps(["a", "b", "c"])}


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda run: (run / "result.json").unlink(), "holds no finished run"),
        (lambda run: (run / "config.yaml").unlink(), "config.yaml cannot be read"),
        (lambda run: (run / "config.yaml").write_text("task: 3"), "holds a run that cannot be read"),
        (lambda run: (run / "result.json").write_text("{}"), "result.json lacks task"),
        (lambda run: (run / "model.safetensors").write_bytes(b"x" * 100), "holds a run that cannot be read"),
        (lambda run: (run / "model.safetensors").unlink(), "holds a run that cannot be read"),
        (lambda run: rewritten(run, lambda weights: weights, {"run": "r"}), "does not tell its classes"),
        (lambda run: rewritten(run, lambda weights: weights, MORE), r"does not fit.* for 3 classes: .* is \[2\b"),
        (
            lambda run: rewritten(run, lambda weights: dict(list(weights.items())[1:]), WHOLE),
            "does not fit.*is missing there",
        ),
        (
            lambda run: rewritten(run, lambda weights: weights | {"x": torch.ones(1)}, WHOLE),
            r"does not fit.*: x is \[1\]",
        ),
    ],
)
def test_what_is_not_whole_is_told_in_one_sentence(copied, break_it, words):
    break_it(copied)
    with pytest.raises(FrostlineError, match=words) as error:
        load(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["detection", "localization"])
def test_a_run_of_an_earlier_version_predicts_what_it_predicted_then(task):
    trained = load(OLD / task)
    files = ["one.png", "two.png"]  # two.png is not square
    expected = json.loads((OLD / "predictions.json").read_text())[task]
    for name, found in zip(files, trained.predict([OLD / name for name in files]), strict=True):
        then = expected[name]
        if task == "detection":
            first = len(then["boxes"])
            assert len(found.scores) == then["found"]
            assert [found.classes[label] for label in found.labels[:first]] == then["classes"]
            assert found.scores[:first].tolist() == pytest.approx(then["scores"], abs=1e-6)
            assert found.boxes[:first] == pytest.approx(np.array(then["boxes"]), abs=1e-3)
        else:
            assert found.box.tolist() == pytest.approx(then["box"], abs=1e-3)
            assert dict(zip(found.classes, found.probabilities.tolist(), strict=True)) == pytest.approx(
                then["probabilities"], abs=1e-6
            )
    assert RunResult.read(OLD / task / "result.json").names["backbone"] == "small_cnn"


def test_a_picture_is_a_file_its_bytes_or_its_pixels(tmp_path):
    trained = load(OLD / "localization")
    file = OLD / "two.png"
    with Image.open(file) as image:
        pixels = np.array(image)
        turned = [tmp_path / "turned.png", tmp_path / "turned.tif"]  # PIL turns a TIFF by itself, and no other
        exif = Image.Exif()
        exif[0x0112] = 6
        for path in turned:
            image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    found = trained.predict([file, str(file), file.read_bytes(), pixels, *turned])
    assert all((one.box == found[0].box).all() for one in found) and len(found) == 6
    many = trained.predict(pixels for _ in range(20))
    assert len(many) == 20 and all(np.allclose(one.box, found[0].box, atol=1e-3) for one in many)
    assert trained.predict([]) == []


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (b"no picture", "The picture at index 0 is no picture"),
        ("nowhere.png", "nowhere.png cannot be read"),
        (__file__, "test_load.py is no picture"),
        ((OLD / "two.png").read_bytes()[:2000], "The picture at index 0 cannot be decoded"),
        (np.zeros((4, 4), np.uint8), "The picture at index 0 is 4 x 4 uint8: give RGB pixels"),
        (np.zeros((4, 4, 3)), "The picture at index 0 is 4 x 4 x 3 float64"),
    ],
)
def test_what_is_no_picture_is_told(picture, words):
    with pytest.raises(FrostlineError, match=words):
        load(OLD / "localization").predict([picture])


def test_one_picture_is_no_list_of_pictures(train_small):
    # A name is a row of letters, and pixels are rows.
    _, folder = train_small("schedule=frozen", "trainer.epochs=1", "backbone=small_cnn", "tracking=none")
    with pytest.raises(FrostlineError, match=r"this is one: write \[picture\]"):
        load(folder).predict("picture.jpg")


def test_sixteen_bits_are_predicted_as_they_were_trained_on(trained_folder, tmp_path):
    """Catches a network that learnt pictures over their whole range, and is then asked about nearly black ones."""
    folder = shutil.copytree(trained_folder, tmp_path / "run")
    deep = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 4095 // (40 * 60)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    shown = np.repeat(np.round(deep / 4095 * 255).astype(np.uint8)[..., None], 3, 2)
    weights = load_file(folder / "model.safetensors")
    said = {"run": "r", "classes": '["a", "b"]'}
    save_file(weights, folder / "model.safetensors", said | {"white": "4095"})
    of_file, of_pixels = load(folder).predict([tmp_path / "deep.png", shown])
    assert abs(of_file.probabilities - of_pixels.probabilities).max() < 1e-4
    save_file(weights, folder / "model.safetensors", said)
    (of_file,) = load(folder).predict([tmp_path / "deep.png"])
    assert abs(of_file.probabilities - of_pixels.probabilities).max() > 1e-3


def test_threads_that_ask_at_once_get_each_their_own_answer(monkeypatch):
    """Catches a head that holds on to what it looks at: a server has several batches beside each other."""
    torch.manual_seed(0)
    small = ["image_size=64", "backbone=mobilenetv3_small", "backbone.pretrained=false"]
    task = build_task(compose(["task=detection", "head=faster_rcnn", *small]), ("a", "b", "c")).eval()
    engine = TorchEngine(task, "cpu")
    pictures = np.random.default_rng(0).integers(0, 256, (4, 1, 64, 64, 3), np.uint8)
    alone = [engine(one)["boxes"] for one in pictures]
    assert not np.array_equal(alone[0], alone[1])
    given = type(task.model.head.detector.backbone)
    look = given.forward
    monkeypatch.setattr(given, "forward", lambda self, pictures: (time.sleep(0.01), look(self, pictures))[1])
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: engine(pictures[n % 4])["boxes"], range(40)))
    assert all(np.array_equal(found, alone[n % 4]) for n, found in enumerate(together))

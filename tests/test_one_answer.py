"""Run, model folder, exported file, registry and server: one answer to 200 photographs, in each task."""

import base64
import io
import json
import subprocess
import sys
import urllib.request

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import frostline
from frostline.deliver.pyfunc import PictureModel
from frostline.export.proof import prove
from frostline.export.write import export
from frostline.predict.kinds import SURE
from frostline.runs.network import write_model

pytestmark = pytest.mark.slow
PICTURES = 200
TASKS = {
    "classification": ["trainer.epochs=1", "schedule=frozen"],
    "localization": ["trainer.epochs=2", "schedule=frozen"],
    "detection": ["trainer.epochs=5", "schedule=thaw"],
    "segmentation": ["trainer.epochs=1", "schedule=frozen"],
}


@pytest.mark.parametrize("task", TASKS)
def test_it_is_one_answer_wherever_it_is_asked(task, here, real_data):
    pets = real_data / "pets3"
    result = frostline.train(
        f"task={task}", "dataset=pets", f"dataset.root={pets}", "image_size=96", "trainer.batch_size=16",
        "tracking=none", "trainer.threads=1", *TASKS[task],
    )  # fmt: skip
    files = sorted((pets / "images").glob("*.jpg"))[:PICTURES]
    run = frostline.load(result.folder)
    write_model(result.folder, here / "mine")
    export(here / "mine", here / "mine.onnx", [pets / "images"])
    for place in (here / "mine", here / "mine.onnx"):
        proof = prove(run, frostline.load(place), files)
        assert proof.pictures == PICTURES
        print(task, place.name, proof)
    expected = [told(run, one) for one in run.predict(files)]
    assert task != "detection" or sum(len(one["objects"]) for one in expected) > PICTURES // 4

    registered = PictureModel()
    registered.load_context(type("Context", (), {"artifacts": {"model": str(here / "mine")}}))
    given = pd.DataFrame({"picture": [base64.b64encode(file.read_bytes()).decode() for file in files]})
    for one, other in zip(expected, registered.predict(None, given), strict=True):
        alike(one, sure(other))
    for one, other in zip(expected, served(here / "mine", files), strict=True):
        alike(one, sure(other))


def told(model, prediction):
    said = prediction.sure(SURE).to_json() if model.info.task == "detection" else prediction.to_json()
    if model.info.task == "segmentation":
        said["mask"] = prediction.mask
    return said


def sure(said):
    """As `told`, of what came as JSON."""
    if "objects" in said:
        said["objects"] = [one for one in said["objects"] if one["score"] >= SURE]
    if "mask" in said:
        said["mask"] = np.asarray(Image.open(io.BytesIO(base64.b64decode(said["mask"]))))
    return said


def served(model, files):
    """What the real server says of each file."""
    command = [sys.executable, "-m", "frostline", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
            for file in files:
                asked = urllib.request.Request(f"{address.rstrip('/')}/predict", file.read_bytes())
                with urllib.request.urlopen(asked) as answer:
                    yield json.load(answer)
        finally:
            server.terminate()


def alike(one, other):
    """Numbers to 1e-4, corners of boxes to 0.01 px, masks in 0.9999 of pixels; all else the same."""
    assert one.keys() <= other.keys()
    for key, value in one.items():
        if key == "mask":
            assert (value == other[key]).mean() >= 0.9999
        elif key == "box":
            assert other[key] == pytest.approx(value, abs=0.01)
        elif key == "probabilities":
            assert other[key] == pytest.approx(value, abs=1e-4)
        elif key == "objects":
            assert len(other[key]) == len(value)
            for mine, its in zip(value, other[key], strict=True):
                alike(mine, its)
        elif key == "score":
            assert other[key] == pytest.approx(value, abs=1e-4)
        elif key != "pixels":  # counts follow from the mask
            assert other[key] == value

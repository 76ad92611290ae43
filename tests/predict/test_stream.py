"""Many pictures: only some are held at a time, and nobody waits for the last one."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model

INFO = ModelInfo("m", "classification", ("a", "b"), Preprocessing(16))


def halves(squares):
    """A classifier of light and dark."""
    light = squares.mean((1, 2, 3), dtype=np.float32) / 255
    return {"probabilities": np.stack([1 - light, light], 1)}


def test_pictures_are_taken_only_some_batches_ahead():
    """Catches a list of all pictures, or of all predictions, that is made before the first one is given."""
    taken = 0

    def pictures():
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield np.full((16, 16, 3), number % 256, np.uint8)

    stream = Model(INFO, halves).stream(pictures(), batch_size=8)
    for number in range(100):
        assert round(float(next(stream).probabilities[1]) * 255) == number
        assert taken <= number + 4 * 8 + 8
    stream.close()


def test_what_an_exported_file_needs_is_imported_without_torch():
    """Catches an import of torch, or of what imports it, from the code that predicts."""
    code = (
        "import sys, frostline; frostline.load; import frostline.predict.model, frostline.predict.written;"
        "import frostline.predict.gathered, frostline.cli.predict;"
        "print(sorted({'torch', 'pytorch_lightning', 'mlflow', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_is_no_list_or_no_picture_is_told():
    """Catches letters of a name taken for pictures, and an error of Python's that ends the stream."""
    model = Model(INFO, halves)
    for one in ("one.jpg", b"bytes", Image.new("RGB", (4, 4))):
        with pytest.raises(FrostlineError, match=r"write \[picture\]"):
            next(model.stream(one))
    with pytest.raises(FrostlineError, match="batch_size is 0"):
        model.predict([], batch_size=0)
    light, nothing, dark = model.stream([Image.new("L", (9, 4), 255), None, np.zeros((4, 9, 3), np.uint8)])
    assert light.label == 1 and dark.label == 0
    assert "The picture at index 1 is NoneType: give a path, bytes, a PIL image, or RGB pixels" in str(nothing)

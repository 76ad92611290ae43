"""Eight orientations of one picture, four tasks: the same answer, in the coordinates in which it is displayed."""

from io import BytesIO

import numpy as np
import pytest
from helpers.batches import CLASSES, SIZE, TASKS
from PIL import Image

from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.reading import ORIENTATION, TURNS
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.network import TorchEngine


def turned(image):
    """The picture as bytes, as it is and stored in each of the other orientations; all are displayed alike."""
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for orientation in (1, *TURNS):
        exif, file = Image.Exif(), BytesIO()
        exif[ORIENTATION] = orientation
        stored = image if orientation == 1 else image.transpose(undo.get(orientation, TURNS[orientation]))
        stored.save(file, "PNG", exif=exif)
        yield file.getvalue()


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("name", TASKS)
def test_all_orientations_get_one_answer_in_the_picture_as_displayed(make, name, fit):
    """Catches EXIF that is not read, and boxes or masks in the coordinates of the file."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 9, 3), np.uint8)
    image = Image.fromarray(small).resize((90, 60), Image.Resampling.BILINEAR)
    task = make(name, "task.min_score=0.0001") if name == "detection" else make(name)
    model = Model(ModelInfo("mine", name, CLASSES, Preprocessing(SIZE, fit), task.rule), TorchEngine(task, "cpu"))
    pictures = list(turned(image))
    assert len(set(pictures)) == 8
    first, *others = model.predict(pictures)
    for other in others:
        for key in ("probabilities", "box", "boxes", "scores", "labels", "mask"):
            if hasattr(first, key):
                one, its = getattr(first, key), getattr(other, key)
                assert one.shape == its.shape and np.allclose(one, its, atol=1e-4), key
    if name == "segmentation":
        assert first.mask.shape == (60, 90)
    assert first.draw(pictures[5]).width == 90

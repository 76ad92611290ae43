import json
from functools import partial, partialmethod

import numpy as np
import pytest

from frostline.annotate.exchange import export
from frostline.annotate.predict import Predictor
from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.kinds import Detected, Located
from frostline.predict.model import Model

CLASSES = ("rose", "bud")


@pytest.fixture
def predictor(monkeypatch, tmp_path):
    """A predictor of a task whose predictions are given."""

    def make(name, *predictions, fit="stretch"):
        given = iter(predictions)

        def answers(task, raw, classes, placements, rule):
            return [kind(placement) for kind, placement in zip(next(given), placements, strict=True)]

        model = Model(ModelInfo("mine", name, CLASSES, Preprocessing(64, fit)), lambda squares: {})
        monkeypatch.setattr("frostline.predict.model.answers", answers)
        monkeypatch.setattr("frostline.annotate.predict.load", lambda folder: model)
        return Predictor(tmp_path)

    return make


def detected(*rows):
    boxes, labels, scores = zip(*rows, strict=True) if rows else ([], [], [])
    boxes = np.float32(boxes).reshape(-1, 4)
    return partial(Detected, CLASSES, boxes, np.float32(scores), np.int64(labels))


def test_detections_are_boxes_of_the_picture_as_it_is(predictor, flowers):
    # The model sees 64 x 64, the pictures have 60 x 40.
    predictions = [
        detected(([32, 0, 64, 32], 1, 0.9), ([0, 16, 16, 64], 0, 0.5), ([1, 1, 9, 9], 0, 0.2)),
        detected(([1, 1, 9, 9], 0, 0.2), ([1, 1, 9, 9], 0, 0.1)),
        detected(),
        detected(([5, 5, 5, 9], 0, 0.9)),
    ]
    found = predictor("detection", predictions)(flowers.scenes("train"))
    (boxes, uncertainty), low, none, flat = found
    assert [(box.label, box.corners) for box in boxes] == [("bud", (30, 0, 60, 20)), ("rose", (0, 10, 15, 40))]
    assert [box.score for box in boxes] == pytest.approx([0.9, 0.5]) and uncertainty == pytest.approx(0.3)
    assert low[0] == () and low[1] == pytest.approx(0.8)  # nothing good enough: the best score counts
    assert none == ((), 1.0) and flat[0] == ()


def test_boxes_in_a_letterbox_are_boxes_of_the_picture_too(predictor, flowers):
    # 60 x 40 lies in 64 x 64 as 64 x 43, 10 from the top; what was found in the margin is cut off.
    predictions = [detected(([0, 10, 64, 53], 1, 0.9), ([32, 0, 64, 31.5], 0, 0.5))]
    found = predictor("detection", predictions, fit="letterbox")(flowers.scenes("train")[:1])
    whole, upper = found[0][0]
    assert whole.corners == pytest.approx((0, 0, 60, 40)) and upper.corners == pytest.approx((30, 0, 60, 20))


def test_a_localization_proposes_its_one_box(predictor, flowers):
    boxes = np.float32([[0.5, 0.5, 0.5, 0.25], [0.9, 0.5, 0.4, 1.0]])
    shares = np.float32([[0.25, 0.75], [0.6, 0.4]])
    predictions = [partial(Located, CLASSES, share, box) for share, box in zip(shares, boxes, strict=True)]
    one, other = predictor("localization", predictions)(flowers.scenes("train")[:2])
    ((box,), uncertainty) = one
    assert box.label == "bud" and box.corners == pytest.approx((15, 15, 45, 25)) and uncertainty == pytest.approx(0.25)
    assert other[0][0].label == "rose" and other[0][0].corners == pytest.approx((42, 0, 60, 40))  # cut off at the edge
    assert other[1] == pytest.approx(0.4)


def test_other_runs_are_refused(predictor):
    with pytest.raises(FrostlineError, match="a run of segmentation, which predicts no boxes"):
        predictor("segmentation")


def test_more_scenes_than_a_batch_keep_their_order(predictor, flowers, monkeypatch):
    rows = [detected(([0, 0, 32, 32], 0, score)) for score in (0.9, 0.8, 0.7, 0.6)]
    predictor = predictor("detection", rows[:3], rows[3:])
    monkeypatch.setattr(Model, "predict", partialmethod(Model.predict, batch_size=3))
    found = predictor(flowers.scenes("train"))
    assert [uncertainty for _, uncertainty in found] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_what_a_run_predicts_is_exported_most_uncertain_first(predictor, flowers, tmp_path):
    rows = [detected(([0, 0, 32, 32], 1, score)) for score in (0.9, 0.4)]
    predictor("detection", rows)  # asked for f01 and f07; f00 and f06 have masks
    export(flowers.path, "coco", tmp_path / "c.json", run=tmp_path, splits=["train"])
    content = json.loads((tmp_path / "c.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["f07.png", "f01.png", "f00.png", "f06.png"]
    assert [category["name"] for category in content["categories"]] == ["rose", "tulip", "bud"]
    first = content["annotations"][0]
    assert first["bbox"] == [0, 0, 30, 20] and first["score"] == pytest.approx(0.4) and first["category_id"] == 3
    assert "score" not in content["annotations"][2]
    predictor("detection", [detected(), detected()])
    export(flowers.path, "label-studio", tmp_path / "t.json", run=tmp_path, splits=["train"])
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert tasks[0]["predictions"] == [{"model_version": "mine", "result": [], "score": 0.0}]

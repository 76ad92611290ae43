"""Sheets of predictions and of the worst errors: the right scenes, with what is wrong and where they are found."""

from dataclasses import replace

import numpy as np
import pytest

from frostline.draw.marks import class_colours
from frostline.draw.predictions import HOW, error_sheet, prediction_sheet
from frostline.draw.schedule import write_picture
from frostline.predict.kinds import Classified, Detected, Located, Placement, Segmented
from frostline.scenes.scene import COUNTED, CROWD
from frostline.tasks.examples import Example, spread
from frostline.tasks.truth import Truth

SIZE = 64
CLASSES = ("a", "b", "c")


def example(number, prediction, truth=None, words="wrong", size=(SIZE, SIZE)):
    """The picture is of one grey, 10 times its number."""
    picture = np.full((size[1] // 2, size[0] // 2, 3), 10 * number, np.uint8)
    return Example(f"scene {number}", picture, size, prediction, truth or TRUTHS[type(prediction)], words)


BOX, PLACEMENT = np.float32([[8.0, 8.0, 40.0, 56.0]]), Placement(SIZE, (0, 0, SIZE, SIZE), (SIZE, SIZE))
MASK = np.zeros((SIZE, SIZE), np.uint8)
PREDICTIONS = {
    "classification": Classified(CLASSES, np.float32([0.7, 0.2, 0.1])),
    "localization": Located(CLASSES, np.float32([0.7, 0.2, 0.1]), np.float32([0.5, 0.5, 0.5, 0.5]), PLACEMENT),
    "detection": Detected(CLASSES, BOX + 20, np.float32([0.9]), np.array([2]), PLACEMENT),
    "segmentation": Segmented(CLASSES, MASK),
}
TRUTHS = {
    Classified: Truth(1),
    Located: Truth(1, BOX, np.array([1])),
    Detected: Truth(None, BOX, np.array([2]), marks=np.array([COUNTED], np.uint8)),
    Segmented: Truth(mask=MASK),
}


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr("frostline.draw.predictions.save", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize("name", PREDICTIONS)
def test_each_pair_shows_one_scene_with_its_words_in_the_order_given(drawn, tmp_path, name):
    # Catches words of another scene, and a pair that shows one picture on the left and another on the right.
    order = [14, 2, 16, 0, 4, 6]
    worst = [example(number, PREDICTIONS[name], words=f"mistake {number}") for number in order]
    error_sheet(worst, 7, 9, tmp_path / "x.png")
    (figure,) = drawn
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "The worst errors; 7 of 9 scenes of the test split have one"
    assert texts[1] == HOW[type(PREDICTIONS[name])]
    assert [text for text in texts if text.startswith("scene")] == [f"scene {number}" for number in order]
    assert [text for text in texts if text.startswith("mistake")] == [f"mistake {number}" for number in order]
    pictures = [[int(image.get_array().max()) for image in axes.images[:1]] for axes in figure.axes]
    for pair, number in enumerate(order):
        left, right = pictures[2 * pair : 2 * pair + 2]
        assert left == [10 * number] and right == ([] if name == "classification" else left)


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize(("columns", "count"), [(2, 4), (5, 9), (6, 1)])
def test_each_prediction_is_shown_over_its_picture(drawn, tmp_path, name, columns, count):
    prediction_sheet([example(n, PREDICTIONS[name]) for n in range(count)], tmp_path / "x.png", columns)
    (figure,) = drawn
    assert [int(axes.images[0].get_array().max()) for axes in figure.axes if axes.images] == [*range(0, 10 * count, 10)]
    assert len(figure.axes) == count and all(len(axes.get_xticks()) == 0 for axes in figure.axes)


def test_scenes_are_spread_over_the_split():
    # Catches the first scenes, which are often all of one class, and more places than there are scenes.
    assert spread(4, 9) == [0, 2, 5, 8] and spread(12, 5) == [0, 1, 2, 3, 4]
    assert spread(1, 9) == [0] and spread(3, 1) == [0] and spread(3, 0) == []


def test_predicted_areas_lie_in_the_colours_of_the_key_over_a_picture_that_stays_as_it_is_elsewhere(drawn, tmp_path):
    # Catches a tinted background, the truth's colours instead of the prediction's, and a picture without its key.
    found, truth = MASK.copy(), MASK.copy()
    found[:, :10], truth[:8] = 2, 1
    classes = ("background", "daisy", "rose")
    one = example(1, Segmented(classes, found), Truth(mask=truth))
    prediction_sheet([one], tmp_path / "x.png", 1)
    (figure,) = drawn
    _, painted, lines = (image.get_array() for image in figure.axes[0].images)
    rose = class_colours(3)[2]
    assert (painted[:, :10, :3] == rose).all() and (painted[:, :10, 3] > 0.5).all() and not painted[:, 10:, 3].any()
    assert lines[8, :, 3].all() and not lines[:8, :, 3].any() and not lines[9:, :, 3].any()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(classes[1:])
    assert legend.get_patches()[1].get_facecolor()[:3] == pytest.approx(tuple(rose))


def test_all_is_drawn_in_the_pictures_own_pixels(drawn, tmp_path):
    # A picture of 120 x 40 px, letterboxed into 64 px: catches boxes left in the square, and pictures stretched to it.
    placement = Placement(SIZE, (0, 21, SIZE, 21), (120, 40))
    found = Detected(CLASSES, np.float32([[0.0, 21.0, 32.0, 42.0]]), np.float32([0.9]), np.array([0]), placement)
    truth = Truth(None, np.float32([[0.0, 0.0, 60.0, 40.0]]), np.array([0]), marks=np.array([COUNTED], np.uint8))
    prediction_sheet([example(1, found, truth, size=(120, 40))], tmp_path / "x.png", 1)
    axes = drawn[0].axes[0]
    assert axes.get_xlim() == (0, 120) and axes.get_ylim() == (40, 0) and axes.get_aspect() == 1
    assert [patch.get_bbox().bounds for patch in axes.patches] == [(0, 0, 60, 40)] * 2


def test_a_run_without_errors_says_so(drawn, tmp_path):
    error_sheet([], 0, 9, tmp_path / "x.png")
    assert [text.get_text() for text in drawn[0].texts] == ["No errors: 0 of 9 scenes of the test split have one", ""]
    assert not drawn[0].axes


def test_of_many_boxes_the_surest_are_named_so_that_the_picture_stays_to_be_seen(drawn, tmp_path):
    scores = np.linspace(0.95, 0.31, 20, dtype=np.float32)
    found = Detected(
        CLASSES, np.random.default_rng(0).random((20, 4), np.float32) * 64, scores, np.zeros(20, int), PLACEMENT
    )
    nothing = Truth(None, BOX[:0], np.zeros(0, int), marks=np.zeros(0, np.uint8))
    prediction_sheet([example(1, found, nothing)], tmp_path / "x.png", 1)
    axes = drawn[0].axes[0]
    assert len(axes.patches) == 20
    assert [text.get_text().split()[-1] for text in axes.texts] == [f"{score:.0%}" for score in scores[:6].tolist()]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_names_with_dollars_are_drawn_as_they_are(tmp_path, name):
    prediction = replace(PREDICTIONS[name], classes=("$5", "$10", "$_$"))
    shown = [example(n, prediction) for n in range(3)]
    prediction_sheet(shown, tmp_path / "a.png")
    error_sheet(shown, 3, 9, tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size and (tmp_path / "b.png").stat().st_size


def test_a_heat_map_lies_over_a_second_copy_of_its_own_picture(drawn, tmp_path):
    # Catches heat maps of other scenes, and places in other units than the picture's pixels.
    worst = [example(number, PREDICTIONS["classification"], size=(64, 32)) for number in (3, 9)]
    heats = [np.full((4, 8), value, np.float32) for value in (0.25, 1.0)]
    error_sheet(worst, 2, 9, tmp_path / "x.png", "the val split", heats)
    (figure,) = drawn
    assert "Grad-CAM" in figure.texts[1].get_text() and "2 of 9 scenes of the val split" in figure.texts[0].get_text()
    assert len(figure.axes) == 6
    for number, heat, (plain, heated, shares) in zip(
        (3, 9), (0.25, 1.0), (figure.axes[:3], figure.axes[3:]), strict=True
    ):
        assert [len(axes.images) for axes in (plain, heated, shares)] == [1, 2, 0]
        below, above = heated.images
        assert (below.get_array() == 10 * number).all() and (above.get_array() == heat).all()
        assert list(above.get_extent()) == list(below.get_extent()) == [0, 64, 32, 0]


def test_a_schedule_with_dollars_in_its_name_is_drawn(make, tmp_path):
    task = make("classification", "schedule=frozen", "schedule.name=$_$")
    for name, start in {"a.png": b"\x89PNG", "a.svg": b"<?xml"}.items():
        write_picture(task.model, [1e-3, 1e-3], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 2
    assert "mathdefault" not in (tmp_path / "a.svg").read_text(), "a rate is no formula"


@pytest.mark.parametrize("sheet", ["predictions", "errors"])
def test_what_does_not_count_is_dotted_and_neither_good_nor_bad(drawn, tmp_path, sheet):
    # On the left a box that is missed and a crowd; on the right one prediction in the crowd, and one of nothing.
    boxes, labels = np.concatenate([BOX, BOX + 20]), np.array([2, 2])
    truth = Truth(None, np.concatenate([BOX - 8, BOX + 20]), labels, marks=np.array([COUNTED, CROWD], np.uint8))
    found = Detected(CLASSES, boxes + np.float32([20.0, 20, 0, 0]), np.float32([0.9, 0.8]), labels, PLACEMENT)
    one = example(3, replace(found, in_square=np.float32([[30.0, 30, 40, 40], [0, 58, 6, 64]])), truth)
    if sheet == "predictions":
        prediction_sheet([one], tmp_path / "x.png")
        assert [patch.get_linestyle() for patch in drawn[0].axes[0].patches] == ["--", ":", "-", "-"]
    else:
        error_sheet([one], 1, 1, tmp_path / "x.png")
        styles = [[patch.get_linestyle() for patch in axes.patches] for axes in drawn[0].axes]
        assert styles == [[":", "-"], [":", "-"]]
        assert [[text.get_text() for text in axes.texts] for axes in drawn[0].axes] == [["c"], ["c 80%"]]

import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from frostline.draw.colours import BLUE, ORANGE, PINK
from frostline.draw.png import png_of
from frostline.lecture.figures.boxes import (
    FOUND,
    TRUE,
    detected_figure,
    iou_figure,
    located_figure,
    precision_recall_figure,
    suppression_figure,
    windows_figure,
)
from frostline.predict.kinds import Detected, Located, Placement
from frostline.tasks.examples import Example
from frostline.tasks.truth import Truth

PICTURE = torch.rand(3, 60, 80)


def frames(axes, colour=None):
    """x0 y0 x1 y1 of the boxes that are drawn as lines, of a colour or of all."""
    drawn = [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    own = [patch for patch in drawn if colour is None or to_hex(patch.get_edgecolor()) == colour]
    return [[*patch.get_xy(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height()] for patch in own]


def painted(axes):
    """The same of those that are filled."""
    own = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    return [[*patch.get_xy(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height()] for patch in own]


def example(prediction, boxes):
    """Of a picture that is shown at half its size."""
    truth = Truth(0, np.array(boxes, np.float32), np.zeros(len(boxes), np.int64))
    return Example("s", np.zeros((30, 40, 3), np.uint8), (80, 60), prediction, truth, "")


def test_what_two_boxes_share_is_painted_and_what_either_covers():
    figure = iou_figure(PICTURE, [10, 10, 40, 50], [20, 5, 60, 30], 400, 1800)
    boxes, shared, covered = figure.axes
    assert frames(boxes, TRUE) == [[10, 10, 40, 50]] and frames(boxes, FOUND) == [[20, 5, 60, 30]]
    assert painted(boxes) == [] and painted(shared) == [[20, 10, 40, 30]]
    assert painted(covered) == [[10, 10, 40, 50], [20, 5, 60, 30]]
    assert figure.get_suptitle() == "IoU = 400 / 1,800 = 0.22"


def test_boxes_lie_where_they_are_in_a_picture_that_is_shown_smaller():
    at = Placement(64, (0, 0, 64, 64), (80, 60))
    found = Located(("rose",), np.ones(1, np.float32), np.array([0.5, 0.5, 0.5, 0.5], np.float32), at)
    (axes,) = located_figure([example(found, [[20, 10, 60, 40]])], [0.8]).axes
    assert axes.get_title() == "rose\nIoU 0.80"
    assert frames(axes, TRUE) == [[10, 5, 30, 20]] and frames(axes, FOUND) == [[10, 7.5, 30, 22.5]]


def test_a_class_that_is_called_like_a_formula_is_drawn_as_it_is():
    at = Placement(64, (0, 0, 64, 64), (80, 60))
    found = Located(("a$_$b",), np.ones(1, np.float32), np.array([0.5, 0.5, 0.5, 0.5], np.float32), at)
    assert png_of(located_figure([example(found, [])], [0.8]), 50)  # else it is a formula that ends too early
    many = Detected(("a$_$b",), np.array([[0, 0, 8, 6]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), at)
    assert png_of(detected_figure([example(many, [[20, 10, 60, 40]])], 0.3), 50)


def test_doubtful_boxes_are_left_out():
    at = Placement(80, (0, 0, 80, 60), (80, 60))
    boxes, scores = np.array([[0, 0, 8, 6], [8, 6, 80, 60]], np.float32), np.array([0.9, 0.2], np.float32)
    found = Detected(("rose",), boxes, scores, np.zeros(2, np.int64), at)
    (axes,) = detected_figure([example(found, [[20, 10, 60, 40]])], 0.3).axes
    assert len(frames(axes, FOUND)) == 1 and [text.get_text() for text in axes.texts] == ["rose 90%"]


def test_each_step_shows_what_is_kept_what_goes_and_what_is_left():
    boxes = [[0, 0, 10, 10], [1, 0, 10, 10], [30, 30, 50, 50]]
    steps = [([], [], [0, 1, 2]), ([0], [1], [2])]
    first, second = suppression_figure(PICTURE, boxes, [0.9, 0.8, 0.7], steps, ["all", "one"]).axes
    assert frames(first, BLUE) == boxes and frames(first, ORANGE) == frames(first, PINK) == []
    assert (frames(second, ORANGE), frames(second, PINK), frames(second, BLUE)) == ([boxes[0]], [boxes[1]], [boxes[2]])


def test_windows_lie_on_the_cells():
    (axes,) = windows_figure(PICTURE, 10, [(0, 0), (0, 1), (3, 5)], 3, 24).axes
    assert frames(axes) == [[1, 1, 29, 29], [11, 1, 39, 29], [51, 31, 79, 59]]


def test_the_highest_precisions_stand_at_their_recalls():
    recall, precision = torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.0, 0.5, 0.33])
    (axes,) = precision_recall_figure(recall, precision, [0.5] * 6 + [0.0] * 5, 0.27, "rose").axes
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert np.allclose(dots.get_xdata(), np.linspace(0, 1, 11)) and list(dots.get_ydata()) == [0.5] * 6 + [0.0] * 5

"""What the pictures of the parts show must be what they were given."""

import numpy as np
import torch

from frostline.draw.colours import BLUE, RED
from frostline.draw.marks import class_colours
from frostline.lecture.figures.segmentation import masks_figure, painted_figure
from frostline.lecture.figures.transfer import thaw_figure, views_figure, wrong_figure


def test_the_moment_of_thawing_lies_between_two_epochs():
    # Catches a line at the epoch itself, or one too early: epochs are counted from 1 in the picture.
    axes = thaw_figure({"thawed": [0.1, 0.2, 0.6], "stays frozen": [0.1, 0.2, 0.3]}, 2, "accuracy").axes[0]
    thawed, frozen, moment = axes.lines
    assert thawed.get_xdata().tolist() == [1, 2, 3] and thawed.get_ydata().tolist() == [0.1, 0.2, 0.6]
    assert (thawed.get_color(), frozen.get_color()) == (BLUE, RED)
    assert set(moment.get_xdata()) == {2.5}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["thawed", "stays frozen"]


def test_what_goes_wrong_stands_side_by_side():
    left, right = wrong_figure({"a": [0.1, 0.5]}, 1, {"b": [0.0, 0.0], "c": [0.7, 0.9]}, ("up", "off")).axes
    assert len(left.lines) == 2 and [line.get_ydata().tolist() for line in right.lines] == [[0.0, 0.0], [0.7, 0.9]]
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("up", "off")
    assert right.get_ylim()[0] < 0  # a line at 0 is to be seen


def test_boxes_lie_on_their_pixels():
    item = {"image": torch.zeros(3, 8, 8, dtype=torch.uint8), "boxes": torch.tensor([[2.0, 1.0, 5.0, 7.0]])}
    axes = views_figure({"as it is": item, "plain": {"image": item["image"]}}, ()).axes
    (box,) = axes[0].patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (1.5, 0.5, 3, 6)  # pixel 2's left edge is at 1.5
    assert not axes[1].patches and len(axes) == 3


def test_masks_are_shown_in_the_colours_of_their_legend():
    picture, mask = torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.long)
    mask[1:3, 1:3] = 2
    mask[0, 0] = 255  # unknown
    figure = masks_figure(picture, {"the truth": mask, "none": torch.zeros_like(mask)}, ["background", "ant", "bee"])
    truth, empty = figure.axes[1].images[1].get_array(), figure.axes[2].images[1].get_array()
    assert np.allclose(truth[1, 1, :3], class_colours(3)[2]) and truth[0, 0, 3] == 0 and not empty.any()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["bee"]
    assert np.allclose(legend.get_patches()[0].get_facecolor()[:3], class_colours(3)[2])


def test_maps_share_one_scale():
    left, right = painted_figure({"uneven": torch.tensor([[1.0, 4.0]]), "even": torch.tensor([[4.0, 4.0]])}).axes
    assert left.images[0].get_clim() == right.images[0].get_clim() and left.images[0].get_clim()[1] > 4

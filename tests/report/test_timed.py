"""Quality against seconds: what is drawn is what each arm had reached, and when."""

import itertools

import numpy as np
import pytest
from helpers.study import axes_of, made_epochs, made_run
from matplotlib.backends.backend_agg import FigureCanvasAgg

from frostline.draw.style import chart
from frostline.report.arms import panels_of
from frostline.report.looks import look_of
from frostline.report.timed import quality_against_seconds


def drawn(runs):
    panels = panels_of(runs)
    return chart(quality_against_seconds)(panels, look_of(panels, axes_of(runs)))


def test_a_line_is_the_best_so_far_of_each_seed_and_ends_in_the_test_figure():
    # Catches the best of the means, means of seconds, and a validation figure drawn as if it were the test's.
    curves = [[0.2, 0.6, 0.4], [0.5, 0.3, 0.3], [0.2, 0.3, 0.8]]
    seconds = [[2.0, 4.0, 6.0], [3.0, 5.0, 8.0], [4.0, 900.0, 999.0]]
    runs = [
        made_run(seed=n, value=0.55, train_seconds=took[-1], epochs=made_epochs(values, took))
        for n, (values, took) in enumerate(zip(curves, seconds, strict=True))
    ]
    (axes,) = drawn(runs).axes
    line, *_, end = axes.lines
    assert line.get_drawstyle() == "steps-post" and axes.get_xscale() == "log"
    assert line.get_xdata().tolist() == [3, 5, 8]
    assert line.get_ydata() == pytest.approx([0.3, 1.4 / 3, 1.9 / 3])
    assert end.get_xydata().tolist() == [[8, pytest.approx(0.55)]]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().bounds == pytest.approx((3, 0.2, 5, 0.6))


def test_without_journals_there_is_no_picture_and_nothing_found_is_no_value():
    assert drawn([made_run(epochs=())]) is None
    (axes,) = drawn([made_run("detection", value=0.1, epochs=made_epochs([-1.0, 0.1]))]).axes
    assert np.isnan(axes.lines[0].get_ydata()[0]) and axes.get_ylim()[0] > 0


@pytest.mark.parametrize(("shortest", "longest"), [(29.0, 30.0), (3.0, 9.0), (3.0, 900.0), (3.0, 90_000.0)])
def test_any_span_of_seconds_has_ticks_that_can_be_read(shortest, longest):
    # Catches numbers over each other over many decades, and an axis without any over few seconds.
    runs = [
        made_run(task, name, train_seconds=took, epochs=made_epochs([0.5], [took]))
        for task, (name, took) in itertools.product(
            ("classification", "detection"), {"full": longest, "frozen": shortest}.items()
        )
    ]
    figure = drawn(runs)
    canvas = FigureCanvasAgg(figure)
    chart(canvas.draw)()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        shown = [t for t, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True) if low <= x <= high]
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in [*shown, *axes.texts]]
        assert 2 <= len(shown) <= 8 and all(text.get_text() for text in shown)
        assert not [1 for one, two in itertools.combinations(boxes, 2) if one.overlaps(two)]
        assert [text.get_text() for text in axes.texts] == [
            label for label, most in (("ten minutes", 600), ("an hour", 3600), ("a night (8 h)", 28_800)) if most < high
        ]

"""What the charts show must be what was measured, and each arm can be told from the others."""

import itertools

import numpy as np
import pytest
from helpers.study import axes_of, made_epochs, made_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from frostline.draw.style import chart
from frostline.report.arms import panels_of
from frostline.report.charts import against, comparison
from frostline.report.learning import learning_curves
from frostline.report.looks import look_of


def look_at(runs):
    panels = panels_of(runs)
    return panels, look_of(panels, axes_of(runs))


def drawn(kind, runs, *cost):
    return chart(kind)(*look_at(runs), *cost)


def bars(strip):
    """Left end, width and height of each bar."""
    found = [bar for bar in strip.patches if isinstance(bar, Rectangle)]
    return [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in found]


def marks_of(axes):
    return [found for found in axes.collections if isinstance(found, PathCollection)]


def labels_of(figure):
    return [
        text.get_text().strip() for legend in figure.legends for text in legend.get_texts() if text.get_text().strip()
    ]


def test_every_run_is_a_dot_and_every_arm_has_its_mean_as_a_number():
    values = {"thaw": (0.90, 0.94), "frozen": (0.70, 0.72)}
    runs = [made_run(schedule=name, seed=seed, value=v) for name, vs in values.items() for seed, v in enumerate(vs)]
    (axes,) = drawn(comparison, runs).axes
    assert [sorted(marks.get_offsets()[:, 1]) for marks in marks_of(axes)] == [[0.90, 0.94], [0.70, 0.72]]
    assert [text.get_text() for text in axes.texts] == ["0.920", "0.710"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["thaw", "frozen"]


def test_a_run_that_failed_is_told_and_not_drawn_as_zero():
    (axes,) = drawn(comparison, [made_run(value=float("nan")), made_run(schedule="full")]).axes
    assert [text.get_text() for text in axes.texts] == ["NaN", "0.500"]


def test_costs_are_what_each_run_took():
    runs = [made_run(schedule=name, train_seconds=s, predict_ms=s / 4) for name, s in (("thaw", 8.0), ("full", 16.0))]
    for cost, xs in (("train_seconds", [8, 16]), ("predict_ms", [2, 4])):
        (axes,) = drawn(against, runs, cost).axes
        assert [float(marks.get_offsets()[0, 0]) for marks in marks_of(axes)] == xs


def test_means_are_marked_where_an_arm_has_several_seeds():
    # Catches a pale mark behind the only seed, which says nothing and hides what lies under it.
    for seeds, marks in {1: 1, 3: 2}.items():
        figure = drawn(against, [made_run(seed=seed, value=0.5 + seed / 10) for seed in range(seeds)], "train_seconds")
        assert len(marks_of(figure.axes[0])) == marks
        assert any("a large pale one" in text.get_text() for text in figure.texts) == (marks == 2)


def test_without_another_axis_eight_heads_have_a_look_of_their_own():
    # Catches marks that start anew after the seventh, and one colour for all.
    heads = [f"head{i}" for i in range(8)]
    runs = [made_run("detection", "full", 0, 0.5 + i / 100, head=head) for i, head in enumerate(heads)]
    figure = drawn(against, runs, "predict_ms")
    looks = {
        (tuple(marks.get_facecolor()[0][:3]), marks.get_paths()[0].vertices.tobytes())
        for marks in marks_of(figure.axes[0])
    }
    assert len(looks) == 8 == len({look[0] for look in looks}) == len({look[1] for look in looks})
    assert sorted(labels_of(figure)) == heads
    assert comparison(*look_at(runs)).legends == []


def test_the_schedule_has_colours_and_all_other_axes_have_marks_together():
    runs = [
        made_run(schedule=name, axes={"image_size": size, "schedule": name, "box_loss": loss})
        for size in ("96", "160")
        for name in ("thaw", "full")
        for loss in ("l1", "giou")
    ]
    panels, look = look_at(runs)
    arms = panels[0].arms
    assert look.kinds == [
        "image_size=96, box_loss=l1", "image_size=96, box_loss=giou",
        "image_size=160, box_loss=l1", "image_size=160, box_loss=giou",
    ]  # fmt: skip
    assert len({look.colour(arm) for arm in arms}) == 2 and len({look.marker(arm) for arm in arms}) == 4
    assert len({(look.colour(arm), look.marker(arm)) for arm in arms}) == 8
    figure = chart(against)(panels, look, "train_seconds")
    assert labels_of(figure)[:2] != labels_of(figure)[2:] and set(labels_of(figure)) == {"thaw", "full", *look.kinds}


def test_a_missing_result_changes_no_colours():
    runs = [made_run(schedule=name) for name in ("a", "b", "c")]
    every, some = look_at(runs)[1], look_of(panels_of(runs[1:]), axes_of(runs))
    assert some.colours == every.colours


def test_values_that_the_grid_no_longer_has_are_drawn_after_those_that_it_has():
    panels = panels_of([made_run(schedule=name) for name in ("b", "old", "a")])
    look = look_of(panels, {"schedule": ["a", "b"]})
    assert look.values(panels[0].arms) == ["a", "b", "old"]


def test_curves_are_drawn_against_images_and_seconds_with_their_phases():
    runs = [
        made_run(schedule="thaw", seed=seed, epochs=made_epochs([0.2, 0.4 + 0.2 * seed, 0.6], seconds, [3, 3, 0]))
        for seed, seconds in enumerate(([2.0, 4.0, 10.0], [4.0, 8.0, 14.0]))
    ]
    runs.append(made_run(schedule="full", epochs=made_epochs([0.1, 0.3, 0.9], [7.0, 14.0, 21.0])))
    by_images, by_seconds, below_images, below_seconds = drawn(learning_curves, runs).axes
    for axes, xs in ((by_images, [100, 200, 300] * 2), (by_seconds, [3, 6, 12, 7, 14, 21])):
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert np.concatenate([line.get_xdata() for line in lines]).tolist() == pytest.approx(xs)
        assert np.concatenate([line.get_ydata() for line in lines]) == pytest.approx([0.2, 0.5, 0.6, 0.1, 0.3, 0.9])
    # thaw's phase ends with its second epoch; full has but one phase
    for axes, x in ((by_images, 200), (by_seconds, 6)):
        ticks = [line.get_xydata() for line in axes.lines if line.get_marker() == "|"]
        assert np.concatenate(ticks) == pytest.approx(np.array([[x, 0.5]]))
    assert bars(below_images) == [(0, 200, 0.74)] and bars(below_seconds) == [(0, 6, 0.74)]
    assert [text.get_text() for text in below_images.texts] == ["3"]
    (shade,) = (patch for patch in by_seconds.patches if isinstance(patch, Rectangle))
    assert (shade.get_x(), shade.get_width()) == (0, 12), "the time that the faster arm needed in total"
    assert by_images.get_ylim() == by_seconds.get_ylim()


def test_where_nothing_was_ever_frozen_no_strip_shows_what_was():
    # Catches a block of thin lines, one an arm, under "bar below: frozen".
    runs = [
        made_run("detection", "full", i, head=f"h{i}", epochs=made_epochs([0.5, 0.5], [2.0 + i, 4.0 + i]))
        for i in range(8)
    ]
    figure = drawn(learning_curves, runs)
    assert [axes.get_xlabel() for axes in figure.axes] == ["training images seen", "seconds of training"]
    assert all(label.get_visible() for axes in figure.axes for label in axes.get_xticklabels())
    (how,) = (text.get_text() for text in figure.texts if text.get_text().startswith("line:"))
    assert "bar below" not in how and how.endswith("nothing was frozen")
    assert drawn(learning_curves, [made_run(epochs=())]) is None


def test_backbones_share_the_row_of_a_schedule_each_with_its_own_time():
    runs = [
        made_run(backbone=name, epochs=made_epochs([0.5, 0.5], [2 * factor, 4 * factor], [5, 0]))
        for name, factor in {"quick": 1.0, "slow": 3.0}.items()
    ]
    _, _, below_images, below_seconds = drawn(learning_curves, runs).axes
    assert bars(below_images) == [(0, 100, 0.74)]
    assert bars(below_seconds) == [pytest.approx((0, 2, 0.37)), pytest.approx((0, 6, 0.37))]


def test_budgets_that_freeze_for_as_long_as_they_are_have_rows_of_their_own():
    runs = [
        made_run(axes={"epochs": str(n)}, epochs=made_epochs([0.5] * n, depths=[5] * (n // 2) + [0] * (n // 2)))
        for n in (2, 4)
    ]
    strip = drawn(learning_curves, runs).axes[2]
    assert [label.get_text() for label in strip.get_yticklabels()] == ["thaw, epochs=2", "thaw, epochs=4"]


@pytest.fixture
def boxes(monkeypatch):
    """Draws a figure; gives where each of its texts lies."""

    def draw(figure: Figure):
        found = {}
        original = Text.draw

        def note(self, renderer, *args, **kwargs):
            if self.get_text().strip() and self.get_visible():
                found[self] = self.get_window_extent(renderer)
            original(self, renderer, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", note)
            FigureCanvasAgg(figure).draw()
        return [(text.get_text(), box) for text, box in found.items()]

    return draw


def test_no_text_of_the_curves_lies_over_another_with_ten_schedules(boxes):
    runs = []
    for task, i in itertools.product(("classification", "detection"), range(10)):
        # bars of one epoch in the last but one; in the last, bars that are short because it is the fastest by far
        depths = [max(0, 6 - epoch // (3 if i == 9 else 9 - i)) for epoch in range(40)]
        seconds = [(1 if i == 9 else 20 - i) * (epoch + 1.0) for epoch in range(40)]
        runs.append(made_run(task, f"schedule_{i}", epochs=made_epochs([0.5] * 40, seconds, depths)))
    figure = drawn(learning_curves, runs)
    found = chart(boxes)(figure)
    assert {"Classification", "map", "schedule_9", "seconds of training", "6"} <= {text for text, _ in found}
    page = figure.bbox
    outside = [a for a, box in found if not (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0)]
    assert outside == []
    over = [(a, b) for (a, one), (b, two) in itertools.combinations(found, 2) if one.overlaps(two)]
    assert over == []


@pytest.mark.parametrize("kinds", [1, 3, 12])
def test_legends_are_as_wide_as_the_picture_and_no_text_lies_over_another(boxes, kinds):
    runs = [
        made_run(schedule=name, backbone=f"a_backbone_with_a_long_name_{n}")
        for n in range(kinds)
        for name in ("frozen", "thaw", "full")
    ]
    figure = drawn(against, runs, "train_seconds")
    found = chart(boxes)(figure)
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 <= box.y1 <= page.y1 for _, box in found)
    assert [(a, b) for (a, one), (b, two) in itertools.combinations(found, 2) if one.overlaps(two)] == []


@pytest.mark.parametrize(
    ("schedules", "backbones", "tasks"), [(10, 4, 1), (10, 9, 1), (1, 10, 1), (5, 4, 2), (3, 2, 2)]
)
def test_no_number_of_the_comparison_lies_over_another_or_over_a_dot(schedules, backbones, tasks):
    # Catches numbers side by side where a schedule has several arms that lie close, and in half the width.
    runs = [
        made_run(task, f"schedule_{n}", seed, 0.85 + (3 * n + 5 * m + seed) % 7 / 500, backbone=f"backbone_{m}")
        for task, n, m, seed in itertools.product(
            ("classification", "detection")[:tasks], range(schedules), range(backbones), range(3)
        )
    ]
    runs.append(made_run(schedule="schedule_0", seed=3, value=float("nan"), backbone="backbone_0"))
    runs.append(made_run(schedule="schedule_0", seed=3, value=float("nan"), backbone="backbone_1"))
    figure = drawn(comparison, runs)
    canvas = FigureCanvasAgg(figure)
    chart(canvas.draw)()
    for axes in figure.axes:
        numbers = [text.get_window_extent(canvas.get_renderer()) for text in axes.texts]
        assert len(numbers) == schedules * backbones
        assert not [1 for one, two in itertools.combinations(numbers, 2) if one.overlaps(two)]
        dots = np.concatenate([axes.transData.transform(marks.get_offsets()) for marks in marks_of(axes)])
        assert not [1 for box in numbers for x, y in dots if box.contains(x, y)]
        assert all(box.y1 <= axes.bbox.y1 for box in numbers), "above the panel stands its title"

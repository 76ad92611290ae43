import pytest
from matplotlib.figure import Figure

from frostline.draw.colours import colours_of
from frostline.draw.legends import height_of, legend, lines_of, mark


def labels(lines):
    return [[handle.get_label() for handle in line] for line in lines]


def test_a_legend_is_read_line_by_line_and_each_group_starts_a_new_one():
    groups = [[mark(f"name {i}", "red") for i in range(5)], [], [mark("note", "blue")]]
    lines = labels(lines_of(groups, width=3.6))
    assert lines == [["name 0", "name 1", "name 2"], ["name 3", "name 4"], ["note"]]
    figure = Figure(figsize=(3.6, 2))
    legend(figure, groups)
    drawn = sorted(figure.legends, key=lambda one: -one.get_window_extent().y0)
    assert [[text.get_text() for text in one.get_texts()] for one in drawn] == lines


@pytest.mark.parametrize(("width", "lines"), [(0.5, 6), (2.2, 3), (9, 1)])
def test_a_narrow_picture_has_more_lines_and_leaves_them_more_room(width, lines):
    groups = [[mark(f"name {i}", "red") for i in range(6)]]
    assert len(lines_of(groups, width)) == lines
    assert height_of(groups, width) == pytest.approx((0.5 + 1.9 * lines) * 10 / 72)
    assert height_of([], width) == height_of([[]], width) == 0
    figure = Figure()
    legend(figure, [[]])
    assert not figure.legends


def test_colours_are_distinct_for_any_number_of_names():
    for n in (1, 6, 7, 10, 11, 14):
        assert len(set(colours_of([str(i) for i in range(n)]).values())) == n

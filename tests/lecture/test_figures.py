"""Pictures whose words can be read."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from frostline.lecture.figures import convolution as figures
from frostline.lecture.figures import panels

torch.manual_seed(0)
PICTURE, MAP = torch.rand(3, 32, 32), torch.rand(28, 30)
BITS = (torch.rand(3, 4, 8) > 0.5).float()
DRAWN = {
    "field": lambda: figures.field_figure(PICTURE, MAP, (12, 20), (3, 5)),
    "filters": lambda: figures.filters_figure(MAP, [torch.eye(7)] * 2, [MAP] * 2),
    "learned": lambda: figures.learned_figure(torch.randn(11, 3, 3, 3), [MAP] * 11),
    "shifts": lambda: figures.shifts_figure(BITS, BITS[:, ::2, ::2], 2),
    "pooled": lambda: figures.pooled_figure(PICTURE, PICTURE[:, ::8, ::8], PICTURE[:, ::8, ::8]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_no_word_leaves_the_picture_or_meets_another(name):
    """Catches a title that is wider than its panel."""
    figure = DRAWN[name]()
    FigureCanvasAgg(figure).draw()
    width, height = figure.get_size_inches() * figure.dpi
    texts = [text for axes in figure.axes for text in (axes.title, *axes.texts) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    assert all(text.get_fontsize() >= 9 for text in texts) and figure.get_figwidth() <= 5.5
    for number, box in enumerate(boxes):
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -1, texts[number].get_text()
        assert not any(box.overlaps(other) for other in boxes[:number]), texts[number].get_text()


def test_the_neuron_and_its_field_are_framed():
    figure = DRAWN["field"]()
    frames = [[patch.get_bbox().bounds for patch in axes.patches] for axes in figure.axes]
    assert frames == [[(19.5, 11.5, 5, 3)], [(19.5, 11.5, 1, 1)]]
    upper, lower = figure.artists
    assert (upper.xy1, upper.xy2) == ((24.5, 11.5), (19.5, 11.5))
    assert (lower.xy1, lower.xy2) == ((24.5, 14.5), (19.5, 12.5))


def test_a_small_map_shows_its_numbers():
    figure, axes = panels.panels(1, 1)
    panels.numbers(axes[0, 0], torch.tensor([[0.0, 1.0], [0.5, 0.25]]), "a map")
    assert [text.get_text() for text in axes[0, 0].texts] == ["0", "1", "0.5", "0.25"]

"""The sheet of the worst errors: the right scenes, in their order, with what is wrong and where they are found."""

import pytest
import torch
from matplotlib.figure import Figure

from frostline.draw.marks import class_colours
from frostline.draw.predictions import WRONG, error_sheet, prediction_sheet
from frostline.draw.schedule import schedule_picture
from frostline.loading.batch import collate

SIZE = 64


class Items:
    """Nine scenes of a split of which every other one serves: its places are 0, 2 … 16."""

    indices = list(range(0, 18, 2))

    def __len__(self):
        return 9

    def plain(self, position):
        place = self.indices[position]
        mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
        mask[: 4 * position] = 1
        return {
            "image": torch.full((3, SIZE, SIZE), 10 * position, dtype=torch.uint8),
            "index": place,
            "id": f"scene {place}",
            "label": 1,
            "boxes": torch.tensor([[8.0, 8.0, 40.0, 56.0]]),
            "box_labels": torch.tensor([2]),
            "mask": mask,
            "native_mask": mask,
            "place": (0, 0, SIZE, SIZE),
        }


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.append(figure))
    return figures


@pytest.mark.parametrize("name", ["classification", "localization", "detection", "segmentation"])
def test_the_sheet_shows_the_worst_first_with_their_names(make, drawn, tmp_path, name):
    # Catches places within the split taken for positions among what serves, words of another scene, and a pair that
    # shows one picture on the left and another on the right.
    task = make(name).eval()
    task.worst = [14, 2, 16, 0, 4, 6, 8]
    error_sheet(task, Items(), tmp_path / "x.png")
    (figure,) = drawn
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "The worst errors; 7 of 9 scenes of the test split have one" and texts[1] == task.told
    assert [text for text in texts if text.startswith("scene")] == [f"scene {place}" for place in task.worst[:6]]
    pictures = [[int(image.get_array().max()) for image in axes.images[:1]] for axes in figure.axes]
    for pair, place in enumerate(task.worst[:6]):
        left, right = pictures[2 * pair : 2 * pair + 2]
        assert left == [5 * place] and right == ([] if name == "classification" else left)
    said = [text.get_text() for text in figure.texts if text.get_color() == WRONG]
    items = [Items().plain(place // 2) for place in task.worst[:6]]
    with torch.no_grad():
        batch = collate(items)
        expected = task.mistakes(task.measured(task(batch["image"]), batch), batch)
    assert said == [mistake.words for mistake in expected]


@pytest.mark.parametrize("name", ["classification", "localization", "detection", "segmentation"])
@pytest.mark.parametrize(("columns", "rows", "places"), [(2, 2, [0, 4, 10, 16]), (5, 2, list(range(0, 18, 2)))])
def test_predictions_are_shown_of_scenes_from_all_over_the_split(make, drawn, tmp_path, name, columns, rows, places):
    # Catches the first scenes, which are often all of one class, and more panels than there are scenes.
    prediction_sheet(make(name), Items(), tmp_path / "x.png", columns, rows)
    (figure,) = drawn
    shown = [int(axes.images[0].get_array().max()) for axes in figure.axes if axes.images]
    assert shown == [5 * place for place in places]
    assert len(figure.axes) == columns * rows and not any(axes.axison for axes in figure.axes)


def test_predicted_areas_lie_in_the_colours_of_the_key_over_a_picture_that_stays_as_it_is_elsewhere(
    make, drawn, tmp_path, monkeypatch
):
    # Catches a tinted background, the truth's colours instead of the prediction's, and a picture without its key.
    found = torch.zeros(4, SIZE, SIZE, dtype=torch.uint8)
    found[:, :, :10] = 2
    classes = ("background", "daisy", "rose")
    task = make("segmentation", classes=classes)
    monkeypatch.setattr(task, "postprocess", lambda outputs: found)
    prediction_sheet(task, Items(), tmp_path / "x.png", 2, 2)
    (figure,) = drawn
    _, painted, lines = (image.get_array() for image in figure.axes[1].images)
    rose = class_colours(3)[2]
    assert (painted[:, :10, :3] == rose).all() and (painted[:, :10, 3] > 0.5).all() and not painted[:, 10:, 3].any()
    assert lines[8, :, 3].all() and not lines[:8, :, 3].any() and not lines[9:, :, 3].any()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(classes[1:])
    assert legend.get_patches()[1].get_facecolor()[:3] == pytest.approx(tuple(rose))


def test_a_run_without_errors_says_so(make, drawn, tmp_path):
    error_sheet(make("classification"), Items(), tmp_path / "x.png")
    assert [text.get_text() for text in drawn[0].texts] == ["No errors: 0 of 9 scenes of the test split have one", ""]
    assert not drawn[0].axes


def test_of_many_boxes_the_surest_are_named_so_that_the_picture_stays_to_be_seen(make, batch):
    axes = Figure().add_subplot()
    scores = torch.linspace(0.95, 0.31, 20)
    found = {"boxes": torch.rand(20, 4) * 64, "scores": scores, "labels": torch.zeros(20, dtype=torch.long)}
    make("detection").draw(axes, [found] * 3, batch, 1)
    assert len(axes.patches) == 20
    assert [text.get_text().split()[-1] for text in axes.texts] == [f"{score:.0%}" for score in scores[:6].tolist()]


@pytest.mark.parametrize("name", ["classification", "localization", "detection", "segmentation"])
def test_names_with_dollars_are_drawn_as_they_are(make, tmp_path, name):
    task = make(name, classes=("$5", "$10", "$_$")).eval()
    task.worst = [0, 2, 4]
    prediction_sheet(task, Items(), tmp_path / "a.png")
    error_sheet(task, Items(), tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size and (tmp_path / "b.png").stat().st_size


def test_no_class_is_shown_on_the_margin_around_a_picture(make, batch):
    # Catches colours above and below a letterboxed picture, which look like mistakes and are none.
    task = make("segmentation", "fit=letterbox")
    batch |= {"place": [(0, 8, SIZE, 40)] * 3, "mask": torch.full((3, SIZE, SIZE), 255, dtype=torch.uint8)}
    predictions = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    predictions[:, :8] = 2
    axes = Figure().subplots()
    task.draw(axes, predictions, batch, 0)
    opaque = axes.images[0].get_array()[..., 3] > 0
    assert opaque[8:48].all() and not opaque[:8].any() and not opaque[48:].any()
    assert list(task.key(predictions, batch)) == [task.classes[0]]


def test_a_schedule_with_dollars_in_its_name_is_drawn(make):
    task = make("classification", "schedule=frozen", "schedule.name=$_$")
    assert schedule_picture(task, [1e-3, 1e-3]).startswith(b"\x89PNG")

"""What the pictures say must be what was measured."""

import pytest
import torch

from frostline.draw.curves import confused_picture, confusion_picture, precision_recall_picture
from frostline.words import short


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written."""
    figures = []
    monkeypatch.setattr("frostline.draw.curves.save", lambda figure, path: figures.append(figure))
    return figures


def test_rows_of_the_confusion_are_the_truth_and_sum_to_one(drawn, tmp_path):
    # Catches a transposed matrix, and shares of the columns.
    confusion_picture([[6, 2, 0], [0, 1, 3], [0, 0, 0]], ["ant", "bee", "fly"], tmp_path / "x.png")
    axes = drawn[0].axes[0]
    shares = axes.images[0].get_array()
    assert shares[:2].tolist() == [[0.75, 0.25, 0], [0, 0.25, 0.75]] and shares.mask[2].all()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "fly"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("truth", "prediction")
    assert {text.get_position(): text.get_text() for text in axes.texts} == {  # (column, row)
        (0, 0): "0.75\n6",
        (1, 0): "0.25\n2",
        (1, 1): "0.25\n1",
        (2, 1): "0.75\n3",
    }
    assert any("most often: bee as fly (3), ant as bee (2)" in text.get_text() for text in drawn[0].texts)


@pytest.mark.parametrize(
    ("classes", "numbers", "names"), [(2, True, 2), (25, True, 25), (26, False, 13), (102, False, 21)]
)
def test_many_classes_stay_readable(drawn, tmp_path, classes, numbers, names):
    confusion_picture((torch.eye(classes) + 1).tolist(), [f"class {n}" for n in range(classes)], tmp_path / "x.png")
    axes = drawn[0].axes[0]
    assert bool(axes.texts) == numbers and len(axes.get_yticks()) == len(axes.get_xticks()) == names
    assert max(drawn[0].get_size_inches()) < 10


def test_of_ten_thousand_classes_those_of_the_commonest_mistakes_are_shown(drawn, tmp_path):
    # Catches shares of what is shown alone, and a matrix of all classes.
    pairs = [[7, 7, 2], [7, 9000, 5], [7, 400, 3], [400, 400, 4], [5, 6, 4], [8, 8, 9]]
    pairs += [*([1000 + n, 2000 + n, 1] for n in range(30)), [7, 5555, 1]]  # the last is not shown
    confused_picture(torch.tensor(pairs), [f"kind {n}" for n in range(10_000)], tmp_path / "x.png")
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][:5] == [
        "kind 7",
        "kind 9000",
        "kind 5",
        "kind 6",
        "kind 400",
    ]
    shares = axes.images[0].get_array()
    assert shares.shape == (20, 20) and shares[0].tolist()[:5] == pytest.approx([2 / 11, 5 / 11, 0, 0, 3 / 11])
    said = " ".join(text.get_text() for text in drawn[0].texts)
    assert "What was taken for what: 20 of 10,000 classes" in said
    assert "most often: kind 7 as kind 9000 (5), kind 5 as kind 6 (4), kind 7 as kind 400 (3)" in said


def test_of_ten_thousand_classes_none_may_be_mistaken(drawn, tmp_path):
    confused_picture(torch.tensor([[3, 3, 2], [9, 9, 1]]), [f"kind {n}" for n in range(10_000)], tmp_path / "x.png")
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["kind 3", "kind 9"]


def test_each_class_has_its_curve_and_its_average_and_an_absent_one_has_none(drawn, tmp_path):
    # Catches recall upwards, a curve under another's name, and a class of no scene drawn as one that is never found.
    falling = torch.tensor([[0.0, 1.0], [0.5, 0.8], [1.0, 0.0]])
    curve = torch.stack([falling, torch.full((3, 2), torch.nan), falling / 2])
    precision_recall_picture(curve, [0.7, -1, 0.2], ["ant", "bee", "fly"], "of insects", tmp_path / "x.png")
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines}
    assert list(lines) == ["0.700  ant", "0.200  fly"]
    assert torch.tensor(lines["0.700  ant"]).flatten().tolist() == pytest.approx(falling.flatten().tolist())
    assert any("0.450; 1 of 3 classes do not occur" in text.get_text() for text in drawn[0].texts)


def test_names_are_drawn_as_they_are_and_told_apart(tmp_path):
    # Catches dollars read as a formula, which may be none and then stops a run at its end; and names cut to the same.
    names = ["$5", "$_$", "Tomato___Early_blight_of_leaf_A", "Tomato___Early_blight_of_leaf_B"]
    curve = torch.tensor([[0.0, 1.0], [1.0, 0.5]]).expand(4, 2, 2)
    confusion_picture([[3, 1, 0, 0], [1, 3, 0, 0], [0, 0, 2, 1], [0, 0, 1, 2]], names, tmp_path / "a.png")
    precision_recall_picture(curve, [0.5] * 4, names, "areas", tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size and (tmp_path / "b.png").stat().st_size
    assert short(names[2], 22) != short(names[3], 22) and len(short(names[2], 22)) == 22

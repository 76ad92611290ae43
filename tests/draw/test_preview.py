from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.cli import main
from frostline.draw.marks import class_colours, veil
from frostline.draw.preview import contact_sheet, label_text
from frostline.loading.module import SceneDataModule
from frostline.loading.transforms import RandomGeometry
from frostline.scenes.scene import COUNTED, CROWD, VOID

SMALL = ["dataset.source.train=8", "dataset.source.val=2", "dataset.source.test=2", "dataset.source.size=64"]
SMALL += ["image_size=64", "augment=strong"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder in which the scenes are prepared once."""
    return tmp_path_factory.mktemp("prepared")


@pytest.mark.parametrize(
    ("task", "mix"),
    [("classification", "mixup"), ("localization", "none"), ("detection", "mosaic"), ("segmentation", "copy_paste")],
)
def test_every_task_gets_its_contact_sheet(task, mix, prepared, monkeypatch, capsys):
    monkeypatch.chdir(prepared)
    words = ["preview", *SMALL, f"task={task}", f"augment/mix={mix}", "--out"]
    assert main([*words, "small.png", "--scenes", "2", "--views", "1"]) == 0
    assert main([*words, "large.png", "--scenes", "3", "--views", "3"]) == 0
    assert capsys.readouterr().out.split() == ["small.png", "large.png"]
    small, large = (Image.open(name) for name in ("small.png", "large.png"))
    assert large.width - small.width > 350 and 150 < large.height - small.height < 300
    assert not list(prepared.glob(".*.png"))


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def test_a_row_is_a_scene_as_it_is_and_then_what_its_first_epochs_see(dataset):
    options = {"augment": RandomGeometry(rotate=30, zoom=(0.7, 0.7)), "seed": 4}
    data = SceneDataModule(dataset, {"boxes"}, 48, 4, **options)
    figure = contact_sheet(data, 3, 2, "a title")
    assert len(figure.axes) == 9 and figure.texts[0].get_text() == "a title"
    items = data.items("train")
    for row, position in enumerate([0, (len(items) - 1) // 2, len(items) - 1]):
        cells = figure.axes[3 * row : 3 * row + 3]
        assert cells[0].get_ylabel() == items.scenes[position].id
        for axes, item in zip(cells, [items.plain(position), items[position, 0], items[position, 1]], strict=True):
            assert (shown(axes) == item["image"].permute(1, 2, 0).numpy()).all()
            corners = [patch.get_corners()[[0, 2]].ravel().tolist() for patch in axes.patches]
            assert np.allclose(corners, item["boxes"].tolist(), atol=1e-4)
            assert [text.get_text() for text in axes.texts] == [
                data.dataset.classes.boxes[n] for n in item["box_labels"]
            ]


def test_what_does_not_count_is_dotted(listed, drawn, tmp_path):
    scenes = [replace(s, box_marks=np.array([COUNTED if n % 2 else CROWD], np.uint8)) for n, s in enumerate(drawn(12))]
    data = SceneDataModule(prepare(listed(scenes), tmp_path / "x", name="x", on_fault="fix"), {"boxes"}, 48, 4)
    figure, items = contact_sheet(data, 40, 0, ""), data.items("train")
    expected = ["-" if items.plain(n)["box_marks"].item() == COUNTED else ":" for n in range(len(items))]
    assert [axes.patches[0].get_linestyle() for axes in figure.axes] == expected and set(expected) == {"-", ":"}


def test_more_scenes_than_there_are_show_each_once(dataset):
    data = SceneDataModule(dataset, {"label"}, 32, 4)
    figure = contact_sheet(data, 40, 1, "")
    assert len(figure.axes) == 2 * len(data.items("train"))
    assert len({axes.get_ylabel() for axes in figure.axes[::2]}) == len(data.items("train"))


def test_a_label_names_what_is_mixed_the_most_first():
    classes = ("rose", "tulip", "daisy")
    assert label_text(1, classes) == "tulip"
    assert label_text(torch.tensor([0.25, 0.0, 0.75]), classes) == "daisy 75%, rose 25%"
    assert label_text(torch.tensor([0.0, 1.0, 0.0]), classes) == "tulip"
    assert label_text(torch.tensor([0.003, 0.997, 0.0]), classes) == "tulip"
    assert label_text(torch.tensor([0.4, 0.6]), ("american_bulldog", "pug")) == "pug 60%, ameri…lldog 40%"


def test_a_veil_is_coloured_by_class_and_hatched_where_nobody_knows():
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 1
    mask[30:] = VOID
    red, blue = class_colours(2)
    painted = veil(mask, ("a", "b"), hatched=True)
    assert (painted[:30, :20, :3] == red).all() and (painted[:30, 21:, :3] == blue).all()
    assert 0.5 < painted[5, 5, 3] < painted[5, 20, 3] < 1
    assert len(np.unique(painted[30:].reshape(-1, 4), axis=0)) == 2
    bare = veil(mask, ("background", "b"))
    assert (
        (bare[:30, :20, 3] == 0).all() and (bare[:30, 20:] == painted[:30, 20:]).all() and (bare[30:, :, 3] == 0).all()
    )


def test_a_mix_that_does_not_fit_is_told_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", *SMALL, "task=detection", "augment/mix=mixup"]) == 2
    assert "MixUp) mixes the labels of whole pictures, so it serves classification" in capsys.readouterr().err
    assert not (tmp_path / "preview.png").exists()

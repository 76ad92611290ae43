"""A short training of the lecture is the project's own; what looks on or meddles does what it says."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from frostline.checking.prepare import prepare, prepare_from_config
from frostline.config import compose
from frostline.lecture.page import Lacking
from frostline.lecture.training import SHORT, Drift, NormsRunning, Trained, annotated, apart, few, trained
from frostline.loading.items import SceneItems
from frostline.scenes.scene import SPLITS, Classes

MOST = {"train": 12, "val": 6, "test": 6}
TINY = ["image_size=32", "trainer.epochs=2", "trainer.batch_size=8", "trainer.threads=1", "schedule=frozen"]


@pytest.fixture(scope="session")
def sorted_by_class(listed, drawn, tmp_path_factory):
    """90 scenes whose ids put one class after the other; of the first class none has a mask."""
    scenes = [
        replace(scene, id=f"{scene.label}-{scene.id}", mask=scene.mask if scene.label else None) for scene in drawn(90)
    ]
    folder = tmp_path_factory.mktemp("sorted") / "sorted"
    return prepare(listed(scenes), folder, name="sorted", split={"train": 0.6, "val": 0.2, "test": 0.2})


def test_few_are_spread_over_the_classes_and_stay_in_their_split(sorted_by_class, tmp_path):
    # Catches the first so many of each split, which are all of one class.
    found = few(sorted_by_class, {"label"}, tmp_path, MOST)
    for split in SPLITS:
        ids = {scene.id for scene in found.scenes(split)}
        assert len(ids) == MOST[split] and ids < {scene.id for scene in sorted_by_class.scenes(split)}
        assert Counter(found.scenes(split).labels.tolist()) == {0: MOST[split] // 2, 1: MOST[split] // 2}
    assert found.classes == sorted_by_class.classes and found.name == "sorted"


def test_few_have_what_is_needed(sorted_by_class, tmp_path):
    found = few(sorted_by_class, {"mask"}, tmp_path, MOST)
    assert all(found.scenes(split).masks_annotated.all() for split in SPLITS)
    assert len(found.scenes("train")) == 12


def test_a_small_dataset_is_taken_whole(small_meadow, tmp_path):
    found = few(small_meadow, {"label"}, tmp_path)
    assert [len(found.scenes(split)) for split in SPLITS] == [20, 10, 10]


def test_too_few_are_told_in_a_sentence(folders, tmp_path):
    dataset = compose(["dataset=folder", f"dataset.root={folders}"])["dataset"]
    plain = prepare_from_config(dataset, tmp_path / "plain")
    told = (
        "trains on pictures with masks, and folder has 0 of them in its split 'train' where 8 are the least: annotate"
    )
    with pytest.raises(Lacking, match=told):
        few(plain, {"mask"}, tmp_path / "few")


def test_one_class_is_told_in_a_sentence(listed, drawn, tmp_path):
    alone = Classes(labels=("a",))
    scenes = [replace(scene, boxes=None, box_labels=None, mask=None) for scene in drawn(40, classes=1)]
    dataset = prepare(listed(scenes, alone), tmp_path / "one", name="one")
    with pytest.raises(Lacking, match="tells classes apart, and one has one: add another"):
        few(dataset, {"label"}, tmp_path)


def test_a_training_is_the_projects_own(small_meadow, train_small, tmp_path):
    # Against a run as `frostline train` finishes it, cache and all.
    mine = trained(small_meadow, TINY, tmp_path, "mine")
    result, folder = train_small(*SHORT, *TINY)
    assert mine.metrics == result.metrics
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert mine.curve("val_loss") == [line["val_loss"] for line in lines] and len(lines) == 2


def test_frozen_answers_stay_and_those_with_running_norms_drift(small_meadow, tmp_path):
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    still, drifting = Drift(pictures), Drift(pictures)
    frozen = trained(small_meadow, TINY, tmp_path, "frozen", [still])
    running = trained(small_meadow, [*TINY, "cache.enabled=false"], tmp_path, "running", [NormsRunning(), drifting])
    assert still.shares == [0.0, 0.0] and 0.01 < drifting.shares[0] < drifting.shares[1]
    kept, now = (run.built.task.model.backbone.state_dict() for run in (frozen, running))
    moved = {name.rpartition(".")[2] for name, value in kept.items() if not torch.equal(value, now[name])}
    assert moved == {"running_mean", "running_var", "num_batches_tracked"}


def test_apart_is_a_share_of_the_length():
    assert apart(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 4.0]])) == pytest.approx(0.75)


@pytest.mark.parametrize(("depths", "thawed"), [([7, 7, 0, 0], 2), ([0, 0], 0), ([7, 7, 6], 3)])
def test_the_moment_of_thawing(depths, thawed):
    run = Trained(None, [{"frost_depth": depth} for depth in depths], {})
    assert run.thawed == thawed


def test_a_picture_comes_with_all_that_it_has(dataset, sorted_by_class, folders, tmp_path):
    item = annotated(dataset, 32)
    assert {"image", "boxes", "mask"} <= item.keys() and item["boxes"].canvas_size == (32, 32)
    assert torch.equal(item["image"], SceneItems(dataset, "train", {"boxes", "mask"}, 32).plain(0)["image"])
    plain = prepare_from_config(compose(["dataset=folder", f"dataset.root={folders}"])["dataset"], tmp_path / "plain")
    assert not {"boxes", "mask"} & annotated(plain, 32).keys()

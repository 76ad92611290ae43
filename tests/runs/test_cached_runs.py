"""A run that reads activations from the cache is the run that computes them, to the last bit."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.drawn import Listed
from safetensors.torch import load_file

from frostline.checking.prepare import prepare
from frostline.config import compose
from frostline.launch.planned import Job
from frostline.launch.progress import epochs_of
from frostline.runs.build import build_run

TASKS = ["classification", "localization", "detection", "segmentation"]
COMMON = ["augment.views=2", "trainer.epochs=4", "tracking=none"]
# The line at the head, then inside the backbone, so that both kinds of activations are kept.
PHASES = "schedule.phases=[{line: head, until: {epochs: 2}}, {line: stage3, scale: 0.2, norms: keep}]"


def filled(folder):
    return [json.loads(line)["cache_filled"] for line in (folder / "epochs.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", TASKS)
def test_cached_and_uncached_runs_give_the_same_figures_and_weights(train_small, task):
    overrides = [f"task={task}", PHASES, *COMMON]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    # 20 scenes to train, in two views, and 10 to validate: each once, as stage3 lies on the way to the head.
    assert filled(one) == [30, 20, 0, 0]
    assert cached.metrics == uncached.metrics
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    again, three = train_small(*overrides, name="again")
    assert filled(three) == [0, 0, 0, 0]
    assert again.metrics == cached.metrics


def test_by_onnxruntime_a_cached_run_is_the_uncached_one_too_and_keeps_its_own(train_small):
    # The traps: rows that depend on the batch they come in, and activations of one engine read by another.
    overrides = ["trainer.below=onnxruntime", PHASES, *COMMON]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    assert filled(one) == [30, 20, 0, 0] and cached.metrics == uncached.metrics
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    by_torch, three = train_small(PHASES, *COMMON, name="torch")
    assert filled(three) == [30, 20, 0, 0]
    assert cached.metrics == pytest.approx(by_torch.metrics, abs=0.02)
    other = load_file(three / "model.safetensors")
    assert not all(torch.equal(weights[key], other[key]) for key in other)


@pytest.mark.parametrize(
    ("task", "mix"), [("classification", "mixup"), ("detection", "mosaic"), ("segmentation", "copy_paste")]
)
def test_mixed_views_are_kept_too(train_small, task, mix):
    # The traps: labels that became probabilities, and more boxes than any one scene has.
    overrides = [f"task={task}", "augment=strong", f"augment/mix={mix}", "schedule=frozen", *COMMON, "trainer.epochs=3"]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    assert filled(one) == [30, 20, 0] and cached.metrics == uncached.metrics
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_crops_are_kept_too(train_small):
    # The trap: boxes of a crop, taken for shares of the whole picture.
    overrides = ["task=localization", "augment=crops", "augment.side=32", "schedule=frozen", *COMMON]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    assert sum(filled(one)) == 50 and cached.metrics == uncached.metrics
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_other_mixes_and_fits_are_kept_apart(train_small):
    overrides = ["schedule=frozen", *COMMON, "trainer.epochs=2", "augment/mix=mixup"]
    _, one = train_small(*overrides, name="one")
    _, two = train_small(*overrides, "augment.mix.p=0.9", name="two")
    _, three = train_small(*overrides, "fit=letterbox", name="three")
    # Validation is not mixed, and so the same for the first two.
    assert filled(one) == filled(three) == [30, 20] and filled(two) == [20, 20]


def test_seeds_and_schedules_share_what_is_kept_where_views_are_stated(train_small):
    first, one = train_small("schedule=frozen", *COMMON, name="one")
    _, two = train_small("schedule=frozen", "seed=1", *COMMON, name="two")
    _, three = train_small("schedule=thaw", *COMMON, name="three")
    assert sum(filled(one)) == 50 and sum(filled(two)) == 0 and sum(filled(three)) == 0


def test_a_task_reads_what_another_kept(train_small):
    # The trap: a key that holds what a task needs, so that no task ever meets what another computed.
    _, one = train_small("task=localization", "schedule=frozen", *COMMON, name="one")
    cached, two = train_small("task=classification", "schedule=frozen", *COMMON, name="two")
    assert sum(filled(one)) == 50 and sum(filled(two)) == 0
    expected, _ = train_small("task=classification", "schedule=frozen", *COMMON, "cache.enabled=false", name="three")
    assert cached.metrics == expected.metrics


def test_without_stated_views_only_validation_is_kept(train_small):
    _, folder = train_small("schedule=frozen", "tracking=none", "trainer.epochs=2")
    assert filled(folder) == [10, 0]


def test_a_cache_that_cannot_be_written_is_told_once_and_the_run_goes_on(train_small, here, capsys):
    expected, _ = train_small("schedule=frozen", *COMMON, "cache.enabled=false", name="without")
    (here / "occupied").write_text("")
    result, _ = train_small("schedule=frozen", *COMMON, "cache.folder=occupied/cache", name="broken")
    said = capsys.readouterr().err
    assert said.count("goes on without the cache") == 1 and "occupied/cache" in said
    assert result.metrics == expected.metrics


def test_a_cache_too_small_is_told_and_the_run_goes_on(train_small, capsys):
    result, _ = train_small("task=segmentation", "schedule=frozen", *COMMON, "cache.size_gb=0.0001")
    assert "raise cache.size_gb" in capsys.readouterr().err.lower() and 0 <= result.metrics["miou"] <= 1


def test_entries_that_hold_something_else_than_their_key_says_are_found_out(train_small, monkeypatch, capsys):
    # The trap: a key that forgets something, so that a run reads the activations of other weights.
    overrides = ["backbone=timm", "backbone.name=resnet10t", "backbone.pretrained=false", "schedule=frozen", *COMMON]
    monkeypatch.setattr(
        "frostline.freezing.activations._weights", lambda backbone, names: dict.fromkeys(names, "the same for all")
    )
    train_small(*overrides, name="first")
    assert "other values" not in capsys.readouterr().err
    result, _ = train_small(*overrides, "seed=1", name="second")
    assert "other values for 'embedding'" in capsys.readouterr().err
    expected, _ = train_small(*overrides, "seed=1", "cache.enabled=false", name="expected")
    assert result.metrics == expected.metrics


def test_the_budget_stated_in_images_is_the_budget(train_small):
    # 20 scenes an epoch, so 50 pictures take three whole ones, whatever the schedule.
    for schedule in ("frozen", "thaw"):
        result, _ = train_small(f"schedule={schedule}", "trainer.images=50", *COMMON, name=schedule)
        assert result.epochs == 3 and result.images_seen == 60


def test_pictures_that_an_epoch_leaves_out_are_none_of_the_budget(small, small_meadow, here):
    # Of 20 scenes in batches of 19, one would be a batch alone: 19 are shown, so 20 pictures take a second epoch.
    for images, epochs in ((19, 1), (20, 2), (38, 2)):
        batches = ["trainer.batch_size=19", f"trainer.images={images}", "schedule=frozen", "tracking=none"]
        assert build_run(compose([*small, *batches]), small_meadow, "x").task.model.planned.epochs == epochs


def test_what_torch_computes_all_the_same_is_kept_as_torchs(train_small):
    # Catches the other engine's name on the values of a network that it cannot compute: all would be computed again.
    chosen = ["backbone=timm", "backbone.name=vit_tiny_patch16_224", "backbone.pretrained=false"]
    overrides = [*chosen, "schedule=frozen", *COMMON]
    expected, one = train_small(*overrides, name="one")
    result, two = train_small(*overrides, "trainer.below=onnxruntime", name="two")
    assert filled(one)[0] and filled(two) == [0, 0, 0, 0] and result.metrics == expected.metrics


@pytest.mark.parametrize(("batch", "images"), [(19, 38), (4, 50)])
def test_who_watches_a_run_counts_the_epochs_that_it_has(batch, images, drawn, small, here):
    # Catches "epoch 7 of 4": scenes without a mask that are counted, or one that is left over by an epoch.
    scenes = [replace(scene, mask=None) if number % 2 else scene for number, scene in enumerate(drawn(80))]
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    dataset = prepare(Listed(scenes), here / "runs/mine/data/meadow", name="meadow", split=split)
    budget = ["task=segmentation", f"trainer.batch_size={batch}", f"trainer.images={images}", "tracking=none"]
    config = compose([*small, *budget])
    job = Job(here / "runs/mine/plan/0.yaml", config)
    assert epochs_of(job) == build_run(config, dataset, "x").task.model.planned.epochs > 1


def test_rare_classes_drawn_more_often_are_read_from_the_cache(train_small):
    # The traps: a scene twice in a batch, and one that no epoch has drawn yet.
    overrides = ["trainer.sampler=balanced", "task.class_weights=balanced", "schedule=frozen", *COMMON]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    assert filled(one) == [30, 20, 0, 0] and cached.metrics == uncached.metrics
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    plain, _ = train_small("schedule=frozen", *COMMON, name="plain")
    assert plain.metrics["loss"] != cached.metrics["loss"]

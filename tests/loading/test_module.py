import logging
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.config import build, compose
from frostline.errors import FrostlineError
from frostline.loading.batch import collate
from frostline.loading.module import SceneDataModule
from frostline.loading.samplers import SharedBatches, ViewSampler, whole_batches
from frostline.scenes.needs import check_serves
from frostline.scenes.scene import SPLITS, VOID, Classes, Scene
from frostline.store.rows import Store

LIGHT = instantiate(OmegaConf.load(Path(__file__).parents[2] / "conf" / "augment" / "light.yaml").transform)
EVERYTHING = {"label", "boxes", "mask"}


def module(dataset, needs=frozenset({"label"}), **options):
    return SceneDataModule(dataset, needs, **{"image_size": 48, "batch_size": 5} | options)


def epochs(dataset, needs, **options):
    """Batches of two epochs of training, then of validation."""
    data = module(dataset, needs, augment=LIGHT, **options)
    loader = data.train_dataloader()
    batches = []
    for epoch in (0, 1):
        loader.batch_sampler.sampler.set_epoch(epoch)
        batches += list(loader)
    return batches + list(data.val_dataloader())


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def mixed(dataset, name, needs):
    """The preset `strong` with a mix (None for none), as a run would build them."""
    chosen = [f"augment/mix={name}"] if name else []
    chosen += ["augment.mix.classes=[front]"] if name == "copy_paste" else []
    config = compose(["augment=strong", *chosen])["augment"]
    options = {} if config["mix"] is None else {"mix": build(config["mix"], dataset, needs)}
    return options | {"augment": build(config["transform"])}


MIXES = [(None, EVERYTHING), ("mixup", {"label"}), ("cutmix", {"label"}), ("mosaic", {"boxes"})]
MIXES += [("copy_paste", {"boxes"}), ("copy_paste", {"mask"})]


@pytest.mark.parametrize(("name", "needs"), MIXES)
def test_strong_and_every_mix_are_pure_for_any_workers_ranks_and_order(dataset, name, needs, tmp_path, monkeypatch):
    def views(rank=0, world=1, **options):
        """Each (epoch, scene) -> its row of the batch."""
        monkeypatch.setattr("frostline.loading.module.rank_of_world", lambda: (rank, world))
        data = module(dataset, needs, **mixed(dataset, name, needs), **options)
        loader, found = data.train_dataloader(), {}
        for epoch in (0, 1):
            loader.batch_sampler.sampler.set_epoch(epoch)
            for batch in loader:
                rows = {key: batch[key] for key in batch if key not in ("size", "index", "id")}
                found |= {(epoch, n): {k: v[i] for k, v in rows.items()} for i, n in enumerate(batch["id"])}
        return found

    torch.manual_seed(1)
    alone = views()
    torch.manual_seed(2)
    for options in ({"workers": 1}, {"workers": 2}, {"store": Store(tmp_path, 10**8)}, {"batch_size": 3}):
        assert same_where_both(alone, views(**options))
    ranks = [views(rank, 2, batch_size=4) for rank in (0, 1)]
    assert {n for e, n in ranks[0] if e == 0}.isdisjoint({n for e, n in ranks[1] if e == 0})
    assert all(same_where_both(alone, found) for found in ranks)
    assert sum(not torch.equal(alone[0, n]["image"], alone[1, n]["image"]) for e, n in alone if (1, n) in alone) > 20


def same_where_both(one, other):
    both = one.keys() & other.keys()
    return len(both) >= 0.4 * len(one) and all(same(one[key], other[key]) for key in both)


def test_pictures_whose_channels_lie_last_make_the_same_batch_with_its_channels_last(dataset):
    turned = [module(dataset).items("train")[position, 0] for position in range(4)]
    items = [item | {"image": item["image"].contiguous()} for item in turned]
    one, other = collate(items)["image"], collate(turned)["image"]
    assert torch.equal(one, other) and one.is_contiguous()
    assert other.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(collate([items[0], turned[1]])["image"], one[:2])


def test_only_training_is_mixed_and_mixed_views_are_counted(dataset):
    data = module(dataset, {"label"}, mix=mixed(dataset, "mixup", {"label"})["mix"], views=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["label"].shape == (5, 2) and batch["label"].dtype == torch.float32
    assert torch.allclose(batch["label"].sum(1), torch.ones(5)) and (batch["label"] < 0.99).any()
    assert next(iter(data.val_dataloader()))["label"].dtype == torch.int64
    assert data.views == 3 and module(dataset, {"label"}, views=3).views == 1


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_workers_or_on_what_is_kept(dataset, tmp_path, workers, kept):
    torch.manual_seed(1)
    alone = epochs(dataset, EVERYTHING)
    torch.manual_seed(2)
    store = Store(tmp_path, 10**8) if kept else None
    assert same(alone, epochs(dataset, EVERYTHING, workers=workers, store=store))
    assert len(Store(tmp_path, 10**8).usage()) == (4 if kept else 0)


def test_views_differ_between_epochs_and_seeds_and_return_with_their_epoch(dataset):
    items = module(dataset, augment=LIGHT, seed=0).items("train")
    other = module(dataset, augment=LIGHT, seed=1).items("train")
    first = items[3, 0]["image"]
    assert torch.equal(first, items[3, 0]["image"])
    assert not torch.equal(first, items[3, 1]["image"])
    assert not torch.equal(first, other[3, 0]["image"])


def test_making_items_leaves_the_random_stream_alone(dataset):
    data = module(dataset, augment=LIGHT)
    data.items("train")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    list(data.train_dataloader())
    assert torch.equal(torch.rand(3), expected)


def test_a_view_is_the_same_whichever_task_asks(dataset):
    views = {}
    for needs in ({"label"}, {"boxes"}, {"mask"}):
        items = module(dataset, needs, augment=LIGHT).items("train")
        for position, index in enumerate(items.indices):
            views.setdefault(index, []).append(items[position, 2]["image"])
    assert any(len(found) == 3 for found in views.values())
    assert all(torch.equal(found[0], image) for found in views.values() for image in found)


def levels(image):
    """The sum over all pixels as they were, 0..255: exact in any order."""
    return int(image.long().sum())


class Recorder(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen, self.judged = [], []

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch["id"], levels(batch["image"])))
        return self.layer(batch["image"].float().mean((2, 3))).mean()

    def validation_step(self, batch, _):
        self.judged.append((batch["id"], levels(batch["image"])))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_moves_the_view_on_each_epoch(dataset, tmp_path, workers):
    data = module(dataset, augment=LIGHT, workers=workers, batch_size=4)
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(recorder, datamodule=data)
    expected = []
    sampler = ViewSampler(len(data.items("train")), 0, 4)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        items = [data.items("train")[key] for key in sampler]
        for start in range(0, len(items), 4):
            batch = items[start : start + 4]
            total = sum(int(item["image"].long().sum()) for item in batch)
            expected.append((epoch, [item["id"] for item in batch], total))
    assert recorder.seen == expected
    assert [ids for ids, _ in recorder.judged[:2]] == [ids for ids, _ in recorder.judged[-2:]]


def test_batch_has_the_promised_shapes_and_ranges(dataset):
    data = module(dataset, {"boxes", "mask"}, augment=LIGHT, batch_size=4)
    for batch in data.train_dataloader():
        size = len(batch["id"])
        assert batch["image"].shape == (size, 3, 48, 48) and batch["image"].dtype == torch.uint8
        assert batch["image"].max() > 128
        assert batch["mask"].shape == (size, 48, 48) and batch["mask"].dtype == torch.int64
        assert set(batch["mask"].unique().tolist()) <= {0, 1, VOID}
        for boxes, labels in zip(batch["boxes"], batch["box_labels"], strict=True):
            assert boxes.shape == (len(labels), 4) and boxes.dtype == torch.float32 and labels.dtype == torch.int64
            assert ((boxes >= 0) & (boxes <= 48)).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert all(type(found) is torch.Tensor for found in (batch["image"], batch["mask"], *batch["boxes"]))
        scenes = data.dataset.scenes("train")
        assert [scenes[index].id for index in batch["index"]] == batch["id"]
        assert "label" not in batch


def test_pictures_are_stretched_with_their_boxes_and_masks(dataset):
    batch = next(iter(module(dataset, {"boxes", "mask"}, batch_size=100).val_dataloader()))
    found = 0
    for image, boxes, mask in zip(batch["image"], batch["boxes"], batch["mask"], strict=True):
        for box in boxes:
            y, x = torch.nonzero(mask == 1, as_tuple=True)
            extent = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert (extent - box).abs().max() <= 1
            assert image[:, y, x].float().mean() > 0.9 * 255
            found += 1
    assert found >= 4


def test_localization_takes_the_largest_box_and_its_class(tmp_path, listed, drawn):
    scenes = []
    for scene in drawn(20):
        boxes = np.array([[0, 0, 5, 5], [4, 4, 24, 20], [1, 1, 9, 9]], np.float32)
        label = 0 if len(scenes) < 15 else None
        scenes.append(Scene(scene.id, scene.image, label, boxes, np.array([0, 1, 0])))
    dataset = prepare(listed(scenes, Classes(("a",), ("x", "y"))), tmp_path / "out", name="many")
    data = module(dataset, {"label", "boxes"}, batch_size=100)
    assert sum(data.left_out.values()) == 0
    batch = next(iter(data.train_dataloader()))
    assert batch["label"].tolist() == [1] * len(batch["id"])
    assert all(boxes.tolist() == [[6, 8, 36, 40]] for boxes in batch["boxes"])
    assert data.classes == ("x", "y")


def test_scenes_without_a_box_train_the_class_where_it_is_one_of_the_same(tmp_path, listed, drawn):
    scenes = [
        Scene(s.id, s.image, n % 2, s.boxes if n % 3 else None, np.array([n % 2]) if n % 3 else None)
        for n, s in enumerate(drawn(30))
    ]
    dataset = prepare(listed(scenes, Classes(("x", "y"), ("x", "y"))), tmp_path / "out", name="some")
    data = module(dataset, {"label", "boxes"}, batch_size=100, augment=LIGHT)
    assert sum(data.left_out.values()) == 0
    for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
        batch, kept = next(iter(loader)), dataset.scenes(split)
        assert batch["label"].tolist() == [kept[n].label for n in batch["index"]]
        boxed = [kept[n].boxes is not None for n in batch["index"]]
        assert [len(boxes) for boxes in batch["boxes"]] == [int(has) for has in boxed] and not all(boxed)
    none = [Scene(s.id, s.image, n % 2) for n, s in enumerate(drawn(30))]
    dataset = prepare(listed(none, Classes(("x", "y"), ("x", "y"))), tmp_path / "none", name="none")
    with pytest.raises(FrostlineError, match="'none' has no boxes, so it cannot serve localization"):
        check_serves(dataset, "localization", {"label", "boxes"})


def test_scenes_that_lack_something_are_left_out_and_counted(dataset, caplog):
    everything = {split: dataset.scenes(split) for split in SPLITS}
    with caplog.at_level(logging.INFO):
        detection = module(dataset, {"boxes"})
    without = {split: sum(scene.boxes is None for scene in everything[split]) for split in SPLITS}
    assert detection.left_out == without and sum(without.values()) == 10
    assert len(caplog.records) == 1 and f"train {without['train']}" in caplog.text
    assert sum(module(dataset, {"label", "boxes"}).left_out.values()) == 11
    assert len(detection.items("train")) == len(everything["train"]) - without["train"]
    assert sum(module(dataset, {"mask"}).left_out.values()) == 0


def test_a_dataset_that_cannot_serve_says_so(tmp_path, listed, drawn):
    plain = [Scene(scene.id, scene.image, scene.label) for scene in drawn(20)]
    dataset = prepare(listed(plain, Classes(labels=("a", "b"))), tmp_path / "plain", name="plain")
    check_serves(dataset, "classification", {"label"})
    with pytest.raises(FrostlineError, match="dataset 'plain' has no boxes, so it cannot serve localization"):
        check_serves(dataset, "localization", {"label", "boxes"})
    with pytest.raises(FrostlineError, match="no masks"):
        module(dataset, {"mask"})
    half = [
        Scene(scene.id, scene.image, scene.label, mask=None if n < 5 else scene.mask, split=SPLITS[min(2, n // 5)])
        for n, scene in enumerate(drawn(20))
    ]
    dataset = prepare(listed(half), tmp_path / "half", name="half", split={"given": True})
    with pytest.raises(FrostlineError, match="no masks in its split 'train', so it cannot serve segmentation"):
        check_serves(dataset, "segmentation", {"mask"})
    nothing, none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    bare = [
        Scene(
            s.id, s.image, boxes=s.boxes if n < 10 else nothing, box_labels=s.box_labels if n < 10 else none, split=at
        )
        for n, s in enumerate(drawn(20))
        for at in [SPLITS[min(2, n // 5)]]
    ]
    dataset = prepare(listed(bare), tmp_path / "bare", name="bare", split={"given": True})
    with pytest.raises(FrostlineError, match="no boxes in its split 'test', so it cannot serve detection"):
        check_serves(dataset, "detection", {"boxes"})


def test_processes_evaluate_the_batches_of_one_each_once(dataset, monkeypatch):
    # Catches scenes that come twice or never, batches that depend on how many processes there are, and a process
    # without any, which Lightning would leave out where the others wait for it.
    data = module(dataset)
    count = len(data.items("val"))
    alone = whole_batches([(position, 0) for position in range(count)], 5)
    for world in (2, 3, len(alone), len(alone) + 1):
        shards = []
        for rank in range(world):
            monkeypatch.setattr("frostline.loading.module.rank_of_world", lambda at=(rank, world): at)
            shards.append(list(data.val_dataloader().batch_sampler))
        assert sorted(sum(shards, [])) == sorted(alone + [[]] * (world - min(world, len(alone))))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert [batch["id"] for batch in data.val_dataloader()] == [[]]  # of the last process


def test_large_batches_are_evaluated_in_parts_that_one_device_has_room_for(dataset):
    assert all(len(keys) <= 65 for keys in module(dataset, batch_size=4096)._eval_loader("train").batch_sampler)


@pytest.mark.parametrize(("count", "batch", "each"), [(10, 3, 9), (10, 4, 10), (9, 4, 8), (5, 1, 5), (23, 10, 23)])
def test_an_epoch_never_ends_in_a_batch_of_one(count, batch, each):
    sampler, seen = ViewSampler(count, 0, batch), set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler) == each == len(set(keys)) and {view for _, view in keys} == {epoch}
        seen |= {position for position, _ in keys}
    assert seen == set(range(count))
    assert list(ViewSampler(count, 0, batch)) != list(ViewSampler(count, 1, batch))


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (2, 1), (3, 1), (1, 3), (2, 2), (5, 1)])
def test_processes_share_the_batches_of_one(world, parts):
    # Catches batches that depend on how many share them, a scene that two have, and shares of none.
    count, size = 23, 10
    samplers = [ViewSampler(count, 7, size) for _ in range(world)]
    shared = [SharedBatches(sampler, size, rank, world, parts) for rank, sampler in enumerate(samplers)]
    for epoch in range(3):
        whole = ViewSampler(count, 7, size)
        for sampler in [whole, *samplers]:
            sampler.set_epoch(epoch)
        shares = [list(batches) for batches in shared]
        assert all(len(own) == len(batches) for own, batches in zip(shares, shared, strict=True))
        keys = list(whole)
        expected = [keys[start : start + size] for start in range(0, count, size)]
        expected = [batch for batch in expected if len(batch) >= world * parts]  # 3 scenes for 4 or 5: left out
        assert len(shares[0]) == len(expected) * parts
        for number, batch in enumerate(expected):
            steps = range(number * parts, (number + 1) * parts)
            of_all = [[own[step] for own in shares] for step in steps]
            assert sorted(sum((sum(step, []) for step in of_all), [])) == sorted(batch)
            sizes = [len(share) for step in of_all for share in step]
            assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
            assert [sum(map(len, step)) for step in of_all] == [shared[0].scenes(step) for step in steps]


def test_too_few_scenes_are_told():
    with pytest.raises(FrostlineError, match="too few"):
        ViewSampler(1, 0, 4)
    with pytest.raises(FrostlineError, match="less than a scene for each"):
        SharedBatches(ViewSampler(3, 0, 4), 4, 0, 4)


def test_pictures_in_files_are_what_models_see(dataset):
    scene = dataset.scenes("test")[0]
    item = module(dataset).items("test")[0, 0]
    expected = np.asarray(Image.open(scene.image).resize((48, 48), Image.Resampling.BILINEAR))
    assert (item["image"].permute(1, 2, 0).numpy() == expected).all()


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (1, 4, [1]), (0, 4, []), (3, 1, [1, 1, 1])],
)
def test_evaluation_has_no_last_batch_of_one(count, size, sizes):
    # The trap: a batch of one takes other kernels, so that a figure would depend on the size of the batches.
    batches = whole_batches([(position, 0) for position in range(count)], size)
    assert [len(batch) for batch in batches] == sizes
    assert [position for batch in batches for position, _ in batch] == list(range(count))


def test_views_come_in_turn_and_are_shared_by_seeds_where_their_number_is_stated(dataset):
    def loader(seed, views):
        data = SceneDataModule(dataset, {"mask"}, 32, 4, augment=LIGHT, views=views, seed=seed)
        return data, data.train_dataloader().batch_sampler.sampler

    data, sampler = loader(seed=1, views=2)
    seen = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        seen.append({view for _, view in sampler})
    assert seen == [{0}, {1}, {0}, {1}]
    other, _ = loader(seed=2, views=2)
    fresh, _ = loader(seed=1, views=None)
    again, _ = loader(seed=2, views=None)
    picture = [module.items("train")[0, 1]["image"] for module in (data, other, fresh, again)]
    assert torch.equal(picture[0], picture[1]) and not torch.equal(picture[2], picture[3])


def test_a_shortcut_takes_the_keys_of_the_batches_and_is_decided_at_the_first_batch(dataset):
    data = SceneDataModule(dataset, {"mask"}, 32, 4, seed=1)
    loader = data.train_dataloader()
    plain = [batch["index"].tolist() for batch in loader]
    batches = iter(loader)
    loader.shortcut = lambda keys: {"index": [position for position, _ in keys]}
    assert [batch["index"] for batch in batches] == plain


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_masks_to_be_measured_on_are_those_of_the_files(dataset, fit):
    data = module(dataset, {"mask"}, fit=fit, image_size=64)
    (batch, *_), scenes = list(data.test_dataloader()), dataset.scenes("test")
    for index, mask, where in zip(batch["index"], batch["native_mask"], batch["place"], strict=True):
        assert torch.equal(mask, torch.from_numpy(np.array(Image.open(scenes[index].mask))))
        assert mask.shape == (24, 32) and where == ((0, 8, 64, 48) if fit == "letterbox" else (0, 0, 64, 64))
    assert "native_mask" not in next(iter(data.train_dataloader()))
    assert "native_mask" not in next(iter(module(dataset, {"label"}).test_dataloader()))


def test_crops_are_what_training_sees_and_no_other_split(dataset):
    crop = build(compose(["augment=crops", "augment.side=32"])["augment"]["transform"])
    data = module(dataset, {"boxes"}, image_size=64, augment=crop)
    batches = list(data.train_dataloader())
    assert {batch["image"].shape[-1] for batch in batches} == {batch["size"] for batch in batches} == {32}
    assert all(float(box.max()) <= 32 for batch in batches for box in batch["boxes"] if len(box))  # not of the whole
    assert {batch["size"] for batch in data.val_dataloader()} == {64}

"""The one LightningDataModule: a prepared dataset as batches for any task."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from frostline.data.dataset import Dataset
from frostline.data.pictures import read_rgb
from frostline.data.scenes import SPLITS, Classes, Scene
from frostline.data.transforms import keep_visible
from frostline.errors import FrostlineError

log = logging.getLogger(__name__)

Augment = Callable[[dict[str, Any]], dict[str, Any]]

NEEDS = ("label", "boxes", "mask")
_IN_WORDS = {"label": "labels", "boxes": "boxes", "mask": "masks"}


def one_box(needs: Collection[str]) -> bool:
    """Whether the task wants one class and one box per picture (localization): it needs both label and boxes."""
    return {"label", "boxes"} <= set(needs)


def class_names(classes: Classes, needs: Collection[str]) -> tuple[str, ...]:
    """Names of the classes a task with these needs tells apart, by number; FrostlineError where there are none."""
    names = classes.masks if "mask" in needs else classes.boxes if "boxes" in needs else classes.labels
    if names is None:
        raise FrostlineError(f"the dataset has no classes for {', '.join(_IN_WORDS[need] for need in needs)}.")
    return names


def lacks(scene: Scene, needs: Collection[str]) -> str | None:
    """The first need that the scene does not meet, or None. Where one box is wanted, its class is the label."""
    if one_box(needs):
        if scene.boxes is None or len(scene.boxes) == 0:
            return "boxes"
        needs = set(needs) - {"label"}
    present = {"label": scene.label, "boxes": scene.boxes, "mask": scene.mask}
    return next((need for need in NEEDS if need in needs and present[need] is None), None)


def check_serves(dataset: Dataset, task: str, needs: Collection[str]) -> None:
    """Raise FrostlineError unless every split of the dataset has a scene with all annotations that the task needs."""
    if unknown := set(needs) - set(NEEDS):
        raise ValueError(f"unknown needs {sorted(unknown)}; known are {NEEDS}")
    lacking = {split: [lacks(scene, needs) for scene in dataset.scenes(split)] for split in SPLITS}
    empty = [split for split in SPLITS if None not in lacking[split]]
    if not empty:
        return
    need = _IN_WORDS[next((need for need in lacking[empty[0]] if need is not None), "label")]
    where = "" if len(empty) == len(SPLITS) else f" in its split '{empty[0]}'"
    raise FrostlineError(
        f"dataset '{dataset.name}' has no {need}{where}, so it cannot serve {task}; "
        f"choose a dataset that has them{' there, or another split' if where else ''}, or another task."
    )


def mixed_seed(*parts: int) -> int:
    """A well-mixed number of 63 bits: close parts (epoch 1 and 2, scene 7 and 8) give unrelated random streams."""
    return int.from_bytes(sha256(",".join(map(str, parts)).encode()).digest()[:8], "little") >> 1


def square_picture(picture: Path | bytes | np.ndarray, size: int) -> Tensor:
    """A picture (a file, its bytes, or RGB pixels) as models see it: (3, size, size) uint8, stretched, antialiased."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else read_rgb(picture)
    pixels = np.array(image.resize((size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class SceneItems(TorchDataset[dict[str, Any]]):
    """The scenes of one split that serve a task, as square items; keys are pairs (position, view).

    An item is a pure function of (seed, view, index of the scene in the split), whatever process makes it and when:
    its random draws come from a stream of its own. An item has what `collate` takes.

    scenes: the scenes kept; indices: for each, its index within the split. in_memory: decode all now, in threads.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        needs: Collection[str],
        size: int,
        augment: Augment | None = None,
        seed: int = 0,
        in_memory: bool = True,
    ) -> None:
        self.indices = [index for index, scene in enumerate(scenes) if lacks(scene, needs) is None]
        self.scenes = [scenes[index] for index in self.indices]
        self.needs, self.size, self.augment, self.seed = frozenset(needs), size, augment, seed
        self._pictures: Tensor | None = None
        self._masks: Tensor | None = None
        if in_memory:
            count = len(self)
            pictures = torch.empty(count, 3, size, size, dtype=torch.uint8)
            masks = torch.empty(count, size, size, dtype=torch.uint8) if "mask" in self.needs else None

            def decode(position: int) -> None:
                pictures[position] = self._picture(position)
                if masks is not None:
                    masks[position] = self._mask(position)

            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                for _ in pool.map(decode, range(count)):
                    pass
            self._pictures, self._masks = pictures, masks

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        position, view = key
        scene = self.scenes[position]
        item: dict[str, Any] = {"image": tv_tensors.Image(self._picture(position))}
        if "mask" in self.needs:
            item["mask"] = tv_tensors.Mask(self._mask(position))
        if "boxes" in self.needs:
            boxes, item["box_labels"] = self._boxes(scene)
            # Clamping only at the end lets `keep_visible` see how much of a box was lost on the way.
            item["boxes"] = tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(self.size, self.size), clamping_mode=None
            )
        if "label" in self.needs:
            item["label"] = int(item["box_labels"][0]) if one_box(self.needs) else scene.label
        if self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                # Not torch.manual_seed, which would also queue a seeding of every accelerator, for each item anew.
                torch.default_generator.manual_seed(mixed_seed(self.seed, view, self.indices[position]))
                item = self.augment(item)
        if "boxes" in self.needs:
            item["boxes"], kept = keep_visible(item["boxes"].as_subclass(Tensor), self.size)
            item["box_labels"] = item["box_labels"][kept]
        return item | {"index": self.indices[position], "id": scene.id}

    def _boxes(self, scene: Scene) -> tuple[Tensor, Tensor]:
        assert scene.boxes is not None and scene.box_labels is not None and scene.size is not None
        boxes, labels = torch.from_numpy(scene.boxes), torch.from_numpy(scene.box_labels)
        if one_box(self.needs):
            largest = int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())
            boxes, labels = boxes[largest : largest + 1], labels[largest : largest + 1]
        width, height = scene.size
        return boxes * torch.tensor([self.size / width, self.size / height] * 2), labels

    def _picture(self, position: int) -> Tensor:
        if self._pictures is not None:
            return self._pictures[position]
        image = self.scenes[position].image
        return square_picture(image, self.size)

    def _mask(self, position: int) -> Tensor:
        if self._masks is not None:
            return self._masks[position]
        mask = self.scenes[position].mask
        assert mask is not None
        opened = Image.open(mask) if isinstance(mask, Path) else Image.fromarray(mask)
        return torch.from_numpy(np.array(opened.resize((self.size, self.size), Image.Resampling.NEAREST)))


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Items to a batch; keys "label", "boxes" with "box_labels", and "mask" are there if the task needs them.

    image: (B, 3, S, S) float32 in 0..1, not normalised. size: S. index: (B,) int64, within the split. id: list of B
    names.
    label: (B,) int64. boxes: list of B tensors (n, 4) float32, x0 y0 x1 y1 in pixels of S. box_labels: list of B
    tensors (n,) int64. mask: (B, S, S) int64, VOID where unknown.
    """
    first = items[0]
    batch: dict[str, Any] = {
        "image": torch.stack([item["image"].as_subclass(Tensor) for item in items]).float().div_(255),
        "size": first["image"].shape[-1],
        "index": torch.tensor([item["index"] for item in items]),
        "id": [item["id"] for item in items],
    }
    if "label" in first:
        batch["label"] = torch.tensor([item["label"] for item in items])
    if "boxes" in first:
        batch["boxes"] = [item["boxes"] for item in items]
        batch["box_labels"] = [item["box_labels"] for item in items]
    if "mask" in first:
        batch["mask"] = torch.stack([item["mask"].as_subclass(Tensor) for item in items]).long()
    return batch


class ShardSampler(Sampler[tuple[int, int]]):
    """Pairs (position, view = 0) of this process's shard; shards are disjoint, complete and never padded.

    Their sizes differ by at most one, and a shard can be empty where there are more processes than scenes.
    """

    def __init__(self, count: int, rank: int = 0, world_size: int = 1) -> None:
        self.shard = range(rank, count, world_size)

    def __len__(self) -> int:
        return len(self.shard)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(position, 0) for position in self.shard])


class WholeBatches(Sampler[list[tuple[int, int]]]):
    """Batches of keys in their order; one key that would be left over goes with the last batch.

    A batch of one takes other kernels than any larger one, which give other last bits: without it, what a model says
    of a picture does not depend on the size of the batches.
    """

    def __init__(self, keys: "Sampler[tuple[int, int]] | Sequence[tuple[int, int]]", batch_size: int) -> None:
        self.keys, self.batch_size = keys, batch_size

    def __len__(self) -> int:
        full, left = divmod(len(cast(Sized, self.keys)), self.batch_size)
        return full + (left > 1 or (left == 1 and full == 0))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys, batches = list(self.keys), len(self)
        for i in range(batches):
            end = (i + 1) * self.batch_size if i + 1 < batches else len(keys)
            yield keys[i * self.batch_size : end]


class ViewSampler(Sampler[tuple[int, int]]):
    """Pairs (position, view) in an order that is a pure function of (seed, epoch).

    views: how many views there are, in turn; None for a new one in each epoch.
    The view travels with the position, so that workers that live on between epochs cannot keep an old one.
    Every process gets equally many pairs, else the faster would wait for ever: of `count` scenes those at the end of
    the epoch's order that do not divide are left out, others in each epoch. So is one more per process where it would
    make a last batch of one, over which batch normalisation is not defined.
    """

    def __init__(
        self, count: int, seed: int, batch_size: int, rank: int = 0, world_size: int = 1, views: int | None = None
    ) -> None:
        self.count, self.seed, self.views, self.rank, self.world_size = count, seed, views, rank, world_size
        self.epoch = 0
        each = count // world_size
        if each > 1 and batch_size > 1 and each % batch_size == 1:
            each -= 1
        if each == 0 or (each == 1 and batch_size > 1):
            raise FrostlineError(
                f"the train split has {count} usable scene(s) for {world_size} process(es), too few for a batch "
                f"of two in each: use fewer processes or add pictures."
            )
        self.each = each

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.count, generator=generator).tolist()
        view = self.epoch % self.views if self.views else self.epoch
        return iter([(position, view) for position in order[self.rank :: self.world_size][: self.each]])


Keys = Sequence[tuple[int, int]]


class SceneLoader(DataLoader[dict[str, Any]]):
    """A DataLoader that can take a shortcut: a function from the keys of a batch to the batch, in place of the items.

    Whether it does is decided when an epoch's first batch is asked for, so that the hooks of the epoch's start come
    first.
    """

    shortcut: Callable[[Keys], dict[str, Any]] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        if self.shortcut is None:
            yield from super().__iter__()
        else:
            assert self.batch_sampler is not None
            for keys in self.batch_sampler:
                yield self.shortcut(cast(Any, keys))


class SceneDataModule(pl.LightningDataModule):
    """Batches (see `collate`) of a prepared dataset for a task that needs the given annotations.

    dataset: a Dataset or its folder. needs: any of "label", "boxes", "mask". image_size: pixels, both sides; pictures
    are stretched to it. augment: a transform of torchvision.transforms.v2 over an item's dict, for training only; None
    or v2.Identity for none. views: how many views of each scene augmentation makes, in turn; None for new ones in each
    epoch. seed: of the order, and of the augmentation where views is None: runs of all seeds share `views` views.
    workers: processes per loader, 0 for none.
    memory_budget_gb: decoded pictures of all splits are kept in memory if they take no more, per process.

    Scenes that lack a needed annotation are left out and counted in `left_out`. With both label and boxes, that is for
    localization, a scene needs at least one box; the largest is the one in "boxes" (none, where augmentation moved it
    out of view), and its class is the "label".

    Give the Trainer `use_distributed_sampler=False`: the samplers here shard by themselves.
    Raises FrostlineError where a split has no scene that serves.
    """

    def __init__(
        self,
        dataset: Dataset | str | Path,
        needs: Collection[str],
        image_size: int,
        batch_size: int,
        augment: Augment | None = None,
        views: int | None = None,
        seed: int = 0,
        workers: int = 0,
        memory_budget_gb: float = 2.0,
    ) -> None:
        super().__init__()
        self.dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
        self.needs, self.image_size, self.batch_size = frozenset(needs), image_size, batch_size
        self.augment = None if isinstance(augment, v2.Identity) else augment
        self.views = 1 if self.augment is None else views
        self.seed, self.workers = seed, workers
        check_serves(self.dataset, f"a task that needs {' and '.join(sorted(self.needs))}", self.needs)
        serving = {
            split: sum(lacks(scene, self.needs) is None for scene in self.dataset.scenes(split)) for split in SPLITS
        }
        self.left_out = {split: len(self.dataset.scenes(split)) - serving[split] for split in SPLITS}
        if any(self.left_out.values()):
            counts = ", ".join(f"{split} {number}" for split, number in self.left_out.items())
            log.info("left out of dataset '%s' for want of %s: %s", self.dataset.name, "/".join(sorted(needs)), counts)
        channels = 4 if "mask" in self.needs else 3
        self.in_memory = sum(serving.values()) * channels * image_size**2 <= memory_budget_gb * 1e9
        self._items: dict[str, SceneItems] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes to be told apart, by number."""
        return class_names(self.dataset.classes, self.needs)

    def items(self, split: str) -> SceneItems:
        """The split's items, decoded on first use; those of "train" are augmented, by the view in their key."""
        if split not in self._items:
            self._items[split] = SceneItems(
                self.dataset.scenes(split),
                self.needs,
                self.image_size,
                self.augment if split == "train" else None,
                self.seed if self.views is None else 0,
                self.in_memory,
            )
        return self._items[split]

    def setup(self, stage: str | None = None) -> None:
        for split in {"fit": SPLITS[:2], "validate": ("val",), "test": ("test",)}.get(stage or "", SPLITS):
            self.items(split)

    def train_dataloader(self) -> SceneLoader:
        items = self.items("train")
        sampler = ViewSampler(len(items), self.seed, self.batch_size, *_rank_of_world(), views=self.views)
        return self._loader(items, batch_size=self.batch_size, sampler=sampler)

    def val_dataloader(self) -> SceneLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> SceneLoader:
        return self._eval_loader("test")

    def loader_of(self, split: str, keys: Keys) -> SceneLoader:
        """Batches of these keys, pairs (position, view), in their order."""
        return self._loader(self.items(split), batch_sampler=WholeBatches(keys, self.batch_size))

    def _eval_loader(self, split: str) -> SceneLoader:
        items = self.items(split)
        sampler = ShardSampler(len(items), *_rank_of_world())
        return self._loader(items, batch_sampler=WholeBatches(sampler, self.batch_size))

    def _loader(self, items: SceneItems, **batches: Any) -> SceneLoader:
        return SceneLoader(
            items,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            # A loader draws a number at each epoch; from its own generator it leaves the model's random stream alone.
            generator=torch.Generator().manual_seed(self.seed),
            **batches,
        )


def _rank_of_world() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1

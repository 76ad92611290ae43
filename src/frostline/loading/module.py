"""The one LightningDataModule: a prepared dataset as batches for any task."""

import logging
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler
from torchvision.transforms import v2

from frostline.errors import FrostlineError
from frostline.loading.batch import Batch, Item, Keys, Shortcut, collate, of_none
from frostline.loading.items import Augment, SceneItems
from frostline.loading.mixing import Mix
from frostline.loading.occurrences import Occurrences
from frostline.loading.samplers import SharedBatches, ViewSampler, whole_batches
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import check_serves, class_names
from frostline.scenes.scene import SPLITS
from frostline.shares import rank_of_world
from frostline.store.rows import Store

log = logging.getLogger(__name__)
FIRST = (0, 0)  # key of the first scene as it is
EVALUATED = 64  # scenes at once, at most: as many for any number of devices, so that each has room for them


class SceneLoader(DataLoader[Item]):
    """A DataLoader that can take a shortcut to its batches, in place of the items.

    Whether it does is decided when an epoch's first batch is asked for, so that the hooks of the epoch's start come
    first.
    """

    shortcut: Shortcut | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.shortcut is None:
            cast(SceneItems, self.dataset).open()  # before worker processes are made
            try:
                for batch in super().__iter__():
                    yield batch if batch["id"] else of_none(collate([self.dataset[FIRST]]))
            except FrostlineError as error:  # a worker's comes with its traceback, as text before the sentence
                raise FrostlineError(str(error).rpartition("FrostlineError: ")[2].strip()) from None
        else:
            assert self.batch_sampler is not None
            for keys in cast(Any, self.batch_sampler):
                yield self.shortcut(keys) if keys else of_none(self.shortcut([FIRST]))


def of_all(trainer: pl.Trainer, batch: Batch, number: int) -> int:
    """How many scenes a step of training has in all processes together, of which this one has a batch."""
    sampler = getattr(trainer.train_dataloader, "batch_sampler", None)
    return sampler.scenes(number) if isinstance(sampler, SharedBatches) else len(batch["id"])


class SceneDataModule(pl.LightningDataModule):
    """Batches of a prepared dataset for a task that needs the given annotations.

    dataset: a Dataset or its folder. needs: any of "label", "boxes", "mask". image_size: pixels, both sides; pictures
    are stretched to it, or, with fit="letterbox", lie in it undistorted. augment: a transform of
    torchvision.transforms.v2 over an item's dict, for training only; None or v2.Identity for none. mix: makes one item
    of several scenes, for training only; built for the same dataset and needs. views: how many views of each scene
    augmentation makes, in turn; None for new ones in each epoch. seed: of the order, and of the augmentation where
    views is None: runs of all seeds share `views` views. workers: processes per loader, 0 for none.
    parts: in how many a process takes its share of a batch, one after the other (gradient accumulation).
    store: where decoded pictures are kept; None: nowhere. balanced: whether training draws scenes of rare classes more
    often, in place of each once an epoch.

    Scenes that lack a needed annotation are left out and counted in `left_out`. With both label and boxes, that is for
    localization, the largest box is the one in "boxes" (none, where augmentation moved it out of view), and its class
    is the "label". A scene without a box has its own label, if boxes and scenes have the same classes; else it is left
    out.

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
        store: Store | None = None,
        mix: Mix | None = None,
        fit: str = "stretch",
        balanced: bool = False,
        parts: int = 1,
    ) -> None:
        super().__init__()
        self.dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
        self.needs, self.image_size, self.batch_size = frozenset(needs), image_size, batch_size
        self.augment = None if isinstance(augment, v2.Identity) else augment
        self.mix, self.fit, self.parts = mix, fit, parts
        self.views = 1 if self.augment is None and mix is None else views
        self.seed, self.workers, self.store, self.balanced = seed, workers, store, balanced
        check_serves(self.dataset, f"a task that needs {' and '.join(sorted(self.needs))}", self.needs)
        own = seed if self.views is None else 0
        self._items = {
            split: SceneItems(self.dataset, split, self.needs, image_size, self.augment, mix, own, store, fit)
            for split in SPLITS
        }
        self.left_out = {split: len(self.dataset.scenes(split)) - len(self._items[split]) for split in SPLITS}
        if any(self.left_out.values()):
            counts = ", ".join(f"{split} {number}" for split, number in self.left_out.items())
            log.info("left out of dataset '%s' for want of %s: %s", self.dataset.name, "/".join(sorted(needs)), counts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes to be told apart, by number."""
        return class_names(self.dataset.classes, self.needs)

    def items(self, split: str) -> SceneItems:
        """The split's items; those of "train" are augmented, by the view in their key."""
        return self._items[split]

    @cached_property
    def occurrences(self) -> Occurrences:
        """Of the classes in the train split, as it is before augmentation."""
        items = self.items("train")
        if "mask" in self.needs:
            items.open()  # squares are counted
        return Occurrences.of(map(items.annotated, range(len(items))))

    def teardown(self, stage: str | None = None) -> None:
        for items in self._items.values():
            items.close()

    def train_dataloader(self) -> SceneLoader:
        items = self.items("train")
        weights = self.occurrences.balance(len(items)) if self.balanced else None
        sampler = ViewSampler(len(items), self.seed, self.batch_size, views=self.views, weights=weights)
        return self._loader(items, SharedBatches(sampler, self.batch_size, *rank_of_world(), parts=self.parts))

    def val_dataloader(self) -> SceneLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> SceneLoader:
        return self._eval_loader("test")

    def loader_of(self, split: str, keys: Keys, rank: int = 0, world_size: int = 1) -> SceneLoader:
        """Batches of these keys, pairs (position, view), in their order; of several processes each has some, and as
        many as the others: where there are not enough, the last one once more."""
        batches = self._whole(keys)
        return self._loader(self.items(split), _own(batches, batches[-1:], rank, world_size))

    def _eval_loader(self, split: str) -> SceneLoader:
        """Whole batches, the same for any number of processes, each in one process alone; none is padded. A process for
        which there is none where the others have one has one without scenes, as they wait for it at each."""
        batches = self._whole([(position, 0) for position in range(len(self.items(split)))])
        return self._loader(self.items(split), _own(batches, [[]], *rank_of_world()))

    def _whole(self, keys: Keys) -> list[Keys]:
        return whole_batches(keys, min(self.batch_size, EVALUATED))

    def _loader(self, items: SceneItems, batches: Sampler[Keys] | list[Keys]) -> SceneLoader:
        return SceneLoader(
            items,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            # A loader draws a number at each epoch; from its own generator it leaves the model's random stream alone.
            generator=torch.Generator().manual_seed(self.seed),
            batch_sampler=cast(Any, batches),
        )


def _own(batches: list[Keys], spare: list[Keys], rank: int, world_size: int) -> list[Keys]:
    """Of these batches those of one process, and a spare one where others have one more."""
    own = batches[rank::world_size]
    return own + spare * (-(-len(batches) // world_size) - len(own))

"""Scenes as a model sees them: square, and augmented."""

from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors

from frostline.errors import FrostlineError
from frostline.loading.batch import Item
from frostline.loading.decoded import Decoded
from frostline.loading.mixing import Mix
from frostline.loading.transforms import keep_visible
from frostline.pictures.fit import place
from frostline.pictures.masks import read_mask
from frostline.scenes.dataset import Dataset
from frostline.scenes.listing import Chosen
from frostline.scenes.needs import has_box, one_box, serving
from frostline.scenes.scene import COUNTED, VOID, Scene
from frostline.store.rows import Store

Augment = Callable[[Item], Item]


def mixed_seed(*parts: int) -> int:
    """A well-mixed number of 63 bits: close parts (epoch 1 and 2, scene 7 and 8) give unrelated random streams."""
    return int.from_bytes(sha256(",".join(map(str, parts)).encode()).digest()[:8], "little") >> 1


class SceneItems(TorchDataset[Item]):
    """The scenes of one split that serve a task, as square items; keys are pairs (position, view).

    An item is a pure function of (seed, view, index of the scene in the split), whatever process makes it and when:
    its random draws come from a stream of its own, those of other scenes to mix with included. An item has what
    `collate` takes. Items of "val" and "test" tell the pictures' own size as well, and have masks of it.

    scenes: those of the split that serve; indices: (n,) int64, for each its index within the split. store: where
    decoded pictures come from once `open` has been called; until then, and without a store, they come from their files.
    augment, mix: of "train" alone. fit: how pictures come into the square, one of FITS.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        needs: Collection[str],
        size: int,
        augment: Augment | None = None,
        mix: Mix | None = None,
        seed: int = 0,
        store: Store | None = None,
        fit: str = "stretch",
    ) -> None:
        scenes = dataset.scenes(split)
        # Kept as an array, and scenes are made when they are asked for: of a million, workers share what they read.
        self.indices = np.flatnonzero(serving(scenes, needs))
        self.scenes = Chosen(scenes, self.indices)
        self.split, self.needs, self.size, self.seed, self.fit = split, frozenset(needs), size, seed, fit
        self.augment, self.mix = (augment, mix) if split == "train" else (None, None)
        self.mask_classes = len(dataset.classes.masks or ())
        reads_mask = "mask" in self.needs or (self.mix is not None and "mask" in self.mix.reads)
        self._pictures = Decoded("picture", dataset, split, self.indices, size, fit, store)
        self._masks = Decoded("mask", dataset, split, self.indices, size, fit, store) if reads_mask else None

    def open(self) -> None:
        """Have pictures and masks decoded and at hand, as far as the store can keep them."""
        for decoded in filter(None, (self._pictures, self._masks)):
            decoded.open()

    def close(self) -> None:
        """Let the store make room of them."""
        for decoded in filter(None, (self._pictures, self._masks)):
            decoded.close()

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        position, view = key
        if self.augment is None and self.mix is None:
            return self.plain(position)
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would also queue a seeding of every accelerator, for each item anew.
            torch.default_generator.manual_seed(mixed_seed(self.seed, view, int(self.indices[position])))
            item = self._augmented(position)
            if self.mix is not None:
                item = self.mix(item, lambda: self._augmented(self._other(position)))
        return self._finished(item, position)

    def plain(self, position: int) -> Item:
        """The item as it is, neither augmented nor mixed."""
        return self._finished(self._square(position), position)

    def annotated(self, position: int) -> Tensor:
        """Class numbers (n,) of what a scene teaches: its label, else its boxes', or its mask's known pixels'."""
        scene = self.scenes[position]
        if self._masks is not None and "mask" in self.needs:
            mask = self._masks[self.indices[position]]
            return mask[mask != VOID]
        if "boxes" in self.needs and (has_box(scene) or not one_box(self.needs)):
            _, labels, marks = self._boxes(scene)
            return labels[marks == COUNTED]
        return torch.tensor([scene.label])

    def _augmented(self, position: int) -> Item:
        item = self._square(position)
        return item if self.augment is None else self.augment(item)

    def _other(self, position: int) -> int:
        """Another scene, at random; the same only where there is no other."""
        count = len(self)
        return (position + 1 + int(torch.randint(count - 1, ()))) % count if count > 1 else position

    def _square(self, position: int) -> Item:
        """A scene in the square, before any of its boxes is clipped."""
        scene = self.scenes[position]
        row = int(self.indices[position])
        item: Item = {"image": tv_tensors.Image(self._pictures[row])}
        if self._masks is not None:
            item["mask"] = tv_tensors.Mask(self._masks[row])
        if "boxes" in self.needs:
            boxes, item["box_labels"], item["box_marks"] = self._boxes(scene)
            # Clamping only at the end lets `keep_visible` see how much of a box was lost on the way.
            item["boxes"] = tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(self.size, self.size), clamping_mode=None
            )
        if "label" in self.needs:
            item["label"] = int(item["box_labels"][0]) if one_box(self.needs) and has_box(scene) else scene.label
        return item

    def _finished(self, item: Item, position: int) -> Item:
        if "mask" not in self.needs:
            item.pop("mask", None)
        if "boxes" in self.needs:
            item["boxes"], kept = keep_visible(item["boxes"].as_subclass(Tensor), item["image"].shape[-1])
            item["box_labels"], item["box_marks"] = item["box_labels"][kept], item["box_marks"][kept]
        return item | self.native(position) | {"index": int(self.indices[position]), "id": self.scenes.id(position)}

    def native(self, position: int) -> dict[str, Any]:
        """What an item has of "val" and "test" alone, see `Annotated`: augmentation moves what is in "train"."""
        if self.split == "train":
            return {}
        scene = self.scenes[position]
        assert scene.size is not None  # it is a dataset's
        native: dict[str, Any] = {"place": place(*scene.size, self.size, self.fit), "picture_size": scene.size}
        if "mask" in self.needs:
            assert isinstance(scene.mask, Path)
            mask = native["native_mask"] = torch.from_numpy(read_mask(scene.mask))
            if int(most := mask.where(mask != VOID, 0).max()) >= self.mask_classes:
                raise FrostlineError(
                    f"The mask {scene.mask} holds the class number {int(most)}, and there are {self.mask_classes} "
                    "classes: prepare the dataset anew."
                )
        return native

    def _boxes(self, scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes in the square, their labels and their marks; where one box is wanted, the largest that counts."""
        wants_one = one_box(self.needs)
        if scene.boxes is None or not len(scene.boxes) or (wants_one and not has_box(scene)):
            return torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.uint8)
        assert scene.box_labels is not None and scene.size is not None
        boxes, labels = torch.from_numpy(scene.boxes), torch.from_numpy(scene.box_labels)
        marks = torch.zeros(len(boxes), dtype=torch.uint8)
        if scene.box_marks is not None:
            marks = torch.from_numpy(scene.box_marks)
        if wants_one:
            area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
            largest = int(area.where(marks == COUNTED, -1).argmax())
            boxes, labels, marks = (each[largest : largest + 1] for each in (boxes, labels, marks))
        width, height = scene.size
        left, top, w, h = place(width, height, self.size, self.fit)
        return boxes * torch.tensor([w / width, h / height] * 2) + torch.tensor([left, top] * 2), labels, marks

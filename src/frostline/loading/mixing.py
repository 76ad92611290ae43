"""One training item made of several scenes: MixUp, CutMix, Mosaic, CopyPaste.

A mix gets an item that is augmented already and a way to draw others, augmented too. All that it draws comes from
torch's random stream, which SceneItems seeds for each item: so a mixed view is a pure function of (seed, view, scene)
as any other is. A mix is built for a dataset and a task's needs, and refuses those that it does not fit.
"""

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from frostline.errors import FrostlineError, check_number
from frostline.loading.batch import Item
from frostline.loading.transforms import MIN_VISIBLE, keep_visible, visible_in
from frostline.pictures.kernels import Pixels, picture_of, pixels_of
from frostline.pictures.regions import box_around
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import BACKGROUND

Regions = npt.NDArray[np.int32]  # (H, W), a number for each connected region and 0 elsewhere

SMALLEST = 16  # pixels; a region with fewer is no object but a crumb


class Mix:
    """Base of the mixes: with chance `p` an item becomes a mix of itself with others.

    scenes: of how many scenes an item is made at most. reads: the annotations that it takes beside those that the task
    needs, where a scene has them.
    """

    scenes: ClassVar[int] = 2
    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, p: float) -> None:
        check_number("augment.mix.p", p, 0, 1)
        self.p = p

    def __call__(self, item: Item, another: Callable[[], Item]) -> Item:
        """item: an item of SceneItems before boxes are clipped. another: draws another scene's. Neither is changed."""
        return self.mixed(item, another) if float(torch.rand(())) < self.p else item

    def mixed(self, item: Item, another: Callable[[], Item]) -> Item:
        raise NotImplementedError


class _LabelMix(Mix):
    """Mixes two pictures and their labels: "label" becomes probabilities, (classes,) float32, in every item."""

    def __init__(self, dataset: Dataset, needs: Collection[str], p: float, alpha: float) -> None:
        super().__init__(p)
        check_number("augment.mix.alpha", alpha, 0.01, 100)
        _refuse_unless(set(needs) == {"label"}, self, "mixes the labels of whole pictures, so it serves classification")
        self.classes = len(dataset.classes.labels or ())
        self._shares = torch.distributions.Beta(alpha, alpha)

    def __call__(self, item: Item, another: Callable[[], Item]) -> Item:
        return super().__call__(item | {"label": self._probabilities(item)}, another)

    def mixed(self, item: Item, another: Callable[[], Item]) -> Item:
        share = float(self._shares.sample())
        other = another()
        pixels, share = self.joined(pixels_of(item["image"]), pixels_of(other["image"]), share)
        label = (1 - share) * item["label"] + share * self._probabilities(other)
        return item | {"image": tv_tensors.Image(picture_of(pixels)), "label": label}

    def joined(self, mine: Pixels, others: Pixels, share: float) -> tuple[Pixels, float]:
        """Both as one picture of which `share` is the other's, and how much it really is."""
        raise NotImplementedError

    def _probabilities(self, item: Item) -> Tensor:
        return F.one_hot(torch.tensor(item["label"]), self.classes).float()


class MixUp(_LabelMix):
    """Two pictures blended, and their labels likewise (Zhang et al., ICLR 2018, arXiv:1710.09412).

    alpha: of Beta(alpha, alpha), from which two shares are drawn; a small alpha blends but little. The smaller share is
    the other's, so that each scene is the main one of its own item. p: chance per item.
    """

    def __init__(self, dataset: Dataset, needs: Collection[str], alpha: float = 0.4, p: float = 1.0) -> None:
        super().__init__(dataset, needs, p, alpha)

    def joined(self, mine: Pixels, others: Pixels, share: float) -> tuple[Pixels, float]:
        share = min(share, 1 - share)
        return np.asarray(cv2.addWeighted(mine, 1 - share, others, share, 0), np.uint8), share


class CutMix(_LabelMix):
    """A rectangle of another picture laid over; labels weigh as their areas (Yun et al., ICCV 2019, arXiv:1905.04899).

    alpha: the rectangle's share is drawn from Beta(alpha, alpha); 1 draws evenly. It has the picture's shape and its
    centre anywhere, and counts as far as it lies inside. p: chance per item.
    """

    def __init__(self, dataset: Dataset, needs: Collection[str], alpha: float = 1.0, p: float = 1.0) -> None:
        super().__init__(dataset, needs, p, alpha)

    def joined(self, mine: Pixels, others: Pixels, share: float) -> tuple[Pixels, float]:
        height, width = mine.shape[:2]
        x, y = (torch.rand(2, dtype=torch.float64) * torch.tensor([width, height])).tolist()
        w, h = width * share**0.5, height * share**0.5
        x0, x1 = (min(width, max(0, round(edge))) for edge in (x - w / 2, x + w / 2))
        y0, y1 = (min(height, max(0, round(edge))) for edge in (y - h / 2, y + h / 2))
        joined = mine.copy()
        joined[y0:y1, x0:x1] = others[y0:y1, x0:x1]
        return joined, (x1 - x0) * (y1 - y0) / (width * height)


class Mosaic(Mix):
    """Four scenes in the four quarters of a picture, with their boxes (Bochkovskiy et al. 2020, arXiv:2004.10934).

    centre: where the quarters meet is drawn from this interval, as a share of each side. Each scene is scaled to cover
    its quarter, undistorted; what does not fit is cut off at random sides. Boxes are clipped to the quarter, and those
    that lost most of their area are dropped. p: chance per item.
    """

    scenes: ClassVar[int] = 4

    def __init__(
        self, dataset: Dataset, needs: Collection[str], centre: Sequence[float] = (0.3, 0.7), p: float = 0.5
    ) -> None:
        super().__init__(p)
        _refuse_unless(
            set(needs) == {"boxes"}, self, "puts four scenes with their boxes together, so it serves detection"
        )
        for number, share in enumerate(centre):
            check_number(f"augment.mix.centre[{number}]", share, 0.1, 0.9)
        if len(centre) != 2 or centre[0] > centre[1]:
            raise FrostlineError(f"augment.mix.centre is {list(centre)}; it is an interval, such as [0.3, 0.7].")
        self.centre = (float(centre[0]), float(centre[1]))

    def mixed(self, item: Item, another: Callable[[], Item]) -> Item:
        size = int(item["image"].shape[-1])
        low, high = self.centre
        x, y = (round(size * (low + (high - low) * draw)) for draw in torch.rand(2, dtype=torch.float64).tolist())
        pixels = np.empty((size, size, 3), np.uint8)
        quarters = ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size))
        parts = [self._put(pixels, quarter, another() if n else item) for n, quarter in enumerate(quarters)]
        boxes, labels, marks = (torch.cat(each) for each in zip(*parts, strict=True))
        return item | {
            "image": tv_tensors.Image(picture_of(pixels)),
            "boxes": tv_tensors.wrap(boxes, like=item["boxes"]),
            "box_labels": labels,
            "box_marks": marks,
        }

    @staticmethod
    def _put(pixels: Pixels, quarter: tuple[int, int, int, int], item: Item) -> tuple[Tensor, Tensor, Tensor]:
        """Paint an item into a quarter x0 y0 x1 y1; returns its boxes there, their labels and their marks."""
        x0, y0, x1, y1 = quarter
        size = len(pixels)
        scale = max(x1 - x0, y1 - y0) / size
        # The window of the item that the quarter shows; whole pixels, so that picture and boxes agree to the last bit.
        w, h = round((x1 - x0) / scale), round((y1 - y0) / scale)
        across, down = torch.rand(2, dtype=torch.float64).tolist()
        left, top = int(across * (size - w + 1)), int(down * (size - h + 1))
        window = pixels_of(item["image"])[top : top + h, left : left + w]
        pixels[y0:y1, x0:x1] = cv2.resize(window, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        boxes, kept = visible_in(item["boxes"].as_subclass(Tensor), (left, top, left + w, top + h))
        factor = torch.tensor([(x1 - x0) / w, (y1 - y0) / h] * 2)
        placed = (boxes - torch.tensor([left, top] * 2)) * factor + torch.tensor([x0, y0] * 2)
        return placed, item["box_labels"][kept], item["box_marks"][kept]


class CopyPaste(Mix):
    """Objects of another scene pasted in, as their masks cut them out (Ghiasi et al., CVPR 2021, arXiv:2012.07177).

    An object is a connected region of the mask's classes `classes`; None: of all but the background. share:
    chance of each one to be pasted. A box goes with the region that fills the most of it, and comes along, clipped to
    it; where boxes are asked for, a region without one is left. Boxes of what gets covered shrink to what is left, and
    disappear where that is too little. p: chance per item. objects: the numbers of these classes.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __init__(
        self,
        dataset: Dataset,
        needs: Collection[str],
        classes: Sequence[str] | None = None,
        share: float = 0.5,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        check_number("augment.mix.share", share, 0, 1)
        fits = set(needs) in ({"mask"}, {"boxes"})
        _refuse_unless(fits, self, "pastes objects into pictures, so it serves segmentation and detection")
        scenes = dataset.scenes("train")
        if all(scene.mask is None or ("boxes" in needs and scene.boxes is None) for scene in scenes):
            raise FrostlineError(
                f"augment.mix (CopyPaste) cuts objects out by their masks, and dataset '{dataset.name}' has no masks"
                f"{' beside boxes' if 'boxes' in needs else ''} in its split 'train': write augment/mix=none."
            )
        self.share = share
        self._object = np.zeros(256, np.uint8)  # of each value of a mask, whether it is an object's
        self.objects = _object_classes(dataset, classes)
        self._object[self.objects] = 1

    def mixed(self, item: Item, another: Callable[[], Item]) -> Item:
        other = another()
        regions, sizes = self._regions(other)
        chosen = (torch.rand(len(sizes)).numpy() < self.share) & (sizes >= SMALLEST)
        chosen[0] = False  # what is no region
        boxes = labels = marks = owners = None
        if "boxes" in item:
            boxes, kept = keep_visible(other["boxes"].as_subclass(Tensor), len(regions))
            labels, marks = other["box_labels"][kept], other["box_marks"][kept]
            owners = [_owner(regions, box) for box in boxes.tolist()]
            chosen[np.setdiff1d(np.arange(len(sizes)), owners)] = False
        pasted = chosen[regions]
        if not pasted.any():
            return item
        stencil = pasted.view(np.uint8)
        pixels, mask = pixels_of(item["image"]).copy(), item["mask"].as_subclass(Tensor).numpy().copy()
        cv2.copyTo(pixels_of(other["image"]), stencil, pixels)
        cv2.copyTo(other["mask"].as_subclass(Tensor).numpy(), stencil, mask)
        result = item | {"image": tv_tensors.Image(picture_of(pixels)), "mask": tv_tensors.Mask(torch.from_numpy(mask))}
        if boxes is None or labels is None or marks is None or owners is None:
            return result
        left, remain = self._uncovered(item, pasted)
        mine = [number for number, owner in enumerate(owners) if chosen[owner]]
        around = [box_around(regions == owners[number]) for number in mine]
        come = [
            np.clip(boxes[number].tolist(), (x0, y0, x0, y0), (x1, y1, x1, y1)).tolist()
            for number, (x0, y0, x1, y1) in zip(mine, around, strict=True)
        ]
        result["boxes"] = tv_tensors.wrap(torch.tensor([*left, *come]).reshape(-1, 4), like=item["boxes"])
        result["box_labels"] = torch.cat([item["box_labels"][remain], labels[mine]])
        result["box_marks"] = torch.cat([item["box_marks"][remain], marks[mine]])
        return result

    def _regions(self, item: Item) -> tuple[Regions, npt.NDArray[np.int64]]:
        """The connected regions of an item's objects, and how many pixels each number has."""
        objects = self._object[item["mask"].as_subclass(Tensor).numpy()]
        regions = np.asarray(cv2.connectedComponents(objects, connectivity=8, ltype=cv2.CV_32S)[1], np.int32)
        return regions, np.bincount(regions.ravel())

    def _uncovered(self, item: Item, pasted: npt.NDArray[np.bool_]) -> tuple[list[list[float]], Tensor]:
        """What is left of an item's boxes under what was pasted, and the places of those of which enough is left."""
        regions, _ = self._regions(item)
        boxes, kept = keep_visible(item["boxes"].as_subclass(Tensor), len(regions))
        left, remain = [], []
        for number, box in enumerate(boxes.tolist()):
            x0, y0, x1, y1 = _whole(box, len(regions))
            owner = _owner(regions, box)
            # Without a region, all that is in the box may be the object.
            before = regions[y0:y1, x0:x1] == owner if owner else np.ones((y1 - y0, x1 - x0), bool)
            after = before & ~pasted[y0:y1, x0:x1]
            if after.sum() < MIN_VISIBLE * before.sum():
                continue
            if before.any() and (after != before).any():
                # Each side moves by as much as what is seen of the object has become smaller there.
                moved = np.subtract(box_around(after), box_around(before))
                box = [side + float(by) for side, by in zip(box, moved, strict=True)]
            left.append(box)
            remain.append(number)
        return left, kept.nonzero()[remain, 0]


def _object_classes(dataset: Dataset, classes: Sequence[str] | None) -> list[int]:
    known = dataset.classes.masks or ()
    if classes is None:
        if BACKGROUND not in known:
            raise FrostlineError(
                f"The masks of dataset '{dataset.name}' have no class 'background', so what is an object must be told: "
                f"set augment.mix.classes to some of {', '.join(known)}."
            )
        return [number for number, name in enumerate(known) if name != BACKGROUND]
    if unknown := [name for name in classes if name not in known]:
        raise FrostlineError(
            f"augment.mix.classes names '{unknown[0]}', which the masks of dataset '{dataset.name}' do not have; they "
            f"have {', '.join(known)}."
        )
    return [known.index(name) for name in classes]


def _owner(regions: Regions, box: Sequence[float]) -> int:
    """The number of the region that fills the most of a box; 0 where none does."""
    x0, y0, x1, y1 = _whole(box, len(regions))
    counts = np.bincount(regions[y0:y1, x0:x1].ravel(), minlength=1)
    counts[0] = 0
    return int(counts.argmax())


def _whole(box: Sequence[float], size: int) -> tuple[int, int, int, int]:
    """The pixels whose centres lie in a box, as x0 y0 x1 y1 within a square picture."""
    x0, y0, x1, y1 = (min(size, max(0, round(side))) for side in box)
    return x0, y0, x1, y1


def _refuse_unless(fits: bool, mix: Mix, why: str) -> None:
    if not fits:
        raise FrostlineError(
            f"augment.mix ({type(mix).__name__}) {why} alone, and this task is another: write augment/mix=none, or "
            "choose one of conf/augment/mix/ that fits."
        )
